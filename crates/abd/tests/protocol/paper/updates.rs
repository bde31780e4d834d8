//! Rules P1, P4, R2 and T1 of updates (PROTOCOL section 5), as a client sees them: one successor for each base, each update applied
//! once or not at all, and answers that say which.

use super::{is_accept, is_prepare, run, updated, value};
use crate::functions::{append, create, take};
use crate::support::{Message, PATIENCE, World, set};
use abd::{Outcome, Reason, TimestampMode, Version};
use std::time::Duration;

/// P1: the successor of a base is its timestamp with one update more, also of a key that nobody had written.
#[test]
fn p1_an_update_makes_the_successor_of_its_base() {
    let mut world = World::new(3, TimestampMode::Logical);
    let first = run(&mut world, 1, append("a"));
    let base = Version { rmwc: 1, ..Version::MIN };
    assert_eq!(updated(&world, first), ("absent".into(), base));
    let write = run(&mut world, 2, set("x"));
    let write = world.written(write);
    assert!(write > base);
    let next = run(&mut world, 3, append("b"));
    assert_eq!(updated(&world, next), ("=x".into(), write.successor().unwrap()));
    let next = run(&mut world, 3, take());
    assert_eq!(updated(&world, next), ("=xb".into(), Version { rmwc: 2, ..write }));
    assert_eq!(value(&mut world, 1), None);
    let next = run(&mut world, 2, create("y"));
    assert_eq!(updated(&world, next), ("absent".into(), Version { rmwc: 3, ..write }));
    assert_eq!(value(&mut world, 1), Some("y".into()));
}

/// P1: whatever the order of messages, of two proposals for one base one is chosen, and the other update goes on from there.
#[test]
fn p1_two_updates_at_once_are_both_applied_one_after_the_other() {
    let mut world = World::new(3, TimestampMode::Logical);
    let (a, b) = (world.submit(1, append("a.")), world.submit(2, append("b.")));
    for _ in 0..200 {
        world.deliver_all();
        world.advance(Duration::from_millis(1));
    }
    let (a, b) = (updated(&world, a), updated(&world, b));
    let found = value(&mut world, 3).unwrap();
    let expected = if a.1 < b.1 { ("absent", "=a.", "a.b.") } else { ("=b.", "absent", "b.a.") };
    assert_eq!((&a.0[..], &b.0[..], &found[..]), expected);
}

/// Section 5.2: a condition that fails is a Get. One round trip, no promise, nothing to sync.
#[test]
fn a_failed_condition_is_a_get() {
    let mut world = World::new(3, TimestampMode::Logical);
    let absent = run(&mut world, 1, take());
    assert_eq!(updated(&world, absent), ("absent".into(), Version::MIN));
    let write = run(&mut world, 1, set("x"));
    let write = world.written(write);
    let ticket = world.submit(2, create("y"));
    while !world.pool.is_empty() {
        assert!(
            world
                .pool
                .iter()
                .all(|message| message.is_reply() || !message.is_write() && !is_prepare(message))
        );
        world.deliver_at(0);
    }
    assert_eq!(updated(&world, ticket), ("=x".into(), write));
}

/// Section 5.2: three round trips. What came while the promises were under way goes along.
#[test]
fn what_waits_is_folded_into_one_proposal() {
    let mut world = World::new(3, TimestampMode::Logical);
    let mut tickets = vec![world.submit(1, append("0."))];
    assert!(!world.pool.is_empty() && world.pool.iter().all(is_prepare));
    tickets.extend((1..9).map(|number| world.submit(1, append(&format!("{number}.")))));
    world.deliver(|message| !is_accept(message));
    let accepts = world.pool.iter().filter(|message| is_accept(message)).count();
    assert_eq!(accepts, 3);
    world.deliver_all();
    let mut seen = String::new();
    for (number, ticket) in tickets.into_iter().enumerate() {
        let expected = if number == 0 { "absent".into() } else { format!("={seen}") };
        // All of them are one update.
        assert_eq!(updated(&world, ticket), (expected, Version { rmwc: 1, ..Version::MIN }));
        seen += &format!("{number}.");
    }
    assert_eq!(value(&mut world, 2), Some(seen));
}

/// P4: what is chosen is answered when it is stored on a majority, not before: Gets do not look at what is accepted.
#[test]
fn p4_an_update_answers_when_its_version_is_stored() {
    let mut world = World::new(3, TimestampMode::Logical);
    let ticket = world.submit(1, append("a"));
    world.deliver(|message| !message.is_write());
    assert!(world.outcome(ticket).is_none());
    assert_eq!(world.pool.iter().filter(|message| message.is_write()).count(), 3);
    let own = world.pool.iter().position(Message::is_write).unwrap();
    world.deliver_at(own);
    world.deliver(Message::is_reply);
    assert!(world.outcome(ticket).is_none(), "one replica has it");
    world.deliver_all();
    assert_eq!(updated(&world, ticket).0, "absent");
}

/// P1, helping: an update that meets an accepted proposal of a coordinator that is gone finishes it.
#[test]
fn p1_a_proposal_that_may_be_chosen_is_finished_by_the_next_update() {
    for accepted_by in 1..=3 {
        let mut world = World::new(3, TimestampMode::Logical);
        world.submit(1, append("a."));
        world.deliver(|message| !is_accept(message));
        for _ in 0..accepted_by {
            let at = world.pool.iter().position(is_accept).unwrap();
            world.deliver_at(at);
        }
        world.lose(|_| true);
        world.crash(1);
        let ticket = world.submit(2, append("b."));
        for _ in 0..50 {
            world.deliver_all();
            world.advance(Duration::from_millis(5));
        }
        let seen = updated(&world, ticket).0;
        let found = value(&mut world, 3).unwrap();
        match &seen[..] {
            "=a." => assert_eq!(found, "a.b."),
            // Those that were asked had not accepted it, and it was not chosen.
            "absent" => assert!(accepted_by == 1 && found == "b.", "{accepted_by} {found}"),
            other => panic!("{other}"),
        }
    }
}

/// R2: the coordinator of what was helped to be chosen may be gone, so whoever has helped sends it to everybody.
#[test]
fn r2_what_was_helped_is_sent_to_everybody() {
    let mut world = World::new(3, TimestampMode::Logical);
    world.submit(1, append("a."));
    world.deliver(|message| !is_accept(message));
    world.deliver(is_accept);
    world.lose(|_| true);
    world.crash(1);
    let ticket = world.submit(2, create("b."));
    let mut sent = Vec::new();
    while !world.pool.is_empty() {
        sent.extend(world.writes());
        world.deliver_at(0);
    }
    assert_eq!(updated(&world, ticket).0, "=a.");
    let chosen = Version { rmwc: 1, ..Version::MIN };
    let mut to: Vec<u32> =
        sent.into_iter().filter(|(_, stamped)| stamped.version == chosen).map(|(to, _)| to).collect();
    to.sort_unstable();
    to.dedup();
    assert_eq!(to, [1, 2, 3]);
}

/// A1: who is told that an update was refused knows that it had no effect; once it was proposed nobody is told that.
#[test]
fn a1_an_update_is_refused_only_before_it_was_proposed() {
    let mut world = World::new(3, TimestampMode::Logical);
    let early = world.submit(1, append("a."));
    world.deliver(|message| is_prepare(message) && message.to == 1);
    world.cancel(early);
    assert_eq!(world.outcome(early), Some(&Outcome::Refused(Reason::Cancelled)));
    world.deliver_all();
    assert_eq!(value(&mut world, 2), None);
    let late = world.submit(1, append("b."));
    let waits = world.submit(1, append("c."));
    world.deliver(|message| !is_accept(message));
    let comes = world.submit(1, append("d."));
    world.cancel(late);
    world.cancel(comes);
    assert_eq!(world.outcome(late), Some(&Outcome::Indeterminate(Reason::Cancelled)));
    assert_eq!(world.outcome(comes), Some(&Outcome::Refused(Reason::Cancelled)));
    world.deliver_all();
    assert_eq!(updated(&world, waits).0, "=b.");
    assert_eq!(value(&mut world, 3), Some("b.c.".into()));
}

/// T1: an update has the time of its base, and answers when that is past for certain; so does one that changes nothing (run BT6).
#[test]
fn t1_updates_wait_the_uncertainty_out() {
    let mut world = World::new(3, TimestampMode::TrueTime);
    world.clock(1, 900, 1100);
    let write = run(&mut world, 1, set("x."));
    assert!(world.outcome(write).is_none(), "it waits, too");
    let change = run(&mut world, 2, append("a."));
    let failed = run(&mut world, 3, create("y"));
    for ticket in [change, failed] {
        assert!(world.outcome(ticket).is_none());
    }
    for id in 1..=3 {
        world.clock(id, 1101, 1200);
    }
    world.advance(Duration::from_millis(20));
    assert_eq!(updated(&world, change).0, "=x.");
    assert_eq!(updated(&world, failed).0, "=x.a.");
}

/// T1: without an interval nothing is begun that could not be answered.
#[test]
fn t1_an_update_without_a_clock_is_refused() {
    let mut world = World::new(3, TimestampMode::TrueTime);
    world.node(1).interval = None;
    let ticket = run(&mut world, 1, append("a."));
    assert_eq!(world.outcome(ticket), Some(&Outcome::Refused(Reason::ClockUnknown)));
}

/// Each update has a deadline of its own, and a fold ends with the last of them.
#[test]
fn updates_end_at_their_deadlines() {
    let mut world = World::new(3, TimestampMode::Logical);
    let far = |message: &Message| message.touches(2) || message.touches(3);
    let early = world.submit_within(1, append("a."), PATIENCE / 2);
    let late = world.submit_within(1, append("b."), PATIENCE);
    let end = world.instant + PATIENCE * 2;
    while world.instant < end {
        world.deliver(|message| !far(message));
        world.lose(far);
        world.advance(Duration::from_millis(100));
        let is_over = |at: Duration| world.instant.0 >= u64::try_from(at.as_nanos()).unwrap();
        assert_eq!(world.outcome(early).is_some(), is_over(PATIENCE / 2));
        assert_eq!(world.outcome(late).is_some(), is_over(PATIENCE));
    }
    let members = 3;
    for ticket in [early, late] {
        let reason = Reason::NoQuorum { answered: 1, needed: 2, members, refusal: None };
        assert_eq!(world.outcome(ticket), Some(&Outcome::Refused(reason)));
    }
    assert_eq!(world.node(1).coordinator.in_flight(), 0);
}

/// Liveness: a publication that one member refused while another one was away was offered to nobody any more, and every later update of
/// the key waited for it.
#[test]
fn a_publication_that_was_refused_is_offered_again() {
    let mut world = World::new(3, TimestampMode::Logical);
    let update = world.submit(1, append("x"));
    world.deliver(|message| !message.touches(3) && !message.is_write());
    assert!(!world.writes().is_empty(), "it is to be published");
    for writable in [false, true] {
        world.node(2).standing.writable = writable;
        for _ in 0..20 {
            world.lose(|message| message.touches(3));
            world.deliver_all();
            world.advance(Duration::from_millis(100));
        }
        assert_eq!(world.outcome(update).is_some(), writable, "{:?}", world.outcome(update));
    }
    let _ = updated(&world, update);
}
