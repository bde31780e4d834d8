//! Updates over small numbers. Most of them are one of the simple steps, which the search knows better.

use crate::compile::Step;
use crate::model::Model;
use crate::states::{State, States};
use crate::update::{Answer, Change, Condition, Update, decimal};

/// An update whose values are states.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CompiledUpdate {
    model: Model,
    condition: Holds,
    change: Leads,
    answer: Tells,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Holds {
    Always,
    In(State),
    Outside(State),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Leads {
    To(State),
    /// An index into the tails of [`States`].
    Append(usize),
    Add(i64),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Tells {
    Nothing,
    Applied(bool),
    Before(State),
    After(State),
    Length(u64),
}

/// The step of an update. Of an unknown outcome the answer does not count.
pub(crate) fn compile(model: &Model, states: &mut States, update: &Update, known: bool) -> Step {
    let answer = if known { &update.answer } else { &Answer::Nothing };
    let id = |states: &mut States, value: &Option<Vec<u8>>| states.id(model.seen(value.as_deref()));
    if let Some(step) = simple(model, states, update, answer, known) {
        return step;
    }
    let condition = match &update.condition {
        Condition::Always => Holds::Always,
        Condition::Is(value) => Holds::In(id(states, value)),
        Condition::IsNot(value) => Holds::Outside(id(states, value)),
    };
    let change = match &update.change {
        Change::Set(to) => Leads::To(id(states, to)),
        Change::Append(tail) => Leads::Append(states.tail(tail)),
        Change::Add(number) => Leads::Add(*number),
    };
    let answer = match answer {
        Answer::Nothing => Tells::Nothing,
        Answer::Applied(applied) => Tells::Applied(*applied),
        Answer::Before(value) => Tells::Before(id(states, value)),
        Answer::After(value) => Tells::After(id(states, value)),
        Answer::Length(bytes) => Tells::Length(*bytes),
    };
    Step::Update(states.update(CompiledUpdate { model: model.clone(), condition, change, answer }))
}

/// The simple step that does the same, if there is one.
fn simple(model: &Model, states: &mut States, update: &Update, answer: &Answer, known: bool) -> Option<Step> {
    let Update { condition, change, .. } = update;
    let id = |states: &mut States, value: &Option<Vec<u8>>| states.id(model.seen(value.as_deref()));
    let from = |states: &mut States, before: &Option<Vec<u8>>| {
        let before = model.seen(before.as_deref());
        let after = model.changed(before, change)?;
        Some(Step::Swap(states.id(before), states.id(after.as_deref())))
    };
    match (answer, condition) {
        (Answer::Applied(false), Condition::Is(value)) => Some(Step::Refused(id(states, value))),
        (Answer::Applied(false), Condition::IsNot(value)) => Some(Step::Expect(id(states, value))),
        (Answer::Applied(true), Condition::Is(value)) => from(states, value),
        // Where the condition fails nothing happens, and then the order need not mention an unknown one.
        (Answer::Nothing, Condition::Is(value)) if !known => from(states, value),
        (Answer::Nothing | Answer::Applied(true), Condition::Always) => match change {
            Change::Set(to) => Some(Step::Set(id(states, to))),
            Change::Append(tail) => Some(Step::Append(states.tail(tail))),
            Change::Add(_) => None,
        },
        (Answer::Before(before), condition) => {
            let is = |value: &Option<Vec<u8>>| model.seen(value.as_deref()) == model.seen(before.as_deref());
            let holds = match condition {
                Condition::Always => true,
                Condition::Is(value) => is(value),
                Condition::IsNot(value) => !is(value),
            };
            if holds { from(states, before) } else { Some(Step::Expect(id(states, before))) }
        }
        (Answer::After(Some(after)), Condition::Always) => match change {
            // A zero may come from a zero, and from absence.
            Change::Add(number) => match decimal(after)?.checked_sub(*number)? {
                0 => None,
                before => from(states, &Some(before.to_string().into_bytes())),
            },
            Change::Set(_) | Change::Append(_) => None,
        },
        _ => None,
    }
}

impl CompiledUpdate {
    /// The state after the update, or `None` when it could not have been answered like this.
    pub(crate) fn apply(&self, states: &mut States, state: State) -> Option<State> {
        let holds = match self.condition {
            Holds::Always => true,
            Holds::In(value) => state == value,
            Holds::Outside(value) => state != value,
        };
        let after = match self.change {
            _ if !holds => state,
            Leads::To(value) => value,
            Leads::Append(tail) => states.append(state, tail),
            Leads::Add(number) => states.add(&self.model, state, number)?,
        };
        let told = match self.answer {
            Tells::Nothing => true,
            Tells::Applied(applied) => applied == holds,
            Tells::Before(value) => value == state,
            Tells::After(value) => value == after,
            Tells::Length(bytes) => bytes == states.length(after),
        };
        told.then_some(after)
    }
}
