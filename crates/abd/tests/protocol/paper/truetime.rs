//! Interval clocks: rules T1 and T2.

use super::truetime;
use crate::support::{Message, PATIENCE, get, set, version};
use abd::{Outcome, Reason};
use std::time::Duration;

/// PROTOCOL 3.6 (run BT2), the eleven steps: a Get that returns a version of the future has to wait as well.
#[test]
fn t1_a_get_waits_until_what_it_returns_is_in_the_past() {
    let mut world = truetime(3);
    // True time is 3. Set1 picks 4 and reaches a majority.
    world.clock(1, 2, 4);
    world.clock(2, 3, 5);
    world.clock(3, 3, 3);
    let set1 = world.submit(1, set("one"));
    world.deliver_all();
    assert_eq!(world.outcome(set1), None, "Set1 waits out 4");
    // Get1 sees it everywhere. Here the broken variant answers.
    let get1 = world.submit(2, get());
    world.deliver_all();
    assert_eq!(world.outcome(get1), None, "Get1 would answer with a version that may lie in the future");
    // Set2 on a node with a tight clock picks 3, and is done at true time 4.
    let set2 = world.submit(3, set("two"));
    world.deliver_all();
    world.clock(1, 3, 5);
    world.clock(2, 4, 6);
    world.clock(3, 4, 4);
    world.advance(Duration::from_nanos(1));
    assert_eq!(world.written(set2), version(3, 3, 1));
    // Had Get1 answered before Set2 began, then this Get2 would not be linearizable.
    assert_eq!(world.outcome(get1), None);
    world.clock(2, 5, 5);
    world.advance(Duration::from_nanos(1));
    assert_eq!(world.read(get1).as_deref(), Some("one"));
    world.clock(3, 5, 5);
    let get2 = world.submit(3, get());
    world.deliver_all();
    assert_eq!(world.read(get2).as_deref(), Some("one"));
}

/// Corbett et al., *Spanner*, 2012, section 4.1.2, commit wait: the answer comes after `earliest > time`, not at it.
#[test]
fn t1_a_set_answers_when_earliest_is_above_its_time() {
    let mut world = truetime(3);
    world.clock(1, 990, 1000);
    let write = world.submit(1, set("x"));
    world.deliver_all();
    world.clock(1, 1000, 1010);
    world.advance(Duration::from_millis(1));
    assert_eq!(world.outcome(write), None, "1000 may still be now");
    world.clock(1, 1001, 1011);
    world.advance(Duration::from_millis(1));
    assert_eq!(world.written(write).time(), 1000);
}

/// PROTOCOL 3.6: the wait overlaps the write phase; what has passed meanwhile is not waited for again.
#[test]
fn t1_the_wait_overlaps_the_write_phase() {
    let mut world = truetime(3);
    let write = world.submit(1, set("x"));
    world.clock(1, 1001, 1002);
    world.deliver_all();
    world.written(write);
}

/// PROTOCOL T1 when the bound is lost after the write: nobody may say done, and nobody may say it did not happen.
#[test]
fn t1_a_clock_lost_during_the_wait_ends_at_the_deadline() {
    let mut world = truetime(3);
    world.clock(2, 990, 1010);
    let write = world.submit(1, set("x"));
    world.deliver_all();
    let reader = world.submit(2, get());
    world.deliver_all();
    for id in world.ids() {
        world.node(id).interval = None;
    }
    world.advance(PATIENCE - Duration::from_millis(1));
    assert_eq!((world.outcome(write), world.outcome(reader)), (None, None));
    world.advance(Duration::from_millis(1));
    assert_eq!(world.outcome(write), Some(&Outcome::Indeterminate(Reason::ClockUnknown)));
    assert_eq!(world.outcome(reader), Some(&Outcome::Refused(Reason::ClockUnknown)));
}

/// PROTOCOL T1 with a wait that is longer than the patience: the same outcome, and a reason that says what was too short.
#[test]
fn t1_a_wait_beyond_the_deadline_says_so() {
    let mut world = truetime(3);
    let write = world.submit(1, set("x"));
    world.deliver_all();
    world.advance(PATIENCE);
    assert_eq!(world.outcome(write), Some(&Outcome::Indeterminate(Reason::StillUncertain)));
}

/// PROTOCOL T2 and section 1, counter-example 3 (run BT5): `latest` repeats and goes back; issued times do neither.
#[test]
fn t2_two_sets_under_one_reading_of_the_clock_have_two_times() {
    let mut world = truetime(3);
    let first = world.submit(1, set("x"));
    let second = world.submit(1, set("y"));
    world.clock(1, 800, 900);
    let third = world.submit(1, set("z"));
    world.clock(1, 2000, 2000);
    world.deliver_all();
    let times = [first, second, third].map(|ticket| world.written(ticket).time());
    assert_eq!(times, [1000, 1001, 1002]);
}

/// PROTOCOL section 2, "Set T": no query phase, the puts leave at once.
#[test]
fn t2_a_set_takes_latest_and_asks_nobody_first() {
    let mut world = truetime(3);
    world.clock(1, 1000, 1234);
    world.submit(1, set("x"));
    assert!(world.pool.iter().all(Message::is_write));
    assert_eq!(world.writes().len(), 3);
    assert!(world.writes().iter().all(|(_, write)| write.version == version(1234, 1, 1)));
}

/// PROTOCOL section 1, "Poisoning": without a bound there is no time to pick, so the Set has certainly no effect.
#[test]
fn t2_a_set_without_a_clock_is_refused_and_nothing_is_sent() {
    let mut world = truetime(3);
    world.node(1).interval = None;
    let write = world.submit(1, set("x"));
    assert_eq!(world.outcome(write), Some(&Outcome::Refused(Reason::ClockUnknown)));
    assert!(world.pool.is_empty());
    assert_eq!(world.nodes[&1].coordinator.poll_timeout(), None);
}
