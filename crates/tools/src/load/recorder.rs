//! What happened while it is measured.

use super::histogram::Histogram;
use super::plan::Plan;
use super::report::Errors;
use super::run::LoadAnswer;
use super::timeline::Timeline;
use super::workload::{Kind, Mix, Verb};
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
    pub(super) updates: Histogram,
    /// Reads that found no value; they are completed operations too, as are the next two.
    pub(super) misses: u64,
    /// `SET NX` that took the key.
    pub(super) taken: u64,
    /// `SET NX` that found the key present.
    pub(super) refused: u64,
    pub(super) timeline: Timeline,
    pub(super) errors: Errors,
    /// Completed operations of each client; of a client that wants locks, the locks that it got.
    pub(super) by_client: Vec<u64>,
    mix: Mix,
}

impl Recorder {
    /// Begins a measurement.
    pub(super) fn begin(plan: &Plan, now: Instant) -> Self {
        Self {
            began: now,
            reads: Histogram::default(),
            writes: Histogram::default(),
            updates: Histogram::default(),
            misses: 0,
            taken: 0,
            refused: 0,
            timeline: Timeline::begin(now),
            errors: Errors::default(),
            by_client: vec![0; plan.clients],
            mix: plan.workload.mix,
        }
    }

    /// Counts an answer that came at `now`.
    pub(super) fn count(
        &mut self,
        client: usize,
        verb: Verb,
        answer: LoadAnswer,
        took: Duration,
        now: Instant,
    ) {
        match (verb, answer) {
            (_, LoadAnswer::Failed(failure)) => return self.fail(failure),
            (Verb::Get, LoadAnswer::Nothing) => self.misses += 1,
            (Verb::SetIfAbsent, LoadAnswer::Nothing) => self.refused += 1,
            (Verb::SetIfAbsent, LoadAnswer::Done) => self.taken += 1,
            (_, LoadAnswer::Done | LoadAnswer::Nothing) => {}
        }
        match verb.kind() {
            Kind::Read => self.reads.record(took),
            Kind::Write => self.writes.record(took),
            Kind::Update => self.updates.record(took),
        }
        self.timeline.complete(now);
        if self.mix != Mix::Lock || (verb, answer) == (Verb::SetIfAbsent, LoadAnswer::Done) {
            self.by_client[client] += 1;
        }
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
        self.reads.total + self.writes.total + self.updates.total
    }
}
