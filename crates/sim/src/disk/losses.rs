//! What a simulated disk has lost of what it held (rule S3): which parts, as the production engine remembers them ([`Lost`]), and the data
//! keys that were in them. Those are gone at every later start, too, until they are written again.

use bytes::Bytes;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use store::damage::{DamagedParts, Part};
use store::disk::Lost;

/// Something that a disk may lose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The versions of a key.
    Versions(Bytes),
    /// What was accepted of a key.
    Record(Bytes),
    /// Both, of a key and of all behind it.
    From(Bytes),
    /// What a replica keeps of itself: what it may promise, and which configuration it has installed.
    Own,
}

/// All that begins with the first byte of a data key, from that data key on.
fn rest_of_space(from: Bytes) -> Part {
    let next = from.first().map_or(0, |space| space + 1);
    Part { from, to: vec![next].into() }
}

impl Loss {
    /// The data keys that are concerned.
    pub(super) fn parts(&self) -> Vec<Part> {
        match self {
            Self::Versions(key) => vec![Part::of_prefix(&store::key::prefix(key))],
            Self::Record(key) => vec![Part::of_prefix(&store::key::of_record(key))],
            Self::From(key) => {
                vec![rest_of_space(store::key::prefix(key).into()), rest_of_space(store::key::of_record(key))]
            }
            Self::Own => vec![Part::of_prefix(&store::key::MARK[..1])],
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Versions(key) => write!(f, "{}", key.escape_ascii()),
            Self::Record(key) => write!(f, "what it has accepted of {}", key.escape_ascii()),
            Self::From(key) => write!(f, "anything from {} on", key.escape_ascii()),
            Self::Own => f.write_str("what it has promised"),
        }
    }
}

/// All that a disk has lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses {
    known: Lost,
    /// The data keys that were in it, and were not written again since.
    pub(super) gone: BTreeSet<Bytes>,
    /// The parts, for whoever reads.
    pub(super) parts: Arc<DamagedParts>,
}

impl Losses {
    /// Changes what is known to be lost.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Lost)) {
        change(&mut self.known);
        self.parts = Arc::new(self.known.parts());
    }

    pub(super) fn known(&self) -> &Lost {
        &self.known
    }
}
