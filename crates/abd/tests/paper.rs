//! The claims of the papers and of PROTOCOL, one test each, under the rule that the test would break.

mod support;

use abd::{
    CallId, Content, NodeId, Now, Outcome, Reaction, Reason, Refusal, Replica, Reply, Request, Standing,
    TIME_CEILING, TimestampMode, Version, VersionError,
};
use std::time::Duration;
use support::{
    Disk, HEDGE, KEY, Message, PATIENCE, Payload, RESEND, World, delete, get, set, stamped, version,
};

/// A logical cluster.
fn logical(count: u32) -> World {
    World::new(count, TimestampMode::Logical)
}

/// A TrueTime cluster.
fn truetime(count: u32) -> World {
    World::new(count, TimestampMode::TrueTime)
}

/// Every node's disk already holds `value` as of `version`.
fn plant_everywhere(world: &mut World, at: Version, value: &str) {
    for id in world.ids() {
        world.plant(id, stamped(at, value));
    }
}

/// Not a write: reads, and answers of every kind.
fn no_write(message: &Message) -> bool {
    !message.is_write()
}

/// PROTOCOL section 1, counter-example 1 (run BL2): two concurrent Sets of one coordinator saw the same maximum.
#[test]
fn v1_two_concurrent_sets_of_one_coordinator_have_two_versions() {
    let mut world = logical(3);
    plant_everywhere(&mut world, version(5, 2, 1), "old");
    let (x, y) = (world.submit(1, set("x")), world.submit(1, set("y")));
    world.deliver(no_write);
    let of = |value: &str| {
        let found =
            world.writes().into_iter().find(|(_, write)| write.content.value().is_some_and(|v| v == value));
        found.expect("both Sets are in their write phase").1.version
    };
    assert_ne!(of("x"), of("y"), "two values under one version");
    // One replica hears of x first, the other of y first; every reader agrees nevertheless.
    world.deliver(|m| m.to == 2 && m.stamped().is_some_and(|s| s.content.value().is_some_and(|v| v == "x")));
    world.deliver(|m| m.to == 3 && m.stamped().is_some_and(|s| s.content.value().is_some_and(|v| v == "y")));
    world.deliver_all();
    let winner = if world.written(x) > world.written(y) { "x" } else { "y" };
    for id in world.ids() {
        let reader = world.submit(id, get());
        world.deliver_all();
        assert_eq!(world.read(reader).as_deref(), Some(winner));
    }
}

/// PROTOCOL section 1, counter-example 2 (run BL3): a minority write, a crash, and the same maximum again.
#[test]
fn v1_a_restarted_coordinator_never_issues_its_old_timestamp_again() {
    let mut world = logical(3);
    plant_everywhere(&mut world, version(5, 2, 1), "old");
    world.submit(1, set("x"));
    world.deliver(no_write);
    let first = world.writes()[0].1.version;
    world.deliver(|m| m.is_write() && m.to == 1);
    world.lose(|_| true);
    world.crash(1);

    let second = world.submit(1, set("y"));
    world.advance(HEDGE);
    world.deliver(|m| !m.between(1, 1));
    let second = world.written(second);
    assert_eq!((first.time(), second.time()), (6, 6), "the counter-example needs the same maximum twice");
    assert!(second > first, "{second:?} must not be {first:?}");

    // Replica 1 still has x: a reader that asks it sees y all the same.
    world.lose(|_| true);
    world.deliver_all();
    let reader = world.submit(2, get());
    world.advance(HEDGE);
    world.deliver(|m| m.between(2, 2) || m.between(2, 1));
    assert_eq!(world.read(reader).as_deref(), Some("y"));
}

/// Lynch and Shvartsman 1997, the writer's protocol: the new tag exceeds every tag that a majority reported.
#[test]
fn v1_a_set_goes_above_everything_its_majority_has() {
    let mut world = logical(5);
    world.plant(3, stamped(version(41, 3, 1), "high"));
    world.plant(2, stamped(version(17, 2, 1), "low"));
    let write = world.submit(1, set("x"));
    world.deliver_all();
    assert!(world.written(write) > version(41, 3, 1));
}

/// PROTOCOL V2: whatever a Set learns after its first put has left, it repeats the same version and value.
#[test]
fn v2_a_set_repeats_the_version_that_it_picked() {
    let mut world = logical(3);
    world.submit(1, set("x"));
    world.deliver(no_write);
    let picked = world.writes()[0].1.clone();
    for round in 0..5 {
        assert!(world.lose(|_| true) > 0, "round {round}: nothing was sent again");
        plant_everywhere(&mut world, version(100 + round, 2, 1), "newer");
        world.advance(RESEND * 8);
        for (to, write) in world.writes() {
            assert_eq!(write, picked, "to {to} in round {round}");
        }
    }
}

/// PROTOCOL V2 with a doubled message: a put is idempotent, and its echo after the answer changes nothing.
#[test]
fn v2_a_put_that_arrives_twice_is_one_put() {
    let mut world = logical(3);
    let first = world.submit(1, set("x"));
    world.deliver(no_write);
    world.duplicate(Message::is_write);
    let echo = world.hold(|m| m.is_write() && m.to == 3);
    world.deliver_all();
    world.written(first);
    let second = world.submit(2, set("y"));
    world.deliver_all();
    world.written(second);
    world.put_back(echo);
    world.deliver_all();
    let reader = world.submit(3, get());
    world.deliver_all();
    assert_eq!(world.read(reader).as_deref(), Some("y"));
}

/// PROTOCOL S1: no put is acknowledged before its fsync.
#[test]
fn s1_a_set_answers_only_when_a_majority_has_synced_it() {
    let mut world = logical(3);
    for id in world.ids() {
        world.node(id).disk.lazy = true;
    }
    let write = world.submit(1, set("x"));
    world.deliver_all();
    assert_eq!(world.outcome(write), None, "nobody has synced");
    world.fsync(1);
    world.deliver_all();
    assert_eq!(world.outcome(write), None, "one of three has synced");
    world.fsync(3);
    world.deliver_all();
    world.written(write);
}

/// PROTOCOL S1, second sentence: a put is acknowledged at once if the *durable* newest version is not below it.
#[test]
fn s1_only_a_durable_newer_version_stands_in_for_a_put() {
    let (replica, standing) = (Replica { max_future: None }, Standing { admitted: true, writable: true });
    let request = Request::LocalWrite { key: KEY.into(), stamped: stamped(version(5, 1, 1), "x") };
    let mut disk = Disk::default();
    disk.cache.put(KEY.into(), stamped(version(6, 1, 1), "newer"));
    let reaction = replica.handle(&disk, request.clone(), standing, 0);
    assert!(matches!(reaction, Reaction::Commit { .. }), "a cached version may vanish: {reaction:?}");
    disk.synced.put(KEY.into(), stamped(version(6, 1, 1), "newer"));
    let reaction = replica.handle(&disk, request, standing, 0);
    assert_eq!(
        reaction,
        Reaction::Reply(Reply::Written { previous: Some((version(6, 1, 1), true)) }),
        "nothing needs to be stored"
    );
}

/// PROTOCOL S2 and section 4, counter-example BL4: a version that is not fsynced is reported, but not counted.
#[test]
fn s2_a_reply_that_is_not_durable_is_not_a_holder() {
    let mut world = logical(3);
    let x = stamped(version(5, 3, 1), "x");
    world.plant(1, x.clone());
    world.node(2).disk.lazy = true;
    world.node(2).disk.cache.put(KEY.into(), x);
    let reader = world.submit(1, get());
    world.deliver(|m| no_write(m) && m.from != 3 && m.to != 3);
    assert_eq!(world.outcome(reader), None, "x would vanish with node 2's cache");
    let mut asked: Vec<u32> = world.writes().iter().map(|(to, _)| *to).collect();
    asked.sort_unstable();
    assert_eq!(asked, [2, 3], "everybody who is not a holder");
    world.deliver(|m| m.touches(2));
    assert_eq!(world.outcome(reader), None, "node 2 still has not synced");
    world.fsync(2);
    world.deliver(|m| m.touches(2));
    assert_eq!(world.read(reader).as_deref(), Some("x"));
    world.crash(2);
    assert!(world.newest(2).durable && world.newest(2).stamped.version == version(5, 3, 1));
}

/// Attiya, Bar-Noy, Dolev 1995, the reader's second phase (run BL1): what was read is written back before the answer.
#[test]
fn r1_a_get_writes_back_what_a_majority_does_not_have() {
    let mut world = logical(3);
    world.plant(1, stamped(version(5, 3, 1), "x"));
    let first = world.submit(1, get());
    world.deliver(no_write);
    assert_eq!(world.outcome(first), None, "only one replica has x");
    world.deliver(|m| m.is_write() && m.to == 2 || m.is_reply());
    assert_eq!(world.read(first).as_deref(), Some("x"));
    // The next reader cannot reach replica 1, and must not see an older value.
    world.lose(|_| true);
    let second = world.submit(3, get());
    world.advance(HEDGE);
    world.deliver(|m| m.to != 1 && m.from != 1);
    assert_eq!(world.read(second).as_deref(), Some("x"));
}

/// PROTOCOL 3.2: those that reported the version count towards the majority, and are not asked to store it again.
#[test]
fn r1_a_write_back_counts_those_that_have_it() {
    let mut world = logical(5);
    let x = stamped(version(5, 3, 1), "x");
    world.plant(1, x.clone());
    world.plant(2, x);
    let reader = world.submit(1, get());
    world.deliver(no_write);
    let mut asked: Vec<u32> = world.writes().iter().map(|(to, _)| *to).collect();
    asked.sort_unstable();
    assert_eq!(asked, [3, 4, 5]);
    assert_eq!(world.outcome(reader), None);
    world.deliver(|m| m.touches(4));
    assert_eq!(
        world.read(reader).as_deref(),
        Some("x"),
        "two holders and one acknowledgement are three of five"
    );
}

/// PROTOCOL 3.1: one round trip when every counted reply has the same durable version.
#[test]
fn r1_a_get_takes_one_round_trip_when_a_majority_agrees() {
    let mut world = logical(3);
    plant_everywhere(&mut world, version(5, 3, 1), "x");
    let reader = world.submit(2, get());
    world.deliver(|m| {
        assert!(!m.is_write(), "there is nothing to write back");
        true
    });
    assert_eq!(world.read(reader).as_deref(), Some("x"));
}

/// PROTOCOL R1: the newest of *all* replies counts, so one newer reply among a majority of equal ones is decisive.
#[test]
fn r1_one_newer_reply_outweighs_an_agreeing_rest() {
    let mut world = logical(5);
    plant_everywhere(&mut world, version(5, 3, 1), "old");
    world.plant(2, stamped(version(6, 2, 1), "new"));
    let reader = world.submit(1, get());
    world.deliver_all();
    assert_eq!(world.read(reader).as_deref(), Some("new"));
    let holders = world.ids().into_iter().filter(|id| world.newest(*id).stamped.version == version(6, 2, 1));
    assert!(holders.count() >= 3);
}

/// PROTOCOL R1: whoever holds an older version is no holder of the newer one that another replica reported.
#[test]
fn r1_a_holder_of_an_older_version_is_not_a_holder_of_the_newest() {
    let mut world = logical(3);
    plant_everywhere(&mut world, version(5, 3, 1), "old");
    world.plant(2, stamped(version(6, 2, 1), "new"));
    let reader = world.submit(1, get());
    world.deliver(no_write);
    assert_eq!(world.outcome(reader), None, "only replica 2 has it");
    let mut asked: Vec<u32> = world.writes().iter().map(|(to, _)| *to).collect();
    asked.sort_unstable();
    assert_eq!(asked, [1, 3]);
    world.deliver(|m| m.touches(3));
    assert_eq!(world.read(reader).as_deref(), Some("new"));
}

/// PROTOCOL section 2, "phase": an answer to the query phase is no acknowledgement of the write phase.
#[test]
fn r1_replies_of_an_earlier_phase_are_not_counted() {
    let mut world = logical(3);
    let write = world.submit(1, set("x"));
    world.deliver_present(|_| true);
    world.duplicate(Message::is_reply);
    world.deliver(no_write);
    assert_eq!(world.outcome(write), None, "late answers to the query phase");
    // Even one that looks like an acknowledgement.
    let now = Now { instant: world.instant, interval: None };
    let node = world.node(1);
    for from in 1..=3 {
        let call = CallId { operation: write.id.0, phase: 0 };
        node.coordinator.handle_reply(
            NodeId(from),
            call,
            Reply::Written { previous: None },
            now,
            &node.issuer,
        );
    }
    world.collect(1);
    assert_eq!(world.outcome(write), None);
    world.deliver_all();
    world.written(write);
}

/// Attiya, Bar-Noy, Dolev 1995: a majority is one of *processors*, so an echo counts once and a stranger never.
#[test]
fn r1_echoes_and_strangers_do_not_make_a_majority() {
    let mut world = logical(5);
    let write = world.submit(1, set("x"));
    world.deliver(no_write);
    world.deliver_present(|m| m.is_write() && m.to == 2);
    for _ in 0..3 {
        world.duplicate(Message::is_reply);
    }
    let mut stranger = world.pool.iter().find(|m| m.is_reply()).expect("node 2 has answered").clone();
    for from in 6..=9 {
        stranger.from = from;
        world.pool.push(stranger.clone());
    }
    world.deliver(Message::is_reply);
    assert_eq!(world.outcome(write), None, "one of five has it");
    world.deliver_all();
    world.written(write);
}

/// PROTOCOL R1: a content is left out only if the coordinator said that it has it.
#[test]
fn r1_the_content_is_left_out_when_the_coordinator_has_it() {
    let content_sent = |planted_at_reader: u64| {
        let mut world = logical(3);
        plant_everywhere(&mut world, version(5, 3, 1), "x");
        world.node(1).disk = Disk::default();
        world.plant(1, stamped(version(planted_at_reader, 3, 1), "mine"));
        if planted_at_reader == 5 {
            world.node(1).disk = world.nodes[&2].disk.clone();
        }
        let reader = world.submit(1, get());
        world.deliver(|m| m.between(1, 1));
        world.deliver_present(|m| m.from == 1 && m.to == 2);
        let sent = world.pool.iter().any(|m| {
            matches!(&m.payload, Payload::Reply(Reply::Read { content: Some(_), .. })) && m.from == 2
        });
        world.deliver_all();
        world.read(reader);
        sent
    };
    assert!(!content_sent(5), "the reader's own replica has it");
    assert!(content_sent(4), "the reader's own replica is behind");
    assert!(!content_sent(6), "the reader's own replica is ahead");
}

/// PROTOCOL 3.6 (run BT2), the eleven steps: a Get that returns a version of the future has to wait as well.
#[test]
fn t1_a_get_waits_until_what_it_returns_is_in_the_past() {
    let mut world = truetime(3);
    // True time is 3. Set1 picks 4 and reaches a majority.
    world.clock(1, 2, 4);
    world.clock(2, 3, 5);
    world.clock(3, 3, 3);
    let set1 = world.submit(1, set("one"));
    world.deliver_all();
    assert_eq!(world.outcome(set1), None, "Set1 waits out 4");
    // Get1 sees it everywhere. Here the broken variant answers.
    let get1 = world.submit(2, get());
    world.deliver_all();
    assert_eq!(world.outcome(get1), None, "Get1 would answer with a version that may lie in the future");
    // Set2 on a node with a tight clock picks 3, and is done at true time 4.
    let set2 = world.submit(3, set("two"));
    world.deliver_all();
    world.clock(1, 3, 5);
    world.clock(2, 4, 6);
    world.clock(3, 4, 4);
    world.advance(Duration::from_nanos(1));
    assert_eq!(world.written(set2), version(3, 3, 1));
    // Had Get1 answered before Set2 began, then this Get2 would not be linearizable.
    assert_eq!(world.outcome(get1), None);
    world.clock(2, 5, 5);
    world.advance(Duration::from_nanos(1));
    assert_eq!(world.read(get1).as_deref(), Some("one"));
    world.clock(3, 5, 5);
    let get2 = world.submit(3, get());
    world.deliver_all();
    assert_eq!(world.read(get2).as_deref(), Some("one"));
}

/// Corbett et al., *Spanner*, 2012, section 4.1.2, commit wait: the answer comes after `earliest > time`, not at it.
#[test]
fn t1_a_set_answers_when_earliest_is_above_its_time() {
    let mut world = truetime(3);
    world.clock(1, 990, 1000);
    let write = world.submit(1, set("x"));
    world.deliver_all();
    world.clock(1, 1000, 1010);
    world.advance(Duration::from_millis(1));
    assert_eq!(world.outcome(write), None, "1000 may still be now");
    world.clock(1, 1001, 1011);
    world.advance(Duration::from_millis(1));
    assert_eq!(world.written(write).time(), 1000);
}

/// PROTOCOL 3.6: the wait overlaps the write phase; what has passed meanwhile is not waited for again.
#[test]
fn t1_the_wait_overlaps_the_write_phase() {
    let mut world = truetime(3);
    let write = world.submit(1, set("x"));
    world.clock(1, 1001, 1002);
    world.deliver_all();
    world.written(write);
}

/// PROTOCOL T1 when the bound is lost after the write: nobody may say done, and nobody may say it did not happen.
#[test]
fn t1_a_clock_lost_during_the_wait_ends_at_the_deadline() {
    let mut world = truetime(3);
    world.clock(2, 990, 1010);
    let write = world.submit(1, set("x"));
    world.deliver_all();
    let reader = world.submit(2, get());
    world.deliver_all();
    for id in world.ids() {
        world.node(id).interval = None;
    }
    world.advance(PATIENCE - Duration::from_millis(1));
    assert_eq!((world.outcome(write), world.outcome(reader)), (None, None));
    world.advance(Duration::from_millis(1));
    assert_eq!(world.outcome(write), Some(&Outcome::Indeterminate(Reason::ClockUnknown)));
    assert_eq!(world.outcome(reader), Some(&Outcome::Refused(Reason::ClockUnknown)));
}

/// PROTOCOL T2 and section 1, counter-example 3 (run BT5): `latest` repeats and goes back; issued times do neither.
#[test]
fn t2_two_sets_under_one_reading_of_the_clock_have_two_times() {
    let mut world = truetime(3);
    let first = world.submit(1, set("x"));
    let second = world.submit(1, set("y"));
    world.clock(1, 800, 900);
    let third = world.submit(1, set("z"));
    world.clock(1, 2000, 2000);
    world.deliver_all();
    let times = [first, second, third].map(|ticket| world.written(ticket).time());
    assert_eq!(times, [1000, 1001, 1002]);
}

/// PROTOCOL section 2, "Set T": no query phase, the puts leave at once.
#[test]
fn t2_a_set_takes_latest_and_asks_nobody_first() {
    let mut world = truetime(3);
    world.clock(1, 1000, 1234);
    world.submit(1, set("x"));
    assert!(world.pool.iter().all(Message::is_write));
    assert_eq!(world.writes().len(), 3);
    assert!(world.writes().iter().all(|(_, write)| write.version == version(1234, 1, 1)));
}

/// PROTOCOL section 1, "Poisoning": without a bound there is no time to pick, so the Set has certainly no effect.
#[test]
fn t2_a_set_without_a_clock_is_refused_and_nothing_is_sent() {
    let mut world = truetime(3);
    world.node(1).interval = None;
    let write = world.submit(1, set("x"));
    assert_eq!(world.outcome(write), Some(&Outcome::Refused(Reason::ClockUnknown)));
    assert!(world.pool.is_empty());
    assert_eq!(world.nodes[&1].coordinator.poll_timeout(), None);
}

/// PROTOCOL section 8: before the first put has left, giving up is a refusal.
#[test]
fn outcome_a_set_without_a_query_quorum_is_refused() {
    let mut world = logical(3);
    let write = world.submit(1, set("x"));
    world.deliver(|m| m.between(1, 1));
    world.advance(PATIENCE);
    let expected = Reason::NoQuorum { answered: 1, needed: 2, members: 3, refusal: None };
    assert_eq!(world.outcome(write), Some(&Outcome::Refused(expected)));
    world.deliver_all();
    assert!(world.ids().iter().all(|id| world.newest(*id).stamped.version == Version::MIN));
}

/// PROTOCOL section 8: after the first put has left, it may take effect at any later moment.
#[test]
fn outcome_a_set_whose_puts_are_under_way_is_indeterminate() {
    let mut world = logical(3);
    let write = world.submit(1, set("x"));
    world.deliver(no_write);
    let puts = world.hold(|_| true);
    world.advance(PATIENCE);
    let Some(Outcome::Indeterminate(Reason::NoQuorum { answered: 0, .. })) = world.outcome(write) else {
        panic!("{:?}", world.outcome(write));
    };
    let before = world.submit(2, get());
    world.deliver_all();
    assert_eq!(world.read(before), None);
    world.put_back(puts);
    world.deliver_all();
    let after = world.submit(2, get());
    world.deliver_all();
    assert_eq!(world.read(after).as_deref(), Some("x"));
}

/// PROTOCOL section 8: a Get has no effect, so it is refused whatever it was doing.
#[test]
fn outcome_a_get_is_refused_even_in_its_write_back() {
    let mut world = logical(3);
    world.plant(1, stamped(version(5, 3, 1), "x"));
    let reader = world.submit(1, get());
    world.deliver(no_write);
    assert!(!world.writes().is_empty(), "the write-back has begun");
    world.advance(PATIENCE);
    assert!(matches!(world.outcome(reader), Some(Outcome::Refused(Reason::NoQuorum { .. }))));
}

/// A deadline is kept to the tick, and leaves nothing behind.
#[test]
fn outcome_a_deadline_is_kept_and_leaves_no_timer() {
    let mut world = logical(3);
    let patience = Duration::from_millis(250);
    let write = world.submit_within(1, set("x"), patience);
    world.advance(patience - Duration::from_nanos(1));
    assert_eq!(world.outcome(write), None);
    world.advance(Duration::from_nanos(1));
    assert!(world.outcome(write).is_some());
    let coordinator = &world.nodes[&1].coordinator;
    assert_eq!((coordinator.in_flight(), coordinator.poll_timeout()), (0, None));
}

/// A timer that has fired is gone: what it sends is bounded, and the next one lies in the future.
#[test]
fn outcome_every_timer_fires_once() {
    let mut world = logical(3);
    world.submit(1, set("x"));
    world.lose(|_| true);
    world.advance(HEDGE);
    assert_eq!(world.pool.len(), 1, "the hedge asks the one that was not asked before");
    assert_eq!(world.nodes[&1].coordinator.poll_timeout(), Some(world.instant + RESEND));
    world.advance(RESEND);
    assert_eq!(world.lose(|_| true), 4, "all three again");
    assert!(world.nodes[&1].coordinator.poll_timeout() > Some(world.instant));
}

/// Cancelling is a deadline that comes early: the same classes, and late replies find nobody.
#[test]
fn outcome_cancel_is_refused_before_the_first_put_and_indeterminate_after() {
    let mut world = logical(3);
    let early = world.submit(1, set("x"));
    world.cancel(early);
    assert_eq!(world.outcome(early), Some(&Outcome::Refused(Reason::Cancelled)));
    world.deliver(no_write);
    assert!(world.writes().is_empty(), "a refused Set must not be sent any more");
    let late = world.submit(1, set("y"));
    world.deliver(no_write);
    world.cancel(late);
    assert_eq!(world.outcome(late), Some(&Outcome::Indeterminate(Reason::Cancelled)));
    let reader = world.submit(1, get());
    world.cancel(reader);
    assert_eq!(world.outcome(reader), Some(&Outcome::Refused(Reason::Cancelled)));
    world.deliver_all();
    world.cancel(late);
    world.advance(PATIENCE);
    assert_eq!(world.nodes[&1].coordinator.in_flight(), 0);
}

/// PROTOCOL section 6: a Delete is a Set of the tombstone, and a late older put does not undo it.
#[test]
fn g1_a_delete_leaves_a_tombstone_that_older_puts_do_not_pass() {
    let mut world = logical(3);
    let write = world.submit(1, set("x"));
    world.deliver(no_write);
    let late = world.hold(|m| m.is_write() && m.to == 3);
    world.deliver_all();
    let removal = world.submit(2, delete());
    world.deliver_all();
    assert!(matches!(world.outcome(removal), Some(Outcome::Written { existed: true, .. })));
    assert!(world.written(removal) > world.written(write));
    world.put_back(late);
    world.deliver_all();
    assert_eq!(world.newest(3).stamped.content, Content::Tombstone);
    let reader = world.submit(3, get());
    world.deliver_all();
    assert_eq!(world.outcome(reader), Some(&Outcome::Read(world.newest(3).stamped)));
    let again = world.submit(1, delete());
    world.deliver_all();
    assert!(matches!(world.outcome(again), Some(Outcome::Written { existed: false, .. })));
}

/// Attiya, Bar-Noy, Dolev 1995, the main theorem: any minority may be down. One more, and nothing is answered.
#[test]
fn liveness_a_minority_may_be_down() {
    for (count, mode) in
        [3, 5].into_iter().flat_map(|n| [(n, TimestampMode::Logical), (n, TimestampMode::TrueTime)])
    {
        let mut world = World::new(count, mode);
        let down = count / 2;
        let dead = |m: &Message, down: u32| m.touches(count) || (down > 1 && m.touches(count - 1));
        for (operation, expected) in [(set("x"), None), (get(), Some("x")), (delete(), None), (get(), None)] {
            let reads = matches!(operation, abd::Operation::Get { .. });
            let ticket = world.submit(1, operation);
            world.advance(HEDGE);
            for id in world.ids().into_iter().filter(|_| mode == TimestampMode::TrueTime) {
                let at = 2000 + world.instant.0;
                world.clock(id, at, at);
            }
            world.deliver(|m| !dead(m, down));
            if reads {
                assert_eq!(world.read(ticket).as_deref(), expected, "{count} {mode:?}");
            } else {
                world.written(ticket);
            }
            world.lose(|_| true);
        }
        let ticket = world.submit(1, get());
        world.advance(HEDGE);
        world.deliver(|m| m.to < count - down && m.from < count - down);
        assert_eq!(world.outcome(ticket), None, "a minority answered");
    }
}

/// PROTOCOL section 8, "Rejected": in logical mode full disks are known before anything was written.
#[test]
fn outcome_full_disks_refuse_a_set_before_any_put() {
    let mut world = logical(3);
    for id in [2, 3] {
        world.node(id).standing.writable = false;
    }
    let write = world.submit(1, set("x"));
    world.advance(HEDGE);
    world.deliver(|m| {
        assert!(!m.is_write(), "no put may leave");
        true
    });
    let expected = Reason::TooManyRefused { refused: 2, members: 3, refusal: Some(Refusal::DiskFull) };
    assert_eq!(world.outcome(write), Some(&Outcome::Refused(expected)));
    // With room on one of them a majority can store.
    world.node(2).standing.writable = true;
    let write = world.submit(1, set("y"));
    world.deliver_all();
    world.written(write);
}

/// PROTOCOL section 8: in TrueTime mode the puts have left when the refusals come, so the Set is indeterminate.
#[test]
fn outcome_full_disks_make_a_truetime_set_indeterminate() {
    let mut world = truetime(3);
    for id in [2, 3] {
        world.node(id).standing.writable = false;
    }
    let write = world.submit(1, set("x"));
    world.deliver_all();
    assert!(matches!(
        world.outcome(write),
        Some(Outcome::Indeterminate(Reason::TooManyRefused { refused: 2, members: 3, .. }))
    ));
    // Once the coordinator has been told, it refuses cleanly.
    for id in [2, 3] {
        world.node(1).coordinator.handle_peer_writable(NodeId(id), false);
    }
    let write = world.submit(1, set("y"));
    assert!(matches!(world.outcome(write), Some(Outcome::Refused(Reason::TooManyRefused { .. }))));
    assert!(world.pool.is_empty());
}

/// PROTOCOL section 1, "Horizon": a replica does not store what is too far ahead of its clock.
#[test]
fn poison_a_version_of_the_far_future_is_refused() {
    let replica = Replica { max_future: Some(Duration::from_nanos(60)) };
    let standing = Standing { admitted: true, writable: true };
    let put = |time| {
        let request = Request::LocalWrite { key: KEY.into(), stamped: stamped(version(time, 1, 1), "x") };
        replica.handle(&Disk::default(), request, standing, 1000)
    };
    assert!(matches!(put(1060), Reaction::Commit { .. }), "at the horizon");
    assert_eq!(put(1061), Reaction::Reply(Reply::Refused(Refusal::FutureVersion)));
}

/// PROTOCOL section 1, "Hard ceiling": above it nothing is issued, and nothing is decoded.
#[test]
fn poison_no_time_goes_above_the_ceiling() {
    let mut world = logical(3);
    plant_everywhere(&mut world, version(TIME_CEILING, 2, 1), "last");
    let write = world.submit(1, set("x"));
    world.deliver_all();
    assert_eq!(world.outcome(write), Some(&Outcome::Refused(Reason::CeilingReached)));
    let reader = world.submit(1, get());
    world.deliver_all();
    assert_eq!(world.read(reader).as_deref(), Some("last"), "it can still be read");

    let mut world = truetime(3);
    world.clock(1, 0, TIME_CEILING + 1);
    let write = world.submit(1, set("x"));
    assert_eq!(world.outcome(write), Some(&Outcome::Refused(Reason::CeilingReached)));

    let above = version(TIME_CEILING + 1, 1, 1);
    assert_eq!(Version::from_bytes(&above.to_bytes()), Err(VersionError::AboveCeiling(TIME_CEILING + 1)));
    let highest = version(TIME_CEILING, 1, 1);
    assert_eq!(Version::from_bytes(&highest.to_bytes()), Ok(highest));
}

/// PROTOCOL M1: a replica that is not admitted takes part in nothing, and its silence is no majority.
#[test]
fn m1_a_replica_that_is_not_admitted_does_not_count() {
    let mut world = logical(3);
    world.node(2).standing.admitted = false;
    world.node(3).standing.admitted = false;
    plant_everywhere(&mut world, version(5, 3, 1), "x");
    let reader = world.submit(1, get());
    let write = world.submit(1, set("y"));
    world.advance(HEDGE);
    world.deliver_all();
    assert_eq!((world.outcome(reader), world.outcome(write)), (None, None));
    world.node(2).standing.admitted = true;
    world.advance(RESEND);
    world.deliver_all();
    world.written(write);
    assert!(world.outcome(reader).is_some());
}
