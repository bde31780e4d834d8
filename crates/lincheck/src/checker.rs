//! Key by key: the fast algorithm where it applies, the search elsewhere.

use crate::compile::Key;
use crate::history::History;
use crate::model::Model;
use crate::search::{Found, search};
use crate::verdict::{GaveUp, Judgement, Verdict, Violation};
use crate::window;
use crate::zones::{Zones, zones};

/// How many positions the search may visit per key before it answers [`Verdict::Unknown`].
pub const DEFAULT_LIMIT: usize = 3_000_000;

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

/// Judges a history against a model and also returns the linearization of each key that has one.
///
/// A violation of any key beats an unknown one. Of several violations the first key's is reported.
///
/// A first round with a small allowance finds most violations before any hard key eats the large one.
#[must_use]
pub fn judge(model: &Model, history: &History, limit: usize) -> Judgement {
    let first = round(model, history, limit.min(FIRST_LIMIT));
    match first.verdict {
        Verdict::Unknown(_) if limit > FIRST_LIMIT => round(model, history, limit),
        _ => first,
    }
}

fn round(model: &Model, history: &History, limit: usize) -> Judgement {
    let mut verdict = Verdict::Linearizable;
    let mut orders = Vec::new();
    for (name, chosen) in history.by_key() {
        let mut key = Key::new(model, &history.operations, &chosen);
        let (suspects, stuck_at) = match zones(&key) {
            Zones::Order(order) => {
                orders.push((name.to_vec(), order));
                continue;
            }
            Zones::Conflict(suspects) => (suspects, u64::MAX),
            Zones::NotDistinct => match search(&mut key, limit) {
                Found::Order(order) => {
                    orders.push((name.to_vec(), order));
                    continue;
                }
                Found::Nothing { stuck_at } => {
                    let started = |&index: &usize| history.operations[index].invoke <= stuck_at;
                    (chosen.iter().copied().filter(started).collect(), stuck_at)
                }
                Found::GaveUp => {
                    if verdict == Verdict::Linearizable {
                        verdict = Verdict::Unknown(GaveUp { key: name.to_vec(), limit });
                    }
                    continue;
                }
            },
        };
        if !matches!(verdict, Verdict::Violation(_)) {
            let window = window::shrink(model, &history.operations, &suspects, stuck_at);
            verdict = Verdict::Violation(Violation::new(name, window, history));
        }
    }
    Judgement { verdict, orders }
}
