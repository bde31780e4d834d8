//! Versions and timestamps: rules V1 and V2, poisoned times.

use super::{logical, no_write, plant_everywhere, truetime};
use crate::support::{
    Disk, HEDGE, KEY, Message, RESEND, ROTATE_AFTER, World, fresh_acceptor, get, set, stamped, version,
};
use abd::{
    NodeId, Outcome, Reaction, Reason, Refusal, Replica, Reply, Request, Scope, Standing, TIME_CEILING,
    Version, VersionError,
};
use std::time::Duration;

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

/// PROTOCOL section 1, "Horizon": a replica does not store what is too far ahead of its clock.
#[test]
fn poison_a_version_of_the_far_future_is_refused() {
    let replica = Replica {
        scope: Scope::FIRST,
        configuration: bytes::Bytes::new(),
        max_future: Some(Duration::from_nanos(60)),
    };
    let standing = Standing { admitted: true, writable: true };
    let put = |time| {
        let request = Request::LocalWrite { key: KEY.into(), stamped: stamped(version(time, 1, 1), "x") };
        replica.handle(&Disk::default(), &mut fresh_acceptor(), request, standing, 1000)
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

/// Not a rule but a hint: any majority would do. The ones next to each other ask the same, so that they share messages; a
/// suspect is asked last.
#[test]
fn a_query_asks_a_bare_majority_the_same_for_a_while_and_each_in_turn() {
    let mut world = logical(5);
    let asked = |world: &mut World| {
        world.submit(2, set("x"));
        let mut asked: Vec<u32> = world.pool.iter().map(|message| message.to).collect();
        world.deliver_all();
        asked.sort_unstable();
        asked
    };
    let all: Vec<Vec<u32>> = (0..4 * ROTATE_AFTER.get()).map(|_| asked(&mut world)).collect();
    let turns: Vec<_> =
        all.chunk_by(|a, b| a == b).map(|same| (same.len() as u64, same[0].clone())).collect();
    let turn = |members: [u32; 3]| (ROTATE_AFTER.get(), members.to_vec());
    assert_eq!(turns, [[2, 3, 4], [2, 4, 5], [1, 2, 5], [1, 2, 3]].map(turn));
    world.node(2).coordinator.handle_peer_down(NodeId(3));
    assert_eq!(asked(&mut world), [2, 4, 5]);
}
