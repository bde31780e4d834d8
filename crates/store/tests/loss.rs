//! Databases that hold less than was acknowledged: gone, brought back from an earlier time, or damaged beyond reading.

use abd::{Ballot, Content, StampedValue, Timestamp, Unit, Version, WriteGroup};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use store::files::System;
use store::{
    DatabaseError, DiskDatabase, DiskOptions, KeyRange, MultiVersionStore, Puts, Trust, WalkLimits, Watermark,
};

const NEW: [u8; 16] = [2; 16];
/// What the identity knows, beside the watermark.
const KNOWN: u64 = 500;

type Store = MultiVersionStore<Arc<DiskDatabase>>;
type Truth = BTreeMap<Bytes, StampedValue>;

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn options(directory: &Path) -> DiskOptions {
    let path = directory.join("watermark");
    let watermark = match Watermark::open(&System, &path) {
        Ok((watermark, _)) => watermark,
        Err(_) => Watermark::create(&System, &path, 0, b"mark").unwrap(),
    };
    DiskOptions { watermark: Some(Arc::new(watermark)), memtable_bytes: 20_000, ..DiskOptions::default() }
}

fn over(database: DiskDatabase) -> Store {
    MultiVersionStore::new(Arc::new(database), 1 << 20).unwrap()
}

fn open(directory: &Path) -> Result<Store, DatabaseError> {
    DiskDatabase::open(directory.join("db"), options(directory)).map(over)
}

fn open_with_loss(directory: &Path) -> Store {
    over(DiskDatabase::open_with_loss(directory.join("db"), options(directory), KNOWN).unwrap())
}

fn write(store: &Store, truth: &mut Truth, times: std::ops::Range<u64>) {
    for time in times {
        let version = Version::of_write(Timestamp { time, node: 1, boot: 1 });
        let size = if time % 10 == 3 { 5_000 } else { 300 };
        let content = Content::Value(vec![u8::try_from(time % 251).unwrap(); size].into());
        let (key, stamped) =
            (Bytes::from(format!("key {:03}", time % 150)), StampedValue::plain(version, content));
        store.commit(&[(key.clone(), stamped.clone())]).unwrap();
        truth.insert(key, stamped);
    }
}

fn commit(store: &Store, unit: &Unit) {
    let mut puts = Puts::default();
    puts.push(unit);
    store.commit_puts(&puts).unwrap();
}

fn mark(round: u64) -> Unit {
    Unit::Mark(Ballot { epoch: 1, round, node: 1, boot: 1 })
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn remove(path: &Path) {
    std::fs::remove_dir_all(path).unwrap();
}

/// Nothing is an answer, whatever is stored; how many keys are.
fn everything_is_lost(store: &Store, truth: &Truth) -> usize {
    assert!(store.has_lost() && store.configuration().is_none() && store.records().unwrap().is_empty());
    assert_eq!(store.lost_ranges(), [KeyRange::ALL]);
    for key in truth.keys() {
        assert!(matches!(store.newest(key), Err(DatabaseError::Unreadable { .. })), "{key:?}");
    }
    let limits = WalkLimits { keys: usize::MAX, bytes: usize::MAX };
    let told = store.walk_contents(None, None, limits, Trust::Whole).unwrap();
    assert_eq!((told.entries.len(), told.abstains), (0, vec![KeyRange::ALL]));
    let stored = store.walk_contents(None, None, limits, Trust::Stored).unwrap();
    assert!(stored.entries.iter().all(|(key, stamped)| stamped.version <= truth[key].version));
    stored.entries.len()
}

/// What others have comes back, with starts in between.
fn heals(directory: &Path, truth: &mut Truth) {
    let store = open_with_loss(directory);
    store.begin_healing(NEW).unwrap();
    let sequence = store.database().sequence();
    for (key, stamped) in truth.iter() {
        store.commit(&[(key.clone(), stamped.clone())]).unwrap();
    }
    commit(&store, &mark(1_000));
    commit(&store, &Unit::Configuration("two".into()));
    assert!(store.database().sequence() > sequence);
    drop(store);
    // As ever: what is acknowledged from now on is there.
    let store = open(directory).unwrap();
    assert!(store.database().sequence() > sequence);
    assert_eq!(everything_is_lost(&store, truth), truth.len());
    assert_eq!(store.forget_lost([7; 16]), Ok(false));
    assert_eq!(store.forget_lost(NEW), Ok(true));
    assert!(!store.has_lost() && store.is_whole(&KeyRange::ALL));
    assert_eq!(store.configuration().unwrap(), "two");
    write(&store, truth, 2_000..2_050);
    store.database().maintain().unwrap();
    drop(store);
    let store = open(directory).unwrap();
    assert!(!store.has_lost() && store.mark().round == 1_000);
    for (key, stamped) in truth.iter() {
        assert_eq!(store.newest(key).unwrap().stamped, *stamped, "{key:?}");
    }
}

/// A directory with something in tables and something in the log, and an earlier copy of its database.
fn fill(directory: &Path) -> Truth {
    let mut truth = Truth::new();
    let store = open(directory).unwrap();
    commit(&store, &Unit::Configuration("one".into()));
    commit(&store, &mark(900));
    write(&store, &mut truth, 1_000..1_100);
    drop(store);
    copy(&directory.join("db"), &directory.join("earlier"));
    let store = open(directory).unwrap();
    write(&store, &mut truth, 1_100..1_200);
    store.database().maintain().unwrap();
    write(&store, &mut truth, 1_200..1_300);
    truth
}

#[test]
fn m1_a_database_that_is_gone_begins_with_everything_lost() {
    let directory = temporary();
    let directory = directory.path();
    let mut truth = fill(directory);
    remove(&directory.join("db"));
    assert!(matches!(open(directory).map(drop), Err(DatabaseError::Damaged(_))));
    // However far an earlier attempt came: nothing, the note alone, or a database that has not said yet who it is.
    for _ in 0..2 {
        let store = open_with_loss(directory);
        assert!(store.database().sequence() >= KNOWN);
        assert_eq!(everything_is_lost(&store, &truth), 0);
    }
    let note = directory.join("db/tables/lost");
    let noted = std::fs::read(&note).unwrap();
    remove(&directory.join("db"));
    std::fs::create_dir_all(note.parent().unwrap()).unwrap();
    std::fs::write(&note, noted).unwrap();
    assert_eq!(everything_is_lost(&open_with_loss(directory), &truth), 0);
    heals(directory, &mut truth);
}

#[test]
fn m1_a_database_from_an_earlier_time_is_a_snapshot_in_which_everything_is_lost() {
    let directory = temporary();
    let directory = directory.path();
    let mut truth = fill(directory);
    remove(&directory.join("db"));
    std::fs::rename(directory.join("earlier"), directory.join("db")).unwrap();
    let Err(DatabaseError::Damaged(why)) = open(directory).map(drop) else { panic!("it is opened") };
    assert!(why.contains("was acknowledged"), "{why}");
    let store = open_with_loss(directory);
    assert!(store.database().sequence() >= KNOWN);
    assert_eq!(everything_is_lost(&store, &truth), 100);
    drop(store);
    // What came before it is a part of it.
    let store = open(directory).unwrap();
    assert_eq!(everything_is_lost(&store, &truth), 100);
    drop(store);
    heals(directory, &mut truth);
}

/// What is damaged is set aside, and as much as can be read stays.
#[test]
fn m1_of_a_damaged_database_stays_what_can_be_read() {
    let flip = |path: &Path, at: usize| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[at] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    type Damage<'a> = &'a dyn Fn(&Path);
    let damages: [(&str, Damage<'_>, bool, &[&str]); 4] = [
        (
            "the log",
            &|db| {
                let segments =
                    std::fs::read_dir(db.join("journal")).unwrap().map(|entry| entry.unwrap().path());
                segments.for_each(|segment| flip(&segment, 700));
            },
            true,
            &["db.damaged-journal"],
        ),
        (
            "the list of tables",
            &|db| flip(&db.join("tables/current"), 3),
            false,
            &["db.damaged", "db.damaged-journal"],
        ),
        (
            "the note of what was lost",
            &|db| std::fs::write(db.join("tables/lost"), "nothing").unwrap(),
            true,
            &[],
        ),
        ("the format", &|db| flip(&db.join("format"), 30), false, &["db.damaged", "db.damaged-journal"]),
    ];
    for (what, damage, is_snapshot, aside) in damages {
        let directory = temporary();
        let directory = directory.path();
        let mut truth = fill(directory);
        damage(&directory.join("db"));
        assert!(matches!(open(directory).map(drop), Err(DatabaseError::Damaged(_))), "{what}");
        let store = open_with_loss(directory);
        assert_eq!(everything_is_lost(&store, &truth) > 0, is_snapshot, "{what}");
        drop(store);
        let mut names: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains("damaged"))
            .collect();
        names.sort();
        assert_eq!(names, aside, "{what}");
        heals(directory, &mut truth);
    }
}
