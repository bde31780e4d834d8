//! What is asked of the cluster, and by how many.

use std::time::Duration;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOrWrite {
    /// Reads a key.
    Read,
    /// Gives a key a new value.
    Write,
}

/// One request. Its key is a number; a link makes bytes of it with [`Workload::key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadRequest {
    /// Read or write.
    pub kind: ReadOrWrite,
    /// Which key, below [`Workload::keys`].
    pub key: u64,
}

/// Which requests are made.
#[derive(Clone, Debug)]
pub struct Workload {
    /// How many different keys there are.
    pub keys: u64,
    /// The length of every value, in bytes.
    pub value_size: usize,
    /// Reads in a hundred requests.
    pub reads: u32,
    /// Every request goes to the first key.
    pub hot: bool,
}

impl Workload {
    /// Bytes in every key.
    pub const KEY_BYTES: usize = 16;

    /// A key's bytes: all keys are of one length, so that a link can write one over another.
    pub fn key(number: u64) -> [u8; Self::KEY_BYTES] {
        let mut key = *b"bench:0000000000";
        let mut left = number;
        for digit in key[6..].iter_mut().rev() {
            *digit = b"0123456789"[usize::try_from(left % 10).unwrap_or_default()];
            left /= 10;
        }
        key
    }

    /// A value of [`Workload::value_size`] bytes that no compression makes small.
    pub fn value(&self, seed: u64) -> Vec<u8> {
        let mut random = Random::new(seed);
        std::iter::repeat_with(|| random.draw().to_be_bytes()).flatten().take(self.value_size).collect()
    }

    /// Draws the next request.
    pub fn draw(&self, random: &mut Random) -> LoadRequest {
        let kind =
            if random.below(100) < u64::from(self.reads) { ReadOrWrite::Read } else { ReadOrWrite::Write };
        let key = if self.hot { 0 } else { random.below(self.keys) };
        LoadRequest { kind, key }
    }
}

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
    /// Whether every key gets a value first, so that reads find one.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_one_length_and_differ() {
        assert_eq!(&Workload::key(0), b"bench:0000000000");
        assert_eq!(&Workload::key(1_234_567), b"bench:0001234567");
    }

    #[test]
    fn requests_follow_the_mix() {
        let mut workload = Workload { keys: 50, value_size: 7, reads: 25, hot: false };
        let mut random = Random::new(1);
        let drawn: Vec<LoadRequest> = (0..10_000).map(|_| workload.draw(&mut random)).collect();
        let reads = drawn.iter().filter(|request| request.kind == ReadOrWrite::Read).count();
        assert!((2300..2700).contains(&reads), "{reads} reads in 10,000 at 25 %");
        for key in 0..50 {
            let count = drawn.iter().filter(|request| request.key == key).count();
            assert!((100..300).contains(&count), "key {key} drawn {count} times, 200 expected");
        }
        workload.hot = true;
        assert!((0..100).all(|_| workload.draw(&mut random).key == 0));
        assert_eq!(workload.value(3).len(), 7);
        assert_ne!(workload.value(3), workload.value(4));
    }
}
