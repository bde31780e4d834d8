//! The history that the clients saw has an order that explains it (`lincheck`). Outcomes that nobody knows stay open
//! for ever; reads that failed are left out; writes that were refused must not be seen by anybody.

use super::expiry::Expiry;
use super::{Conviction, Verdict};
use crate::history::{ClientAnswer, OperationRecord};
use crate::plan::OperationKind;
use lincheck::{Action, History, Model, Operation, Update, judge};

/// How many positions the search may visit: some clients have much under way, and nobody knows what became of it.
const POSITIONS: usize = 6_000_000;
/// A history on which it gives up is cut in half so often: what it begins with has an order, too.
const CUTS: u32 = 5;

/// Events are counted in steps of this, so that there is room between them.
const AFTER: u64 = 2;

/// How a history was judged.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// Whether it is about all of the history, and not about its beginning alone.
    pub is_whole: bool,
}

/// Judges a run's operations.
///
/// `expiries` are the values that may have gone away by themselves; with `by_true_time` no sooner than their deadlines. `acted` says
/// whether an operation of which nobody knows what it has done may have done anything at all.
pub fn check(
    records: &[OperationRecord],
    expiries: &[Expiry],
    by_true_time: bool,
    acted: impl Fn(&OperationRecord) -> bool,
) -> Judged {
    let mut indices = Vec::new();
    let mut operations = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let known = match (&record.answer, record.kind) {
            (ClientAnswer::Refused(_) | ClientAnswer::NotAsked, _)
            | (ClientAnswer::Unknown(_) | ClientAnswer::Pending, OperationKind::Get) => continue,
            (ClientAnswer::Unknown(_) | ClientAnswer::Pending, kind) if kind.keeps_value() => continue,
            // It was absent, or had no deadline.
            (ClientAnswer::Number(0), OperationKind::Persist) => continue,
            (ClientAnswer::Unknown(_) | ClientAnswer::Pending, _) if !acted(record) => continue,
            (ClientAnswer::Unknown(_) | ClientAnswer::Pending, _) => None,
            (ClientAnswer::Read(_) | ClientAnswer::Written | ClientAnswer::Number(_), _) => {
                Some(AFTER * record.returned.1)
            }
        };
        indices.push(Some(index));
        operations.push(Operation {
            client: u64::from(record.client) + 1,
            key: record.key.to_vec(),
            action: action(record),
            invoke: AFTER * record.invoked.1,
            ret: known,
        });
    }
    for expiry in expiries {
        let passed = records.iter().flat_map(|record| [record.invoked, record.returned]);
        let before = passed.filter(|(at, _)| by_true_time && *at < expiry.due).map(|(_, event)| event).max();
        let place = operations.partition_point(|operation| operation.invoke <= AFTER * expiry.since);
        indices.insert(place, None);
        operations.insert(place, expire(expiry, before.unwrap_or(0)));
    }
    let history = History::new(operations);
    let mut verdict = verdict(&history, &indices);
    for cut in 1..=CUTS {
        if !matches!(verdict, Verdict::Undecided(_)) {
            return Judged { verdict, is_whole: cut == 1 };
        }
        verdict = self::verdict(&beginning(&history, cut), &indices);
    }
    Judged { verdict, is_whole: false }
}

fn verdict(history: &History, indices: &[Option<usize>]) -> Verdict {
    match judge(&Model::register_with_updates(), history, POSITIONS).verdict {
        lincheck::Verdict::Linearizable => Verdict::Fine,
        lincheck::Verdict::Unknown(_) => Verdict::Undecided("the judge gave up on this history".into()),
        lincheck::Verdict::Violation(violation) => Verdict::Wrong(Conviction {
            check: "linearizable",
            text: violation.to_string(),
            operations: violation.window.iter().filter_map(|index| indices[*index]).collect(),
        }),
    }
}

/// The beginning of a history: what was asked in it, and was answered in it.
fn beginning(history: &History, cuts: u32) -> History {
    let count = history.operations.len() >> cuts;
    let end = history.operations.get(count).map_or(u64::MAX, |next| next.invoke);
    let asked = history.operations[..count].iter().filter(|operation| {
        let is_answered = operation.ret.is_some_and(|ret| ret < end);
        is_answered || !operation.action.is_observation()
    });
    let until = |operation: &Operation| Operation {
        ret: operation.ret.filter(|ret| *ret < end),
        ..operation.clone()
    };
    History::new(asked.map(until).collect())
}

/// A value goes away by itself, after this event, or never.
fn expire(expiry: &Expiry, after: u64) -> Operation {
    Operation {
        client: 0,
        key: expiry.key.to_vec(),
        action: match &expiry.value {
            Some(value) => Update::delete().if_equal(value).into(),
            None => Action::Delete,
        },
        invoke: (AFTER * expiry.since).max(AFTER * after + 1),
        ret: None,
    }
}

/// What an operation was asked to do, and what it answered, if it has.
fn action(record: &OperationRecord) -> Action {
    let (value, answer) = (&record.value, &record.answer);
    let update = match record.kind {
        OperationKind::Get => {
            let read = if let ClientAnswer::Read(value) = answer { value.as_ref() } else { None };
            return Action::Read(read.map(|value| value.to_vec()));
        }
        OperationKind::GetEx => {
            let read = if let ClientAnswer::Read(value) = answer { value.as_ref() } else { None };
            return Action::Read(read.map(|value| value.to_vec()));
        }
        // It was absent.
        OperationKind::Expire if *answer == ClientAnswer::Number(0) => return Action::Read(None),
        // It was there: what is absent alone would have been set.
        OperationKind::Expire | OperationKind::Persist => {
            return Update::set(b"").if_absent().applied(false).into();
        }
        OperationKind::Set | OperationKind::SetEx => return Action::Write(value.to_vec()),
        // What it counts is what was seen, as documented.
        OperationKind::Delete if record.is_blind => return Action::Delete,
        OperationKind::SetIfAbsent | OperationKind::Lock => Update::set(value).if_absent(),
        OperationKind::SetIfEqual => Update::set(value).if_equal(&record.expected),
        OperationKind::GetSet => Update::set(value),
        OperationKind::Append => Update::append(value),
        OperationKind::Increment => Update::add(number(value)),
        OperationKind::Delete => Update::delete().if_present(),
        OperationKind::DeleteIfEqual => Update::delete().if_equal(&record.expected),
        OperationKind::GetDelete => Update::delete(),
    };
    Action::Update(match (record.kind, answer) {
        (OperationKind::GetSet | OperationKind::GetDelete, ClientAnswer::Read(before)) => {
            update.before(before.as_deref())
        }
        (OperationKind::Append, ClientAnswer::Number(length)) => {
            update.length(u64::try_from(*length).unwrap_or(u64::MAX))
        }
        (OperationKind::Increment, ClientAnswer::Number(sum)) => update.number(*sum),
        (_, ClientAnswer::Number(count)) => update.applied(*count == 1),
        (_, ClientAnswer::Written) => update.applied(true),
        // A condition that did not hold.
        (_, ClientAnswer::Read(_)) => update.applied(false),
        _ => update,
    })
}

/// The number that a client adds.
fn number(value: &[u8]) -> i64 {
    std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok()).unwrap_or_default()
}
