//! A coordinator whose own replica has to look on a slow disk.

use crate::support::{Message, World, get, set, stamped, version};
use abd::{CallId, Moment, Now, TimestampMode};

fn is_own(message: &Message) -> bool {
    (message.from, message.to) == (1, 1)
}

/// Node 1 is told that its own replica will not answer this soon; how many messages that leads to.
fn delay(world: &mut World, call: CallId) -> usize {
    let before = world.pool.len();
    let now = Now { instant: world.instant, interval: None, moment: Moment::UNKNOWN };
    let node = world.node(1);
    node.coordinator.handle_local_delay(call, now, &node.issuer);
    world.collect(1);
    world.pool.len() - before
}

#[test]
fn the_others_are_asked_at_once() {
    for operation in [get(), set("new")] {
        let mut world = World::new(3, TimestampMode::Logical);
        (1..=3).for_each(|node| world.plant(node, stamped(version(5, 1, 1), "old")));
        let ticket = world.submit(1, operation.clone());
        let own = world.pool.iter().find(|message| is_own(message)).unwrap().call;
        let asked = world.pool.len();
        assert_eq!(delay(&mut world, own), 3 - asked, "those who have not been asked");
        assert_eq!(delay(&mut world, own), 0, "once");
        // No time passes, and the own replica never answers.
        world.deliver(|message| !is_own(message));
        if operation.is_read() {
            assert_eq!(world.read(ticket).as_deref(), Some("old"));
        } else {
            assert!(world.written(ticket) > version(5, 1, 1));
        }
    }
}

#[test]
fn only_a_question_that_is_open_has_others_asked() {
    let mut world = World::new(3, TimestampMode::Logical);
    let ticket = world.submit(1, set("new"));
    let question = world.pool.iter().find(|message| is_own(message)).unwrap().call;
    world.deliver(|message| !message.is_write());
    let write = world.pool.iter().find(|message| is_own(message)).unwrap().call;
    assert_ne!(question, write);
    assert_eq!((delay(&mut world, question), delay(&mut world, write)), (0, 0));
    world.deliver_all();
    world.written(ticket);
    assert_eq!(delay(&mut world, write), 0);
}
