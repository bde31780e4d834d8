//! Who dials a lane, and when.
//!
//! The node with the lower id dials. The other one does so, too, when it has waited for that in vain: nobody may know where it
//! listens now, or the way to it may be barred. Should both dial at once, the later connection takes the place of the earlier
//! one; if that costs both, as either side has seen the other order, one of them dials again at once and the other waits.

use crate::hello::{LaneId, LaneKind};
use crate::lanes::{pair_count, pairs_of};
use abd::{Instant, NodeId};
use core::time::Duration;

/// Pauses between attempts to connect.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// So long the node with the higher id waits to be dialled.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often somebody who need not dial looks whether that is still so.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The lanes to a member that an event loop of this node keeps up. `ours` and `theirs` are how many event loops they have.
pub fn lanes_of(index: u16, ours: u16, theirs: u16) -> impl Iterator<Item = LaneId> {
    let kinds = [LaneKind::Small, LaneKind::Bulk];
    pairs_of(index, ours, theirs).flat_map(move |pair| kinds.map(|kind| LaneId { kind, pair }))
}

/// Whether there is such a lane. A member may come back with fewer event loops than it had.
pub fn is_wanted(lane: LaneId, ours: u16, theirs: u16) -> bool {
    lane.pair < pair_count(ours, theirs)
}

/// What to do about a lane now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redial {
    /// Dial it, and say how that ended.
    Now,
    /// Look again then.
    At(Instant),
}

/// When to dial one lane.
#[derive(Clone, Debug)]
pub struct Dialling {
    /// How long this node waits to be dialled.
    patience: Duration,
    /// When the lane was up last, or not wanted.
    last_up: Instant,
    /// Not before this.
    pause_until: Instant,
    /// The next pause.
    pause: Duration,
}

impl Dialling {
    /// Of node `own` to a member.
    pub fn new(own: NodeId, peer: NodeId, now: Instant) -> Self {
        let patience = if peer > own { Duration::ZERO } else { PATIENCE };
        Self { patience, last_up: now, pause_until: now, pause: PAUSE.0 }
    }

    /// What to do. `is_missing`: the lane is wanted and not up.
    pub fn poll(&mut self, is_missing: bool, now: Instant) -> Redial {
        if now < self.pause_until {
            return Redial::At(self.pause_until);
        }
        if !is_missing {
            self.last_up = now;
        }
        if is_missing && now.since(self.last_up) >= self.patience {
            return Redial::Now;
        }
        Redial::At(now + LOOK_EVERY)
    }

    /// It could not be dialled.
    pub fn handle_failed(&mut self, now: Instant) {
        self.pause_until = now + self.pause;
        self.pause = (self.pause * 2).min(PAUSE.1);
    }

    /// It was up, and has ended.
    pub fn handle_ended(&mut self, now: Instant) {
        (self.pause, self.last_up) = (PAUSE.0, now);
        self.handle_failed(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const MS: u64 = 1_000_000;

    /// When the first attempts begin, each of which fails at once.
    fn attempts(dialling: &mut Dialling, from: u64, count: usize) -> Vec<u64> {
        let (mut now, mut all) = (Instant(from * MS), Vec::new());
        while all.len() < count {
            match dialling.poll(true, now) {
                Redial::Now => {
                    all.push(now.0 / MS);
                    dialling.handle_failed(now);
                }
                Redial::At(then) => {
                    assert!(then > now);
                    now = then;
                }
            }
        }
        all
    }

    #[test]
    fn the_lower_id_dials_at_once_and_then_more_and_more_seldom() {
        let mut dialling = Dialling::new(NodeId(1), NodeId(2), Instant(0));
        assert_eq!(attempts(&mut dialling, 0, 8), [0, 20, 60, 140, 300, 620, 1120, 1620]);
        dialling.handle_ended(Instant(5000 * MS));
        assert_eq!(
            attempts(&mut dialling, 5000, 3),
            [5020, 5060, 5140],
            "it was up, so the pauses begin anew"
        );
    }

    #[test]
    fn the_higher_id_dials_when_it_has_waited_in_vain() {
        let mut dialling = Dialling::new(NodeId(2), NodeId(1), Instant(0));
        assert_eq!(
            dialling.poll(false, Instant(1900 * MS)),
            Redial::At(Instant(2400 * MS)),
            "it was dialled"
        );
        assert_eq!(attempts(&mut dialling, 2000, 3), [4000, 4020, 4060]);
    }

    #[test]
    fn both_lanes_of_each_pair_are_kept_up_and_none_that_is_gone() {
        let lanes: Vec<LaneId> = lanes_of(1, 2, 3).collect();
        let lane = |kind, pair| LaneId { kind, pair };
        assert_eq!(lanes, [lane(LaneKind::Small, 1), lane(LaneKind::Bulk, 1)]);
        assert_eq!(lanes_of(0, 2, 3).count(), 4);
        let third = lane(LaneKind::Small, 2);
        assert!(is_wanted(third, 2, 3) && !is_wanted(third, 2, 1));
    }
}
