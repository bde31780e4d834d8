//! Rules E1 to E3 of expiry (PROTOCOL section 5): a value with a deadline is present until its expiry is decided, and clocks that
//! differ never show it absent and then present.

use super::{is_accept, logical, run, truetime, updated, value};
use crate::functions::{append, create, persist, take};
use crate::support::{KEY, Message, PATIENCE, World, get, set};
use abd::{Deadline, Moment, Operation, Outcome, Version};
use std::time::Duration;

/// Gives the key a value until a deadline.
fn set_until(value: &str, deadline: u64) -> Operation {
    let (key, value) = (KEY.into(), value.to_owned().into());
    Operation::Set { key, value, deadline: Deadline(deadline) }
}

/// A node's clock says this from now on.
fn at(world: &mut World, node: u32, moment: u64) {
    world.node(node).moment = Moment(moment);
}

/// Time passes, and what is wanted is delivered.
fn settle(world: &mut World, wanted: impl Fn(&Message) -> bool) {
    for _ in 0..50 {
        world.deliver(&wanted);
        world.advance(Duration::from_millis(5));
    }
}

/// A world in which the key has a value until 10.
fn leased() -> (World, Version) {
    let mut world = logical(3);
    let ticket = run(&mut world, 1, set_until("x", 10));
    let version = world.written(ticket);
    (world, version)
}

/// E1: who judges that a value has expired decides a tombstone, its successor. A clock that is slow changes nothing then: absent is
/// not followed by present (the run BE1).
#[test]
fn e1_an_expiry_is_decided_before_anybody_answers_absent() {
    let (mut world, version) = leased();
    at(&mut world, 1, 9);
    assert_eq!(value(&mut world, 1), Some("x".into()));
    at(&mut world, 1, 10);
    assert_eq!(value(&mut world, 1), None);
    let tombstone = world.newest(2).stamped;
    assert_eq!((tombstone.version, tombstone.deadline), (version.successor().unwrap(), Deadline::NONE));
    assert_eq!(value(&mut world, 2), None);
}

/// E3: in TrueTime mode a value with a deadline is present while its expiry is in doubt. Its deadline reaches every replica.
#[test]
fn e3_a_value_is_present_while_its_expiry_is_in_doubt() {
    let mut world = truetime(3);
    world.submit(1, set_until("x", 10));
    world.deliver_all();
    for id in world.ids() {
        assert_eq!(world.newest(id).stamped.deadline, Deadline(10));
        world.clock(id, 2000, 3000);
    }
    assert_eq!(value(&mut world, 2), Some("x".into()));
    at(&mut world, 2, 10);
    assert_eq!(value(&mut world, 2), None);
}

/// E1, the run BE2: PERSIST has seen the value alive and is slow. Whoever answers absent in between has decided so, and PERSIST finds
/// that the key is absent.
#[test]
fn e1_a_slow_update_does_not_bring_an_expired_value_back() {
    let (mut world, version) = leased();
    at(&mut world, 2, 9);
    let slow = world.submit(2, persist());
    let is_slow = |message: &Message| is_accept(message) && message.from == 2;
    world.deliver(|message| !is_slow(message));
    at(&mut world, 1, 11);
    let reading = world.submit(1, get());
    settle(&mut world, |message| !is_slow(message));
    assert_eq!(world.read(reading), None);
    settle(&mut world, |_| true);
    assert_eq!(updated(&world, slow), ("absent".into(), version.successor().unwrap()));
    assert_eq!(value(&mut world, 3), None);
}

/// E1, the other way round: PERSIST was accepted somewhere. A Get that finds it finishes it, and the value is there for ever.
#[test]
fn e1_a_get_finishes_what_was_accepted_first() {
    let (mut world, version) = leased();
    at(&mut world, 2, 9);
    world.submit(2, persist());
    world.deliver(|message| !is_accept(message) || message.to != 2);
    world.lose(|message| message.from == 2 || message.to == 2);
    at(&mut world, 3, 11);
    assert_eq!(value(&mut world, 3), Some("x".into()));
    assert_eq!(world.newest(1).stamped.version, version.successor().unwrap());
    assert_eq!(world.newest(1).stamped.deadline, Deadline::NONE);
}

/// E1, the run BE3: a Set that comes between the judgement and the decision is above the tombstone, and is not deleted.
#[test]
fn e1_an_expiry_never_takes_a_later_value_away() {
    let (mut world, _) = leased();
    at(&mut world, 1, 11);
    let reading = world.submit(1, get());
    world.deliver(|message| !is_accept(message));
    let held = world.hold(is_accept);
    let write = run(&mut world, 2, set("y"));
    let write = world.written(write);
    world.put_back(held);
    settle(&mut world, |_| true);
    assert_eq!(world.read(reading), Some("y".into()));
    assert_eq!(world.newest(3).stamped.version, write);
}

/// E1: a Get that cannot decide an expiry is refused: it has no effect of its own, whatever becomes of the tombstone.
#[test]
fn e1_a_get_is_never_indeterminate() {
    let (mut world, _) = leased();
    at(&mut world, 1, 11);
    let reading = world.submit(1, get());
    world.deliver(|message| !is_accept(message));
    world.lose(|_| true);
    world.advance(PATIENCE);
    assert!(matches!(world.outcome(reading), Some(Outcome::Refused(_))), "{:?}", world.outcome(reading));
}

/// E2: what has expired is absent to every function: a new value takes its place directly, as the successor.
#[test]
fn e2_an_update_of_an_expired_base_finds_it_absent() {
    let (mut world, version) = leased();
    at(&mut world, 3, 10);
    let ticket = run(&mut world, 3, create("y"));
    assert_eq!(updated(&world, ticket), ("absent".into(), version.successor().unwrap()));
    assert_eq!(value(&mut world, 1), Some("y".into()));
    assert_eq!(world.newest(1).stamped.deadline, Deadline::NONE);
}

/// E2: an update that has nothing to change, as what it is about has expired, decides that, as a Get does.
#[test]
fn e2_an_update_that_answers_absent_decides_the_expiry() {
    for update in [take(), persist()] {
        let (mut world, version) = leased();
        at(&mut world, 3, 10);
        let ticket = run(&mut world, 3, update);
        let tombstone = version.successor().unwrap();
        assert_eq!(updated(&world, ticket), ("absent".into(), tombstone));
        assert_eq!(world.newest(1).stamped.version, tombstone);
    }
}

/// A Get of a value that is due waits for the updates of its key that are under way, and is told what they leave.
#[test]
fn a_get_of_a_due_value_stands_in_the_queue_of_its_key() {
    let (mut world, version) = leased();
    at(&mut world, 1, 11);
    let first = world.submit(1, append("a"));
    let reading = world.submit(1, get());
    world.deliver_all();
    assert_eq!(updated(&world, first), ("absent".into(), version.successor().unwrap()));
    assert_eq!(world.read(reading), Some("a".into()));
}

/// E1: a Get whose expiry was proposed goes on when a plain Set has closed the base, although nobody can tell what became of it.
#[test]
fn e1_a_get_does_not_wait_for_the_fate_of_an_expiry() {
    let (mut world, _) = leased();
    at(&mut world, 1, 11);
    let reading = world.submit(1, get());
    world.deliver(|message| !is_accept(message));
    // It reaches one of those who then forget what they have accepted, as they start anew.
    world.deliver(|message| is_accept(message) && message.to == 2);
    world.lose(|_| true);
    world.crash(2);
    world.crash(3);
    let write = run(&mut world, 3, set("y"));
    world.written(write);
    settle(&mut world, |_| true);
    assert_eq!(world.read(reading), Some("y".into()));
}
