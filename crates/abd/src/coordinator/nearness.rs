//! Which members answer questions soon: a hint on whom to ask first, never a rule.
//!
//! A quorum is as fast as its slowest member, so one that is far away, or on a machine with too much to do, should be left
//! out while others make up a majority (the "tail at scale", Dean and Barroso 2013). One question at a time is timed for
//! each member, whether or not its operation still waits for the answer; a member that is not asked any more is asked now
//! and then, beside the others.

use crate::message::CallId;
use crate::quorum::{Members, NodeSet};
use crate::time::Instant;
use alloc::{vec, vec::Vec};
use core::time::Duration;

/// A member is far if it takes twice as long as the others need for a majority, and this much longer: what a busy processor
/// takes does not count.
const FAR_AT_LEAST: Duration = Duration::from_micros(500);
/// A question that is not answered within this time counts as one that took it; the next one is timed.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(1);
/// A refusal counts as an answer after this time, about that after which somebody else is asked.
const REFUSAL_COUNTS_AS: Duration = Duration::from_millis(10);
/// Of many questions at most one in this time is timed.
const TIMED_EVERY: Duration = Duration::from_millis(1);

/// What is known of all members.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Nearness {
    /// `None`: nothing is timed, and all members are near.
    probe_after: Option<Duration>,
    /// By index; nothing ever about the local one.
    members: Vec<Member>,
    /// The members, and which of them is the local one.
    quorum: (Members, usize),
    /// Those that have been timed, the nearest first.
    order: Vec<(Duration, usize)>,
    far: NodeSet,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Member {
    /// From question to answer, smoothed.
    round_trip: Option<Duration>,
    /// The question that is timed and not answered yet.
    asked: Option<CallId>,
    /// When that one, or the last one that was timed, was sent.
    last_timed: Instant,
    /// When the last one of all was sent.
    last_asked: Instant,
}

impl Nearness {
    /// Of members, one of which is local, of which nothing is known yet.
    pub(super) fn new(members: Members, local: usize, probe_after: Option<Duration>) -> Self {
        Self {
            probe_after,
            members: vec![Member::default(); members.count()],
            quorum: (members, local),
            order: Vec::new(),
            far: NodeSet::EMPTY,
        }
    }

    /// Whether a member is to be left out while there are others.
    pub(super) fn is_far(&self, index: usize) -> bool {
        self.far.contains(index)
    }

    /// All of those, the nearest first.
    pub(super) fn far(&self) -> impl Iterator<Item = usize> {
        self.order.iter().map(|(_, index)| *index).filter(|index| self.is_far(*index))
    }

    /// A member that is not going to be asked and should be: nobody knows how near it is by now. Each in its turn.
    pub(super) fn due(&self, not_asked: NodeSet, now: Instant) -> Option<usize> {
        let probe_after = self.probe_after?;
        let longest = not_asked.iter().min_by_key(|index| self.members[*index].last_asked)?;
        (now.since(self.members[longest].last_asked) >= probe_after).then_some(longest)
    }

    /// A question goes to a member.
    pub(super) fn ask(&mut self, index: usize, call: CallId, now: Instant) {
        if self.probe_after.is_none() {
            return;
        }
        let member = &mut self.members[index];
        member.last_asked = now;
        let unanswered = member.asked.is_some();
        let pause = if unanswered { FORGOTTEN_AFTER } else { TIMED_EVERY };
        if now.since(member.last_timed) < pause {
            return;
        }
        (member.asked, member.last_timed) = (Some(call), now);
        if unanswered {
            self.took(index, FORGOTTEN_AFTER);
        }
    }

    /// A member has answered a question, or refused to.
    pub(super) fn answered(&mut self, index: usize, call: CallId, refused: bool, now: Instant) {
        let member = &mut self.members[index];
        if member.asked.take_if(|asked| *asked == call).is_some() {
            let sample = now.since(member.last_timed).min(FORGOTTEN_AFTER);
            self.took(index, if refused { sample.max(REFUSAL_COUNTS_AS) } else { sample });
        }
    }

    /// A question has not been sent after all.
    pub(super) fn not_sent(&mut self, index: usize, call: CallId) {
        self.members[index].asked.take_if(|asked| *asked == call);
    }

    /// The connection to a member has changed: what was measured before says nothing, and what was asked may be lost.
    pub(super) fn forget(&mut self, index: usize) {
        self.members[index] = Member::default();
        self.judge();
    }

    fn took(&mut self, index: usize, sample: Duration) {
        let round_trip = &mut self.members[index].round_trip;
        *round_trip = Some(round_trip.map_or(sample, |smoothed| (smoothed * 3 + sample) / 4));
        self.judge();
    }

    fn judge(&mut self) {
        self.order.clear();
        let timed =
            self.members.iter().enumerate().filter_map(|(index, member)| Some((member.round_trip?, index)));
        self.order.extend(timed);
        self.order.sort_unstable();
        self.far = NodeSet::EMPTY;
        let (members, local) = &self.quorum;
        let mut nearest = NodeSet::EMPTY;
        nearest.insert(*local);
        let enough = self.order.iter().find(|(_, index)| {
            nearest.insert(*index);
            members.is_majority(nearest)
        });
        let Some(&(enough, _)) = enough else { return };
        for (round_trip, index) in &self.order {
            if *round_trip > enough * 2 + FAR_AT_LEAST {
                self.far.insert(*index);
            }
        }
    }
}
