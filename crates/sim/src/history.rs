//! What the clients saw.

use crate::plan::OperationKind;
use abd::{Operation, Version};
use bytes::Bytes;

/// Bytes of a value that people want to see.
const SHOWN: usize = 40;

/// One operation of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRecord {
    /// Whose; a client whose call was lost goes on all the same.
    pub client: u32,
    /// Through which node.
    pub node: u32,
    /// On which key.
    pub key: Bytes,
    /// What.
    pub kind: OperationKind,
    /// What a Set writes: a value of its own.
    pub value: Bytes,
    /// The version that its coordinator chose for what it writes, once it has been sent.
    pub version: Option<Version>,
    /// When it was asked: virtual time, and the number of the event. Two events may have one time, never one number.
    pub invoked: (u64, u64),
    /// When it ended.
    pub returned: (u64, u64),
    /// How.
    pub answer: ClientAnswer,
}

/// What a client knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAnswer {
    /// It was never asked.
    NotAsked,
    /// Nothing yet.
    Pending,
    /// A Get found this.
    Read(Option<Bytes>),
    /// A Set or Delete took effect.
    Written,
    /// Certainly no effect.
    Refused(String),
    /// Perhaps.
    Unknown(String),
}

impl OperationRecord {
    /// The same as a coordinator sees it.
    pub fn operation(&self) -> Operation {
        let (key, value) = (self.key.clone(), self.value.clone());
        match self.kind {
            OperationKind::Get => Operation::Get { key },
            OperationKind::Set => Operation::Set { key, value },
            OperationKind::Delete => Operation::Delete { key },
        }
    }

    /// What was asked.
    pub fn text(&self) -> String {
        let key = self.key.escape_ascii();
        match self.kind {
            OperationKind::Get => format!("get {key}"),
            OperationKind::Set => format!("set {key}={}", shown(&self.value)),
            OperationKind::Delete => format!("delete {key}"),
        }
    }
}

impl ClientAnswer {
    /// In words.
    pub fn text(&self) -> String {
        match self {
            Self::NotAsked => "not asked".into(),
            Self::Pending => "pending".into(),
            Self::Read(None) => "absent".into(),
            Self::Read(Some(value)) => value.escape_ascii().to_string(),
            Self::Written => "ok".into(),
            Self::Refused(why) => format!("refused: {why}"),
            Self::Unknown(why) => format!("unknown: {why}"),
        }
    }
}

/// A value, or where a long one begins.
pub fn shown(value: &[u8]) -> String {
    match value {
        [start @ .., _] if value.len() > SHOWN => format!("{}..", start[..SHOWN / 2].escape_ascii()),
        value => value.escape_ascii().to_string(),
    }
}
