//! The clocks of a node: a wall clock that may be wrong by any amount, and an interval clock that may be wide but
//! never wrong: true time is always inside. That is the assumption of TrueTime; nothing here breaks it.

use crate::plan::Clocks;
use crate::rng::{Rng, mix};
use crate::time::EPOCH;
use abd::Interval;

/// The clocks of one node. They go on while the node is down.
#[derive(Clone, Debug)]
pub struct NodeClocks {
    seed: u64,
    offset: i64,
    drift_ppm: i64,
    frozen_at: Option<u64>,
    /// No interval at the moment.
    pub unknown: bool,
    /// Set by a script: distances of the bounds from true time.
    pub fixed: Option<(u64, u64)>,
}

impl NodeClocks {
    /// Drawn within the limits of the plan.
    pub fn draw(rng: &mut Rng, clocks: &Clocks) -> Self {
        let either = |rng: &mut Rng, most: u64| {
            let size = i64::try_from(rng.below(most + 1)).unwrap_or_default();
            if rng.one_in(2) { size } else { -size }
        };
        Self {
            seed: rng.word(),
            offset: either(rng, clocks.wall_skew),
            drift_ppm: either(rng, clocks.drift_ppm),
            frozen_at: None,
            unknown: false,
            fixed: None,
        }
    }

    /// The wall clock, in nanoseconds since the Unix epoch.
    pub fn wall(&self, now: u64) -> u64 {
        let now = self.frozen_at.unwrap_or(now);
        let drift = i128::from(now) * i128::from(self.drift_ppm) / 1_000_000;
        let wall = i128::from(EPOCH) + i128::from(now) + i128::from(self.offset) + drift;
        u64::try_from(wall.max(1)).unwrap_or(u64::MAX)
    }

    /// The wall clock jumps.
    pub fn jump(&mut self, by: i64) {
        self.offset = self.offset.saturating_add(by);
    }

    /// The wall clock stands still, or goes on.
    pub fn freeze(&mut self, at: Option<u64>) {
        self.frozen_at = at;
    }

    /// How far the bounds are from true time now: `(behind, ahead)`.
    pub fn distances(&self, now: u64, clocks: &Clocks) -> (u64, u64) {
        if let Some(fixed) = self.fixed {
            return fixed;
        }
        let word = mix(self.seed ^ (now / clocks.hold.max(1)));
        ((word >> 32) % (clocks.behind + 1), (word & 0xffff_ffff) % (clocks.ahead + 1))
    }

    /// The interval now. It is read in ticks, so it repeats; and it goes back when the upper distance shrinks.
    pub fn interval(&self, now: u64, clocks: &Clocks) -> Option<Interval> {
        if self.unknown {
            return None;
        }
        let (behind, ahead) = self.distances(now, clocks);
        let tick = clocks.tick.max(1);
        let truth = EPOCH + now;
        let floor = truth / tick * tick;
        let ceiling = if floor == truth { truth } else { floor + tick };
        Some(Interval { earliest: floor - behind, latest: ceiling + ahead })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{MS, S};

    #[test]
    fn true_time_is_always_inside_and_the_upper_bound_repeats_and_goes_back() {
        let clocks =
            Clocks { wall_skew: S, drift_ppm: 500, behind: 7 * MS, ahead: 9 * MS, hold: 3 * MS, tick: MS };
        let node = NodeClocks::draw(&mut Rng::new(1, 0), &clocks);
        let (mut last, mut back, mut repeats) = (0, 0, 0);
        for now in (0..S).step_by(97_000) {
            let interval = node.interval(now, &clocks).unwrap();
            assert!((interval.earliest..=interval.latest).contains(&(EPOCH + now)));
            back += u64::from(interval.latest < last);
            repeats += u64::from(interval.latest == last);
            last = interval.latest;
        }
        assert!(back > 10 && repeats > 10, "{back} {repeats}");
    }

    #[test]
    fn wall_clocks_jump_drift_and_stand_still() {
        let clocks = Clocks { wall_skew: 0, drift_ppm: 0, behind: 0, ahead: 0, hold: 1, tick: 1 };
        let mut node = NodeClocks::draw(&mut Rng::new(1, 0), &clocks);
        assert_eq!(node.wall(5), EPOCH + 5);
        node.jump(-3);
        assert_eq!(node.wall(5), EPOCH + 2);
        node.freeze(Some(5));
        assert_eq!(node.wall(500), EPOCH + 2);
    }
}
