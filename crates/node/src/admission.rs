//! Whether a node votes and whether it begins operations (rules M1 and V1), whom it reaches, and whether it is about to stop.
//!
//! All event loops ask at every request, so there is no lock: whatever is learnt here is a fact that stays true for as long as
//! the node runs, but for who is reached. Who waits for a fact is told by whoever has it written here.

use abd::{Members, NodeId, NodeSet, Reason, Standing};
use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What a node has been let into.
#[derive(Debug)]
pub struct Admission {
    members: Members,
    own: NodeId,
    /// Every other member has confirmed this node's data directory, now or in an earlier run; that is durable.
    admitted: AtomicBool,
    /// Enough have confirmed it, so that operations may begin.
    begun: AtomicBool,
    stopping: AtomicBool,
    others: Box<[Other]>,
}

/// What is known of another member.
#[derive(Debug)]
struct Other {
    id: NodeId,
    /// It has confirmed this node's directory in this run.
    confirmed: AtomicBool,
    /// Event loops that have a lane to it.
    lanes: AtomicUsize,
}

impl Admission {
    /// Of a node at its start; `admitted` is what its directory says.
    pub fn new(members: Members, own: NodeId, admitted: bool) -> Self {
        let other = |id| Other { id, confirmed: AtomicBool::new(false), lanes: AtomicUsize::new(0) };
        let others = members.iter().filter(|id| *id != own).map(other).collect();
        let [begun, stopping] = [false, false].map(AtomicBool::new);
        let admission = Self { members, own, admitted: AtomicBool::new(admitted), begun, stopping, others };
        admission.look();
        admission
    }

    fn other(&self, peer: NodeId) -> Option<&Other> {
        self.others.iter().find(|other| other.id == peer)
    }

    /// Members that have met this node since its start, itself included.
    fn met(&self) -> NodeSet {
        self.with_others(|other| other.confirmed.load(Ordering::SeqCst))
    }

    /// This node and those of whom something is true.
    fn with_others(&self, holds: impl Fn(&Other) -> bool) -> NodeSet {
        self.others.iter().filter(|other| holds(other)).map(|other| other.id).chain([self.own]).collect()
    }

    /// Of two facts that come at one time, whichever comes second sees both.
    fn look(&self) {
        if self.admitted.load(Ordering::SeqCst) && self.members.is_majority(self.met()) {
            self.begun.store(true, Ordering::Release);
        }
    }

    /// A member has durably remembered this node's directory (rule M1). `true`: so has every other one in this run, and this
    /// node is not admitted yet. Once that is durable, it is [`Admission::admit`]ted.
    pub fn confirmed_by(&self, peer: NodeId) -> bool {
        if let Some(other) = self.other(peer) {
            other.confirmed.store(true, Ordering::SeqCst);
        }
        self.look();
        self.met().len() == self.members.count() && !self.is_admitted()
    }

    /// That every member has confirmed this directory is durable; whether that is news.
    pub fn admit(&self) -> bool {
        let before = self.admitted.swap(true, Ordering::SeqCst);
        self.look();
        !before
    }

    /// Whether this node votes.
    pub fn is_admitted(&self) -> bool {
        self.admitted.load(Ordering::Acquire)
    }

    /// How its replica stands. `writable`: its disk has room.
    pub fn standing(&self, writable: bool) -> Standing {
        Standing { admitted: self.is_admitted(), writable }
    }

    /// Whether this node may begin operations, and so issue timestamps (rule V1): its directory is confirmed, and since
    /// its start a majority has met it. On an old copy of its disk it would issue with TrueTime, which asks nobody first,
    /// what its former self has issued under the same boot count; whoever met that one refuses the copy.
    pub fn may_begin(&self) -> bool {
        self.begun.load(Ordering::Acquire) && !self.is_stopping()
    }

    /// From now on no operation begins here, and what waits to begin is refused.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether it is about to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Why it may not begin operations.
    pub fn not_begun(&self) -> Reason {
        if self.is_stopping() {
            return Reason::Stopping;
        }
        if !self.is_admitted() {
            return Reason::NotAdmitted;
        }
        let (needed, members) = (self.members.majority(), self.members.count());
        Reason::MajorityNotMet { met: self.met().len(), needed, members }
    }

    /// Why no operation can be expected to succeed now, in the words of the errors that clients get. `None`: this node is
    /// ready. `has_time`: there is an interval, or none is needed.
    pub fn not_ready(&self, has_time: bool) -> Option<Reason> {
        if !self.may_begin() {
            return Some(self.not_begun());
        }
        if !has_time {
            return Some(Reason::ClockUnknown);
        }
        let up = self.with_others(|other| other.lanes.load(Ordering::Relaxed) > 0);
        let (needed, members) = (self.members.majority(), self.members.count());
        let reason = Reason::NoQuorum { answered: up.len(), needed, members, refusal: None };
        (!self.members.is_majority(up)).then_some(reason)
    }

    /// An event loop has a lane to a member, or has none any more. `true`: it is the first, or was the last.
    pub fn lanes_changed(&self, peer: NodeId, up: bool) -> bool {
        let Some(other) = self.other(peer) else { return false };
        if up {
            other.lanes.fetch_add(1, Ordering::Relaxed) == 0
        } else {
            let before = other.lanes.fetch_sub(1, Ordering::Relaxed);
            assert!(before > 0, "an event loop had a lane to node {peer} and never said so");
            before == 1
        }
    }

    /// Whether any event loop has a lane to a member.
    pub fn is_up(&self, peer: NodeId) -> bool {
        self.other(peer).is_some_and(|other| other.lanes.load(Ordering::Relaxed) > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(members: u32, admitted: bool) -> Admission {
        Admission::new(Members::new((1..=members).map(NodeId).collect()), NodeId(1), admitted)
    }

    #[test]
    fn m1_a_node_votes_when_every_other_member_has_confirmed_it_and_that_is_durable() {
        let node = node(3, false);
        assert!(!node.confirmed_by(NodeId(2)) && !node.confirmed_by(NodeId(2)), "one of two");
        assert!(!node.confirmed_by(NodeId(1)) && !node.confirmed_by(NodeId(9)), "no other member");
        assert_eq!((node.is_admitted(), node.not_begun()), (false, Reason::NotAdmitted));
        assert!(node.confirmed_by(NodeId(3)));
        assert!(!node.is_admitted() && !node.may_begin(), "it is not durable");
        assert!(node.admit() && !node.admit());
        assert!(node.may_begin());
        assert_eq!(node.standing(false), Standing { admitted: true, writable: false });
        assert!(!node.confirmed_by(NodeId(2)), "that is known");
    }

    #[test]
    fn v1_an_admitted_node_begins_when_a_majority_has_met_it_since_its_start() {
        let node = node(5, true);
        for (met, peer) in [(1, 2), (2, 2), (2, 4)] {
            assert_eq!(node.not_begun(), Reason::MajorityNotMet { met, needed: 3, members: 5 });
            assert!(!node.may_begin());
            node.confirmed_by(NodeId(peer));
        }
        assert!(node.may_begin());
    }

    #[test]
    fn a_node_alone_is_a_majority() {
        let node = node(1, true);
        assert!(node.may_begin());
        assert_eq!(node.not_ready(true), None);
    }

    #[test]
    fn nothing_begins_in_a_node_that_stops() {
        let node = node(3, true);
        node.stop();
        node.confirmed_by(NodeId(2));
        assert_eq!((node.may_begin(), node.not_ready(true)), (false, Some(Reason::Stopping)));
    }

    #[test]
    fn a_node_is_ready_while_it_reaches_a_majority_and_knows_the_time() {
        let node = node(3, true);
        node.confirmed_by(NodeId(3));
        let (needed, members) = (2, 3);
        let alone = Some(Reason::NoQuorum { answered: 1, needed, members, refusal: None });
        assert_eq!(node.not_ready(true), alone);
        // Two event loops.
        assert!(node.lanes_changed(NodeId(2), true) && !node.lanes_changed(NodeId(2), true));
        assert_eq!((node.not_ready(true), node.not_ready(false)), (None, Some(Reason::ClockUnknown)));
        assert!(!node.lanes_changed(NodeId(2), false) && node.is_up(NodeId(2)));
        assert!(node.lanes_changed(NodeId(2), false) && !node.is_up(NodeId(2)));
        assert_eq!(node.not_ready(true), alone);
    }
}
