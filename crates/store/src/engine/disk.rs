//! The engine on disk: fjall, behind guards.
//!
//! | what fjall does | what is done about it here |
//! |---|---|
//! | drops a damaged part of its journal, and what follows, silently | numbered batches and a watermark beside them |
//! | serves, after kill -9, journal bytes that were never synced | everything recovered is synced before it is served |
//! | is poisoned by a full disk until it is opened again | room is checked before each batch; if it happens all the same, the database is opened again when there is room |
//! | is poisoned by a failed sync | that is final here too: [`DatabaseError::Fatal`] |

use super::watermark::Watermark;
use crate::database::{Change, Database, DatabaseError, DatabaseIterator, Snapshot, WriteBatch};
use bytes::Bytes;
use fjall::{KeyspaceCreateOptions, PersistMode, Readable};
use std::ops::Bound;
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
    pub block_cache_bytes: u64,
    /// Writes are refused while the file system has less room than this; `None` chooses by its size.
    pub min_free_bytes: Option<u64>,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self { memtable_bytes: 8 << 20, block_cache_bytes: 16 << 20, min_free_bytes: None }
    }
}

/// The key of the batch number. Data keys begin with 1 to 3, so it is out of their way.
const SEQUENCE_KEY: &[u8] = b"\x00sequence";
/// How long the watermark may be unsynced under load.
const WATERMARK_SYNC_EVERY: Duration = Duration::from_secs(1);
/// Writes since the last tidying that make another one worth it.
const TIDY_AFTER_BYTES: u64 = 4 << 20;

struct Engine {
    database: fjall::Database,
    keyspace: fjall::Keyspace,
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
    synced_at: Instant,
    /// fjall hit the end of the disk: it must be opened again before the next batch.
    stuck: bool,
    written_since_tidy: u64,
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
        let existed = tables.exists();
        match (existed, watermark_path.exists()) {
            (false, true) => {
                return Err(DatabaseError::Damaged(format!("{} is gone{REBUILD}", tables.display())));
            }
            (true, false) if recovered_sequence(&open_engine(&tables, &options)?)? > 0 => {
                return Err(DatabaseError::Damaged(format!("{} is gone{REBUILD}", watermark_path.display())));
            }
            _ => {}
        }
        let engine = open_engine(&tables, &options)?;
        let sequence = recovered_sequence(&engine)?;
        let watermark = if watermark_path.exists() {
            let (watermark, acknowledged) =
                Watermark::open(&watermark_path).map_err(|why| io_error("open the watermark", &why))?;
            check_watermark(sequence, acknowledged)?;
            watermark
        } else {
            let watermark = Watermark::create(&watermark_path, 1)
                .map_err(|why| io_error("create the watermark", &why))?;
            sync_directory(&path)?;
            watermark
        };
        let writer = Writer { watermark, synced_at: Instant::now(), stuck: false, written_since_tidy: 0 };
        let database = Self {
            path,
            options,
            min_free,
            engine: RwLock::new(Some(Arc::new(engine))),
            writer: Mutex::new(writer),
            sequence: AtomicU64::new(sequence.max(1)),
            accepts_writes: AtomicBool::new(true),
        };
        if sequence == 0 {
            // The first batch gives the directory its number one, so that "nothing" is never a legal state later.
            database.commit_numbered(WriteBatch::default(), 1)?;
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
        self.sync_watermark(&mut writer)?;
        if writer.stuck || writer.written_since_tidy < TIDY_AFTER_BYTES || !self.accepts_writes() {
            return Ok(());
        }
        writer.written_since_tidy = 0;
        let engine = self.engine()?;
        engine.keyspace.rotate_memtable_and_wait().map_err(engine_error)?;
        engine.keyspace.major_compact().map_err(engine_error)
    }

    fn engine(&self) -> Result<Arc<Engine>, DatabaseError> {
        self.engine
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .ok_or_else(|| DatabaseError::Full("the database is being opened again".into()))
    }

    fn commit_numbered(&self, batch: WriteBatch, number: u64) -> Result<(), DatabaseError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.commit_with(&mut writer, batch, number)
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
        changes.insert(&engine.keyspace, SEQUENCE_KEY, number.to_be_bytes());
        if let Err(why) = changes.commit() {
            return Err(self.commit_failed(writer, why));
        }
        writer.watermark.set(number).map_err(|why| io_error("record the watermark", &why))?;
        if writer.synced_at.elapsed() > WATERMARK_SYNC_EVERY {
            self.sync_watermark(writer)?;
        }
        self.sequence.store(number, Ordering::Release);
        writer.written_since_tidy += bytes;
        Ok(())
    }

    fn commit_failed(&self, writer: &mut Writer, why: fjall::Error) -> DatabaseError {
        let low = space(&self.path).is_ok_and(|space| space.free < self.min_free);
        let full = match &why {
            fjall::Error::Io(why) => is_full(why),
            // A background flush failed earlier. With no room left it is taken as the reason.
            fjall::Error::Poisoned => low,
            _ => false,
        };
        if !full {
            return engine_error(why);
        }
        writer.stuck = true;
        self.accepts_writes.store(false, Ordering::Relaxed);
        DatabaseError::Full(why.to_string())
    }

    /// Checks that there is room, and opens a database that ran out of it again.
    fn make_ready(&self, writer: &mut Writer, bytes: u64) -> Result<(), DatabaseError> {
        let free = space(&self.path)?.free;
        // Hysteresis, so that a disk at the limit does not flap.
        let needed = if writer.stuck { 2 * self.min_free } else { self.min_free } + 2 * bytes;
        if free < needed {
            return Err(DatabaseError::Full(format!("{free} bytes are free, {needed} are needed")));
        }
        if !writer.stuck {
            return Ok(());
        }
        let mut engine = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = engine.take() {
            let deadline = Instant::now() + Duration::from_secs(5);
            while Arc::strong_count(&old) > 1 {
                if Instant::now() > deadline {
                    *engine = Some(old);
                    return Err(DatabaseError::Full(
                        "readers still hold the database that ran out of room".into(),
                    ));
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let reopened = open_engine(&self.path.join("fjall"), &self.options)?;
        let sequence = recovered_sequence(&reopened)?;
        check_watermark(sequence, Some(self.sequence()))?;
        self.sequence.store(sequence, Ordering::Release);
        *engine = Some(Arc::new(reopened));
        writer.stuck = false;
        self.accepts_writes.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Syncs the watermark through a handle of its own, on a thread of its own: nobody waits for it.
    fn sync_watermark(&self, writer: &mut Writer) -> Result<(), DatabaseError> {
        let handle = writer.watermark.handle().map_err(|why| io_error("sync the watermark", &why))?;
        writer.synced_at = Instant::now();
        // A failure here loses no data: the file is a second opinion, and stays readable until a power cut.
        std::thread::spawn(move || handle.sync_data().is_ok());
        Ok(())
    }
}

const REBUILD: &str =
    ". This node must not vote with what is left: restore this disk, or replace the node under a new id";

fn check_watermark(recovered: u64, acknowledged: Option<u64>) -> Result<(), DatabaseError> {
    match acknowledged {
        None => Err(DatabaseError::Damaged(format!("both slots of the watermark are unreadable{REBUILD}"))),
        Some(acknowledged) if recovered < acknowledged && (recovered, acknowledged) != (0, 1) => {
            Err(DatabaseError::Damaged(format!(
                "the database ends at batch {recovered}, but batch {acknowledged} was acknowledged{REBUILD}"
            )))
        }
        Some(_) => Ok(()),
    }
}

fn open_engine(path: &Path, options: &DiskOptions) -> Result<Engine, DatabaseError> {
    let damaged = |why: fjall::Error| match &why {
        fjall::Error::Io(io) if is_full(io) => DatabaseError::Full(why.to_string()),
        fjall::Error::Locked => DatabaseError::Fatal("another process has the database open".into()),
        _ => DatabaseError::Damaged(format!("{} cannot be opened: {why}{REBUILD}", path.display())),
    };
    let database = fjall::Database::builder(path)
        .cache_size(options.block_cache_bytes)
        .worker_threads(1)
        .max_journaling_size(128 << 20)
        .open()
        .map_err(damaged)?;
    let memtable = options.memtable_bytes;
    let keyspace = database
        .keyspace("versions", || KeyspaceCreateOptions::default().max_memtable_size(memtable))
        .map_err(damaged)?;
    // After kill -9 the journal may hold bytes that only the page cache has: visible, but not durable.
    database.persist(PersistMode::SyncAll).map_err(engine_error)?;
    Ok(Engine { database, keyspace })
}

fn recovered_sequence(engine: &Engine) -> Result<u64, DatabaseError> {
    let Some(bytes) = engine.keyspace.get(SEQUENCE_KEY).map_err(engine_error)? else { return Ok(0) };
    let Ok(bytes) = <[u8; 8]>::try_from(&bytes[..]) else {
        return Err(DatabaseError::Damaged(format!("the batch number has {} bytes{REBUILD}", bytes.len())));
    };
    Ok(u64::from_be_bytes(bytes))
}

struct Space {
    free: u64,
    total: u64,
}

fn space(path: &Path) -> Result<Space, DatabaseError> {
    let stat = rustix::fs::statvfs(path).map_err(|why| io_error("look at the free space", &why.into()))?;
    Ok(Space { free: stat.f_bavail * stat.f_frsize, total: stat.f_blocks * stat.f_frsize })
}

fn sync_directory(path: &Path) -> Result<(), DatabaseError> {
    std::fs::File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|why| io_error("sync the database directory", &why))
}

fn is_full(why: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(why.kind(), StorageFull | QuotaExceeded)
}

fn io_error(what: &str, why: &std::io::Error) -> DatabaseError {
    if is_full(why) {
        DatabaseError::Full(format!("cannot {what}: {why}"))
    } else {
        DatabaseError::Fatal(format!("cannot {what}: {why}"))
    }
}

fn engine_error(why: fjall::Error) -> DatabaseError {
    match &why {
        fjall::Error::Io(io) => io_error("use the database", io),
        fjall::Error::Poisoned => {
            DatabaseError::Fatal("a background task of the engine failed (see the log above)".into())
        }
        _ => DatabaseError::Damaged(format!("{why}{REBUILD}")),
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

    fn snapshot(&self) -> Result<DiskSnapshot, DatabaseError> {
        let engine = self.engine()?;
        let snapshot = engine.database.snapshot();
        Ok(DiskSnapshot { view: Arc::new(View { snapshot, engine }) })
    }
}

/// Fields drop in order: the snapshot before the engine that it looks at.
struct View {
    snapshot: fjall::Snapshot,
    engine: Arc<Engine>,
}

/// A frozen view of a [`DiskDatabase`].
pub struct DiskSnapshot {
    view: Arc<View>,
}

impl Snapshot for DiskSnapshot {
    type Iterator = DiskIterator;

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DatabaseError> {
        let found = self.view.snapshot.get(&self.view.engine.keyspace, key).map_err(engine_error)?;
        Ok(found.map(Bytes::from))
    }

    fn iterator(&self) -> DiskIterator {
        DiskIterator { ahead: None, at: None, view: self.view.clone() }
    }
}

/// A position in a [`DiskSnapshot`]. Going up uses one engine iterator; every other move opens a new one.
pub struct DiskIterator {
    ahead: Option<fjall::Iter>,
    at: Option<(Bytes, Bytes)>,
    view: Arc<View>,
}

impl DiskIterator {
    fn stand(&mut self, guard: Option<fjall::Guard>) -> Result<(), DatabaseError> {
        self.at = None;
        if let Some(guard) = guard {
            let (key, value) = guard.into_inner().map_err(engine_error)?;
            self.at = Some((Bytes::from(key), Bytes::from(value)));
        }
        Ok(())
    }

    fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> fjall::Iter {
        self.view.snapshot.range::<&[u8], _>(&self.view.engine.keyspace, (from, to))
    }

    fn up_from(&mut self, from: Bound<&[u8]>) -> Result<(), DatabaseError> {
        let mut ahead = self.range(from, Bound::Unbounded);
        let first = ahead.next();
        self.ahead = Some(ahead);
        self.stand(first)
    }

    fn down_from(&mut self, to: Bound<&[u8]>) -> Result<(), DatabaseError> {
        let last = self.range(Bound::Unbounded, to).next_back();
        self.ahead = None;
        self.stand(last)
    }
}

impl DatabaseIterator for DiskIterator {
    fn seek(&mut self, key: &[u8]) -> Result<(), DatabaseError> {
        self.up_from(Bound::Included(key))
    }

    fn seek_to_first(&mut self) -> Result<(), DatabaseError> {
        self.up_from(Bound::Unbounded)
    }

    fn seek_to_last(&mut self) -> Result<(), DatabaseError> {
        self.down_from(Bound::Unbounded)
    }

    fn next(&mut self) -> Result<(), DatabaseError> {
        if self.at.is_none() {
            return Ok(());
        }
        if let Some(ahead) = &mut self.ahead {
            let next = ahead.next();
            return self.stand(next);
        }
        let Some((key, _)) = self.at.take() else { return Ok(()) };
        self.up_from(Bound::Excluded(&key))
    }

    fn prev(&mut self) -> Result<(), DatabaseError> {
        let Some((key, _)) = self.at.take() else { return Ok(()) };
        self.down_from(Bound::Excluded(&key))
    }

    fn entry(&self) -> Option<(&Bytes, &Bytes)> {
        self.at.as_ref().map(|(key, value)| (key, value))
    }
}
