//! Operations as bars of text, one row each, time to the right.

use std::fmt::Write;

use crate::history::{Access, Action, Operation};
use crate::update::{Answer, Change, Condition, Update};

/// Bytes as a person would write them.
pub(crate) fn text(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

/// The action in a few words.
pub(crate) fn describe(action: &Action, known: bool) -> String {
    let said = match action {
        Action::Read(_) if !known => "read".to_owned(),
        Action::Read(v) => format!("read {}", optional(v)),
        Action::Write(v) => format!("write {}", text(v)),
        Action::Delete => "delete".to_owned(),
        Action::Update(update) => describe_update(update, known),
        Action::Transaction(steps) => {
            let step = |step: &Access| match step {
                Access::Read(register, v) => format!("read {} {}", register.escape_ascii(), text(v)),
                Access::Write(register, v) => format!("write {} {}", register.escape_ascii(), text(v)),
            };
            steps.iter().map(step).collect::<Vec<_>>().join(", ")
        }
    };
    if known { said } else { format!("{said} ?") }
}

/// An update as one would say it: what it does, when, and what came of it.
fn describe_update(update: &Update, known: bool) -> String {
    let refused = if known && update.answer == Answer::Applied(false) { "refused " } else { "" };
    let asked = match (&update.change, &update.condition) {
        (Change::Set(Some(to)), Condition::Is(Some(from))) => format!("cas {} to {}", text(from), text(to)),
        (change, condition) => {
            let change = match change {
                Change::Set(Some(to)) => format!("set {}", text(to)),
                Change::Set(None) => "delete".to_owned(),
                Change::Append(tail) => format!("append {}", text(tail)),
                Change::Add(number) => format!("add {number}"),
            };
            match condition {
                Condition::Always => change,
                Condition::Is(None) => change + " if absent",
                Condition::IsNot(None) => change + " if present",
                Condition::Is(Some(value)) => format!("{change} if {}", text(value)),
                Condition::IsNot(Some(value)) => format!("{change} if not {}", text(value)),
            }
        }
    };
    let told = match &update.answer {
        Answer::Nothing | Answer::Applied(_) => String::new(),
        _ if !known => String::new(),
        Answer::Before(value) => format!(", was {}", optional(value)),
        Answer::After(value) => format!(", is {}", optional(value)),
        Answer::Length(bytes) => format!(", length {bytes}"),
    };
    format!("{refused}{asked}{told}")
}

fn optional(value: &Option<Vec<u8>>) -> String {
    value.as_deref().map_or("absent".to_owned(), text)
}

/// Draws the operations. Only the order of events is to scale: equal times share a column.
pub(crate) fn draw(operations: &[Operation]) -> String {
    let mut times: Vec<u64> = operations.iter().flat_map(|o| [Some(o.invoke), o.ret]).flatten().collect();
    times.sort_unstable();
    times.dedup();
    let column = |time: u64| 4 * times.partition_point(|&t| t < time);
    let end = 4 * times.len();
    let names: Vec<String> = operations
        .iter()
        .map(|o| format!("client {}  {}", o.client, describe(&o.action, o.ret.is_some())))
        .collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut picture = String::new();
    for (operation, name) in operations.iter().zip(&names) {
        let from = column(operation.invoke);
        let (to, tail) = operation.ret.map_or((end, "- - ?"), |ret| (column(ret), "|"));
        let bar = if to > from { format!("|{}{tail}", "-".repeat(to - from - 1)) } else { "|".to_owned() };
        // Writing to a string cannot fail.
        let _ = writeln!(picture, "  {name:width$}  {:from$}{bar}", "");
    }
    picture
}
