//! Files that the database did not make say nothing about its data.

use bytes::Bytes;
use std::path::Path;
use std::sync::Mutex;
use store::{Database, DiskDatabase, DiskOptions};

static LINES: Mutex<String> = Mutex::new(String::new());

struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.level() <= log::Level::Warn {
            *LINES.lock().unwrap() += &format!("{}\n", record.args());
        }
    }

    fn flush(&self) {}
}

/// All files' contents under a directory.
fn contents(directory: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(
            |path| {
                if path.is_dir() { contents(&path) } else { vec![std::fs::read(path).unwrap_or_default()] }
            },
        )
        .collect()
}

#[test]
fn what_is_not_ours_is_left_alone_and_named() {
    log::set_logger(&Lines).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let open = || DiskDatabase::open(&path, DiskOptions::default()).unwrap();
    let key = |number: u8| Bytes::from(vec![1, number]);
    let value = |number: u8| Bytes::from(vec![number; 100 * usize::from(number)]);
    let database = open();
    for number in 0..100 {
        database.put(key(number), value(number)).unwrap();
    }
    // To a table; the last one to the journal.
    database.put(key(100), vec![7; 300 << 10].into()).unwrap();
    database.maintain().unwrap();
    database.put(key(101), value(101)).unwrap();
    drop(database);
    let strays = [
        "tables/tables/.nfs00000000000a1b2c00000001",
        "tables/tables/README",
        "tables/tables/0001",
        "tables/vacation.txt",
        "tables/README",
        "journal/.nfs00000000000a1b2c00000002",
        "journal/README",
        "journal/7",
        "README",
        ".nfs00000000000a1b2c00000003",
    ];
    for stray in strays {
        std::fs::write(path.join(stray), format!("what {stray} says")).unwrap();
    }
    for directory in ["tables/tables/notes", "tables/vnotes", "journal/00000009", "notes"] {
        std::fs::create_dir(path.join(directory)).unwrap();
        std::fs::write(path.join(directory).join("mine"), format!("what {directory} says")).unwrap();
    }
    std::os::unix::fs::symlink("/nowhere", path.join("journal/00000008")).unwrap();
    for _ in 0..2 {
        let database = open();
        for number in (0..100).chain([101]) {
            assert_eq!(database.get(&key(number)).unwrap(), Some(value(number)));
        }
        database.put(key(102), "more".into()).unwrap();
        drop(database);
        let lines = LINES.lock().unwrap().clone();
        for stray in strays
            .iter()
            .chain(["tables/tables/notes", "journal/00000009", "journal/00000008", "notes"].iter())
        {
            let named = path.join(stray);
            assert!(lines.contains(&format!("{} is not a file", named.display())), "{stray}: {lines}");
        }
        let files = contents(&path);
        for stray in
            strays.iter().chain(["tables/tables/notes", "tables/vnotes", "journal/00000009", "notes"].iter())
        {
            assert!(files.contains(&format!("what {stray} says").into_bytes()), "{stray} is gone");
        }
    }
}
