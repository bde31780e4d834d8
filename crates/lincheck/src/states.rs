//! The values of one key as small numbers, so that comparing two costs one instruction.
//!
//! Appends would make ever longer values, each a little different. But a value matters only as far as some operation
//! can tell it from others, and it does so by comparing it with a value that somebody observed. A value that begins
//! no observed one can never become one by appending, so all of these are the same state, and every other value is
//! named by an observed value and a length. Nothing is ever copied together.

use std::collections::HashMap;

use crate::compile::Step;
use crate::history::Action;
use crate::model::Model;
use crate::transaction::Transaction;

/// A value, or absence, of the key, as an index into [`States`].
pub(crate) type State = u32;

/// What a state stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Meaning {
    Absent,
    Value(Vec<u8>),
    /// The beginning, of this many bytes, of an observed value, the first in order of all that begin like this.
    Prefix(usize, usize),
    /// Any value that begins no observed one.
    Unobservable,
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
}

impl States {
    /// States fit for these actions. Transactions look inside a value, so next to them every value counts.
    pub(crate) fn new<'a>(model: &Model, actions: impl Iterator<Item = &'a Action>) -> States {
        let (mut appends, mut transactions) = (false, false);
        let mut observed: Vec<Vec<u8>> = Vec::new();
        for action in actions {
            match action {
                Action::Append(_) => appends = true,
                Action::Transaction(_) => transactions = true,
                Action::Read(seen) | Action::Cas { from: seen, .. } => {
                    observed.extend(model.seen(seen.as_deref()).map(<[u8]>::to_vec));
                }
                Action::Write(_) | Action::Delete => {}
            }
        }
        observed.sort_unstable();
        observed.dedup();
        States { observed: (appends && !transactions).then_some(observed), ..States::default() }
    }

    /// The state of this value; `None` is absence.
    pub(crate) fn id(&mut self, value: Option<&[u8]>) -> State {
        let meaning = match (value, &self.observed) {
            (None, _) => Meaning::Absent,
            (Some(value), None) => Meaning::Value(value.to_vec()),
            (Some(value), Some(observed)) => longer(observed, (0, 0), value),
        };
        self.intern(meaning)
    }

    /// The number of this tail, for [`Step::Append`].
    pub(crate) fn tail(&mut self, tail: &[u8]) -> usize {
        self.tails.push(tail.to_vec());
        self.tails.len() - 1
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
                    Meaning::Absent | Meaning::Prefix(..) | Meaning::Unobservable => None,
                };
                let after = self.transactions[transaction].run(before)?;
                Some(self.make_up(after))
            }
        }
    }

    fn append(&mut self, head: State, tail: usize) -> State {
        if let Some(&state) = self.joined.get(&(head, tail)) {
            return state;
        }
        let end = &self.tails[tail];
        let state = match (&self.meanings[head as usize], &self.observed) {
            (Meaning::Absent, None) => self.make_up(end.clone()),
            (Meaning::Value(start), _) => self.make_up([start.as_slice(), end].concat()),
            (Meaning::Absent, Some(observed)) => self.intern(longer(observed, (0, 0), end)),
            (&Meaning::Prefix(first, length), Some(observed)) => {
                self.intern(longer(observed, (first, length), end))
            }
            (Meaning::Unobservable | Meaning::Prefix(..), _) => self.intern(Meaning::Unobservable),
        };
        self.joined.insert((head, tail), state);
        state
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

/// The first `length` bytes of the observed value number `first`, which is the first that begins so, and then `tail`.
fn longer(observed: &[Vec<u8>], (first, length): (usize, usize), tail: &[u8]) -> Meaning {
    let Some(head) = observed.get(first).map(|value| &value[..length]) else { return Meaning::Unobservable };
    // Values can be long and most of the time it is the same one that goes on.
    let begins = |value: &Vec<u8>| std::ptr::eq(value, &raw const observed[first]) || value.starts_with(head);
    let at = first + observed[first..].partition_point(|value| begins(value) && &value[length..] < tail);
    match observed.get(at) {
        Some(value) if begins(value) && value[length..].starts_with(tail) => {
            Meaning::Prefix(at, length + tail.len())
        }
        _ => Meaning::Unobservable,
    }
}
