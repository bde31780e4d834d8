//! Units of consensus: an acceptance with its base, a version with the end of a record, a mark; and a configuration. Whenever the
//! power goes, each is there as a whole or not at all, and what is there is what a replica may have (rules P2', P5, P7).

use super::run::{Model, Run};
use crate::database::{Change, Database, DatabaseError, WriteBatch};
use crate::memory::{MemoryDatabase, MemorySnapshot};
use crate::versions::{MultiVersionStore, Puts};
use abd::{
    Acceptance, AcceptedRecord, Ballot, Content, Deadline, Proposal, StampedValue, Timestamp, Unit, Version,
    WriteGroup,
};
use bytes::Bytes;
use std::sync::Mutex;

/// Remembers the batches that it is given.
#[derive(Default)]
struct Recorder {
    memory: MemoryDatabase,
    batches: Mutex<Vec<Vec<Change>>>,
}

impl Database for Recorder {
    type Snapshot = MemorySnapshot;

    fn write(&self, batch: WriteBatch) -> Result<(), DatabaseError> {
        self.batches.lock().unwrap().push(batch.changes.clone());
        self.memory.write(batch)
    }

    fn snapshot(&self) -> Result<MemorySnapshot, DatabaseError> {
        self.memory.snapshot()
    }

    fn keys_estimate(&self) -> u64 {
        self.memory.keys_estimate()
    }
}

fn stamped(time: u64, bytes: usize) -> StampedValue {
    let version = Version::of_write(Timestamp { time, node: 1, boot: 1 });
    StampedValue::plain(version, Content::Value(vec![u8::try_from(time).unwrap(); bytes].into()))
}

fn accept(key: &'static str, at: u64, with_base: bool, round: u64, bytes: usize) -> Unit {
    let base = stamped(at, 300);
    let ballot = Ballot { epoch: 1, round, node: 1, boot: 1 };
    let content = Content::Value(vec![1; bytes].into());
    let proposal = Proposal { update: ballot.update(), content, deadline: Deadline(7) };
    let record = AcceptedRecord { base: base.version, acceptance: Acceptance { ballot, proposal } };
    Unit::Acceptance { key: key.into(), base: with_base.then(|| Box::new(base)), record: Box::new(record) }
}

fn close(key: &'static str, time: u64, bytes: usize) -> Unit {
    Unit::Closing { key: key.into(), stamped: stamped(time, bytes) }
}

/// The life of some records: with their base, again, large ones, next ones, ended by what comes with them or alone.
fn batches() -> Vec<Vec<Unit>> {
    let mark = |round| Unit::Mark(Ballot { epoch: 1, round, node: 1, boot: 1 });
    vec![
        vec![mark(100)],
        vec![accept("a", 5, true, 1, 700), Unit::Version { key: "b".into(), stamped: stamped(5, 300) }],
        vec![accept("a", 5, false, 2, 10), accept("b", 5, false, 3, 2_500)],
        vec![close("a", 6, 1_200), accept("b", 5, false, 4, 10)],
        vec![close("b", 6, 2_500), accept("b", 6, false, 5, 300), mark(200)],
        vec![close("b", 7, 10)],
    ]
}

/// The changes of each batch of units.
fn changes(batches: &[Vec<Unit>]) -> Vec<Vec<Change>> {
    let store = MultiVersionStore::with_seed(Recorder::default(), 0, 0).unwrap();
    for units in batches {
        let mut puts = Puts::default();
        units.iter().for_each(|unit| puts.push(unit));
        store.commit_puts(&puts).unwrap();
    }
    store.database().batches.lock().unwrap().clone()
}

/// What a replica finds that starts with this; the marks and the records that it may rely on.
fn started(model: &Model) -> Result<(Ballot, Vec<(Bytes, AcceptedRecord)>), String> {
    let database = MemoryDatabase::new();
    let changes = model.iter().map(|(key, value)| Change::Put(key.clone(), value.clone())).collect();
    database.apply(WriteBatch { changes, ..WriteBatch::default() });
    let told = |why: DatabaseError| why.to_string();
    let store = MultiVersionStore::with_seed(database, 0, 0).map_err(told)?;
    let records = store.records().map_err(told)?;
    Ok((store.mark(), records))
}

fn recover(run: &mut Run) -> Result<usize, String> {
    let more = run.recover()?;
    let (mark, records) = started(&run.model()?)?;
    // Nothing is accepted above the mark, and of a key there is one record.
    let is_below = |(_, record): &(Bytes, AcceptedRecord)| record.acceptance.ballot < mark;
    let in_order = records.is_sorted_by(|a, b| a.0 < b.0);
    if records.iter().all(is_below) && in_order {
        Ok(more)
    } else {
        Err(format!("{records:?} below {mark:?}"))
    }
}

fn run(batches: &[Vec<Change>]) -> Run {
    let mut run = Run::new();
    run.open().unwrap();
    run.tidy(8 << 10);
    for (number, changes) in batches.iter().enumerate() {
        run.write(changes);
        if number == 3 {
            run.tidy(8 << 10);
        }
    }
    run
}

#[test]
fn p7_every_crash_state_has_acceptances_with_their_bases_and_closed_records_are_gone() {
    let run = run(&changes(&batches()));
    let states = run.states();
    assert_eq!(run.recover_each(&states, recover).counts(), (716, 24));
    let (_, records) = started(&run.model().unwrap()).unwrap();
    assert_eq!(records, []);
}

/// Configurations between versions and marks that are queued before and behind them; one stays in the log.
fn configured() -> Vec<Vec<Unit>> {
    let mark = |epoch| Unit::Mark(Ballot { epoch, round: 100, node: 1, boot: 1 });
    let version = |epoch: u32, bytes| Unit::Version {
        key: format!("key {epoch}").into(),
        stamped: stamped(u64::from(epoch), bytes),
    };
    let configuration = |epoch: u32, bytes| {
        let mut configuration = vec![0; bytes];
        configuration[..4].copy_from_slice(&epoch.to_be_bytes());
        Unit::Configuration(configuration.into())
    };
    vec![
        vec![version(1, 300), mark(1)],
        vec![configuration(2, 700)],
        vec![mark(2), version(2, 2_500)],
        vec![version(3, 10), configuration(3, 2_500), mark(3)],
        vec![configuration(4, 4)],
        vec![version(4, 10), mark(4)],
    ]
}

/// C1: whatever was queued behind an installation is there only with it.
fn recover_configured(run: &mut Run) -> Result<usize, String> {
    let more = run.recover()?;
    let database = MemoryDatabase::new();
    let changes = run.model()?.into_iter().map(|(key, value)| Change::Put(key, value)).collect();
    database.apply(WriteBatch { changes, ..WriteBatch::default() });
    let store = MultiVersionStore::with_seed(database, 0, 0).map_err(|why| why.to_string())?;
    let epoch = store.configuration().map_or(1, |bytes| u32::from_be_bytes(*bytes.first_chunk().unwrap()));
    let keys = store.scan_versions(b"", 10).map_err(|why| why.to_string())?;
    let newest = keys.iter().map(|(_, version, _)| version.time()).max().unwrap_or(0);
    if store.mark().epoch <= epoch && newest <= u64::from(epoch) && epoch - store.mark().epoch <= 2 {
        Ok(more)
    } else {
        Err(format!("epoch {epoch} behind {:?} and {newest}", store.mark()))
    }
}

#[test]
fn c1_every_crash_state_has_the_configuration_before_what_was_queued_behind_it() {
    let whole = run(&changes(&configured()));
    let states = whole.states();
    let outcomes = whole.recover_each(&states, recover_configured);
    assert_eq!(outcomes.counts(), (200, 24));
    // One that is installed beside what belongs to it.
    let mut broken = configured();
    broken.swap(1, 2);
    let broken = run(&changes(&broken));
    let outcomes = broken.recover_each(&broken.states(), recover_configured);
    assert!(outcomes.wrong.iter().any(|found| found.contains("behind")), "{:?}", outcomes.wrong.first());
}

/// What a store would do that writes what belongs together one after the other.
#[test]
fn broken_variants_of_units_are_caught() {
    let caught = |variant: &str, broken: &[Vec<Change>], wrong: &str| {
        let run = run(broken);
        let outcomes = run.recover_each(&run.states(), recover);
        assert!(
            outcomes.wrong.iter().any(|found| found.contains(wrong)),
            "{variant}: {:?}",
            outcomes.wrong.first()
        );
        assert!(outcomes.states > 0, "{variant}");
    };
    let one_by_one = |changes: &[Vec<Change>]| -> Vec<Vec<Change>> {
        changes.iter().flatten().rev().map(|change| vec![change.clone()]).collect()
    };
    let whole = changes(&batches()[..2]);
    caught("a record before its base", &one_by_one(&whole), "is gone");
    caught("a record before the mark", &[&whole[1..], &whole[..1]].concat(), "below");
}
