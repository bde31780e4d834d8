//! What the clients saw.

use crate::plan::OperationKind;
use abd::{UpdateId, Version};
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
    /// What it writes, appends or adds: a value of its own.
    pub value: Bytes,
    /// What the key must hold for it.
    pub expected: Bytes,
    /// For how long what it leaves lives, in milliseconds; empty without a deadline.
    pub lives: Bytes,
    /// The proposals that it may have been a part of.
    pub proposals: Vec<UpdateId>,
    /// Nobody has room for an update: its node has carried it out as a blind Delete.
    pub is_blind: bool,
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
    /// The key held this; or it is a condition that did not hold.
    Read(Option<Bytes>),
    /// It took effect.
    Written,
    /// A length, a sum, or how many keys were taken away.
    Number(i64),
    /// Certainly no effect.
    Refused(String),
    /// Perhaps.
    Unknown(String),
}

impl OperationRecord {
    /// What was asked.
    pub fn text(&self) -> String {
        let (name, key) = (self.kind.name(), self.key.escape_ascii());
        let value = if self.kind.has_value() { format!("={}", shown(&self.value)) } else { String::new() };
        let expected =
            if self.kind.has_expected() { format!(" if {}", shown(&self.expected)) } else { String::new() };
        let lives = if self.kind.has_deadline() {
            format!(" for {}ms", self.lives.escape_ascii())
        } else {
            String::new()
        };
        format!("{name} {key}{value}{expected}{lives}")
    }

    /// The request, as it goes over a connection.
    pub fn command(&self) -> Vec<&[u8]> {
        let Self { key, value, expected, lives, .. } = self;
        match self.kind {
            OperationKind::Get => vec![b"GET", key],
            OperationKind::Set => vec![b"SET", key, value],
            OperationKind::SetIfAbsent => vec![b"SET", key, value, b"NX"],
            OperationKind::SetIfEqual => vec![b"SET", key, value, b"IFEQ", expected],
            OperationKind::GetSet => vec![b"SET", key, value, b"GET"],
            OperationKind::Append => vec![b"APPEND", key, value],
            OperationKind::Increment => vec![b"INCRBY", key, value],
            OperationKind::Delete => vec![b"DEL", key],
            OperationKind::DeleteIfEqual => vec![b"DELEX", key, b"IFEQ", expected],
            OperationKind::GetDelete => vec![b"GETDEL", key],
            OperationKind::SetEx => vec![b"SET", key, value, b"PX", lives],
            OperationKind::Lock => vec![b"SET", key, value, b"NX", b"PX", lives],
            OperationKind::Expire => vec![b"PEXPIRE", key, lives],
            OperationKind::Persist => vec![b"PERSIST", key],
            OperationKind::GetEx => vec![b"GETEX", key, b"PX", lives],
        }
    }

    /// For how long what it leaves lives, in milliseconds; zero without a deadline.
    pub fn lives_for(&self) -> u64 {
        std::str::from_utf8(&self.lives).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }

    /// Whether it ended, and nobody knows what it has done, although its node has said so itself.
    pub fn is_indeterminate(&self) -> bool {
        matches!(&self.answer, ClientAnswer::Unknown(why) if why.starts_with("INDETERMINATE"))
    }
}

impl ClientAnswer {
    /// Whether it says what has become of the operation, and that it was carried out.
    pub fn is_answered(&self) -> bool {
        matches!(self, Self::Read(_) | Self::Written | Self::Number(_))
    }

    /// In words.
    pub fn text(&self) -> String {
        match self {
            Self::NotAsked => "not asked".into(),
            Self::Pending => "pending".into(),
            Self::Read(None) => "absent".into(),
            Self::Read(Some(value)) => value.escape_ascii().to_string(),
            Self::Written => "ok".into(),
            Self::Number(number) => number.to_string(),
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
