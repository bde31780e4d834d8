//! Linearizability straight from its definition: try every order. Only for histories of a few operations.

use crate::history::{Action, Operation};
use crate::model::Model;
use crate::update::{Answer, Change, Condition, Update};

/// True when some order of the operations of one key respects real time and the model.
pub(crate) fn linearizable(model: &Model, operations: &[Operation]) -> bool {
    let operations: Vec<&Operation> = operations.iter().collect();
    extend(model, model.initial().map(<[u8]>::to_vec), &operations)
}

fn extend(model: &Model, state: Option<Vec<u8>>, left: &[&Operation]) -> bool {
    if left.iter().all(|o| o.ret.is_none()) {
        return true;
    }
    (0..left.len()).any(|i| {
        let operation = left[i];
        let must_wait = left.iter().any(|o| o.ret.is_some_and(|ret| ret < operation.invoke));
        if must_wait {
            return false;
        }
        let rest: Vec<&Operation> =
            left.iter().enumerate().filter(|&(j, _)| j != i).map(|(_, o)| *o).collect();
        // An unknown operation may also never happen, but then no order needs to mention it.
        apply(model, &state, operation).is_some_and(|after| extend(model, after, &rest))
    })
}

/// The state after the operation, or `None` when it could not have been answered like this.
#[expect(clippy::option_option, reason = "the inner absence is a state, the outer one is impossibility")]
fn apply(model: &Model, state: &Option<Vec<u8>>, operation: &Operation) -> Option<Option<Vec<u8>>> {
    let unknown = operation.ret.is_none();
    let is = |value: &Option<Vec<u8>>| model.seen(value.as_deref()) == state.as_deref();
    match &operation.action {
        Action::Read(value) => (unknown || is(value)).then(|| state.clone()),
        Action::Write(value) => Some(Some(value.clone())),
        Action::Delete => Some(model.seen(None).map(<[u8]>::to_vec)),
        Action::Update(update) => update_applied(model, state, update, unknown),
        Action::Transaction(_) => unreachable!("random histories hold none"),
    }
}

/// The same for an update. One of unknown outcome may also have failed, but that is as if it had not happened.
#[expect(clippy::option_option, reason = "the inner absence is a state, the outer one is impossibility")]
fn update_applied(
    model: &Model,
    state: &Option<Vec<u8>>,
    update: &Update,
    unknown: bool,
) -> Option<Option<Vec<u8>>> {
    let is = |value: &Option<Vec<u8>>| model.seen(value.as_deref()) == state.as_deref();
    let holds = match &update.condition {
        Condition::Always => true,
        Condition::Is(value) => is(value),
        Condition::IsNot(value) => !is(value),
    };
    let nothing = model == &Model::kv() && state.as_deref() == Some(b"");
    let after = match &update.change {
        _ if !holds => state.clone(),
        Change::Set(value) => model.seen(value.as_deref()).map(<[u8]>::to_vec),
        Change::Append(tail) => Some([state.as_deref().unwrap_or_default(), tail].concat()),
        Change::Add(number) => {
            let digits =
                if nothing { "0" } else { std::str::from_utf8(state.as_deref().unwrap_or(b"0")).ok()? };
            let before: i64 = digits.parse().ok()?;
            Some((before + number).to_string().into_bytes())
        }
    };
    let told = match &update.answer {
        _ if unknown => true,
        Answer::Nothing => true,
        Answer::Applied(applied) => *applied == holds,
        Answer::Before(value) => is(value),
        Answer::After(value) => model.seen(value.as_deref()) == after.as_deref(),
        Answer::Length(bytes) => *bytes == after.as_ref().map_or(0, |after| after.len() as u64),
    };
    told.then_some(after)
}

/// Checks a linearization by replaying it.
pub(crate) fn explains(model: &Model, operations: &[Operation], order: &[usize]) -> Result<(), String> {
    let mut state = model.initial().map(<[u8]>::to_vec);
    let mut latest_invoke = 0;
    let mut placed = vec![false; operations.len()];
    for &index in order {
        let operation = &operations[index];
        if operation.ret.is_some_and(|ret| ret < latest_invoke) {
            return Err(format!("operation {index} comes after one that was invoked when it had returned"));
        }
        latest_invoke = latest_invoke.max(operation.invoke);
        state = apply(model, &state, operation)
            .ok_or_else(|| format!("operation {index} is impossible where it stands"))?;
        if std::mem::replace(&mut placed[index], true) {
            return Err(format!("operation {index} happens twice"));
        }
    }
    match (0..operations.len()).find(|&index| operations[index].ret.is_some() && !placed[index]) {
        Some(index) => Err(format!("operation {index} returned but never happens")),
        None => Ok(()),
    }
}
