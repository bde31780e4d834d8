//! How long requests take.

use crate::resp::{CommandPlace, Counts, SlowRequests};
use abd::{Instant, Operation};
use bytes::Bytes;
use core::time::Duration;
use smallvec::SmallVec;

/// A request that is carried out.
pub(super) struct Timed {
    command: CommandPlace,
    /// The keys that it is about, as many as would be told, and how many there are.
    keys: SmallVec<[Bytes; 1]>,
    count: usize,
    begun: Instant,
}

/// A request that took long.
pub(super) struct Took {
    pub(super) command: CommandPlace,
    pub(super) keys: SmallVec<[Bytes; 1]>,
    pub(super) count: usize,
    pub(super) time: Duration,
}

impl Timed {
    pub(super) fn begin(command: CommandPlace, operations: &[Operation], begun: Instant) -> Self {
        // What is in flight holds them anyway.
        let keys = operations.iter().take(SlowRequests::WORDS_MAX).map(|operation| operation.key().clone());
        Self { command, keys: keys.collect(), count: operations.len(), begun }
    }

    /// It has ended and is counted. What is to be told of it, if that is anything.
    pub(super) fn end(self, now: Instant, counts: &Counts, threshold: Duration) -> Option<Took> {
        let Self { command, keys, count, begun } = self;
        let time = now.since(begun);
        counts.took(command, time);
        (time >= threshold).then_some(Took { command, keys, count, time })
    }
}
