//! What the errors of the engine and of the file system mean for a replica.

use crate::database::DatabaseError;
use crate::files::{FileSystem, Space};
use rustix::io::Errno;
use std::any::Any;
use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// What an operator must know when acknowledged data is gone.
pub(crate) const REBUILD: &str = ". This node must not vote with what is left: restore this disk, or replace the node under a new id: atomic-kv replace ID --with \
     HOST:PORT";

pub(crate) fn damaged(what: impl std::fmt::Display) -> DatabaseError {
    DatabaseError::Damaged(format!("{what}{REBUILD}"))
}

/// Something that costs what was stored there, and nothing else (rule S3).
pub(crate) fn unreadable(what: impl std::fmt::Display) -> DatabaseError {
    DatabaseError::Unreadable { why: what.to_string(), behind: None }
}

/// Whether there is no room now, and will be later: on the disk, or among the files that this process or this system may have
/// open. Neither is a disk that fails.
pub(crate) fn is_full(why: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(why.kind(), StorageFull | QuotaExceeded)
        || matches!(Errno::from_io_error(why), Some(Errno::MFILE | Errno::NFILE))
}

pub(crate) fn io_error(what: &str, why: &io::Error) -> DatabaseError {
    if is_full(why) {
        DatabaseError::Full(format!("cannot {what}: {why}"))
    } else {
        DatabaseError::Fatal(format!("cannot {what}: {why}"))
    }
}

/// What the engine does, or what it panicked with. Whoever goes on after a panic must not use what was worked on.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    CATCHING.set(CATCHING.get() + 1);
    let caught = catch_unwind(AssertUnwindSafe(work)).map_err(|panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
    });
    CATCHING.set(CATCHING.get() - 1);
    caught
}

thread_local! {
    static CATCHING: Cell<u32> = const { Cell::new(0) };
}

/// Whether a panic of this thread would be caught now and be taken for a failure of the disk. Any other is a fault of the
/// program.
pub fn catches_panics() -> bool {
    CATCHING.get() > 0
}

pub(crate) fn space(files: &dyn FileSystem, path: &Path) -> Result<Space, DatabaseError> {
    files.space(path).map_err(|why| io_error("look at the free space", &why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_open_files_are_no_broken_disk() {
        for (errno, is_fatal) in [
            (Errno::MFILE, false),
            (Errno::NFILE, false),
            (Errno::NOSPC, false),
            (Errno::IO, true),
            (Errno::ACCESS, true),
        ] {
            let told = io_error("prepare a journal segment", &errno.into());
            assert_eq!(matches!(told, DatabaseError::Fatal(_)), is_fatal, "{told}");
            assert_eq!(matches!(told, DatabaseError::Full(_)), !is_fatal, "{told}");
        }
    }

    #[test]
    fn a_panic_says_what_it_was() {
        for work in [|| panic!("a literal"), || panic!("a literal with {}", 1)] {
            let caught: Result<(), _> = caught(work);
            assert!(caught.unwrap_err().contains("a literal"));
            assert!(!catches_panics());
        }
        assert_eq!(caught(|| (caught(|| 7), catches_panics())), Ok((Ok(7), true)));
        assert!(!catches_panics());
    }
}
