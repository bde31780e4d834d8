//! What coordinators ask of replicas, and what replicas answer.

use crate::ballot::{Ballot, UpdateId};
use crate::update::{Acceptance, AcceptedThere, Base, Proposal, Told};
use crate::value::{Glimpse, StampedValue};
use crate::version::Version;
use alloc::boxed::Box;
use bytes::Bytes;
use core::fmt;

/// One phase of one operation: replies carry it back, so that a reply of an earlier phase is never counted in a later
/// one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    /// The operation, unique within one coordinator.
    pub operation: u64,
    /// Its phase, counted from zero. An update under contention has many.
    pub phase: u32,
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}.{}", self.operation, self.phase)
    }
}

/// A request of the Replica service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// The query phase of a Get: the newest version and its content. The content is left out when the coordinator
    /// already has it, that is when the replica's newest is not above `have`.
    LocalRead {
        /// The key.
        key: Bytes,
        /// The newest version whose content the coordinator holds.
        have: Version,
    },
    /// The query phase of a logical Set or Delete: the newest version alone.
    LocalReadTimestamp {
        /// The key.
        key: Bytes,
    },
    /// The write phase of a Set or Delete, the write-back of a Get, the publication of an update. Answered when the replica
    /// durably holds this version or a newer one.
    LocalWrite {
        /// The key.
        key: Bytes,
        /// What to store.
        stamped: StampedValue,
    },
    /// The first phase of an update: promise to accept nothing under a lower ballot.
    Prepare {
        /// The key.
        key: Bytes,
        /// The ballot.
        ballot: Ballot,
        /// For which base; `None`: for whatever is the newest version there.
        base: Option<Box<Base>>,
        /// The newest version whose content the coordinator holds.
        have: Version,
    },
    /// The second phase of an update: accept a proposal.
    Accept {
        /// The key.
        key: Bytes,
        /// The ballot.
        ballot: Ballot,
        /// The base, which an acceptance contains (rule P7).
        base: Box<Base>,
        /// The proposal.
        proposal: Box<Proposal>,
    },
    /// A part of a sync, given to the own replica alone: what another replica has accepted, and the base of it (rule C3). Answered
    /// when this or something newer is durable here.
    Adopt {
        /// The key.
        key: Bytes,
        /// The base, which is the newest version there.
        base: Box<StampedValue>,
        /// What was accepted for it.
        acceptance: Box<Acceptance>,
    },
}

impl Request {
    /// The key it is about.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::LocalRead { key, .. }
            | Self::LocalReadTimestamp { key }
            | Self::LocalWrite { key, .. }
            | Self::Prepare { key, .. }
            | Self::Accept { key, .. }
            | Self::Adopt { key, .. } => key,
        }
    }

    /// Bytes of its key and its values.
    pub fn bytes(&self) -> usize {
        let of_base = |base: &Base| match base {
            Base::Named(_) => 0,
            Base::Whole(stamped) => stamped.content.len(),
        };
        let values = match self {
            Self::LocalWrite { stamped, .. } => stamped.content.len(),
            Self::LocalRead { .. } | Self::LocalReadTimestamp { .. } => 0,
            Self::Prepare { base, .. } => base.as_deref().map_or(0, of_base),
            Self::Accept { base, proposal, .. } => of_base(base) + proposal.content.len(),
            Self::Adopt { base, acceptance, .. } => base.content.len() + acceptance.proposal.content.len(),
        };
        self.key().len() + values
    }

    /// Whether it asks for what is stored and changes nothing.
    pub fn is_read(&self) -> bool {
        matches!(self, Self::LocalRead { .. } | Self::LocalReadTimestamp { .. })
    }

    /// Whether it may be thrown away once its phase is over. A write is worth delivering even then: a replica that
    /// missed it turns later Gets into two round trips (PROTOCOL 3.8).
    pub fn ends_with_its_phase(&self) -> bool {
        !matches!(self, Self::LocalWrite { .. })
    }

    /// The newest version in it that the replica is to store.
    pub fn newest_version(&self) -> Option<Version> {
        match self {
            Self::LocalWrite { stamped, .. } => Some(stamped.version),
            Self::Prepare { base, .. } => base.as_deref().map(Base::version),
            Self::Accept { base, .. } => Some(base.version()),
            Self::Adopt { base, .. } => Some(base.version),
            Self::LocalRead { .. } | Self::LocalReadTimestamp { .. } => None,
        }
    }
}

/// A replica's answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// To `LocalRead`: the newest version. Its content is there unless the request's `have` is not below it; whether it would
    /// survive a power cut now is [`Glimpse::durable`] (rule S2).
    Read(Glimpse),
    /// To `LocalReadTimestamp`.
    Timestamp {
        /// The newest version.
        version: Version,
        /// Whether that version is a value, not a tombstone.
        present: bool,
        /// Whether this replica accepts values now; a full disk says no *before* anything was written.
        writable: bool,
    },
    /// To `LocalWrite`: this version or a newer one is durable here.
    Written {
        /// The newest version before, and whether it was a value, if the replica happens to know.
        previous: Option<(Version, bool)>,
    },
    /// To `Prepare`: nothing below the ballot will be accepted for this base.
    Promise(Box<Promise>),
    /// To `Prepare` or `Accept`: a higher ballot was promised.
    Nack {
        /// The higher one.
        promised: Ballot,
        /// The newest version; its content as in [`Reply::Read`].
        newest: Box<Glimpse>,
    },
    /// To `Prepare` or `Accept`: there is a version above the base, so this replica takes no part in the instance, for ever
    /// (rule P2').
    Closed(Box<Closed>),
    /// To `Accept`: the proposal is accepted, and its base held, durably.
    Accepted,
    /// To `Prepare` or `Accept`: the base was named, and is not here.
    NeedBase,
    /// The request belongs to an older configuration (rule C1). Nothing was done.
    Stale {
        /// The one in force, encoded.
        configuration: Bytes,
    },
    /// Nothing was done.
    Refused(Refusal),
}

/// A promise.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Promise {
    /// The base: the newest version here. Its content as in [`Reply::Read`].
    pub newest: Glimpse,
    /// What was accepted for it, if anything.
    pub accepted: Option<Acceptance>,
    /// Whether this replica takes values now: a full disk says no before anything is accepted.
    pub writable: bool,
    /// Which run of the replica says this.
    pub boot: u32,
}

/// What a replica says that is closed at a base.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Closed {
    /// The newest version; its content as in [`Reply::Read`].
    pub newest: Glimpse,
    /// Which run of the replica says this.
    pub boot: u32,
    /// What it has accepted for the base that it was asked about.
    pub accepted: AcceptedThere,
    /// The update that has made the successor of that base, if it is known.
    pub winner: Option<UpdateId>,
    /// Who was told of what it has accepted there, in this run.
    pub told: Told,
}

/// Why a replica did nothing. None of them says anything about what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Rule M1: a new data directory votes only after every member has confirmed it.
    #[error("its data directory is new and not yet confirmed by every member")]
    NotAdmitted,
    /// The disk is full; it recovers by itself when there is room.
    #[error("its disk is full")]
    DiskFull,
    /// The version lies too far in the future of the replica's clock.
    #[error("the version is further in the future than its clock allows")]
    FutureVersion,
    /// Too much waits for its disk.
    #[error("too much waits for its disk")]
    Overloaded,
    /// The message is larger than it takes.
    #[error("it takes no value as large as this; see --max-value-bytes")]
    TooLarge,
    /// Another update of the key has not reached its disk yet.
    #[error("another update of the key waits for its disk")]
    Busy,
    /// The request belongs to a configuration that it does not know.
    #[error("it belongs to another configuration of the cluster")]
    OtherConfiguration,
    /// Its store could not be read.
    #[error("its store failed")]
    StoreFailed,
    /// Rule S3: a part of its store is damaged, and a version of this key may have been in it. Other keys are served.
    #[error("its copy of this key is damaged")]
    Damaged,
}
