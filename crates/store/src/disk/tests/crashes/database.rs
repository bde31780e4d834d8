//! The whole engine over its files: a first start, batches in segments that come and go, the collector, and starts that a power
//! cut ends.

use super::run::Run;
use crate::database::Change;
use crate::disk::ground::values::LARGE;
use crate::disk::rounds::policy::Effort;
use crate::files::tests::crashing::Promise;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A database is made, and has two batches.
fn first_start(run: &mut Run) {
    run.open().unwrap();
    run.put("a", 10);
    run.write(&[Change::Delete("a".into()), Change::Put("b".into(), vec![1; 900].into())]);
}

/// Batches go to three segments, those to tables, and the segments go.
fn segments(run: &mut Run) {
    run.open().unwrap();
    run.tidy(4 << 10);
    for (key, size) in [("a", 700), ("b", 10), ("c", 2_000), ("a", 1_500), ("b", 600), ("c", 10)] {
        run.put(key, size);
    }
    run.tidy(4 << 10);
    run.put("d", 10);
}

/// Of two large values in a segment one is moved, and the segment given back.
fn collection(run: &mut Run, before: impl FnOnce(), effort: Effort) {
    run.open().unwrap();
    run.tidy(16 << 10);
    run.put("a", LARGE);
    run.put("b", LARGE + 10);
    run.tidy(16 << 10);
    run.write(&[Change::Delete("b".into())]);
    run.tidy(16 << 10);
    before();
    run.collect(effort);
    run.put("c", 10);
}

#[test]
fn s1_every_crash_state_of_a_first_start_is_recovered() {
    let mut run = Run::new();
    first_start(&mut run);
    let states = run.states();
    let outcomes = run.recover_all(&states);
    assert_eq!(outcomes.counts(), (39, 4));
}

#[test]
fn s1_every_crash_state_of_segments_that_come_and_go_is_recovered() {
    let mut run = Run::new();
    run.watermark_every = 4;
    segments(&mut run);
    let states = run.states();
    assert_eq!(run.recover_all(&states).counts(), (211, 33));
}

#[test]
fn g1_every_crash_state_of_the_collector_is_recovered() {
    let mut run = Run::new();
    collection(&mut run, || {}, Effort::Quiet);
    let states = run.states();
    assert_eq!(run.recover_all(&states).counts(), (497, 32));
}

/// A segment that is given back under load is used again.
#[test]
fn g1_every_crash_state_of_a_segment_that_is_used_again_is_recovered() {
    let mut run = Run::new();
    run.open().unwrap();
    run.tidy(16 << 10);
    run.put("a", LARGE);
    run.put("b", LARGE);
    run.tidy(16 << 10);
    run.write(&[Change::Delete("a".into()), Change::Put("b".into(), vec![1; 10].into())]);
    run.tidy(8 << 10);
    run.collect(Effort::UnderLoad);
    run.put("b", LARGE);
    run.put("c", LARGE);
    let used = run.disk.files();
    run.put("d", LARGE);
    assert_eq!(run.disk.files(), used, "no segment is made");
    let states = run.states();
    assert_eq!(run.recover_all(&states).counts(), (312, 18));
}

/// What was recovered stays, whenever the power goes again.
#[test]
fn s1_every_crash_state_of_a_recovery_is_recovered() {
    let mut run = Run::new();
    run.open().unwrap();
    run.tidy(8 << 10);
    run.put("a", 10);
    run.put("b", LARGE);
    let states = run.states();
    let (once, twice) = run.recover_twice(&states);
    assert_eq!((once.counts(), twice.counts()), ((68, 4), (1397, 176)));
}

/// Told around the engine: what it would do if it forgot to wait for something.
#[test]
fn broken_variants_of_the_engine_are_caught() {
    let caught = |variant: &str, run: &Run, wrong: &str| {
        let states = run.states();
        let outcomes = run.recover_all(&states);
        assert!(
            outcomes.wrong.iter().any(|found| found.contains(wrong)),
            "{variant}: {:?}",
            outcomes.wrong.first()
        );
        // Not all of them: a power cut has to come at the wrong time.
        assert!(outcomes.states > 0, "{variant}");
    };
    let mut run = Run::new();
    run.disk.break_promises(|promise| matches!(promise, Promise::Names(path) if path.ends_with("journal")));
    first_start(&mut run);
    caught("a new segment is used before its directory is synced", &run, "refused");

    let mut run = Run::new();
    run.disk.break_promises(
        |promise| matches!(promise, Promise::Written(path) if path.starts_with("db/journal")),
    );
    first_start(&mut run);
    caught("the watermark is raised before the log is durable", &run, "refused");

    let mut run = Run::new();
    run.disk.break_promises(
        |promise| matches!(promise, Promise::Synced(path) if path == Path::new("db/watermark.new")),
    );
    first_start(&mut run);
    caught("a file is renamed before it is synced", &run, "refused");

    let mut run = Run::new();
    let collects = Arc::new(AtomicBool::new(false));
    let begun = collects.clone();
    run.disk.break_promises(move |promise| {
        begun.load(Ordering::Relaxed) && matches!(promise, Promise::Written(_))
    });
    collection(&mut run, || collects.store(true, Ordering::Relaxed), Effort::Quiet);
    caught("a segment is removed before what was moved out of it is durable", &run, "gone");
}
