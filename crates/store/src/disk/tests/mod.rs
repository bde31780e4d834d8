//! What the engine does in situations that take a look inside to make.

mod crashes;

use super::*;
use crate::damage::Guarded;
use crate::database::{DatabaseIterator, Snapshot};
use crate::disk::ground::snapshot::DiskIterator;
use crate::disk::ground::values::{LARGE, Location, Stored};
use crate::encoding::key;
use crate::files::OpenFile;
use crate::versions::{MultiVersionStore, Puts};
use abd::{
    Acceptance, AcceptedRecord, Ballot, Content, Deadline, Fit, Proposal, RESERVED, StampedValue, Timestamp,
    Unit, Version, WriteGroup,
};
use bytes::Bytes;

#[test]
fn a_batch_whose_watermark_failed_is_in_and_the_next_one_is_not_begun() {
    let directory = tempfile::tempdir().unwrap();
    let database = DiskDatabase::open(directory.path(), DiskOptions::default()).unwrap();
    let watermark = directory.path().join("watermark");
    let whole = std::mem::replace(&mut database.writer().watermark, Arc::new(Watermark::broken(&watermark)));
    database.put("first".into(), "1".into()).unwrap();
    for _ in 0..2 {
        let refused = database.put("second".into(), "2".into());
        assert!(matches!(refused, Err(DatabaseError::Fatal(_))), "{refused:?}");
    }
    assert_eq!(database.get(b"first").unwrap().unwrap(), "1");
    assert_eq!((database.get(b"second").unwrap(), database.sequence()), (None, 2));
    database.writer().watermark = whole;
    database.put("third".into(), "3".into()).unwrap();
    drop(database);
    let database = DiskDatabase::open(directory.path(), DiskOptions::default()).unwrap();
    assert_eq!((database.get(b"second").unwrap(), database.sequence()), (None, 3));
    assert_eq!(database.get(b"third").unwrap().unwrap(), "3");
}

#[test]
fn a_full_disk_gives_back_the_tables_that_were_merged_since_the_last_batch() {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut database = DiskDatabase::open(directory.path(), DiskOptions::default()).unwrap();
    let min_free = database.min_free;
    let tables = || std::fs::read_dir(directory.path().join("tables/tables")).unwrap().count();
    let journals = || std::fs::read_dir(directory.path().join("journal")).unwrap().count();
    // As large as a value may be that is no large one.
    let value = Bytes::from(vec![7; LARGE - 1]);
    let refused = |database: &mut DiskDatabase, ask: &dyn Fn(&DiskDatabase)| {
        database.min_free = min_free;
        for key in ["a", "b"] {
            for _ in 0..2_000 {
                database.put(key.into(), value.clone()).unwrap();
            }
            flush(database);
        }
        database.upkeep.merge_all().unwrap();
        assert!(tables() >= 3, "as long as somebody may look at them");
        let (files, bytes) = (journals(), database.disk_bytes());
        assert!(files > 1, "{files} segments of the journal");
        database.min_free = u64::MAX / 8;
        (database.writer().looked, database.writer().gave_back) = (None, None);
        ask(database);
        assert!(tables() == 1 && journals() < files, "{} tables, {} segments", tables(), journals());
        assert!(database.disk_bytes() < bytes, "{} of {bytes}", database.disk_bytes());
        assert_eq!(database.get(b"b").unwrap().unwrap(), value);
    };
    refused(&mut database, &|database| {
        let refused = database.put("c".into(), "1".into());
        assert!(matches!(refused, Err(DatabaseError::Full(_))), "{refused:?}");
    });
    refused(&mut database, &|database| database.maintain().unwrap());
}

#[test]
fn a_memtable_grows_with_the_tables_and_not_beyond_the_space_that_is_kept_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let options =
        DiskOptions { memtable_bytes: 1_000, min_free_bytes: Some(400_000), ..DiskOptions::default() };
    assert_eq!(options.memtable_limit(3_999, u64::MAX), 1_000);
    assert_eq!(options.memtable_limit(u64::MAX, u64::MAX), options.memtable_bytes_max);
    let database = DiskDatabase::open(directory.path(), options).unwrap();
    let fill = |keys: std::ops::Range<u16>| {
        for key in keys {
            // Bytes that no table stores in fewer.
            let value: Vec<u8> = (0..1_000u32).map(|at| (at * u32::from(key)).to_le_bytes()[1]).collect();
            database
                .put(key.to_be_bytes().into_iter().chain([1]).collect::<Vec<u8>>().into(), value.into())
                .unwrap();
        }
        flush(&database);
        let limit = database.writer().memtable_limit;
        (limit, database.tables.disk_bytes())
    };
    let (limit, tables) = fill(0x100..0x120);
    assert!(limit > 1_000 && limit < 32 * 1_100, "{limit} beside {tables}");
    let (limit, tables) = fill(0x100..0x800);
    assert!(limit == 100_000 && tables > 800_000, "{limit} beside {tables}");
}

#[test]
fn a_memtable_holds_more_of_large_values() {
    let directory = tempfile::tempdir().unwrap();
    let options = DiskOptions { memtable_bytes: 1 << 20, ..DiskOptions::default() };
    let database = DiskDatabase::open(directory.path(), options).unwrap();
    let put = |key: [u8; 3], size: usize| database.put(Bytes::copy_from_slice(&key), vec![7; size].into());
    for number in 0..100 {
        put([1, 0, number], 64 << 10).unwrap();
    }
    let size = database.tables.memtable_size();
    assert!(size.is_large_values() && size.memory > 6 << 20, "{size:?}");
    // Nearly as large as a large one, but a table gets all of it.
    for number in 0..1_000u16 {
        let [high, low] = number.to_be_bytes();
        put([2, high, low], LARGE - 1).unwrap();
        let size = database.tables.memtable_size();
        assert!(size.table < (1 << 20) + 5_000, "{size:?}");
    }
    assert!(!database.tables.memtable_size().is_large_values());
}

/// Data keys of one user key, the newest version first.
fn versions(count: u64) -> Vec<Bytes> {
    let version = |time| Version::of_write(Timestamp { time, node: 1, boot: 1 });
    (1..=count).rev().map(|time| key::encode(b"k", version(time))).collect()
}

/// So large that of a new database the first two go to segments of their own.
fn large(byte: u8) -> Bytes {
    vec![byte; 400 << 10].into()
}

fn flush(database: &DiskDatabase) {
    let mut writer = database.writer();
    database.seal(&mut writer);
    database.work.wait(true).unwrap();
    database.catch_up(&mut writer).unwrap();
}

fn pointer(database: &DiskDatabase, key: &[u8]) -> Option<Location> {
    let view = database.tables.look();
    let found = view.in_tables().map(Result::unwrap).find(|(found, _)| found == key);
    match found?.1 {
        Stored::At(pointer, _) => Some(pointer.location),
        Stored::Value(_) => None,
    }
}

/// Rule G1: what dominates is there, so what is dominated may be gone, and nothing else.
#[test]
fn g1_a_version_whose_segment_is_gone_is_garbage_if_a_newer_one_is_there_and_else_damage() {
    let directory = tempfile::tempdir().unwrap();
    let database = DiskDatabase::open(directory.path(), DiskOptions::default()).unwrap();
    let keys = versions(2);
    database.put(keys[1].clone(), large(1)).unwrap();
    flush(&database);
    let old = pointer(&database, &keys[1]).unwrap();
    let before = database.snapshot().unwrap();
    database.tables.remove_file(old.segment);
    assert!(
        matches!(database.get(&keys[1]), Err(DatabaseError::Unreadable { why, .. }) if why.contains("is gone"))
    );
    let mut iterator = database.snapshot().unwrap().iterator();
    // The key is known, and so is the version.
    for position in [Guarded::<DiskIterator>::seek_to_first, Guarded::seek_to_last] {
        position(&mut iterator).unwrap();
        assert_eq!(iterator.key(), Some(&keys[1]));
        iterator.value().unwrap_err();
    }
    // Nor is it there if the number has come to mean another segment.
    let another: Arc<dyn OpenFile> = Arc::new(tempfile::tempfile().unwrap());
    database.tables.add_file(old.segment, &another);
    assert!(
        matches!(database.get(&keys[1]), Err(DatabaseError::Unreadable { why, .. }) if why.contains("the end"))
    );
    database.put(keys[0].clone(), large(2)).unwrap();
    for _ in 0..2 {
        database.tables.add_file(old.segment, &another);
        assert!(pointer(&database, &keys[1]).is_some(), "it is still in a table");
        assert_eq!(database.get(&keys[1]).unwrap(), None);
        assert_eq!(database.get(&keys[0]).unwrap().unwrap(), large(2));
        let mut iterator = database.snapshot().unwrap().iterator();
        iterator.seek(&keys[0]).unwrap();
        assert_eq!((iterator.key(), iterator.value().unwrap()), (Some(&keys[0]), Some(large(2))));
        // There is a file, so it takes a look at the value to find out that it is gone.
        for position in [Guarded::<DiskIterator>::next, Guarded::seek_to_last] {
            position(&mut iterator).unwrap();
            assert_eq!((iterator.key(), iterator.value().unwrap()), (Some(&keys[1]), None));
        }
        database.tables.remove_file(old.segment);
        let mut iterator = database.snapshot().unwrap().iterator();
        iterator.seek(&keys[1]).unwrap();
        assert!(!iterator.valid());
        iterator.seek_to_last().unwrap();
        assert_eq!(iterator.key(), Some(&keys[0]));
        iterator.next().unwrap();
        assert!(!iterator.valid());
        // First from the memtable, then from a table.
        flush(&database);
    }
    assert_eq!(before.get(&keys[1]).unwrap().unwrap(), large(1));
}

#[test]
fn a_moved_value_is_put_again_unless_its_key_has_been_written() {
    let directory = tempfile::tempdir().unwrap();
    let database = DiskDatabase::open(directory.path(), DiskOptions::default()).unwrap();
    let keys: Vec<Bytes> = (1..=4u8).map(|number| Bytes::from(vec![1, number])).collect();
    for key in &keys {
        database.put(key.clone(), large(1)).unwrap();
    }
    flush(&database);
    let from: Vec<Location> = keys.iter().map(|key| pointer(&database, key).unwrap()).collect();
    // The first is written before, the second deleted, the third written by the batch that it would go with.
    database.put(keys[0].clone(), large(2)).unwrap();
    database.delete(keys[1].clone()).unwrap();
    for (key, from) in keys.iter().zip(&from) {
        let collector = &database.work.collector;
        collector.offer(Move { key: key.clone(), value: large(1), from: *from });
    }
    let mut batch = WriteBatch::default();
    batch.put(keys[2].clone(), large(3));
    batch.put(Bytes::from_static(b"\x02"), vec![0; 2 << 20]);
    database.write(batch).unwrap();
    let check = |database: &DiskDatabase| {
        for (key, value) in keys.iter().zip([Some(large(2)), None, Some(large(3)), Some(large(1))]) {
            assert_eq!(database.get(key).unwrap(), value, "{key:?}");
        }
    };
    check(&database);
    flush(&database);
    for (key, from) in keys.iter().zip(from) {
        assert_ne!(pointer(&database, key), Some(from), "{key:?}");
    }
    check(&database);
    drop(database);
    check(&DiskDatabase::open(directory.path(), DiskOptions::default()).unwrap());
}

/// Whether their pointers are remembered from when they were counted or looked for again.
#[test]
fn values_in_use_are_moved_out_of_segments_that_hold_mostly_garbage() {
    for remembered in [0, 9, usize::MAX] {
        let directory = tempfile::tempdir().unwrap();
        let database = DiskDatabase::open(directory.path(), DiskOptions::default()).unwrap();
        database.work.collector.count_at_most(remembered);
        let keys: Vec<Bytes> = (1..=100u8).map(|number| Bytes::from(vec![1, number])).collect();
        keys.iter().for_each(|key| database.put(key.clone(), large(1)).unwrap());
        // Not of the first segments, which have room for one.
        let kept: Vec<&Bytes> = keys.iter().skip(25).step_by(8).collect();
        for key in keys.iter().filter(|key| !kept.contains(key)) {
            database.delete(key.clone()).unwrap();
        }
        flush(&database);
        let from: Vec<Location> = kept.iter().map(|key| pointer(&database, key).unwrap()).collect();
        database.maintain().unwrap();
        for (key, from) in kept.iter().zip(from) {
            let to = pointer(&database, key).unwrap();
            assert!(to.segment > from.segment, "{key:?} is still at {to:?}, {remembered} were remembered");
            assert_eq!(database.get(key).unwrap().unwrap(), large(1));
        }
        assert!(database.disk_bytes() < 40 * large(1).len() as u64, "{} bytes", database.disk_bytes());
    }
}

fn numbered(number: u32) -> Bytes {
    [&[1][..], &number.to_be_bytes()].concat().into()
}

fn deletes(numbers: std::ops::Range<u32>) -> WriteBatch {
    let changes = numbers.map(|number| Change::Delete(numbered(number))).collect();
    WriteBatch { changes, makes_room: true }
}

#[test]
fn what_makes_room_has_half_of_what_is_kept_free_and_what_the_journal_has() {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut database = DiskDatabase::open(directory.path(), DiskOptions::default()).unwrap();
    let refused = |database: &DiskDatabase| {
        let refused = database.put("k".into(), "v".into());
        assert!(matches!(refused, Err(DatabaseError::Full(_))), "{refused:?}");
    };
    let segments = || std::fs::read_dir(directory.path().join("journal")).unwrap().count();
    // Three quarters of it are there.
    database.min_free = database.free().unwrap() / 3 * 4;
    for round in 1..50 {
        refused(&database);
        database.write(deletes(1..round * 100)).unwrap();
    }
    assert!(segments() > 1, "they fit into the first one");
    // Nothing is.
    database.min_free = u64::MAX / 8;
    let mut written = 0;
    while database.write(deletes(1..1_000)).is_ok() {
        refused(&database);
        written += 1;
        assert!(written < 1_000, "deletes never end");
    }
    assert!(written > 0);
    assert!(matches!(database.write(deletes(1..1_000)), Err(DatabaseError::Full(_))));
}

#[test]
fn what_was_deleted_on_a_full_disk_gives_its_room_back() {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut database = DiskDatabase::open(directory.path(), DiskOptions::default()).unwrap();
    for number in 1..2_000 {
        database.put(numbered(number), Bytes::from(vec![7; LARGE - 1])).unwrap();
    }
    flush(&database);
    database.min_free = database.free().unwrap() / 3 * 4;
    let before = database.tables.disk_bytes();
    database.write(deletes(2..2_000)).unwrap();
    database.maintain().unwrap();
    let after = database.tables.disk_bytes();
    assert!(after < before / 100, "{after} of {before} bytes");
    assert!(database.get(&numbered(1)).unwrap().is_some() && database.get(&numbered(2)).unwrap().is_none());
}

#[test]
fn of_a_group_of_versions_a_full_disk_takes_the_tombstones() {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut database = DiskDatabase::open(directory.path(), DiskOptions::default()).unwrap();
    database.min_free = u64::MAX / 8;
    let store = MultiVersionStore::new(Arc::new(database), 1 << 20).unwrap();
    let commit = |versions: &[(&'static str, u64, Option<&'static str>)]| {
        let mut puts = Puts::default();
        for (key, time, value) in versions {
            let version = Version::of_write(Timestamp { time: *time, node: 1, boot: 1 });
            let content = value.map_or(Content::Tombstone, |value| Content::Value(value.into()));
            puts.push(&Unit::Version { key: (*key).into(), stamped: StampedValue::plain(version, content) });
        }
        let values: Vec<bool> = versions.iter().map(|(_, _, value)| value.is_some()).collect();
        assert_eq!(puts.need_room().collect::<Vec<_>>(), values);
        store.commit_what_fits(&puts).unwrap()
    };
    let time_of = |key: &str| store.newest(key.as_bytes()).unwrap().stamped.version.time();
    // A tombstone is taken although a newer value of its key is not.
    let fit = commit(&[("a", 1, Some("1")), ("b", 2, None), ("b", 3, Some("3")), ("c", 4, None)]);
    assert!(matches!(&fit, Fit::Roomless(_)) && fit.has(false) && !fit.has(true), "{fit:?}");
    assert_eq!([time_of("a"), time_of("b"), time_of("c")], [0, 2, 4]);
    let fit = commit(&[("d", 5, None)]);
    assert!(fit == Fit::All && fit.has(true) && fit.has(false));
    let fit = commit(&[("e", 6, Some("6"))]);
    assert!(matches!(&fit, Fit::Nothing(_)) && !fit.has(true) && !fit.has(false), "{fit:?}");
    assert_eq!([time_of("d"), time_of("e")], [5, 0]);
}

/// D1: of what is accepted, too.
#[test]
fn d1_a_full_disk_takes_what_the_cluster_keeps_of_itself() {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut database = DiskDatabase::open(directory.path(), DiskOptions::default()).unwrap();
    database.min_free = u64::MAX / 8;
    let store = MultiVersionStore::new(Arc::new(database), 1 << 20).unwrap();
    let own = Bytes::from([RESERVED, b"key"].concat());
    for size in [10, 8 << 10] {
        let version = Version::of_write(Timestamp { time: size as u64, node: 1, boot: 1 });
        let content = Content::Value(vec![7; size].into());
        let stamped = StampedValue::plain(version, content.clone());
        let ballot = Ballot { epoch: 1, round: size as u64, node: 1, boot: 1 };
        let proposal = Proposal { update: ballot.update(), content, deadline: Deadline::NONE };
        let record = AcceptedRecord { base: version, acceptance: Acceptance { ballot, proposal } };
        let mut puts = Puts::default();
        for key in [own.clone(), "client".into()] {
            let (base, record) = (Some(Box::new(stamped.clone())), Box::new(record.clone()));
            puts.push(&Unit::Acceptance { key, base, record });
        }
        assert_eq!(puts.need_room().collect::<Vec<_>>(), [false, true]);
        let fit = store.commit_what_fits(&puts).unwrap();
        assert!(matches!(fit, Fit::Roomless(_)), "{fit:?}");
        assert_eq!(store.newest(&own).unwrap().stamped, stamped);
        assert_eq!(store.newest(b"client").unwrap().stamped, StampedValue::NEVER);
    }
}

/// Nobody writes what it has read, and so it would wait for ever.
#[test]
fn a_round_of_the_collector_does_not_keep_a_full_disk_from_giving_room_back() {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut database = DiskDatabase::open(directory.path(), DiskOptions::default()).unwrap();
    let value = Bytes::from(vec![7; 20_000]);
    for round in 0..4 {
        // Some of the values in each segment stay in use.
        for number in (1..300).filter(|number| number % 4 >= round) {
            database.put(numbered(number), value.clone()).unwrap();
        }
    }
    database.tidy(database.writer()).unwrap();
    let collector = database.work.collector.clone();
    let round = collector.begin_quiet_round().expect("there is garbage");
    assert!(collector.wait_for_moves(&round), "it moves values");
    database.min_free = database.free().unwrap() / 3 * 4;
    let before = collector.kept_bytes();
    database.write(deletes(1..300)).unwrap();
    for _ in 0..600 {
        database.maintain().unwrap();
        if collector.kept_bytes() < before / 10 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("{} of {before} bytes are kept", collector.kept_bytes());
}

/// Nobody may write for long.
#[test]
fn what_a_thread_failed_with_is_told_without_a_write() {
    let directory = tempfile::tempdir().unwrap();
    let database = DiskDatabase::open(directory.path(), DiskOptions::default()).unwrap();
    database.work.fail(&DatabaseError::Full("no failure".into()));
    assert_eq!(database.check(), Ok(()));
    let failed = DatabaseError::Fatal("a disk that fails".into());
    database.work.fail(&failed);
    assert_eq!(database.check(), Err(failed));
}
