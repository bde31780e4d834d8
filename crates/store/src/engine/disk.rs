//! The engine on disk: a journal of our own before the tables of the crate `lsm-tree`.
//!
//! ```text
//! write    journal (one write, one sync) ─► memtable: visible ─► the watermark beside it
//! flush    a full memtable ─► synced table without dominated versions ─► its part of the journal is free, but for large values
//! merge    tables ─► fewer tables
//! collect  large values of which few in a segment are in use ─► written again ─► the segment is free
//! open     tables ─► the journal's batches after them ─► compared with the watermark ─► to tables, if there is room
//! ```
//!
//! Every batch has a number, and the numbers have no holes: what is missing or damaged in the middle of the journal is
//! found when it is opened, what is missing at its end is told by the watermark. Either is [`DatabaseError::Damaged`].

use super::failure::{damaged, io_error, space, sync_directory};
use super::journal::{self, Journal};
use super::large::{Collector, Move};
use super::memtable::Size;
use super::snapshot::DiskSnapshot;
use super::tables::Tables;
use super::watermark::Watermark;
use super::workers::Work;
use crate::database::{Change, Database, DatabaseError, WriteBatch};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How much of what the engine may take.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// Bytes of recent writes kept in memory before they go to a table, at least.
    pub memtable_bytes: u64,
    /// The same at most, unless that is less: the more there is in tables, the less often should they be merged with new
    /// ones.
    pub memtable_bytes_max: u64,
    /// Bytes of table blocks kept in memory.
    pub cache_bytes: u64,
    /// Writes are refused while the file system has less room than this; `None` chooses by its size.
    pub min_free_bytes: Option<u64>,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            memtable_bytes: 4 << 20,
            memtable_bytes_max: 32 << 20,
            cache_bytes: 16 << 20,
            min_free_bytes: None,
        }
    }
}

impl DiskOptions {
    /// How large a memtable may become beside tables of so many bytes: every merge of new tables writes most of the old ones
    /// again. With writes refused below `min_free` there is room for the table of one that has grown.
    fn memtable_limit(&self, tables: u64, min_free: u64) -> u64 {
        (tables / 8).min(self.memtable_bytes_max).min(min_free / 4).max(self.memtable_bytes)
    }

    /// Whether a memtable goes to a table. Of large values that gets only pointers, so there may be more of them.
    fn is_full(&self, limit: u64, size: Size) -> bool {
        size.table as u64 > limit || size.memory as u64 > limit.max(self.memtable_bytes_max)
    }
}

/// While there is plenty of room, it is looked at this often, and after this many bytes.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOK_AFTER_BYTES: u64 = 1 << 20;
/// Writes since the last tidying that make another one worth it.
const TIDY_AFTER_BYTES: u64 = 256 << 10;
/// Memtables in which the same keys are written again and again do not grow. They go to a table after so many bytes in the
/// journal, or after this part of the disk: the next start reads them. Of large values twice as many.
const JOURNAL_BYTES: u64 = 32 << 20;
const JOURNAL_PART: u64 = 64;
/// A journal that is longer is shortened at the next opportunity.
const LONG_JOURNAL_BYTES: u64 = 2 << 20;
/// Tables up to this size are merged at every tidying.
const CHEAP_MERGE_BYTES: u64 = 16 << 20;

/// Large values that are put again at once when nobody waits.
const MOVED_AT_ONCE: u64 = 1 << 20;

/// A database in a directory.
pub struct DiskDatabase {
    path: PathBuf,
    options: DiskOptions,
    min_free: u64,
    /// What the journal may hold that is not in tables, unless the memtable is larger; of large values twice as much.
    journal_limit: u64,
    tables: Arc<Tables>,
    work: Arc<Work>,
    threads: Vec<JoinHandle<()>>,
    writer: Mutex<Writer>,
    /// Number of the last durable batch.
    sequence: AtomicU64,
    /// Whether the last write found room.
    had_room: AtomicBool,
    /// Bytes of the journal's files: whoever asks does not wait for a sync.
    journal_bytes: AtomicU64,
}

struct Writer {
    journal: Journal,
    watermark: Watermark,
    /// How large the memtable may become, and what the journal had when it was begun.
    memtable_limit: u64,
    journal_before: u64,
    /// The last flush after which nobody was left looking at its memtable.
    settled: u64,
    written_since_tidy: u64,
    /// Bytes of tables after the last merge of all.
    tidy_bytes: u64,
    /// When the free space was looked at, and what has been written since.
    looked: Option<Instant>,
    written_since_look: u64,
    /// When a full disk was last given back what it could be.
    gave_back: Option<Instant>,
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
        let disk = space(&path)?.total;
        let min_free = options.min_free_bytes.unwrap_or((disk / 50).clamp(4 << 20, 256 << 20));
        let journal_limit = JOURNAL_BYTES.min(disk / JOURNAL_PART);
        let look = |why: std::io::Error| io_error("look for the database", &why);
        let (tables_path, journal_path) = (path.join("tables"), path.join("journal"));
        let watermark_path = path.join("watermark");
        let marked = watermark_path.try_exists().map_err(look)?;
        if marked && let Some(part) = Tables::missing_part(&tables_path).map_err(look)? {
            return Err(damaged(format!("{} is gone", part.display())));
        }
        let tables = Arc::new(Tables::open(&tables_path, options.cache_bytes)?);
        journal::create_directory(&journal_path)?;
        let flushed = tables.flushed()?;
        let memtable_limit = options.memtable_limit(tables.disk_bytes(), min_free);
        let mut unflushed = false;
        let mut recovered = journal::recover(&journal_path, flushed, |batch| {
            tables.apply(batch.changes, &batch.large);
            unflushed = true;
            if options.is_full(memtable_limit, tables.memtable_size())
                && let Some(full) = tables.seal(batch.number)
            {
                tables.flush(&full)?;
                tables.settle();
                unflushed = false;
            }
            Ok(())
        })?;
        let sequence = recovered.last;
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
        recovered.clean_up()?;
        for (segment, file) in recovered.journal.with_large_values() {
            tables.add_file(segment, file);
        }
        let kept = recovered.journal.take_kept(0);
        let work = Work::new(tables.flushed()?, Collector::new(kept));
        let database = Self {
            threads: work
                .start(&tables)
                .map_err(|why| DatabaseError::Fatal(format!("cannot start a thread: {why}")))?,
            path,
            options,
            min_free,
            journal_limit,
            tables,
            work,
            writer: Mutex::new(Writer {
                journal: recovered.journal,
                watermark,
                memtable_limit,
                journal_before: 0,
                settled: 0,
                written_since_tidy: 0,
                tidy_bytes: 0,
                looked: None,
                written_since_look: 0,
                gave_back: None,
            }),
            sequence: AtomicU64::new(sequence.max(1)),
            had_room: AtomicBool::new(true),
            journal_bytes: AtomicU64::new(0),
        };
        let mut writer = database.writer();
        if sequence == 0 {
            // The first batch gives the directory its number one, so that "nothing" is never a legal state later.
            database.commit(&mut writer, WriteBatch::default(), 1)?;
        } else if unflushed && database.free()? >= min_free + 2 * memtable_limit {
            // On a full disk the journal, which was synced again, goes on to hold it.
            database.seal(&mut writer);
            database.work.wait(true)?;
            let flushed = database.catch_up(&mut writer)?;
            writer.journal.shrink(sequence, flushed);
            database.hand_over_kept(&mut writer, database.free().ok());
        }
        database.count_journal_bytes(&writer);
        drop(writer);
        Ok(database)
    }

    /// Number of the last durable batch; never goes back on a disk that keeps its promises.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
    }

    /// Whether there is room for writes now.
    pub fn accepts_writes(&self) -> bool {
        self.free().is_ok_and(|free| free >= self.needed(0))
    }

    /// Bytes that the files take.
    pub fn disk_bytes(&self) -> u64 {
        let journal = self.journal_bytes.load(Ordering::Relaxed) + self.work.collector.disk_bytes();
        self.tables.disk_bytes() + journal
    }

    /// Gives space back: writes recent changes to a table, merges the tables and writes large values again if that is worth
    /// it, and shortens the journal. Call it when nobody waits. Batches may be written meanwhile.
    ///
    /// # Errors
    /// [`DatabaseError::Full`] or [`DatabaseError::Fatal`].
    pub fn maintain(&self) -> Result<(), DatabaseError> {
        let mut writer = self.writer();
        // A long journal is worth it for any write: one may have come while it could have been shortened.
        let long = writer.written_since_tidy > 0 && writer.journal.disk_bytes() > LONG_JOURNAL_BYTES;
        if !self.accepts_writes() {
            self.give_back(&mut writer)?;
            drop(writer);
            match self.work.wait(true) {
                Ok(()) | Err(DatabaseError::Full(_)) => {}
                Err(why) => return Err(why),
            }
            writer = self.writer();
            self.give_back(&mut writer)?;
            self.work.collector.make_room();
            if !self.accepts_writes() {
                return Ok(());
            }
        }
        if writer.written_since_tidy < TIDY_AFTER_BYTES && !long {
            return Ok(());
        }
        self.tidy(writer)?;
        let Some(round) = self.work.collector.begin_quiet_round() else { return Ok(()) };
        while self.work.collector.wait_for_moves(&round) {
            let mut writer = self.writer();
            self.make_room(&mut writer, MOVED_AT_ONCE)?;
            self.write_with_moves(&mut writer, WriteBatch::default(), MOVED_AT_ONCE)?;
        }
        self.tidy(self.writer())
    }

    /// Has [`DiskDatabase::maintain`] end soon, now and later.
    pub fn stop_maintaining(&self) {
        self.work.collector.stop();
    }

    fn tidy(&self, mut writer: MutexGuard<'_, Writer>) -> Result<(), DatabaseError> {
        writer.written_since_tidy = 0;
        let before = writer.tidy_bytes;
        self.seal(&mut writer);
        drop(writer);
        self.work.wait(true)?;
        // A quarter more than what was left last time is garbage, or growth that pays for a merge of everything.
        let bytes = self.tables.disk_bytes();
        let merges = bytes <= CHEAP_MERGE_BYTES || bytes > before + before / 4;
        if merges {
            self.tables.merge_all().inspect_err(|why| self.work.fail(why))?;
        }
        let mut writer = self.writer();
        if merges {
            writer.tidy_bytes = self.tables.disk_bytes();
        }
        let flushed = self.catch_up(&mut writer)?;
        // Merges made a newer set of tables.
        self.tables.settle();
        writer.journal.shrink(self.sequence(), flushed);
        self.hand_over_kept(&mut writer, self.free().ok());
        self.count_journal_bytes(&writer);
        Ok(())
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what the threads have done; returns up to which batch everything is in tables.
    fn catch_up(&self, writer: &mut Writer) -> Result<u64, DatabaseError> {
        if let Some(segment) = self.work.take_spare() {
            writer.journal.add_spare(segment);
        }
        let flushed = self.work.flushed()?;
        if std::mem::replace(&mut writer.settled, flushed) != flushed {
            // The memtable that became a table is not needed any more.
            self.tables.settle();
            self.work.settled(flushed);
        }
        Ok(flushed)
    }

    /// On a full disk: lets go of what nobody needs since the last batch. What a merge has replaced may be half of all tables,
    /// and no further batch comes that would let go of it.
    fn give_back(&self, writer: &mut Writer) -> Result<(), DatabaseError> {
        writer.gave_back = Some(Instant::now());
        if self.tables.memtable_size().is_large_values() {
            // A table of pointers is small; then what its large values have replaced is of no use any more.
            self.seal(writer);
        }
        let flushed = self.catch_up(writer)?;
        self.tables.settle();
        writer.journal.give_back(flushed);
        self.hand_over_kept(writer, None);
        self.count_journal_bytes(writer);
        Ok(())
    }

    /// Gives the collector the segments that are there only for their large values.
    ///
    /// `free`: bytes that the file system has left; `None` when it is full, or does not say.
    fn hand_over_kept(&self, writer: &mut Writer, free: Option<u64>) {
        let collector = &self.work.collector;
        let kept = writer.journal.take_kept(collector.kept_bytes());
        if !kept.is_empty() {
            collector.keep(kept, free);
        }
    }

    fn count_journal_bytes(&self, writer: &Writer) {
        self.journal_bytes.store(writer.journal.disk_bytes(), Ordering::Relaxed);
    }

    /// Has everything in memory written to tables. The guard shows that no batch is on its way.
    fn seal(&self, writer: &mut Writer) {
        if let Some(full) = self.tables.seal(self.sequence()) {
            self.work.push(full);
        }
        writer.memtable_limit = self.options.memtable_limit(self.tables.disk_bytes(), self.min_free);
        writer.journal_before = writer.journal.written();
    }

    fn free(&self) -> Result<u64, DatabaseError> {
        Ok(space(&self.path)?.free)
    }

    /// Free space that a batch needs. More after a refusal, so that a disk at the limit does not flap.
    fn needed(&self, bytes: u64) -> u64 {
        let margin = if self.had_room.load(Ordering::Relaxed) { 1 } else { 2 };
        margin * self.min_free + 2 * bytes
    }

    /// Makes sure that there is room for a batch.
    fn make_room(&self, writer: &mut Writer, bytes: u64) -> Result<(), DatabaseError> {
        let fresh = writer.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY)
            && writer.written_since_look + bytes < LOOK_AFTER_BYTES;
        if !fresh || !self.had_room.load(Ordering::Relaxed) {
            (writer.looked, writer.written_since_look) = (Some(Instant::now()), 0);
            let (mut free, needed) = (self.free()?, self.needed(bytes));
            if free < needed && writer.gave_back.is_none_or(|then| then.elapsed() >= LOOK_EVERY) {
                self.give_back(writer)?;
                free = self.free()?;
            }
            if free < needed {
                return Err(DatabaseError::Full(format!("{free} bytes are free, {needed} are needed")));
            }
        }
        let limit = writer.memtable_limit;
        let in_journal = writer.journal.written() - writer.journal_before;
        let size = self.tables.memtable_size();
        // Large values stay in the journal anyway.
        let journal_limit = if size.is_large_values() { 2 * self.journal_limit } else { self.journal_limit };
        if self.options.is_full(limit, size) || in_journal > limit.max(journal_limit) {
            self.work.wait(false)?;
            self.seal(writer);
        }
        Ok(())
    }

    /// Writes a batch, and with it about `room` bytes of large values that the collector has moved, if there are any.
    fn write_with_moves(
        &self,
        writer: &mut Writer,
        batch: WriteBatch,
        room: u64,
    ) -> Result<(), DatabaseError> {
        let number = self.sequence() + 1;
        let moves = self.work.collector.take_moves(room);
        if moves.is_empty() {
            return if batch.is_empty() { Ok(()) } else { self.commit(writer, batch, number) };
        }
        let count = moves.len();
        let written = self.still_in_use(moves).and_then(|changes| {
            let mut moved = WriteBatch { changes };
            writer.written_since_look += moved.bytes();
            // In this order: what the batch itself says of a key is newer.
            moved.changes.extend(batch.changes);
            if moved.is_empty() { Ok(()) } else { self.commit(writer, moved, number) }
        });
        self.work.collector.moved(count, written.is_ok());
        written
    }

    /// Of the values that are to be moved those whose keys have not been written meanwhile.
    fn still_in_use(&self, moves: Vec<Move>) -> Result<Vec<Change>, DatabaseError> {
        let mut changes = Vec::with_capacity(moves.len());
        for Move { key, value, from } in moves {
            if self.tables.is_at(&key, from)? {
                changes.push(Change::Put(key, value));
            }
        }
        Ok(changes)
    }

    fn commit(&self, writer: &mut Writer, batch: WriteBatch, number: u64) -> Result<(), DatabaseError> {
        let flushed = self.catch_up(writer)?;
        // What could not be recorded after the last batch.
        writer.watermark.set(number - 1).map_err(|why| io_error("record the watermark", &why))?;
        let large = writer.journal.append(number, &batch.changes, flushed)?;
        // Only now: what can be seen is durable.
        self.tables.apply(batch.changes, &large);
        self.sequence.store(number, Ordering::Release);
        if let Err(why) = writer.watermark.set(number) {
            // The batch is in; the next one waits for this.
            log::error!("cannot record the watermark: {why}");
        }
        if writer.journal.has_kept() {
            self.hand_over_kept(writer, self.free().ok());
        }
        self.count_journal_bytes(writer);
        if writer.journal.wants_spare() {
            self.work.ask_for(|| writer.journal.next_blank());
        }
        Ok(())
    }
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

impl Database for DiskDatabase {
    type Snapshot = DiskSnapshot;

    fn write(&self, batch: WriteBatch) -> Result<(), DatabaseError> {
        let mut writer = self.writer();
        let bytes = batch.bytes();
        let written = match self.make_room(&mut writer, bytes) {
            Ok(()) => self.write_with_moves(&mut writer, batch, bytes),
            Err(why) => Err(why),
        };
        if written.is_ok() {
            writer.written_since_tidy += bytes;
            writer.written_since_look += bytes;
        }
        let had_room = !matches!(written, Err(DatabaseError::Full(_)));
        if self.had_room.swap(had_room, Ordering::Relaxed) != had_room {
            log::info!("the disk has {} for writes", if had_room { "room again" } else { "no room" });
        }
        written
    }

    fn drops_dominated(&self) -> bool {
        true
    }

    fn snapshot(&self) -> Result<DiskSnapshot, DatabaseError> {
        Ok(DiskSnapshot { view: Arc::new(self.tables.look()) })
    }
}

impl Drop for DiskDatabase {
    fn drop(&mut self) {
        self.work.stop();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                log::error!("a thread of the database panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::{DatabaseIterator, Snapshot};
    use crate::engine::large::{Location, Stored};
    use crate::key;
    use bytes::Bytes;

    #[test]
    fn a_batch_whose_watermark_failed_is_in_and_the_next_one_is_not_begun() {
        let directory = tempfile::tempdir().unwrap();
        let database = DiskDatabase::open(directory.path(), DiskOptions::default()).unwrap();
        let watermark = directory.path().join("watermark");
        let whole = std::mem::replace(&mut database.writer().watermark, Watermark::broken(&watermark, 1));
        database.put("first".into(), "1".into()).unwrap();
        for _ in 0..2 {
            let refused = database.put("second".into(), "2".into());
            assert!(matches!(refused, Err(DatabaseError::Fatal(_))), "{refused:?}");
        }
        assert_eq!(database.get(b"first").unwrap().unwrap(), "1");
        assert_eq!((database.get(b"second").unwrap(), database.sequence()), (None, 2));
        database.writer().watermark = whole;
        database.put("third".into(), "3".into()).unwrap();
        drop(database);
        let database = DiskDatabase::open(directory.path(), DiskOptions::default()).unwrap();
        assert_eq!((database.get(b"second").unwrap(), database.sequence()), (None, 3));
        assert_eq!(database.get(b"third").unwrap().unwrap(), "3");
    }

    #[test]
    fn a_full_disk_gives_back_the_tables_that_were_merged_since_the_last_batch() {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut database = DiskDatabase::open(directory.path(), DiskOptions::default()).unwrap();
        let min_free = database.min_free;
        let tables = || std::fs::read_dir(directory.path().join("tables/tables")).unwrap().count();
        let journals = || std::fs::read_dir(directory.path().join("journal")).unwrap().count();
        // As large as a value may be that is no large one.
        let value = Bytes::from(vec![7; 4_000]);
        let refused = |database: &mut DiskDatabase, ask: &dyn Fn(&DiskDatabase)| {
            database.min_free = min_free;
            for key in ["a", "b"] {
                for _ in 0..1_000 {
                    database.put(key.into(), value.clone()).unwrap();
                }
                flush(database);
            }
            database.tables.merge_all().unwrap();
            assert!(tables() >= 3, "as long as somebody may look at them");
            let (files, bytes) = (journals(), database.disk_bytes());
            assert!(files > 1, "{files} segments of the journal");
            database.min_free = u64::MAX / 8;
            (database.writer().looked, database.writer().gave_back) = (None, None);
            ask(database);
            assert!(tables() == 1 && journals() < files, "{} tables, {} segments", tables(), journals());
            assert!(database.disk_bytes() < bytes, "{} of {bytes}", database.disk_bytes());
            assert_eq!(database.get(b"b").unwrap().unwrap(), value);
        };
        refused(&mut database, &|database| {
            let refused = database.put("c".into(), "1".into());
            assert!(matches!(refused, Err(DatabaseError::Full(_))), "{refused:?}");
        });
        refused(&mut database, &|database| database.maintain().unwrap());
    }

    #[test]
    fn a_memtable_grows_with_the_tables_and_not_beyond_the_space_that_is_kept_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let options =
            DiskOptions { memtable_bytes: 1_000, min_free_bytes: Some(400_000), ..DiskOptions::default() };
        assert_eq!(options.memtable_limit(7_000, u64::MAX), 1_000);
        assert_eq!(options.memtable_limit(u64::MAX, u64::MAX), options.memtable_bytes_max);
        let database = DiskDatabase::open(directory.path(), options).unwrap();
        let fill = |keys: std::ops::Range<u16>| {
            for key in keys {
                // Bytes that no table stores in fewer.
                let value: Vec<u8> = (0..1_000u32).map(|at| (at * u32::from(key)).to_le_bytes()[1]).collect();
                database
                    .put(key.to_be_bytes().into_iter().chain([1]).collect::<Vec<u8>>().into(), value.into())
                    .unwrap();
            }
            flush(&database);
            let limit = database.writer().memtable_limit;
            (limit, database.tables.disk_bytes())
        };
        let (limit, tables) = fill(0x100..0x120);
        assert!(limit > 1_000 && limit < 32 * 1_100, "{limit} beside {tables}");
        let (limit, tables) = fill(0x100..0x800);
        assert!(limit == 100_000 && tables > 800_000, "{limit} beside {tables}");
    }

    #[test]
    fn a_memtable_holds_more_of_large_values() {
        let directory = tempfile::tempdir().unwrap();
        let options = DiskOptions { memtable_bytes: 1 << 20, ..DiskOptions::default() };
        let database = DiskDatabase::open(directory.path(), options).unwrap();
        let put =
            |key: [u8; 3], size: usize| database.put(Bytes::copy_from_slice(&key), vec![7; size].into());
        for number in 0..100 {
            put([1, 0, number], 64 << 10).unwrap();
        }
        let size = database.tables.memtable_size();
        assert!(size.is_large_values() && size.memory > 6 << 20, "{size:?}");
        // Nearly as large as a large one, but a table gets all of it.
        for number in 0..1_000u16 {
            let [high, low] = number.to_be_bytes();
            put([2, high, low], 4_000).unwrap();
            let size = database.tables.memtable_size();
            assert!(size.table < (1 << 20) + 5_000, "{size:?}");
        }
        assert!(!database.tables.memtable_size().is_large_values());
    }

    /// Data keys of one user key, the newest version first.
    fn versions(count: u64) -> Vec<Bytes> {
        let version = |time| abd::Version::of_write(abd::Timestamp { time, node: 1, boot: 1 });
        (1..=count).rev().map(|time| key::encode(b"k", version(time))).collect()
    }

    /// So large that of a new database the first two go to segments of their own.
    fn large(byte: u8) -> Bytes {
        vec![byte; 400 << 10].into()
    }

    fn flush(database: &DiskDatabase) {
        let mut writer = database.writer();
        database.seal(&mut writer);
        database.work.wait(true).unwrap();
        database.catch_up(&mut writer).unwrap();
    }

    fn pointer(database: &DiskDatabase, key: &[u8]) -> Option<Location> {
        let view = database.tables.look();
        let found = view.in_tables().map(Result::unwrap).find(|(found, _)| found == key);
        match found?.1 {
            Stored::At(pointer) => Some(pointer.location),
            Stored::Value(_) => None,
        }
    }

    /// Rule G1: what dominates is there, so what is dominated may be gone, and nothing else.
    #[test]
    fn g1_a_version_whose_segment_is_gone_is_garbage_if_a_newer_one_is_there_and_else_damage() {
        let directory = tempfile::tempdir().unwrap();
        let database = DiskDatabase::open(directory.path(), DiskOptions::default()).unwrap();
        let keys = versions(2);
        database.put(keys[1].clone(), large(1)).unwrap();
        flush(&database);
        let old = pointer(&database, &keys[1]).unwrap();
        let before = database.snapshot().unwrap();
        database.tables.remove_file(old.segment);
        assert!(
            matches!(database.get(&keys[1]), Err(DatabaseError::Damaged(why)) if why.contains("is gone"))
        );
        let mut iterator = database.snapshot().unwrap().iterator();
        iterator.seek(&keys[0]).unwrap_err();
        iterator.seek_to_last().unwrap_err();
        // Nor is it there if the number has come to mean another segment.
        let another = tempfile::tempfile().unwrap();
        database.tables.add_file(old.segment, &Arc::new(another));
        assert!(
            matches!(database.get(&keys[1]), Err(DatabaseError::Damaged(why)) if why.contains("the end"))
        );
        database.put(keys[0].clone(), large(2)).unwrap();
        for _ in 0..2 {
            assert!(pointer(&database, &keys[1]).is_some(), "it is still in a table");
            assert_eq!(database.get(&keys[1]).unwrap(), None);
            assert_eq!(database.get(&keys[0]).unwrap().unwrap(), large(2));
            let mut iterator = database.snapshot().unwrap().iterator();
            iterator.seek(&keys[0]).unwrap();
            assert_eq!(iterator.entry().unwrap(), (&keys[0], &large(2)));
            iterator.next().unwrap();
            assert!(!iterator.valid());
            iterator.seek(&keys[1]).unwrap();
            assert!(!iterator.valid());
            iterator.seek_to_last().unwrap();
            assert_eq!(iterator.key(), Some(&keys[0]));
            // First from the memtable, then from a table.
            flush(&database);
        }
        assert_eq!(before.get(&keys[1]).unwrap().unwrap(), large(1));
    }

    #[test]
    fn a_moved_value_is_put_again_unless_its_key_has_been_written() {
        let directory = tempfile::tempdir().unwrap();
        let database = DiskDatabase::open(directory.path(), DiskOptions::default()).unwrap();
        let keys: Vec<Bytes> = (1..=4u8).map(|number| Bytes::from(vec![1, number])).collect();
        for key in &keys {
            database.put(key.clone(), large(1)).unwrap();
        }
        flush(&database);
        let from: Vec<Location> = keys.iter().map(|key| pointer(&database, key).unwrap()).collect();
        // The first is written before, the second deleted, the third written by the batch that it would go with.
        database.put(keys[0].clone(), large(2)).unwrap();
        database.delete(keys[1].clone()).unwrap();
        for (key, from) in keys.iter().zip(&from) {
            let collector = &database.work.collector;
            collector.offer(Move { key: key.clone(), value: large(1), from: *from });
        }
        let mut batch = WriteBatch::default();
        batch.put(keys[2].clone(), large(3));
        batch.put(Bytes::from_static(b"\x02"), vec![0; 2 << 20]);
        database.write(batch).unwrap();
        let check = |database: &DiskDatabase| {
            for (key, value) in keys.iter().zip([Some(large(2)), None, Some(large(3)), Some(large(1))]) {
                assert_eq!(database.get(key).unwrap(), value, "{key:?}");
            }
        };
        check(&database);
        flush(&database);
        for (key, from) in keys.iter().zip(from) {
            assert_ne!(pointer(&database, key), Some(from), "{key:?}");
        }
        check(&database);
        drop(database);
        check(&DiskDatabase::open(directory.path(), DiskOptions::default()).unwrap());
    }
}
