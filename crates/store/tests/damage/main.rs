//! Bits that flip in the files of a database (rule S3): what cannot be read is said to be unreadable, all else is right.

#![expect(clippy::disallowed_methods, reason = "tests wait, on threads of their own")]

use abd::{Content, StampedValue, Timestamp, Version};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use store::{
    Database, DatabaseError, DiskDatabase, DiskOptions, MultiVersionStore, Trust, WalkLimits, WriteBatch,
};

mod healing;
mod records;
mod scrub;

const KEYS: u64 = 300;

fn key(number: u64) -> Bytes {
    format!("key {number:04}").into()
}

fn stamped(time: u64, bytes: usize) -> StampedValue {
    let version = Version::of_write(Timestamp { time, node: 1, boot: 1 });
    StampedValue::plain(version, Content::Value(vec![u8::try_from(time % 251).unwrap(); bytes].into()))
}

/// Small memtables, so that there are several tables.
fn options() -> DiskOptions {
    DiskOptions { memtable_bytes_max: 64 << 10, ..DiskOptions::default() }
}

fn open(path: &Path) -> Result<MultiVersionStore<DiskDatabase>, DatabaseError> {
    MultiVersionStore::new(DiskDatabase::open(path, options())?, 0)
}

type Truth = BTreeMap<Bytes, StampedValue>;

/// A database with old and new versions, merged tables and new ones, small values and large ones, and a rest in the journal.
fn fill(path: &Path) -> Truth {
    let store = open(path).unwrap();
    let mut truth = Truth::new();
    let mut put = |range: std::ops::Range<u64>, time: u64| {
        for number in range {
            let bytes = if number % 25 == 7 { 5_000 } else { 300 };
            let (key, stamped) = (key(number), stamped(time + number, bytes));
            store.commit(&[(key.clone(), stamped.clone())]).unwrap();
            truth.insert(key, stamped);
        }
    };
    put(0..KEYS, 1_000);
    put(100..KEYS, 2_000);
    store.database().maintain().unwrap();
    put(150..220, 3_000);
    drop(store);
    // Opening writes what was in the journal to a table.
    let store = open(path).unwrap();
    let stamped = stamped(9_000, 100);
    store.commit(&[(key(5), stamped.clone())]).unwrap();
    truth.insert(key(5), stamped);
    truth
}

fn files(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

fn flip(file: &Path, bit: u64) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, bit / 8).unwrap();
    byte[0] ^= 1 << (bit % 8);
    file.write_all_at(&byte, bit / 8).unwrap();
}

/// How many keys abstain; all others are right.
fn check(store: &MultiVersionStore<DiskDatabase>, truth: &Truth, what: &str) -> usize {
    let mut unreadable = 0;
    for (key, expected) in truth {
        match store.newest(key) {
            Ok(newest) => assert_eq!(newest.stamped, *expected, "{what}: {key:?}"),
            Err(DatabaseError::Unreadable { .. }) => unreadable += 1,
            Err(why) => panic!("{what}: {key:?}: {why}"),
        }
        // Its version may be known without its content.
        match store.newest_above(key, Version::MAX) {
            Ok(glimpse) => assert_eq!(glimpse.version, expected.version, "{what}: {key:?}"),
            Err(DatabaseError::Unreadable { .. }) => {}
            Err(why) => panic!("{what}: {key:?}: {why}"),
        }
    }
    unreadable
}

/// Pages tell what is right, and of every key that they do not tell, and of all whose newest version may be lost, that they do not.
/// `keys`: at most so many are in a page.
fn check_pages(store: &MultiVersionStore<DiskDatabase>, truth: &Truth, keys: usize) {
    for (keys, trust) in [(usize::MAX, Trust::Whole), (keys, Trust::Whole), (keys, Trust::Stored)] {
        let (mut told, mut abstains, mut after) = (Truth::new(), Vec::new(), None);
        loop {
            let limits = WalkLimits { keys, bytes: usize::MAX };
            let page = store.walk_contents(after.as_deref(), None, limits, trust).unwrap();
            told.extend(page.entries);
            abstains.extend(page.abstains);
            after = page.told_up_to;
            if after.is_none() {
                break;
            }
        }
        for (key, expected) in truth {
            let abstained = abstains.iter().any(|range| range.contains(key));
            match told.get(key) {
                Some(stamped) if trust == Trust::Whole => assert_eq!(stamped, expected, "{key:?}"),
                Some(_) => assert!(!abstained, "{key:?}"),
                None => assert!(abstained || trust == Trust::Stored, "{key:?}"),
            }
            assert!(trust == Trust::Stored || abstained || store.newest(key).is_ok(), "{key:?}");
        }
        assert!(abstains.is_empty() == (trust == Trust::Stored));
        let abstained = truth.keys().filter(|key| abstains.iter().any(|range| range.contains(key))).count();
        assert!(abstained <= 60, "{abstained} of {}", truth.len());
        if trust == Trust::Stored {
            assert!(told.len() > truth.len() - 60);
            assert!(told.iter().all(|(key, stamped)| stamped.version <= truth[key].version));
        }
    }
}

/// Overwrites some keys, so that tables are written and merged.
fn write_more(store: &MultiVersionStore<DiskDatabase>, truth: &mut Truth, time: u64) {
    for number in (0..KEYS).step_by(3) {
        let (key, stamped) = (key(number), stamped(time + number, 200));
        store.commit(&[(key.clone(), stamped.clone())]).unwrap();
        truth.insert(key, stamped);
    }
}

/// Flips bits spread over one file; what they do is found out before and after merges, and after a restart.
fn flip_many(pristine: &Path, truth: &Truth, file: &Path, bits: &[u64]) -> (usize, usize) {
    let (mut refused, mut abstained) = (0, 0);
    for bit in bits {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("database");
        copy(pristine, &path);
        flip(&path.join(file), *bit);
        let what = format!("bit {bit} of {}", file.display());
        let mut truth = truth.clone();
        let store = match open(&path) {
            Ok(store) => store,
            Err(DatabaseError::Damaged(why)) => {
                assert!(why.contains("damaged") || why.contains("batch"), "{what}: {why}");
                refused += 1;
                continue;
            }
            Err(why) => panic!("{what}: {why}"),
        };
        let before = check(&store, &truth, &what);
        // A merge reads everything, so it finds what reads have not found.
        for round in 1..=2 {
            write_more(&store, &mut truth, 10_000 * round);
            store.database().maintain().unwrap_or_else(|why| panic!("{what}: {why}"));
            store.database().write(WriteBatch::default()).unwrap();
        }
        let after = check(&store, &truth, &what);
        drop(store);
        let store = open(&path).unwrap_or_else(|why| panic!("{what}, second start: {why}"));
        let restarted = check(&store, &truth, &what);
        // Before, a table without its index may not be replaced yet.
        assert!(after.max(restarted) <= 60, "{what}: {before}, {after}, {restarted} keys of {KEYS} abstain");
        abstained += after;
    }
    (refused, abstained)
}

fn spread(length: u64, count: u64, seed: u64) -> Vec<u64> {
    let bits = length * 8;
    (0..count)
        .map(|step| (bits * step / count + (seed * 7919 + step * 104_729) % (bits / count).max(1)) % bits)
        .collect()
}

fn relative(path: &Path, file: &Path) -> PathBuf {
    file.strip_prefix(path).unwrap().to_path_buf()
}

#[test]
fn s3_a_bit_of_a_table_costs_the_keys_around_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("database");
    let truth = fill(&path);
    let tables: Vec<PathBuf> = files(&path.join("tables/tables"));
    assert!(tables.len() > 1, "{tables:?}");
    let mut abstained = 0;
    for (seed, table) in (0..).zip(&tables) {
        let length = table.metadata().unwrap().len();
        let mut bits = spread(length, 16, seed);
        // Index, filter, description and trailer are at the end.
        bits.extend(spread(4 << 10, 12, seed).iter().map(|bit| (length - (4 << 10)) * 8 + bit));
        bits.extend([0, 300, length * 8 - 1, length * 8 - 100, length * 8 - 300]);
        let (refused, more) = flip_many(&path, &truth, &relative(&path, table), &bits);
        assert_eq!(refused, 0, "{}", table.display());
        abstained += more;
    }
    assert!(abstained > 0, "no bit has cost anything");
}

#[test]
fn a_bit_of_the_list_of_tables_is_refused_in_little_memory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("database");
    fill(&path);
    let lists = files(&path.join("tables")).into_iter().filter(|file| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        name == "current" || name.starts_with('v')
    });
    let mut looked_at = 0;
    for list in lists {
        let whole = std::fs::read(&list).unwrap();
        for bit in 0..whole.len() as u64 * 8 {
            flip(&list, bit);
            match open(&path).map(drop) {
                Err(DatabaseError::Damaged(why)) => {
                    assert!(why.contains("the list of tables is damaged"), "{why}");
                }
                opened => panic!("bit {bit} of {}: {opened:?}", list.display()),
            }
            flip(&list, bit);
            looked_at += 1;
        }
    }
    assert!(looked_at > 1_000, "{looked_at}");
    open(&path).unwrap();
}

#[test]
fn s3_a_bit_anywhere_else_is_harmless_refused_or_costs_a_large_value() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("database");
    let truth = fill(&path);
    for (seed, file) in (0..).zip(files(&path)) {
        let name = relative(&path, &file);
        let length = file.metadata().unwrap().len();
        if name.starts_with("tables") || length == 0 {
            continue;
        }
        flip_many(&path, &truth, &name, &spread(length, 10, seed));
    }
}

#[test]
fn s3_what_was_lost_is_not_forgotten_and_its_file_is_missed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("database");
    let mut truth = fill(&path);
    let largest =
        files(&path.join("tables/tables")).into_iter().max_by_key(|file| file.metadata().unwrap().len());
    flip(&largest.unwrap(), 400_000);
    let store = open(&path).unwrap();
    let damaged = check(&store, &truth, "damaged");
    assert!(damaged > 0 && damaged < 60, "{damaged}");
    // What is written now is durable, and still no answer: what was lost may be newer.
    write_more(&store, &mut truth, 50_000);
    // A thread of the engine looks into what reads have met.
    for _ in 0..6_000 {
        if store.database().damaged_parts() > 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    store.database().maintain().unwrap();
    assert_eq!(store.database().damaged_parts(), 1);
    assert!(check(&store, &truth, "written again") > 0);
    let listed = store.scan_versions(b"", usize::MAX).unwrap();
    assert!(listed.len() < truth.len() && listed.len() >= truth.len() - 60, "{}", listed.len());
    assert!(listed.iter().all(|(key, version, _)| truth[key].version == *version));
    check_pages(&store, &truth, 2);
    drop(store);
    let lost = path.join("tables/lost");
    std::fs::rename(&lost, path.join("elsewhere")).unwrap();
    let Err(DatabaseError::Damaged(why)) = open(&path).map(drop) else { panic!("nobody misses it") };
    assert!(why.contains("is gone"), "{why}");
    std::fs::rename(path.join("elsewhere"), &lost).unwrap();
    let store = open(&path).unwrap();
    assert_eq!(store.database().damaged_parts(), 1);
    // The damaged file is kept for whoever wants to look into it.
    assert_eq!(files(&path.join("tables/damaged")).len(), 1);
}
