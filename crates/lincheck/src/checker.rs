//! Key by key: a fast algorithm where one applies, the search elsewhere.

use crate::appends::{Appends, appends};
use crate::compile::Key;
use crate::history::{History, Operation};
use crate::model::Model;
use crate::search::{SearchResult, Searched, search};
use crate::verdict::{GaveUp, Judgement, Verdict, Violation};
use crate::window;
use crate::zones::{Zones, zones};

/// How many positions the search may visit for all keys together before it answers [`Verdict::Unknown`].
pub const DEFAULT_LIMIT: usize = 3_000_000;

/// What every key may spend at first.
const FIRST_LIMIT: usize = 30_000;

/// Judges a history of registers with read, write and delete that start absent.
#[must_use]
pub fn check_register(history: &History) -> Verdict {
    check(&Model::register(), history)
}

/// Judges a history against a model, with the default limit.
#[must_use]
pub fn check(model: &Model, history: &History) -> Verdict {
    judge(model, history, DEFAULT_LIMIT).verdict
}

/// Judges a history against a model and also returns the evidence for each key.
///
/// A violation of any key beats an unknown one. In a first round each key gets a small allowance; most keys need no
/// more, and once one of them is convicted the verdict stands. Otherwise the hard keys share `limit`. A position at
/// which very many operations are concurrent counts as several.
#[must_use]
pub fn judge(model: &Model, history: &History, limit: usize) -> Judgement {
    let mut judgement = Judgement {
        verdict: Verdict::Linearizable,
        orders: Vec::new(),
        violations: Vec::new(),
        undecided: Vec::new(),
    };
    let mut hard = Vec::new();
    for (name, chosen) in history.by_key() {
        match decide(model, history, &chosen, limit.min(FIRST_LIMIT)).0 {
            Decision::GaveUp => hard.push((name, chosen)),
            decided => judgement.add(name, decided, history),
        }
    }
    let mut left = limit;
    for (name, chosen) in hard {
        let (decision, spent) = match left {
            // A first round that was allowed everything need not be repeated.
            _ if limit <= FIRST_LIMIT || left == 0 || !judgement.violations.is_empty() => {
                (Decision::GaveUp, 0)
            }
            _ => decide(model, history, &chosen, left),
        };
        left = left.saturating_sub(spent);
        judgement.add(name, decision, history);
    }
    judgement.orders.sort_unstable();
    judgement.verdict = match (judgement.violations.first(), judgement.undecided.first()) {
        (Some(violation), _) => Verdict::Violation(violation.clone()),
        (None, Some(key)) => Verdict::Unknown(GaveUp { key: key.clone(), limit }),
        (None, None) => Verdict::Linearizable,
    };
    judgement
}

/// What is known about one key.
enum Decision {
    Order(Vec<usize>),
    Window(Vec<usize>),
    GaveUp,
}

impl Judgement {
    fn add(&mut self, key: &[u8], decision: Decision, history: &History) {
        match decision {
            Decision::Order(order) => self.orders.push((key.to_vec(), order)),
            Decision::Window(window) => self.violations.push(Violation::new(key, window, history)),
            Decision::GaveUp => self.undecided.push(key.to_vec()),
        }
    }
}

/// Decides one key and says how much of the limit that took.
fn decide(model: &Model, history: &History, chosen: &[usize], limit: usize) -> (Decision, usize) {
    let mut key = Key::new(model, &history.operations, chosen);
    let operations = &history.operations;
    match zones(&key) {
        Zones::Order(order) => (Decision::Order(order), 0),
        Zones::Conflict(suspects) => {
            (Decision::Window(window::shrink(model, operations, &suspects, u64::MAX)), 0)
        }
        Zones::NotDistinct => match appends(model, operations, chosen) {
            Appends::Order(order) => (Decision::Order(order), 0),
            Appends::Conflict(window) => (Decision::Window(window), 0),
            Appends::Declined => searched(model, operations, chosen, &mut key, limit),
        },
    }
}

fn searched(
    model: &Model,
    operations: &[Operation],
    chosen: &[usize],
    key: &mut Key,
    limit: usize,
) -> (Decision, usize) {
    let Searched { found, spent } = search(key, limit);
    let decision = match found {
        SearchResult::Order(order) => Decision::Order(order),
        SearchResult::Nothing { stuck_at } => {
            let started = |&index: &usize| operations[index].invoke <= stuck_at;
            let suspects: Vec<usize> = chosen.iter().copied().filter(started).collect();
            Decision::Window(window::shrink(model, operations, &suspects, stuck_at))
        }
        SearchResult::GaveUp => Decision::GaveUp,
    };
    (decision, spent)
}
