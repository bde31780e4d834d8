//! Rule R2 among nodes that look themselves for what they lack: pages of contents instead of keys one by one.

use crate::world::{World, id, key, version};
use crate::{LONG, SECOND, config, write};
use node::repair::Config;
use std::collections::BTreeSet;

fn settled(config: Config) -> World {
    let mut world = World::new(3, config);
    world.pulling = (0..3).collect();
    for node in 0..3 {
        world.stop(node);
        world.start(node);
    }
    world.pass(LONG);
    world.sent.clear();
    world.bytes = 0;
    world
}

#[test]
fn r2_whoever_was_away_for_long_catches_up_by_pages() {
    let mut world = settled(Config { list_bytes: 100 << 10, ..config() });
    world.stop(2);
    (0..60_000).for_each(|number| write(&mut world, number, 5, &[2]));
    world.now = world.now + SECOND;
    assert_eq!(world.status(0, 2).behind_for, Some(SECOND));
    world.start(2);
    world.pass(SECOND / 2);
    assert!(world.status(0, 2).compared.is_some());
    world.pass(4 * SECOND);
    world.assert_converged();
    world.pass(LONG);
    let status = world.status(0, 2);
    assert_eq!((status.keys, status.compared, status.behind_for), (0, None, None));
    assert_eq!(world.count_of("digest"), 0);
    // Each key came once, and the other source was compared with.
    assert!(world.count_of("pull") < 1000 && world.count_of("push") < 2000, "{:?}", world.sent);
    assert!(world.bytes < 60_000 * 150, "{} bytes", world.bytes);
}

#[test]
fn r2_what_is_fetched_by_pages_is_passed_on() {
    // The coordinator at 0 was killed when its write had reached 1 alone.
    let mut world = settled(config());
    world.stop(0);
    world.stores[1].put(&key(3), version(8));
    world.pass(SECOND);
    world.start(0);
    world.pass(LONG);
    world.assert_converged();
    assert_eq!(world.stores[2].versions[&key(3)].version, version(8));
    // And if it is too much to remember.
    world.stop(0);
    (100..9000).for_each(|number| world.stores[1].put(&key(number), version(9)));
    world.start(0);
    world.pass(LONG);
    world.assert_converged();
}

#[test]
fn r2_equal_stores_are_compared_with_little_traffic_by_pages_too() {
    let mut world = settled(config());
    (0..50_000).for_each(|number| write(&mut world, number, 5, &[]));
    let now = world.now;
    world.repair(0).handle_overflow(id(1), now);
    world.pass(LONG);
    assert_eq!(world.count_of("pull"), 50_000_usize.div_ceil(1024));
    let now = world.now;
    let compared = world.repair(1).compared(now);
    let with_first = compared.iter().find(|(with, _)| *with == id(0)).map(|(_, compared)| compared);
    let with_first = with_first.expect("it was compared with");
    // One pass after the start, when nobody had anything.
    assert_eq!((with_first.ranges, with_first.differing), (50_000_u64.div_ceil(1024), 0));
    assert!(with_first.passes >= 2 && with_first.seconds_ago >= 90);
    assert!(world.bytes < 50_000 / 4, "{} bytes", world.bytes);
}

#[test]
fn r2_catching_up_survives_lost_connections_and_silence() {
    let mut world = settled(Config { list_bytes: 10 << 10, ..config() });
    world.stop(2);
    (0..20_000).for_each(|number| write(&mut world, number, 5, &[2]));
    for round in 0..10 {
        world.start(2);
        world.pass(SECOND / 10);
        if round % 2 == 0 {
            world.silent.insert((0, 2));
            world.pass(SECOND);
            world.silent.clear();
        }
        world.stop(2);
        write(&mut world, round, 6, &[2]);
    }
    world.start(2);
    world.pass(LONG);
    world.assert_converged();
}

#[test]
fn r2_peers_of_an_earlier_release_get_nothing_new() {
    let mut world = World::new(3, Config { list_bytes: 10 << 10, ..config() });
    world.pulling = BTreeSet::from([0, 1]);
    for node in 0..3 {
        world.stop(node);
        world.start(node);
    }
    world.pass(LONG);
    world.stop(2);
    (0..5000).for_each(|number| write(&mut world, number, 5, &[2]));
    world.sent.clear();
    world.start(2);
    world.pass(LONG);
    world.assert_converged();
    assert!(world.count_of("digest") > 0);
    assert!(world.status(0, 2).compared.is_none());
}
