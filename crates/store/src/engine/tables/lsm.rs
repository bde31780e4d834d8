//! The tables of the crate `lsm-tree`. This is the only file that names it: what the engine relies on is here, and so is what
//! the crate does beyond what it documents. Its version is pinned; read this file again before another one is taken.
//!
//! Relied on beyond the crate's documentation: the file `current` has the number of the list of tables in force, and is what
//! takes effect last; table files are named by numbers that go up; a set of tables that a snapshot looks at stays until
//! [`Tree::let_go`]; on opening, files in the directory of tables that no list names are deleted, and names that are no numbers
//! are refused unless they begin with `._`.

use crate::database::DatabaseError;
use crate::engine::failure::{caught, damaged, io_error};
use crate::engine::merge::Merge;
use crate::engine::strays::{is_number, leave_alone, set_aside, strays};
use bytes::Bytes;
use lsm_tree::compaction::Leveled;
use lsm_tree::compaction::filter::{CompactionFilter, Context, Factory, ItemAccessor, Verdict};
use lsm_tree::{AbstractTree, AnyTree, Cache, Config, Guard, IterGuardImpl, SequenceNumberCounter};
use lsm_tree::{InternalValue, UserKey, ValueType};
use std::fs::File;
use std::io::Read;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};

/// Names that the crate gives: the list of tables in use, and the directory of its files.
const CURRENT: &str = "current";
const TABLES: &str = "tables";

/// Sorted tables on disk. Every entry has the number of its batch, and whoever reads says up to which number.
pub(super) struct Tree {
    tree: AnyTree,
    /// Numbers puts and new sets of tables.
    counter: SequenceNumberCounter,
    /// The number from which on the next merge names its tables.
    next_merge: Arc<AtomicU64>,
}

/// What a table gets for a key.
pub(in crate::engine) struct Row {
    pub(in crate::engine) key: Bytes,
    /// `None`: the key's end.
    pub(in crate::engine) value: Option<Bytes>,
    /// The number of its batch.
    pub(in crate::engine) number: u64,
}

/// A walk over the entries of all tables, the newest of each key.
pub(in crate::engine) struct Entries(Box<dyn DoubleEndedIterator<Item = IterGuardImpl> + Send>);

type Entry = Result<(Bytes, Bytes), DatabaseError>;

fn entry(guard: IterGuardImpl) -> Entry {
    let (key, value) = guard.into_inner().map_err(engine_error)?;
    Ok((key.into(), value.into()))
}

impl Iterator for Entries {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        self.0.next().map(entry)
    }
}

impl DoubleEndedIterator for Entries {
    fn next_back(&mut self) -> Option<Entry> {
        self.0.next_back().map(entry)
    }
}

impl Tree {
    /// Opens or creates the tables in `path`.
    ///
    /// # Errors
    /// [`DatabaseError::Damaged`] when they cannot be read.
    pub(super) fn open(path: &Path, cache_bytes: u64) -> Result<Self, DatabaseError> {
        set_strays_aside(path)?;
        let (counter, unused) = (SequenceNumberCounter::default(), SequenceNumberCounter::default());
        let next_merge = Arc::new(AtomicU64::new(0));
        let filters = Merges { folder: path.join(TABLES), first: next_merge.clone() };
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
        Ok(Self { tree, counter, next_merge })
    }

    /// The first part that every directory of tables has and that this one has not.
    pub(super) fn missing_part(path: &Path) -> std::io::Result<Option<PathBuf>> {
        let current = path.join(CURRENT);
        Ok(if current.try_exists()? { None } else { Some(current) })
    }

    /// A number for a batch, above all others so far.
    pub(super) fn next_number(&self) -> u64 {
        self.counter.next()
    }

    /// Whoever looks up to here sees all there is.
    pub(super) fn end(&self) -> u64 {
        self.counter.get()
    }

    /// The newest value of a key below the number `at`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn get(&self, key: &[u8], at: u64) -> Result<Option<Bytes>, DatabaseError> {
        Ok(self.tree.get(key, at).map_err(engine_error)?.map(Bytes::from))
    }

    /// The same, whatever its number.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn get_newest(&self, key: &[u8]) -> Result<Option<Bytes>, DatabaseError> {
        self.get(key, u64::MAX >> 1)
    }

    /// Entries within bounds, which may not be upside down, below the number `at`.
    pub(super) fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, at: u64) -> Entries {
        Entries(self.tree.range::<&[u8], _>((from, to), at, None))
    }

    /// No flush is going on while this is held.
    pub(super) fn flush_lock(&self) -> MutexGuard<'_, ()> {
        self.tree.get_flush_lock()
    }

    /// Writes rows, in the order of their keys, to synced tables, which take effect. No snapshot then looks below `horizon`. While
    /// [`Tree::flush_lock`] is held.
    ///
    /// # Errors
    /// [`DatabaseError::Full`] or [`DatabaseError::Fatal`].
    pub(super) fn flush(
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

    /// Merges some tables into ones of so many bytes, if there are so many new ones or a level is too large. No snapshot looks
    /// below `horizon`.
    ///
    /// # Errors
    /// As [`Tree::flush`].
    pub(super) fn merge(&self, bytes: u64, new_max: u8, horizon: u64) -> Result<(), DatabaseError> {
        is_datable()?;
        self.next_merge.store(self.next_table(), Ordering::Relaxed);
        let strategy = Leveled::default().with_table_target_size(bytes).with_l0_threshold(new_max);
        self.tree.compact(Arc::new(strategy), horizon).map_err(engine_error)
    }

    /// Merges all tables into ones of so many bytes.
    ///
    /// # Errors
    /// As [`Tree::flush`].
    pub(super) fn merge_all(&self, bytes: u64, horizon: u64) -> Result<(), DatabaseError> {
        is_datable()?;
        self.next_merge.store(self.next_table(), Ordering::Relaxed);
        self.tree.major_compact(bytes, horizon).map_err(engine_error)
    }

    /// Lets go of sets of tables that no snapshot uses: the newest set below `oldest` is what the oldest one looks at.
    ///
    /// # Errors
    /// When a file cannot be deleted.
    pub(super) fn let_go(&self, oldest: u64) -> Result<(), DatabaseError> {
        let released = self.tree.get_version_history_lock().maintenance(self.path(), oldest);
        released.map_err(engine_error)
    }

    /// The number of the list of tables in force.
    pub(super) fn list(&self) -> u64 {
        self.tree.current_version().id()
    }

    /// The same, as the disk has it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn list_on_disk(&self) -> std::io::Result<u64> {
        let mut number = [0; 8];
        File::open(self.path().join(CURRENT))?.read_exact(&mut number)?;
        Ok(u64::from_le_bytes(number))
    }

    /// How many tables have not been merged yet.
    pub(super) fn new_tables(&self) -> usize {
        self.tree.current_version().l0().table_count()
    }

    /// How many entries all tables have, but for what each flush says of itself under a key of the engine's own: new tables have
    /// one each, merged ones one for all.
    pub(super) fn entries(&self) -> u64 {
        let version = self.tree.current_version();
        let (new, all) = (version.l0().table_count(), version.table_count());
        let own = new + usize::from(all > new);
        (self.tree.approximate_len().saturating_sub(own)) as u64
    }

    /// Bytes of all tables.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.tree.disk_space()
    }

    fn path(&self) -> &Path {
        &self.tree.tree_config().path
    }

    /// Where tables are.
    pub(super) fn folder(&self) -> PathBuf {
        self.path().join(TABLES)
    }

    /// The number of the next table that is made.
    pub(super) fn next_table(&self) -> u64 {
        self.tree.next_table_id()
    }

    /// Deletes those of these tables' files that are not in the list in force. Nobody may be writing one, and none of them may
    /// be in an older list.
    pub(super) fn delete_unlisted(&self, numbers: impl Iterator<Item = u64>) {
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

    #[cfg(test)]
    pub(super) fn list_path(&self, list: u64) -> PathBuf {
        self.path().join(format!("v{list}"))
    }

    #[cfg(test)]
    pub(super) fn current_path(&self) -> PathBuf {
        self.path().join(CURRENT)
    }
}

/// Names that begin with this are skipped when tables are looked for.
const SKIPPED: &str = "._";

/// The crate takes a table file whose name is no number for damage, and deletes whatever begins like a list of tables and is
/// not the one in force. So files that it did not make get names that it skips.
fn set_strays_aside(path: &Path) -> Result<(), DatabaseError> {
    let name = |stray: &Path| stray.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_list = |name: &str| name.strip_prefix('v').is_some_and(is_number);
    for stray in strays(path, &[TABLES], |name| name == CURRENT || is_list(name))? {
        let in_the_way = name(&stray).starts_with('v') && !stray.is_dir();
        if in_the_way { set_aside(&stray, SKIPPED)? } else { leave_alone(&stray) }
    }
    for stray in strays(&path.join(TABLES), &[], is_number)? {
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

/// A missing or short file is lost data, a checksum that does not match too; everything else that a file system
/// reports is a disk that fails.
fn engine_error(why: lsm_tree::Error) -> DatabaseError {
    use std::io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    match &why {
        lsm_tree::Error::Io(io) if !matches!(io.kind(), InvalidData | NotFound | UnexpectedEof) => {
            io_error("use the tables", io)
        }
        _ => damaged(&why),
    }
}

/// Makes a filter for each merge.
struct Merges {
    folder: PathBuf,
    first: Arc<AtomicU64>,
}

impl Factory for Merges {
    fn name(&self) -> &str {
        "dominated versions"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(Filter(Merge::new(self.folder.clone(), self.first.load(Ordering::Relaxed))))
    }
}

struct Filter(Merge);

impl CompactionFilter for Filter {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> lsm_tree::Result<Verdict> {
        let keeps = self.0.keeps(item.key(), item.value()?.len());
        Ok(if keeps { Verdict::Keep } else { Verdict::Destroy })
    }
}
