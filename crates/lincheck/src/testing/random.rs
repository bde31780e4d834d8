//! A generator of random numbers small enough to read, and histories drawn from it.

use crate::history::{Action, Operation};
use crate::testing::appends;
use crate::update::{Answer, Change, Condition, Update};

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

    /// A place in a list of this many.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("below a usize")
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
    /// Everything a register with updates serves, but for additions.
    Updates,
    /// Additions and their answers, reads, now and then a write or a delete.
    Counter,
    /// Appends of tokens with their answers, reads, sets, deletes: something that happened, or that with a mistake.
    Appends,
    /// The same without deletes and lengths.
    PlainAppends,
}

/// A history of one key with up to seven operations. Times are few, so that many are equal.
pub(crate) fn history(random: &mut Random, mix: Mix) -> Vec<Operation> {
    if matches!(mix, Mix::Appends | Mix::PlainAppends) {
        return appends::history(random, matches!(mix, Mix::PlainAppends));
    }
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
            2 => Update::cas(None, &few(random), !random.one_in(3)).into(),
            _ => Update::cas(Some(&few(random)), &few(random), !random.one_in(3)).into(),
        },
        Mix::Kv => match random.below(8) {
            0 => Action::Write(few(random)),
            6 if random.one_in(2) => Action::Delete,
            6 => Action::Read(None),
            1 | 2 => Update::append(&few(random)).into(),
            3 => Action::Read(Some(few(random))),
            4 => Action::Read(Some(Vec::new())),
            _ => Action::Read(Some([few(random), few(random)].concat())),
        },
        Mix::Updates => match random.below(8) {
            0 => Action::Write(few(random)),
            1 => Action::Delete,
            2 => Action::Read(None),
            3 => Action::Read(Some([few(random), few(random)].concat())),
            4 => Action::Read(Some(few(random))),
            _ => update(random).into(),
        },
        Mix::Counter => match random.below(8) {
            0 if random.one_in(2) => Action::Write(few(random)),
            0 if random.one_in(2) => Action::Delete,
            1 => Action::Read(None),
            2 => Action::Read(Some(few(random))),
            _ if random.one_in(3) => Update::add(1).into(),
            3 => Update::add(-1).number(signed(random.below(3)) - 1).into(),
            _ => Update::add(1).number(signed(random.below(4))).into(),
        },
        Mix::Appends | Mix::PlainAppends => unreachable!("these are drawn as a whole"),
    }
}

fn signed(number: u64) -> i64 {
    number.cast_signed()
}

/// Any condition, any change but additions, any answer, over few values.
fn update(random: &mut Random) -> Update {
    let few = |random: &mut Random| random.below(2).to_string().into_bytes();
    let value = |random: &mut Random| (!random.one_in(3)).then(|| few(random));
    let condition = match random.below(4) {
        0 => Condition::Is(value(random)),
        1 => Condition::IsNot(value(random)),
        _ => Condition::Always,
    };
    let change = match random.below(3) {
        0 => Change::Append(few(random)),
        _ => Change::Set(value(random)),
    };
    let answer = match random.below(6) {
        0 => Answer::Nothing,
        1 => Answer::Before(value(random)),
        2 => Answer::After(value(random)),
        3 => Answer::Length(random.below(3)),
        _ => Answer::Applied(!random.one_in(4)),
    };
    Update { condition, change, answer }
}
