//! From bytes to small numbers: the operations of one key, ready for the algorithms.

use std::collections::HashMap;

use crate::history::{Action, Operation};
use crate::model::Model;
use crate::transaction::Transaction;

/// A value, or absence, of the key, as an index into [`States`].
pub(crate) type State = u32;

/// What an operation demands of the state before it and does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// Passes only in this state and leaves it.
    Expect(State),
    /// Passes in every state but this one and leaves it: a compare-and-set that was refused.
    Refused(State),
    /// Passes always and leads to this state.
    Set(State),
    /// Passes only in the first state and leads to the second.
    Swap(State, State),
    /// Passes always and leads to the old value followed by this one.
    Append(State),
    /// Runs this transaction, an index into [`States`].
    Run(usize),
}

impl Step {
    /// The state that a plain write leaves.
    pub(crate) fn sets(self) -> Option<State> {
        match self {
            Step::Set(after) => Some(after),
            _ => None,
        }
    }

    /// True when the step changes the state nowhere.
    pub(crate) fn only_looks(self) -> bool {
        match self {
            Step::Expect(_) | Step::Refused(_) => true,
            Step::Swap(from, to) => from == to,
            Step::Set(_) | Step::Append(_) | Step::Run(_) => false,
        }
    }
}

/// An operation of one key that can constrain or explain the others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    /// Where the operation stands in the list the caller gave.
    pub(crate) index: usize,
    /// Its effect.
    pub(crate) step: Step,
    /// When it was invoked.
    pub(crate) invoke: u64,
    /// When it returned; `None` when it may happen later or never.
    pub(crate) ret: Option<u64>,
}

/// Gives every value a number, so that comparing states costs one instruction.
#[derive(Debug, Default)]
pub(crate) struct States {
    values: Vec<Option<Vec<u8>>>,
    ids: HashMap<Option<Vec<u8>>, State>,
    joined: HashMap<(State, State), State>,
    transactions: Vec<Transaction>,
}

impl States {
    fn id(&mut self, value: Option<Vec<u8>>) -> State {
        let next =
            State::try_from(self.values.len()).expect("fewer than 2^32 values, or memory ran out before");
        *self.ids.entry(value).or_insert_with_key(|value| {
            self.values.push(value.clone());
            next
        })
    }

    /// The state after `step` in `state`, or `None` when the step is impossible there.
    pub(crate) fn apply(&mut self, state: State, step: Step) -> Option<State> {
        match step {
            Step::Expect(value) => (state == value).then_some(state),
            Step::Refused(value) => (state != value).then_some(state),
            Step::Set(value) => Some(value),
            Step::Swap(from, to) => (state == from).then_some(to),
            Step::Append(tail) => Some(self.join(state, tail)),
            Step::Run(transaction) => {
                let after = self.transactions[transaction].run(self.values[state as usize].as_deref())?;
                Some(self.id(Some(after)))
            }
        }
    }

    fn join(&mut self, head: State, tail: State) -> State {
        if let Some(&state) = self.joined.get(&(head, tail)) {
            return state;
        }
        let mut value = self.values[head as usize].clone().unwrap_or_default();
        value.extend_from_slice(self.values[tail as usize].as_deref().unwrap_or_default());
        let state = self.id(Some(value));
        self.joined.insert((head, tail), state);
        state
    }
}

/// One key, compiled.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) ops: Vec<Op>,
    pub(crate) states: States,
    pub(crate) initial: State,
}

impl Key {
    /// Compiles the chosen operations, leaving out those that say nothing: unknown reads.
    pub(crate) fn new(model: &Model, operations: &[Operation], chosen: &[usize]) -> Key {
        let mut states = States::default();
        let initial = states.id(model.initial().map(<[u8]>::to_vec));
        let mut ops = Vec::with_capacity(chosen.len());
        for &index in chosen {
            let operation = &operations[index];
            if operation.ret.is_none() && operation.action.is_observation() {
                continue;
            }
            let step = match &operation.action {
                Action::Read(value) => Step::Expect(states.id(value.clone())),
                Action::Write(value) => Step::Set(states.id(Some(value.clone()))),
                Action::Delete => Step::Set(states.id(None)),
                Action::Cas { from, to, applied: true } => {
                    Step::Swap(states.id(from.clone()), states.id(Some(to.clone())))
                }
                Action::Cas { from, .. } => Step::Refused(states.id(from.clone())),
                Action::Append(tail) => Step::Append(states.id(Some(tail.clone()))),
                Action::Transaction(steps) => {
                    states.transactions.push(Transaction::new(steps, operation.ret.is_some()));
                    Step::Run(states.transactions.len() - 1)
                }
            };
            ops.push(Op { index, step, invoke: operation.invoke, ret: operation.ret });
        }
        Key { ops, states, initial }
    }
}
