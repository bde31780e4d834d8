//! One suite for every engine: what the multi-version layer relies on.

use bytes::Bytes;
use proptest::prelude::*;
use store::{
    Database, DatabaseIterator, DiskDatabase, DiskOptions, HEAD_BYTES, MemoryDatabase, Snapshot, WriteBatch,
};

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
    assert_eq!(iterator.value().unwrap().unwrap(), "old");
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
    let first = iterator.key().unwrap().clone();
    assert!(first <= key(20) && first[0] != 0, "an engine's own keys are not shown");
    iterator.prev().unwrap();
    assert!(!iterator.valid());
    iterator.seek(&[]).unwrap();
    assert_eq!(iterator.key().unwrap(), &first);
    let (mut up, mut down) = (vec![], vec![]);
    iterator.seek_to_first().unwrap();
    while let Some(key) = iterator.key().cloned() {
        up.push(key);
        iterator.next().unwrap();
    }
    iterator.seek_to_last().unwrap();
    while let Some(key) = iterator.key().cloned() {
        down.push(key);
        iterator.prev().unwrap();
    }
    down.reverse();
    assert_eq!(up, down);
}

fn empty_values_and_odd_keys_are_legal(database: &impl Database) {
    for key in [&b"\x01"[..], b"\x01\x00", b"\x01\x00\x00", b"\xff", b"\xff\xff"] {
        database.put(Bytes::copy_from_slice(key), Bytes::new()).unwrap();
        assert_eq!(database.get(key).unwrap(), Some(Bytes::new()));
        database.delete(Bytes::copy_from_slice(key)).unwrap();
        assert_eq!(database.get(key).unwrap(), None);
    }
    database.write(WriteBatch::default()).unwrap();
}

fn suite(database: &impl Database) {
    batches_are_atomic_and_ordered(database);
    snapshots_do_not_move(database);
    iterators_walk_both_ways(database);
    empty_values_and_odd_keys_are_legal(database);
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

/// A step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Write(Vec<(u8, Option<u16>)>),
    Look,
    LookAway(usize),
    Tidy,
    Walk(usize, Vec<(bool, Option<u8>)>),
}

fn step() -> impl Strategy<Value = Step> {
    let change = (1..20u8, proptest::option::weighted(0.7, 0..u16::MAX));
    prop_oneof![
        6 => proptest::collection::vec(change, 1..8).prop_map(Step::Write),
        2 => Just(Step::Look),
        2 => any::<usize>().prop_map(Step::LookAway),
        1 => Just(Step::Tidy),
        3 => (any::<usize>(), proptest::collection::vec((any::<bool>(), proptest::option::weighted(0.3, 1..21u8)), 1..8))
            .prop_map(|(which, moves)| Step::Walk(which, moves)),
    ]
}

fn walk<S: Snapshot>(snapshot: &S, moves: &[(bool, Option<u8>)]) -> Vec<Option<(Bytes, Bytes)>> {
    let mut iterator = snapshot.iterator();
    iterator.seek_to_first().unwrap();
    let mut seen = Vec::new();
    for (up, to) in moves {
        match (up, to) {
            (_, Some(20)) if *up => iterator.seek_to_first().unwrap(),
            (_, Some(20)) => iterator.seek_to_last().unwrap(),
            (_, Some(to)) => iterator.seek(&key(*to)).unwrap(),
            (true, None) => iterator.next().unwrap(),
            (false, None) => iterator.prev().unwrap(),
        }
        let value = iterator.value().unwrap();
        for length in [0, HEAD_BYTES, 100, usize::MAX] {
            let head = value.as_ref().map(|value| value.slice(..length.min(value.len())));
            assert_eq!(iterator.head(length).unwrap(), head);
        }
        assert_eq!(iterator.value_length(), value.as_ref().map(Bytes::len));
        seen.push(iterator.key().cloned().zip(value));
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Memtables that are full, being written and gone, tables and merges: none of it shows, in no view.
    #[test]
    fn the_disk_engine_answers_as_the_one_in_memory(steps in proptest::collection::vec(step(), 1..120)) {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        // A memtable of a dozen entries.
        let options = DiskOptions { memtable_bytes: 2_000, ..DiskOptions::default() };
        let (disk, memory) = (DiskDatabase::open(directory.path(), options.clone()).unwrap(), MemoryDatabase::new());
        // While there is none, the disk engine keeps less.
        let mut views = Vec::new();
        for step in steps {
            match step {
                Step::Write(changes) => {
                    let mut batch = WriteBatch::default();
                    for (number, value) in changes {
                        match value {
                            // Some are large enough to stay in the journal.
                            Some(value) => batch.put(key(number), vec![number; usize::from(value) % 20_000]),
                            None => batch.delete(key(number)),
                        }
                    }
                    disk.write(batch.clone()).unwrap();
                    memory.write(batch).unwrap();
                }
                Step::Look => views.push((disk.snapshot().unwrap(), memory.snapshot().unwrap())),
                Step::LookAway(which) if !views.is_empty() => drop(views.swap_remove(which % views.len())),
                Step::LookAway(_) => {}
                Step::Tidy => disk.maintain().unwrap(),
                Step::Walk(which, moves) => {
                    let now = (disk.snapshot().unwrap(), memory.snapshot().unwrap());
                    let (disk, memory) = views.get(which % (views.len() + 1)).unwrap_or(&now);
                    prop_assert_eq!(walk(disk, &moves), walk(memory, &moves));
                }
            }
        }
        for (disk, memory) in &views {
            for number in 1..20 {
                prop_assert_eq!(disk.get(&key(number)).unwrap(), memory.get(&key(number)).unwrap());
            }
        }
        drop((views, disk));
        let disk = DiskDatabase::open(directory.path(), options).unwrap();
        let all: Vec<_> = (0..20).map(|_| (true, None)).collect();
        prop_assert_eq!(walk(&disk.snapshot().unwrap(), &all), walk(&memory.snapshot().unwrap(), &all));
    }
}
