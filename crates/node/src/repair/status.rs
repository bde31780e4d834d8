//! How a peer stands, as far as this node knows.

use crate::sync::Moved;
use abd::Instant;
use core::time::Duration;

/// What was done for one peer since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Versions that the peer has acknowledged.
    pub sent: u64,
    /// Versions that came from the peer.
    pub fetched: u64,
    /// Ranges of a few keys that differed.
    pub differing: u64,
}

/// The last time that everything was compared with a peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    pub(super) number: u64,
    pub(super) moved: Moved,
    pub(super) at: Instant,
}

/// How a peer stands, as far as this node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Keys on its list.
    pub keys: usize,
    /// While a comparison is wanted: keys compared so far.
    pub compared: Option<u64>,
    /// How long ago the oldest write was that the peer may still lack.
    pub behind_for: Option<Duration>,
    /// What was done.
    pub counts: Counts,
}
