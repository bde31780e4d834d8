//! Rules P1, P3', P4 and T1 of updates (PROTOCOL section 5), as a client sees them: one successor for each base, each update applied
//! once or not at all, and answers that say which.

use crate::functions::{append, create, take};
use crate::support::{HEDGE, Message, PATIENCE, Payload, Ticket, World, delete, get, set, stamped, version};
use abd::{NodeId, Outcome, Reason, Refusal, Reply, Request, Standing, TimestampMode, Version};
use std::time::Duration;

/// What an Update that must have ended well has seen before its effect, and the version that the key has then.
#[track_caller]
fn updated(world: &World, ticket: Ticket) -> (String, Version) {
    match world.outcome(ticket) {
        Some(Outcome::Updated { answers, version }) => {
            (answers.iter().map(|answer| String::from_utf8_lossy(answer)).collect(), *version)
        }
        other => panic!("expected an update, found {other:?}"),
    }
}

fn run(world: &mut World, node: u32, operation: abd::Operation) -> Ticket {
    let ticket = world.submit(node, operation);
    world.deliver_all();
    ticket
}

fn value(world: &mut World, node: u32) -> Option<String> {
    let ticket = run(world, node, get());
    world.read(ticket)
}

fn is_prepare(message: &Message) -> bool {
    matches!(message.payload, Payload::Request(Request::Prepare { .. }))
}

fn is_accept(message: &Message) -> bool {
    matches!(message.payload, Payload::Request(Request::Accept { .. }))
}

fn is_accepted(message: &Message) -> bool {
    matches!(message.payload, Payload::Reply(Reply::Accepted))
}

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
