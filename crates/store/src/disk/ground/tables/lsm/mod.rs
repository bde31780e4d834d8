//! The tables of another crate, which [`library`] names: what the engine relies on is in this module, and so is what the crate
//! does beyond what it documents. Its version is pinned; read these files again before another one is taken.
//!
//! Relied on beyond the crate's documentation: the file `current` has the number of the list of tables in force, and is what
//! takes effect last; table files are named by numbers that go up; a set of tables that a snapshot looks at stays until
//! [`Tree::let_go`]; on opening, files in the directory of tables that no list names are deleted, and names that are no numbers
//! are refused unless they begin with `._`; the formats of the list ([`list`]), of a table's blocks ([`salvage`]) and of their
//! frame ([`archive`]).
//!
//! The crate believes what a file says of its sizes before it looks at checksums, opens all tables or none, and cannot leave one
//! out of a merge. So what it opens is looked at before, and of a table that is damaged a new one is made of what can be read
//! ([`Tree::salvage`]).

mod archive;
mod filter;
mod library;
mod list;
mod mend;
mod salvage;
mod suspicion;

use crate::database::DatabaseError;
use crate::disk::ground::failure::{caught, damaged, io_error};
use crate::disk::ground::lost::NAME as LOST;
use crate::disk::ground::strays::{is_number, leave_alone, set_aside, strays};
use crate::encoding::space::Space;
use crate::files::{FileSystem, Listed, System};
use bytes::Bytes;
use filter::Merges;
pub use library::LOG_FILTER;
use library::{AbstractTree, AnyTree, Cache, Config, Guard, InternalValue, IterGuardImpl, Leveled};
use library::{SequenceNumberCounter, Table, UserKey, ValueType};
use list::List;
use mend::DAMAGED;
pub(crate) use mend::{Depth, Salvaged};
use std::fs::File;
use std::io::Read;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
pub(crate) use suspicion::Suspicion;
use suspicion::{engine_error, read_error};

/// Names that the crate gives: the list of tables in use, and the directory of its files.
const CURRENT: &str = "current";
const TABLES: &str = "tables";

/// Sorted tables on disk. Every entry has the number of its batch, and whoever reads says up to which number.
pub(crate) struct Tree {
    tree: AnyTree,
    /// Numbers puts and new sets of tables.
    counter: SequenceNumberCounter,
    /// The number from which on the next merge names its tables.
    next_merge: Arc<AtomicU64>,
    cache: Arc<Cache>,
    suspicion: Arc<Suspicion>,
}

/// What a table gets for a key.
pub(crate) struct Row {
    pub(crate) key: Bytes,
    /// `None`: the key's end.
    pub(crate) value: Option<Bytes>,
    /// The number of its batch.
    pub(crate) number: u64,
}

/// A walk over the entries of all tables, the newest of each key.
pub(crate) struct Entries {
    entries: Box<dyn DoubleEndedIterator<Item = IterGuardImpl> + Send>,
    suspicion: Arc<Suspicion>,
}

type Entry = Result<(Bytes, Bytes), DatabaseError>;

impl Entries {
    fn entry(&self, guard: IterGuardImpl) -> Entry {
        let (key, value) = guard.into_inner().map_err(|why| read_error(why, &self.suspicion))?;
        Ok((key.into(), value.into()))
    }
}

impl Iterator for Entries {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        self.entries.next().map(|guard| self.entry(guard))
    }
}

impl DoubleEndedIterator for Entries {
    fn next_back(&mut self) -> Option<Entry> {
        self.entries.next_back().map(|guard| self.entry(guard))
    }
}

impl Tree {
    /// Opens or creates the tables in `path`.
    /// Fails with [`DatabaseError::Damaged`] when they cannot be opened: the list of tables is damaged, or a table is gone.
    pub(crate) fn open(path: &Path, cache_bytes: u64) -> Result<Self, DatabaseError> {
        set_strays_aside(path)?;
        if path.join(CURRENT).exists() {
            List::read(path)?;
        }
        let cache = Arc::new(Cache::with_capacity_bytes(cache_bytes));
        Self::open_with(path, SequenceNumberCounter::default(), cache, Arc::default())
    }

    fn open_with(
        path: &Path,
        counter: SequenceNumberCounter,
        cache: Arc<Cache>,
        suspicion: Arc<Suspicion>,
    ) -> Result<Self, DatabaseError> {
        let next_merge = Arc::new(AtomicU64::new(0));
        let filters = Merges { folder: path.join(TABLES), first: next_merge.clone() };
        let config = Config::new(path, counter.clone(), SequenceNumberCounter::default())
            .use_cache(cache.clone())
            .with_compaction_filter_factory(Some(Arc::new(filters)));
        // The crate asserts on some damaged bytes where it could return an error.
        let opened =
            caught(|| config.open()).map_err(|panic| damaged(format!("the engine panicked: {panic}")));
        let cannot = |why: String| damaged(format!("{} cannot be opened: {why}", path.display()));
        let tree = opened.and_then(|tree| tree.map_err(engine_error)).map_err(|why| match why {
            DatabaseError::Damaged(why) | DatabaseError::Unreadable { why, .. } => cannot(why),
            other => other,
        })?;
        counter.fetch_max(tree.get_highest_persisted_seqno().map_or(1, |highest| highest + 1));
        Ok(Self { tree, counter, next_merge, cache, suspicion })
    }

    /// The same tables, opened anew: those that the list on the disk has. Numbers go on where they were. While nobody writes
    /// or merges tables; whoever looks at this one goes on to see what it sees, or that it cannot be read.
    pub(crate) fn opened_anew(&self) -> Result<Self, DatabaseError> {
        let (counter, cache, suspicion) = (self.counter.clone(), self.cache.clone(), self.suspicion.clone());
        let opened = Self::open_with(self.path(), counter, cache, suspicion)?;
        // No name of a file is used twice while somebody may have it open, or yet delete it.
        if let (AnyTree::Standard(old), AnyTree::Standard(new)) = (&self.tree, &opened.tree) {
            new.table_id_counter.fetch_max(old.table_id_counter.get());
        }
        Ok(opened)
    }

    /// Who hears of reads that find damage.
    pub(crate) fn suspicion(&self) -> &Arc<Suspicion> {
        &self.suspicion
    }

    /// The first part that every directory of tables has and that this one has not.
    pub(crate) fn missing_part(path: &Path) -> std::io::Result<Option<PathBuf>> {
        let current = path.join(CURRENT);
        Ok(if current.try_exists()? { None } else { Some(current) })
    }

    /// A number for a batch, above all others so far.
    pub(crate) fn next_number(&self) -> u64 {
        self.counter.next()
    }

    /// Whoever looks up to here sees all there is.
    pub(crate) fn end(&self) -> u64 {
        self.counter.get()
    }

    /// The newest value of a key below the number `at`.
    pub(crate) fn get(&self, key: &[u8], at: u64) -> Result<Option<Bytes>, DatabaseError> {
        let found = self.tree.get(key, at).map_err(|why| read_error(why, &self.suspicion))?;
        Ok(found.map(Bytes::from))
    }

    /// The same, whatever its number.
    pub(crate) fn get_newest(&self, key: &[u8]) -> Result<Option<Bytes>, DatabaseError> {
        self.get(key, u64::MAX >> 1)
    }

    /// Entries within bounds, which may not be upside down, below the number `at`.
    pub(crate) fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, at: u64) -> Entries {
        let entries = self.tree.range::<&[u8], _>((from, to), at, None);
        Entries { entries, suspicion: self.suspicion.clone() }
    }

    /// Writes rows, in the order of their keys, to synced tables, which take effect. No snapshot then looks below `horizon`. One at a
    /// time.
    pub(crate) fn flush(
        &self,
        rows: impl Iterator<Item = Row>,
        horizon: impl FnOnce() -> u64,
    ) -> Result<(), DatabaseError> {
        is_datable()?;
        let internal = |Row { key, value, number }: Row| {
            let key = UserKey::from(key);
            Ok(match value {
                Some(value) => InternalValue::from_components(key, value, number, ValueType::Value),
                None => InternalValue::new_tombstone(key, number),
            })
        };
        let written = self.tree.flush_to_tables(rows.map(internal)).map_err(engine_error)?;
        let (tables, blobs) = written.unwrap_or_default();
        self.tree.register_tables(&tables, blobs.as_deref(), None, &[], horizon()).map_err(engine_error)
    }

    fn begin_merge(&self) -> Result<(), DatabaseError> {
        self.next_merge.store(self.next_table(), Ordering::Relaxed);
        is_datable()
    }

    /// Merges some tables into ones of so many bytes, if there are so many new ones or a level is too large. No snapshot looks
    /// below `horizon`.
    pub(crate) fn merge(&self, bytes: u64, new_max: u8, horizon: u64) -> Result<(), DatabaseError> {
        self.begin_merge()?;
        let strategy = Leveled::default().with_table_target_size(bytes).with_l0_threshold(new_max);
        self.tree.compact(Arc::new(strategy), horizon).map_err(engine_error)
    }

    /// Merges all tables into ones of so many bytes.
    pub(crate) fn merge_all(&self, bytes: u64, horizon: u64) -> Result<(), DatabaseError> {
        self.begin_merge()?;
        self.tree.major_compact(bytes, horizon).map_err(engine_error)
    }

    /// Lets go of sets of tables that no snapshot uses: the newest set below `oldest` is what the oldest one looks at.
    pub(crate) fn let_go(&self, oldest: u64) -> Result<(), DatabaseError> {
        let released = self.tree.get_version_history_lock().maintenance(self.path(), oldest);
        released.map_err(engine_error)
    }

    /// The number of the list of tables in force.
    pub(crate) fn list(&self) -> u64 {
        self.tree.current_version().id()
    }

    /// The same, as the disk has it.
    pub(crate) fn list_on_disk(&self) -> std::io::Result<u64> {
        let mut number = [0; 8];
        File::open(self.path().join(CURRENT))?.read_exact(&mut number)?;
        Ok(u64::from_le_bytes(number))
    }

    /// How many tables have not been merged yet.
    pub(crate) fn new_tables(&self) -> usize {
        self.tree.current_version().l0().table_count()
    }

    /// How many versions all tables have, about. That is all of their entries but
    ///
    /// * what each flush says of itself under a key of the engine's own: new tables have one each, merged ones one for all;
    /// * what a replica keeps of itself, which is the last key of all;
    /// * the ends of accepted records, and each of these hides a record in an older table. Of other records there are few.
    pub(crate) fn versions(&self) -> u64 {
        let version = self.tree.current_version();
        let (new, all) = (version.l0().table_count(), version.table_count());
        let own = new + usize::from(all > new);
        let ends_with_own = |table: &&Table| Space::of(table.metadata.key_range.max()) == Space::Replica;
        let of_replica = version.iter_tables().filter(ends_with_own).count();
        let ends = 2 * self.tree.tombstone_count();
        (self.tree.approximate_len().saturating_sub(own + of_replica) as u64).saturating_sub(ends)
    }

    /// The numbers of all tables.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.tree.current_version().iter_tables().map(Table::id).collect()
    }

    /// Bytes of all tables.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.tree.disk_space()
    }

    /// Their directory.
    pub(crate) fn path(&self) -> &Path {
        &self.tree.tree_config().path
    }

    /// Where tables are.
    pub(crate) fn folder(&self) -> PathBuf {
        self.path().join(TABLES)
    }

    /// The number of the next table that is made.
    pub(crate) fn next_table(&self) -> u64 {
        self.tree.next_table_id()
    }

    /// A number for a table that is made elsewhere.
    pub(crate) fn take_number(&self) -> u64 {
        match &self.tree {
            AnyTree::Standard(tree) => tree.get_next_table_id(),
            AnyTree::Blob(tree) => tree.index.get_next_table_id(),
        }
    }

    /// Deletes those of these tables' files that are not in the list in force. Nobody may be writing one, and none of them may
    /// be in an older list.
    pub(crate) fn delete_unlisted(&self, numbers: impl Iterator<Item = u64>) {
        let version = self.tree.current_version();
        // The space comes back when nobody has the file open.
        let open = self.tree.tree_config().descriptor_table.clone();
        for number in numbers {
            if !version.iter_tables().any(|table| table.id() == number) {
                // Most of the numbers are of files that were never made, or are gone.
                let _ = std::fs::remove_file(self.folder().join(number.to_string()));
                open.iter().for_each(|open| open.remove_for_table(&(self.tree.id(), number).into()));
            }
        }
    }
}

/// Names that begin with this are skipped when tables are looked for.
const SKIPPED: &str = "._";

/// The crate takes a table file whose name is no number for damage, and deletes whatever begins like a list of tables and is
/// not the one in force. So files that it did not make get names that it skips.
fn set_strays_aside(path: &Path) -> Result<(), DatabaseError> {
    let name = |stray: &Path| stray.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_list = |name: &str| name.strip_prefix('v').is_some_and(is_number);
    let is_ours = |name: &str| name == CURRENT || name.starts_with(LOST) || is_list(name);
    for stray in strays(&System, path, &[TABLES, DAMAGED], is_ours)? {
        let in_the_way = name(&stray).starts_with('v') && !stray.is_dir();
        if in_the_way { set_aside(&stray, SKIPPED)? } else { leave_alone(&stray) }
    }
    for stray in strays(&System, &path.join(TABLES), &[], is_number)? {
        if name(&stray).starts_with(SKIPPED) { leave_alone(&stray) } else { set_aside(&stray, SKIPPED)? }
    }
    Ok(())
}

/// The crate dates each table in seconds since 1970, and panics where the clock is behind that. Nothing else needs a clock, so
/// tables are put off as on a full disk: the journal has the data, and there is another attempt in a while.
fn is_datable() -> Result<(), DatabaseError> {
    match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
        Ok(_) => Ok(()),
        Err(_) => Err(DatabaseError::Full(
            "this machine's clock is before 1970, and no table can be dated: set the clock".into(),
        )),
    }
}

/// The first number that no table has, neither in the list nor in the directory.
pub(crate) fn first_free_number(path: &Path) -> Result<u64, DatabaseError> {
    let failed = |why: std::io::Error| io_error("list the tables", &why);
    let mut free = List::read(path)?.tables().map(|listed| listed.number + 1).max().unwrap_or(0);
    for Listed { path, .. } in System.list(&path.join(TABLES)).map_err(failed)? {
        if let Some(number) = path.file_name().and_then(|name| name.to_str()?.parse::<u64>().ok()) {
            free = free.max(number + 1);
        }
    }
    Ok(free)
}

#[cfg(test)]
mod doors {
    //! What tests elsewhere do to the files.

    use super::*;

    impl Tree {
        pub(crate) fn list_path(&self, list: u64) -> PathBuf {
            self.path().join(format!("v{list}"))
        }

        pub(crate) fn current_path(&self) -> PathBuf {
            self.path().join(CURRENT)
        }
    }
}
