//! Changes of the members: what operators ask for, and when; and what goes wrong just then (rules C1 to C3).

use super::draw::{CHAOS, Draw};
use super::{Fault, What, Wish};
use crate::rng::Rng;
use crate::time::{MS, S};

/// Where the chance for changes comes from.
const CHANGES_STREAM: u64 = 0xdf;
/// Every member must have confirmed every other one before the first change (rule M1), and must know of its release.
const FIRST: u64 = 2 * S;
/// The last change begins so long before the end that it may come to something.
const LAST: u64 = CHAOS - 4 * S;
/// So long a node is away that comes back after several changes: from, to.
const AWAY: (u64, u64) = (4 * S, 20 * S);

impl Draw {
    /// Chance of its own: all else is as it would be without.
    pub(super) fn changes(&self, faults: &mut Vec<Fault>, seed: u64, wanted: Option<bool>) {
        let mut rng = Rng::new(seed, CHANGES_STREAM);
        let drawn = rng.one_in(3);
        if !wanted.unwrap_or(drawn) {
            return;
        }
        let mut at = FIRST + rng.below(4 * S);
        for _ in 0..rng.between(1, 5) {
            if at > LAST {
                return;
            }
            self.a_change(faults, &mut rng, at);
            at += rng.magnitude(500 * MS, 8 * S);
        }
    }

    fn a_change(&self, faults: &mut Vec<Fault>, rng: &mut Rng, at: u64) {
        let node = |rng: &mut Rng| rng.node(self.nodes);
        let (through, subject) = (node(rng), node(rng));
        let wish = match rng.below(8) {
            0..=3 => Wish::Replace(subject),
            4 | 5 => Wish::Grow,
            6 => Wish::Shrink(subject),
            _ => Wish::Move(subject),
        };
        // What the new nodes take to start.
        let lasts = rng.magnitude(MS, 3 * S);
        faults.push(Fault { at, lasts, what: What::Members(through, wish) });
        let soon = |rng: &mut Rng| at + rng.magnitude(MS, 3 * S);
        if rng.one_in(4) {
            // Two who drive at once, and want the same or not.
            let wish = *rng.pick(&[wish, Wish::Grow, Wish::Replace(subject), Wish::Shrink(subject)]);
            faults.push(Fault { at, lasts: rng.magnitude(MS, 3 * S), what: What::Members(node(rng), wish) });
        }
        if rng.one_in(4) {
            faults.push(Fault { at: soon(rng), lasts: 0, what: What::Members(node(rng), Wish::Abort) });
        }
        if rng.one_in(2) {
            // Who drives ends.
            let lasts = rng.magnitude(MS, 3 * S);
            faults.push(Fault { at: soon(rng), lasts, what: What::Kill(vec![through]) });
        }
        if rng.one_in(3) {
            // Who is replaced was away before, or comes back after several changes.
            let lasts = rng.between(AWAY.0, AWAY.1);
            let at = if rng.one_in(2) { at.saturating_sub(rng.below(S)) } else { soon(rng) };
            faults.push(Fault { at, lasts, what: What::Kill(vec![subject]) });
        }
        if rng.one_in(3) {
            // A node that has just come ends, with or without power.
            let newcomer = vec![self.nodes + rng.node(4)];
            let what = if rng.one_in(2) { What::Kill(newcomer) } else { What::PowerCut(newcomer) };
            faults.push(Fault { at: soon(rng), lasts: rng.magnitude(MS, 2 * S), what });
        }
        if rng.one_in(3) {
            let (one, other) = (node(rng), self.nodes + rng.node(4));
            let pairs = vec![(one, other), (other, one)];
            let cut = What::Cut { shape: super::Shape::Link, pairs };
            faults.push(Fault { at: soon(rng), lasts: rng.magnitude(10 * MS, 4 * S), what: cut });
        }
    }
}
