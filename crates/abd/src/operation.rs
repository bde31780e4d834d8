//! What a client asks of a coordinator, and everything that it may conclude.

use crate::message::Refusal;
use crate::update::{Function, FunctionAnswer};
use crate::value::{Deadline, StampedValue};
use crate::version::Version;
use alloc::{format, string::String, vec::Vec};
use bytes::Bytes;

/// A client's operation on one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Read the key.
    Get {
        /// The key.
        key: Bytes,
    },
    /// Give the key a value.
    Set {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
        /// When it expires.
        deadline: Deadline,
    },
    /// Take the key away: a Set whose content is the tombstone.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// Apply functions to the key, one after the other, with nothing in between.
    Update {
        /// The key.
        key: Bytes,
        /// The functions, at least one.
        functions: Vec<Function>,
    },
}

impl Operation {
    /// The key it is about.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Get { key } | Self::Set { key, .. } | Self::Delete { key } | Self::Update { key, .. } => {
                key
            }
        }
    }

    /// Whether it is a Get.
    pub fn is_read(&self) -> bool {
        matches!(self, Self::Get { .. })
    }

    /// Whether replicas whose disk is full cannot carry it out. A Delete may well: it makes room in the end.
    pub fn needs_room(&self) -> bool {
        matches!(self, Self::Set { .. })
    }

    /// Bytes of its key and value, or functions.
    pub fn size(&self) -> usize {
        match self {
            Self::Update { key, functions } => {
                key.len() + functions.iter().map(|function| function.encoded.len()).sum::<usize>()
            }
            Self::Get { key } | Self::Delete { key } => key.len(),
            Self::Set { key, value, .. } => key.len() + value.len(),
        }
    }
}

/// Identity of an operation within its coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub u64);

/// How an operation ended. There is nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A Get: what the key held.
    Read(StampedValue),
    /// A Set or Delete took effect.
    Written {
        /// Under this version.
        version: Version,
        /// Whether a value was seen under an older version. A report, not a promise: another write may lie between.
        existed: bool,
    },
    /// An Update took effect, or had nothing to change.
    Updated {
        /// The answer of each of its functions.
        answers: Vec<FunctionAnswer>,
        /// The version that the key has then: that of the functions' effect, or the one at which they had none.
        version: Version,
    },
    /// Certainly no effect, now or later.
    Refused(Reason),
    /// May have taken effect, may take effect at any later moment, or never.
    Indeterminate(Reason),
}

/// Why an operation did not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    /// The deadline passed before a majority had answered.
    #[error("{answered} of {members} replicas answered in time, {needed} are needed{}", because(.refusal))]
    NoQuorum {
        /// Replicas that answered, and did not refuse.
        answered: usize,
        /// A majority.
        needed: usize,
        /// Members.
        members: usize,
        /// What one of the others said, if anything.
        refusal: Option<Refusal>,
    },
    /// Too many replicas refused for a majority to come together.
    #[error("{refused} of {members} replicas refused{}", because(.refusal))]
    TooManyRefused {
        /// Replicas that refused.
        refused: usize,
        /// Members.
        members: usize,
        /// What one of them said.
        refusal: Option<Refusal>,
    },
    /// TrueTime: this node's clock has no usable error bound now.
    #[error("this node's clock has no usable error bound now, which TrueTime needs; see the log")]
    ClockUnknown,
    /// TrueTime: the deadline passed before the version was in the past for certain (rule T1).
    #[error(
        "the uncertainty of the clocks did not pass within the deadline; use clocks with a tighter bound, or a longer \
         --op-timeout"
    )]
    StillUncertain,
    /// An Update was proposed, and neither a majority nor a replica that knows has told what became of it (rule P3').
    #[error("what became of the update could not be learned in time{}", because(.refusal))]
    FateUnknown {
        /// What one of the replicas said, if anything.
        refusal: Option<Refusal>,
    },
    /// The counter of the key is used up.
    #[error("the key's time is at its ceiling of 2^63-1")]
    CeilingReached,
    /// Rule M1: this node may not take part yet.
    #[error("this node's data directory is new: every other member must be up once to confirm it")]
    NotAdmitted,
    /// Rule M1: the configuration that this node has installed does not name it with its directory as one who votes.
    #[error(
        "this node does not vote yet: it joins, or gets back what it has lost (see MEMBERS LIST); ask another node"
    )]
    NoVote,
    /// Rule V1: this node has not met a majority since its start, and on an old copy of its disk it would use timestamps
    /// again.
    #[error(
        "this node has met {met} of {members} members since its start, itself included, and begins with {needed}; start \
         the others, or look in the log why it cannot reach them"
    )]
    MajorityNotMet {
        /// Members that it has met, and itself.
        met: usize,
        /// A majority.
        needed: usize,
        /// Members.
        members: usize,
    },
    /// The node is no member of its cluster any more, since this epoch.
    #[error("this node is no member of the cluster any more (since epoch {epoch}); ask another node")]
    Retired {
        /// The configuration that was the first without it.
        epoch: u32,
    },
    /// The node has been told to stop, and begins nothing new.
    #[error("this node is stopping; ask another one")]
    Stopping,
    /// The caller gave up.
    #[error("the operation was cancelled")]
    Cancelled,
}

fn because(refusal: &Option<Refusal>) -> String {
    refusal.map_or_else(String::new, |refusal| format!("; one said that {refusal}"))
}
