//! The log, the slots of the watermark, and files that are replaced, each alone.

use crate::database::Change;
use crate::disk::ground::log::{Journal, recover};
use crate::files::slots::Slots;
use crate::files::tests::crashing::{CrashState, CrashingDisk, Disk, Moment, Promise};
use crate::files::{FileSystem, contents, replace};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const ROOT: &str = "/";

fn disk(direct: bool) -> CrashingDisk {
    CrashingDisk::new(Path::new(ROOT), &Disk::default(), direct)
}

/// What a run has acknowledged, for the disk's record.
fn record(disk: &CrashingDisk) -> Arc<AtomicUsize> {
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let told = acknowledged.clone();
    disk.record(move || Moment { acknowledged: told.load(Ordering::Relaxed), outside: 0 });
    acknowledged
}

/// What became of all states: how many were recovered to so many batches more than were acknowledged, and what was wrong.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// By batches beyond those that were acknowledged.
    recovered: BTreeMap<usize, usize>,
    wrong: Vec<String>,
}

impl Found {
    fn of(states: &[CrashState], recovered: impl Fn(&Disk) -> Result<usize, String>) -> Self {
        let mut found = Self::default();
        for CrashState { disk, moment } in states {
            match recovered(disk) {
                Ok(batches) if batches >= moment.acknowledged => {
                    *found.recovered.entry(batches - moment.acknowledged).or_default() += 1;
                }
                Ok(batches) => found.wrong.push(format!("{batches} of {}", moment.acknowledged)),
                Err(why) => found.wrong.push(why),
            }
        }
        found
    }

    fn counts(&self) -> Vec<usize> {
        assert_eq!(self.wrong, Vec::<String>::new());
        self.recovered.values().copied().collect()
    }
}

/// The changes of a batch: two keys, so that half of it would be seen, and now and then a value that stays in the log.
fn batch(number: u64) -> Vec<Change> {
    let size = [10, 700, 300, 2_100, 10, 1_200][usize::try_from(number).unwrap() % 6];
    let byte = u8::try_from(number).unwrap();
    vec![Change::Put("a".into(), vec![byte; size].into()), Change::Put(vec![1, byte].into(), "b".into())]
}

const JOURNAL: &str = "/journal";

/// The journal on a disk, and how many batches it has, if they are those that were written.
fn recovered(disk: &CrashingDisk) -> Result<(Journal, usize), String> {
    let (files, mut count): (Arc<dyn FileSystem>, u64) = (Arc::new(disk.clone()), 0);
    let mut wrong = None;
    let recovered = recover(&files, Path::new(JOURNAL), 0, false, |replayed| {
        count += 1;
        if (replayed.number, &replayed.changes) != (count, &batch(count)) {
            wrong = Some(format!("batch {} is not what was written", replayed.number));
        }
        Ok(())
    });
    let mut journal = recovered.map_err(|why| why.to_string())?.journal;
    journal.make_next_segments_of(8 << 10);
    wrong.map_or(Ok((journal, usize::try_from(count).unwrap())), Err)
}

fn batches(disk: &CrashingDisk) -> Result<usize, String> {
    // Before anything was written its directory may be missing.
    if disk.list(Path::new(JOURNAL)).is_err() { Ok(0) } else { Ok(recovered(disk)?.1) }
}

/// So many batches, in segments of two pages and more; until the process is killed.
fn write(disk: &CrashingDisk, until: u64, acknowledged: &AtomicUsize) -> Result<(), String> {
    let failed = |why: std::io::Error| why.to_string();
    disk.create_directory(Path::new(JOURNAL)).map_err(failed)?;
    disk.sync_directory(Path::new(ROOT)).map_err(failed)?;
    let (mut journal, count) = recovered(disk)?;
    acknowledged.store(count, Ordering::Relaxed);
    for number in count as u64 + 1..=until {
        journal.append(number, &batch(number), 0).map_err(|why| why.to_string())?;
        acknowledged.store(usize::try_from(number).unwrap(), Ordering::Relaxed);
    }
    Ok(())
}

/// The same by a process that is not killed, where so many are acknowledged already.
fn written(disk: &CrashingDisk, already: usize, until: u64) -> Vec<CrashState> {
    let acknowledged = record(disk);
    acknowledged.store(already, Ordering::Relaxed);
    write(disk, until, &acknowledged).unwrap();
    disk.recorded()
}

fn after(disk: &Disk, direct: bool) -> CrashingDisk {
    CrashingDisk::new(Path::new(ROOT), disk, direct)
}

#[test]
fn s1_every_crash_state_of_the_log_has_what_was_acknowledged() {
    for (direct, counts) in [(true, [222, 24]), (false, [233, 24])] {
        let states = written(&disk(direct), 0, 24);
        let found = Found::of(&states, |disk| batches(&after(disk, direct)));
        assert_eq!(found.counts(), counts, "past the cache: {direct}");
    }
}

/// Of a process that is killed before each of its operations, its successor, which tells what it finds, and a power cut.
fn after_kills(breaks: fn(Promise<'_>) -> bool) -> (usize, Found) {
    let (mut killed, mut found) = (0, Found::default());
    loop {
        let disk = disk(false);
        disk.kill_after(Some(killed));
        let acknowledged = AtomicUsize::default();
        if write(&disk, 3, &acknowledged).is_ok() {
            return (killed, found);
        }
        disk.kill_after(None);
        killed += 1;
        disk.break_promises(breaks);
        let states = written(&disk, acknowledged.into_inner(), 3);
        let Found { recovered, wrong } = Found::of(&states, |disk| batches(&after(disk, false)));
        recovered.into_iter().for_each(|(more, count)| *found.recovered.entry(more).or_default() += count);
        found.wrong.extend(wrong);
    }
}

/// S2: what was read from the page cache after kill -9 was told, so a power cut must not take it away.
#[test]
fn s2_every_crash_state_after_a_killed_process_has_what_its_successor_told() {
    let (killed, found) = after_kills(|_| false);
    assert_eq!((killed, found.counts()), (13, vec![741, 42]));
    let (_, found) =
        after_kills(|promise| matches!(promise, Promise::Synced(path) if path.starts_with("journal")));
    assert!(!found.wrong.is_empty(), "a successor that does not write again what it finds is not caught");
}

#[test]
fn every_crash_state_of_slots_has_one_of_the_last_two_contents_or_no_file() {
    let disk = disk(false);
    let acknowledged = record(&disk);
    let path = Path::new("/slots");
    let mut slots = Slots::create(&disk, path, 512, &[0]).unwrap();
    disk.sync_directory(Path::new(ROOT)).unwrap();
    acknowledged.store(1, Ordering::Relaxed);
    for content in 1..=6 {
        slots.write(&[content]).unwrap();
        if content % 3 == 0 {
            slots.sync().unwrap();
            acknowledged.store(usize::from(content) + 1, Ordering::Relaxed);
        }
    }
    let found = Found::of(&disk.recorded(), |disk| {
        let Ok(file) = after(disk, false).open(path) else { return Ok(0) };
        let opened = Slots::over(file, 512).unwrap();
        opened.newest.map(|content| usize::from(content[0]) + 1).ok_or_else(|| "both are torn".into())
    });
    assert_eq!(found.counts(), [9, 4, 4, 4]);
}

#[test]
fn every_crash_state_of_a_file_that_is_replaced_has_the_old_one_or_the_new_one() {
    let disk = disk(false);
    let acknowledged = record(&disk);
    let path = Path::new("/lost");
    for content in 1..=3_u8 {
        drop(replace(&disk, path, &vec![content; 1_500]).unwrap());
        disk.sync_directory(Path::new(ROOT)).unwrap();
        acknowledged.store(usize::from(content), Ordering::Relaxed);
    }
    let found = Found::of(&disk.recorded(), |disk| {
        let Ok(file) = after(disk, false).open(path) else { return Ok(0) };
        let bytes = contents(&*file).unwrap();
        let content = *bytes.first().ok_or("it is empty")?;
        if bytes == vec![content; 1_500] { Ok(usize::from(content)) } else { Err("half of it".into()) }
    });
    assert_eq!(found.counts(), [31, 6]);
}

/// Broken variants of the log: what they forget, and how many of the states show it.
#[test]
fn broken_variants_of_the_log_are_caught() {
    type Breaks = fn(Promise<'_>) -> bool;
    let variants: [(&str, bool, Breaks); 4] = [
        (
            "the name of a new segment is not synced",
            true,
            |promise| matches!(promise, Promise::Names(path) if path == Path::new("journal")),
        ),
        ("a batch is told before the write is durable", true, |promise| {
            matches!(promise, Promise::Written(_))
        }),
        ("a batch is told before the sync", false, |promise| matches!(promise, Promise::Synced(_))),
        ("nothing at all is synced", false, |_| true),
    ];
    for (variant, direct, breaks) in variants {
        let disk = disk(direct);
        disk.break_promises(breaks);
        let found = Found::of(&written(&disk, 0, 2), |disk| batches(&after(disk, direct)));
        assert!(!found.wrong.is_empty(), "{variant}");
    }
}
