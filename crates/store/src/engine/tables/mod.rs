//! The ordered map: a memtable, and sorted tables on disk ([`lsm`]).
//!
//! What is put here is durable already: the journal has it. So all that a snapshot shows is durable (rule S2), and a
//! full disk only puts the tables off. Two threads do the work that nobody waits for: one writes full memtables to
//! tables, one merges tables.

mod lsm;
mod repair;

pub use lsm::LOG_FILTER;
pub(super) use lsm::{Entries, Row, Tree};

use super::failure::{caught, damaged};
use super::large::{Files, LargeValues, Location, Stored};
use super::lost::Lost;
use super::memtable::{Memtable, Size};
use super::merge::without_dominated;
use super::view::{Memtables, View};
use super::writeback::Writeback;
use crate::damage::DamagedParts;
use crate::database::{Change, DatabaseError};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// Under this key, which no user has, every table says up to which batch everything is in tables.
const FLUSHED_KEY: &[u8] = b"\x00flushed";
/// Keys that begin with zero are the engine's own: iterators begin here.
pub(super) const FIRST: &[u8] = &[1];
/// Bytes of a merged table. The crate below makes the index and the filter of the last one of a merge, and syncs it, under a lock that
/// readers and writers take, so tables are small; but levels are multiples of this size, and beside much data there should not be
/// too many of either.
const TABLE_BYTES: RangeInclusive<u64> = 16 << 20..=64 << 20;
const TABLE_PART: u64 = 32;
/// So many new tables are merged with those that are there. A read that comes to the tables looks at all new ones.
const NEW_TABLES: u8 = 4;
/// A disk that damages tables faster than that is not worth more merges for now.
const REPAIRS_MAX: u8 = 3;
const NEW_TABLES_REMEMBERED: u8 = 8;

/// The tree and who looks at it.
pub(super) struct Tables {
    /// Snapshots see what is below this. It moves when a batch is complete, so a batch appears whole.
    visible: AtomicU64,
    views: Mutex<Views>,
    remembered_bytes: u64,
    /// How many large values views have read.
    pub(super) large_reads: AtomicU64,
    /// Held during a merge; counts merges.
    merging: Mutex<()>,
    merges: AtomicU64,
    /// Held while a memtable is written to tables.
    flushing: Mutex<()>,
    /// What damage has taken, as the disk has it, and what was looked into in vain.
    lost: Mutex<Lost>,
    looked_into: Mutex<Option<Instant>>,
    /// Why nothing may be written any more.
    doubt: OnceLock<DatabaseError>,
    /// The numbers of tables that failed flushes and merges may have left behind.
    left_behind: Mutex<Vec<Range<u64>>>,
}

/// What is looked at.
struct Views {
    tree: Arc<Tree>,
    /// Where the tree has gaps.
    damaged: Arc<DamagedParts>,
    /// How many snapshots look from which point.
    looking: BTreeMap<u64, usize>,
    /// The one that takes batches, then those that are full.
    memtables: Memtables,
    /// Where their large values are.
    files: Files,
}

/// How large a table becomes where all of them together have so many bytes.
fn table_bytes(all: u64) -> u64 {
    (all / TABLE_PART).clamp(*TABLE_BYTES.start(), *TABLE_BYTES.end())
}

/// A memtable that is full, and the last batch in it.
pub(super) struct Full {
    memtable: Arc<Memtable>,
    pub(super) last: u64,
}

impl Tables {
    /// Opens or creates the tables in `path`. Of so many bytes of them what is in them is remembered elsewhere
    /// ([`super::disk::DiskOptions`]).
    ///
    /// # Errors
    /// [`DatabaseError::Damaged`] when it is not known which tables there are, or which of their keys were lost.
    pub(super) fn open(path: &Path, cache_bytes: u64, remembered_bytes: u64) -> Result<Self, DatabaseError> {
        let (tree, lost) = repair::open(path, cache_bytes)?;
        let visible = AtomicU64::new(tree.end());
        Ok(Self {
            visible,
            views: Mutex::new(Views {
                tree: Arc::new(tree),
                damaged: Arc::new(lost.parts.clone()),
                looking: BTreeMap::new(),
                memtables: [Arc::default()].into(),
                files: Files::default(),
            }),
            remembered_bytes,
            large_reads: AtomicU64::new(0),
            merging: Mutex::default(),
            merges: AtomicU64::new(0),
            flushing: Mutex::default(),
            lost: Mutex::new(lost),
            looked_into: Mutex::default(),
            doubt: OnceLock::new(),
            left_behind: Mutex::default(),
        })
    }

    /// The tables that there are now. Not while views are held.
    fn tree(&self) -> Arc<Tree> {
        self.views().tree.clone()
    }

    /// The first part that every directory of tables has and that this one has not.
    pub(super) fn missing_part(path: &Path) -> std::io::Result<Option<PathBuf>> {
        Tree::missing_part(path)
    }

    /// The last batch of which it is known that everything up to it is in synced tables.
    pub(super) fn flushed(&self) -> Result<u64, DatabaseError> {
        let Some(bytes) = self.tree().get_newest(FLUSHED_KEY)? else { return Ok(0) };
        let last = bytes.first_chunk().map(|last| u64::from_be_bytes(*last));
        last.ok_or_else(|| damaged(format!("a batch number has {} bytes", bytes.len())))
    }

    /// Makes a durable batch visible. For one caller at a time, as [`Tables::seal`] and [`Tables::settle`].
    pub(super) fn apply(&self, changes: Vec<Change>, large: &LargeValues) {
        // To its end: whoever begins to look meanwhile would miss what the batch hides, and not see the batch.
        let mut views = self.views();
        if let Some((segment, file)) = &large.segment {
            views.files.add(*segment, file);
        }
        let unseen = views.looking.is_empty();
        let hidden = views.memtables[0].insert(changes, large, views.tree.next_number(), unseen);
        self.visible.store(views.tree.end(), Ordering::Release);
        drop(views);
        drop(hidden);
    }

    /// Has new views know a segment that pointers lead to.
    pub(super) fn add_file(&self, segment: u64, file: &Arc<File>) {
        self.views().files.add(segment, file);
    }

    /// Has new views not know a segment any more.
    pub(super) fn remove_file(&self, segment: u64) {
        self.views().files.remove(segment);
    }

    /// The size of the memtable that takes batches.
    pub(super) fn memtable_size(&self) -> Size {
        self.active().size()
    }

    /// Closes the memtable, whose last batch is `last`; `None` if it is empty.
    pub(super) fn seal(&self, last: u64) -> Option<Full> {
        if self.active().len() == 0 { None } else { Some(self.seal_any(last)) }
    }

    /// The same for a memtable that may be empty: the tables then say that they hold everything up to `last`.
    pub(super) fn seal_any(&self, last: u64) -> Full {
        let memtable = self.active();
        let flushed =
            Change::Put(Bytes::from_static(FLUSHED_KEY), Bytes::copy_from_slice(&last.to_be_bytes()));
        memtable.insert(vec![flushed], &LargeValues::default(), self.tree().next_number(), false);
        let mut views = self.views();
        views.memtables = std::iter::once(Arc::default()).chain(views.memtables.iter().cloned()).collect();
        self.visible.store(views.tree.end(), Ordering::Release);
        Full { memtable, last }
    }

    /// Writes the oldest closed memtable to synced tables. Dominated versions stay behind.
    ///
    /// # Errors
    /// [`DatabaseError::Full`]; it may be tried again. Every other error is final.
    pub(super) fn flush(&self, full: &Full) -> Result<(), DatabaseError> {
        self.flush_while(full, || {})
    }

    /// The same, beside something else.
    fn flush_while(&self, full: &Full, meanwhile: impl FnOnce()) -> Result<(), DatabaseError> {
        self.unless_in_doubt(|| {
            let flushing = self.flushing();
            let tree = self.tree();
            let merges = self.merges.load(Ordering::Relaxed);
            let beside_a_merge = u64::from(self.merging.try_lock().is_err());
            let first = tree.next_table();
            meanwhile();
            let contents = full.memtable.contents();
            let writeback = Writeback::new(tree.folder(), first);
            let mut rows = without_dominated(&contents, writeback).peekable();
            let flushed = rows.next_if(|row| row.key == FLUSHED_KEY).map(|Row { key, value, number }| {
                let from = rows.peek().map(|row| row.key.clone()).unwrap_or_default();
                Row { key, value: value.map(|last| repair::head(&last, first, &from)), number }
            });
            let flushed = tree.flush(flushed.into_iter().chain(rows), || self.horizon());
            if flushed.is_ok() {
                full.memtable.set_flushed();
            }
            flushed.or_else(|why| {
                self.check_current()?;
                // Of two merges beside this flush the second may have replaced what the first made, which an older
                // snapshot then still looks at: all that is left behind waits for the next start.
                if self.merges.load(Ordering::Relaxed) - merges + beside_a_merge <= 1 {
                    self.give_up(first);
                }
                if let Ok(merging) = self.merging.try_lock() {
                    self.clean_up(&merging, &flushing)?;
                }
                Err(why)
            })
        })
    }

    /// Merges some tables, if there are too many; whether there are still too many new ones. One step moves little where there are
    /// several levels, and the new tables of a level that is too large wait for it.
    ///
    /// # Errors
    /// As [`Tables::flush`].
    pub(super) fn merge(&self) -> Result<bool, DatabaseError> {
        let all = self.disk_bytes();
        let new_max = if all <= self.remembered_bytes { NEW_TABLES_REMEMBERED } else { NEW_TABLES };
        let before = self.tree().list();
        self.merge_with(|tree| tree.merge(table_bytes(all), new_max, self.horizon()))?;
        let tree = self.tree();
        // If nothing was done, nothing can be.
        Ok(tree.list() != before && tree.new_tables() >= usize::from(new_max))
    }

    /// Merges all tables.
    ///
    /// # Errors
    /// As [`Tables::flush`].
    pub(super) fn merge_all(&self) -> Result<(), DatabaseError> {
        self.merge_with(|tree| tree.merge_all(table_bytes(tree.disk_bytes()), self.horizon()))
    }

    /// For one merge; files of a failed flush are told by being in no set of tables before a second one. If a table turns out to
    /// be damaged, a new one of what is left of it takes its place, and the merge begins again. One that cannot be read for
    /// another reason is left for later.
    fn merge_with(&self, merge: impl Fn(&Tree) -> Result<(), DatabaseError>) -> Result<(), DatabaseError> {
        self.unless_in_doubt(|| {
            let merging = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
            let mut repairs = 0..REPAIRS_MAX;
            loop {
                self.merges.fetch_add(1, Ordering::Relaxed);
                self.clean_up_around(&merging)?;
                let tree = self.tree();
                let first = tree.next_table();
                let merged = merge(&tree);
                if merged.is_err() {
                    self.check_current()?;
                    self.give_up(first);
                }
                self.clean_up_around(&merging)?;
                match merged {
                    // Whether it was a read or a write that failed, the crate does not say.
                    Err(DatabaseError::Fatal(_))
                        if repairs.next().is_some() && self.repair(&merging, true)? => {}
                    Err(DatabaseError::Unreadable { .. })
                        if repairs.next().is_some() && self.repair(&merging, false)? => {}
                    Err(DatabaseError::Unreadable { why, .. }) => {
                        log::warn!("tables are not merged for the moment: {why}");
                        return Ok(());
                    }
                    merged => return merged,
                }
            }
        })
    }

    /// Works on the files, unless an earlier failure has left them in doubt: another list of tables might be written over
    /// the one that the disk has.
    fn unless_in_doubt(&self, work: impl FnOnce() -> Result<(), DatabaseError>) -> Result<(), DatabaseError> {
        if let Some(why) = self.doubt.get() {
            return Err(why.clone());
        }
        caught(work).unwrap_or_else(|panic| Err(self.in_doubt(format!("the engine panicked: {panic}"))))
    }

    fn in_doubt(&self, why: String) -> DatabaseError {
        self.doubt.get_or_init(|| DatabaseError::Fatal(why)).clone()
    }

    fn flushing(&self) -> MutexGuard<'_, ()> {
        self.flushing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self) -> MutexGuard<'_, Lost> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left_behind(&self) -> MutexGuard<'_, Vec<Range<u64>>> {
        self.left_behind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a failure: remembers what was begun since `first`, so that it does not fill the disk for good.
    fn give_up(&self, first: u64) {
        let numbers = first..self.tree().next_table();
        self.left_behind().push(numbers);
    }

    /// After a failure. A list of tables takes effect when `current` is renamed; the crate reports an error after that as it
    /// reports one before.
    ///
    /// # Errors
    /// [`DatabaseError::Fatal`] if the disk may have another list of tables than the memory has. Then no file may be
    /// deleted, and no further list be written over it.
    fn check_current(&self) -> Result<(), DatabaseError> {
        let changed = |why: String| {
            self.in_doubt(format!("after a failure the list of tables is in doubt ({why}); start again"))
        };
        let tree = self.tree();
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
    fn clean_up_around(&self, merging: &MutexGuard<'_, ()>) -> Result<(), DatabaseError> {
        if self.left_behind().is_empty() {
            return Ok(());
        }
        self.clean_up(merging, &self.flushing())
    }

    /// Deletes what was left behind. The guards show that no file is being written, and no merge has replaced files of
    /// these numbers meanwhile: what is not in the newest set of tables was in none and will be in none.
    fn clean_up(&self, _: &MutexGuard<'_, ()>, _: &MutexGuard<'_, ()>) -> Result<(), DatabaseError> {
        self.check_current()?;
        self.tree().delete_unlisted(self.left_behind().drain(..).flatten());
        Ok(())
    }

    /// Lets new snapshots see the newest set of tables in place of the memtables that are in it, and lets go of older sets
    /// that no snapshot uses. While no batch is being applied.
    pub(super) fn settle(&self) {
        let mut views = self.views();
        // In this order: where a memtable is left out, the set of tables that has it must be visible.
        let left = views.memtables.iter().filter(|memtable| !memtable.is_flushed());
        views.memtables = left.cloned().collect();
        let tree = views.tree.clone();
        self.visible.store(tree.end(), Ordering::Release);
        drop(views);
        // The newest set below this is what the oldest snapshot looks at.
        if let Err(why) = tree.let_go(self.horizon() + 1) {
            log::warn!("cannot delete an old list of tables: {why}");
        }
    }

    /// Bytes of all tables.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.tree().disk_bytes()
    }

    /// How many user keys there are, about: those of each table and memtable, whether or not another one has them, too.
    pub(super) fn keys_estimate(&self) -> u64 {
        let memtables = self.views().memtables.clone();
        // In this order: a memtable that becomes a table meanwhile counts twice in place of not at all.
        let in_memory = memtables.iter().enumerate().filter(|(_, memtable)| !memtable.is_flushed());
        // All but the one that takes batches have a key of the engine's own, too.
        let keys = in_memory.map(|(at, memtable)| memtable.keys().saturating_sub(at.min(1)) as u64);
        keys.sum::<u64>() + self.tree().entries()
    }

    fn views(&self) -> MutexGuard<'_, Views> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The memtable that takes batches.
    fn active(&self) -> Arc<Memtable> {
        self.views().memtables[0].clone()
    }

    /// Everything that a snapshot may look at is at or above this.
    fn horizon(&self) -> u64 {
        let views = self.views();
        let visible = self.visible.load(Ordering::Acquire);
        views.looking.keys().next().map_or(visible, |oldest| *oldest).saturating_sub(1)
    }

    /// A frozen view.
    pub(super) fn look(self: &Arc<Self>) -> View {
        let mut views = self.views();
        // Under the lock: no memtable comes or goes between the two.
        let at = self.visible.load(Ordering::Acquire);
        *views.looking.entry(at).or_default() += 1;
        View {
            tables: self.clone(),
            tree: views.tree.clone(),
            damaged: views.damaged.clone(),
            memtables: views.memtables.clone(),
            files: views.files.clone(),
            at,
        }
    }

    /// Whether a key's newest value is the one at a location, and is known from a table.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub(super) fn is_at(&self, key: &[u8], location: Location) -> Result<bool, DatabaseError> {
        let (tree, memtables, at) = {
            let views = self.views();
            (views.tree.clone(), views.memtables.clone(), self.visible.load(Ordering::Acquire))
        };
        if memtables.iter().any(|memtable| memtable.get(key, at).is_some()) {
            return Ok(false);
        }
        let Some(bytes) = tree.get(key, at)? else { return Ok(false) };
        Ok(matches!(Stored::read(bytes)?, Stored::At(pointer, _) if pointer.location == location))
    }

    /// The end of a view.
    pub(super) fn look_away(&self, at: u64) {
        let mut views = self.views();
        if let Some(count) = views.looking.get_mut(&at) {
            *count -= 1;
            if *count == 0 {
                views.looking.remove(&at);
            }
        }
    }
}

#[cfg(test)]
mod tests;
