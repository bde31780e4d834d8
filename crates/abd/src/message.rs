//! What coordinators ask of replicas, and what replicas answer.

use crate::value::{Content, StampedValue};
use crate::version::Version;
use bytes::Bytes;
use core::fmt;

/// One phase of one operation: replies carry it back, so that a reply of an earlier phase is never counted in a later
/// one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    /// The operation, unique within one coordinator.
    pub operation: u64,
    /// Its phase, counted from zero.
    pub phase: u8,
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
    /// The write phase of a Set or Delete, or the write-back of a Get. Answered when the replica durably holds this
    /// version or a newer one.
    LocalWrite {
        /// The key.
        key: Bytes,
        /// What to store.
        stamped: StampedValue,
    },
}

impl Request {
    /// The key it is about.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::LocalRead { key, .. } | Self::LocalReadTimestamp { key } | Self::LocalWrite { key, .. } => {
                key
            }
        }
    }

    /// Bytes of its key and its value.
    pub fn bytes(&self) -> usize {
        let value = match self {
            Self::LocalWrite { stamped, .. } => stamped.content.len(),
            Self::LocalRead { .. } | Self::LocalReadTimestamp { .. } => 0,
        };
        self.key().len() + value
    }

    /// Whether it may be thrown away once its phase is over. A write is worth delivering even then: a replica that
    /// missed it turns later Gets into two round trips (PROTOCOL 3.8).
    pub fn is_read(&self) -> bool {
        !matches!(self, Self::LocalWrite { .. })
    }
}

/// A replica's answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// To `LocalRead`.
    Read {
        /// The newest version.
        version: Version,
        /// Its content, unless the request's `have` is not below `version`.
        content: Option<Content>,
        /// Whether it would survive a power cut now (rule S2).
        durable: bool,
    },
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
    /// Nothing was done.
    Refused(Refusal),
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
    /// Its store could not be read.
    #[error("its store failed")]
    StoreFailed,
    /// Rule S3: a part of its store is damaged, and a version of this key may have been in it. Other keys are served.
    #[error("its copy of this key is damaged")]
    Damaged,
}
