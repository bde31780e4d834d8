//! Which members answer questions soon: a hint on whom to ask first, never a rule.
//!
//! A quorum is as fast as its slowest member, so one that is far away, or on a machine with too much to do, should be left
//! out while others make up a majority (the "tail at scale", Dean and Barroso 2013). One question at a time is timed for
//! each member, whether or not its operation still waits for the answer; a member that is not asked any more is asked now
//! and then, beside the others.

use crate::message::CallId;
use crate::quorum::NodeSet;
use crate::time::Instant;
use std::time::Duration;

/// A member is far if it takes twice as long as the others need for a majority, and this much longer: what a busy processor
/// takes does not count.
const FAR_AT_LEAST: Duration = Duration::from_micros(500);
/// A question that is not answered within this time is not waited for: the next one is timed.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(1);

/// What is known of all members.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Nearness {
    /// `None`: nothing is timed, and all members are near.
    probe_after: Option<Duration>,
    /// By index; nothing ever about the local one.
    members: Vec<Member>,
    /// Others that a majority takes.
    needed: usize,
    far: NodeSet,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Member {
    /// From question to answer, smoothed.
    round_trip: Option<Duration>,
    /// The question that is timed, and when it was sent.
    asked: Option<(CallId, Instant)>,
    /// When the last one was sent.
    last_asked: Instant,
}

impl Nearness {
    /// Of `count` members, the local one included, of which nothing is known yet.
    pub(super) fn new(count: usize, majority: usize, probe_after: Option<Duration>) -> Self {
        Self {
            probe_after,
            members: vec![Member::default(); count],
            needed: majority.saturating_sub(1),
            far: NodeSet::EMPTY,
        }
    }

    /// Those to be left out while there are others.
    pub(super) fn far(&self) -> NodeSet {
        self.far
    }

    /// A member that is not going to be asked and should be: nobody knows how near it is by now.
    pub(super) fn due(&self, not_asked: NodeSet, now: Instant) -> Option<usize> {
        let probe_after = self.probe_after?;
        not_asked.iter().find(|&index| now.since(self.members[index].last_asked) >= probe_after)
    }

    /// A question goes to a member.
    pub(super) fn ask(&mut self, index: usize, call: CallId, now: Instant) {
        if self.probe_after.is_none() {
            return;
        }
        let member = &mut self.members[index];
        member.last_asked = now;
        if member.asked.is_none_or(|(_, at)| now.since(at) >= FORGOTTEN_AFTER) {
            member.asked = Some((call, now));
        }
    }

    /// A member has answered something.
    pub(super) fn answered(&mut self, index: usize, call: CallId, now: Instant) {
        let member = &mut self.members[index];
        let Some((_, at)) = member.asked.take_if(|(asked, _)| *asked == call) else { return };
        let sample = now.since(at);
        member.round_trip = Some(match member.round_trip {
            Some(smoothed) => (smoothed * 3 + sample) / 4,
            None => sample,
        });
        self.judge();
    }

    fn judge(&mut self) {
        let mut known: Vec<Duration> = self.members.iter().filter_map(|member| member.round_trip).collect();
        known.sort_unstable();
        self.far = NodeSet::EMPTY;
        let Some(&enough) = self.needed.checked_sub(1).and_then(|last| known.get(last)) else { return };
        for (index, member) in self.members.iter().enumerate() {
            if member.round_trip.is_some_and(|round_trip| round_trip > enough * 2 + FAR_AT_LEAST) {
                self.far.insert(index);
            }
        }
    }
}
