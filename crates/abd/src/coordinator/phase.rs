//! The phases of an operation. Each is a scope: it owns its outstanding calls, and when it ends none of their replies
//! counts any more.

use crate::message::Refusal;
use crate::operation::Outcome;
use crate::quorum::NodeSet;
use crate::value::StampedValue;
use crate::version::Version;

/// What an operation is doing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// A Get collects the newest version with its content.
    Read(ReadPhase),
    /// A logical Set or Delete collects timestamps; a TrueTime Delete, whether there is anything to delete.
    ReadTimestamp(TimestampPhase),
    /// A stamped value travels to a majority: a Set's own, or the write-back of a Get.
    Write(WritePhase),
    /// Everything is durable; TrueTime waits out the uncertainty (rule T1).
    CommitWait { version: Version, outcome: Outcome },
}

/// The query phase of a Get.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ReadPhase {
    /// The newest of all replies so far.
    pub(super) newest: StampedValue,
    /// Who reported exactly that version, durably.
    pub(super) holders: NodeSet,
    pub(super) answered: NodeSet,
}

/// The query phase of a logical Set or Delete, or of a TrueTime Delete.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TimestampPhase {
    pub(super) newest: Version,
    pub(super) present: bool,
    /// The version that a TrueTime Delete has picked already (rule T2): it asks for its count alone.
    pub(super) picked: Option<Version>,
    /// Who answered and can store what comes next.
    pub(super) answered: NodeSet,
    /// Who answered that its disk is full.
    pub(super) unwritable: NodeSet,
}

/// A write phase.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct WritePhase {
    pub(super) stamped: StampedValue,
    /// Who durably holds the version or a newer one.
    pub(super) held: NodeSet,
    pub(super) refused: NodeSet,
    /// A Get's write-back has no effect of its own: if it fails, the Get is refused, not indeterminate.
    pub(super) write_back: bool,
    /// The newest older version that a replica saw, and whether it was a value. A hint for the count of a Delete: writes are
    /// blind, and say what they replace only where that is in memory.
    pub(super) previous: (Version, bool),
}

/// What the calls of a phase have come to, apart from counted answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Calls {
    /// Members that this phase has called.
    pub(super) contacted: NodeSet,
    pub(super) last_refusal: Option<Refusal>,
}

impl ReadPhase {
    pub(super) fn new() -> Self {
        Self { newest: StampedValue::NEVER, holders: NodeSet::EMPTY, answered: NodeSet::EMPTY }
    }
}

impl WritePhase {
    /// The write phase of a Set or Delete.
    pub(super) fn of_set(stamped: StampedValue, previous: (Version, bool)) -> Self {
        Self { stamped, held: NodeSet::EMPTY, refused: NodeSet::EMPTY, write_back: false, previous }
    }
}
