//! Large values stay in the journal: they are there after reopening, and garbage among them goes.

#![expect(clippy::disallowed_methods, reason = "tests wait, on threads of their own")]

use abd::{Content, StampedValue, Timestamp, Version};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::path::Path;
use store::{
    Database, DatabaseError, DatabaseIterator, DiskDatabase, DiskOptions, MultiVersionStore, Snapshot,
};

const SIZE: usize = 64 << 10;

fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn open(path: &Path) -> DiskDatabase {
    DiskDatabase::open(path, DiskOptions { memtable_bytes: 1 << 20, ..DiskOptions::default() }).unwrap()
}

fn key(number: u8) -> Bytes {
    Bytes::from(vec![1, number])
}

/// Begins with a byte that is also that of a pointer, now and then.
fn value(number: u8, round: u32) -> Bytes {
    Bytes::from([vec![0xfd + (round % 3) as u8, number], round.to_be_bytes().repeat(SIZE / 4)].concat())
}

fn write_rounds(database: &DiskDatabase, rounds: std::ops::Range<u32>) {
    for round in rounds {
        for number in 0..64 {
            database.put(key(number), value(number, round)).unwrap();
        }
    }
}

fn assert_last_round(database: &DiskDatabase, round: u32) {
    let mut iterator = database.snapshot().unwrap().iterator();
    iterator.seek(&key(0)).unwrap();
    for number in 0..64 {
        assert_eq!(iterator.key(), Some(&key(number)));
        assert_eq!(iterator.value().unwrap(), Some(value(number, round)), "key {number}");
        iterator.next().unwrap();
    }
    assert_eq!(database.get(&key(63)).unwrap().unwrap(), value(63, round));
}

#[test]
fn they_are_there_after_reopening_and_garbage_goes_when_nobody_waits() {
    let directory = directory();
    let live = 64 * SIZE as u64;
    for start in 0..4u32 {
        let database = open(directory.path());
        if start > 0 {
            assert_last_round(&database, 4 * start - 1);
        }
        write_rounds(&database, 4 * start..4 * start + 4);
        if start % 2 == 1 {
            database.maintain().unwrap();
            assert_last_round(&database, 4 * start + 3);
            assert!(database.disk_bytes() < 2 * live, "{} bytes for {live}", database.disk_bytes());
        }
    }
    let database = open(directory.path());
    assert_last_round(&database, 15);
    assert!(database.disk_bytes() < 2 * live, "{} bytes for {live}", database.disk_bytes());
}

#[test]
fn garbage_goes_under_load_and_older_snapshots_keep_what_they_saw() {
    let directory = directory();
    let database = open(directory.path());
    write_rounds(&database, 0..1);
    for number in 64..128 {
        database.put(key(number), value(number, 7)).unwrap();
    }
    let old = database.snapshot().unwrap();
    // 384 MiB, over 8 MiB that are in use, in segments of 4 MiB and less.
    let mut files = BTreeSet::new();
    for round in 1..97 {
        write_rounds(&database, round..round + 1);
        let present = std::fs::read_dir(directory.path().join("journal")).unwrap();
        files.extend(present.map(|file| file.unwrap().file_name()));
    }
    let bytes = database.disk_bytes();
    assert!(bytes < 128 << 20, "{bytes}");
    assert!(files.len() < 85, "{} files, of which hardly one was used again", files.len());
    assert_last_round(&database, 96);
    for number in 0..64 {
        assert_eq!(old.get(&key(number)).unwrap().unwrap(), value(number, 0));
    }
    drop(old);
    for number in 64..128 {
        assert_eq!(database.get(&key(number)).unwrap().unwrap(), value(number, 7), "moved: {number}");
    }
    drop(database);
    assert_last_round(&open(directory.path()), 96);
}

/// Without room nothing can be moved, but what is of no use at all can go.
#[test]
fn a_full_disk_gives_back_what_is_of_no_use() {
    let directory = directory();
    let database = open(directory.path());
    write_rounds(&database, 0..8);
    drop(database);
    let options = DiskOptions { min_free_bytes: Some(u64::MAX / 8), ..DiskOptions::default() };
    let database = DiskDatabase::open(directory.path(), options).unwrap();
    let before = database.disk_bytes();
    database.maintain().unwrap();
    for _ in 0..1000 {
        if database.disk_bytes() < before / 2 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(database.disk_bytes() < before / 2, "{} of {before}", database.disk_bytes());
    assert_last_round(&database, 7);
}

/// What is put while values are moved is newer than what is moved.
#[test]
fn a_moved_value_never_comes_back_over_a_newer_one() {
    let directory = directory();
    let database = open(directory.path());
    write_rounds(&database, 0..3);
    std::thread::scope(|scope| {
        let tidying = scope.spawn(|| {
            for _ in 0..20 {
                database.maintain().unwrap();
            }
        });
        let mut round = 3;
        while !tidying.is_finished() || round < 6 {
            for number in 0..64 {
                database.put(key(number), value(number, round)).unwrap();
                assert_eq!(database.get(&key(number)).unwrap().unwrap(), value(number, round));
            }
            round += 1;
        }
        assert_last_round(&database, round - 1);
    });
}

#[test]
fn one_that_is_lost_or_damaged_is_an_error_and_not_an_absent_key() {
    let directory = directory();
    let database = open(directory.path());
    write_rounds(&database, 0..1);
    database.maintain().unwrap();
    drop(database);
    for lost in [false, true] {
        for file in std::fs::read_dir(directory.path().join("journal")).unwrap() {
            let path = file.unwrap().path();
            if lost {
                std::fs::remove_file(path).unwrap();
            } else {
                let mut bytes = std::fs::read(&path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle..].fill(0xff);
                std::fs::write(path, bytes).unwrap();
            }
        }
        let database = open(directory.path());
        let damaged = |number| matches!(database.get(&key(number)), Err(DatabaseError::Unreadable { .. }));
        assert!((0..64).any(damaged), "lost: {lost}");
    }
}

/// Rule S3: the content is lost, and the version is not.
#[test]
fn s3_of_a_damaged_value_the_version_is_known() {
    let directory = directory();
    let version = |time| Version::of_write(Timestamp { time, node: 1, boot: 1 });
    let versions = MultiVersionStore::new(open(directory.path()), 0).unwrap();
    let content = Content::Value(vec![7; 100_000].into());
    versions.commit(&[("k".into(), StampedValue::plain(version(5), content))]).unwrap();
    drop(versions);
    // Opening writes what is in the journal to a table.
    drop(open(directory.path()));
    for file in std::fs::read_dir(directory.path().join("journal")).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        // In the value, which follows the header's block and a few bytes.
        bytes[50_000] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    let versions = MultiVersionStore::new(open(directory.path()), 0).unwrap();
    assert!(matches!(versions.newest(b"k"), Err(DatabaseError::Unreadable { .. })));
    for have in [version(5), Version::MAX] {
        let glimpse = versions.newest_above(b"k", have).unwrap();
        assert_eq!((glimpse.version, glimpse.present, glimpse.content), (version(5), true, None));
    }
}

/// Rule G1: a dominated version whose segment is gone is gone, and hides nothing.
#[test]
fn dominated_versions_are_no_damage_when_their_segment_is_gone() {
    let directory = directory();
    let versions = MultiVersionStore::new(open(directory.path()), 1 << 20).unwrap();
    let version = |time: u64| Version::of_write(Timestamp { time, node: 1, boot: 1 });
    let put = |number: u8, time: u64| {
        let content = Content::Value(value(number, u32::try_from(time).unwrap()));
        versions.commit(&[(Bytes::from(vec![number]), StampedValue::plain(version(time), content))]).unwrap();
    };
    for time in 1..20 {
        (0..32).for_each(|number| put(number, time));
        if time % 6 == 0 {
            versions.database().maintain().unwrap();
        }
    }
    versions.database().maintain().unwrap();
    assert_eq!(versions.scan_versions(b"", 100).unwrap().len(), 32);
    let mut iterator = versions.database().snapshot().unwrap().iterator();
    iterator.seek_to_first().unwrap();
    while iterator.valid() {
        iterator.value().unwrap();
        iterator.next().unwrap();
    }
    for number in 0..32u8 {
        assert_eq!(versions.newest(&[number]).unwrap().stamped.version, version(19));
    }
}

/// No question costs more than its answer: a version, a scan, a walk over keys, whatever the values' size.
#[test]
fn a_question_about_versions_reads_no_large_value() {
    let directory = directory();
    let version = |time: u64| Version::of_write(Timestamp { time, node: 1, boot: 1 });
    // The last key is so long that it is a part of its record, which is large although it is a tombstone.
    let long = Bytes::from(vec![b'k'; 64 << 10]);
    let keys: Vec<Bytes> = (0..32).map(key).chain([long.clone()]).collect();
    let put = |key: &Bytes, time: u64| {
        let content = match key.len() {
            2 => Content::Value(value(key[1], u32::try_from(time).unwrap())),
            _ => Content::Tombstone,
        };
        (key.clone(), StampedValue::plain(version(time), content))
    };
    let before = MultiVersionStore::new(open(directory.path()), 0).unwrap();
    for time in 1..3 {
        before.commit(&keys.iter().map(|key| put(key, time)).collect::<Vec<_>>()).unwrap();
    }
    before.database().maintain().unwrap();
    drop(before);
    let versions = MultiVersionStore::new(open(directory.path()), 64 << 20).unwrap();
    for key in &keys {
        for have in [Version::MAX, version(3), version(2)] {
            let told = versions.newest_above(key, have).unwrap();
            assert_eq!((told.version, told.present, told.content), (version(2), key.len() == 2, None));
        }
    }
    let expected: Vec<_> = keys.iter().map(|key| (key.clone(), version(2), key.len() == 2)).collect();
    assert_eq!(versions.scan_versions(b"", 100).unwrap(), expected);
    assert_eq!(versions.scan_versions(&keys[30], 2).unwrap(), expected[30..32]);
    assert_eq!(versions.scan_versions(&long, 2).unwrap(), expected[32..]);
    let mut iterator = versions.database().snapshot().unwrap().iterator();
    iterator.seek_to_first().unwrap();
    iterator.prev().unwrap();
    iterator.seek_to_last().unwrap();
    while iterator.valid() {
        assert!(iterator.value_length().unwrap() > SIZE);
        iterator.prev().unwrap();
    }
    assert_eq!(versions.database().large_values_read(), 0);
    assert_eq!(
        versions.newest_above(&keys[0], version(1)).unwrap().content,
        Some(put(&keys[0], 2).1.content)
    );
    assert_eq!(versions.database().large_values_read(), 1);
}
