//! A generator of random numbers small enough to read, and histories drawn from it.

use crate::history::{Action, Operation};

/// SplitMix64 (Steele, Lea and Flood 2014): one addition and a mixer, the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Which operations a random history may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mix {
    /// Reads and writes of values never written twice, no deletes.
    Distinct,
    /// Reads, writes of few values, deletes.
    Register,
    /// Reads, writes and compare-and-set of few values.
    Cas,
    /// Reads, writes, appends, deletes.
    Kv,
}

/// A history of one key with up to seven operations. Times are few, so that many are equal.
pub(crate) fn history(random: &mut Random, mix: Mix) -> Vec<Operation> {
    let count = 1 + random.below(7);
    let span = 2 + random.below(14);
    (0..count)
        .map(|i| {
            let invoke = random.below(span);
            let ret = invoke + random.below(1 + span / 2);
            let action = action(random, mix, i, count);
            Operation {
                client: i,
                key: b"k".to_vec(),
                action,
                invoke,
                ret: (!random.one_in(6)).then_some(ret),
            }
        })
        .collect()
}

fn action(random: &mut Random, mix: Mix, i: u64, count: u64) -> Action {
    let name = |n: u64| n.to_string().into_bytes();
    let few = |random: &mut Random| name(random.below(3));
    match mix {
        Mix::Distinct if random.one_in(2) => Action::Write(name(i)),
        // A value of an operation that turns out to be a read was never written.
        Mix::Distinct if random.one_in(4) => Action::Read(None),
        Mix::Distinct => Action::Read(Some(name(random.below(count)))),
        Mix::Register => match random.below(6) {
            0 | 1 => Action::Write(few(random)),
            2 => Action::Delete,
            3 => Action::Read(None),
            _ => Action::Read(Some(few(random))),
        },
        Mix::Cas => match random.below(6) {
            0 => Action::Write(few(random)),
            1 => Action::Read(Some(few(random))),
            2 => Action::Cas { from: None, to: few(random), applied: !random.one_in(3) },
            _ => Action::Cas { from: Some(few(random)), to: few(random), applied: !random.one_in(3) },
        },
        Mix::Kv => match random.below(8) {
            0 => Action::Write(few(random)),
            6 if random.one_in(2) => Action::Delete,
            6 => Action::Read(None),
            1 | 2 => Action::Append(few(random)),
            3 => Action::Read(Some(few(random))),
            4 => Action::Read(Some(Vec::new())),
            _ => Action::Read(Some([few(random), few(random)].concat())),
        },
    }
}
