//! Opening what is left of a database: none of it is an answer, and all of it is a beginning (rule S3).
//!
//! A directory whose database is gone, was brought back from an earlier time or cannot be read holds less than this replica has
//! acknowledged. As much of it as can be read is kept, so that little has to come back from others; but everything counts as lost until
//! it did. That is durable before anything else is done.

use super::ground::failure::io_error;
use super::ground::lost::Lost;
use super::{DiskDatabase, DiskOptions};
use crate::database::DatabaseError;
use crate::files::{FileSystem, System, if_there};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Things that may be set aside in one directory.
const ASIDE_MAX: u32 = 1_000;

impl DiskDatabase {
    /// Opens the database in `path`, or what is left of it, or a new one: everything counts as lost, and batches are numbered from
    /// above `acknowledged` and the watermark. What cannot be read is set aside: its name goes on with `.damaged`. It may be
    /// called again after a crash; what is written from then on is kept by [`DiskDatabase::open`].
    ///
    /// # Errors
    /// As [`DiskDatabase::open`], but what is missing or damaged is none.
    pub fn open_with_loss(
        path: impl AsRef<Path>,
        options: DiskOptions,
        acknowledged: u64,
    ) -> Result<Self, DatabaseError> {
        let path = path.as_ref();
        let open = || {
            lose_everything(path)?;
            Self::open_in(Arc::new(System), path, options.clone(), Some(acknowledged))
        };
        // First as it is, then without the log, then from nothing.
        for part in [Some(path.join("journal")), Some(path.to_path_buf()), None] {
            match (open(), part) {
                (Err(DatabaseError::Damaged(why)), Some(part)) => {
                    log::error!("what is left of the database cannot be opened: {why}");
                    set_aside(path, &part)?;
                }
                (opened, _) => return opened,
            }
        }
        unreachable!("the last attempt is the answer")
    }
}

/// Notes durably that everything is lost, in a directory that may be new.
fn lose_everything(path: &Path) -> Result<(), DatabaseError> {
    let tables = path.join("tables");
    let failed = |why: std::io::Error| io_error("note that a database is lost", &why);
    System.create_directory(&tables).map_err(failed)?;
    // A file that says what was lost before, and is damaged, says nothing that is not true now.
    let mut lost = match Lost::read(&System, &tables) {
        Err(DatabaseError::Damaged(_)) => Lost::default(),
        read => read?,
    };
    lost.add_everything();
    lost.write(&System, &tables)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    std::iter::once(path).chain(parent).try_for_each(|path| System.sync_directory(path)).map_err(failed)
}

/// Gives a part of a database, or all of it, a name beside the database where nobody looks for it.
fn set_aside(path: &Path, part: &Path) -> Result<(), DatabaseError> {
    let failed = |why: std::io::Error| io_error("set a damaged database aside", &why);
    let parent = path.parent().unwrap_or(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part_name = if part == path { "" } else { "-journal" };
    let free = |number: &u32| -> PathBuf {
        let number = if *number == 0 { String::new() } else { format!("-{number}") };
        parent.join(format!("{name}.damaged{part_name}{number}"))
    };
    let aside = (0..ASIDE_MAX).map(|number| free(&number)).find(|aside| aside.symlink_metadata().is_err());
    let aside = aside.ok_or_else(|| failed(std::io::ErrorKind::AlreadyExists.into()))?;
    if if_there(System.rename(part, &aside)).map_err(failed)?.is_some() {
        log::error!("{} is called {} now: nothing uses it any more", part.display(), aside.display());
    }
    System.sync_directory(parent).map_err(failed)
}
