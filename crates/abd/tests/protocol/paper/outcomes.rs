//! What a client may conclude (PROTOCOL section 8).

use super::{logical, no_write, truetime};
use crate::support::{HEDGE, PATIENCE, RESEND, World, delete, get, set, stamped, version};
use abd::{NodeId, Outcome, Reason, Refusal, Version};
use std::time::Duration;

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

/// Whoever has no room does not count as one that did what was asked, and the error says why.
#[test]
fn outcome_full_disks_are_named_when_the_others_do_not_answer() {
    let mut world = logical(3);
    world.node(2).standing.writable = false;
    let write = world.submit(1, set("x"));
    world.deliver(|m| m.between(1, 1) || m.between(1, 2));
    world.advance(PATIENCE);
    let expected = Reason::NoQuorum { answered: 1, needed: 2, members: 3, refusal: Some(Refusal::DiskFull) };
    assert_eq!(world.outcome(write), Some(&Outcome::Refused(expected)));
    assert_eq!(
        expected.to_string(),
        "1 of 3 replicas answered in time, 2 are needed; one said that its disk is full"
    );
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

/// A Delete makes room in the end, so full disks take part in it, and whoever knows that they are full asks them all the same.
#[test]
fn outcome_full_disks_carry_out_a_delete() {
    for mut world in [logical(3), truetime(3)] {
        let truetime = world.node(1).interval.is_some();
        let run = |world: &mut World, operation, time: u64| {
            if truetime {
                world.clock(1, time - 1, time);
            }
            let ticket = world.submit(1, operation);
            world.deliver_all();
            if truetime {
                world.clock(1, time + 1, time + 2);
                world.advance(Duration::from_millis(1));
            }
            world.outcome(ticket).cloned()
        };
        assert!(matches!(run(&mut world, set("x"), 2000), Some(Outcome::Written { existed: false, .. })));
        for id in 1..=3 {
            world.node(id).standing.writable = false;
            world.node(1).coordinator.handle_peer_writable(NodeId(id), false);
        }
        let deleted = run(&mut world, delete(), 3000);
        assert!(matches!(deleted, Some(Outcome::Written { existed: true, .. })), "{deleted:?}");
        let refused = run(&mut world, set("y"), 4000);
        assert!(
            matches!(refused, Some(Outcome::Refused(Reason::TooManyRefused { refused: 2.., .. }))),
            "{refused:?}"
        );
    }
}
