//! The engine on disk: fjall, behind guards.
//!
//! | what fjall does | what is done about it here |
//! |---|---|
//! | drops a damaged part of its journal, and what follows, silently | numbered batches and a watermark beside them |
//! | drops the end of a damaged *older* journal, and goes on with the next one | every batch signs a ring, so that a hole shows |
//! | serves, after kill -9 or a failed sync, journal bytes that only the page cache has | everything recovered goes to fresh, synced tables before it is served |
//! | panics over some damaged bytes of its journal | caught: [`DatabaseError::Damaged`] |
//! | is poisoned by a full disk until it is opened again | room is checked before each batch; if it happens all the same, the database is opened again when there is room |
//! | is poisoned by a failed sync | that is final here too: [`DatabaseError::Fatal`] |

use super::failure::{REBUILD, damaged, engine_error, io_error, io_inside, is_full, space, sync_directory};
use super::merge::DominatedFilters;
use super::snapshot::{DiskSnapshot, View};
use super::watermark::Watermark;
use crate::database::{Change, Database, DatabaseError, WriteBatch};
use fjall::{KeyspaceCreateOptions, PersistMode};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How much of what the engine may take.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// Bytes of recent writes kept in memory before they go to a table.
    pub memtable_bytes: u64,
    /// Bytes of table blocks kept in memory.
    pub cache_bytes: u64,
    /// Writes are refused while the file system has less room than this; `None` chooses by its size.
    pub min_free_bytes: Option<u64>,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self { memtable_bytes: 8 << 20, cache_bytes: 16 << 20, min_free_bytes: None }
    }
}

/// Keys that begin with zero are the engine's own: iterators begin here.
pub(super) const FIRST: &[u8] = &[1];
/// Batch n writes its number under this and n modulo 2^16: about as many batches as a memtable takes.
const RING_PREFIX: &[u8] = b"\x00ring";
const RING_SLOTS: u64 = 1 << 16;
/// How long to wait for readers and background threads to let go of a database that is opened again.
const REOPEN_PATIENCE: Duration = Duration::from_secs(2);
/// While there is plenty of room, it is looked at this often, and after this many bytes.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOK_AFTER_BYTES: u64 = 1 << 20;
/// Writes since the last tidying that make another one worth it.
const TIDY_AFTER_BYTES: u64 = 4 << 20;

pub(super) struct Engine {
    database: fjall::Database,
    pub(super) keyspace: fjall::Keyspace,
}

/// A database in a directory.
pub struct DiskDatabase {
    path: PathBuf,
    options: DiskOptions,
    min_free: u64,
    /// `None` only while it is opened again after the disk was full.
    engine: RwLock<Option<Arc<Engine>>>,
    writer: Mutex<Writer>,
    sequence: AtomicU64,
    accepts_writes: AtomicBool,
}

struct Writer {
    watermark: Watermark,
    /// fjall hit the end of the disk: it must be opened again before the next batch.
    stuck: bool,
    /// There was little room at the last write: if a background task has failed since, that is why.
    was_low: bool,
    written_since_tidy: u64,
    /// When the free space was looked at, and what has been written since.
    looked: Option<Instant>,
    written_since_look: u64,
}

impl DiskDatabase {
    /// Opens the database in `path`, or creates one if there is none.
    ///
    /// # Errors
    /// [`DatabaseError::Damaged`] when acknowledged data is missing or unreadable, [`DatabaseError::Full`] when there
    /// is no room to open it, [`DatabaseError::Fatal`] for other failures of the disk.
    pub fn open(path: impl AsRef<Path>, options: DiskOptions) -> Result<Self, DatabaseError> {
        let path = path.as_ref().to_path_buf();
        std::fs::create_dir_all(&path).map_err(|why| io_error("create the database directory", &why))?;
        let min_free = match options.min_free_bytes {
            Some(bytes) => bytes,
            None => (space(&path)?.total / 50).clamp(4 << 20, 256 << 20),
        };
        let (tables, watermark_path) = (path.join("fjall"), path.join("watermark"));
        let marked = exists(&watermark_path)?;
        if marked && !exists(&tables)? {
            return Err(damaged(format!("{} is gone", tables.display())));
        }
        let engine = Engine::open(&tables, &options)?;
        let sequence = engine.recovered_sequence()?;
        let watermark = if marked {
            let (watermark, acknowledged) =
                Watermark::open(&watermark_path).map_err(|why| io_error("open the watermark", &why))?;
            check_watermark(sequence, acknowledged)?;
            watermark
        } else if sequence > 0 {
            return Err(damaged(format!("{} is gone", watermark_path.display())));
        } else {
            // The tables first: a watermark without them means that they were lost.
            sync_directory(&path)?;
            let watermark = Watermark::create(&watermark_path, 1)
                .map_err(|why| io_error("create the watermark", &why))?;
            sync_directory(&path)?;
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                sync_directory(parent)?;
            }
            watermark
        };
        // On a full disk the flush has no room; then the journal, synced again, has to do. It holds what was
        // acknowledged unless a sync failed before, and that was fatal then.
        if space(&path)?.free >= min_free + 2 * options.memtable_bytes {
            engine.flush()?;
        }
        let database = Self {
            path,
            options,
            min_free,
            engine: RwLock::new(Some(Arc::new(engine))),
            writer: Mutex::new(Writer {
                watermark,
                stuck: false,
                was_low: false,
                written_since_tidy: 0,
                looked: None,
                written_since_look: 0,
            }),
            sequence: AtomicU64::new(sequence.max(1)),
            accepts_writes: AtomicBool::new(true),
        };
        if sequence == 0 {
            // The first batch gives the directory its number one, so that "nothing" is never a legal state later.
            let mut writer = database.writer.lock().unwrap_or_else(PoisonError::into_inner);
            database.commit_with(&mut writer, WriteBatch::default(), 1)?;
        }
        Ok(database)
    }

    /// Number of the last durable batch; never goes back on a disk that keeps its promises.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
    }

    /// Whether there is room for writes now.
    pub fn accepts_writes(&self) -> bool {
        let room = space(&self.path).is_ok_and(|space| space.free >= self.min_free);
        let stuck = !self.accepts_writes.load(Ordering::Relaxed);
        room && (!stuck || space(&self.path).is_ok_and(|space| space.free >= 2 * self.min_free))
    }

    /// Bytes that the files take.
    pub fn disk_bytes(&self) -> u64 {
        self.engine()
            .and_then(|engine| engine.database.disk_space().map_err(engine_error))
            .unwrap_or_default()
    }

    /// Gives space back: writes recent changes to a table and merges the tables. Call it when nobody waits.
    ///
    /// # Errors
    /// [`DatabaseError::Full`] or [`DatabaseError::Fatal`].
    pub fn maintain(&self) -> Result<(), DatabaseError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.stuck || writer.written_since_tidy < TIDY_AFTER_BYTES || !self.accepts_writes() {
            return Ok(());
        }
        writer.written_since_tidy = 0;
        let engine = self.engine()?;
        engine.flush_raw().and_then(|()| engine.keyspace.major_compact()).map_err(|why| {
            drop(engine);
            self.engine_failed(&mut writer, why)
        })
    }

    fn engine(&self) -> Result<Arc<Engine>, DatabaseError> {
        self.engine
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .ok_or_else(|| DatabaseError::Full("the database is being opened again".into()))
    }

    fn commit_with(&self, writer: &mut Writer, batch: WriteBatch, number: u64) -> Result<(), DatabaseError> {
        let bytes = batch.bytes();
        let engine = self.engine()?;
        // With a durability, fjall 3.1 syncs the journal before it touches the memtable: a snapshot never shows what
        // a power cut can take away.
        let mut changes = engine.database.batch().durability(Some(PersistMode::SyncData));
        for change in batch.changes {
            match change {
                Change::Put(key, value) => changes.insert(&engine.keyspace, key, value),
                Change::Delete(key) => changes.remove(&engine.keyspace, key),
            }
        }
        changes.insert(&engine.keyspace, ring_key(number), number.to_be_bytes());
        if let Err(why) = changes.commit() {
            return Err(self.engine_failed(writer, why));
        }
        self.sequence.store(number, Ordering::Release);
        writer.watermark.set(number).map_err(|why| io_error("record the watermark", &why))?;
        writer.written_since_tidy += bytes;
        writer.written_since_look += bytes;
        Ok(())
    }

    /// Whether a flush or a compaction may fail for lack of room. What a failed one had written is given back at once,
    /// so there may be more room now than when it failed.
    fn is_low(&self, free: u64) -> bool {
        free < 2 * self.min_free + 4 * self.options.memtable_bytes
    }

    fn engine_failed(&self, writer: &mut Writer, why: fjall::Error) -> DatabaseError {
        let full = match io_inside(&why) {
            Some(io) => is_full(io),
            // A background flush failed earlier. With little room left that is taken as the reason.
            None => {
                matches!(why, fjall::Error::Poisoned)
                    && (writer.was_low || space(&self.path).is_ok_and(|space| self.is_low(space.free)))
            }
        };
        if !full {
            return engine_error(why);
        }
        log::error!("the database ran out of room: {why}");
        writer.stuck = true;
        self.accepts_writes.store(false, Ordering::Relaxed);
        DatabaseError::Full(why.to_string())
    }

    /// Checks that there is room, and opens a database that ran out of it again.
    fn make_ready(&self, writer: &mut Writer, bytes: u64) -> Result<(), DatabaseError> {
        let fresh = writer.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY)
            && writer.written_since_look + bytes < LOOK_AFTER_BYTES;
        if fresh && !writer.stuck && !writer.was_low {
            return Ok(());
        }
        let free = space(&self.path)?.free;
        (writer.looked, writer.written_since_look) = (Some(Instant::now()), 0);
        // Hysteresis, so that a disk at the limit does not flap.
        let needed = if writer.stuck { 2 * self.min_free } else { self.min_free } + 2 * bytes;
        if free < needed {
            writer.was_low = true;
            return Err(DatabaseError::Full(format!("{free} bytes are free, {needed} are needed")));
        }
        let was_low = std::mem::replace(&mut writer.was_low, self.is_low(free));
        if !writer.stuck && was_low {
            // A background flush may have failed since the last batch, and the engine with it. Better to learn that
            // before this batch is handed over: then it need not be refused.
            let engine = self.engine()?;
            if let Err(why) = engine.probe() {
                drop(engine);
                writer.was_low = true;
                match self.engine_failed(writer, why) {
                    DatabaseError::Full(_) => {}
                    other => return Err(other),
                }
            }
        }
        if !writer.stuck {
            return Ok(());
        }
        let mut engine = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        let deadline = Instant::now() + REOPEN_PATIENCE;
        if let Some(mut old) = engine.take() {
            loop {
                match Arc::try_unwrap(old) {
                    Ok(unshared) => break drop(unshared),
                    Err(shared) if Instant::now() > deadline => {
                        *engine = Some(shared);
                        let why = "readers still hold the database that ran out of room";
                        return Err(DatabaseError::Full(why.into()));
                    }
                    Err(shared) => old = shared,
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let reopened = Engine::open(&self.path.join("fjall"), &self.options)?;
        let sequence = reopened.recovered_sequence()?;
        check_watermark(sequence, Some(self.sequence()))?;
        // The batch that failed may be found again in the page cache, and nowhere else.
        reopened.flush()?;
        self.sequence.store(sequence, Ordering::Release);
        *engine = Some(Arc::new(reopened));
        writer.stuck = false;
        self.accepts_writes.store(true, Ordering::Relaxed);
        log::info!("there is room again: the database was opened again at batch {sequence}");
        Ok(())
    }
}

fn exists(path: &Path) -> Result<bool, DatabaseError> {
    path.try_exists().map_err(|why| io_error("look for the database", &why))
}

fn ring_key(number: u64) -> Vec<u8> {
    let slot = number % RING_SLOTS;
    [RING_PREFIX, &slot.to_be_bytes()].concat()
}

fn number_in(bytes: &[u8]) -> Result<u64, DatabaseError> {
    let bytes = bytes.try_into().map_err(|_| damaged(format!("a batch number has {} bytes", bytes.len())))?;
    Ok(u64::from_be_bytes(bytes))
}

fn check_watermark(recovered: u64, acknowledged: Option<u64>) -> Result<(), DatabaseError> {
    match acknowledged {
        None => Err(damaged("both slots of the watermark are unreadable")),
        Some(acknowledged) if recovered < acknowledged && (recovered, acknowledged) != (0, 1) => {
            Err(damaged(format!(
                "the database ends at batch {recovered}, but batch {acknowledged} was acknowledged"
            )))
        }
        Some(_) => Ok(()),
    }
}

impl Engine {
    fn open(path: &Path, options: &DiskOptions) -> Result<Self, DatabaseError> {
        // Whatever fjall cannot make sense of while it opens was readable when it was acknowledged.
        let failed = |why: fjall::Error| match engine_error(why) {
            DatabaseError::Damaged(why) if why.ends_with(REBUILD) => {
                DatabaseError::Damaged(format!("{} cannot be opened: {why}", path.display()))
            }
            other => other,
        };
        let deadline = Instant::now() + REOPEN_PATIENCE;
        let database = loop {
            let builder = fjall::Database::builder(path)
                .cache_size(options.cache_bytes)
                .worker_threads(1)
                .with_compaction_filter_factories(Arc::new(|_| Some(Arc::new(DominatedFilters))))
                .max_journaling_size(128 << 20);
            // fjall 3.1 asserts on some damaged bytes of its journal where it could return an error.
            let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| builder.open()))
                .map_err(|_| damaged(format!("the engine panicked while it opened {}", path.display())))?;
            match opened {
                // Background threads of a database that was just closed may have it for a moment.
                Err(fjall::Error::Locked) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                other => break other.map_err(failed)?,
            }
        };
        let memtable = options.memtable_bytes;
        let keyspace = database
            .keyspace("versions", || KeyspaceCreateOptions::default().max_memtable_size(memtable))
            .map_err(failed)?;
        // After kill -9 the journal may hold bytes that only the page cache has: visible, but not durable.
        database.persist(PersistMode::SyncAll).map_err(engine_error)?;
        Ok(Self { database, keyspace })
    }

    /// Writes everything in memory to tables, which fjall syncs; waits for it.
    fn flush(&self) -> Result<(), DatabaseError> {
        self.flush_raw().map_err(engine_error)
    }

    /// Not `rotate_memtable_and_wait`: that waits for ever for a flush that failed.
    fn flush_raw(&self) -> fjall::Result<()> {
        self.keyspace.rotate_memtable()?;
        while self.keyspace.sealed_memtable_count() > 0 {
            self.probe()?;
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Writes nothing; fails if a background task did.
    fn probe(&self) -> fjall::Result<()> {
        self.database.persist(PersistMode::Buffer)
    }

    /// The number of the last batch that is there, zero if there is none; after a look for holes before it.
    fn recovered_sequence(&self) -> Result<u64, DatabaseError> {
        let mut signed = Vec::new();
        for entry in self.keyspace.prefix(RING_PREFIX) {
            signed.push(number_in(&entry.value().map_err(engine_error)?)?);
        }
        signed.sort_unstable();
        let hole = signed.windows(2).find(|pair| pair[0] + 1 != pair[1]);
        if let Some(pair) = hole {
            return Err(damaged(format!("batches between {} and {} are missing", pair[0], pair[1])));
        }
        Ok(signed.last().copied().unwrap_or_default())
    }
}

impl Database for DiskDatabase {
    type Snapshot = DiskSnapshot;

    fn write(&self, batch: WriteBatch) -> Result<(), DatabaseError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.make_ready(&mut writer, batch.bytes())?;
        let number = self.sequence() + 1;
        self.commit_with(&mut writer, batch, number)
    }

    fn drops_dominated(&self) -> bool {
        true
    }

    fn snapshot(&self) -> Result<DiskSnapshot, DatabaseError> {
        let engine = self.engine()?;
        let snapshot = engine.database.snapshot();
        Ok(DiskSnapshot { view: Arc::new(View { snapshot, engine }) })
    }
}
