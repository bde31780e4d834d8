//! What a replica keeps for consensus on updates, over both engines: accepted records, its mark, its configuration.

use abd::{
    Acceptance, AcceptedRecord, Ballot, Content, Deadline, Proposal, StampedValue, Timestamp, Unit, Version,
    WriteGroup,
};
use bytes::Bytes;
use std::sync::Arc;
use store::space::Space;
use store::{
    Database, DatabaseError, DatabaseIterator, DiskDatabase, DiskOptions, MemoryDatabase, MultiVersionStore,
    Puts, Snapshot, WriteBatch, key,
};

fn version(time: u64) -> Version {
    Version::of_write(Timestamp { time, node: 1, boot: 1 })
}

fn value(bytes: usize) -> Content {
    Content::Value(vec![7; bytes].into())
}

fn stamped(time: u64, content: Content) -> StampedValue {
    StampedValue::plain(version(time), content)
}

fn record(base: Version, round: u64, content: Content) -> AcceptedRecord {
    let ballot = Ballot { epoch: 1, round, node: 2, boot: 3 };
    let proposal = Proposal { update: ballot.update(), content, deadline: Deadline(round) };
    AcceptedRecord { base, acceptance: Acceptance { ballot, proposal } }
}

fn put(key: impl Into<Bytes>, time: u64) -> Unit {
    Unit::Version { key: key.into(), stamped: stamped(time, value(20)) }
}

fn accept(key: impl Into<Bytes>, base: Option<u64>, record: AcceptedRecord) -> Unit {
    let base = base.map(|time| Box::new(stamped(time, value(20))));
    Unit::Acceptance { key: key.into(), base, record: Box::new(record) }
}

fn close(key: impl Into<Bytes>, time: u64) -> Unit {
    Unit::Closing { key: key.into(), stamped: stamped(time, value(20)) }
}

fn commit(store: &MultiVersionStore<impl Database>, units: &[Unit]) {
    let mut puts = Puts::default();
    units.iter().for_each(|unit| puts.push(unit));
    store.commit_puts(&puts).unwrap();
}

/// What is in the space of records, alive or not.
fn stored_records(database: &impl Database) -> Vec<Bytes> {
    let mut iterator = database.snapshot().unwrap().iterator();
    iterator.seek_to_first().unwrap();
    let mut found = Vec::new();
    while let Some(key) = iterator.key().cloned() {
        if Space::of(&key) == Space::Accepted {
            found.push(key);
        }
        iterator.next().unwrap();
    }
    found
}

fn over<D: Database>(database: D) -> MultiVersionStore<D> {
    MultiVersionStore::new(database, 1 << 20).unwrap()
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn restarted<D: Database>(
    store: MultiVersionStore<Arc<D>>,
    reopen: &dyn Fn(Arc<D>) -> Arc<D>,
) -> MultiVersionStore<Arc<D>> {
    let database = store.database().clone();
    drop(store);
    over(reopen(database))
}

/// What an engine in the background at once, and a start.
type Rewrite<'a, D> = (&'a dyn Fn(&D), &'a dyn Fn(Arc<D>) -> Arc<D>);

fn records_live_from_an_acceptance_to_its_end<D: Database>(
    database: Arc<D>,
    (merge, reopen): Rewrite<'_, D>,
) {
    let store = over(database);
    let long = Bytes::from(vec![b'k'; 70_000]);
    let keys = || [Bytes::new(), "key".into(), "k\0\0".into(), long.clone()];
    let sizes = [0, 100, 5_000, 70_000];
    // With their base and without it; some are large, some of keys that are hashed, some of keys that nobody wrote.
    for (key, size) in keys().into_iter().zip(sizes) {
        commit(&store, &[accept(key.clone(), Some(5), record(version(5), 1, value(size)))]);
        commit(&store, &[accept(key, None, record(version(5), 2, value(size)))]);
    }
    commit(&store, &[accept("never", None, record(Version::MIN, 3, Content::Tombstone))]);
    let expected = |ends: bool| {
        let mut expected: Vec<_> = keys()
            .into_iter()
            .zip(sizes)
            .filter(|(key, _)| !ends || key.len() < 10)
            .map(|(key, size)| (key, record(version(5), 2, value(size))))
            .collect();
        expected.push(("never".into(), record(Version::MIN, 3, Content::Tombstone)));
        expected.sort_by_key(|(key, _)| (key.len() > 60_000, key.clone()));
        expected
    };
    assert_eq!(store.records().unwrap(), expected(false));
    merge(store.database());
    assert_eq!(store.records().unwrap(), expected(false), "a merge takes none for a version");
    // Tables do not tell records that are alive from versions.
    assert!((4..=4 + 5).contains(&store.keys_estimate()));
    let store = restarted(store, reopen);
    assert_eq!(store.records().unwrap(), expected(false));
    // They are not seen as versions.
    let scanned = store.scan_versions(b"", 100).unwrap();
    assert_eq!(scanned.iter().map(|(key, ..)| key.clone()).collect::<Vec<_>>(), keys_in_order(&keys()));
    assert_eq!(store.walk(None, None, 100, usize::MAX).unwrap().entries.len(), 4);
    for key in keys() {
        assert_eq!(store.newest(&key).unwrap().stamped, stamped(5, value(20)));
    }
    assert_eq!(store.newest(b"never").unwrap().stamped, StampedValue::NEVER);
    // One ends; that is not undone by a merge or a start.
    commit(&store, &[close(long.clone(), 6)]);
    for round in 0..3 {
        assert_eq!(store.records().unwrap(), expected(true), "{round}");
        merge(store.database());
    }
    assert_eq!(stored_records(store.database()).len(), 4);
    let store = restarted(store, reopen);
    assert_eq!(store.records().unwrap(), expected(true));
}

fn keys_in_order(keys: &[Bytes]) -> Vec<Bytes> {
    let mut keys = keys.to_vec();
    keys.sort_by_key(|key| (key.len() > 60_000, key.clone()));
    keys
}

fn the_last_change_to_a_record_in_a_batch_counts<D: Database>(database: Arc<D>, (merge, _): Rewrite<'_, D>) {
    let store = over(database);
    let first = || accept("k", Some(5), record(version(5), 1, value(1)));
    let second = || accept("k", None, record(version(5), 2, value(2)));
    commit(&store, &[first(), second()]);
    assert_eq!(store.records().unwrap(), [("k".into(), record(version(5), 2, value(2)))]);
    commit(&store, &[second(), close("k", 6)]);
    assert_eq!(store.records().unwrap(), []);
    // After the end of one comes the next.
    commit(&store, &[close("k", 7), accept("k", None, record(version(7), 9, value(3)))]);
    assert_eq!(store.records().unwrap(), [("k".into(), record(version(7), 9, value(3)))]);
    // Of versions the newest counts, wherever it stands.
    commit(&store, &[close("k", 9), put("k", 8), accept("k", None, record(version(9), 10, value(4)))]);
    merge(store.database());
    assert_eq!(store.newest(b"k").unwrap().stamped.version, version(9));
    assert_eq!(store.records().unwrap(), [("k".into(), record(version(9), 10, value(4)))]);
}

fn dead_records_are_taken_away_and_lone_ones_are_damage<D: Database>(database: Arc<D>, _: Rewrite<'_, D>) {
    let store = over(database);
    // Durable together with a newer version: dead on arrival. The base stays behind.
    commit(&store, &[put("dead", 6), accept("dead", Some(5), record(version(5), 1, value(1)))]);
    commit(&store, &[accept("alive", Some(5), record(version(5), 1, value(1)))]);
    commit(&store, &[accept("late", Some(5), record(version(5), 1, value(1)))]);
    commit(&store, &[put("late", 6)]);
    assert_eq!(stored_records(store.database()).len(), 3);
    assert_eq!(store.records().unwrap(), [("alive".into(), record(version(5), 1, value(1)))]);
    assert_eq!(stored_records(store.database()), [key::of_record(b"alive")]);
    // A base that is not there any more.
    store.database().delete(key::encode(b"alive", version(5))).unwrap();
    let store = MultiVersionStore::new(store.database().clone(), 0).unwrap();
    assert!(matches!(store.records(), Err(DatabaseError::Damaged(why)) if why.contains("is gone")));
}

fn the_mark_only_rises<D: Database>(database: Arc<D>, (merge, reopen): Rewrite<'_, D>) {
    let ballot = |round| Ballot { epoch: 1, round, node: 9, boot: 1 };
    let store = over(database);
    assert_eq!(store.mark(), Ballot::MIN);
    commit(&store, &[Unit::Mark(ballot(5)), put("k", 1), Unit::Mark(ballot(7)), Unit::Mark(ballot(6))]);
    assert_eq!(store.mark(), ballot(7));
    commit(&store, &[Unit::Mark(ballot(3))]);
    assert_eq!((store.mark(), over(store.database().clone()).mark()), (ballot(7), ballot(7)));
    merge(store.database());
    assert_eq!(store.keys_estimate(), 1, "it is no key");
    let store = restarted(store, reopen);
    assert_eq!(store.mark(), ballot(7));
    commit(&store, &[Unit::Mark(ballot(8))]);
    merge(store.database());
    assert_eq!((store.keys_estimate(), restarted(store, reopen).mark()), (1, ballot(8)));
}

/// C1: the configuration that was queued last, byte for byte, whatever its bytes.
fn the_last_configuration_is_there<D: Database>(database: Arc<D>, (merge, reopen): Rewrite<'_, D>) {
    let ballot = Ballot { epoch: 2, round: 9, node: 9, boot: 1 };
    let configuration = |bytes: &[u8]| Unit::Configuration(Bytes::copy_from_slice(bytes));
    let store = over(database);
    assert_eq!(store.configuration(), None);
    commit(&store, &[configuration(b"one"), put("k", 1), Unit::Mark(ballot), configuration(b"two")]);
    assert_eq!((store.configuration(), store.mark()), (Some("two".into()), ballot));
    assert_eq!(over(store.database().clone()).configuration(), store.configuration());
    // The one that comes later counts, not the larger one; and one that stays in the log.
    let large = vec![0xff; 5_000];
    for bytes in [&b"three"[..], b"", b"\xfe", &large] {
        commit(&store, &[configuration(bytes)]);
        merge(store.database());
        assert_eq!(store.configuration().unwrap(), bytes);
        // These keys and bytes are on disks: they stay what they are.
        assert_eq!(store.database().get(b"\x05configuration").unwrap().unwrap(), bytes);
    }
    let store = restarted(store, reopen);
    assert_eq!(store.configuration().unwrap(), large);
    assert_eq!(store.mark(), ballot);
    assert_eq!(store.scan_versions(b"", 10).unwrap().len(), 1, "it is no key");
}

fn suite<D: Database>(make: impl Fn() -> Arc<D>, rewrite: Rewrite<'_, D>) {
    records_live_from_an_acceptance_to_its_end(make(), rewrite);
    the_last_change_to_a_record_in_a_batch_counts(make(), rewrite);
    dead_records_are_taken_away_and_lone_ones_are_damage(make(), rewrite);
    the_mark_only_rises(make(), rewrite);
    the_last_configuration_is_there(make(), rewrite);
}

/// Writes as much as makes it worth while, leaves nothing of that, and has all tables merged.
fn merge(database: &DiskDatabase) {
    let mut batch = WriteBatch::default();
    batch.put(&b"\x09much"[..], vec![7; 300 << 10]);
    batch.delete(&b"\x09much"[..]);
    database.write(batch).unwrap();
    database.maintain().unwrap();
}

/// Most records begin and end in one memtable.
#[test]
fn of_records_that_come_and_go_nothing_is_left_in_tables_and_none_is_counted_as_a_key() {
    let root = directory();
    let open = || over(Arc::new(DiskDatabase::open(root.path(), DiskOptions::default()).unwrap()));
    let keys = || (0..1_000u16).map(|number| Bytes::copy_from_slice(&number.to_be_bytes()));
    let accept_all = |store: &MultiVersionStore<_>, time: u64| {
        let accept = |key| accept(key, Some(time), record(version(time), time, value(40)));
        commit(store, &keys().map(accept).collect::<Vec<_>>());
    };
    let close_all = |store: &MultiVersionStore<_>, time| {
        commit(store, &keys().map(|key| close(key, time)).collect::<Vec<_>>());
    };
    let store = open();
    accept_all(&store, 1);
    close_all(&store, 2);
    assert_eq!(store.keys_estimate(), 1_000);
    drop(store);
    // A start writes tables.
    let store = open();
    assert_eq!(store.keys_estimate(), 1_000);
    accept_all(&store, 3);
    drop(store);
    let store = open();
    assert_eq!(store.records().unwrap().len(), 1_000);
    close_all(&store, 4);
    drop(store);
    let store = open();
    assert_eq!(
        store.keys_estimate(),
        3_000,
        "versions are in three tables, and the ends of records are in the last one"
    );
    assert_eq!((store.records().unwrap().len(), stored_records(store.database()).len()), (0, 0));
    merge(store.database());
    assert_eq!(store.keys_estimate(), 1_000, "merged");
}

#[test]
fn p2_p7_memory_keeps_records_and_the_mark() {
    suite(|| Arc::new(MemoryDatabase::new()), (&MemoryDatabase::merge, &|database| database));
}

#[test]
fn p2_p7_the_disk_keeps_records_and_the_mark() {
    let root = directory();
    let open = |path: &std::path::Path| {
        let options = DiskOptions { memtable_bytes: 20_000, ..DiskOptions::default() };
        Arc::new(DiskDatabase::open(path, options).unwrap())
    };
    let path = std::cell::RefCell::new(root.path().join("0"));
    let make = || {
        let next = root.path().join((std::fs::read_dir(root.path()).unwrap().count()).to_string());
        path.replace(next);
        open(&path.borrow())
    };
    let reopen = |database: Arc<DiskDatabase>| {
        let weak = Arc::downgrade(&database);
        drop(database);
        // Nobody else has it.
        assert!(weak.upgrade().is_none());
        open(&path.borrow())
    };
    suite(make, (&merge, &reopen));
}
