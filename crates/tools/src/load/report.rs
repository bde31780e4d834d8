//! The figures of a measurement, as they are printed with `--json`.

use super::histogram::Histogram;
use super::plan::Plan;
use super::recorder::Recorder;
use super::timeline::SLOT;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// The shares whose latencies make up [`KindReport::distribution`]: finer towards the tail, where it matters.
const SHARES: [f64; 23] = [
    0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995,
    0.999, 0.9995, 0.9999, 1.0,
];

/// One measurement. Times are in the unit that the name ends with; latencies are from the sending of a batch to the
/// arrival of the operation's answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was asked: `register`, `incr`, `setnx`, `lock` or `append`.
    #[serde(default)]
    pub workload: String,
    /// How many clients.
    pub clients: usize,
    /// Connections that they shared; as many as clients when each had its own.
    #[serde(default)]
    pub connections: usize,
    /// Requests in a batch.
    pub pipeline: usize,
    /// Bytes of every value.
    pub value_size: usize,
    /// Different keys; 1 for a hot key.
    pub keys: u64,
    /// Reads in a hundred requests.
    pub read_percent: u32,
    /// How long it was measured.
    pub seconds: f64,
    /// Completed operations.
    pub operations: u64,
    /// Completed operations per second.
    pub rate: f64,
    /// Latencies of the reads.
    pub reads: KindReport,
    /// Latencies of the writes.
    pub writes: KindReport,
    /// Latencies of the updates.
    #[serde(default)]
    pub updates: KindReport,
    /// Reads that found no value.
    pub misses: u64,
    /// `SET NX` that took the key: locks that were acquired.
    #[serde(default)]
    pub taken: u64,
    /// `SET NX` that found the key present.
    #[serde(default)]
    pub refused: u64,
    /// Operations that were not completed.
    pub errors: Errors,
    /// How evenly the clients were served.
    pub fairness: Fairness,
    /// The longest time in which no operation was completed.
    pub longest_gap_ms: f64,
    /// When that time began, from the beginning of the measurement.
    pub longest_gap_at_ms: f64,
    /// The width of an entry of the timeline.
    pub timeline_slot_ms: u64,
    /// Completed operations in each slot.
    pub timeline: Vec<u64>,
    /// Processor time that the load generator itself took for an operation: it shares the machine with the nodes.
    pub generator_cpu_us_per_operation: f64,
}

/// The latencies of one kind of operation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KindReport {
    /// How many were completed.
    pub operations: u64,
    /// Average latency.
    pub mean_us: f64,
    /// Half of them took at most this long.
    pub p50_us: f64,
    /// Nine in ten.
    pub p90_us: f64,
    /// 99 in a hundred.
    pub p99_us: f64,
    /// 999 in a thousand.
    pub p999_us: f64,
    /// The slowest.
    pub max_us: f64,
    /// Pairs of a share (0 to 1) and the latency in microseconds that this share did not exceed.
    pub distribution: Vec<(f64, f64)>,
}

/// Operations that were not completed, by what the client saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errors {
    /// Refused, certainly without effect.
    pub noquorum: u64,
    /// May or may not take effect.
    pub indeterminate: u64,
    /// Any other error answer.
    pub err: u64,
    /// Broken connections and failed attempts to connect.
    pub connection: u64,
    /// Batches without an answer in time.
    pub timeout: u64,
}

impl Errors {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.noquorum + self.indeterminate + self.err + self.connection + self.timeout
    }
}

/// Completed operations of the clients; where they want locks, the locks that they got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fairness {
    /// Of the client with the fewest.
    pub min: u64,
    /// On average.
    pub mean: f64,
    /// Of the client with the most.
    pub max: u64,
}

impl Fairness {
    /// The slowest client's share of what the fastest one did, 0 to 1.
    pub fn slowest_of_fastest(&self) -> f64 {
        if self.max == 0 { 0.0 } else { self.min as f64 / self.max as f64 }
    }
}

impl KindReport {
    /// The figures of a histogram.
    fn of(histogram: &Histogram) -> Self {
        let us = |duration: Duration| duration.as_nanos() as f64 / 1e3;
        let at = |share| us(histogram.quantile(share));
        Self {
            operations: histogram.total,
            mean_us: us(histogram.mean()),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: us(histogram.max()),
            distribution: match histogram.total {
                0 => Vec::new(),
                _ => SHARES.iter().map(|share| (*share, at(*share))).collect(),
            },
        }
    }
}

impl Recorder {
    /// Ends the measurement. `cpu` is the processor time that this process took for it.
    pub(super) fn end(mut self, plan: &Plan, now: Instant, cpu: Duration) -> Report {
        self.timeline.end(now);
        let seconds = (now - self.began).as_secs_f64();
        let operations = self.operations();
        let each = |total: f64| if operations == 0 { 0.0 } else { total / operations as f64 };
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        Report {
            workload: plan.workload.mix.name().to_owned(),
            clients: plan.clients,
            connections: plan.connections.unwrap_or(plan.clients),
            pipeline: plan.pipeline,
            value_size: plan.workload.value_size,
            keys: if plan.workload.hot { 1 } else { plan.workload.keys },
            read_percent: plan.workload.mix.reads(),
            seconds,
            operations,
            rate: operations as f64 / seconds,
            reads: KindReport::of(&self.reads),
            writes: KindReport::of(&self.writes),
            updates: KindReport::of(&self.updates),
            misses: self.misses,
            taken: self.taken,
            refused: self.refused,
            errors: self.errors,
            fairness: Fairness {
                min: self.by_client.iter().copied().min().unwrap_or_default(),
                mean: self.by_client.iter().sum::<u64>() as f64 / plan.clients as f64,
                max: self.by_client.iter().copied().max().unwrap_or_default(),
            },
            longest_gap_ms: ms(self.timeline.gap),
            longest_gap_at_ms: ms(self.timeline.longest_gap_began()),
            timeline_slot_ms: u64::try_from(SLOT.as_millis()).unwrap_or(u64::MAX),
            timeline: self.timeline.slots,
            generator_cpu_us_per_operation: each(cpu.as_secs_f64() * 1e6),
        }
    }
}
