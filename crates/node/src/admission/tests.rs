use super::*;
use crate::configuration::{Member, Stage};
use abd::TimestampMode;
use alloc::{format, vec};

const OWN: DirectoryId = directory(1);

const fn directory(id: u8) -> DirectoryId {
    [id; 16]
}

fn member(id: u8) -> Member {
    Member { id: NodeId(id.into()), directory: Some(directory(id)), address: format!("host{id}:1") }
}

fn first(members: u32) -> Configuration {
    let address = |id| (NodeId(id), format!("host{id}:1"));
    Configuration::first((1..=members).map(address), TimestampMode::Logical)
}

/// A later one, in which the directories are known.
fn known(epoch: u32, members: &[u8], stage: Stage) -> Configuration {
    let mut configuration = first(1);
    configuration.scope.epoch = epoch;
    configuration.members = members.iter().copied().map(member).collect();
    configuration.stage = stage;
    configuration
}

fn joint(epoch: u32, members: &[u8], next: &[u8]) -> Configuration {
    let next = next.iter().copied().map(member).collect();
    known(epoch, members, Stage::Joint { next, lost: vec![] })
}

fn node(members: u32, admitted: bool) -> Admission {
    Admission::new(&first(members), NodeId(1), OWN, admitted)
}

#[test]
fn m1_a_node_votes_when_every_other_member_has_confirmed_it_and_that_is_durable() {
    let mut node = node(3, false);
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
    let mut node = node(5, true);
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
    let mut node = node(3, true);
    node.stop();
    node.confirmed_by(NodeId(2));
    assert_eq!((node.may_begin(), node.not_ready(true)), (false, Some(Reason::Stopping)));
    node.retire(7);
    node.retire(8);
    assert_eq!((node.is_stopping(), node.not_ready(true)), (true, Some(Reason::Retired { epoch: 7 })));
}

#[test]
fn a_node_is_ready_while_it_reaches_a_majority_and_knows_the_time() {
    let mut node = node(3, true);
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

/// M1: once directories are named, a pair of node and directory votes if and only if the installed configuration names it.
#[test]
fn m1_a_pair_votes_if_and_only_if_the_configuration_names_it() {
    let mut node = node(3, false);
    assert!(node.install(&known(2, &[1, 2, 3], Stage::Stable), OWN), "it need not be confirmed any more");
    assert!(!node.install(&known(3, &[1, 2, 3], Stage::Stable), OWN), "that is no news");
    for (configuration, votes) in [
        (known(4, &[2, 3, 4], Stage::Stable), false),
        (known(5, &[2, 3], Stage::Awaiting(vec![member(1), member(2), member(3)])), false),
        (joint(6, &[2, 3, 4], &[1, 2, 3]), true),
        (joint(7, &[1, 2, 3], &[2, 3, 4]), true),
    ] {
        node.install(&configuration, OWN);
        assert_eq!(node.is_admitted(), votes, "{configuration:?}");
    }
    // Its disk was lost, and another directory bears its id.
    node.install(&known(8, &[1, 2, 3], Stage::Stable), directory(99));
    assert_eq!((node.is_admitted(), node.may_begin()), (false, false));
    assert_eq!(node.not_begun(), Reason::NoVote);
    // What is told late gives nobody his vote back.
    assert!(!node.install(&known(7, &[1, 2, 3], Stage::Stable), OWN) && !node.is_admitted());
    // Confirmations are of no use to it.
    assert!(!node.confirmed_by(NodeId(2)) && !node.confirmed_by(NodeId(3)) && !node.is_admitted());
}

/// V1: while members change, a quorum is one of those of old and of those to come.
#[test]
fn v1_a_node_begins_when_a_joint_quorum_has_met_it() {
    let mut node = Admission::new(&joint(3, &[1, 2, 3], &[3, 4, 5]), NodeId(1), OWN, true);
    for (peer, met) in [(2, 0), (9, 0), (3, 0)] {
        assert_eq!(node.not_begun(), Reason::MajorityNotMet { met, needed: 2, members: 3 });
        node.confirmed_by(NodeId(peer));
    }
    let reason = Reason::MajorityNotMet { met: 1, needed: 2, members: 3 };
    assert_eq!((node.may_begin(), node.not_begun()), (false, reason), "of those of old enough have");
    node.confirmed_by(NodeId(5));
    assert!(node.may_begin());
    node.lanes_changed(NodeId(2), true);
    let reason = Reason::NoQuorum { answered: 0, needed: 2, members: 3, refusal: None };
    assert_eq!(node.not_ready(true), Some(reason), "those to come are out of reach");
    for peer in [4, 5] {
        node.lanes_changed(NodeId(peer), true);
    }
    assert_eq!(node.not_ready(true), None);
}

#[test]
fn whoever_joins_begins_when_it_votes_and_whoever_leaves_begins_no_more() {
    let awaiting = known(2, &[1, 2, 3], Stage::Awaiting(vec![member(2), member(3), member(4)]));
    let mut newcomer = Admission::new(&awaiting, NodeId(4), directory(4), false);
    for peer in 1..=3 {
        assert!(!newcomer.confirmed_by(NodeId(peer)));
        newcomer.lanes_changed(NodeId(peer), true);
    }
    assert_eq!((newcomer.may_begin(), newcomer.not_ready(true)), (false, Some(Reason::NoVote)));
    assert!(newcomer.install(&joint(3, &[1, 2, 3], &[2, 3, 4]), directory(4)));
    assert_eq!((newcomer.may_begin(), newcomer.not_ready(true)), (true, None), "it was met before");
    newcomer.install(&known(4, &[2, 3, 4], Stage::Stable), directory(4));
    assert_eq!(newcomer.not_ready(true), None);
    // Its lanes to those who have gone end afterwards.
    assert!(newcomer.lanes_changed(NodeId(1), false));
    newcomer.install(&known(5, &[2, 3], Stage::Stable), directory(4));
    assert!(!newcomer.may_begin());
}
