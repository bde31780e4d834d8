use super::*;
use crate::damage::{DamagedParts, Guarded};
use crate::database::Change;
use crate::memory::{MemoryDatabase, MemoryIterator, MemorySnapshot};
use crate::versions::Puts;
use abd::{
    Acceptance, AcceptedRecord, Ballot, Content, Deadline, Proposal, StampedValue, Timestamp, Unit,
    WriteGroup,
};
use std::sync::{Arc, Mutex};

const OLD: DirectoryId = [1; 16];
const NEW: DirectoryId = [2; 16];

/// A database that loses parts, and what is in them.
#[derive(Default)]
struct Losing {
    memory: MemoryDatabase,
    lost: Mutex<(DamagedParts, Option<(DirectoryId, DamagedParts)>)>,
}

struct LosingSnapshot(MemorySnapshot, Arc<DamagedParts>);

impl Losing {
    fn lose(&self, part: Part) {
        let mut iterator = self.memory.snapshot().unwrap().iterator();
        iterator.seek(&part.from).unwrap();
        while let Some(key) = iterator.key().filter(|key| **key < part.to).cloned() {
            self.memory.apply(WriteBatch { changes: vec![Change::Delete(key)], ..WriteBatch::default() });
            iterator.next().unwrap();
        }
        self.lost.lock().unwrap().0.add(part);
    }
}

impl Database for Losing {
    type Snapshot = LosingSnapshot;

    fn write(&self, batch: WriteBatch) -> Result<(), DatabaseError> {
        self.memory.write(batch)
    }

    fn snapshot(&self) -> Result<LosingSnapshot, DatabaseError> {
        Ok(LosingSnapshot(self.memory.snapshot()?, self.lost()))
    }

    fn keys_estimate(&self) -> u64 {
        self.memory.keys_estimate()
    }

    fn lost(&self) -> Arc<DamagedParts> {
        let (mut all, healing) = self.lost.lock().unwrap().clone();
        healing.iter().flat_map(|(_, parts)| parts.iter()).for_each(|part| all.add(part.clone()));
        Arc::new(all)
    }

    fn begin_healing(&self, directory: DirectoryId) -> Result<(), DatabaseError> {
        let all = self.lost();
        *self.lost.lock().unwrap() = (DamagedParts::default(), Some((directory, (*all).clone())));
        Ok(())
    }

    fn being_healed(&self, directory: DirectoryId) -> Option<Vec<Part>> {
        let lost = self.lost.lock().unwrap();
        lost.1.as_ref().filter(|(id, _)| *id == directory).map(|(_, parts)| parts.to_vec())
    }

    fn forget_healed(&self, directory: DirectoryId) -> Result<(), DatabaseError> {
        self.lost.lock().unwrap().1.take_if(|(id, _)| *id == directory);
        Ok(())
    }
}

impl Snapshot for LosingSnapshot {
    type Iterator = Guarded<MemoryIterator>;

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DatabaseError> {
        self.1.check(key)?;
        self.0.get(key)
    }

    fn iterator(&self) -> Guarded<MemoryIterator> {
        Guarded::new(self.0.iterator(), self.1.clone())
    }

    fn lost(&self) -> Arc<DamagedParts> {
        self.1.clone()
    }

    fn stored(&self) -> Guarded<MemoryIterator> {
        Guarded::new(self.0.iterator(), Arc::default())
    }
}

type Store = MultiVersionStore<Arc<Losing>>;

fn open(database: &Arc<Losing>) -> Store {
    MultiVersionStore::with_seed(database.clone(), 0, 0).unwrap()
}

fn stamped(time: u64) -> StampedValue {
    let version = Version::of_write(Timestamp { time, node: 1, boot: 1 });
    StampedValue::plain(version, Content::Value(format!("value {time}").into()))
}

fn put(key: &'static str, time: u64) -> Unit {
    Unit::Version { key: key.into(), stamped: stamped(time) }
}

fn accept(key: &'static str, base: Version) -> Unit {
    let ballot = Ballot { epoch: 1, round: 5, node: 1, boot: 1 };
    let proposal =
        Proposal { update: ballot.update(), content: Content::Tombstone, deadline: Deadline::NONE };
    let record = Box::new(AcceptedRecord { base, acceptance: Acceptance { ballot, proposal } });
    Unit::Acceptance { key: key.into(), base: None, record }
}

fn commit(store: &Store, units: &[Unit]) {
    let mut puts = Puts::default();
    units.iter().for_each(|unit| puts.push(unit));
    store.commit_puts(&puts).unwrap();
}

fn abstains(store: &Store, key: &str) -> bool {
    matches!(store.newest(key.as_bytes()), Err(DatabaseError::Unreadable { .. }))
}

fn range(after: &'static str, up_to: &'static str) -> KeyRange {
    KeyRange { after: Some(after.into()), up_to: Some(up_to.into()) }
}

fn versions_of(after: &'static str, up_to: &'static str) -> Part {
    range(after, up_to).of_versions()
}

/// S3: what comes back is stored, and is an answer when the directory has the id for which it was brought.
#[test]
fn s3_what_was_lost_is_an_answer_again_under_the_id_for_which_it_was_healed() {
    let database = Arc::new(Losing::default());
    let store = open(&database);
    commit(&store, &["a", "c", "e", "g"].map(|key| put(key, 5)));
    assert!(!store.has_lost() && store.is_whole(&KeyRange::ALL) && store.lost_ranges().is_empty());
    database.lose(versions_of("b", "d"));
    assert!(store.has_lost() && !store.is_whole(&KeyRange::ALL));
    assert_eq!(store.lost_ranges(), [range("b", "d")]);
    assert!(
        !store.is_whole(&range("c", "c\0"))
            && store.is_whole(&range("d", "z"))
            && store.is_whole(&range("a", "b"))
    );
    store.begin_healing(NEW).unwrap();
    // Something more is lost while that comes back.
    commit(&store, &[put("c", 7)]);
    database.lose(versions_of("f", "h"));
    let restarted = open(&database);
    for store in [&store, &restarted] {
        assert!(abstains(store, "c") && abstains(store, "g") && !abstains(store, "a"));
        assert_eq!(store.forget_lost(OLD), Ok(false));
        assert!(abstains(store, "c"));
    }
    assert_eq!(restarted.forget_lost(NEW), Ok(true));
    assert_eq!(restarted.newest(b"c").unwrap().stamped, stamped(7));
    assert!(abstains(&restarted, "g") && restarted.has_lost());
    assert_eq!(restarted.lost_ranges(), [range("f", "h")]);
    assert_eq!(restarted.forget_lost(NEW), Ok(false), "there is nothing more");
}

/// P5, P7: the mark and what was accepted are in doubt no more; what nobody has is not found again.
#[test]
fn s3_after_healing_no_record_is_without_its_base_and_no_mark_is_in_doubt() {
    let database = Arc::new(Losing::default());
    let store = open(&database);
    let ballot = |round| Ballot { epoch: 1, round, node: 1, boot: 1 };
    commit(&store, &[Unit::Mark(ballot(9)), Unit::Configuration("one".into())]);
    commit(&store, &["a", "b", "c"].map(|key| put(key, 5)));
    commit(&store, &["a", "b", "c"].map(|key| accept(key, stamped(5).version)));
    database.lose(versions_of("a", "c"));
    database.lose(range("b", "z").of_records());
    database.lose(Part { from: Bytes::from_static(&[5]), to: Bytes::from_static(&[6]) });
    let store = open(&database);
    assert!(store.configuration().is_none());
    assert!(store.records().unwrap().is_empty() && ["a", "b", "c"].iter().all(|key| abstains(&store, key)));
    assert_eq!(store.lost_ranges(), [KeyRange::ALL], "nobody knows what was promised");
    store.begin_healing(NEW).unwrap();
    // The base of b's record was on no majority, the one of c's was.
    commit(&store, &[put("b", 4), put("c", 5), Unit::Configuration("two".into()), Unit::Mark(ballot(7))]);
    // It ends in between, and does the rest when it starts again.
    drop(store);
    let check = |store: Store| {
        assert!(!store.has_lost() && store.mark() == ballot(7));
        assert_eq!(store.configuration().unwrap(), "two");
        let alive: Vec<Bytes> = store.records().unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(alive, ["a"], "of c's record nothing is left, of b's nobody has the base");
        assert_eq!(store.newest(b"b").unwrap().stamped, stamped(4));
    };
    let store = open(&database);
    assert_eq!((store.configuration(), store.forget_lost(NEW)), (None, Ok(true)));
    check(store);
    check(open(&database));
}

/// S3: what the disk has lost is not here, however well it is remembered: a sync would be told that it need not be stored. What did not
/// come back is remembered no more.
#[test]
fn s3_what_is_lost_is_not_remembered() {
    let database = Arc::new(Losing::default());
    let store = MultiVersionStore::with_seed(database.clone(), 1 << 20, 0).unwrap();
    commit(&store, &["a", "b", "c"].map(|key| put(key, 5)));
    let remembers = |key: &str| store.remembered_above(key.as_bytes(), Version::MAX).is_some();
    assert!(["a", "b", "c"].iter().all(|key| !abstains(&store, key) && remembers(key)));
    database.lose(versions_of("a", "c"));
    assert!(remembers("a") && !remembers("b") && !remembers("c") && abstains(&store, "b"));
    store.begin_healing(NEW).unwrap();
    commit(&store, &[put("b", 5)]);
    assert!(!remembers("b") && abstains(&store, "b"), "not before it is healed");
    assert_eq!(store.forget_lost(NEW), Ok(true));
    assert_eq!(store.newest(b"b").unwrap().stamped, stamped(5));
    assert_eq!(store.newest(b"c").unwrap().stamped.version, Version::MIN);
}
