//! What happened while it is measured.

use super::histogram::Histogram;
use super::plan::{Plan, ReadOrWrite};
use super::report::Errors;
use super::timeline::Timeline;
use std::time::{Duration, Instant};

/// Why an operation was not completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// `NOQUORUM`: certainly no effect.
    NoQuorum,
    /// `INDETERMINATE`: may or may not take effect.
    Indeterminate,
    /// Any other error answer.
    Error,
    /// The connection broke or could not be opened.
    Connection,
    /// No answer within [`Plan::patience`].
    Timeout,
}

/// Collects one measurement.
pub(super) struct Recorder {
    pub(super) began: Instant,
    pub(super) reads: Histogram,
    pub(super) writes: Histogram,
    /// Reads that found no value; they are completed operations too.
    pub(super) misses: u64,
    pub(super) timeline: Timeline,
    pub(super) errors: Errors,
    pub(super) by_client: Vec<u64>,
}

impl Recorder {
    /// Begins a measurement.
    pub(super) fn begin(plan: &Plan, now: Instant) -> Self {
        Self {
            began: now,
            reads: Histogram::default(),
            writes: Histogram::default(),
            misses: 0,
            timeline: Timeline::begin(now),
            errors: Errors::default(),
            by_client: vec![0; plan.clients],
        }
    }

    /// Counts a completed operation.
    pub(super) fn complete(&mut self, client: usize, kind: ReadOrWrite, took: Duration, now: Instant) {
        match kind {
            ReadOrWrite::Read => self.reads.record(took),
            ReadOrWrite::Write => self.writes.record(took),
        }
        self.timeline.complete(now);
        self.by_client[client] += 1;
    }

    /// Counts a failed operation.
    pub(super) fn fail(&mut self, failure: Failure) {
        *match failure {
            Failure::NoQuorum => &mut self.errors.noquorum,
            Failure::Indeterminate => &mut self.errors.indeterminate,
            Failure::Error => &mut self.errors.err,
            Failure::Connection => &mut self.errors.connection,
            Failure::Timeout => &mut self.errors.timeout,
        } += 1;
    }

    /// Completed operations so far.
    pub(super) fn operations(&self) -> u64 {
        self.reads.total + self.writes.total
    }
}
