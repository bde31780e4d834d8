//! How long a fold waits before its next attempt, when another one was in its way.
//!
//! A pause is drawn from a window that doubles with each attempt, so that those who are in each other's way part. After enough
//! attempts it stays as long as it gets, until the deadline.

use crate::ballot::Ballot;
use crate::time::Instant;
use core::time::Duration;

/// It doubles so often.
const DOUBLINGS: u32 = 5;
/// After so many attempts it is not drawn any more: the pause is as long as the window.
const ATTEMPTS: u32 = 64;

/// What is known of how long attempts take.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Pauses {
    /// The window begins with this, or with what an attempt takes.
    least: Duration,
    /// A round trip with a sync, smoothed.
    smoothed: Duration,
    /// A fold from its first question to its end, smoothed.
    fold: Duration,
}

impl Pauses {
    pub(in super::super) fn new(least: Duration) -> Self {
        Self { least, smoothed: Duration::ZERO, fold: Duration::ZERO }
    }

    /// A proposal was accepted by a majority, and when it was sent.
    pub(super) fn accepted(&mut self, since: Instant, now: Instant) {
        self.smoothed = (self.smoothed * 7 + now.since(since)) / 8;
    }

    /// A fold has had its way at the first attempt, and when that began.
    pub(super) fn folded(&mut self, since: Instant, now: Instant) {
        self.fold = (self.fold * 7 + now.since(since)) / 8;
    }

    /// What a fold takes with nobody in its way.
    pub(super) fn fold(&self) -> Duration {
        if self.least.is_zero() { Duration::ZERO } else { self.fold.max(self.least) }
    }

    /// How long to wait before attempt number `attempts`, counted from one, after the failure of this ballot.
    pub(super) fn before(&self, attempts: u32, failed: Ballot) -> Duration {
        let window = self.smoothed.max(self.least) * (1 << attempts.saturating_sub(1).min(DOUBLINGS));
        if attempts > ATTEMPTS {
            return window;
        }
        // Ballots are unique, so what is drawn from them is a different pause for each proposer.
        let drawn = u64::from(crc32fast::hash(&failed.to_bytes()));
        let window = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        // Of the window, so many parts of 2^32.
        Duration::from_nanos((window >> 16) * (drawn >> 16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_millis(1);

    #[test]
    fn pauses_grow_differ_and_end_at_the_longest() {
        let mut pauses = Pauses::new(LEAST);
        let ballot = |round, node| Ballot { epoch: 1, round, node, boot: 1 };
        for attempts in 1..=ATTEMPTS {
            let window = LEAST * (1 << (attempts - 1).min(DOUBLINGS));
            let drawn = (1..=3).map(|node| pauses.before(attempts, ballot(u64::from(attempts), node)));
            let drawn: alloc::vec::Vec<Duration> = drawn.collect();
            assert!(drawn.iter().all(|pause| *pause <= window), "{attempts}: {drawn:?}");
            assert!(drawn[0] != drawn[1] && drawn[1] != drawn[2], "{attempts}: {drawn:?}");
        }
        assert_eq!(pauses.before(ATTEMPTS + 1, ballot(9, 1)), LEAST * 32);
        for _ in 0..100 {
            pauses.accepted(Instant(0), Instant(0) + Duration::from_millis(16));
        }
        assert!(pauses.before(ATTEMPTS + 1, ballot(9, 1)) > LEAST * 32 * 15);
    }
}
