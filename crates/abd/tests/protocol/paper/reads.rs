//! Gets: rule R1.

use super::{logical, no_write, plant_everywhere};
use crate::support::{Disk, HEDGE, Message, Payload, get, set, stamped, version};
use abd::{CallId, Moment, NodeId, Now, Reply};

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
    let now = Now { instant: world.instant, interval: None, moment: Moment::UNKNOWN };
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
            matches!(&m.payload, Payload::Reply(Reply::Read(found)) if found.content.is_some()) && m.from == 2
        });
        world.deliver_all();
        world.read(reader);
        sent
    };
    assert!(!content_sent(5), "the reader's own replica has it");
    assert!(content_sent(4), "the reader's own replica is behind");
    assert!(!content_sent(6), "the reader's own replica is ahead");
}
