//! Pages of keys with what they hold, over both engines.

use abd::{Content, Deadline, StampedValue, Timestamp, UpdateId, Version};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::versions::order;
use store::{
    Database, DiskDatabase, DiskOptions, KeyRange, MemoryDatabase, MultiVersionStore, Trust, WalkLimits,
};

fn stamped(time: u64, content: Content) -> StampedValue {
    let version = Version::of_write(Timestamp { time, node: 1, boot: 1 });
    let update = UpdateId { round: time, node: 2, boot: 1 };
    StampedValue { version, content, deadline: Deadline(time), update }
}

/// Keys whose order is not that of their bytes, too.
fn key(number: u8) -> Bytes {
    match number % 16 {
        14 => vec![number; 64 << 10].into(),
        15 => [&[0, number][..], b"zeros\0"].concat().into(),
        _ => format!("key {number:03}").into(),
    }
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

const ALL: WalkLimits = WalkLimits { keys: usize::MAX, bytes: usize::MAX };

type Entries = Vec<(Bytes, StampedValue)>;

/// All pages of a range, each within its limits.
fn pages<D: Database>(store: &MultiVersionStore<D>, range: &KeyRange, limits: WalkLimits) -> Entries {
    let (mut found, mut after) = (Vec::new(), range.after.clone());
    loop {
        let page =
            store.walk_contents(after.as_deref(), range.up_to.as_deref(), limits, Trust::Whole).unwrap();
        let versions =
            store.walk_versions(after.as_deref(), range.up_to.as_deref(), ALL, Trust::Stored).unwrap();
        let told = page.entries.iter().map(|(key, stamped)| (key, stamped.version));
        assert!(versions.entries.iter().map(|(key, version)| (key, *version)).zip(told).all(|(a, b)| a == b));
        let bytes = |(key, stamped): &(Bytes, StampedValue)| key.len() + stamped.content.len();
        assert!(page.entries.len() <= limits.keys && page.abstains.is_empty());
        let all_but_the_first: usize = page.entries.iter().skip(1).map(bytes).sum();
        assert!(page.entries.len() < 2 || all_but_the_first + bytes(&page.entries[0]) <= limits.bytes);
        found.extend(page.entries);
        let Some(told_up_to) = page.told_up_to else { return found };
        assert!(found.last().is_some_and(|(key, _)| *key == told_up_to));
        after = Some(told_up_to);
    }
}

fn check<D: Database>(store: &MultiVersionStore<D>, truth: &BTreeMap<Bytes, StampedValue>) {
    let mut expected: Entries = truth.iter().map(|(key, stamped)| (key.clone(), stamped.clone())).collect();
    expected.sort_by(|one, two| order(&one.0, &two.0));
    for limits in [ALL, WalkLimits { keys: 3, ..ALL }, WalkLimits { bytes: 1_000, ..ALL }] {
        assert_eq!(pages(store, &KeyRange::ALL, limits), expected, "{limits:?}");
    }
    let some = |at: usize| expected.get(at).map(|(key, _)| key.clone());
    for range in [
        KeyRange { after: some(2), up_to: some(9) },
        KeyRange { after: some(4), up_to: some(4) },
        KeyRange { after: None, up_to: Some("key 0".into()) },
        KeyRange { after: Some(vec![0xff; 100].into()), up_to: None },
    ] {
        let within: Entries = expected.iter().filter(|(key, _)| range.contains(key)).cloned().collect();
        assert_eq!(pages(store, &range, WalkLimits { keys: 4, bytes: 5_000 }), within, "{range:?}");
    }
    for (key, stamped) in &expected {
        assert_eq!(store.stored_version(key).unwrap(), stamped.version);
    }
    assert_eq!(store.stored_version(b"never").unwrap(), Version::MIN);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn pages_have_the_newest_version_of_each_key_whatever_is_in_tables(
        puts in proptest::collection::vec((any::<u8>(), 1..40u64, proptest::option::of(0..9_000usize)), 1..120),
        tidied in 0..120usize,
    ) {
        let directory = directory();
        let options = DiskOptions { memtable_bytes: 20_000, ..DiskOptions::default() };
        let disk = Arc::new(DiskDatabase::open(directory.path(), options).unwrap());
        let disk = MultiVersionStore::new(disk, 1 << 20).unwrap();
        let memory = MultiVersionStore::new(MemoryDatabase::new(), 1 << 20).unwrap();
        let mut truth: BTreeMap<Bytes, StampedValue> = BTreeMap::new();
        for (at, (number, time, size)) in puts.into_iter().enumerate() {
            let content = size.map_or(Content::Tombstone, |size| Content::Value(vec![number; size].into()));
            // One version has one value.
            let stamped = stamped(time * 1_000 + at as u64, content);
            let versions = [(key(number), stamped.clone())];
            disk.commit(&versions).unwrap();
            memory.commit(&versions).unwrap();
            let newest = truth.entry(key(number)).or_insert_with(|| stamped.clone());
            if newest.version < stamped.version {
                *newest = stamped;
            }
            if at == tidied {
                disk.database().maintain().unwrap();
            }
        }
        check(&disk, &truth);
        check(&memory, &truth);
    }
}
