//! Steps in words.

use super::change::{Learned, Step};
use super::history::{ModelAnswer, Progress};
use super::scenario::{JOINT, LAST};
use super::values::{Text, ValueId, Values, members};
use super::world::{Action, Delivery, Rules, World};
use abd::{Ballot, Base, Reply, Request};
use std::fmt::Write;

/// One step and what came of it.
pub(super) fn step(rules: &mut Rules, before: &World, step: Step, after: &World) -> String {
    let Step { learns, action } = step;
    let mut reached = *before;
    if let Some(learned) = learns {
        rules.learn(&mut reached, learned);
    }
    rules.reach(&mut reached, action);
    let exchanged = exchanged(rules, &reached, action);
    let name = |operation: u8| rules.scenario.name(usize::from(operation));
    let value = |value: ValueId| rules.machines.values().describe(value);
    let held = |replica: u8| value(before.replicas[usize::from(replica)].newest);
    let durable = |replica: u8| value(before.replicas[usize::from(replica)].durable);
    let mut text = match action {
        Action::Begin { operation, latest } => {
            format!("{} begins; its clock's latest is {latest}", name(operation))
        }
        Action::Query { operation, replica, .. } => {
            format!("{} asks {}, which holds {}", name(operation), letter(replica), held(replica))
        }
        Action::Answer { operation, replica } => {
            format!("{} asks {}, which answers {}, slowly", name(operation), letter(replica), held(replica))
        }
        Action::Arrive { operation, replica } => {
            format!("the answer of {} arrives at {}", letter(replica), name(operation))
        }
        Action::Deliver { value: number, replica, .. } => {
            format!("{} reaches {}", value(number), letter(replica))
        }
        Action::Decide => format!("{} is decided", describe_epoch(after.change.decided)),
        Action::Pull { replica, from } => {
            format!("{} merges what {} holds, {}", letter(replica), letter(from), held(from))
        }
        Action::Prepare { .. } | Action::Accept { .. } => exchanged,
        Action::Wait { operation } => format!("{} has waited for long", name(operation)),
        Action::ReplicaRestart { replica } => format!("{} restarts", letter(replica)),
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
    if let Action::Query { moment, .. } | Action::Prepare { moment, .. } = action
        && moment > 0
    {
        let _ = write!(text, "; by its clock it is {moment}");
    }
    for (before, after) in before.sent.into_iter().zip(after.sent) {
        for number in members(after & !before) {
            let _ = write!(text, "; it sends {}", value(number));
        }
    }
    if let Some(Learned { event_loop, epoch }) = learns {
        let node = rules.scenario.loops[usize::from(event_loop)].node;
        text = format!("n{node} learns of {}; {text}", describe_epoch(epoch));
    }
    if rules.scenario.changes {
        for replica in 0..rules.scenario.replicas() {
            let epoch = |world: &World| rules.machines.epoch_at(world.replicas[usize::from(replica)]);
            if epoch(after) > epoch(before) {
                let _ = write!(text, "; {} installs {}", letter(replica), describe_epoch(epoch(after)));
            }
        }
    }
    for operation in 0..rules.scenario.operations.len() {
        let (was, is) = (before.records[operation].progress, after.records[operation].progress);
        if was != is && matches!(is, Progress::Answered(_)) {
            let _ = write!(text, "; {}", outcome(rules, operation, is));
        }
        if was != is && is == Progress::Lost && !matches!(action, Action::Restart { .. }) {
            let _ = write!(text, "; {} goes on no longer", rules.scenario.name(operation));
        }
    }
    text
}

/// A Prepare or an Accept and what it is answered.
fn exchanged(rules: &mut Rules, before: &World, action: Action) -> String {
    let (replica, how) = match action {
        Action::Prepare { replica, how, .. } | Action::Accept { replica, how, .. } => (replica, how),
        _ => return String::new(),
    };
    // What the first step of an operation asks is there only once it has begun.
    let mut begun = *before;
    if let Action::Prepare { operation, .. } = action {
        rules.begin_if_idle(&mut begun, operation);
    }
    let Some(exchange) = rules.exchange(&begun, action) else { unreachable!("it was exchanged") };
    let values = rules.machines.values();
    let request = if let Action::Accept { accept, .. } = action { accept } else { exchange.request };
    let mut text = match rules.machines.request(request) {
        Request::Prepare { ballot, base, .. } => {
            let base = base.as_deref().map_or("its newest".into(), |base| describe_base(values, base));
            format!("{} asks {} to promise {base}", describe_ballot(*ballot), letter(replica))
        }
        Request::Accept { ballot, base, proposal, .. } => {
            let (base, proposal) = (describe_base(values, base), Text::of(&proposal.content).describe());
            format!("{} asks {} to accept {proposal} after {base}", describe_ballot(*ballot), letter(replica))
        }
        other => unreachable!("{other:?} is no part of consensus"),
    };
    let answer = match rules.machines.reply(exchange.reply) {
        Reply::Promise(promise) => match &promise.accepted {
            None => format!("it promises {:?}", promise.newest.version),
            Some(accepted) => {
                let proposal = Text::of(&accepted.proposal.content).describe();
                format!("it promises {:?}, where it has accepted {proposal}", promise.newest.version)
            }
        },
        Reply::Nack { promised, .. } => format!("it has promised {}", describe_ballot(*promised)),
        Reply::Closed(closed) => format!("it is closed: it holds {:?}", closed.newest.version),
        Reply::Accepted => "it accepts".into(),
        other => format!("it answers {other:?}"),
    };
    let _ = write!(text, "; {}{answer}", if how == Delivery::ThoughClosed { "though closed, " } else { "" });
    match how {
        Delivery::ReplyLost => text.push_str("; its answer is lost"),
        _ if exchange.asker.is_none() => text.push_str("; nobody waits for that any more"),
        _ => {}
    }
    text
}

fn describe_ballot(ballot: Ballot) -> String {
    format!("ballot {} of n{}.{}", ballot.round, ballot.node, ballot.boot)
}

fn describe_base(values: &Values, base: &Base) -> String {
    match base {
        Base::Named(version) => format!("{version:?}"),
        Base::Whole(base) => values.known(base).map_or_else(String::new, |number| values.describe(number)),
    }
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
        Progress::Lost => format!("{name} will not be answered"),
        Progress::Answered(ModelAnswer::Written) => format!("{name} is answered"),
        Progress::Answered(ModelAnswer::Read(text)) => format!("{name} returns {}", text.describe()),
    }
}

fn describe_epoch(epoch: u8) -> &'static str {
    match epoch {
        JOINT => "the joint configuration",
        LAST => "the last configuration",
        _ => "the first configuration",
    }
}

/// Replicas are A, B and C, and D.
fn letter(replica: u8) -> char {
    char::from(b'A' + replica)
}
