//! Rule P3' (PROTOCOL section 5): a proposal whose fate is unknown stays at its base, and what tells its fate.

use super::{is_accept, is_accepted, run, updated, value};
use crate::functions::append;
use crate::support::{HEDGE, Message, Ticket, World, set};
use abd::{NodeId, Outcome, Reason, TimestampMode, Version};
use std::time::Duration;

/// P3' (a): whoever sees the successor of the base knows who has won there.
#[test]
fn p3_the_successor_says_who_has_won() {
    let mut world = World::new(3, TimestampMode::Logical);
    let ticket = world.submit(1, append("a."));
    world.deliver(|message| !is_accept(message));
    world.deliver(is_accept);
    // Chosen, and node 1 does not know. Another update finishes it, and goes on.
    world.lose(is_accepted);
    let other = world.submit(2, append("b."));
    world.deliver(|message| !message.touches(1) || message.between(2, 1));
    assert_eq!(updated(&world, other).0, "=a.");
    for _ in 0..100 {
        world.advance(Duration::from_millis(20));
        world.deliver_all();
    }
    assert_eq!(updated(&world, ticket).0, "absent");
    assert_eq!(value(&mut world, 3), Some("a.b.".into()));
}

/// P3' (b): closed by a Set at a majority that never accepted it, the update goes on at the new version, once.
#[test]
fn p3_a_closed_majority_that_never_accepted_lets_an_update_go_on() {
    let mut world = World::new(3, TimestampMode::Logical);
    let ticket = world.submit(1, append("a."));
    world.deliver(|message| !is_accept(message));
    let accepts = world.hold(is_accept);
    let write = run(&mut world, 2, set("x."));
    assert!(world.written(write) > Version::MIN);
    world.put_back(accepts);
    world.deliver_all();
    assert_eq!(updated(&world, ticket).0, "=x.");
    assert_eq!(value(&mut world, 3), Some("x.a.".into()));
}

/// P3': with neither, an update that was proposed ends as unknown, and not at another base.
#[test]
fn p3_an_update_whose_fate_is_unknown_does_not_move_on() {
    let mut world = World::new(3, TimestampMode::Logical);
    let ticket = world.submit(1, append("a."));
    world.deliver(|message| !is_accept(message));
    // Replica 3 accepts it, and is not heard of again. Replica 2 is closed by a Set of its own, and has forgotten: it restarts.
    let accepts = world.hold(is_accept);
    for message in accepts {
        if message.to == 3 {
            world.arrive(message);
        }
    }
    let far = |message: &Message| message.touches(3);
    world.lose(far);
    let write = world.submit(2, set("x."));
    for _ in 0..3 {
        world.deliver(|message| !far(message));
        world.lose(far);
        world.advance(HEDGE);
    }
    world.written(write);
    world.crash(2);
    for _ in 0..400 {
        world.deliver(|message| !far(message));
        world.lose(far);
        world.advance(Duration::from_millis(30));
        if world.outcome(ticket).is_some() {
            break;
        }
    }
    // Replica 1 is closed and never accepted it; of replica 2 nobody can tell; replica 3 may be one of a majority.
    assert!(
        matches!(world.outcome(ticket), Some(Outcome::Indeterminate(Reason::FateUnknown { .. }))),
        "{:?}",
        world.outcome(ticket)
    );
    assert_eq!(value(&mut world, 2), Some("x.".into()));
}

/// An update by node 1 is accepted at its own replica, and a Set closes that one and replica 2, which never accepted it. Replica 3 is
/// down for node 1.
fn closed_beside_a_replica_that_is_down(world: &mut World) -> Ticket {
    world.node(1).coordinator.handle_peer_down(NodeId(3));
    let ticket = world.submit(1, append("a."));
    world.deliver(|message| !is_accept(message));
    assert_eq!(world.deliver_present(|message| is_accept(message) && message.to == 1), 1);
    let accepts = world.hold(is_accept);
    assert!(accepts.iter().all(|accept| accept.to == 2), "{accepts:?}");
    ticket
}

/// P3' (d): it was sent to nobody who cannot be asked, and nobody was told of it. So it goes on, though one of three is down.
#[test]
fn p3_what_nobody_else_has_is_lost_when_those_who_have_it_are_closed() {
    let mut world = World::new(3, TimestampMode::Logical);
    let ticket = closed_beside_a_replica_that_is_down(&mut world);
    let write = world.submit(2, set("x."));
    for _ in 0..20 {
        world.lose(|message| message.touches(3));
        world.deliver(|message| !message.touches(3));
        world.advance(Duration::from_millis(20));
    }
    assert!(world.written(write) > Version::MIN);
    assert_eq!(updated(&world, ticket).0, "=x.");
    assert_eq!(value(&mut world, 2), Some("x.a.".into()));
}

/// P3' (d): of a replica that it was sent to before the connection was lost nobody knows anything.
#[test]
fn p3_what_was_sent_to_a_replica_that_is_gone_may_be_accepted_there() {
    let mut world = World::new(3, TimestampMode::Logical);
    let ticket = world.submit(1, append("a."));
    world.deliver(|message| !is_accept(message));
    assert_eq!(world.deliver_present(|message| is_accept(message) && message.to != 2), 2);
    world.lose(is_accept);
    world.node(1).coordinator.handle_peer_down(NodeId(3));
    p3_it_stays_where_it_is(&mut world, ticket);
}

/// P3' (d): whoever was told may have brought it to others.
#[test]
fn p3_what_others_were_told_may_be_accepted_elsewhere() {
    let mut world = World::new(3, TimestampMode::Logical);
    let ticket = closed_beside_a_replica_that_is_down(&mut world);
    // Node 2 meets the proposal at replica 1, and brings it to replica 3.
    let helper = world.submit(2, append("b."));
    for _ in 0..2 {
        world.deliver(|message| !is_accept(message) && !message.touches(3));
        world.advance(HEDGE);
    }
    assert_eq!(world.deliver_present(|message| is_accept(message) && message.to == 3), 1);
    world.cancel(helper);
    world.lose(is_accept);
    p3_it_stays_where_it_is(&mut world, ticket);
}

/// A Set closes replicas 1 and 2; the update of node 1 is not heard of again, and is not applied at the Set's version.
fn p3_it_stays_where_it_is(world: &mut World, ticket: Ticket) {
    let write = world.submit(2, set("x."));
    for _ in 0..400 {
        world.lose(|message| message.touches(3));
        world.deliver(|message| !message.touches(3));
        world.advance(Duration::from_millis(30));
        if world.outcome(ticket).is_some() {
            break;
        }
    }
    world.written(write);
    assert!(
        matches!(world.outcome(ticket), Some(Outcome::Indeterminate(Reason::FateUnknown { .. }))),
        "{:?}",
        world.outcome(ticket)
    );
    assert_eq!(value(world, 2), Some("x.".into()));
}

/// P3': what became of a proposal binds its operations. When these have ended, those who waited behind them go on.
#[test]
fn p3_nobody_waits_for_the_fate_of_what_others_have_given_up() {
    let mut world = World::new(3, TimestampMode::Logical);
    let ticket = world.submit(1, append("a."));
    world.deliver(|message| !is_accept(message));
    for message in world.hold(is_accept) {
        if message.to == 3 {
            world.arrive(message);
        }
    }
    let far = |message: &Message| message.touches(3);
    world.lose(far);
    let behind = world.submit(1, append("b."));
    let write = world.submit(2, set("x."));
    for _ in 0..5 {
        world.deliver(|message| !far(message) && !message.touches(1) || message.between(2, 1));
        world.lose(far);
        world.advance(HEDGE);
    }
    world.written(write);
    world.crash(2);
    for _ in 0..20 {
        world.deliver(|message| !far(message));
        world.lose(far);
        world.advance(Duration::from_millis(30));
    }
    assert!(world.outcome(ticket).is_none() && world.outcome(behind).is_none());
    world.cancel(ticket);
    assert_eq!(world.outcome(ticket), Some(&Outcome::Indeterminate(Reason::Cancelled)));
    for _ in 0..20 {
        world.deliver(|message| !far(message));
        world.lose(far);
        world.advance(Duration::from_millis(30));
    }
    assert_eq!(updated(&world, behind).0, "=x.");
}
