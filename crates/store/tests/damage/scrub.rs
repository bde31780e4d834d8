//! Damage that nobody reads: it is found all the same, and costs what it hit.

use super::healing::eventually;
use super::{Truth, check, copy, files, fill, flip, options, relative, spread};
use abd::Version;
use std::path::Path;
use std::time::{Duration, Instant};
use store::{DatabaseError, DiskDatabase, DiskOptions, MultiVersionStore, Scrub};

fn open(path: &Path, scrub: Scrub) -> MultiVersionStore<DiskDatabase> {
    let options = DiskOptions { scrub, ..options() };
    MultiVersionStore::new(DiskDatabase::open(path, options).unwrap(), 0).unwrap()
}

const FAST: Scrub =
    Scrub { after: Some(Duration::ZERO), pause: Duration::from_millis(20), bytes_per_second: u64::MAX };

/// Until everything was read that is there now.
fn scrubbed(store: &MultiVersionStore<DiskDatabase>) {
    let before = store.database().scrubbed().rounds;
    // The one that is going on may be past it.
    eventually("a round is over", || store.database().scrubbed().rounds >= before + 2);
}

/// Where a large value is in the log.
fn large_value(path: &Path, truth: &Truth) -> (std::path::PathBuf, u64) {
    let value =
        truth.values().find(|stamped| stamped.content.len() == 5_000).unwrap().content.value().unwrap();
    for segment in files(&path.join("journal")) {
        let bytes = std::fs::read(&segment).unwrap();
        if let Some(at) = bytes.windows(value.len()).position(|window| window == &value[..]) {
            return (segment, at as u64 * 8);
        }
    }
    panic!("it is not in the log");
}

#[test]
fn s3_damage_is_found_that_nobody_has_read() {
    let directory = tempfile::tempdir().unwrap();
    let pristine = directory.path().join("pristine");
    let truth = fill(&pristine);
    let path = directory.path().join("database");
    for round in 0..4 {
        copy(&pristine, &path);
        let store = open(&path, FAST);
        scrubbed(&store);
        assert!(!store.has_lost() && store.database().scrubbed().damaged == 0);
        assert!(store.database().scrubbed().bytes > 0);
        // While it runs.
        let tables = files(&path.join("tables/tables"));
        let table = tables.iter().max_by_key(|file| file.metadata().unwrap().len()).unwrap();
        let bits = spread(table.metadata().unwrap().len(), 3, round);
        bits.iter().for_each(|bit| flip(table, *bit));
        let (segment, bit) = large_value(&path, &truth);
        flip(&segment, bit);
        eventually("the damage is found", || store.database().scrubbed().damaged >= 2);
        scrubbed(&store);
        let what = format!("{bits:?} of {}", relative(&path, table).display());
        let abstains = check(&store, &truth, &what);
        assert!(store.has_lost() && abstains > 0 && abstains <= 60, "{what}: {abstains}");
        let ranges = store.lost_ranges();
        for key in truth.keys().filter(|key| store.newest_above(key, Version::MAX).is_err()) {
            assert!(ranges.iter().any(|range| range.contains(key)), "{key:?} of {ranges:?}");
        }
        let found = store.database().scrubbed().damaged;
        scrubbed(&store);
        assert_eq!(store.database().scrubbed().damaged, found, "what was found once is found once");
        drop(store);
        // Without another look.
        let store = open(&path, Scrub::OFF);
        assert_eq!((check(&store, &truth, "second start"), store.has_lost()), (abstains, true));
        // The large value came back, and is whole.
        store.begin_healing([9; 16]).unwrap();
        truth.iter().for_each(|(key, stamped)| store.commit(&[(key.clone(), stamped.clone())]).unwrap());
        assert!(store.forget_lost([9; 16]).unwrap());
        assert_eq!(check(&store, &truth, "healed"), 0);
        drop(store);
        std::fs::remove_dir_all(&path).unwrap();
    }
}

/// A large value that is damaged and that nobody else has is no claim of this replica any more.
#[test]
fn s3_a_large_value_that_does_not_come_back_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("database");
    let truth = fill(&path);
    let (segment, bit) = large_value(&path, &truth);
    flip(&segment, bit);
    let store = open(&path, FAST);
    eventually("the damage is found", || store.has_lost());
    let is_lost = |key: &&bytes::Bytes| matches!(store.newest(key), Err(DatabaseError::Unreadable { .. }));
    let lost = truth.keys().find(is_lost).unwrap();
    assert_eq!(store.lost_ranges().len(), 1);
    store.begin_healing([9; 16]).unwrap();
    assert!(store.forget_lost([9; 16]).unwrap());
    assert!(store.newest(lost).unwrap().stamped.version < truth[lost].version);
    scrubbed(&store);
    assert!(!store.has_lost());
}

#[test]
fn a_round_is_no_faster_than_it_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("database");
    let truth = fill(&path);
    let store = open(&path, Scrub::OFF);
    // More than what is read at once.
    for time in 1..=4 {
        for (key, stamped) in &truth {
            let key = [&key[..], &[time]].concat().into();
            let stamped = abd::StampedValue {
                content: abd::Content::Value(vec![time; 1_500].into()),
                ..stamped.clone()
            };
            store.commit(&[(key, stamped)]).unwrap();
        }
    }
    store.database().maintain().unwrap();
    assert_eq!(store.database().scrubbed(), store::ScrubStatus::default());
    drop(store);
    let begun = Instant::now();
    let store = open(&path, Scrub { bytes_per_second: 2 << 20, ..FAST });
    eventually("a round is over", || store.database().scrubbed().rounds > 0);
    let (elapsed, bytes) = (begun.elapsed(), store.database().scrubbed().bytes);
    assert!(bytes > 1 << 20, "{bytes}");
    assert!(elapsed >= Duration::from_millis(400), "{bytes} bytes in {elapsed:?}");
    // It does not keep anybody waiting at the end.
    drop(store);
    let store = open(&path, Scrub { bytes_per_second: 1, ..FAST });
    std::thread::sleep(Duration::from_millis(50));
    let begun = Instant::now();
    drop(store);
    assert!(begun.elapsed() < Duration::from_secs(10));
}
