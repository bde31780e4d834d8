//! What was observed from outside: who asked what, when, and what came back.

use std::collections::BTreeMap;
use std::fmt;

use crate::bars;
use crate::update::Update;

/// One call together with its answer.
///
/// When the outcome of the operation is unknown ([`Operation::ret`] is `None`) the answer inside the action means
/// nothing: a write or an update may or may not have happened, and a read tells nothing at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A read that returned this value; `None` says that the key was absent.
    Read(Option<Vec<u8>>),
    /// A write of this value.
    Write(Vec<u8>),
    /// A removal: afterwards the key is absent.
    Delete,
    /// A read-modify-write: a compare-and-set, an append, an increment and the like.
    Update(Update),
    /// Reads and writes of several registers at one instant. They are one object to the judge, so they share a key.
    Transaction(Vec<Access>),
}

/// One step of a [`Action::Transaction`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// This register was read and held this value.
    Read(Vec<u8>, Vec<u8>),
    /// This register was given this value.
    Write(Vec<u8>, Vec<u8>),
}

impl Action {
    /// True when the action cannot change anything, so that an unknown outcome of it carries no information.
    #[must_use]
    pub fn is_observation(&self) -> bool {
        match self {
            Action::Read(_) => true,
            Action::Transaction(steps) => steps.iter().all(|step| matches!(step, Access::Read(..))),
            // That an update was refused is part of its answer, which is what an unknown outcome lacks.
            Action::Write(_) | Action::Delete | Action::Update(_) => false,
        }
    }
}

impl Action {
    /// The action in a few words; without its answer and with a question mark where the outcome is unknown.
    #[must_use]
    pub fn describe(&self, known: bool) -> String {
        bars::describe(self, known)
    }
}

/// In a few words, as it is drawn.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bars::describe(self, true))
    }
}

/// One operation of one client on one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operation {
    /// Who called. Only drawn, never used to judge: real time is all that orders operations.
    pub client: u64,
    /// The key. Linearizability is local, so each key is judged alone.
    pub key: Vec<u8>,
    /// The call and its answer.
    pub action: Action,
    /// When the call was made, in any unit.
    pub invoke: u64,
    /// When the answer arrived. `None`: the outcome is unknown, and the operation may take effect at any time after
    /// `invoke`, even after the last event of the history, or never.
    pub ret: Option<u64>,
}

/// Operations in any order; times alone decide who came first.
///
/// An operation precedes another when it returned strictly before the other was invoked. Equal times are concurrent:
/// a clock that cannot tell two events apart must not be used to convict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The operations. Verdicts name them by their index here.
    pub operations: Vec<Operation>,
}

impl History {
    /// Wraps a list of operations.
    #[must_use]
    pub fn new(operations: Vec<Operation>) -> Self {
        History { operations }
    }

    /// The indices of the operations of each key, keys in order.
    #[must_use]
    pub fn by_key(&self) -> BTreeMap<&[u8], Vec<usize>> {
        let mut keys: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
        for (index, operation) in self.operations.iter().enumerate() {
            keys.entry(&operation.key).or_default().push(index);
        }
        keys
    }
}
