//! From a convicted history to the few operations that show why.
//!
//! Operations cannot simply be left out: without its write every read looks like a lie. What keeps a verdict sound is
//! to know less. An operation whose outcome is taken to be unknown may still happen whenever it is needed, so a
//! history that stays wrong after that was wrong before. The window is what resists being forgotten.

use std::collections::HashMap;

use crate::compile::{Key, Op, Step};
use crate::history::Operation;
use crate::model::Model;
use crate::search::{SearchResult, search};
use crate::states::State;

/// Enough for every window a person would look at; a try that takes longer leaves the operation in.
const POSITIONS_PER_TRY: usize = 1_000;

/// Bounds the work on huge windows, which are then larger than they need to be.
const TRIES: usize = 500;

/// How many operations all tries together may look through.
const WORK: usize = 3_000_000;

/// A part of `suspects` that is a violation by itself. None of its operations can be forgotten, except for writes
/// that are kept because a read in the window returned their value.
pub(crate) fn shrink(
    model: &Model,
    operations: &[Operation],
    suspects: &[usize],
    stuck_at: u64,
) -> Vec<usize> {
    let mut trial = Trial::new(Key::new(model, operations, suspects));
    trial.forget_if_still_wrong(|op| op.ret.is_some_and(|ret| ret > stuck_at));
    let mut size = trial.all.len().next_power_of_two();
    let (mut tries, mut work) = (0, 0);
    while size > 0 {
        let mut from = 0;
        while from < trial.all.len() && tries < TRIES && work < WORK {
            let to = trial.all.len().min(from + size);
            if trial.hard[from..to].contains(&true) {
                tries += 1;
                work += trial.all.len();
                trial.forget(from..to);
            }
            from = to;
        }
        trial.drop_forgotten_looks();
        size = if size == 1 { 0 } else { (size / 2).min(trial.all.len().next_power_of_two()) };
    }
    trial.window()
}

/// The operations of one key, of which some are taken to be of unknown outcome.
struct Trial {
    key: Key,
    all: Vec<Op>,
    hard: Vec<bool>,
}

impl Trial {
    fn new(mut key: Key) -> Self {
        let mut all = std::mem::take(&mut key.ops);
        all.sort_by_key(|op| op.invoke);
        let hard = all.iter().map(|op| op.ret.is_some()).collect();
        Trial { key, all, hard }
    }

    /// A forgotten read can explain nothing, so it only costs time.
    fn drop_forgotten_looks(&mut self) {
        let looks = |op: &Op| matches!(op.step, Step::Expect(_) | Step::Refused(_));
        let both = self.all.iter().copied().zip(self.hard.iter().copied());
        (self.all, self.hard) = both.filter(|(op, hard)| *hard || !looks(op)).unzip();
    }

    fn forget(&mut self, range: std::ops::Range<usize>) {
        let before = self.hard[range.clone()].to_vec();
        self.hard[range.clone()].fill(false);
        if !self.is_wrong() {
            self.hard[range].copy_from_slice(&before);
        }
    }

    fn forget_if_still_wrong(&mut self, late: impl Fn(&Op) -> bool) {
        let before = self.hard.clone();
        for (hard, op) in self.hard.iter_mut().zip(&self.all) {
            *hard &= !late(op);
        }
        if !self.is_wrong() {
            self.hard = before;
        }
    }

    fn is_wrong(&mut self) -> bool {
        self.key.ops.clear();
        for (op, &hard) in self.all.iter().zip(&self.hard) {
            match op.step {
                _ if hard => self.key.ops.push(*op),
                Step::Expect(_) | Step::Refused(_) => {}
                Step::Set(_) | Step::Swap(..) | Step::Append(_) | Step::Run(_) | Step::Update(_) => {
                    self.key.ops.push(Op { ret: None, ..*op });
                }
            }
        }
        matches!(search(&mut self.key, POSITIONS_PER_TRY).found, SearchResult::Nothing { .. })
    }

    /// What could not be forgotten, and for each value seen there the last write that explains it.
    fn window(&self) -> Vec<usize> {
        let mut writes: HashMap<State, Vec<&Op>> = HashMap::new();
        for op in &self.all {
            if let Step::Set(value) | Step::Swap(_, value) = op.step {
                writes.entry(value).or_default().push(op);
            }
        }
        let mut window = Vec::new();
        for (op, _) in self.all.iter().zip(&self.hard).filter(|&(_, &hard)| hard) {
            window.push(op.index);
            let (Step::Expect(seen) | Step::Swap(seen, _), Some(ret)) = (op.step, op.ret) else { continue };
            let Some(candidates) = writes.get(&seen) else { continue };
            // They are in the order of their invocations.
            let in_time = candidates.partition_point(|write| write.invoke <= ret);
            window.extend(candidates[..in_time].last().map(|write| write.index));
        }
        window.sort_unstable();
        window.dedup();
        window
    }
}
