//! Directories of each stable format, as a release of that time has left them: what was in them is there, and they go on.
//!
//! A fixture is a directory in one file ([`packed::pack`]). That of the format of this release is written anew by
//! `cargo test -p store --test formats -- --ignored`; this is for a format that no release has had yet. Those of releases stay what
//! they are.

mod packed;

use abd::{
    Acceptance, AcceptedRecord, Ballot, Content, Deadline, Proposal, StampedValue, Timestamp, Unit, UpdateId,
    Version, WriteGroup,
};
use bytes::Bytes;
use packed::{pack, unpack};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::files::System;
use store::{
    Database, DatabaseError, DiskDatabase, DiskOptions, MultiVersionStore, Puts, Watermark, WriteBatch,
};

const MARK: &[u8] = b"the mark of its owner";

fn fixture(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/format-{format}"))
}

fn open(directory: &Path) -> Result<MultiVersionStore<Arc<DiskDatabase>>, DatabaseError> {
    let path = directory.join("watermark");
    let watermark = match Watermark::open(&System, &path) {
        Ok((watermark, found)) => {
            assert_eq!(found.unwrap().1, MARK);
            watermark
        }
        Err(_) => Watermark::create(&System, &path, 0, MARK).unwrap(),
    };
    let options = DiskOptions { watermark: Some(Arc::new(watermark)), ..DiskOptions::default() };
    MultiVersionStore::new(Arc::new(DiskDatabase::open(directory.join("db"), options)?), 1 << 20)
}

fn version(time: u64, rmwc: u64) -> Version {
    Version { timestamp: Timestamp { time, node: 2, boot: 3 }, rmwc }
}

fn value(byte: u8, size: usize) -> Content {
    Content::Value(vec![byte; size].into())
}

fn long_key() -> Bytes {
    vec![b'k'; 64 << 10].into()
}

fn accepted(base: Version, content: Content) -> AcceptedRecord {
    let ballot = Ballot { epoch: 1, round: 900, node: 3, boot: 4 };
    let update = UpdateId { round: 800, node: 1, boot: 2 };
    AcceptedRecord {
        base,
        acceptance: Acceptance { ballot, proposal: Proposal { update, content, deadline: Deadline(77) } },
    }
}

/// What the fixture of format 1 has: versions by key.
fn versions() -> Vec<(Bytes, StampedValue)> {
    let update = UpdateId { round: 70, node: 3, boot: 1 };
    let updated = |version, content| StampedValue { version, content, deadline: Deadline::NONE, update };
    let expires = |stamped| StampedValue { deadline: Deadline(1_900_000_000_000), ..stamped };
    let mut versions = vec![
        (Bytes::new(), StampedValue::plain(version(1, 0), value(b'e', 10))),
        ("deleted".into(), StampedValue::plain(version(2, 0), Content::Tombstone)),
        ("expires".into(), expires(StampedValue::plain(version(3, 0), value(b'x', 100)))),
        ("held".into(), StampedValue::plain(version(4, 0), value(b'h', 100))),
        ("large".into(), expires(updated(version(5, 1), value(b'l', 9_000)))),
        ("taken".into(), updated(version(6, 3), Content::Tombstone)),
        ("updated".into(), updated(Version { rmwc: 1, ..Version::MIN }, value(b'u', 0))),
        ("zeros\0\0".into(), updated(version(7, 2), value(0, 600))),
    ];
    versions.extend((0..40_u8).map(|number| {
        (Bytes::from(format!("~{number:02}")), StampedValue::plain(version(50, 0), value(number, 30)))
    }));
    versions.push((long_key(), expires(StampedValue::plain(version(8, 0), value(b'v', 3_000)))));
    versions
}

fn records() -> Vec<(Bytes, AcceptedRecord)> {
    vec![
        ("held".into(), accepted(version(4, 0), Content::Tombstone)),
        ("large".into(), accepted(version(5, 1), value(b'a', 5_000))),
        ("never".into(), accepted(Version::MIN, value(b'n', 1))),
        (long_key(), accepted(version(8, 0), value(b'w', 10))),
    ]
}

fn mark() -> Ballot {
    Ballot { epoch: 1, round: 1 << 20, node: u32::MAX, boot: u32::MAX }
}

fn commit(store: &MultiVersionStore<impl Database>, units: impl IntoIterator<Item = Unit>) {
    let mut puts = Puts::default();
    units.into_iter().for_each(|unit| puts.push(&unit));
    store.commit_puts(&puts).unwrap();
}

/// A part of it in merged tables, a part in a table of its own, the last batches in the log, with large values in all.
fn write(directory: &Path) {
    let store = open(directory).unwrap();
    let older = |(key, stamped): (Bytes, StampedValue)| {
        let older = StampedValue::plain(version(stamped.version.time() / 2, 0), value(b'o', 40));
        Unit::Version { key, stamped: if older.version.time() == 0 { stamped } else { older } }
    };
    commit(&store, versions().into_iter().map(older));
    let base = |key: &Bytes| versions().into_iter().find(|(of, _)| of == key).map(|(_, base)| Box::new(base));
    let accept = |(key, record): (Bytes, AcceptedRecord)| Unit::Acceptance {
        base: base(&key),
        record: Box::new(record),
        key,
    };
    let lost = accepted(version(7, 1), value(b'?', 50));
    commit(
        &store,
        [
            Unit::Mark(mark()),
            Unit::Acceptance { key: "zeros\0\0".into(), base: None, record: Box::new(lost) },
        ],
    );
    commit(&store, records().into_iter().take(2).map(accept));
    // So much is worth a merge, and is gone after it.
    let mut batch = WriteBatch::default();
    batch.put(&b"\x09much"[..], vec![7; 300 << 10]);
    batch.delete(&b"\x09much"[..]);
    store.database().write(batch).unwrap();
    store.database().maintain().unwrap();
    let half = versions().len() / 2;
    commit(&store, versions().into_iter().take(half).map(|(key, stamped)| Unit::Closing { key, stamped }));
    // What was in the log goes to a table.
    drop(store);
    let store = open(directory).unwrap();
    commit(&store, versions().into_iter().skip(half).map(|(key, stamped)| Unit::Version { key, stamped }));
    commit(&store, records().into_iter().map(accept));
}

fn check(store: &MultiVersionStore<impl Database>) {
    for (key, expected) in versions() {
        assert_eq!(store.newest(&key).unwrap().stamped, expected, "{key:?}");
    }
    assert_eq!(store.newest(b"never").unwrap().stamped, StampedValue::NEVER);
    let listed = store.scan_versions(b"", 1_000).unwrap();
    let expected = |(key, stamped): (Bytes, StampedValue)| (key, stamped.version, stamped.content.is_value());
    assert_eq!(listed, versions().into_iter().map(expected).collect::<Vec<_>>());
    assert_eq!(store.records().unwrap(), records());
    assert_eq!(store.mark(), mark());
}

#[test]
fn what_was_packed_is_unpacked() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(from.path().join("a")).unwrap();
    let mixed: Vec<u8> =
        (0..5_000_u32).map(|at| if at % 2_000 < 1_100 { 0 } else { at.to_le_bytes()[0] }).collect();
    for (name, bytes) in
        [("a/b", vec![]), ("a/c", vec![0; 1_000_000]), ("a/d", mixed.clone()), ("e", vec![9; 511])]
    {
        std::fs::write(from.path().join(name), bytes).unwrap();
    }
    let packed = pack(from.path());
    assert!(packed.len() < mixed.len() + 2_000, "{}", packed.len());
    unpack(&packed, to.path());
    assert_eq!(pack(to.path()), packed);
    assert_eq!(std::fs::read(to.path().join("a/d")).unwrap(), mixed);
    assert_eq!(std::fs::read(to.path().join("a/c")).unwrap(), vec![0; 1_000_000]);
}

#[test]
fn format_1_is_read_and_goes_on() {
    let packed = std::fs::read(fixture(1)).unwrap();
    assert!(packed.len() < 100_000, "{}", packed.len());
    let directory = tempfile::tempdir().unwrap();
    unpack(&packed, directory.path());
    let format = std::fs::read_to_string(directory.path().join("db/format")).unwrap();
    assert!(format.starts_with("Atomic KV database, format 1,"), "{format}");
    let store = open(directory.path()).unwrap();
    check(&store);
    // It goes on: a record ends, and a start finds everything else.
    let newer = StampedValue::plain(version(9, 0), value(b'9', 10));
    commit(&store, [Unit::Closing { key: "never".into(), stamped: newer.clone() }]);
    drop(store);
    let store = open(directory.path()).unwrap();
    assert_eq!(store.newest(b"never").unwrap().stamped, newer);
    let left: Vec<_> = records().into_iter().filter(|(key, _)| key != "never").collect();
    assert_eq!(store.records().unwrap(), left);
}

/// A directory from before the first stable format has no number.
#[test]
fn a_directory_without_a_format_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    unpack(&std::fs::read(fixture(1)).unwrap(), directory.path());
    std::fs::remove_file(directory.path().join("db/format")).unwrap();
    let before = pack(directory.path());
    let Err(DatabaseError::Format(why)) = open(directory.path()) else { panic!("it is opened") };
    assert!(why.contains("db/format is missing") && why.contains("development version"), "{why}");
    assert_eq!(pack(directory.path()), before);
}

#[test]
#[ignore = "it writes the fixture anew, and the one that is kept is what shows that earlier directories are read"]
fn write_the_fixture() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path());
    let path = fixture(1);
    std::fs::write(&path, pack(directory.path())).unwrap();
    let copy = tempfile::tempdir().unwrap();
    unpack(&std::fs::read(&path).unwrap(), copy.path());
    check(&open(copy.path()).unwrap());
}
