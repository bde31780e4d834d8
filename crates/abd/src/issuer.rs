//! One process, one counter: no time is issued twice (rules V1 and T2), and no round of a ballot (rule P1).
//!
//! `latest` of an interval clock is an upper bound, not a counter: it may repeat. And two Sets of one coordinator may
//! both have seen the same maximum. Without `last_issued` either would give two values one timestamp.

use crate::ballot::{Ballot, ROUND_CEILING};
use crate::version::{NodeId, TIME_CEILING, Timestamp};
use core::hash::{Hash, Hasher};
use core::sync::atomic::{AtomicU64, Ordering};

/// Issues timestamps and ballots of one incarnation of one node. Shared by all event loops of the process.
#[derive(Debug)]
pub struct TimestampIssuer {
    node: NodeId,
    boot: u32,
    last_issued: AtomicU64,
    last_round: AtomicU64,
}

/// The next time would exceed [`TIME_CEILING`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the time counter has reached its ceiling of 2^63-1; no further write can be ordered after what is stored"
)]
pub struct CeilingReached;

impl TimestampIssuer {
    /// For incarnation `boot` of `node`. `boot` must be durable before the first timestamp is issued.
    pub fn new(node: NodeId, boot: u32) -> Self {
        assert!(node.0 > 0 && boot > 0, "node ids and boot counts start at 1");
        Self { node, boot, last_issued: AtomicU64::new(0), last_round: AtomicU64::new(0) }
    }

    /// A timestamp of at least `wanted`, larger than every one issued before.
    ///
    /// # Errors
    /// [`CeilingReached`]; nothing was issued.
    pub fn issue(&self, wanted: u64) -> Result<Timestamp, CeilingReached> {
        let mut last = self.last_issued.load(Ordering::Relaxed);
        loop {
            let time = wanted.max(last.saturating_add(1));
            if time > TIME_CEILING {
                return Err(CeilingReached);
            }
            match self.last_issued.compare_exchange_weak(last, time, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(Timestamp { time, node: self.node.0, boot: self.boot }),
                Err(newer) => last = newer,
            }
        }
    }

    /// A ballot of a round of at least `wanted`, above every one issued or observed before: no two of this process are the same.
    /// `None` when the rounds are used up.
    pub fn issue_ballot(&self, epoch: u32, wanted: u64) -> Option<Ballot> {
        let next = |last: u64| Some((last + 1).max(wanted)).filter(|round| *round <= ROUND_CEILING);
        let last = self.last_round.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        let round = next(last)?;
        Some(Ballot { epoch, round, node: self.node.0, boot: self.boot })
    }

    /// Ballots up to this round are of no use any more: somebody has promised more.
    pub fn observe_round(&self, round: u64) {
        self.last_round.fetch_max(round, Ordering::Relaxed);
    }

    /// The incarnation that this issues for.
    pub fn boot(&self) -> u32 {
        self.boot
    }

    /// The largest time issued so far; zero before the first.
    pub fn last_issued(&self) -> u64 {
        self.last_issued.load(Ordering::Relaxed)
    }
}

impl TimestampIssuer {
    fn state(&self) -> (NodeId, u32, u64, u64) {
        (self.node, self.boot, self.last_issued(), self.last_round.load(Ordering::Relaxed))
    }
}

// The exhaustive search copies and compares whole worlds, so an issuer is a value too.
impl Clone for TimestampIssuer {
    fn clone(&self) -> Self {
        let last_round = self.last_round.load(Ordering::Relaxed);
        Self {
            node: self.node,
            boot: self.boot,
            last_issued: AtomicU64::new(self.last_issued()),
            last_round: AtomicU64::new(last_round),
        }
    }
}

impl PartialEq for TimestampIssuer {
    fn eq(&self, other: &Self) -> bool {
        self.state() == other.state()
    }
}

impl Eq for TimestampIssuer {}

impl Hash for TimestampIssuer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.state().hash(state);
    }
}
