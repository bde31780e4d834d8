//! The short way in: registers with read, write and delete.

use crate::checker::check_register;
use crate::history::{Action, History, Operation};
pub use crate::verdict::Verdict;

/// One operation on one register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterOp {
    /// Who called; only drawn.
    pub client: u64,
    /// The register.
    pub key: Vec<u8>,
    /// The call and its answer.
    pub kind: RegisterOpKind,
    /// When the call was made.
    pub invoke: u64,
    /// When the answer came; `None` when the outcome is unknown.
    pub ret: Option<u64>,
}

/// What a [`RegisterOp`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterOpKind {
    /// Read this value, or absence. With an unknown outcome the value is ignored.
    Read(Option<Vec<u8>>),
    /// Wrote this value.
    Write(Vec<u8>),
    /// Removed the value.
    Delete,
}

/// Judges the operations, key by key; registers start absent.
///
/// ```
/// use lincheck::register::{RegisterOp, RegisterOpKind, check};
///
/// let op = |client, kind, invoke, ret| RegisterOp { client, key: b"k".to_vec(), kind, invoke, ret };
/// let verdict = check(&[
///     op(1, RegisterOpKind::Write(b"new".to_vec()), 0, Some(10)),
///     op(2, RegisterOpKind::Read(None), 20, Some(30)),
/// ]);
/// assert!(verdict.violation().is_some(), "{verdict:?}");
/// ```
#[must_use]
pub fn check(ops: &[RegisterOp]) -> Verdict {
    check_register(&history(ops))
}

/// The same operations in the general form.
#[must_use]
pub fn history(ops: &[RegisterOp]) -> History {
    let operation = |op: &RegisterOp| Operation {
        client: op.client,
        key: op.key.clone(),
        action: match &op.kind {
            RegisterOpKind::Read(value) => Action::Read(value.clone()),
            RegisterOpKind::Write(value) => Action::Write(value.clone()),
            RegisterOpKind::Delete => Action::Delete,
        },
        invoke: op.invoke,
        ret: op.ret,
    };
    History::new(ops.iter().map(operation).collect())
}
