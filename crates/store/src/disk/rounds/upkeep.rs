//! The files of tables: who may change them, and what is in doubt after a failure.

use crate::database::DatabaseError;
use crate::disk::ground::failure::caught;
use crate::disk::ground::lost::Lost;
use crate::disk::ground::tables::Tables;
use crate::disk::rounds::repair;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// Flushes, merges and repairs of one database's tables.
pub(crate) struct Upkeep {
    pub(crate) tables: Arc<Tables>,
    pub(super) remembered_bytes: u64,
    /// Held during a merge; counts merges.
    pub(super) merging: Mutex<()>,
    pub(super) merges: AtomicU64,
    /// Held while a memtable is written to tables.
    flushing: Mutex<()>,
    /// What damage has taken, as the disk has it, and what was looked into in vain.
    lost: Mutex<Lost>,
    pub(super) looked_into: Mutex<Option<Instant>>,
    /// Why nothing may be written any more.
    doubt: OnceLock<DatabaseError>,
    /// The numbers of tables that failed flushes and merges may have left behind.
    left_behind: Mutex<Vec<Range<u64>>>,
}

impl Upkeep {
    /// Opens or creates the tables in `path`. Of so many bytes of them what is in them is remembered elsewhere
    /// ([`crate::DiskOptions`]).
    /// Fails with [`DatabaseError::Damaged`] when it is not known which tables there are, or which of their keys were lost.
    pub(crate) fn open(path: &Path, cache_bytes: u64, remembered_bytes: u64) -> Result<Self, DatabaseError> {
        let (tree, lost) = repair::open(path, cache_bytes)?;
        Ok(Self {
            tables: Arc::new(Tables::new(tree, lost.parts())),
            remembered_bytes,
            merging: Mutex::default(),
            merges: AtomicU64::new(0),
            flushing: Mutex::default(),
            lost: Mutex::new(lost),
            looked_into: Mutex::default(),
            doubt: OnceLock::new(),
            left_behind: Mutex::default(),
        })
    }

    /// Works on the files, unless an earlier failure has left them in doubt: another list of tables might be written over
    /// the one that the disk has.
    pub(super) fn unless_in_doubt(
        &self,
        work: impl FnOnce() -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        if let Some(why) = self.doubt.get() {
            return Err(why.clone());
        }
        caught(work).unwrap_or_else(|panic| Err(self.in_doubt(format!("the engine panicked: {panic}"))))
    }

    pub(super) fn in_doubt(&self, why: String) -> DatabaseError {
        self.doubt.get_or_init(|| DatabaseError::Fatal(why)).clone()
    }

    pub(super) fn flushing(&self) -> MutexGuard<'_, ()> {
        self.flushing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lost(&self) -> MutexGuard<'_, Lost> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn left_behind(&self) -> MutexGuard<'_, Vec<Range<u64>>> {
        self.left_behind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a failure: remembers what was begun since `first`, so that it does not fill the disk for good.
    pub(super) fn give_up(&self, first: u64) {
        let numbers = first..self.tables.tree().next_table();
        self.left_behind().push(numbers);
    }

    /// After a failure. A list of tables takes effect when `current` is renamed; the crate reports an error after that as it
    /// reports one before.
    /// Fails with [`DatabaseError::Fatal`] if the disk may have another list of tables than the memory has. Then no file may be
    /// deleted, and no further list be written over it.
    pub(super) fn check_current(&self) -> Result<(), DatabaseError> {
        let changed = |why: String| {
            self.in_doubt(format!("after a failure the list of tables is in doubt ({why}); start again"))
        };
        let tree = self.tables.tree();
        loop {
            let before = tree.list_on_disk().map_err(|why| changed(why.to_string()))?;
            let in_memory = tree.list();
            if before == in_memory {
                return Ok(());
            }
            // A flush may be ending beside a merge that failed, or the other way round.
            if before == tree.list_on_disk().map_err(|why| changed(why.to_string()))? {
                return Err(changed(format!("number {before} on disk, {in_memory} in memory")));
            }
        }
    }

    /// Before a merge, so that no second one replaces files that are told by being in no set of tables; and after it.
    pub(super) fn clean_up_around(&self, merging: &MutexGuard<'_, ()>) -> Result<(), DatabaseError> {
        if self.left_behind().is_empty() {
            return Ok(());
        }
        self.clean_up(merging, &self.flushing())
    }

    /// Deletes what was left behind. The guards show that no file is being written, and no merge has replaced files of
    /// these numbers meanwhile: what is not in the newest set of tables was in none and will be in none.
    pub(super) fn clean_up(
        &self,
        _: &MutexGuard<'_, ()>,
        _: &MutexGuard<'_, ()>,
    ) -> Result<(), DatabaseError> {
        self.check_current()?;
        self.tables.tree().delete_unlisted(self.left_behind().drain(..).flatten());
        Ok(())
    }
}
