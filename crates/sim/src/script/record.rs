//! From a recorded run to a script that does the same without chance.

use super::{Direction, Fate, Script};
use crate::history::Record;
use crate::plan::Plan;
use crate::trace::{Label, Trace, What};
use std::collections::BTreeMap;

/// Writes down what happened in a run. What a script cannot say (damaged frames, slow disks) is in it as the order of
/// events that it led to.
pub fn from_trace(plan: &Plan, trace: &Trace, records: &[Record]) -> Script {
    let mut arrivals: BTreeMap<u64, usize> = BTreeMap::new();
    for entry in &trace.entries {
        if let What::Arrived { message } = entry.what {
            *arrivals.entry(message).or_default() += 1;
        }
    }
    let mut recorder = Recorder { directions: Vec::new(), sent: BTreeMap::new(), arrivals, records };
    for node in 0..plan.nodes {
        recorder.directions.push(Direction::SyncsWhenTold(node));
    }
    let mut now = 0;
    for entry in &trace.entries {
        let before = recorder.directions.len();
        recorder.record(&entry.what);
        if recorder.directions.len() > before && entry.at > now {
            recorder.directions.insert(before, Direction::Pass(entry.at - now));
            now = entry.at;
        }
    }
    Script {
        nodes: plan.nodes,
        mode: plan.mode,
        shows_unsynced: plan.early_reads,
        directions: (1..).zip(recorder.directions).collect(),
        preface: Vec::new(),
    }
}

struct Recorder<'a> {
    directions: Vec<Direction>,
    sent: BTreeMap<u64, (u32, u32, Label)>,
    /// How often each message arrives in the whole run.
    arrivals: BTreeMap<u64, usize>,
    records: &'a [Record],
}

impl Recorder<'_> {
    fn record(&mut self, what: &What) {
        let direction = match what {
            What::Clock { node, behind, ahead } => Direction::Clock(*node, *behind, *ahead),
            What::Wall { node, offset } => Direction::Wall(*node, *offset),
            What::Invoked { operation, client, node, .. } => {
                let record = &self.records[*operation];
                Direction::Ask {
                    client: *client,
                    node: *node,
                    kind: record.kind,
                    key: word(&record.key),
                    value: word(&record.value),
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
            What::Started { node, boot } if *boot > 1 => Direction::Start(*node),
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

fn name(operation: usize) -> String {
    format!("o{operation}")
}

/// Bytes as a word of a script.
fn word(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if byte.is_ascii_alphanumeric() { char::from(*byte) } else { '_' }).collect()
}
