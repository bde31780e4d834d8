//! What nodes lose of what they have stored, and heal (rule S3): parts of it, while they run and while they are down, and their databases.

use super::draw::{CHAOS, Draw};
use super::{Fault, Plan, What};
use crate::directory::PartState;
use crate::disk::Loss;
use crate::rng::Rng;
use crate::time::{MS, S};

/// Where the chance for it comes from.
const LOSSES_STREAM: u64 = 0xe0;
/// Every member must have confirmed every other one before (rule M1).
const FIRST: u64 = S;
/// Most things that are lost in a run. A heal takes some seconds.
const MOST: u64 = 5;

impl Draw {
    /// Whether nodes heal in this run; what they lose then. Chance of its own: all else is as it would be without.
    pub(super) fn losses(&self, faults: &mut Vec<Fault>, seed: u64, wanted: Option<bool>) -> bool {
        let mut rng = Rng::new(seed, LOSSES_STREAM);
        let drawn = rng.one_in(3);
        if !wanted.unwrap_or(drawn) {
            return false;
        }
        for _ in 0..rng.between(1, MOST) {
            let at = rng.between(FIRST, CHAOS - S);
            let node = rng.node(self.nodes);
            if rng.one_in(4) {
                let database = *rng.pick(&[PartState::Gone, PartState::Older, PartState::Copied]);
                let what = What::Parts(node, [PartState::Kept, PartState::Kept, database]);
                faults.push(Fault { at, lasts: rng.magnitude(MS, S), what });
                continue;
            }
            if rng.one_in(3) {
                // It finds it when it starts.
                let (at, lasts) = (at.saturating_sub(50 * MS), 50 * MS + rng.magnitude(MS, 2 * S));
                faults.push(Fault { at, lasts, what: What::Kill(vec![node]) });
            }
            faults.push(Fault { at, lasts: 0, what: What::Lose(node, a_loss(&mut rng)) });
            if rng.one_in(4) {
                // It ends in the middle of its heal.
                let at = at + rng.magnitude(10 * MS, 4 * S);
                faults.push(Fault { at, lasts: rng.magnitude(MS, 3 * S), what: What::Kill(vec![node]) });
            }
        }
        true
    }
}

fn a_loss(rng: &mut Rng) -> Loss {
    let key = Plan::key(rng.node(3));
    match rng.below(8) {
        0..=2 => Loss::Versions(key),
        3 | 4 => Loss::Record(key),
        5 | 6 => Loss::From(key),
        _ => Loss::Own,
    }
}
