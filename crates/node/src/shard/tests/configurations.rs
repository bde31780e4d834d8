//! Rule C1 over lanes that carry real bytes: a configuration spreads, and what is in flight goes on in it.

use super::*;

/// The configuration of a cluster, with another address for its third member.
fn next(cluster: &Cluster) -> Configuration {
    let mut next = cluster.nodes[0].0.configuration().successor().unwrap();
    next.members[2].address = alloc::format!("elsewhere{}:1", next.epoch());
    next
}

fn epochs(cluster: &Cluster) -> Vec<u32> {
    cluster.nodes.iter().map(|(shard, _)| shard.configuration().epoch()).collect()
}

#[test]
fn c1_what_one_node_meets_all_install_and_what_is_in_flight_goes_on() {
    let mut cluster = Cluster::new();
    let (set, now) = (cluster.set(0, "v"), cluster.now());
    let met = next(&cluster);
    cluster.nodes[1].0.meet_configuration(met.clone(), now);
    assert_eq!(epochs(&cluster), [1, 1, 1], "it is not durable yet");
    cluster.run();
    assert_eq!(epochs(&cluster), [2, 2, 2]);
    assert!(matches!(set.borrow()[..], [Outcome::Written { .. }]));
    assert_eq!(cluster.read(2), "v");
    // What is no newer changes nothing.
    cluster.nodes[1].0.meet_configuration(met, now);
    cluster.run();
    assert_eq!(epochs(&cluster), [2, 2, 2]);
}

/// A node that was away is behind by several, and is told by the first reply.
#[test]
fn c1_whoever_was_away_comes_to_the_newest_configuration() {
    let mut cluster = Cluster::new();
    cluster.part(0, 2);
    cluster.part(1, 2);
    for epoch in 2..5 {
        let (met, now) = (next(&cluster), cluster.now());
        cluster.nodes[0].0.meet_configuration(met, now);
        cluster.run();
        assert_eq!(epochs(&cluster), [epoch, epoch, 1]);
    }
    cluster.join(1, 2);
    let set = cluster.set(2, "late");
    cluster.run();
    cluster.pass(Duration::from_millis(200));
    cluster.run();
    assert_eq!(epochs(&cluster), [4, 4, 4]);
    assert!(matches!(set.borrow()[..], [Outcome::Written { .. }]), "{set:?}");
}

/// BM7: should the database lose it, the directory says which configuration was served. So that knows it first; meanwhile the older one is
/// served, and what comes of the next one waits.
#[test]
fn c1_nothing_is_installed_before_the_directory_expects_it() {
    let mut cluster = Cluster::new();
    let (met, now) = (next(&cluster), cluster.now());
    cluster.nodes[0].1.directory_is_slow.set(true);
    cluster.nodes[0].0.meet_configuration(met.clone(), now);
    cluster.run();
    let (shard, surroundings) = &mut cluster.nodes[0];
    assert_eq!((surroundings.expected.get(), surroundings.newest_epoch.get()), (2, 1));
    let to = ReplyTo { lane: None, call: CallId { operation: 1 << 30, phase: 0 }, epoch: 1 };
    let read = || Request::LocalReadTimestamp { key: "k".into() };
    let served = shard.serve(Scope::FIRST, read(), to, Instant(u64::MAX));
    assert!(matches!(served.reply(), Some(Reply::Timestamp { .. })));
    let early = shard.serve(met.scope, read(), ReplyTo { epoch: 2, ..to }, Instant(u64::MAX));
    assert!(early.reply().is_none(), "it is not refused");
    shard.meet_configuration(met, now);
    cluster.run();
    assert_eq!(epochs(&cluster), [2, 2, 2]);
}

/// The disk may have no room for it in its queue: it is tried again, and until then nothing is changed in the older epoch.
#[test]
fn c1_a_configuration_that_the_disk_did_not_take_is_tried_again() {
    let mut cluster = Cluster::new();
    let (met, now) = (next(&cluster), cluster.now());
    cluster.nodes[0].1.refuses.set(1);
    cluster.nodes[0].0.meet_configuration(met, now);
    let set = cluster.set(1, "v");
    cluster.run();
    assert_eq!(epochs(&cluster), [1, 1, 1]);
    let to = ReplyTo { lane: None, call: CallId { operation: 1 << 30, phase: 0 }, epoch: 1 };
    let stamped = abd::StampedValue::plain(Version::MIN.successor().unwrap(), Content::Tombstone);
    let write = Request::LocalWrite { key: "k".into(), stamped };
    let served = cluster.nodes[0].0.serve(Scope::FIRST, write, to, Instant(u64::MAX));
    assert_eq!(served.reply(), Some(Reply::Refused(Refusal::OtherConfiguration)));
    for _ in 0..5 {
        cluster.pass(Duration::from_millis(100));
        cluster.run();
    }
    assert_eq!(epochs(&cluster), [2, 2, 2]);
    assert!(matches!(set.borrow()[..], [Outcome::Written { .. }]), "{set:?}");
}

/// A version of the reserved key was decided: whoever stores it installs it.
#[test]
fn c2_whoever_stores_a_decided_configuration_installs_it() {
    let mut cluster = Cluster::new();
    let (from, to) = (cluster.nodes[0].0.configuration().clone(), next(&cluster));
    let proposal = change::Proposal { from, to };
    let outcomes = cluster.submit(0, proposal.operation());
    for _ in 0..5 {
        cluster.run();
        cluster.pass(Duration::from_millis(200));
    }
    assert_eq!(epochs(&cluster), [2, 2, 2]);
    assert!(matches!(proposal.decision(&outcomes.borrow()[0]), change::Decision::Done(_)));
    // A second proposal for the same predecessor is told what was decided.
    let outcomes = cluster.submit(1, proposal.operation());
    cluster.run();
    let decision = proposal.decision(&outcomes.borrow()[0]);
    assert_eq!(decision.known().map(|known| known.epoch()), Some(2));
}

/// BM7: one event loop of a node serves a newer epoch, or is about to; the others answer no question of an older one, also not what was
/// looked up before.
#[test]
fn c1_an_event_loop_that_lags_answers_nothing() {
    let mut cluster = Cluster::new();
    let to = ReplyTo { lane: None, call: CallId { operation: 1 << 30, phase: 0 }, epoch: 1 };
    let read = || Request::LocalReadTimestamp { key: "k".into() };
    let ask =
        |cluster: &mut Cluster| cluster.nodes[0].0.serve(Scope::FIRST, read(), to, Instant(u64::MAX)).reply();
    assert!(matches!(ask(&mut cluster), Some(Reply::Timestamp { .. })));
    let (lane, now) = (cluster.lanes[&(0, 1)], cluster.now());
    let looked_up = ReplyTo { lane: Some(lane), ..to };
    let found = Completed::Found(Reply::Timestamp { version: Version::MIN, present: false, writable: true });
    // Another event loop of node 1 serves the next one.
    cluster.nodes[0].1.served_epoch.set(2);
    assert_eq!(ask(&mut cluster), Some(Reply::Refused(Refusal::OtherConfiguration)));
    cluster.nodes[0].0.take_output(lane, &mut BytesMut::new(), || now.instant);
    cluster.nodes[0].0.handle_completions([(looked_up, found)], [], now);
    let mut bytes = BytesMut::new();
    cluster.nodes[0].0.take_output(lane, &mut bytes, || now.instant);
    let body = abd::wire::take_frame(&mut bytes, FRAME_BYTES_MAX).unwrap().expect("a reply");
    let (call, reply) = abd::wire::get_reply(body).unwrap();
    assert_eq!((call, reply), (to.call, Reply::Refused(Refusal::OtherConfiguration)));
}

/// R2: writes that wait for a lane when a newer configuration is served are missed by nobody: they go in that, or are sent anew.
#[test]
fn c1_writes_that_wait_for_a_lane_go_in_the_newer_epoch() {
    const LENGTH: usize = 10 << 10;
    let mut cluster = Cluster::new();
    cluster.run();
    // Whatever is under way to node 3 stays where it is.
    let ways = [(0, 2), (2, 0)];
    let held = ways.map(|way| cluster.lanes.remove(&way).unwrap());
    let set = |cluster: &mut Cluster, number: usize| {
        let key = alloc::format!("key-{number}").into();
        let value = vec![b'v'; LENGTH].into();
        cluster.submit(0, Operation::Set { key, value, deadline: Deadline::NONE })
    };
    // A majority has the first of them, and nobody but node 1 the others yet.
    let mut sets: Vec<Outcomes> = (0..60).map(|number| set(&mut cluster, number)).collect();
    cluster.run();
    assert!(sets.iter().all(|set| matches!(set.borrow()[..], [Outcome::Written { .. }])));
    cluster.nodes[1].1.refuses.set(20);
    sets.extend((60..80).map(|number| set(&mut cluster, number)));
    cluster.run();
    let (met, now) = (next(&cluster), cluster.now());
    cluster.nodes[0].0.meet_configuration(met, now);
    cluster.run();
    // Node 3 has heard of it from node 2.
    assert_eq!((epochs(&cluster), cluster.nodes[2].1.store.borrow().versions.len()), (vec![2, 2, 2], 0));
    cluster.lanes.extend(ways.into_iter().zip(held));
    cluster.run();
    assert!(sets.iter().all(|set| matches!(set.borrow()[..], [Outcome::Written { .. }])), "{sets:?}");
    for _ in 0..8 {
        cluster.pass(Duration::from_secs(2));
        cluster.run();
    }
    assert_eq!(cluster.nodes[2].1.store.borrow().versions.len(), 80);
    let (repair, later) = (cluster.nodes[0].1.repair.borrow(), cluster.now().instant);
    let status = repair.statuses(later).find(|(of, _)| *of == id(2)).expect("it is a peer").1;
    assert_eq!(status.keys, 0);
    // What was encoded before, and that a majority had.
    let encoded = Bounds::of(LaneKind::Small).encoded / LENGTH + 1;
    assert!(status.counts.sent <= encoded as u64, "{status:?}");
}

/// A question of an epoch that is about to be installed waits, and is answered in that.
#[test]
fn c1_a_question_of_the_epoch_that_is_coming_is_answered_in_it() {
    let mut cluster = Cluster::new();
    cluster.run();
    let (met, now, lane) = (next(&cluster), cluster.now(), cluster.lanes[&(0, 1)]);
    cluster.nodes[0].0.meet_configuration(met.clone(), now);
    let to = ReplyTo { lane: Some(lane), call: CallId { operation: 1 << 30, phase: 0 }, epoch: 1 };
    let read = Request::LocalReadTimestamp { key: "k".into() };
    let served = cluster.nodes[0].0.serve(met.scope, read, to, Instant(u64::MAX));
    assert_eq!(served, Served::HandedOver);
    let done = core::mem::take(&mut *cluster.nodes[0].1.done.borrow_mut());
    cluster.nodes[0].0.handle_completions(done, [], now);
    let (mut bytes, mut replies) = (BytesMut::new(), Vec::new());
    cluster.nodes[0].0.take_output(lane, &mut bytes, || now.instant);
    while let Some(body) = abd::wire::take_frame(&mut bytes, FRAME_BYTES_MAX).unwrap() {
        replies.extend(abd::wire::is_reply(&body).then(|| abd::wire::get_reply(body).unwrap()));
    }
    assert!(matches!(replies[..], [(call, Reply::Timestamp { .. })] if call == to.call), "{replies:?}");
}
