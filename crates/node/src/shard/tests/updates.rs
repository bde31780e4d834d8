//! Updates, over lanes that carry real bytes.

use super::*;

/// P1: updates of one key through any node follow each other.
#[test]
fn p1_updates_through_any_node_follow_each_other() {
    let mut cluster = Cluster::new();
    for (sum, node) in (1..10).zip((0..NODES).cycle()) {
        assert_eq!(cluster.increment(node), sum);
    }
    assert_eq!(cluster.read(0), "9");
    assert!(cluster.nodes.iter().all(|(shard, _)| shard.in_flight() == 0));
}

/// What was promised or accepted and could not be queued for the disk was not: nobody was told, and nothing stays of it.
#[test]
fn p2_what_is_refused_by_the_queue_of_the_disk_is_undone() {
    let mut cluster = Cluster::new();
    for refuses in 1..4 {
        for node in 0..NODES {
            cluster.nodes[node].1.refuses.set(refuses);
        }
        let (call, base) = (CallId { operation: 1 << 30, phase: 0 }, Base::Named(Version::MIN));
        let ballot = Ballot { epoch: 1, round: 1 << 40, node: 1, boot: 1 };
        let (content, deadline) = (Content::Tombstone, Deadline::NONE);
        let proposal = Proposal { update: ballot.update(), content, deadline };
        let accept =
            Request::Accept { key: "other".into(), ballot, base: base.into(), proposal: proposal.into() };
        let to = ReplyTo { lane: None, call, epoch: 1 };
        let (shard, surroundings) = &mut cluster.nodes[0];
        let served = shard.serve(Scope::FIRST, accept, to, Instant(u64::MAX));
        assert_eq!(served.reply(), Some(Reply::Refused(Refusal::Overloaded)));
        assert_eq!(surroundings.acceptor.borrow().accepted(b"other"), None);
        assert_eq!(cluster.increment(1), refuses as i64);
    }
}

/// A request that changes something is decided where the others of its key are: a look-up brings it back.
#[test]
fn an_update_of_what_is_not_in_memory_is_looked_up_and_comes_back() {
    let mut cluster = Cluster::new();
    assert_eq!(cluster.increment(0), 1);
    for (_, surroundings) in &cluster.nodes {
        surroundings.is_cold.set(true);
        surroundings.store.borrow_mut().is_cold = true;
    }
    assert_eq!([cluster.increment(1), cluster.increment(2)], [2, 3]);
}

/// C1: a request of another configuration changes nothing, and is told so.
#[test]
fn c1_a_request_of_another_configuration_is_not_served() {
    let mut cluster = Cluster::new();
    let (shard, _) = &mut cluster.nodes[0];
    let to = ReplyTo { lane: None, call: CallId { operation: 1 << 30, phase: 0 }, epoch: 1 };
    let mut told = |scope| {
        let question = Request::LocalReadTimestamp { key: "k".into() };
        shard.serve(scope, question, to, Instant(u64::MAX)).reply()
    };
    assert!(matches!(told(Scope { epoch: 0, ..Scope::FIRST }), Some(Reply::Stale { .. })));
    let other = Some(Reply::Refused(Refusal::OtherConfiguration));
    assert_eq!(told(Scope { epoch: 2, ..Scope::FIRST }), other);
    assert_eq!(told(Scope { partition: 1, ..Scope::FIRST }), other);
    assert!(matches!(told(Scope::FIRST), Some(Reply::Timestamp { .. })));
}
