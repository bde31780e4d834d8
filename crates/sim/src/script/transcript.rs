//! From a recorded run to a script that does the same without chance.

use super::{Direction, Fate, Script};
use crate::directory::PartState;
use crate::history::OperationRecord;
use crate::plan::{LITTLE, Plan, SHORT_QUEUE};
use crate::time::MS;
use crate::trace::{Label, Trace, What};
use std::collections::BTreeMap;

/// More than all lines of a script take together.
const SLACK: u64 = 100 * MS;

/// Writes down what happened in a run. What a script cannot say (damaged frames, slow disks) is in it as the order of
/// events that it led to.
pub fn from_trace(plan: &Plan, trace: &Trace, records: &[OperationRecord]) -> Script {
    let mut arrivals: BTreeMap<u64, usize> = BTreeMap::new();
    for entry in &trace.entries {
        if let What::Arrived { message } = entry.what {
            *arrivals.entry(message).or_default() += 1;
        }
    }
    let mut recorder = Recorder {
        directions: Vec::new(),
        sent: BTreeMap::new(),
        arrivals,
        records,
        replaced: BTreeMap::new(),
    };
    for node in 0..plan.nodes {
        recorder.directions.push(Direction::SyncsWhenTold(node));
    }
    let mut now = 0;
    for entry in &trace.entries {
        let before = recorder.directions.len();
        if let Some(direction) = clock(&entry.what) {
            // A clock is read in the middle of what the last direction began, or by a timer while time passes. Either
            // way it must be set before.
            let place = if entry.at == now { before.saturating_sub(1) } else { before };
            recorder.directions.insert(place, direction);
            continue;
        }
        recorder.record(&entry.what);
        if recorder.directions.len() > before && entry.at > now {
            recorder.directions.insert(before, Direction::Pass(entry.at - now));
            now = entry.at;
        }
    }
    // What a timer did at the end happens only if time passes, and the lines themselves have delayed it.
    if let Some(last) = trace.entries.last().filter(|last| last.at > now) {
        recorder.directions.push(Direction::Pass(last.at - now + SLACK));
    }
    Script {
        tick: plan.clocks.tick,
        nodes: plan.nodes,
        mode: plan.mode,
        repairs: false,
        shows_unsynced: plan.early_reads,
        remembers: plan.cache_bytes > 0,
        short_backlogs: plan.short_backlogs,
        little_for_clients: plan.clients_bytes == LITTLE,
        heals: false,
        short_queues: plan.queue_bytes == SHORT_QUEUE,
        directions: (1..).zip(recorder.directions).collect(),
        preface: Vec::new(),
    }
}

struct Recorder<'a> {
    directions: Vec<Direction>,
    sent: BTreeMap<u64, (u32, u32, Label)>,
    /// How often each message arrives in the whole run.
    arrivals: BTreeMap<u64, usize>,
    records: &'a [OperationRecord],
    /// Nodes that are down because their disk is being replaced: how they come back.
    replaced: BTreeMap<u32, Direction>,
}

impl Recorder<'_> {
    fn record(&mut self, what: &What) {
        let direction = match what {
            What::Invoked { operation, client, node, .. } => {
                let record = &self.records[*operation];
                Direction::Ask {
                    client: *client,
                    node: *node,
                    kind: record.kind,
                    key: word(&record.key),
                    value: word(&record.value),
                    expected: word(&record.expected),
                    lives: record.lives_for(),
                    name: name(*operation),
                }
            }
            What::Sent { message, from, to, label } => {
                self.sent.insert(*message, (*from, *to, label.clone()));
                return;
            }
            What::Arrived { message } => return self.arrived(*message),
            What::Synced { node, .. } => Direction::Sync(*node),
            What::Stopped { node, how } if how == "no power" => Direction::PowerCut(*node),
            What::Stopped { node, .. } => Direction::Crash(*node),
            What::Copied { node } => Direction::Copy(*node),
            What::Stranger { node, claimed } => Direction::Stranger(*node, *claimed),
            What::Replaced { node, parts } => {
                let back = match parts {
                    [PartState::Gone, PartState::Gone, PartState::Gone] => Direction::Empty(*node),
                    [PartState::Older, PartState::Older, PartState::Older] => Direction::Old(*node),
                    parts => Direction::Parts(*node, *parts),
                };
                self.replaced.insert(*node, back);
                return;
            }
            What::Started { node, boot } => match self.replaced.remove(node) {
                Some(back) => back,
                None if *boot > 1 => Direction::Start(*node),
                None => return,
            },
            What::Paused { node } => Direction::Pause(*node),
            What::Resumed { node } => Direction::Resume(*node),
            _ => return,
        };
        self.directions.push(direction);
    }

    fn arrived(&mut self, message: u64) {
        let Some((from, to, label)) = self.sent.get(&message) else { return };
        let Some(operation) = label.operation else { return };
        let (from, to, kind, name) = (*from, *to, label.kind, name(operation));
        let copies = self.arrivals.remove(&message).unwrap_or(1) - 1;
        for _ in 0..copies {
            let name = name.clone();
            self.directions.push(Direction::Message { from, to, kind, name, fate: Fate::IsCopied });
        }
        self.directions.push(Direction::Message { from, to, kind, name, fate: Fate::Arrives });
    }
}

fn clock(what: &What) -> Option<Direction> {
    match what {
        What::Clock { node, behind, ahead } => Some(Direction::Clock(*node, *behind, *ahead)),
        What::Wall { node, offset } => Some(Direction::Wall(*node, *offset)),
        _ => None,
    }
}

fn name(operation: usize) -> String {
    format!("o{operation}")
}

/// Bytes as a word of a script.
fn word(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| if byte.is_ascii_alphanumeric() || *byte == b';' { char::from(*byte) } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Features;

    #[test]
    fn a_disk_that_is_replaced_while_nobody_runs_on_it_is_not_forgotten() {
        let plan = Plan::draw(1, Features::default());
        let mut trace = Trace::new(true);
        for what in [
            What::Started { node: 0, boot: 1 },
            What::Stopped { node: 0, how: "killed".into() },
            What::Replaced { node: 0, parts: [PartState::Older; 3] },
            What::Started { node: 0, boot: 1 },
            What::Stopped { node: 0, how: "killed".into() },
            What::Started { node: 0, boot: 2 },
        ] {
            trace.record(0, || what);
        }
        let script = from_trace(&plan, &trace, &[]);
        let told: Vec<&Direction> = script.directions.iter().map(|(_, direction)| direction).collect();
        let (crash, old, start) = (Direction::Crash(0), Direction::Old(0), Direction::Start(0));
        assert!(told.ends_with(&[&crash, &old, &crash, &start]), "{told:?}");
    }
}
