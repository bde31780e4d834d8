//! Rule D1 for updates: what full disks cannot store is refused before anything is proposed.

use super::{is_accept, is_prepare, run, updated, value};
use crate::functions::{append, create, take};
use crate::support::{HEDGE, Message, PATIENCE, World, delete, set, stamped, version};
use abd::{Outcome, Reason, Refusal, Standing, TimestampMode};
use std::time::Duration;

/// D1: a full disk refuses before anything was accepted; what takes a value away is let through.
#[test]
fn d1_full_disks_refuse_an_update_before_it_is_proposed() {
    let mut world = World::new(3, TimestampMode::Logical);
    run(&mut world, 1, set("x."));
    for id in [1, 2] {
        world.node(id).standing = Standing { admitted: true, writable: false };
    }
    let ticket = run(&mut world, 1, append("a."));
    world.advance(Duration::from_millis(20));
    world.deliver_all();
    let outcome = world.outcome(ticket);
    let refusal = Some(Refusal::DiskFull);
    let reason = Reason::TooManyRefused { refused: 2, members: 3, refusal };
    assert_eq!(outcome, Some(&Outcome::Refused(reason)));
    let ticket = run(&mut world, 3, take());
    assert_eq!(updated(&world, ticket).0, "=x.");
    assert_eq!(value(&mut world, 2), None);
}

/// D1: what was promised by a full disk is not counted for a value: nothing is proposed that a silent replica would have to accept.
#[test]
fn d1_a_value_is_proposed_to_enough_that_can_store_it_or_not_at_all() {
    let mut world = World::new(3, TimestampMode::Logical);
    world.node(3).standing = Standing { admitted: true, writable: false };
    let silent = |message: &Message| message.touches(1);
    let ticket = world.submit(2, append("a."));
    let take_back = world.submit(2, create("b."));
    for _ in 0..PATIENCE.as_millis() / 100 + 1 {
        world.deliver(|message| !silent(message));
        assert!(!world.pool.iter().any(is_accept), "nothing may be proposed");
        world.lose(silent);
        world.advance(Duration::from_millis(100));
    }
    for ticket in [ticket, take_back] {
        assert!(matches!(world.outcome(ticket), Some(Outcome::Refused(Reason::NoQuorum { .. }))));
    }
    // With the third it goes on.
    let ticket = world.submit(2, append("c."));
    for _ in 0..20 {
        world.deliver_all();
        world.advance(Duration::from_millis(20));
    }
    assert_eq!(updated(&world, ticket).0, "absent");
}

/// D1: where full disks cannot even take the base, an update that takes a value away is refused at once: a Delete is left.
#[test]
fn d1_full_disks_without_the_base_refuse_at_once() {
    let mut world = World::new(3, TimestampMode::Logical);
    world.plant(1, stamped(version(5, 1, 1), "x."));
    for id in [2, 3] {
        world.node(id).standing = Standing { admitted: true, writable: false };
    }
    let ticket = run(&mut world, 1, take());
    for _ in 0..3 {
        world.advance(HEDGE);
        world.deliver_all();
    }
    let refusal = Some(Refusal::DiskFull);
    let reason = Reason::TooManyRefused { refused: 2, members: 3, refusal };
    assert_eq!(world.outcome(ticket), Some(&Outcome::Refused(reason)));
    let ticket = run(&mut world, 1, delete());
    world.written(ticket);
    assert_eq!(value(&mut world, 2), None);
}

/// D1: five nodes, two full disks, one node gone: a value waits for room until its deadline, and nobody is asked in a circle.
#[test]
fn d1_promises_without_room_are_not_asked_for_again_at_once() {
    let mut world = World::new(5, TimestampMode::Logical);
    for id in [1, 2] {
        world.node(id).standing = Standing { admitted: true, writable: false };
    }
    let gone = |message: &Message| message.touches(5);
    let ticket = world.submit(3, append("a."));
    let mut prepares = 0;
    while world.outcome(ticket).is_none() {
        while let Some(at) = world.pool.iter().position(|message| !gone(message)) {
            prepares += usize::from(is_prepare(&world.pool[at]));
            assert!(prepares < 1000, "they are asked without end");
            world.deliver_at(at);
        }
        world.lose(gone);
        world.advance(Duration::from_millis(50));
    }
    assert!(
        matches!(world.outcome(ticket), Some(Outcome::Refused(Reason::NoQuorum { .. }))),
        "{:?}",
        world.outcome(ticket)
    );
}
