//! From bytes to small numbers: the operations of one key, ready for the algorithms.

use crate::history::{Action, Operation};
use crate::model::Model;
use crate::states::{State, States};
use crate::transaction::Transaction;
use crate::updates;

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
    /// Passes always and leads to the old value followed by this tail, an index into [`States`].
    Append(usize),
    /// Runs this transaction, an index into [`States`].
    Run(usize),
    /// Any other update, an index into [`States`].
    Update(usize),
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
            Step::Set(_) | Step::Append(_) | Step::Run(_) | Step::Update(_) => false,
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
        let mut states = States::new(model, chosen.iter().map(|&index| &operations[index].action));
        let initial = states.id(model.initial());
        let mut ops = Vec::with_capacity(chosen.len());
        for &index in chosen {
            let operation = &operations[index];
            if operation.ret.is_none() && operation.action.is_observation() {
                continue;
            }
            let step = match &operation.action {
                Action::Read(value) => Step::Expect(states.id(model.seen(value.as_deref()))),
                Action::Write(value) => Step::Set(states.id(Some(value))),
                Action::Delete => Step::Set(states.id(model.seen(None))),
                Action::Update(update) => {
                    updates::compile(model, &mut states, update, operation.ret.is_some())
                }
                Action::Transaction(steps) => {
                    Step::Run(states.transaction(Transaction::new(steps, operation.ret.is_some())))
                }
            };
            ops.push(Op { index, step, invoke: operation.invoke, ret: operation.ret });
        }
        Key { ops, states, initial }
    }
}
