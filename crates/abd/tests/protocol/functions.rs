//! Functions for tests: what a client may apply to a key.

use crate::support::KEY;
use abd::{Content, Deadline, Evaluated, EvaluatedOperation, Evaluation, Function, Moment, Operation};
use bytes::Bytes;

/// Adds a token to the value, and answers what the value was.
pub(crate) fn append(token: &str) -> Operation {
    update(format!("+{token}"), true)
}

/// Gives the key a value if it is absent, and answers what it was.
pub(crate) fn create(value: &str) -> Operation {
    update(format!("?{value}"), false)
}

/// Takes the value away, and answers what it was.
pub(crate) fn take() -> Operation {
    update("-".into(), false)
}

/// Takes the deadline away from a value that is there, and answers what the value was.
pub(crate) fn persist() -> Operation {
    update("!".into(), false)
}

/// One of these, by what it says.
fn update(function: String, always_changes: bool) -> Operation {
    let functions = vec![Function { encoded: Bytes::from(function), always_changes }];
    Operation::Update { key: KEY.into(), functions }
}

/// The content after a function, if it changes anything.
pub(crate) fn apply(function: &[u8], content: Option<&str>) -> Option<Option<String>> {
    let function = std::str::from_utf8(function).expect("functions are text");
    let (kind, argument) = function.split_at(1);
    match (kind, content) {
        ("+", content) => Some(Some(content.unwrap_or_default().to_owned() + argument)),
        ("?", None) => Some(Some(argument.to_owned())),
        ("-", Some(_)) => Some(None),
        ("?" | "-", _) => None,
        _ => panic!("{function} is not a function"),
    }
}

/// What operations come to at a moment, all of them in one fold. A base that is due is absent, and its expiry is a change (E2).
pub(crate) fn evaluate(evaluation: &Evaluation, moment: Moment) -> Evaluated {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let mut deadline = evaluation.base.deadline;
    let mut content = evaluation.base.content.value().map(text);
    let mut expires = evaluation.base.is_due(moment);
    if expires {
        (content, deadline) = (None, Deadline::NONE);
    }
    let mut operations = Vec::new();
    for functions in &evaluation.operations {
        let changes = std::mem::take(&mut expires);
        let mut evaluated = EvaluatedOperation { answers: Vec::new(), changes };
        for function in functions {
            let seen = content.clone().map_or_else(|| "absent".to_owned(), |content| format!("={content}"));
            evaluated.answers.push(Bytes::from(seen));
            if function.encoded == "!" {
                evaluated.changes |= content.is_some() && deadline != Deadline::NONE;
                deadline = Deadline::NONE;
            } else if let Some(changed) = apply(&function.encoded, content.as_deref()) {
                (content, evaluated.changes) = (changed, true);
            }
        }
        operations.push(evaluated);
    }
    let content = content.map_or(Content::Tombstone, |content| Content::Value(Bytes::from(content)));
    Evaluated { operations, content, deadline }
}
