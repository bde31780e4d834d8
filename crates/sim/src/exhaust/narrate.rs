//! Steps in words.

use super::history::{ModelAnswer, Progress};
use super::scenario::{LETTERS, OperationKind};
use super::values::{ValueId, members};
use super::world::{Action, Rules, World};
use std::fmt::Write;

/// One step and what came of it.
pub(super) fn step(rules: &Rules, before: &World, action: Action, after: &World) -> String {
    let name = |operation: u8| rules.scenario.name(usize::from(operation));
    let value = |value: ValueId| rules.machines.values().describe(value);
    let held = |replica: u8| value(before.replicas[usize::from(replica)].newest);
    let durable = |replica: u8| value(before.replicas[usize::from(replica)].durable);
    let mut text = match action {
        Action::Begin { operation, latest } => {
            format!("{} begins; its clock's latest is {latest}", name(operation))
        }
        Action::Query { operation, replica } => {
            format!("{} asks {}, which holds {}", name(operation), letter(replica), held(replica))
        }
        Action::Answer { operation, replica } => {
            format!("{} asks {}, which answers {}, slowly", name(operation), letter(replica), held(replica))
        }
        Action::Arrive { operation, replica } => {
            format!("the answer of {} arrives at {}", letter(replica), name(operation))
        }
        Action::Deliver { value: number, replica } => {
            format!("{} reaches {}", value(number), letter(replica))
        }
        Action::Tick => format!("true time is {}", after.now),
        Action::Restart { event_loop } => {
            format!("n{} crashes and restarts", rules.scenario.loops[usize::from(event_loop)].node)
        }
        Action::Sync { replica } => format!("{} syncs {}", letter(replica), held(replica)),
        Action::PowerCut { replica } => {
            format!("{} loses power: {} is back to {}", letter(replica), held(replica), durable(replica))
        }
        Action::Wipe { replica } => format!("{} loses its disk with {}", letter(replica), held(replica)),
        Action::Forget { replica } => format!("{} forgets {}", letter(replica), held(replica)),
        Action::ForgetEverywhere => format!("all replicas forget {}", held(0)),
    };
    for number in members(after.sent & !before.sent) {
        let _ = write!(text, "; it sends {}", value(number));
    }
    for operation in 0..rules.scenario.operations.len() {
        let (was, is) = (before.records[operation].progress, after.records[operation].progress);
        if was != is && matches!(is, Progress::Answered(_)) {
            let _ = write!(text, "; {}", outcome(rules, operation, is));
        }
    }
    text
}

/// The whole history in one line: `Set a < Get c = a < Get d = nothing`, with what is open in brackets.
pub(super) fn history(rules: &Rules, world: &World) -> String {
    let count = rules.scenario.operations.len();
    let mut lines = Vec::new();
    for operation in 0..count {
        let record = world.records[operation];
        if record.progress == Progress::Idle {
            continue;
        }
        let mut line = outcome(rules, operation, record.progress);
        let earlier: Vec<String> =
            (0..count).filter(|i| record.before & 1 << i != 0).map(|i| rules.scenario.name(i)).collect();
        if !earlier.is_empty() {
            let _ = write!(line, " (after {})", earlier.join(", "));
        }
        lines.push(line);
    }
    lines.join("; ")
}

fn outcome(rules: &Rules, operation: usize, progress: Progress) -> String {
    let name = rules.scenario.name(operation);
    match progress {
        Progress::Idle => name,
        Progress::Open => format!("{name} is open"),
        Progress::Lost => format!("{name} was lost in a crash"),
        Progress::Answered(ModelAnswer::Written) => format!("{name} is answered"),
        Progress::Answered(ModelAnswer::Read(None)) => format!("{name} returns nothing"),
        Progress::Answered(ModelAnswer::Read(Some(writer))) => {
            assert!(
                rules.scenario.operations[usize::from(writer)].kind == OperationKind::Set,
                "only Sets have values"
            );
            format!("{name} returns {}", char::from(LETTERS[usize::from(writer)]))
        }
    }
}

/// Replicas are A, B and C.
fn letter(replica: u8) -> char {
    char::from(b'A' + replica)
}
