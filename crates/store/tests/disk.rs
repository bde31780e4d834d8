//! What the disk engine promises beyond the conformance suite: acknowledged data is there, or the node is told.

use abd::{Content, StampedValue, Timestamp, Version};
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::{Database, DatabaseError, DiskDatabase, DiskOptions, MultiVersionStore};

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
    let mut found = Vec::new();
    let mut directories = vec![path.join("fjall")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "jnl") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty());
    found
}

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
    file.set_len(2000).unwrap();
    assert_damaged(directory.path());
}

#[test]
fn a_flipped_byte_in_the_middle_of_the_journal_is_noticed() {
    for at in [300, 1500, 3000] {
        let directory = tempfile::tempdir().unwrap();
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
    std::fs::remove_dir_all(directory.path().join("fjall")).unwrap();
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

#[test]
fn a_hot_key_stays_one_version() {
    let directory = tempfile::tempdir().unwrap();
    let database = Arc::new(open(directory.path()).unwrap());
    let store = MultiVersionStore::new(database.clone(), 1 << 20);
    for time in 1..=2000 {
        let version = Version::of_write(Timestamp { time, node: 1, boot: 1 });
        let stamped = StampedValue { version, content: Content::Value(Bytes::from(vec![7; 100])) };
        store.commit(&[("hot".into(), stamped)]).unwrap();
    }
    while store.collect_garbage(100).unwrap() > 0 {}
    let below = Version::of_write(Timestamp { time: 1999, node: 1, boot: 1 });
    assert_eq!(store.as_of(b"hot", below).unwrap(), None, "dominated versions are gone");
    assert_eq!(store.live_keys(), 1);
}
