//! The multi-version layer against a map that a child could check, and under threads.

#![expect(clippy::disallowed_methods, reason = "tests wait, on threads of their own")]

use abd::{Content, StampedValue, Timestamp, Version};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use store::{
    Database, DatabaseIterator, DiskDatabase, DiskOptions, ListLimits, MemoryDatabase, MultiVersionStore,
    Snapshot, Walked, key,
};

fn stamped(time: u64, value: Option<u8>) -> StampedValue {
    let content = value.map_or(Content::Tombstone, |byte| Content::Value(Bytes::from(vec![byte; 20])));
    StampedValue::plain(Version::of_write(Timestamp { time, node: 1, boot: 1 }), content)
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(Vec<u8>, u64)>),
    Merge,
    Read(Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let key = proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff)], 0..3);
    let put = (key.clone(), 1..60u64);
    prop_oneof![
        3 => proptest::collection::vec(put, 1..6).prop_map(Step::Commit),
        1 => Just(Step::Merge),
        2 => key.prop_map(Step::Read),
    ]
}

/// One version names one content (V1): derive it from the key and the time.
fn content_of(key: &[u8], time: u64) -> StampedValue {
    let byte = u8::try_from(time).unwrap().wrapping_add(key.iter().copied().fold(0, u8::wrapping_add));
    stamped(time, (!time.is_multiple_of(5)).then_some(byte))
}

proptest! {
    /// Puts in any order, late older ones included, garbage collection in between, a cache that holds next to nothing.
    #[test]
    fn the_newest_version_is_the_largest_ever_put(
        steps in proptest::collection::vec(step(), 1..80),
        cache_bytes in prop_oneof![Just(0usize), Just(4_000), Just(1 << 20)],
    ) {
        let store = MultiVersionStore::new(MemoryDatabase::new(), cache_bytes).unwrap();
        let mut model: BTreeMap<Vec<u8>, StampedValue> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Commit(puts) => {
                    let puts: Vec<_> = puts
                        .into_iter()
                        .map(|(key, time)| (Bytes::from(key.clone()), content_of(&key, time)))
                        .collect();
                    store.commit(&puts).unwrap();
                    for (key, stamped) in puts {
                        let entry = model.entry(key.to_vec()).or_insert(StampedValue::NEVER);
                        if stamped.version > entry.version {
                            *entry = stamped;
                        }
                    }
                }
                Step::Merge => store.database().merge(),
                Step::Read(key) => {
                    let expected = model.get(&key).cloned().unwrap_or(StampedValue::NEVER);
                    prop_assert_eq!(store.newest(&key).unwrap().stamped, expected);
                }
            }
        }
        store.database().merge();
        prop_assert_eq!(store.keys_estimate(), model.len() as u64);
        let mut scanned = store.scan_versions(b"", 3).unwrap();
        while let Some((last, ..)) = scanned.last() {
            let last: Bytes = Bytes::clone(last);
            let page = store.scan_versions(&last, 4).unwrap();
            assert_eq!(page.first(), scanned.last());
            if page.len() == 1 {
                break;
            }
            scanned.extend(page.into_iter().skip(1));
        }
        let entry = |(key, stamped): (&Vec<u8>, &StampedValue)| {
            (Bytes::from(key.clone()), stamped.version, stamped.content.is_value())
        };
        let expected: Vec<_> = model.iter().map(entry).collect();
        prop_assert_eq!(scanned, expected);
        for number in [0, 1, 77, u64::MAX] {
            let near = store.key_near(number).unwrap();
            prop_assert!(near.map_or(model.is_empty(), |key| model.contains_key(&key[..])));
        }
        let all: Vec<_> = model.iter().map(|(key, stamped)| (Bytes::from(key.clone()), stamped.version)).collect();
        for (from, after) in all.iter().map(|(key, _)| Some(key)).chain([None]).enumerate() {
            let skipped = if after.is_some() { from + 1 } else { 0 };
            for (to, up_to) in all.iter().map(|(key, _)| Some(key)).chain([None]).enumerate() {
                let range = all.get(skipped..all.len().min(to + 1)).unwrap_or_default();
                let walk = |at_most, bytes_max| {
                    store.walk(after.map(|key| &key[..]), up_to.map(|key| &key[..]), at_most, bytes_max).unwrap()
                };
                prop_assert_eq!(walk(1000, usize::MAX), Walked { entries: range.to_vec(), is_last: true });
                let few = Walked { entries: range[..range.len().min(2)].to_vec(), is_last: range.len() <= 2 };
                prop_assert_eq!(walk(2, usize::MAX), few);
                let one = Walked { entries: range[..range.len().min(1)].to_vec(), is_last: range.len() <= 1 };
                prop_assert_eq!(walk(1000, 1), one);
            }
            // The first byte of a key, and all of it, as beginnings.
            let beginnings = [&b""[..], after.map_or(&b""[..], |key| &key[..key.len().min(1)]), after.map_or(&b""[..], |key| key)];
            for (beginning, present) in beginnings.into_iter().flat_map(|beginning| [(beginning, 1), (beginning, 1000)]) {
                let limits = ListLimits { present, looked_at: usize::MAX, bytes: usize::MAX };
                let listing = store.list(after.map(|key| &key[..]), beginning, limits, |key| key != [1]).unwrap();
                let wanted = |key: &[u8]| key.starts_with(beginning) && key != [1];
                let told = |key: &[u8]| listing.told_up_to.as_ref().is_none_or(|end| key <= end);
                let rest = model.iter().filter(|(key, _)| after.is_none_or(|after| &key[..] > after));
                let expected: Vec<_> = rest.filter(|(key, _)| wanted(key) && told(key)).map(|(key, stamped)| {
                    (Bytes::from(key.clone()), stamped.version, stamped.content.is_value())
                }).collect();
                let listed: Vec<_> = listing.entries.iter().map(|entry| (entry.key.clone(), entry.version, entry.present)).collect();
                prop_assert_eq!(listed, expected);
                let found = listing.entries.iter().filter(|entry| entry.present).count();
                prop_assert!(found <= present && (listing.told_up_to.is_none() || found == present));
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Glance {
    Commit(Vec<(Vec<u8>, u64)>),
    Look,
    LookAway,
    Tidy,
}

fn glance() -> impl Strategy<Value = Glance> {
    let key = proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff)], 0..3);
    let puts = proptest::collection::vec((key, 1..200u64), 1..6);
    prop_oneof![
        9 => puts.prop_map(Glance::Commit),
        2 => Just(Glance::Look),
        3 => Just(Glance::LookAway),
        1 => Just(Glance::Tidy),
    ]
}

type Model = BTreeMap<Vec<u8>, StampedValue>;

/// What is there, and nothing of a key that was never put.
fn assert_sees(snapshot: &impl Snapshot, model: &Model) {
    let mut iterator = snapshot.iterator();
    for (user_key, stamped) in model {
        let data_key = key::encode(user_key, stamped.version);
        iterator.seek(&key::prefix(user_key)).unwrap();
        assert_eq!(iterator.key(), Some(&data_key));
        assert!(snapshot.get(&data_key).unwrap().is_some());
    }
    iterator.seek_to_last().unwrap();
    let last = iterator.key().map(|data_key| key::prefix_of(data_key).to_vec());
    assert_eq!(last, model.keys().map(|user_key| key::prefix(user_key)).max());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// The disk engine forgets dominated versions as soon as nobody looks at them, and no sooner.
    #[test]
    fn g1_a_view_keeps_the_newest_versions_of_its_time(
        steps in proptest::collection::vec(glance(), 1..100),
    ) {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let options = DiskOptions { memtable_bytes: 2_000, ..DiskOptions::default() };
        let database = Arc::new(DiskDatabase::open(directory.path(), options.clone()).unwrap());
        let store = MultiVersionStore::new(database.clone(), 0).unwrap();
        let mut model = Model::new();
        let mut views = std::collections::VecDeque::new();
        for step in steps {
            match step {
                Glance::Commit(puts) => {
                    for (user_key, time) in &puts {
                        let put = content_of(user_key, *time);
                        let newest = model.entry(user_key.clone()).or_insert(StampedValue::NEVER);
                        if put.version > newest.version {
                            *newest = put;
                        }
                    }
                    let put = |(user_key, time): (Vec<u8>, u64)| {
                        let stamped = content_of(&user_key, time);
                        (Bytes::from(user_key), stamped)
                    };
                    store.commit(&puts.into_iter().map(put).collect::<Vec<_>>()).unwrap();
                }
                Glance::Look => views.push_back((database.snapshot().unwrap(), model.clone())),
                Glance::LookAway => drop(views.pop_front()),
                Glance::Tidy => database.maintain().unwrap(),
            }
            for (view, model) in &views {
                assert_sees(view, model);
            }
        }
        assert_sees(&database.snapshot().unwrap(), &model);
        drop((views, store, database));
        assert_sees(&DiskDatabase::open(directory.path(), options).unwrap().snapshot().unwrap(), &model);
    }
}

/// Rule S2 under threads: a tiny cache evicts all the time, and yet no reader is ever told an older version than one
/// that was told before.
fn s2_no_reader_sees_the_newest_version_go_back<D: Database>(database: D, merge: impl Fn(&D)) {
    let store = Arc::new(MultiVersionStore::new(database, 6_000).unwrap());
    let done = Arc::new(AtomicBool::new(false));
    let told = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, done, told) = (store.clone(), done.clone(), told.clone());
            std::thread::spawn(move || {
                let mut other = 0u32;
                while !done.load(Ordering::Relaxed) {
                    let before = told.load(Ordering::SeqCst);
                    let seen = store.newest(b"k").unwrap().stamped.version.time();
                    assert!(seen >= before, "told {before} before, now {seen}");
                    told.fetch_max(seen, Ordering::SeqCst);
                    other = other.wrapping_add(1);
                    store.newest(&other.to_be_bytes()).unwrap();
                }
            })
        })
        .collect();
    for time in 1..10_000 {
        store.commit(&[("k".into(), stamped(time, Some(1)))]).unwrap();
        if time % 7 == 0 {
            merge(store.database());
        }
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }
}

#[test]
fn s2_no_reader_goes_back_over_the_engine_in_memory() {
    s2_no_reader_sees_the_newest_version_go_back(MemoryDatabase::new(), MemoryDatabase::merge);
}

#[test]
fn s2_no_reader_goes_back_over_the_disk_engine() {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let options = DiskOptions { memtable_bytes: 20_000, ..DiskOptions::default() };
    // It merges by itself.
    s2_no_reader_sees_the_newest_version_go_back(
        DiskDatabase::open(directory.path(), options).unwrap(),
        |_| {},
    );
}

/// A store that has just been opened knows nothing of what it holds: a late put must not pass for the newest, wherever the
/// newer version is, and goes with the next merge.
fn s2_a_late_put_hides_nothing(reopen: impl Fn(bool) -> Box<dyn Stored>) {
    for in_tables in [false, true] {
        let before = reopen(in_tables);
        before.put("k", stamped(5, Some(5)));
        before.put("gone", stamped(5, None));
        if in_tables {
            before.merge();
        }
        drop(before);
        for late_in_tables in [false, true] {
            let reopened = reopen(in_tables);
            reopened.put("k", stamped(3, Some(3)));
            reopened.put("gone", stamped(3, Some(3)));
            if late_in_tables {
                reopened.merge();
            }
            for _ in 0..2 {
                assert_eq!(reopened.newest("k"), stamped(5, Some(5)));
                assert_eq!(reopened.newest("gone"), stamped(5, None));
                reopened.merge();
            }
        }
    }
}

/// A store over either engine.
trait Stored {
    fn put(&self, key: &'static str, stamped: StampedValue);
    fn newest(&self, key: &str) -> StampedValue;
    fn merge(&self);
}

impl<D: Database> Stored for (MultiVersionStore<D>, fn(&D)) {
    fn put(&self, key: &'static str, stamped: StampedValue) {
        self.0.commit(&[(key.into(), stamped)]).unwrap();
    }

    fn newest(&self, key: &str) -> StampedValue {
        self.0.newest(key.as_bytes()).unwrap().stamped
    }

    fn merge(&self) {
        (self.1)(self.0.database());
    }
}

#[test]
fn s2_a_late_put_hides_nothing_over_the_engine_in_memory() {
    let databases = [Arc::new(MemoryDatabase::new()), Arc::new(MemoryDatabase::new())];
    s2_a_late_put_hides_nothing(|in_tables| {
        let database = databases[usize::from(in_tables)].clone();
        let merge: fn(&Arc<MemoryDatabase>) = |database| database.merge();
        Box::new((MultiVersionStore::new(database, 1 << 20).unwrap(), merge))
    });
}

#[test]
fn s2_a_late_put_hides_nothing_over_the_disk_engine() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    s2_a_late_put_hides_nothing(|in_tables| {
        let path = directories[usize::from(in_tables)].path();
        let database = DiskDatabase::open(path, DiskOptions::default()).unwrap();
        let merge: fn(&DiskDatabase) = |database| {
            // Enough that it is worth it.
            database.put(Bytes::from_static(b"\x01filler"), vec![7; 300 << 10].into()).unwrap();
            database.maintain().unwrap();
        };
        Box::new((MultiVersionStore::new(database, 1 << 20).unwrap(), merge))
    });
}
