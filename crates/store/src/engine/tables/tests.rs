//! What flushes and merges leave behind, and when.

use super::*;

#[test]
fn tables_become_larger_with_all_of_them() {
    let sizes = [0, 1 << 20, 512 << 20, 1 << 30, 2 << 30, u64::MAX].map(table_bytes);
    assert_eq!(sizes.map(|size| size >> 20), [16, 16, 16, 32, 64, 64]);
}

fn tables_with_a_full_memtable(path: &Path) -> (Tables, Full) {
    let tables = Tables::open(path, 1 << 20, 0).unwrap();
    tables.apply(vec![Change::Put("one".into(), "1".into())], &LargeValues::default());
    tables.apply(vec![Change::Put("two".into(), "1".into())], &LargeValues::default());
    let full = tables.seal(2).unwrap();
    (tables, full)
}

#[test]
fn merges_wait_for_more_new_tables_where_reads_are_few() {
    for (remembered, new_max) in [(0, NEW_TABLES), (1 << 30, NEW_TABLES_REMEMBERED)] {
        let directory = tempfile::tempdir().unwrap();
        let tables = Tables::open(directory.path(), 1 << 20, remembered).unwrap();
        let new = |last| {
            tables.apply(vec![Change::Put("one".into(), "1".into())], &LargeValues::default());
            tables.flush(&tables.seal(last).unwrap()).unwrap();
            assert!(!tables.merge().unwrap());
            tables.tree().new_tables()
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
fn block_the_next_list(tables: &Tables) -> PathBuf {
    let path = tables.tree().list_path(tables.tree().list() + 1);
    std::fs::create_dir(&path).unwrap();
    path
}

#[test]
fn a_failed_flush_leaves_no_file_behind() {
    let directory = tempfile::tempdir().unwrap();
    let (tables, full) = tables_with_a_full_memtable(directory.path());
    let blocked = block_the_next_list(&tables);
    for _ in 0..3 {
        tables.flush(&full).unwrap_err();
        assert_eq!(names(&tables.tree().folder()).len(), 0);
    }
    // While a merge is going on the files stay, until its end.
    let merging = tables.merging.lock().unwrap();
    tables.flush(&full).unwrap_err();
    assert_eq!(names(&tables.tree().folder()).len(), 1);
    drop(merging);
    std::fs::remove_dir(blocked).unwrap();
    tables.flush(&full).unwrap();
    tables.clean_up_around(&tables.merging.lock().unwrap()).unwrap();
    assert_eq!(names(&tables.tree().folder()).len(), 1);
    drop(tables);
    let tables = Arc::new(Tables::open(directory.path(), 1 << 20, 0).unwrap());
    assert_eq!(tables.flushed().unwrap(), 2);
    assert_eq!(tables.look().get(b"two").unwrap().unwrap(), "1");
}

#[test]
fn a_failed_merge_leaves_no_file_behind_and_disturbs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (tables, full) = tables_with_a_full_memtable(directory.path());
    tables.flush(&full).unwrap();
    tables.apply(vec![Change::Put("two".into(), "2".into())], &LargeValues::default());
    let full = tables.seal(3).unwrap();
    tables.flush(&full).unwrap();
    let before = names(&tables.tree().folder());
    let blocked = block_the_next_list(&tables);
    tables.merge_all().unwrap_err();
    assert_eq!(names(&tables.tree().folder()), before);
    std::fs::remove_dir(blocked).unwrap();
    tables.merge_all().unwrap();
    assert_eq!(Arc::new(tables).look().get(b"two").unwrap().unwrap(), "2");
}

/// An error may come after the new list has taken effect: nothing that it names may be deleted.
#[test]
fn a_failure_that_leaves_the_list_in_doubt_is_final_and_deletes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (tables, full) = tables_with_a_full_memtable(directory.path());
    block_the_next_list(&tables);
    let next = tables.tree().list() + 1;
    let whole = std::fs::read(tables.tree().current_path()).unwrap();
    std::fs::write(tables.tree().current_path(), next.to_le_bytes()).unwrap();
    let in_doubt = |failed: Result<(), DatabaseError>| {
        assert!(matches!(&failed, Err(DatabaseError::Fatal(why)) if why.contains("doubt")), "{failed:?}");
    };
    in_doubt(tables.flush(&full));
    // Nothing is written after it, whatever the disk says by then.
    std::fs::write(tables.tree().current_path(), whole).unwrap();
    in_doubt(tables.flush(&full));
    in_doubt(tables.merge_all());
    assert_eq!(names(&tables.tree().folder()).len(), 1);
}

#[test]
fn after_a_panic_of_the_engine_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let (tables, full) = tables_with_a_full_memtable(directory.path());
    for failed in [tables.merge_with(|_| panic!("a bug")), tables.flush(&full), tables.merge().map(drop)] {
        assert!(matches!(&failed, Err(DatabaseError::Fatal(why)) if why.contains("a bug")), "{failed:?}");
    }
    assert_eq!(names(&tables.tree().folder()).len(), 0);
}

/// What a second merge replaced may still be looked at.
#[test]
fn beside_two_merges_a_failed_flush_deletes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (tables, full) = tables_with_a_full_memtable(directory.path());
    block_the_next_list(&tables);
    let merges = || {
        tables.merges.fetch_add(2, Ordering::Relaxed);
    };
    tables.flush_while(&full, merges).unwrap_err();
    assert_eq!(names(&tables.tree().folder()).len(), 1);
    assert!(tables.left_behind().is_empty());
}
