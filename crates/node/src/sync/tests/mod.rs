//! One replica pulls from others, while answers are lost, sources go away and come back, and the one that pulls is restarted.

mod world;

use super::message::{
    Answer, Contents, Has, Question, get_answer, get_caught_up, get_question, get_wanted, is_answer,
    is_caught_up, is_question, is_wanted, put_answer, put_caught_up, put_question, put_wanted,
};
use super::source::{self, CONTENTS_BYTES, CONTENTS_KEYS, LARGE_BYTES};
use super::*;
use crate::configuration::{Configuration, Stage};
use crate::repair::ranges::PAGE_KEYS;
use crate::repair::{self, Repair};
use abd::{AcceptedRecord, Deadline, Refusal, StampedValue, UpdateId};
use alloc::{format, vec};
use bytes::BytesMut;
use world::{EPOCH, LONG, Random, Store, World, accepted, id, key, random_store, value, version};

/// C3 (docs/PROTOCOL.md): whatever happens on the way, in the end everything of all sources is here: the newest versions, and what is
/// accepted.
#[test]
fn c3_a_sync_ends_with_the_join_of_all() {
    for seed in 0..30 {
        let mut random = Random(seed);
        let keys = 1 + random.below(3000);
        let stores: Vec<Store> = (0..3).map(|_| random_store(&mut random, keys)).collect();
        let own = if random.one_in(2) { Store::default() } else { random_store(&mut random, keys) };
        let mut expected = own.clone();
        stores.iter().for_each(|store| expected.join(store));
        let mut world = World::new(stores, own);
        world.random = random;
        world.loses = [0, 300][usize::try_from(seed % 2).unwrap()];
        for _ in 0..20 {
            let some_time = Duration::from_millis(world.random.below(60) as u64);
            world.pass(some_time);
            let source = world.random.below(3);
            match world.random.below(4) {
                0 => {
                    world.up[source] = false;
                    world.sync.handle_peer_down(id(source));
                }
                1 => {
                    world.up[source] = true;
                    world.sync.handle_peer_up(id(source), world.now);
                }
                2 => world.begin(2),
                _ => {}
            }
        }
        world.loses = 0;
        for source in 0..3 {
            world.up[source] = true;
            world.sync.handle_peer_up(id(source), world.now);
        }
        world.pass(LONG);
        assert!(world.own == expected, "seed {seed}");
        let state = world.state();
        assert!(state.synced && state.sources == [id(0), id(1), id(2)], "seed {seed}: {state:?}");
    }
}

/// C3: everything from a majority of C is enough, and nothing less.
#[test]
fn c3_synced_is_whoever_has_pulled_from_a_majority() {
    let mut random = Random(3);
    let stores: Vec<Store> = (0..3).map(|_| random_store(&mut random, 100)).collect();
    let mut world = World::new(stores.clone(), Store::default());
    for source in [1, 2] {
        world.up[source] = false;
        world.sync.handle_peer_down(id(source));
    }
    world.pass(LONG);
    assert_eq!((world.state().synced, world.state().sources), (false, vec![id(0)]));
    world.up[2] = true;
    world.sync.handle_peer_up(id(2), world.now);
    world.pass(LONG);
    assert_eq!((world.state().synced, world.state().sources), (true, vec![id(0), id(2)]));
    // A member of C counts itself, but for what it may have lost.
    let goal = |own| Goal { scope: EPOCH, sources: vec![id(0), id(1)], needed: 2, own };
    let lost = Range { after: Some(key(10)), up_to: Some(key(20)) };
    for (own, lost_there, synced) in [
        (Some(vec![]), vec![], true),
        (None, vec![], false),
        (Some(vec![lost.clone()]), vec![], false),
        (Some(vec![]), vec![lost.clone()], false),
    ] {
        let mut world = World::new(stores.clone(), stores[2].clone());
        world.sources[0].lost = lost_there;
        world.up = vec![true, false, false];
        world.sync.begin(goal(own.clone()), world.now);
        world.sync.handle_peer_down(id(1));
        world.pass(LONG);
        assert_eq!(world.state().synced, synced, "{own:?}");
        // The third one has it.
        world.up[1] = true;
        world.sync.handle_peer_up(id(1), world.now);
        world.pass(LONG);
        assert!(world.state().synced, "{own:?}");
    }
}

/// C3: who pulls from whom, and whose own parts count.
#[test]
fn c3_the_goal_follows_from_the_configuration() {
    let addresses = |ids: core::ops::RangeInclusive<u32>| {
        ids.map(|id| (NodeId(id), format!("127.0.0.1:{id}"))).collect::<Vec<_>>()
    };
    let mut configuration = Configuration::first(addresses(1..=3), abd::TimestampMode::Logical);
    let goal =
        |configuration: &Configuration, local| Goal::of(configuration, NodeId(local), vec![Range::default()]);
    assert_eq!(goal(&configuration, 1), None);
    let mut next = Configuration::first(addresses(1..=4), abd::TimestampMode::Logical).members;
    next.remove(2);
    configuration.stage = Stage::Joint { next, lost: vec![] };
    let (scope, needed) = (configuration.scope, 2);
    let sources = |ids: &[u32]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
    let own = Some(vec![Range::default()]);
    let of_member = Goal { scope, sources: sources(&[2, 3]), needed, own };
    assert_eq!(goal(&configuration, 1), Some(of_member));
    let of_newcomer = Goal { scope, sources: sources(&[1, 2, 3]), needed, own: None };
    assert_eq!(goal(&configuration, 4), Some(of_newcomer));
    assert_eq!(goal(&configuration, 3), None, "it leaves");
    // Whose directory is gone is nobody's source, nor its own.
    let next = configuration.members.clone();
    configuration.stage = Stage::Joint { next, lost: vec![NodeId(3)] };
    let healed = Goal { scope, sources: sources(&[1, 2]), needed, own: None };
    assert_eq!(goal(&configuration, 3), Some(healed));
}

/// C3: each event loop of a node says which configuration it has installed, and one of them lags.
#[test]
fn c3_an_event_loop_that_lags_ends_no_sync() {
    let addresses = (1..=3).map(|id| (NodeId(id), format!("127.0.0.1:{id}")));
    let first = Configuration::first(addresses, abd::TimestampMode::Logical);
    let mut joint = first.successor().unwrap();
    joint.stage = Stage::Joint { next: joint.members.clone(), lost: vec![NodeId(3)] };
    let mut repair = Repair::new(repair::Config::default(), NodeId(3), [], <[u8]>::cmp);
    for configuration in [&first, &joint, &first, &joint] {
        repair.install(configuration, vec![], Instant(1));
    }
    assert_eq!(repair.sync().progress().map(|progress| progress.scope), Some(joint.scope));
}

/// C3: a source answers in the epoch of the question alone.
#[test]
fn c3_a_source_that_has_not_installed_the_epoch_is_asked_again() {
    let mut store = Store::default();
    store.versions.insert(key(1), value(3, 5));
    let mut world = World::new(vec![store; 2], Store::default());
    world.epochs = vec![EPOCH.epoch - 1; 2];
    world.pass(LONG);
    assert!(world.own == Store::default() && !world.state().synced);
    assert!(world.asked < 500, "{} questions", world.asked);
    world.epochs = vec![EPOCH.epoch; 2];
    world.pass(LONG);
    assert!(world.own == world.sources[0] && world.state().synced);
    let asked = world.asked;
    world.sync.end(EPOCH);
    world.pass(LONG);
    assert_eq!((world.asked, world.sync.progress()), (asked, None));
}

/// What is accepted for a version that waits for the disk has taken the place of what was accepted before: both are told when the
/// version is there.
#[test]
fn c3_what_waits_for_the_disk_of_a_source_is_waited_for() {
    let mut store = Store::default();
    (0..10).for_each(|number| drop(store.versions.insert(key(number), value(3, 5))));
    store.records.insert(key(4), AcceptedRecord { base: version(6), acceptance: accepted(1) });
    let mut world = World::new(vec![store], Store::default());
    world.pass(LONG);
    assert_eq!((world.own.versions.len(), world.state().synced), (4, false));
    world.sources[0].versions.insert(key(4), value(6, 5));
    world.pass(LONG);
    assert!(world.state().synced && world.own == world.sources[0]);
}

/// What is accepted here is the same as at the source while it waits for the disk, and would be gone after a crash: the pull counts when
/// it is durable.
#[test]
fn c3_what_waits_for_the_own_disk_is_waited_for() {
    let mut store = Store::default();
    (0..10).for_each(|number| drop(store.versions.insert(key(number), value(3, 5))));
    store.records.insert(key(4), AcceptedRecord { base: version(3), acceptance: accepted(1) });
    let mut world = World::new(vec![store.clone()], store);
    world.holds_flushes = true;
    world.pass(Duration::from_secs(3));
    assert_eq!((world.state().synced, world.state().moved.keys), (false, 0));
    world.flush();
    assert!(world.state().synced);
    // A disk that takes nothing more has not made it durable.
    world.begin(1);
    world.pass(Duration::from_secs(3));
    world.refuses = true;
    world.flush();
    world.pass(LONG);
    assert!(!world.state().synced);
    (world.refuses, world.holds_flushes) = (false, false);
    world.pass(LONG);
    assert!(world.state().synced);
}

#[test]
fn only_what_differs_moves() {
    let mut store = Store::default();
    (0..50_000).for_each(|number| drop(store.versions.insert(key(number), value(3, 100))));
    let mut world = World::new(vec![store.clone(), store.clone()], Store::default());
    world.pass(LONG);
    let state = world.state();
    assert_eq!(
        (state.moved.keys, state.moved.compared),
        (50_000, 50_000),
        "all from one, and digests from the other"
    );
    assert!(world.bytes < 50_000 * 190, "{} bytes", world.bytes);
    // Few differences cost little.
    world.sources[1].versions.insert(key(777), value(9, 100));
    world.sources[1].versions.insert(Bytes::from("key 030000 and more"), value(3, 100));
    world.sources[0].records.insert(key(9), AcceptedRecord { base: version(3), acceptance: accepted(2) });
    (world.bytes, world.asked) = (0, 0);
    world.begin(2);
    world.pass(LONG);
    let mut expected = world.sources[0].clone();
    expected.join(&world.sources[1]);
    // A digest does not say who is newer, so what is older somewhere may come, too.
    assert!(world.own == expected && (3..=5).contains(&world.state().moved.keys));
    assert!(world.bytes < 150_000 && world.asked < 130, "{} bytes", world.bytes);
}

/// 100 B each: bounded, and fast enough for a million in a minute.
#[test]
fn keys_move_at_a_bounded_rate() {
    let mut store = Store::default();
    (0..100_000).for_each(|number| drop(store.versions.insert(key(number), value(3, 100))));
    // The way to the source is a part of the time that a page is given.
    for latency in [Duration::ZERO, Duration::from_millis(40)] {
        let mut world = World::new(vec![store.clone()], Store::default());
        world.latency = latency;
        let began = world.now;
        while !world.state().synced {
            world.pass(Duration::from_millis(100));
        }
        let took = world.now.since(began);
        assert!(took >= Duration::from_secs(4) && took < Duration::from_secs(5), "{took:?}");
    }
}

#[test]
fn a_replica_that_takes_nothing_is_not_flooded() {
    let mut store = Store::default();
    (0..5000).for_each(|number| drop(store.versions.insert(key(number), value(3, 100))));
    let mut world = World::new(vec![store], Store::default());
    world.refuses = true;
    world.pass(LONG);
    assert!(world.asked < 300 && world.own.versions.is_empty(), "{} questions", world.asked);
    world.refuses = false;
    world.pass(LONG);
    assert!(world.state().synced);
}

#[test]
fn what_a_source_may_have_lost_is_asked_for_again() {
    let mut random = Random(3);
    let mut stores: Vec<Store> = (0..2).map(|_| random_store(&mut random, 5000)).collect();
    let lost = |from, to| Range { after: Some(key(from)), up_to: Some(key(to)) };
    stores[0].lost = vec![lost(100, 200), lost(4000, 4001)];
    let mut world = World::new(stores, Store::default());
    world.pass(LONG);
    assert!(!world.state().synced);
    let pages = world.state().durable_pages;
    assert!(pages > 0);
    world.pass(LONG);
    assert_eq!(world.state().durable_pages, pages, "what is asked for again brings nobody nearer");
    world.sources[0].lost.clear();
    world.pass(LONG);
    assert!(world.state().synced);
}

/// A source that is dead does not keep the others from being asked again, nor does one that dies meanwhile.
#[test]
fn what_may_be_lost_is_asked_for_again_though_a_source_is_dead() {
    for dies_late in [false, true] {
        let mut random = Random(3);
        let mut stores: Vec<Store> = (0..3).map(|_| random_store(&mut random, 500)).collect();
        stores[0].lost = vec![Range { after: Some(key(100)), up_to: Some(key(200)) }];
        let mut world = World::new(stores, Store::default());
        world.epochs[2] = EPOCH.epoch - 1;
        if dies_late {
            world.pass(Duration::from_secs(30));
        }
        world.up[2] = false;
        world.sync.handle_peer_down(id(2));
        world.pass(Duration::from_secs(9));
        // The one that is up and may know more is to be asked again.
        assert_eq!((world.state().synced, world.state().sources), (false, vec![id(1)]));
        world.sources[0].lost.clear();
        world.pass(LONG);
        assert!(world.state().synced);
    }
}

/// A source tells nothing of a key for which it abstains, whatever is accepted for it: not that it is to be waited for, either.
#[test]
fn c3_what_is_accepted_in_a_range_that_may_be_lost_does_not_hold_up_the_rest() {
    let mut store = Store::default();
    (0..10).for_each(|number| drop(store.versions.insert(key(number), value(3, 5))));
    store.records.insert(key(4), AcceptedRecord { base: version(3), acceptance: accepted(1) });
    store.lost = vec![Range { after: Some(key(3)), up_to: Some(key(5)) }];
    for own in [Store::default(), Store { versions: [(key(9), value(2, 5))].into(), ..Store::default() }] {
        let mut world = World::new(vec![store.clone()], own);
        world.pass(Duration::from_secs(9));
        assert_eq!((world.own.versions.len(), world.own.records.len()), (8, 0));
        assert!(!world.state().synced);
        world.sources[0].lost.clear();
        world.pass(LONG);
        assert!(world.state().synced && world.own == world.sources[0]);
    }
}

/// S3: the disk may have lost what is in memory. It is not the same as what a source has, so it is pulled, and written again.
#[test]
fn c3_what_is_accepted_in_a_range_that_is_lost_here_is_pulled() {
    let mut store = Store::default();
    (0..3).for_each(|number| drop(store.versions.insert(key(number), value(3, 5))));
    store.records.insert(key(1), AcceptedRecord { base: version(3), acceptance: accepted(1) });
    let digests =
        |store: &Store| source::own_page(store, None, |range| store.records(range)).unwrap().digests;
    let whole = digests(&store);
    store.lost = vec![Range { after: Some(key(0)), up_to: Some(key(1)) }];
    let lost = digests(&store);
    assert_eq!((&whole[0], &whole[2]), (&lost[0], &lost[2]));
    assert_ne!(whole[1], lost[1]);
}

#[test]
fn a_page_is_bounded_whatever_is_there() {
    let mut store = Store::default();
    (0..5000).for_each(|number| drop(store.versions.insert(key(number), value(3, 1))));
    (5000..5100).for_each(|number| drop(store.versions.insert(key(number), value(3, LARGE_BYTES))));
    let ask = |after, has| {
        let range = Range { after, up_to: None };
        let question = Question { scope: EPOCH, range, records: true, has };
        source::answer(&store, &question, |range| store.records(range)).unwrap()
    };
    let (mut after, mut keys) = (None, 0);
    loop {
        let Answer::Contents(contents) = ask(after, Has::Each(Vec::new())) else { panic!() };
        keys += contents.entries.len();
        assert!(contents.entries.len() <= CONTENTS_KEYS);
        assert!(Answer::Contents(contents.clone()).bytes() <= CONTENTS_BYTES);
        after = contents.told_up_to;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(keys, 5100);
    assert_eq!(ask(None, Has::Together { count: 7, digest: [0; 16] }), Answer::Differs);
}

#[test]
fn answers_that_fit_no_question_have_no_effect() {
    let mut store = Store::default();
    (0..100).for_each(|number| drop(store.versions.insert(key(number), value(3, 1))));
    let entry = |number| Entry { key: key(number), newest: Told::Whole(value(9, 1)), accepted: None };
    let contents = |entries, told_up_to| Contents { entries, lost: vec![], told_up_to };
    for wrong in [
        contents(vec![entry(2), entry(1)], None),
        contents(vec![entry(2), entry(2)], None),
        contents(vec![entry(5)], Some(key(4))),
        contents(vec![], Some(Bytes::new())),
    ] {
        let mut world = World::new(vec![store.clone()], Store::default());
        let Some(Action::Look { look, .. }) = world.sync.poll(world.now) else { panic!() };
        let page = source::own_page(&world.own, Some(key(0)), |_| Vec::new()).unwrap();
        let page = OwnPage { range: Range { after: Some(Bytes::new()), up_to: None }, ..page };
        world.sync.looked(look, Some(page), world.now);
        let Some(Action::Ask { call, .. }) = world.sync.poll(world.now) else { panic!() };
        world.sync.handle_answer(
            id(0),
            CallId { operation: call.operation + 1, ..call },
            Answer::Same,
            world.now,
        );
        world.sync.handle_answer(id(0), call, Answer::Contents(wrong.clone()), world.now);
        let next = world.sync.poll(world.now);
        assert!(!matches!(next, Some(Action::Merge { .. })), "{wrong:?}");
        world.pass(LONG);
        assert!(world.own == store && world.state().synced);
    }
}

const CALL: CallId = CallId { operation: 77, phase: 3 };

#[test]
fn messages_survive_the_way_and_nothing_else_is_one() {
    let range = Range { after: Some("a".into()), up_to: None };
    let question = |has| Question { scope: EPOCH, range: range.clone(), records: true, has };
    for question in
        [question(Has::Together { count: 7, digest: [9; 16] }), question(Has::Each(vec![[1; 16], [2; 16]]))]
    {
        let mut body = BytesMut::new();
        put_question(&mut body, CALL, &question);
        assert!(is_question(&body) && !is_answer(&body));
        assert_eq!(get_question(body.clone().freeze()), Ok((CALL, question)));
        assert!((0..body.len()).all(|length| get_question(body.clone().freeze().slice(..length)).is_err()));
        body.extend_from_slice(&[0]);
        assert!(get_question(body.freeze()).is_err());
    }
    let update = UpdateId { round: 3, node: 1, boot: 2 };
    let stamped = StampedValue { update, deadline: Deadline(7), ..value(3, 10) };
    let entries = vec![
        Entry { key: key(1), newest: Told::Whole(stamped), accepted: Some(accepted(2).into()) },
        Entry { key: key(2), newest: Told::Large(version(4)), accepted: None },
    ];
    for answer in [
        Answer::Same,
        Answer::Differs,
        Answer::Refused(Refusal::OtherConfiguration),
        Answer::Contents(Contents { entries, lost: vec![range.clone()], told_up_to: Some("z".into()) }),
    ] {
        let mut body = BytesMut::new();
        put_answer(&mut body, CALL, &answer);
        assert!(is_answer(&body) && !is_question(&body));
        assert_eq!(get_answer(body.clone().freeze()), Ok((CALL, answer)));
        assert!((0..body.len()).all(|length| get_answer(body.clone().freeze().slice(..length)).is_err()));
    }
    let wanted = Wanted { number: 9, urgent: true };
    let mut body = BytesMut::new();
    put_wanted(&mut body, CALL, wanted);
    assert!(is_wanted(&body) && !is_caught_up(&body) && get_wanted(&body.freeze()) == Ok((CALL, wanted)));
    let caught_up = CaughtUp { compared: 7, keys: 5, done: true };
    let mut body = BytesMut::new();
    put_caught_up(&mut body, CALL, caught_up);
    assert!(is_caught_up(&body) && get_caught_up(&body.freeze()) == Ok((CALL, caught_up)));
    // What exceeds the limits is no message.
    let mut body = BytesMut::new();
    put_question(&mut body, CALL, &question(Has::Each(vec![[0; 16]; PAGE_KEYS + 1])));
    assert!(get_question(body.freeze()).is_err());
}
