//! One suite for every engine: what the multi-version layer relies on.

use bytes::Bytes;
use store::{Database, DatabaseIterator, DiskDatabase, DiskOptions, MemoryDatabase, Snapshot, WriteBatch};

fn key(byte: u8) -> Bytes {
    Bytes::from(vec![byte])
}

fn batches_are_atomic_and_ordered(database: &impl Database) {
    let mut batch = WriteBatch::default();
    batch.put(key(5), "first");
    batch.put(key(5), "second");
    batch.put(key(6), "gone");
    batch.delete(key(6));
    database.write(batch).unwrap();
    assert_eq!(database.get(&key(5)).unwrap().unwrap(), "second");
    assert_eq!(database.get(&key(6)).unwrap(), None);
}

fn snapshots_do_not_move(database: &impl Database) {
    database.put(key(10), "old".into()).unwrap();
    let snapshot = database.snapshot().unwrap();
    database.put(key(10), "new".into()).unwrap();
    database.put(key(11), "new".into()).unwrap();
    assert_eq!(snapshot.get(&key(10)).unwrap().unwrap(), "old");
    let mut iterator = snapshot.iterator();
    iterator.seek(&key(10)).unwrap();
    assert_eq!(iterator.value().unwrap(), "old");
    assert_eq!(database.get(&key(10)).unwrap().unwrap(), "new");
    database.delete(key(11)).unwrap();
}

fn iterators_walk_both_ways(database: &impl Database) {
    for byte in [20, 22, 24] {
        database.put(key(byte), key(byte)).unwrap();
    }
    let mut iterator = database.snapshot().unwrap().iterator();
    assert!(!iterator.valid());
    iterator.seek(&key(21)).unwrap();
    assert_eq!(iterator.key().unwrap(), &key(22));
    iterator.prev().unwrap();
    assert_eq!(iterator.key().unwrap(), &key(20));
    iterator.next().unwrap();
    iterator.next().unwrap();
    assert_eq!(iterator.key().unwrap(), &key(24));
    iterator.next().unwrap();
    assert!(!iterator.valid());
    iterator.seek_to_last().unwrap();
    assert_eq!(iterator.key().unwrap(), &key(24));
    iterator.seek(&key(25)).unwrap();
    assert!(!iterator.valid());
    iterator.seek_to_first().unwrap();
    assert!(iterator.key().unwrap() <= &key(20));
}

fn suite(database: &impl Database) {
    batches_are_atomic_and_ordered(database);
    snapshots_do_not_move(database);
    iterators_walk_both_ways(database);
}

#[test]
fn memory_conforms() {
    suite(&MemoryDatabase::new());
}

#[test]
fn disk_conforms() {
    let directory = tempfile::tempdir().unwrap();
    suite(&DiskDatabase::open(directory.path(), DiskOptions::default()).unwrap());
}
