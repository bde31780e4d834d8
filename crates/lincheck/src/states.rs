//! The values of one key as small numbers, so that comparing two costs one instruction.
//!
//! Appends would make ever longer values, each a little different. But a value matters only as far as some operation
//! can tell it from others, and it does so by comparing it with a value that somebody observed. A value that begins
//! no observed one can never become one by appending, so all of these are the same state, and every other value is
//! named by an observed value and a length. Nothing is ever copied together. (Where an update was answered with the
//! length of the value, lengths tell values apart, too.)

use std::collections::HashMap;

use crate::compile::Step;
use crate::history::Action;
use crate::model::Model;
use crate::transaction::Transaction;
use crate::update::{Answer, Change, Condition, Update};
use crate::updates::CompiledUpdate;

/// A value, or absence, of the key, as an index into [`States`].
pub(crate) type State = u32;

/// What a state stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Meaning {
    Absent,
    Value(Vec<u8>),
    /// The beginning, of this many bytes, of an observed value, the first in order of all that begin like this.
    Prefix(usize, usize),
    /// Any value that begins no observed one; of this many bytes, where somebody was told lengths.
    Unobservable(u64),
}

/// The meanings of all states met so far.
#[derive(Debug, Default)]
pub(crate) struct States {
    meanings: Vec<Meaning>,
    ids: HashMap<Meaning, State>,
    made_up_bytes: usize,
    /// The observed values in order, where they are all that matters.
    observed: Option<Vec<Vec<u8>>>,
    tails: Vec<Vec<u8>>,
    joined: HashMap<(State, usize), State>,
    transactions: Vec<Transaction>,
    updates: Vec<CompiledUpdate>,
    /// Equal tails and updates share a number, so that equal steps are equal.
    tail_numbers: HashMap<Vec<u8>, usize>,
    update_numbers: HashMap<CompiledUpdate, usize>,
    lengths_matter: bool,
}

impl States {
    /// States fit for these actions. Transactions and additions look inside a value, so next to them every value counts.
    pub(crate) fn new<'a>(model: &Model, actions: impl Iterator<Item = &'a Action>) -> States {
        let (mut appends, mut look_inside, mut lengths_matter) = (false, false, false);
        let mut observed: Vec<Vec<u8>> = Vec::new();
        let mut observe =
            |seen: &Option<Vec<u8>>| observed.extend(model.seen(seen.as_deref()).map(<[u8]>::to_vec));
        for action in actions {
            match action {
                Action::Transaction(_) => look_inside = true,
                Action::Read(seen) => observe(seen),
                Action::Update(Update { condition, change, answer }) => {
                    match change {
                        Change::Set(_) => {}
                        Change::Append(_) => appends = true,
                        Change::Add(_) => look_inside = true,
                    }
                    if let Condition::Is(seen) | Condition::IsNot(seen) = condition {
                        observe(seen);
                    }
                    match answer {
                        Answer::Before(seen) | Answer::After(seen) => observe(seen),
                        Answer::Length(_) => lengths_matter = true,
                        Answer::Nothing | Answer::Applied(_) => {}
                    }
                }
                Action::Write(_) | Action::Delete => {}
            }
        }
        observed.sort_unstable();
        observed.dedup();
        let observed = (appends && !look_inside).then_some(observed);
        States { observed, lengths_matter, ..States::default() }
    }

    /// The state of this value; `None` is absence.
    pub(crate) fn id(&mut self, value: Option<&[u8]>) -> State {
        let meaning = match (value, &self.observed) {
            (None, _) => Meaning::Absent,
            (Some(value), None) => Meaning::Value(value.to_vec()),
            (Some(value), Some(observed)) => self.named(longer(observed, (0, 0), value), value.len() as u64),
        };
        self.intern(meaning)
    }

    /// The number of this tail, for [`Step::Append`].
    pub(crate) fn tail(&mut self, tail: &[u8]) -> usize {
        *self.tail_numbers.entry(tail.to_vec()).or_insert_with(|| {
            self.tails.push(tail.to_vec());
            self.tails.len() - 1
        })
    }

    /// The number of this update, for [`Step::Update`].
    pub(crate) fn update(&mut self, update: CompiledUpdate) -> usize {
        *self.update_numbers.entry(update.clone()).or_insert_with(|| {
            self.updates.push(update);
            self.updates.len() - 1
        })
    }

    /// The number of this transaction, for [`Step::Run`].
    pub(crate) fn transaction(&mut self, transaction: Transaction) -> usize {
        self.transactions.push(transaction);
        self.transactions.len() - 1
    }

    /// How many bytes the values take that no operation named.
    pub(crate) fn made_up_bytes(&self) -> usize {
        self.made_up_bytes
    }

    /// The state after `step` in `state`, or `None` when the step is impossible there.
    pub(crate) fn apply(&mut self, state: State, step: Step) -> Option<State> {
        match step {
            Step::Expect(value) => (state == value).then_some(state),
            Step::Refused(value) => (state != value).then_some(state),
            Step::Set(value) => Some(value),
            Step::Swap(from, to) => (state == from).then_some(to),
            Step::Append(tail) => Some(self.append(state, tail)),
            Step::Run(transaction) => {
                let before = match &self.meanings[state as usize] {
                    Meaning::Value(bytes) => Some(bytes.as_slice()),
                    Meaning::Absent | Meaning::Prefix(..) | Meaning::Unobservable(_) => None,
                };
                let after = self.transactions[transaction].run(before)?;
                Some(self.make_up(after))
            }
            Step::Update(update) => {
                let update = self.updates[update].clone();
                update.apply(self, state)
            }
        }
    }

    /// The state after this tail was added to the end.
    pub(crate) fn append(&mut self, head: State, tail: usize) -> State {
        if let Some(&state) = self.joined.get(&(head, tail)) {
            return state;
        }
        let end = &self.tails[tail];
        let length = self.length(head) + end.len() as u64;
        let state = match (&self.meanings[head as usize], &self.observed) {
            (Meaning::Absent, None) => self.make_up(end.clone()),
            (Meaning::Value(start), _) => self.make_up([start.as_slice(), end].concat()),
            (Meaning::Absent, Some(observed)) => {
                self.intern(self.named(longer(observed, (0, 0), end), length))
            }
            (&Meaning::Prefix(first, from), Some(observed)) => {
                self.intern(self.named(longer(observed, (first, from), end), length))
            }
            (Meaning::Unobservable(_) | Meaning::Prefix(..), _) => self.intern(self.named(None, length)),
        };
        self.joined.insert((head, tail), state);
        state
    }

    /// The state after this was added to the number that the value is, or `None` when it is none.
    pub(crate) fn add(&mut self, model: &Model, state: State, number: i64) -> Option<State> {
        let before = match &self.meanings[state as usize] {
            Meaning::Absent => None,
            Meaning::Value(bytes) => Some(bytes.as_slice()),
            // Next to an addition every value counts.
            Meaning::Prefix(..) | Meaning::Unobservable(_) => return None,
        };
        let after = model.changed(before, &Change::Add(number))?;
        after.map(|after| self.make_up(after))
    }

    /// How many bytes the value has, as far as that matters.
    pub(crate) fn length(&self, state: State) -> u64 {
        match &self.meanings[state as usize] {
            Meaning::Absent => 0,
            Meaning::Value(bytes) => bytes.len() as u64,
            &Meaning::Prefix(_, length) => length as u64,
            &Meaning::Unobservable(length) => length,
        }
    }

    /// What was found among the observed values, or what stands for all others of this length.
    fn named(&self, found: Option<Meaning>, length: u64) -> Meaning {
        found.unwrap_or(Meaning::Unobservable(if self.lengths_matter { length } else { 0 }))
    }

    fn make_up(&mut self, value: Vec<u8>) -> State {
        let (known, length) = (self.meanings.len(), value.len());
        let state = self.intern(Meaning::Value(value));
        if self.meanings.len() > known {
            self.made_up_bytes += length;
        }
        state
    }

    fn intern(&mut self, meaning: Meaning) -> State {
        let next =
            State::try_from(self.meanings.len()).expect("fewer than 2^32 values, or memory ran out before");
        *self.ids.entry(meaning).or_insert_with_key(|meaning| {
            self.meanings.push(meaning.clone());
            next
        })
    }
}

/// The first `length` bytes of the observed value number `first`, which is the first that begins so, and then `tail`;
/// `None` if no observed value begins like that.
fn longer(observed: &[Vec<u8>], (first, length): (usize, usize), tail: &[u8]) -> Option<Meaning> {
    let head = observed.get(first).map(|value| &value[..length])?;
    // Values can be long and most of the time it is the same one that goes on.
    let begins = |value: &Vec<u8>| std::ptr::eq(value, &raw const observed[first]) || value.starts_with(head);
    let at = first + observed[first..].partition_point(|value| begins(value) && &value[length..] < tail);
    observed.get(at).filter(|value| begins(value) && value[length..].starts_with(tail))?;
    Some(Meaning::Prefix(at, length + tail.len()))
}
