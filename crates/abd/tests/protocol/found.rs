//! What a Get in flight has found: a node that keeps count of it bounds the memory of a client's Gets.

use crate::support::{RESEND, World, get, set, stamped, version};
use abd::{Interval, TimestampMode, ValueFound};

/// The content of the own replica is here before anybody else is asked; a larger version replaces it.
#[test]
fn a_get_has_what_the_own_replica_has_and_then_the_newest() {
    let mut world = World::new(3, TimestampMode::TrueTime);
    world.plant(1, stamped(version(500, 1, 1), "four"));
    world.plant(2, stamped(version(2000, 2, 1), "sixteen bytes in"));
    let reader = world.submit(1, get());
    let found = |world: &World| world.nodes[&1].coordinator.found(reader.id);
    assert_eq!(found(&world), ValueFound::Nothing);
    world.deliver_present(|m| m.to == 1);
    world.deliver_present(|m| m.is_reply());
    assert_eq!(found(&world), ValueFound::Bytes(4));
    world.deliver(|m| !m.is_write());
    assert!(!world.writes().is_empty(), "it is written back");
    assert_eq!(found(&world), ValueFound::Bytes(16));
    // What it has read is in the future: it waits (rule T1).
    world.deliver_all();
    assert_eq!((world.outcome(reader), found(&world)), (None, ValueFound::Bytes(16)));
    world.node(1).interval = Some(Interval { earliest: 2001, latest: 2001 });
    world.advance(RESEND);
    assert_eq!(world.read(reader).as_deref(), Some("sixteen bytes in"));
    assert_eq!(found(&world), ValueFound::Ended);
}

#[test]
fn a_set_has_found_nothing() {
    let mut world = World::new(3, TimestampMode::Logical);
    world.plant(1, stamped(version(5, 1, 1), "four"));
    let writer = world.submit(1, set("five!"));
    for _ in 0..2 {
        assert_eq!(world.node(1).coordinator.found(writer.id), ValueFound::Bytes(0));
        world.deliver(|m| !m.is_write());
    }
    world.deliver_all();
    assert_eq!(world.node(1).coordinator.found(writer.id), ValueFound::Ended);
}
