//! What is counted while a node serves. Each event loop counts for itself, so that they do not take the counters from each
//! other; whoever asks adds them up.

use ::node::resp::{Counts, SlowRequests};
use ::node::shard::OperationKind;
use abd::{Content, Outcome};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The time that a rate is told of.
const RATE_OVER: Duration = Duration::from_secs(1);

/// The counters of one event loop, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct LoopStats {
    pub(crate) requests: Counts,
    pub(crate) reads: AtomicU64,
    /// Of the reads, those that found a value.
    pub(crate) hits: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) updates: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) indeterminate: AtomicU64,
    /// Of the two before, those that were updates.
    pub(crate) updates_refused: AtomicU64,
    pub(crate) updates_indeterminate: AtomicU64,
    /// Expiries that were proposed.
    pub(crate) expired: AtomicU64,
    /// What the sweeper has done: walks to the end of the store, keys that they have passed, keys that were due and were read, or could
    /// not be.
    pub(crate) sweeps: AtomicU64,
    pub(crate) sweep_keys: AtomicU64,
    pub(crate) swept: AtomicU64,
    pub(crate) sweep_failures: AtomicU64,
    /// Bytes from clients and to them.
    pub(crate) input_bytes: AtomicU64,
    pub(crate) output_bytes: AtomicU64,
}

impl LoopStats {
    pub(crate) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn count_outcome(&self, kind: OperationKind, outcome: &Outcome) {
        let is_update = usize::from(kind == OperationKind::Update);
        let counter = match outcome {
            Outcome::Read(stamped) => {
                if matches!(stamped.content, Content::Value(_)) {
                    Self::add(&self.hits, 1);
                }
                &self.reads
            }
            Outcome::Written { .. } => &self.writes,
            Outcome::Updated { .. } => &self.updates,
            Outcome::Refused(_) => {
                Self::add(&self.updates_refused, is_update);
                &self.refused
            }
            Outcome::Indeterminate(_) => {
                Self::add(&self.updates_indeterminate, is_update);
                &self.indeterminate
            }
        };
        Self::add(counter, 1);
    }
}

/// What happened in the last second.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    pub(crate) commands: AtomicU64,
    pub(crate) input_bytes: AtomicU64,
    pub(crate) output_bytes: AtomicU64,
}

/// The requests that took long, and in nanoseconds the threshold from which on they are told.
#[derive(Debug)]
pub(crate) struct Slow {
    threshold: AtomicU64,
    requests: Mutex<SlowRequests>,
}

impl Default for Slow {
    fn default() -> Self {
        let requests = SlowRequests::default();
        Self { threshold: AtomicU64::new(nanoseconds(requests.threshold())), requests: Mutex::new(requests) }
    }
}

impl Slow {
    pub(crate) fn look(&self, look: &mut dyn FnMut(&mut SlowRequests)) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        look(&mut requests);
        self.threshold.store(nanoseconds(requests.threshold()), Ordering::Relaxed);
    }

    pub(crate) fn threshold(&self) -> Duration {
        Duration::from_nanos(self.threshold.load(Ordering::Relaxed))
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What a node counts.
#[derive(Debug)]
pub(crate) struct Stats {
    pub(crate) loops: Box<[LoopStats]>,
    pub(crate) rates: Rates,
    pub(crate) slow: Slow,
}

impl Stats {
    /// Of so many event loops.
    pub(crate) fn new(loops: usize) -> Self {
        Self {
            loops: (0..loops).map(|_| LoopStats::default()).collect(),
            rates: Rates::default(),
            slow: Slow::default(),
        }
    }

    /// A counter of all event loops together.
    pub(crate) fn total(&self, of: fn(&LoopStats) -> &AtomicU64) -> u64 {
        self.loops.iter().map(|stats| of(stats).load(Ordering::Relaxed)).sum()
    }

    /// Commands that clients have called.
    pub(crate) fn commands(&self) -> u64 {
        self.loops.iter().map(|stats| stats.requests.calls()).sum()
    }
}

/// Looks at the counters once a second.
pub(crate) async fn keep_rates(stats: Arc<Stats>) {
    let now = |all: &Stats| {
        let bytes = [all.total(|stats| &stats.input_bytes), all.total(|stats| &stats.output_bytes)];
        ([all.commands(), bytes[0], bytes[1]], std::time::Instant::now())
    };
    let mut last = now(&stats);
    loop {
        tokio::time::sleep(RATE_OVER).await;
        let (totals, at) = now(&stats);
        let milliseconds = u64::try_from((at - last.1).as_millis()).unwrap_or(u64::MAX).max(1);
        let rates = [&stats.rates.commands, &stats.rates.input_bytes, &stats.rates.output_bytes];
        for ((rate, total), before) in rates.into_iter().zip(totals).zip(last.0) {
            rate.store((total - before).saturating_mul(1000) / milliseconds, Ordering::Relaxed);
        }
        last = (totals, at);
    }
}
