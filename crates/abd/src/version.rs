//! Timestamps and versions: the total order on everything that was ever written (rule V1).
//!
//! Why `(time, node)` is not enough: node 1 picks `(6, n1)` for `x`, reaches one replica and crashes. Restarted, it
//! asks the other two, sees 5 and picks `(6, n1)` again, now for `y`. Two values under one timestamp: a reader may
//! see `x`, then `y`, then `x`. So a timestamp also names the writer's *incarnation*, a counter in its data
//! directory that rises at every start, and one process never issues a time twice (see [`crate::issuer`]).

use core::fmt;

/// The largest time, in ticks, that a timestamp may carry. Above it a timestamp is rejected at decode, so that no
/// peer and no damaged disk can exhaust the counter.
pub const TIME_CEILING: u64 = (1 << 63) - 1;

/// Identity of a cluster member; assigned by configuration, starts at 1, never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// When and by whom a value was written; compared lexicographically. Globally unique (rule V1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// A counter (logical mode) or nanoseconds since the Unix epoch (TrueTime mode); at most [`TIME_CEILING`].
    pub time: u64,
    /// The coordinator that issued it.
    pub node: u32,
    /// That coordinator's incarnation.
    pub boot: u32,
}

/// A timestamp and the number of updates made on top of it (the carstamp of Burke, Cheng and Lloyd,
/// *Gryff*, NSDI 2020, section 3). The timestamp of [`Version::MIN`] may have updates, too: of a key that nobody had written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The write at the root.
    pub timestamp: Timestamp,
    /// How many updates away from that write.
    pub rmwc: u64,
}

/// Why bytes are not a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// The time exceeds [`TIME_CEILING`].
    #[error("time {0} is above the ceiling of 2^63-1; no correct node issues it")]
    AboveCeiling(u64),
    /// A writer with node 0, boot 0 or time 0: no writer can produce it.
    #[error("a version by node {node}, boot {boot} at time {time} was written by nobody")]
    NoWriter {
        /// Node field.
        node: u32,
        /// Boot field.
        boot: u32,
        /// Time field.
        time: u64,
    },
}

impl Version {
    /// "Never written": smaller than every version that a writer can produce.
    pub const MIN: Self = Self { timestamp: Timestamp { time: 0, node: 0, boot: 0 }, rmwc: 0 };

    /// Not below any version.
    pub const MAX: Self =
        Self { timestamp: Timestamp { time: u64::MAX, node: u32::MAX, boot: u32::MAX }, rmwc: u64::MAX };

    /// Encoded size in bytes.
    pub const LEN: usize = 24;

    /// The version of a plain write.
    pub const fn of_write(timestamp: Timestamp) -> Self {
        Self { timestamp, rmwc: 0 }
    }

    /// That of an update of this version (rule P1). `None` when the count is used up.
    pub fn successor(self) -> Option<Self> {
        Some(Self { rmwc: self.rmwc.checked_add(1)?, ..self })
    }

    /// Shorthand for `timestamp.time`.
    pub const fn time(&self) -> u64 {
        self.timestamp.time
    }

    /// Big-endian bytes, whose order is the order of versions.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.timestamp.time.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.timestamp.node.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.timestamp.boot.to_be_bytes());
        bytes[16..].copy_from_slice(&self.rmwc.to_be_bytes());
        bytes
    }

    /// The inverse of [`Version::to_bytes`].
    ///
    /// # Errors
    /// [`VersionError`] when no correct writer can have produced the bytes. [`Version::MIN`] is legal: it says "never
    /// written". So are the updates of a key that nobody had written.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Result<Self, VersionError> {
        let half = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let word = |at: usize| u64::from(half(at)) << 32 | u64::from(half(at + 4));
        let (time, node, boot, rmwc) = (word(0), half(8), half(12), word(16));
        let version = Self { timestamp: Timestamp { time, node, boot }, rmwc };
        if version.timestamp == Self::MIN.timestamp {
            return Ok(version);
        }
        if time > TIME_CEILING {
            return Err(VersionError::AboveCeiling(time));
        }
        if time == 0 || node == 0 || boot == 0 {
            return Err(VersionError::NoWriter { node, boot, time });
        }
        Ok(version)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@n{}.{}", self.time, self.node, self.boot)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.timestamp == Self::MIN.timestamp {
            true => f.write_str("never")?,
            false => write!(f, "{:?}", self.timestamp)?,
        }
        if self.rmwc > 0 {
            write!(f, "+{}", self.rmwc)?;
        }
        Ok(())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
