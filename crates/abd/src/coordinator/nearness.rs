//! Which members answer questions soon: a hint on whom to ask first, never a rule.
//!
//! A quorum is as fast as its slowest member, so one that is far away, or on a machine with too much to do, should be left
//! out while others make up a majority (the "tail at scale", Dean and Barroso 2013). One question at a time is timed for
//! each member, whether or not its operation still waits for the answer; a member that is not asked any more is asked now
//! and then, beside the others.

use crate::message::CallId;
use crate::quorum::{NodeSet, QuorumSystem};
use crate::time::Instant;
use crate::version::NodeId;
use alloc::{collections::BTreeMap, vec::Vec};
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
    /// Nothing ever about the local one.
    members: BTreeMap<NodeId, Member>,
    /// The members, and which of them is the local one.
    quorum: (QuorumSystem, NodeId),
    /// Those that have been timed, the nearest first.
    order: Vec<(Duration, NodeId)>,
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
    pub(super) fn new(quorums: QuorumSystem, local: NodeId, probe_after: Option<Duration>) -> Self {
        Self {
            probe_after,
            members: BTreeMap::new(),
            quorum: (quorums, local),
            order: Vec::new(),
            far: NodeSet::EMPTY,
        }
    }

    /// Whether a member is to be left out while there are others.
    pub(super) fn is_far(&self, id: NodeId) -> bool {
        self.far.contains(id)
    }

    /// All of those, the nearest first.
    pub(super) fn far(&self) -> impl Iterator<Item = NodeId> {
        self.order.iter().map(|(_, id)| *id).filter(|id| self.is_far(*id))
    }

    /// A member that is not going to be asked and should be: nobody knows how near it is by now. Each in its turn.
    pub(super) fn due(&self, not_asked: NodeSet, now: Instant) -> Option<NodeId> {
        let probe_after = self.probe_after?;
        let last_asked =
            |id: NodeId| self.members.get(&id).map_or(Instant::default(), |member| member.last_asked);
        let longest = not_asked.iter().min_by_key(|id| last_asked(*id))?;
        (now.since(last_asked(longest)) >= probe_after).then_some(longest)
    }

    /// A question goes to a member.
    pub(super) fn ask(&mut self, id: NodeId, call: CallId, now: Instant) {
        if self.probe_after.is_none() {
            return;
        }
        let member = self.members.entry(id).or_default();
        member.last_asked = now;
        let unanswered = member.asked.is_some();
        let pause = if unanswered { FORGOTTEN_AFTER } else { TIMED_EVERY };
        if now.since(member.last_timed) < pause {
            return;
        }
        (member.asked, member.last_timed) = (Some(call), now);
        if unanswered {
            self.took(id, FORGOTTEN_AFTER);
        }
    }

    /// A member has answered a question, or refused to.
    pub(super) fn answered(&mut self, id: NodeId, call: CallId, refused: bool, now: Instant) {
        let Some(member) = self.members.get_mut(&id) else { return };
        if member.asked.take_if(|asked| *asked == call).is_some() {
            let sample = now.since(member.last_timed).min(FORGOTTEN_AFTER);
            self.took(id, if refused { sample.max(REFUSAL_COUNTS_AS) } else { sample });
        }
    }

    /// A question has not been sent after all.
    pub(super) fn not_sent(&mut self, id: NodeId, call: CallId) {
        if let Some(member) = self.members.get_mut(&id) {
            member.asked.take_if(|asked| *asked == call);
        }
    }

    /// The connection to a member has changed: what was measured before says nothing, and what was asked may be lost.
    pub(super) fn forget(&mut self, id: NodeId) {
        self.members.remove(&id);
        self.judge();
    }

    /// Others are members now. What is known of those who stay remains true.
    pub(super) fn install(&mut self, quorums: QuorumSystem) {
        self.members.retain(|id, _| quorums.voters().contains(*id));
        self.quorum.0 = quorums;
        self.judge();
    }

    fn took(&mut self, id: NodeId, sample: Duration) {
        let round_trip = &mut self.members.entry(id).or_default().round_trip;
        *round_trip = Some(round_trip.map_or(sample, |smoothed| (smoothed * 3 + sample) / 4));
        self.judge();
    }

    fn judge(&mut self) {
        self.order.clear();
        self.order.extend(self.members.iter().filter_map(|(id, member)| Some((member.round_trip?, *id))));
        self.order.sort_unstable();
        self.far = NodeSet::EMPTY;
        let (quorums, local) = &self.quorum;
        let mut nearest: NodeSet = quorums.voters().iter().filter(|id| id == local).collect();
        let enough = self.order.iter().find(|(_, id)| {
            nearest.insert(*id);
            quorums.is_quorum(nearest)
        });
        let Some(&(enough, _)) = enough else { return };
        for (round_trip, id) in &self.order {
            if *round_trip > enough * 2 + FAR_AT_LEAST {
                self.far.insert(*id);
            }
        }
    }
}
