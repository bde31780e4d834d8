//! What goes wrong in a run. Faults and operations meet in *storms*: what happens far apart in time rarely matters together.

use super::draw::{CHAOS, Draw};
use super::{Fault, Features, Point, Shape, What};
use crate::directory::PartState;
use crate::rng::Rng;
use crate::time::{MS, S};
use abd::{TIME_CEILING, TimestampMode};

/// Where the chance for damaged parts comes from.
const DAMAGE_STREAM: u64 = 0xda;
/// The same for parts of directories.
const PARTS_STREAM: u64 = 0xdb;
/// And for strangers.
const STRANGERS_STREAM: u64 = 0xdc;
/// And for identities that cannot be written.
const READ_ONLY_STREAM: u64 = 0xdd;

impl Draw {
    pub(super) fn faults(&mut self, seed: u64, features: Features, mode: TimestampMode) -> Vec<Fault> {
        let crashes = self.switch(features.crashes);
        let power_cuts = self.switch(features.power_cuts);
        let partitions = self.switch(features.partitions);
        let stalls = self.switch(None);
        let disks = self.switch(None);
        let clocks = self.switch(features.clock_faults);
        let poison = self.switch(None);
        let amnesia = features.amnesia.unwrap_or(self.rng.one_in(4));
        let lanes = self.switch(features.lanes);
        let stops = features.stops.unwrap_or(self.rng.one_in(3));
        let mut faults = Vec::new();
        let rounds = self.rng.between(1, 12);
        for _ in 0..rounds {
            if crashes {
                self.crash(&mut faults, power_cuts);
            }
            if partitions {
                self.partition(&mut faults);
            }
            if stalls {
                self.stall(&mut faults);
            }
            if disks {
                self.disk(&mut faults);
            }
            if clocks {
                self.clock(&mut faults, mode);
            }
            if lanes {
                self.lane(&mut faults);
            }
            if stops {
                let what = What::Stop(self.rng.node(self.nodes));
                faults.push(Fault { at: self.moment(), lasts: self.rng.magnitude(50 * MS, 8 * S), what });
            }
            if poison && self.rng.one_in(3) {
                let time = self.rng.between(1 << 62, TIME_CEILING);
                let what = What::Poison(self.rng.node(self.nodes), time);
                faults.push(Fault { at: self.moment(), lasts: 0, what });
            }
        }
        if amnesia {
            self.amnesia(&mut faults);
        }
        self.damage(&mut faults, seed, features.damage);
        self.parts(&mut faults, seed, features.parts);
        self.strangers(&mut faults, seed, features.strangers);
        self.read_only(&mut faults, seed, features.read_only);
        self.changes(&mut faults, seed, features.changes);
        if features.full_disks.unwrap_or(self.rng.one_in(8)) {
            self.full_disks(&mut faults);
        }
        faults.retain(|fault| fault.at < CHAOS && !(features.lasting && fault.what.forgets()));
        faults.sort_by_key(|fault| fault.at);
        faults
    }

    fn crash(&mut self, faults: &mut Vec<Fault>, power_cuts: bool) {
        let lasts = self.rng.magnitude(MS, 2 * S);
        if self.rng.one_in(3) {
            let points = [
                Point::BeforeWrites,
                Point::BetweenWrites,
                Point::InSync,
                Point::AfterSync,
                Point::InCollection,
                Point::InRecovery,
            ];
            let what = What::KillAt(self.rng.node(self.nodes), *self.rng.pick(&points));
            return faults.push(Fault { at: self.moment(), lasts, what });
        }
        let who = match self.rng.below(6) {
            0 => (0..self.nodes).collect(),
            1 => (0..self.nodes).filter(|_| self.rng.one_in(2)).collect(),
            _ => vec![self.rng.node(self.nodes)],
        };
        if who.is_empty() {
            return;
        }
        let at = self.moment();
        // A crash loop: up for a moment, down again.
        let times = if self.rng.one_in(5) { self.rng.between(2, 5) } else { 1 };
        for time in 0..times {
            let what = if power_cuts { What::PowerCut(who.clone()) } else { What::Kill(who.clone()) };
            faults.push(Fault { at: at + time * (lasts + self.rng.magnitude(MS, 300 * MS)), lasts, what });
        }
    }

    fn partition(&mut self, faults: &mut Vec<Fault>) {
        let all: Vec<u32> = (0..self.nodes).collect();
        let mut order = all.clone();
        self.rng.shuffle(&mut order);
        let chosen = order[0];
        let others = |of: u32| all.iter().copied().filter(move |node| *node != of);
        let half = order.len() / 2;
        let (shape, pairs) = match self.rng.below(7) {
            0 | 1 => {
                let size = self.rng.index(half) + 1;
                (Shape::Minority, apart(&order[..size], &order[size..]))
            }
            2 => {
                let pairs = all.iter().flat_map(|a| others(*a).map(move |b| (*a, b)));
                (Shape::Star, pairs.filter(|(a, b)| *a != chosen && *b != chosen).collect())
            }
            3 => (Shape::OneWay, others(chosen).map(|node| (chosen, node)).collect()),
            4 => (Shape::OneWay, others(chosen).map(|node| (node, chosen)).collect()),
            5 => (Shape::Bridge, apart(&order[..half], &order[half + 1..])),
            _ if self.rng.one_in(4) => (Shape::Total, apart(&order, &order)),
            _ => (Shape::Link, apart(&order[..1], &order[1..2])),
        };
        let pairs: Vec<(u32, u32)> = pairs.into_iter().filter(|(a, b)| a != b).collect();
        let lasts = self.rng.magnitude(10 * MS, 4 * S);
        let at = self.moment();
        let times = if self.rng.one_in(4) { self.rng.between(2, 6) } else { 1 };
        for time in 0..times {
            let at = at + time * lasts * 2;
            faults.push(Fault { at, lasts, what: What::Cut { shape, pairs: pairs.clone() } });
        }
    }

    fn stall(&mut self, faults: &mut Vec<Fault>) {
        let node = self.rng.node(self.nodes);
        let what = match self.rng.below(4) {
            0 => What::Slow(node, self.rng.magnitude(MS, 300 * MS)),
            1 => What::Reset(node),
            _ => What::Pause(node),
        };
        let lasts = if matches!(what, What::Reset(_)) { 0 } else { self.rng.magnitude(10 * MS, 12 * S) };
        faults.push(Fault { at: self.moment(), lasts, what });
    }

    fn disk(&mut self, faults: &mut Vec<Fault>) {
        let node = self.rng.node(self.nodes);
        let what = match self.rng.below(5) {
            0 => What::DiskFull(node),
            1 => What::SyncFails(node),
            _ => What::DiskSlow(node, self.rng.magnitude(50 * MS, 5 * S)),
        };
        faults.push(Fault { at: self.moment(), lasts: self.rng.magnitude(20 * MS, 4 * S), what });
    }

    /// All disks are full for a while, and some nodes start then.
    fn full_disks(&mut self, faults: &mut Vec<Fault>) {
        let (at, lasts) = (self.moment(), self.rng.magnitude(100 * MS, 4 * S));
        for node in 0..self.nodes {
            faults.push(Fault { at, lasts, what: What::DiskFull(node) });
            if self.rng.one_in(2) {
                faults.push(Fault { at: at + lasts / 2, lasts: lasts / 4, what: What::Kill(vec![node]) });
            }
        }
    }

    fn clock(&mut self, faults: &mut Vec<Fault>, mode: TimestampMode) {
        let node = self.rng.node(self.nodes);
        let what = match self.rng.below(4) {
            0 => What::WallFreeze(node),
            1 if mode == TimestampMode::TrueTime => What::ClockUnknown(node),
            _ => {
                let far = *self.rng.pick(&[20 * MS, S, 100 * S, 100_000_000 * S]);
                let by = i64::try_from(self.rng.magnitude(MS, far)).unwrap_or_default();
                What::WallJump(node, if self.rng.one_in(2) { by } else { -by })
            }
        };
        let lasts = if matches!(what, What::WallJump(..)) { 0 } else { self.rng.magnitude(20 * MS, 3 * S) };
        faults.push(Fault { at: self.moment(), lasts, what });
    }

    fn lane(&mut self, faults: &mut Vec<Fault>) {
        let from = self.rng.node(self.nodes);
        let to = (from + 1 + self.rng.node(self.nodes - 1)) % self.nodes;
        let at = self.moment();
        faults.push(match self.rng.below(5) {
            0 | 1 => Fault { at, lasts: 0, what: What::Break(from, to) },
            2 => Fault { at, lasts: 0, what: What::Mute(from, to) },
            _ => Fault { at, lasts: self.rng.magnitude(MS, 4 * S), what: What::Backlog(from, to) },
        });
    }

    /// No more nodes lose their disks than a cluster can do without.
    fn amnesia(&mut self, faults: &mut Vec<Fault>) {
        let spare = self.nodes - (self.nodes / 2 + 1);
        let mut order: Vec<u32> = (0..self.nodes).collect();
        self.rng.shuffle(&mut order);
        let lost = usize::try_from(self.rng.between(1, u64::from(spare))).unwrap_or(1);
        for node in order.into_iter().take(lost) {
            let what = match self.rng.below(4) {
                0 => What::BitFlip(node),
                1 => What::Zeroed(node),
                2 => What::OldDisk(node),
                _ => What::EmptyDisk(node),
            };
            let (at, lasts) = (self.moment(), self.rng.magnitude(MS, S));
            if matches!(what, What::OldDisk(_)) && self.rng.one_in(2) {
                // It serves for a while before it reaches those who know better.
                let others: Vec<u32> = (0..self.nodes).filter(|other| *other != node).collect();
                let cut = What::Cut { shape: Shape::Minority, pairs: apart(&[node], &others) };
                faults.push(Fault { at, lasts: lasts + self.rng.magnitude(20 * MS, 3 * S), what: cut });
            }
            faults.push(Fault { at, lasts, what });
        }
    }

    /// Somebody who is no member greets as one. Chance of its own, as above.
    fn strangers(&self, faults: &mut Vec<Fault>, seed: u64, wanted: Option<bool>) {
        let mut rng = Rng::new(seed, STRANGERS_STREAM);
        let drawn = rng.one_in(4);
        if !wanted.unwrap_or(drawn) {
            return;
        }
        for _ in 0..rng.between(1, 5) {
            let (node, claimed) = (rng.node(self.nodes), rng.node(self.nodes));
            let at = self.storms[rng.index(self.storms.len())] + rng.below(150 * MS);
            if node != claimed {
                faults.push(Fault { at, lasts: 0, what: What::Stranger(node, claimed) });
            }
        }
    }

    /// A node cannot write down whom it meets, and others start meanwhile. Chance of its own, as above.
    fn read_only(&self, faults: &mut Vec<Fault>, seed: u64, wanted: Option<bool>) {
        let mut rng = Rng::new(seed, READ_ONLY_STREAM);
        let drawn = rng.one_in(4);
        if !wanted.unwrap_or(drawn) {
            return;
        }
        for _ in 0..rng.between(1, 4) {
            let node = rng.node(self.nodes);
            let at = self.storms[rng.index(self.storms.len())] + rng.below(150 * MS);
            let lasts = rng.magnitude(100 * MS, 4 * S);
            faults.push(Fault { at, lasts, what: What::ReadOnly(node) });
            if rng.one_in(2) {
                let what = What::Kill(vec![(node + 1 + rng.node(self.nodes - 1)) % self.nodes]);
                faults.push(Fault { at: at + rng.below(lasts), lasts: rng.magnitude(MS, S), what });
            }
        }
    }

    /// A node comes back with parts of its directory missing or from another time. Chance of its own, as above.
    fn parts(&self, faults: &mut Vec<Fault>, seed: u64, wanted: Option<bool>) {
        let mut rng = Rng::new(seed, PARTS_STREAM);
        let drawn = rng.one_in(4);
        if !wanted.unwrap_or(drawn) {
            return;
        }
        for _ in 0..rng.between(1, 4) {
            let node = rng.node(self.nodes);
            let fates = [PartState::Kept, PartState::Gone, PartState::Older, PartState::Copied];
            let parts = if rng.one_in(3) {
                // A copy of all of it.
                [PartState::Copied; 3]
            } else {
                [(); 3].map(|()| *rng.pick(&fates))
            };
            let (at, lasts) =
                (self.storms[rng.index(self.storms.len())] + rng.below(150 * MS), rng.magnitude(MS, S));
            if parts != [PartState::Kept; 3] {
                faults.push(Fault { at, lasts, what: What::Parts(node, parts) });
            }
            if rng.one_in(2) {
                // Those who know better lose what they have not written down.
                let others = (0..self.nodes).filter(|other| *other != node).collect();
                faults.push(Fault { at, lasts, what: What::Kill(others) });
            }
        }
    }

    /// Parts of tables that cannot be read any more. Chance of its own: all else is as it would be without.
    fn damage(&self, faults: &mut Vec<Fault>, seed: u64, wanted: Option<bool>) {
        let mut rng = Rng::new(seed, DAMAGE_STREAM);
        let drawn = rng.one_in(3);
        if !wanted.unwrap_or(drawn) {
            return;
        }
        for _ in 0..rng.between(1, 6) {
            let storm = self.storms[rng.index(self.storms.len())];
            let what = What::Damage(rng.node(self.nodes), rng.node(3));
            faults.push(Fault { at: storm + rng.below(150 * MS), lasts: 0, what });
        }
    }
}

/// All ways between two groups.
fn apart(a: &[u32], b: &[u32]) -> Vec<(u32, u32)> {
    a.iter().flat_map(|a| b.iter().flat_map(move |b| [(*a, *b), (*b, *a)])).collect()
}
