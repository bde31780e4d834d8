//! The history that the clients saw has an order that explains it (`lincheck`). Outcomes that nobody knows stay open
//! for ever; reads that failed are left out; writes that were refused must not be seen by anybody.

use super::{Conviction, Verdict};
use crate::history::{ClientAnswer, OperationRecord};
use crate::plan::OperationKind;
use lincheck::{Action, History, Model, Operation, judge};

/// How many positions the search may visit: some clients have much under way, and nobody knows what became of it.
const POSITIONS: usize = 30_000_000;

/// Judges a run's operations.
pub fn check(records: &[OperationRecord]) -> Verdict {
    let mut indices = Vec::new();
    let mut operations = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let known = match (&record.answer, record.kind) {
            (ClientAnswer::Refused(_) | ClientAnswer::NotAsked, _)
            | (ClientAnswer::Unknown(_) | ClientAnswer::Pending, OperationKind::Get) => continue,
            (ClientAnswer::Unknown(_) | ClientAnswer::Pending, _) => None,
            (ClientAnswer::Read(_) | ClientAnswer::Written, _) => Some(record.returned.1),
        };
        let action = match (record.kind, &record.answer) {
            (OperationKind::Get, ClientAnswer::Read(value)) => {
                Action::Read(value.as_ref().map(|value| value.to_vec()))
            }
            (OperationKind::Set, _) => Action::Write(record.value.to_vec()),
            _ => Action::Delete,
        };
        indices.push(index);
        operations.push(Operation {
            client: u64::from(record.client) + 1,
            key: record.key.to_vec(),
            action,
            invoke: record.invoked.1,
            ret: known,
        });
    }
    match judge(&Model::register(), &History::new(operations), POSITIONS).verdict {
        lincheck::Verdict::Linearizable => Verdict::Fine,
        lincheck::Verdict::Unknown(_) => Verdict::Undecided("the judge gave up on this history".into()),
        lincheck::Verdict::Violation(violation) => Verdict::Wrong(Conviction {
            check: "linearizable",
            text: violation.to_string(),
            operations: violation.window.iter().map(|index| indices[*index]).collect(),
        }),
    }
}
