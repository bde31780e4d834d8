//! The ordered map: a memtable, and sorted tables on disk, by the crate `lsm-tree`.
//!
//! What is put here is durable already: the journal has it. So all that a snapshot shows is durable (rule S2), and a
//! full disk only puts the tables off. Two threads do the work that nobody waits for: one writes full memtables to
//! tables, one merges tables.

use super::failure::{damaged, engine_error};
use super::merge::{DominatedFilters, without_dominated};
use crate::database::{Change, DatabaseError};
use bytes::Bytes;
use lsm_tree::compaction::Leveled;
use lsm_tree::{
    AbstractTree, AnyTree, Cache, Config, InternalValue, KvSeparationOptions, Memtable,
    SequenceNumberCounter, ValueType,
};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Under this key, which no user has, every table says up to which batch everything is in tables.
const FLUSHED_KEY: &[u8] = b"\x00flushed";
/// Keys that begin with zero are the engine's own: iterators begin here.
pub(super) const FIRST: &[u8] = &[1];
/// Values from this size on lie in files of their own, so that merges of tables need not copy them.
const LARGE: u32 = 4 << 10;
/// Size of a merged table.
const TABLE_BYTES: u64 = 64 << 20;

/// A file of large values is written again when half of it is of no use any more.
fn separation() -> KvSeparationOptions {
    KvSeparationOptions::default().separation_threshold(LARGE).staleness_threshold(0.5).age_cutoff(1.0)
}

/// The tree and who looks at it.
pub(super) struct Tables {
    tree: AnyTree,
    /// Numbers puts and new sets of tables.
    counter: SequenceNumberCounter,
    /// Snapshots see what is below this. It moves when a batch is complete, so a batch appears whole.
    visible: AtomicU64,
    /// How many snapshots look from which point.
    looking: Mutex<BTreeMap<u64, usize>>,
    /// Held during a merge: files without an owner may be its own then.
    merging: Mutex<()>,
}

/// A memtable that is full, and the last batch in it.
pub(super) struct Full {
    memtable: Arc<Memtable>,
    pub(super) last: u64,
}

impl Tables {
    /// Opens or creates the tables in `path`.
    ///
    /// # Errors
    /// [`DatabaseError::Damaged`] when they cannot be read.
    pub(super) fn open(path: &Path, cache_bytes: u64) -> Result<Self, DatabaseError> {
        let (counter, unused) = (SequenceNumberCounter::default(), SequenceNumberCounter::default());
        let config = Config::new(path, counter.clone(), unused)
            .use_cache(Arc::new(Cache::with_capacity_bytes(cache_bytes)))
            .with_compaction_filter_factory(Some(Arc::new(DominatedFilters)))
            .with_kv_separation(Some(separation()));
        // The crate asserts on some damaged bytes where it could return an error.
        let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| config.open()));
        let tree = match opened {
            Ok(tree) => tree.map_err(|why| match engine_error(why) {
                DatabaseError::Damaged(why) => {
                    DatabaseError::Damaged(format!("{} cannot be opened: {why}", path.display()))
                }
                other => other,
            })?,
            Err(_) => return Err(damaged(format!("the engine panicked while it opened {}", path.display()))),
        };
        counter.fetch_max(tree.get_highest_persisted_seqno().map_or(1, |highest| highest + 1));
        let visible = AtomicU64::new(counter.get());
        Ok(Self { tree, counter, visible, looking: Mutex::default(), merging: Mutex::default() })
    }

    /// Whether there are tables in a directory, or have been.
    pub(super) fn exist(path: &Path) -> std::io::Result<bool> {
        path.join("current").try_exists()
    }

    /// The last batch of which it is known that everything up to it is in synced tables.
    pub(super) fn flushed(&self) -> Result<u64, DatabaseError> {
        let Some(bytes) = self.tree.get(FLUSHED_KEY, u64::MAX >> 1).map_err(engine_error)? else {
            return Ok(0);
        };
        let bytes: [u8; 8] =
            bytes[..].try_into().map_err(|_| damaged(format!("a batch number has {} bytes", bytes.len())))?;
        Ok(u64::from_be_bytes(bytes))
    }

    /// Makes a durable batch visible. For one caller at a time, as [`Tables::seal`] and [`Tables::settle`].
    pub(super) fn apply(&self, changes: Vec<Change>) {
        let number = self.counter.next();
        let memtable = self.tree.active_memtable();
        for change in changes {
            memtable.insert(match change {
                Change::Put(key, value) => {
                    InternalValue::from_components(key, value, number, ValueType::Value)
                }
                Change::Delete(key) => InternalValue::new_tombstone(key, number),
            });
        }
        self.visible.store(self.counter.get(), Ordering::Release);
    }

    /// Whether the memtable that takes batches holds more than it should. A few large values may be four times as much
    /// as many small ones: the fewer and larger the files that they end up in, the better.
    pub(super) fn memtable_is_full(&self, limit: u64) -> bool {
        let memtable = self.tree.active_memtable();
        let size = memtable.size();
        size > 4 * limit || (size > limit && size / u64::from(LARGE) < memtable.len() as u64)
    }

    /// Closes the memtable, whose last batch is `last`; `None` if it is empty.
    pub(super) fn seal(&self, last: u64) -> Option<Full> {
        let memtable = self.tree.active_memtable();
        if memtable.is_empty() {
            return None;
        }
        let marker = (FLUSHED_KEY, last.to_be_bytes(), self.counter.next(), ValueType::Value);
        memtable.insert(InternalValue::from_components(marker.0, marker.1, marker.2, marker.3));
        self.visible.store(self.counter.get(), Ordering::Release);
        self.tree.rotate_memtable().map(|memtable| Full { memtable, last })
    }

    /// Writes the oldest closed memtable to synced tables. Dominated versions stay behind.
    ///
    /// # Errors
    /// When the disk is full or fails; it may be tried again.
    pub(super) fn flush(&self, full: &Full) -> Result<(), DatabaseError> {
        let _lock = self.tree.get_flush_lock();
        let first_file = self.tree.next_table_id();
        let entries = without_dominated(full.memtable.iter()).map(Ok);
        let flushed = self.tree.flush_to_tables(entries).and_then(|written| {
            let (tables, blobs) = written.unwrap_or_default();
            let ids = [full.memtable.id()];
            self.tree.register_tables(&tables, blobs.as_deref(), None, &ids, self.horizon())
        });
        if flushed.is_err()
            && let Ok(_lock) = self.merging.try_lock()
        {
            self.delete_unfinished(first_file);
        }
        flushed.map_err(engine_error)
    }

    /// Merges some tables, if there are too many.
    ///
    /// # Errors
    /// As [`Tables::flush`].
    pub(super) fn merge(&self) -> Result<(), DatabaseError> {
        let strategy = Arc::new(Leveled::default().with_table_target_size(TABLE_BYTES));
        self.merge_with(|| self.tree.compact(strategy, self.horizon()))
    }

    /// Merges all tables.
    ///
    /// # Errors
    /// As [`Tables::flush`].
    pub(super) fn merge_all(&self) -> Result<(), DatabaseError> {
        self.merge_with(|| {
            self.tree.major_compact(TABLE_BYTES, self.horizon())?;
            // Only a merge finds out which large values are of no use; the next one leaves them out.
            if self.tree.stale_blob_bytes() > 0 {
                self.tree.major_compact(TABLE_BYTES, self.horizon())?;
            }
            Ok(())
        })
    }

    fn merge_with(&self, merge: impl FnOnce() -> lsm_tree::Result<()>) -> Result<(), DatabaseError> {
        let _lock = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
        let first_file = self.tree.next_table_id();
        merge().map_err(|why| {
            let _lock = self.tree.get_flush_lock();
            self.delete_unfinished(first_file);
            engine_error(why)
        })
    }

    /// Deletes what a failed flush or merge has left behind, so that it does not fill the disk for good.
    fn delete_unfinished(&self, first_file: u64) {
        let folder = self.tree.tree_config().path.join("tables");
        let version = self.tree.current_version();
        for number in first_file..self.tree.next_table_id() {
            if !version.iter_tables().any(|table| table.id() == number) {
                let _ = std::fs::remove_file(folder.join(number.to_string()));
            }
        }
    }

    /// Lets new snapshots see the newest set of tables, and lets go of older sets that no snapshot uses. While no batch
    /// is being applied.
    pub(super) fn settle(&self) {
        self.visible.store(self.counter.get(), Ordering::Release);
        // The newest set below this is what the oldest snapshot looks at.
        let oldest = self.horizon() + 1;
        let released =
            self.tree.get_version_history_lock().maintenance(&self.tree.tree_config().path, oldest);
        if let Err(why) = released {
            log::warn!("cannot delete an old list of tables: {why}");
        }
    }

    /// Bytes of all tables.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.tree.disk_space()
    }

    fn looking(&self) -> MutexGuard<'_, BTreeMap<u64, usize>> {
        self.looking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that a snapshot may look at is at or above this.
    fn horizon(&self) -> u64 {
        let looking = self.looking();
        let visible = self.visible.load(Ordering::Acquire);
        looking.keys().next().map_or(visible, |oldest| *oldest).saturating_sub(1)
    }

    /// A frozen view.
    pub(super) fn look(self: &Arc<Self>) -> View {
        let mut looking = self.looking();
        let at = self.visible.load(Ordering::Acquire);
        *looking.entry(at).or_default() += 1;
        View { tables: self.clone(), at }
    }
}

/// What was there at one moment, kept for as long as this lives.
pub(super) struct View {
    tables: Arc<Tables>,
    at: u64,
}

/// Entries in the order of their keys.
pub(super) type Entries = Box<dyn DoubleEndedIterator<Item = lsm_tree::IterGuardImpl> + Send>;

impl View {
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DatabaseError> {
        Ok(self.tables.tree.get(key, self.at).map_err(engine_error)?.map(Bytes::from))
    }

    pub(super) fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Entries {
        self.tables.tree.range::<&[u8], _>((from, to), self.at, None)
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let mut looking = self.tables.looking();
        if let Some(count) = looking.get_mut(&self.at) {
            *count -= 1;
            if *count == 0 {
                looking.remove(&self.at);
            }
        }
    }
}
