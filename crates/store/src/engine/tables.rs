//! The ordered map: a memtable, and sorted tables on disk, by the crate `lsm-tree`.
//!
//! What is put here is durable already: the journal has it. So all that a snapshot shows is durable (rule S2), and a
//! full disk only puts the tables off. Two threads do the work that nobody waits for: one writes full memtables to
//! tables, one merges tables.

use super::failure::{caught, damaged, engine_error};
use super::large::{Files, LargeValues, Location, Stored};
use super::memtable::{Memtable, Size};
use super::merge::{DominatedFilters, without_dominated};
use super::view::{Memtables, View};
use super::writeback::Writeback;
use crate::database::{Change, DatabaseError};
use bytes::Bytes;
use lsm_tree::compaction::Leveled;
use lsm_tree::{AbstractTree, AnyTree, Cache, Config, SequenceNumberCounter};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Under this key, which no user has, every table says up to which batch everything is in tables.
const FLUSHED_KEY: &[u8] = b"\x00flushed";
/// Keys that begin with zero are the engine's own: iterators begin here.
pub(super) const FIRST: &[u8] = &[1];
/// Names that the crate gives: the list of tables in use, and the directory of its files.
const CURRENT: &str = "current";
const TABLES: &str = "tables";
/// Bytes of a merged table. The crate makes the index and the filter of the last one of a merge, and syncs it, under a lock that
/// readers and writers take, so tables are small; but levels are multiples of this size, and beside much data there should not be
/// too many of either.
const TABLE_BYTES: RangeInclusive<u64> = 16 << 20..=64 << 20;
const TABLE_PART: u64 = 32;
/// So many new tables are merged with those that are there. A read that comes to the tables looks at all new ones.
const NEW_TABLES: u8 = 4;
const NEW_TABLES_REMEMBERED: u8 = 8;

/// The tree and who looks at it.
pub(super) struct Tables {
    tree: AnyTree,
    /// Numbers puts and new sets of tables.
    counter: SequenceNumberCounter,
    /// Snapshots see what is below this. It moves when a batch is complete, so a batch appears whole.
    visible: AtomicU64,
    views: Mutex<Views>,
    remembered_bytes: u64,
    /// How many large values views have read.
    pub(super) large_reads: AtomicU64,
    /// Held during a merge; counts merges.
    merging: Mutex<()>,
    merges: AtomicU64,
    /// The number from which on the next merge names its tables.
    next_merge: Arc<AtomicU64>,
    /// Why nothing may be written any more.
    doubt: OnceLock<DatabaseError>,
    /// The numbers of tables that failed flushes and merges may have left behind.
    left_behind: Mutex<Vec<Range<u64>>>,
}

/// What is looked at.
struct Views {
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
    /// [`DatabaseError::Damaged`] when they cannot be read.
    pub(super) fn open(path: &Path, cache_bytes: u64, remembered_bytes: u64) -> Result<Self, DatabaseError> {
        let (counter, unused) = (SequenceNumberCounter::default(), SequenceNumberCounter::default());
        let next_merge = Arc::new(AtomicU64::new(0));
        let filters = DominatedFilters { folder: path.join(TABLES), first: next_merge.clone() };
        let config = Config::new(path, counter.clone(), unused)
            .use_cache(Arc::new(Cache::with_capacity_bytes(cache_bytes)))
            .with_compaction_filter_factory(Some(Arc::new(filters)));
        // The crate asserts on some damaged bytes where it could return an error.
        let opened =
            caught(|| config.open()).map_err(|panic| damaged(format!("the engine panicked: {panic}")));
        let tree = opened.and_then(|tree| tree.map_err(engine_error)).map_err(|why| match why {
            DatabaseError::Damaged(why) => {
                DatabaseError::Damaged(format!("{} cannot be opened: {why}", path.display()))
            }
            other => other,
        })?;
        counter.fetch_max(tree.get_highest_persisted_seqno().map_or(1, |highest| highest + 1));
        let visible = AtomicU64::new(counter.get());
        Ok(Self {
            tree,
            counter,
            visible,
            views: Mutex::new(Views {
                looking: BTreeMap::new(),
                memtables: [Arc::default()].into(),
                files: Files::default(),
            }),
            remembered_bytes,
            large_reads: AtomicU64::new(0),
            merging: Mutex::default(),
            merges: AtomicU64::new(0),
            next_merge,
            doubt: OnceLock::new(),
            left_behind: Mutex::default(),
        })
    }

    /// The first part that every directory of tables has and that this one has not.
    pub(super) fn missing_part(path: &Path) -> std::io::Result<Option<PathBuf>> {
        let current = path.join(CURRENT);
        Ok(if current.try_exists()? { None } else { Some(current) })
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
    pub(super) fn apply(&self, changes: Vec<Change>, large: &LargeValues) {
        // To its end: whoever begins to look meanwhile would miss what the batch hides, and not see the batch.
        let mut views = self.views();
        if let Some((segment, file)) = &large.segment {
            views.files.add(*segment, file);
        }
        let unseen = views.looking.is_empty();
        let hidden = views.memtables[0].insert(changes, large, self.counter.next(), unseen);
        self.visible.store(self.counter.get(), Ordering::Release);
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
        let memtable = self.active();
        if memtable.len() == 0 {
            return None;
        }
        let flushed =
            Change::Put(Bytes::from_static(FLUSHED_KEY), Bytes::copy_from_slice(&last.to_be_bytes()));
        memtable.insert(vec![flushed], &LargeValues::default(), self.counter.next(), false);
        let mut views = self.views();
        views.memtables = std::iter::once(Arc::default()).chain(views.memtables.iter().cloned()).collect();
        self.visible.store(self.counter.get(), Ordering::Release);
        Some(Full { memtable, last })
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
            let flushing = self.tree.get_flush_lock();
            let merges = self.merges.load(Ordering::Relaxed);
            let beside_a_merge = u64::from(self.merging.try_lock().is_err());
            let first = self.tree.next_table_id();
            meanwhile();
            let contents = full.memtable.contents();
            let writeback = Writeback::new(self.folder(TABLES), first);
            let flushed = self
                .tree
                .flush_to_tables(without_dominated(&contents, writeback).map(Ok))
                .and_then(|written| {
                    let (tables, blobs) = written.unwrap_or_default();
                    self.tree.register_tables(&tables, blobs.as_deref(), None, &[], self.horizon())
                })
                .map_err(engine_error);
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
        let strategy = Leveled::default().with_table_target_size(table_bytes(all)).with_l0_threshold(new_max);
        let before = self.tree.current_version().id();
        self.merge_with(|| self.tree.compact(Arc::new(strategy), self.horizon()))?;
        let version = self.tree.current_version();
        // If nothing was done, nothing can be.
        Ok(version.id() != before && version.l0().table_count() >= usize::from(new_max))
    }

    /// Merges all tables.
    ///
    /// # Errors
    /// As [`Tables::flush`].
    pub(super) fn merge_all(&self) -> Result<(), DatabaseError> {
        self.merge_with(|| self.tree.major_compact(table_bytes(self.disk_bytes()), self.horizon()))
    }

    /// For one merge; files of a failed flush are told by being in no set of tables before a second one.
    fn merge_with(&self, merge: impl FnOnce() -> lsm_tree::Result<()>) -> Result<(), DatabaseError> {
        self.unless_in_doubt(|| {
            let merging = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
            self.merges.fetch_add(1, Ordering::Relaxed);
            self.clean_up_around(&merging)?;
            let first = self.tree.next_table_id();
            self.next_merge.store(first, Ordering::Relaxed);
            let merged = merge().map_err(engine_error);
            if merged.is_err() {
                self.check_current()?;
                self.give_up(first);
            }
            self.clean_up_around(&merging)?;
            merged
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

    fn folder(&self, name: &str) -> PathBuf {
        self.tree.tree_config().path.join(name)
    }

    fn left_behind(&self) -> MutexGuard<'_, Vec<Range<u64>>> {
        self.left_behind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a failure: remembers what was begun since `first`, so that it does not fill the disk for good.
    fn give_up(&self, first: u64) {
        let numbers = first..self.tree.next_table_id();
        self.left_behind().push(numbers);
    }

    /// After a failure. A list of tables takes effect when `current` is renamed; the crate reports an error after that as it
    /// reports one before.
    ///
    /// # Errors
    /// [`DatabaseError::Fatal`] if the disk may have another list of tables than the memory has. Then no file may be
    /// deleted, and no further list be written over it.
    fn check_current(&self) -> Result<(), DatabaseError> {
        let path = self.folder(CURRENT);
        let on_disk = || -> std::io::Result<u64> {
            let mut number = [0; 8];
            File::open(&path)?.read_exact(&mut number)?;
            Ok(u64::from_le_bytes(number))
        };
        let changed = |why: String| {
            self.in_doubt(format!("after a failure the list of tables is in doubt ({why}); start again"))
        };
        loop {
            let before = on_disk().map_err(|why| changed(why.to_string()))?;
            let in_memory = self.tree.current_version().id();
            if before == in_memory {
                return Ok(());
            }
            // A flush may be ending beside a merge that failed, or the other way round.
            if before == on_disk().map_err(|why| changed(why.to_string()))? {
                return Err(changed(format!("number {before} on disk, {in_memory} in memory")));
            }
        }
    }

    /// Before a merge, so that no second one replaces files that are told by being in no set of tables; and after it.
    fn clean_up_around(&self, merging: &MutexGuard<'_, ()>) -> Result<(), DatabaseError> {
        if self.left_behind().is_empty() {
            return Ok(());
        }
        self.clean_up(merging, &self.tree.get_flush_lock())
    }

    /// Deletes what was left behind. The guards show that no file is being written, and no merge has replaced files of
    /// these numbers meanwhile: what is not in the newest set of tables was in none and will be in none.
    fn clean_up(&self, _: &MutexGuard<'_, ()>, _: &MutexGuard<'_, ()>) -> Result<(), DatabaseError> {
        self.check_current()?;
        let version = self.tree.current_version();
        // The space comes back when nobody has the file open.
        let open = self.tree.tree_config().descriptor_table.clone();
        for number in self.left_behind().drain(..).flatten() {
            if !version.iter_tables().any(|table| table.id() == number) {
                // Most of the numbers are of files that were never made, or are gone.
                let _ = std::fs::remove_file(self.folder(TABLES).join(number.to_string()));
                open.iter().for_each(|open| open.remove_for_table(&(self.tree.id(), number).into()));
            }
        }
        Ok(())
    }

    /// Lets new snapshots see the newest set of tables in place of the memtables that are in it, and lets go of older sets
    /// that no snapshot uses. While no batch is being applied.
    pub(super) fn settle(&self) {
        let mut views = self.views();
        // In this order: where a memtable is left out, the set of tables that has it must be visible.
        let left = views.memtables.iter().filter(|memtable| !memtable.is_flushed());
        views.memtables = left.cloned().collect();
        self.visible.store(self.counter.get(), Ordering::Release);
        drop(views);
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

    fn views(&self) -> MutexGuard<'_, Views> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The memtable that takes batches.
    fn active(&self) -> Arc<Memtable> {
        self.views().memtables[0].clone()
    }

    pub(super) fn tree(&self) -> &AnyTree {
        &self.tree
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
        View { tables: self.clone(), memtables: views.memtables.clone(), files: views.files.clone(), at }
    }

    /// Whether a key's newest value is the one at a location, and is known from a table.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub(super) fn is_at(&self, key: &[u8], location: Location) -> Result<bool, DatabaseError> {
        let (memtables, at) = {
            let views = self.views();
            (views.memtables.clone(), self.visible.load(Ordering::Acquire))
        };
        if memtables.iter().any(|memtable| memtable.get(key, at).is_some()) {
            return Ok(false);
        }
        let Some(bytes) = self.tree.get(key, at).map_err(engine_error)? else { return Ok(false) };
        Ok(matches!(Stored::read(bytes.into())?, Stored::At(pointer, _) if pointer.location == location))
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
mod tests {
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
                tables.tree.current_version().l0().table_count()
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
        let path = tables.folder(&format!("v{}", tables.tree.current_version().id() + 1));
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
            assert_eq!(names(&tables.folder(TABLES)).len(), 0);
        }
        // While a merge is going on the files stay, until its end.
        let merging = tables.merging.lock().unwrap();
        tables.flush(&full).unwrap_err();
        assert_eq!(names(&tables.folder(TABLES)).len(), 1);
        drop(merging);
        std::fs::remove_dir(blocked).unwrap();
        tables.flush(&full).unwrap();
        tables.clean_up_around(&tables.merging.lock().unwrap()).unwrap();
        assert_eq!(names(&tables.folder(TABLES)).len(), 1);
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
        let before = names(&tables.folder(TABLES));
        let blocked = block_the_next_list(&tables);
        tables.merge_all().unwrap_err();
        assert_eq!(names(&tables.folder(TABLES)), before);
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
        let next = tables.tree.current_version().id() + 1;
        let whole = std::fs::read(tables.folder(CURRENT)).unwrap();
        std::fs::write(tables.folder(CURRENT), next.to_le_bytes()).unwrap();
        let in_doubt = |failed: Result<(), DatabaseError>| {
            assert!(matches!(&failed, Err(DatabaseError::Fatal(why)) if why.contains("doubt")), "{failed:?}");
        };
        in_doubt(tables.flush(&full));
        // Nothing is written after it, whatever the disk says by then.
        std::fs::write(tables.folder(CURRENT), whole).unwrap();
        in_doubt(tables.flush(&full));
        in_doubt(tables.merge_all());
        assert_eq!(names(&tables.folder(TABLES)).len(), 1);
    }

    #[test]
    fn after_a_panic_of_the_engine_nothing_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let (tables, full) = tables_with_a_full_memtable(directory.path());
        for failed in [tables.merge_with(|| panic!("a bug")), tables.flush(&full), tables.merge().map(drop)] {
            assert!(matches!(&failed, Err(DatabaseError::Fatal(why)) if why.contains("a bug")), "{failed:?}");
        }
        assert_eq!(names(&tables.folder(TABLES)).len(), 0);
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
        assert_eq!(names(&tables.folder(TABLES)).len(), 1);
        assert!(tables.left_behind().is_empty());
    }
}
