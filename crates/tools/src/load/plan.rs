//! What is asked of the cluster, and by how many.

use super::workload::Workload;
use std::time::Duration;

/// A measurement: a workload, by how many clients, for how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which requests.
    pub workload: Workload,
    /// How many clients, each with one batch in flight.
    pub clients: usize,
    /// Connections that the clients share; `None`: each has its own.
    pub connections: Option<usize>,
    /// Requests that a client sends at once, before it waits for all their answers.
    pub pipeline: usize,
    /// How long the load runs before anything is counted.
    pub warm_up: Duration,
    /// How long it is measured.
    pub measured: Duration,
    /// The measurement ends early after so many operations.
    pub operations: Option<u64>,
    /// Whether every key gets a value first, so that reads find one. Locks begin absent all the same.
    pub prefill: bool,
    /// How long an answer may take before the client counts a timeout and goes to another node.
    pub patience: Duration,
}

/// Marsaglia's xorshift64* generator: cheap, and the same requests in every run.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator; neighbouring seeds give unrelated sequences.
    pub fn new(seed: u64) -> Self {
        // A step of SplitMix64, which spreads small seeds over all bits. The state must not be zero.
        let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((mixed ^ (mixed >> 31)) | 1)
    }

    /// Any number.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`, which is not zero. The bias of at most `limit` in 2^64 does not matter here.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit
    }
}
