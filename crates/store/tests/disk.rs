//! What the disk engine promises beyond the conformance suite: acknowledged data is there, or the node is told.

use abd::{Content, StampedValue, Timestamp, Version};
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::{
    Database, DatabaseError, DatabaseIterator, DiskDatabase, DiskOptions, MultiVersionStore, Snapshot,
};

fn open(path: &Path) -> Result<DiskDatabase, DatabaseError> {
    DiskDatabase::open(path, DiskOptions::default())
}

fn fill(path: &Path) {
    let database = open(path).unwrap();
    for number in 0..50u8 {
        database.put(Bytes::from(vec![1, number]), Bytes::from(vec![number; 100])).unwrap();
    }
}

fn journals(path: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(path.join("journal")).unwrap();
    let mut found: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

/// Where the record of a batch begins: each of those that [`fill`] writes has a block to itself.
const BLOCK: usize = 512;

fn assert_damaged(path: &Path) {
    match open(path) {
        Err(DatabaseError::Damaged(why)) => assert!(why.contains("must not vote"), "{why}"),
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("lost data went unnoticed"),
    }
}

#[test]
fn what_was_written_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let database = open(directory.path()).unwrap();
    for number in 0..50u8 {
        assert_eq!(database.get(&[1, number]).unwrap().unwrap(), vec![number; 100]);
    }
    assert_eq!(database.sequence(), 51);
}

#[test]
fn a_journal_cut_short_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let journal = &journals(directory.path())[0];
    let file = std::fs::OpenOptions::new().write(true).open(journal).unwrap();
    file.set_len(10 * BLOCK as u64).unwrap();
    assert_damaged(directory.path());
}

#[test]
fn a_flipped_byte_in_the_middle_of_the_journal_is_noticed() {
    // Within records: the rest of a block is nobody's.
    for at in (BLOCK..40 * BLOCK).step_by(3 * BLOCK + 1) {
        let directory = fast_directory();
        fill(directory.path());
        let journal = &journals(directory.path())[0];
        let mut bytes = std::fs::read(journal).unwrap();
        bytes[at] ^= 0xff;
        std::fs::write(journal, bytes).unwrap();
        assert_damaged(directory.path());
    }
}

#[test]
fn missing_files_are_noticed() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    std::fs::remove_file(directory.path().join("watermark")).unwrap();
    assert_damaged(directory.path());
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    std::fs::remove_dir_all(directory.path().join("tables")).unwrap();
    assert_damaged(directory.path());
}

#[test]
fn without_room_writes_are_refused_and_reads_go_on() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let options = DiskOptions { min_free_bytes: Some(u64::MAX / 8), ..DiskOptions::default() };
    let database = DiskDatabase::open(directory.path(), options).unwrap();
    assert!(!database.accepts_writes());
    let refused = database.put(Bytes::from_static(b"\x01k"), Bytes::new());
    assert!(matches!(refused, Err(DatabaseError::Full(_))), "{refused:?}");
    assert!(database.get(&[1, 7]).unwrap().is_some());
}

/// The last batch is there, and yet batches are gone.
#[test]
fn a_hole_before_the_last_batch_is_noticed() {
    let directory = fast_directory();
    let database = open(directory.path()).unwrap();
    for number in 0..12u8 {
        // More than the rest of a segment: each goes to a further one.
        database.put(Bytes::from(vec![1, number]), Bytes::from(vec![number; 200 << 10])).unwrap();
    }
    drop(database);
    let mut segments = journals(directory.path());
    segments.retain(|segment| std::fs::read(segment).unwrap().starts_with(b"AKVJRNL1"));
    assert!(segments.len() >= 3, "{segments:?}");
    std::fs::remove_file(&segments[1]).unwrap();
    assert_damaged(directory.path());
}

/// A power cut may forget that the watermark moved: then only the journal itself can tell that a batch in it is damaged.
#[test]
fn damage_before_the_last_batch_is_noticed_without_the_watermark() {
    let directory = fast_directory();
    drop(open(directory.path()).unwrap());
    let watermark = directory.path().join("watermark");
    let old = std::fs::read(&watermark).unwrap();
    fill(directory.path());
    std::fs::write(&watermark, &old).unwrap();
    let is_it = |path: &&PathBuf| std::fs::read(path).unwrap()[20 * BLOCK..].starts_with(b"batc");
    let journals = journals(directory.path());
    let journal = journals.iter().find(is_it).unwrap();
    let whole = std::fs::read(journal).unwrap();
    // In a record, and in the header.
    for at in [20 * BLOCK + 40, 9] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        std::fs::write(journal, damaged).unwrap();
        assert_damaged(directory.path());
    }
    // The end may be torn: nobody was promised that batch.
    let mut torn = whole;
    torn.truncate(50 * BLOCK + 100);
    std::fs::write(journal, torn).unwrap();
    let database = open(directory.path()).unwrap();
    assert_eq!(database.get(&[1, 48]).unwrap().unwrap(), vec![48; 100]);
    assert_eq!(database.get(&[1, 49]).unwrap(), None);
}

/// Tables that were put back from an older copy, beside a newer journal.
#[test]
fn tables_older_than_the_journal_are_noticed() {
    let directory = fast_directory();
    fill(directory.path());
    let (tables, copy) = (directory.path().join("tables"), directory.path().join("copy"));
    let copied = std::process::Command::new("cp").arg("-r").args([&tables, &copy]).status().unwrap();
    assert!(copied.success());
    fill(directory.path());
    fill(directory.path());
    std::fs::remove_dir_all(&tables).unwrap();
    std::fs::rename(&copy, &tables).unwrap();
    assert_damaged(directory.path());
}

/// Segments are used again and again; what is in memory goes to tables meanwhile.
#[test]
fn many_times_the_journal_survives_reopening() {
    let directory = fast_directory();
    let options = DiskOptions { memtable_bytes: 1 << 20, ..DiskOptions::default() };
    let key = |number: u32| Bytes::from([&[1][..], &number.to_be_bytes()].concat());
    let value = |number: u32, round: u32| {
        Bytes::from(format!("{number} {round} ").repeat(100 + number as usize % 190))
    };
    for round in 0..3 {
        let database = DiskDatabase::open(directory.path(), options.clone()).unwrap();
        for number in 0..5_000 {
            database.put(key(number), value(number, round)).unwrap();
        }
        for number in (0..5_000).step_by(7) {
            database.delete(key(number)).unwrap();
        }
        let journal: u64 =
            journals(directory.path()).iter().map(|file| std::fs::metadata(file).unwrap().len()).sum();
        assert!(journal < 32 << 20, "{journal} bytes of journal");
        drop(database);
        let database = DiskDatabase::open(directory.path(), options.clone()).unwrap();
        for number in 0..5_000 {
            let expected = (number % 7 != 0).then(|| value(number, round));
            assert_eq!(database.get(&key(number)).unwrap(), expected, "key {number} in round {round}");
        }
    }
}

#[test]
fn a_database_that_is_older_than_its_watermark_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let watermark = directory.path().join("watermark");
    let newer = std::fs::read(&watermark).unwrap();
    for damaged in [vec![0; newer.len()], Vec::new(), vec![0xff; newer.len()]] {
        std::fs::write(&watermark, damaged).unwrap();
        assert_damaged(directory.path());
    }
    let old = tempfile::tempdir().unwrap();
    drop(open(old.path()).unwrap());
    std::fs::write(old.path().join("watermark"), newer).unwrap();
    assert_damaged(old.path());
}

#[test]
fn a_deleted_journal_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    for journal in journals(directory.path()) {
        std::fs::remove_file(journal).unwrap();
    }
    assert_damaged(directory.path());
}

/// Damage in a table is never "absent", and never another value.
#[test]
fn a_damaged_table_is_an_error_and_not_an_absent_key() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    drop(open(directory.path()).unwrap()); // Opening writes the journal's content to a table.
    let tables = directory.path().join("tables/tables");
    let mut damaged = 0;
    for entry in std::fs::read_dir(tables).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        for at in (4_200..8_000.min(bytes.len())).step_by(100) {
            bytes[at] ^= 0x10;
        }
        std::fs::write(&path, bytes).unwrap();
        damaged += 1;
    }
    assert!(damaged > 0);
    let database = open(directory.path()).unwrap();
    let mut errors = 0;
    for number in 0..50u8 {
        match database.get(&[1, number]) {
            Ok(found) => assert_eq!(found.unwrap(), vec![number; 100]),
            Err(why) => {
                assert!(matches!(why, DatabaseError::Unreadable { .. }), "{why}");
                errors += 1;
            }
        }
    }
    assert!(errors > 0);
}

/// A file system of 80 MiB that is unmounted when dropped; `None` where that is not allowed.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let status = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=80m", "tmpfs"])
            .arg(directory.path())
            .status();
        status.is_ok_and(|status| status.success()).then_some(Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// No guard before the wall (`min_free_bytes` 0): the engine itself runs into it, and goes on when there is room.
#[test]
fn a_disk_that_ran_full_takes_writes_again_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED: no permission to mount a small file system");
        return;
    };
    let filler = disk.0.path().join("filler");
    std::fs::write(&filler, vec![1; 50 << 20]).unwrap();
    let path = disk.0.path().join("database");
    let options = DiskOptions { min_free_bytes: Some(0), ..DiskOptions::default() };
    let database = DiskDatabase::open(&path, options.clone()).unwrap();
    let key = |number: u32| Bytes::from([&[1][..], &number.to_be_bytes()].concat());
    let mut written = 0;
    let refused = loop {
        match database.put(key(written), Bytes::from(vec![7; 100 << 10])) {
            Ok(()) => written += 1,
            Err(why) => break why,
        }
        assert!(written < 2_000, "the disk never filled up");
    };
    assert!(matches!(refused, DatabaseError::Full(_)), "{refused}");
    let all_there =
        |database: &DiskDatabase| (0..written).all(|number| database.get(&key(number)).unwrap().is_some());
    assert!(all_there(&database), "reads go on");
    std::fs::remove_file(filler).unwrap();
    let again = Bytes::from_static(b"\x01again");
    database.put(again.clone(), Bytes::from_static(b"!")).unwrap();
    assert!(database.accepts_writes() && all_there(&database));
    drop(database);
    let database = DiskDatabase::open(&path, options).unwrap();
    assert!(all_there(&database) && database.get(&again).unwrap().is_some());
}

#[test]
fn tidying_keeps_the_files_a_small_multiple_of_the_data() {
    let directory = fast_directory();
    let options = DiskOptions { memtable_bytes: 1 << 20, ..DiskOptions::default() };
    let database = DiskDatabase::open(directory.path(), options).unwrap();
    for round in 0..20 {
        for number in 0..50u8 {
            database.put(Bytes::from(vec![1, number]), Bytes::from(vec![round; 10_000])).unwrap();
        }
    }
    let limit = 50 * 10_000 * 3 / 2;
    // A round of the engine's own may be under way: what it leaves is tidied by the next one.
    for _ in 0..50 {
        database.maintain().unwrap();
        if database.disk_bytes() < limit {
            break;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
    let tables = database.disk_bytes();
    assert_eq!(database.get(&[1, 7]).unwrap().unwrap(), vec![19; 10_000]);
    assert!(tables < limit, "{tables}");
    assert!(files_under(directory.path()) < 50 * 10_000 * 3 / 2 + (64 << 10), "old files are gone too");
}

fn files_under(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let size = |entry: std::fs::DirEntry| match entry.metadata().unwrap() {
        metadata if metadata.is_dir() => files_under(&entry.path()),
        metadata => metadata.len(),
    };
    entries.map(size).sum()
}

/// Where a sync costs nothing: for tests that need many batches and no durability.
fn fast_directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

#[test]
fn a_hot_key_stays_one_version() {
    let directory = fast_directory();
    let database = Arc::new(open(directory.path()).unwrap());
    let store = MultiVersionStore::new(database.clone(), 1 << 20).unwrap();
    // As a replica does: it looks before it queues a write.
    store.newest(b"hot").unwrap();
    let commit = |times: std::ops::RangeInclusive<u64>| {
        for time in times {
            let version = Version::of_write(Timestamp { time, node: 1, boot: 1 });
            let stamped = StampedValue::plain(version, Content::Value(Bytes::from(vec![7; 100])));
            store.commit(&[("hot".into(), stamped)]).unwrap();
        }
    };
    let versions_in = |snapshot: &store::disk::DiskSnapshot| {
        let mut iterator = snapshot.iterator();
        iterator.seek_to_first().unwrap();
        let mut versions = Vec::new();
        while let Some(key) = iterator.key() {
            versions.push(key.clone());
            iterator.next().unwrap();
        }
        versions
    };
    commit(1..=5_000);
    let before = database.snapshot().unwrap();
    let seen = versions_in(&before);
    assert_eq!(seen.len(), 1, "nobody looked, so dominated versions are not kept");
    commit(5_001..=40_000);
    assert_eq!(versions_in(&before), seen, "a snapshot is not disturbed");
    let between = database.snapshot().unwrap();
    let seen_between = versions_in(&between);
    assert!(seen_between.len() > 1, "somebody looked");
    database.maintain().unwrap();
    assert_eq!(versions_in(&database.snapshot().unwrap()).len(), 1, "a merge leaves dominated versions out");
    assert_eq!(versions_in(&before), seen, "an older snapshot is not disturbed");
    assert_eq!(versions_in(&between), seen_between, "an older snapshot is not disturbed");
}

/// A gauge costs nothing: it is there when the database is opened, without a look at what is in it.
#[test]
fn the_number_of_keys_is_known_at_once_and_about() {
    let directory = fast_directory();
    let reopen = || MultiVersionStore::new(open(directory.path()).unwrap(), 1 << 20).unwrap();
    let commit = |store: &MultiVersionStore<DiskDatabase>, time: u64, keys: std::ops::Range<u16>, value| {
        let version = Version::of_write(Timestamp { time, node: 1, boot: 1 });
        let put = |key: u16| {
            (Bytes::copy_from_slice(&key.to_be_bytes()), StampedValue::plain(version, Content::clone(&value)))
        };
        store.commit(&keys.map(put).collect::<Vec<_>>()).unwrap();
    };
    let value = || Content::Value(Bytes::from(vec![7; 1_000]));
    let store = reopen();
    assert_eq!(store.keys_estimate(), 0);
    // What the cluster keeps of itself is no key of anybody's.
    let own = Bytes::from([abd::RESERVED, b"configuration"].concat());
    let version = Version::of_write(Timestamp { time: 1, node: 1, boot: 1 });
    store.commit(&[(own, StampedValue::plain(version, value()))]).unwrap();
    assert_eq!(store.keys_estimate(), 0);
    commit(&store, 1, 0..1_000, value());
    assert_eq!(store.keys_estimate(), 1_000);
    commit(&store, 2, 0..1_000, value());
    assert_eq!(store.keys_estimate(), 1_000, "written again");
    commit(&store, 3, 0..100, Content::Tombstone);
    assert_eq!(store.keys_estimate(), 900, "deleted");
    drop(store);
    let store = reopen();
    // A tombstone in a table is a key.
    assert_eq!(store.keys_estimate(), 1_000, "after a start");
    commit(&store, 4, 500..1_500, value());
    assert_eq!(store.keys_estimate(), 2_000, "written again, and not merged yet");
    store.database().maintain().unwrap();
    assert_eq!(store.keys_estimate(), 1_500, "merged");
    assert_eq!(store.database().large_values_read(), 0);
}

/// The memtable of a hot key does not grow, so that it is not what decides.
#[test]
fn the_journal_of_a_hot_key_does_not_grow_for_ever() {
    let directory = fast_directory();
    let database = open(directory.path()).unwrap();
    let mut most = 0;
    // 100 MB, in batches of 5 KB that are no large values.
    for round in 0..20_000u32 {
        let mut batch = store::WriteBatch::default();
        for key in [b"\x01a", b"\x01b", b"\x01c"] {
            batch.put(Bytes::from_static(key), round.to_be_bytes().repeat(427));
        }
        database.write(batch).unwrap();
        most = most.max(database.disk_bytes());
    }
    assert!(most < 64 << 20, "{most}");
    drop(database);
    let database = open(directory.path()).unwrap();
    assert_eq!(database.get(b"\x01a").unwrap().unwrap(), 19_999u32.to_be_bytes().repeat(427));
}
