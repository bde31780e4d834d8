//! Rule R2: every replica gets every version in the end, whatever happens to repair's own messages.

mod messages;
mod pulling;
mod world;

use abd::{CallId, Refusal};
use bytes::Bytes;
use messages::answers;
use node::repair::Config;
use node::repair::message::{Answer, Question};
use node::repair::ranges::{CHUNK_KEYS, Range, Ranges, answer, digest};
use std::time::Duration;
use world::{Store, World, id, key, machine, version};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const LONG: Duration = Duration::from_secs(100);

/// Without comparisons but those after a start.
pub(crate) fn config() -> Config {
    Config { compare_every: None, ..Config::default() }
}

/// A cluster in which the comparisons after the start have ended.
fn settled(config: Config) -> World {
    let mut world = World::new(3, config);
    world.pass(SECOND);
    world.sent.clear();
    world.bytes = 0;
    world
}

/// A write that reached everybody but those who missed it.
pub(crate) fn write(world: &mut World, number: usize, at: u64, missed_by: &[usize]) {
    let (key, version, now) = (key(number), version(at), world.now);
    for node in (0..world.stores.len()).filter(|node| !missed_by.contains(node)) {
        world.stores[node].put(&key, version);
    }
    for peer in missed_by {
        world.repair(0).handle_missed(id(*peer), &key, version, now);
    }
}

#[test]
fn r2_what_a_peer_missed_while_it_was_away_it_gets_from_the_list() {
    let mut world = settled(config());
    world.stop(2);
    (0..4000).for_each(|number| write(&mut world, number, 5, &[2]));
    world.now = world.now + SECOND;
    let status = world.status(0, 2);
    assert_eq!((status.keys, status.compared, status.behind_for), (4000, None, Some(SECOND)));
    // It has stood still, and does not compare itself with anybody.
    let now = world.now;
    world.repair(0).handle_peer_up(id(2), now);
    world.repairs[2] = Some(machine(config(), 3, 2));
    world.pass(LONG);
    world.assert_converged();
    let status = world.status(0, 2);
    assert_eq!((status.keys, status.behind_for, status.counts.sent), (0, None, 4000));
    assert_eq!(world.count_of("digest"), 0);
}

#[test]
fn r2_a_round_that_sent_nothing_is_tried_again() {
    let mut world = settled(config());
    world.full.insert((0, 2));
    (0..200).for_each(|number| write(&mut world, number, 5, &[2]));
    world.pass(LONG);
    assert_eq!((world.stores[2].versions.len(), world.count_of("versions")), (0, 0));
    // Nobody tells repair that there is room again.
    world.full.clear();
    world.pass(LONG);
    world.assert_converged();
}

#[test]
fn r2_what_is_not_acknowledged_is_sent_again() {
    let mut world = settled(config());
    world.silent.insert((0, 2));
    (0..200).for_each(|number| write(&mut world, number, 5, &[2]));
    world.pass(LONG);
    assert!(world.count_of("versions") > 5, "questions without answers are asked again");
    assert_eq!(world.status(0, 2).keys, 200);
    world.silent.clear();
    // A full disk acknowledges nothing, either.
    world.stores[2].full = true;
    world.pass(LONG);
    assert_eq!(world.status(0, 2).keys, 200);
    assert!(world.count_of("push") < 1000, "a peer that refuses is not flooded");
    world.stores[2].full = false;
    world.pass(LONG);
    world.assert_converged();
    assert_eq!(world.status(0, 2).keys, 0);
}

#[test]
fn r2_a_key_that_was_written_meanwhile_stays_on_the_list() {
    let mut world = settled(config());
    world.full.insert((0, 2));
    write(&mut world, 1, 5, &[2]);
    // The newer version is not durable here yet: it is under way to the own disk.
    let now = world.now;
    world.repair(0).handle_missed(id(2), &key(1), version(9), now);
    world.full.clear();
    world.pass(10 * SECOND);
    assert_eq!(world.stores[2].versions[&key(1)].version, version(5));
    assert_eq!(world.status(0, 2).keys, 1);
    world.stores[0].put(&key(1), version(9));
    world.pass(10 * SECOND);
    assert_eq!(world.stores[2].versions[&key(1)].version, version(9));
    assert_eq!(world.status(0, 2).keys, 0);
}

#[test]
fn r2_a_version_that_nobody_stored_is_forgotten_in_the_end() {
    let mut world = settled(config());
    let now = world.now;
    world.repair(0).handle_missed(id(2), &key(1), version(9), now);
    world.pass(LONG);
    assert_eq!(world.status(0, 2).behind_for, None);
}

#[test]
fn r2_what_the_own_replica_refused_comes_back_from_whoever_has_it() {
    let mut world = settled(config());
    world.stores[0].full = true;
    world.stores[1].full = true;
    world.stores[2].put(&key(1), version(7));
    let now = world.now;
    for refused_by in [0, 1] {
        world.repair(0).handle_missed(id(refused_by), &key(1), version(7), now);
    }
    world.pass(SECOND);
    world.stores[0].full = false;
    world.stores[1].full = false;
    world.pass(LONG);
    world.assert_converged();
    assert_eq!(world.status(0, 2).counts.fetched, 1);
}

#[test]
fn r2_a_list_that_overflows_becomes_a_comparison() {
    let mut world = settled(Config { list_bytes: 100 << 10, ..config() });
    world.stop(2);
    (0..10_000).for_each(|number| write(&mut world, number, 5, &[2]));
    world.now = world.now + SECOND;
    let status = world.status(0, 2);
    assert!(status.keys < 1000 && status.compared == Some(0), "{status:?}");
    assert_eq!(status.behind_for, Some(SECOND), "since the oldest miss, not since the overflow");
    let now = world.now;
    world.repairs[2] = Some(machine(config(), 3, 2));
    world.repair(0).handle_peer_up(id(2), now);
    world.pass(LONG);
    world.assert_converged();
    let status = world.status(0, 2);
    assert_eq!((status.keys, status.compared, status.behind_for), (0, None, None));
}

#[test]
fn r2_a_comparison_that_is_interrupted_goes_on_where_it_was() {
    let mut world = settled(config());
    (0..50_000).for_each(|number| write(&mut world, number, 5, &[]));
    (49_000..49_500).for_each(|number| drop(world.stores[2].versions.remove(&key(number))));
    let now = world.now;
    world.repair(0).handle_overflow(id(2), now);
    for _ in 0..10 {
        world.pass(Duration::from_millis(30));
        world.stop(2);
        world.pass(SECOND);
        let now = world.now;
        world.repairs[2] = Some(machine(config(), 3, 2));
        world.repair(0).handle_peer_up(id(2), now);
    }
    world.pass(LONG);
    world.assert_converged();
    let pages = 50_000_usize.div_ceil(1024);
    assert!(world.count_of("digest") < 2 * pages + 100, "{:?}", world.sent);
}

#[test]
fn r2_after_a_start_what_others_have_is_fetched_and_passed_on() {
    // The coordinator at 0 was killed when its write had reached 1 alone.
    let mut world = settled(config());
    world.stop(0);
    world.stores[1].put(&key(3), version(8));
    world.pass(SECOND);
    assert_eq!(world.stores[2].versions.len(), 0);
    world.start(0);
    world.pass(LONG);
    world.assert_converged();
    assert_eq!(world.stores[2].versions[&key(3)].version, version(8));
}

#[test]
fn r2_two_large_equal_stores_are_compared_with_little_traffic() {
    let mut world = settled(config());
    (0..50_000).for_each(|number| write(&mut world, number, 5, &[]));
    let now = world.now;
    world.repair(0).handle_overflow(id(1), now);
    world.pass(LONG);
    assert_eq!((world.count_of("digest"), world.count_of("versions")), (50_000_usize.div_ceil(1024), 0));
    assert!(world.bytes < 50_000 / 4, "{} bytes", world.bytes);
}

#[test]
fn r2_one_difference_costs_little() {
    let mut world = settled(config());
    (0..50_000).for_each(|number| write(&mut world, number, 5, &[]));
    world.stores[0].put(&key(777), version(6));
    world.stores[1].put(&key(30_000), version(6));
    world.stores[1].put(&Bytes::from("key 040000 and more"), version(6));
    let now = world.now;
    world.repair(0).handle_overflow(id(1), now);
    world.pass(LONG);
    assert!(world.stores[0].versions == world.stores[1].versions);
    assert_eq!(world.status(0, 1).counts.differing, 3);
    assert!(world.bytes < 60_000, "{} bytes", world.bytes);
}

#[test]
fn r2_whoever_has_much_more_tells_it_piece_by_piece() {
    let mut world = settled(config());
    (0..3000).for_each(|number| world.stores[1].put(&key(number), version(5)));
    (0..3000).step_by(500).for_each(|number| world.stores[0].put(&key(number), version(4)));
    let now = world.now;
    world.repair(0).handle_overflow(id(1), now);
    world.pass(LONG);
    world.assert_converged();
    // Each of them was passed on to the third, too, which had none.
    assert_eq!(world.status(0, 1).counts.fetched, 3000);
}

#[test]
fn r2_what_is_damaged_costs_what_is_damaged() {
    let mut world = settled(config());
    (0..5000).for_each(|number| world.stores[0].put(&key(number), version(5)));
    world.stores[1].versions = world.stores[0].versions.clone();
    (0..5000).step_by(7).for_each(|number| drop(world.stores[1].versions.remove(&key(number))));
    world.stores[1].damaged.insert(key(2001));
    let now = world.now;
    world.repair(0).handle_overflow(id(1), now);
    world.pass(LONG);
    let lacking = world.stores[0].versions.keys().filter(|key| !world.stores[1].versions.contains_key(*key));
    assert!(lacking.count() <= CHUNK_KEYS / 7 + 1);
    assert_eq!(world.status(0, 1).compared, None, "the comparison has ended");
}

#[test]
fn r2_what_one_side_cannot_take_does_not_keep_others_from_their_turn() {
    let mut world = settled(config());
    (0..200).for_each(|number| write(&mut world, number, 5, &[2]));
    // These cannot be taken there, however often they are sent.
    world.stores[2].refused = (0..40).map(key).collect();
    world.pass(LONG);
    assert_eq!(world.stores[2].versions.len(), 160);
    world.stores[2].refused.clear();
    world.pass(LONG);
    world.assert_converged();
}

#[test]
fn r2_a_replica_that_abstains_is_given_what_others_have_and_no_more() {
    let mut world = settled(Config { compare_every: Some(20 * SECOND), ..config() });
    (0..50).for_each(|number| write(&mut world, number, 5, &[]));
    for node in [0, 2] {
        world.stores[node].versions.remove(&key(7));
        world.stores[node].abstains.insert(key(7));
        let now = world.now;
        world.repair(node).handle_missed(id(1), &key(7), version(6), now);
    }
    world.pass(LONG);
    assert_eq!(world.stores[0].versions[&key(7)].version, version(5));
    world.assert_converged();
    let all: usize = world.sent.values().sum();
    assert!(all < 1000, "{:?}", world.sent);
}

#[test]
fn r2_a_routine_comparison_comes_again() {
    let mut world = settled(Config { compare_every: Some(10 * SECOND), ..config() });
    world.stores[1].put(&key(1), version(5));
    world.pass(LONG);
    world.assert_converged();
}

#[test]
fn a_replica_that_is_not_admitted_tells_nothing() {
    let question = Question::Digest { range: Range::default(), count: 0, digest: digest(&[]) };
    assert_eq!(answer(&Store::default(), &question, false), Ok(Answer::Refused(Refusal::NotAdmitted)));
    assert_eq!(answer(&Store::default(), &question, true), Ok(Answer::Same(true)));
}

#[test]
fn an_answer_is_bounded_whatever_is_asked() {
    let mut store = Store::default();
    (0..3000).for_each(|number| store.put(&key(number), version(5)));
    store.put(&Bytes::from(vec![b'a'; 60_000]), version(5));
    let question = Question::Versions { listed: Vec::new(), range: Some(Range::default()) };
    let Ok(Answer::Versions { others, told_up_to, .. }) = answer(&store, &question, true) else { panic!() };
    assert_eq!((others.len(), told_up_to), (1, Some(Bytes::from(vec![b'a'; 60_000]))));
    let whole = store.walk(&Range::default(), usize::MAX, usize::MAX).unwrap();
    assert!(whole.is_last);
    // A digest of fewer keys than there are is not looked at to the end.
    let question =
        Question::Digest { range: Range::default(), count: 10, digest: digest(&whole.entries[..10]) };
    assert_eq!(answer(&store, &question, true), Ok(Answer::Same(false)));
}

#[test]
fn answers_that_fit_no_question_have_no_effect() {
    let mut world = settled(config());
    let now = world.now;
    world.full.insert((0, 2));
    write(&mut world, 1, 5, &[2]);
    for operation in [0, 1 << 63, u64::MAX, (1 << 63) | 1, (1 << 63) | 63] {
        for told in answers() {
            for from in [1, 2] {
                world.repair(0).handle_answer(id(from), CallId { operation, phase: 0 }, told.clone(), now);
            }
        }
        let reply = abd::Reply::Written { previous: None };
        world.repair(0).handle_reply(id(2), CallId { operation, phase: 0 }, reply, now);
    }
    assert_eq!(world.status(0, 2).keys, 1);
}
