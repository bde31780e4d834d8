//! What flushes and merges leave behind, and when.

use super::merge::{NEW_TABLES, NEW_TABLES_REMEMBERED, table_bytes};
use super::upkeep::Upkeep;
use crate::database::{Change, DatabaseError};
use crate::disk::ground::tables::Full;
use crate::disk::ground::values::LargeValues;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

#[test]
fn tables_become_larger_with_all_of_them() {
    let sizes = [0, 1 << 20, 512 << 20, 1 << 30, 2 << 30, u64::MAX].map(table_bytes);
    assert_eq!(sizes.map(|size| size >> 20), [16, 16, 16, 32, 64, 64]);
}

fn tables_with_a_full_memtable(path: &Path) -> (Upkeep, Full) {
    let upkeep = Upkeep::open(path, 1 << 20, 0).unwrap();
    upkeep.tables.apply(vec![Change::Put("one".into(), "1".into())], &LargeValues::default());
    upkeep.tables.apply(vec![Change::Put("two".into(), "1".into())], &LargeValues::default());
    let full = upkeep.tables.seal(2).unwrap();
    (upkeep, full)
}

#[test]
fn merges_wait_for_more_new_tables_where_reads_are_few() {
    for (remembered, new_max) in [(0, NEW_TABLES), (1 << 30, NEW_TABLES_REMEMBERED)] {
        let directory = tempfile::tempdir().unwrap();
        let upkeep = Upkeep::open(directory.path(), 1 << 20, remembered).unwrap();
        let new = |last| {
            upkeep.tables.apply(vec![Change::Put("one".into(), "1".into())], &LargeValues::default());
            upkeep.flush(&upkeep.tables.seal(last).unwrap()).unwrap();
            assert!(!upkeep.merge().unwrap());
            upkeep.tables.tree().new_tables()
        };
        // The first goes below, as nothing is there.
        let counts: Vec<_> = (0..=new_max).map(|last| new(last.into())).collect();
        let expected: Vec<_> = (0..new_max).chain([0]).map(usize::from).collect();
        assert_eq!(counts, expected);
    }
}

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

/// The list's new version cannot be written: its name belongs to a directory.
fn block_the_next_list(upkeep: &Upkeep) -> PathBuf {
    let path = upkeep.tables.tree().list_path(upkeep.tables.tree().list() + 1);
    std::fs::create_dir(&path).unwrap();
    path
}

#[test]
fn a_failed_flush_leaves_no_file_behind() {
    let directory = tempfile::tempdir().unwrap();
    let (upkeep, full) = tables_with_a_full_memtable(directory.path());
    let blocked = block_the_next_list(&upkeep);
    for _ in 0..3 {
        upkeep.flush(&full).unwrap_err();
        assert_eq!(names(&upkeep.tables.tree().folder()).len(), 0);
    }
    // While a merge is going on the files stay, until its end.
    let merging = upkeep.merging.lock().unwrap();
    upkeep.flush(&full).unwrap_err();
    assert_eq!(names(&upkeep.tables.tree().folder()).len(), 1);
    drop(merging);
    std::fs::remove_dir(blocked).unwrap();
    upkeep.flush(&full).unwrap();
    upkeep.clean_up_around(&upkeep.merging.lock().unwrap()).unwrap();
    assert_eq!(names(&upkeep.tables.tree().folder()).len(), 1);
    drop(upkeep);
    let upkeep = Upkeep::open(directory.path(), 1 << 20, 0).unwrap();
    assert_eq!(upkeep.tables.flushed().unwrap(), 2);
    assert_eq!(upkeep.tables.look().get(b"two").unwrap().unwrap(), "1");
}

#[test]
fn a_failed_merge_leaves_no_file_behind_and_disturbs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (upkeep, full) = tables_with_a_full_memtable(directory.path());
    upkeep.flush(&full).unwrap();
    upkeep.tables.apply(vec![Change::Put("two".into(), "2".into())], &LargeValues::default());
    let full = upkeep.tables.seal(3).unwrap();
    upkeep.flush(&full).unwrap();
    let before = names(&upkeep.tables.tree().folder());
    let blocked = block_the_next_list(&upkeep);
    upkeep.merge_all().unwrap_err();
    assert_eq!(names(&upkeep.tables.tree().folder()), before);
    std::fs::remove_dir(blocked).unwrap();
    upkeep.merge_all().unwrap();
    assert_eq!(upkeep.tables.look().get(b"two").unwrap().unwrap(), "2");
}

/// An error may come after the new list has taken effect: nothing that it names may be deleted.
#[test]
fn a_failure_that_leaves_the_list_in_doubt_is_final_and_deletes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (upkeep, full) = tables_with_a_full_memtable(directory.path());
    block_the_next_list(&upkeep);
    let next = upkeep.tables.tree().list() + 1;
    let whole = std::fs::read(upkeep.tables.tree().current_path()).unwrap();
    std::fs::write(upkeep.tables.tree().current_path(), next.to_le_bytes()).unwrap();
    let in_doubt = |failed: Result<(), DatabaseError>| {
        assert!(matches!(&failed, Err(DatabaseError::Fatal(why)) if why.contains("doubt")), "{failed:?}");
    };
    in_doubt(upkeep.flush(&full));
    // Nothing is written after it, whatever the disk says by then.
    std::fs::write(upkeep.tables.tree().current_path(), whole).unwrap();
    in_doubt(upkeep.flush(&full));
    in_doubt(upkeep.merge_all());
    assert_eq!(names(&upkeep.tables.tree().folder()).len(), 1);
}

#[test]
fn after_a_panic_of_the_engine_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let (upkeep, full) = tables_with_a_full_memtable(directory.path());
    for failed in [upkeep.merge_with(|_| panic!("a bug")), upkeep.flush(&full), upkeep.merge().map(drop)] {
        assert!(matches!(&failed, Err(DatabaseError::Fatal(why)) if why.contains("a bug")), "{failed:?}");
    }
    assert_eq!(names(&upkeep.tables.tree().folder()).len(), 0);
}

/// What a second merge replaced may still be looked at.
#[test]
fn beside_two_merges_a_failed_flush_deletes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (upkeep, full) = tables_with_a_full_memtable(directory.path());
    block_the_next_list(&upkeep);
    let merges = || {
        upkeep.merges.fetch_add(2, Ordering::Relaxed);
    };
    upkeep.flush_while(&full, merges).unwrap_err();
    assert_eq!(names(&upkeep.tables.tree().folder()).len(), 1);
    assert!(upkeep.left_behind().is_empty());
}
