//! The engine on disk: a journal of our own before the tables of a library.
//!
//! ```text
//! write    journal (one write, one sync) ─► memtable: visible ─► the watermark
//! flush    a full memtable ─► synced table without dominated versions ─► its part of the journal is free, but for large values
//! merge    tables ─► fewer tables
//! collect  large values of which few in a segment are in use ─► written again ─► the segment is free
//! open     tables ─► the journal's batches after them ─► compared with the watermark ─► to tables, if there is room
//! ```
//!
//! Every batch has a number, and the numbers have no holes: what is missing or damaged in the middle of the journal is
//! found when it is opened, what is missing at its end is told by the watermark. Either is [`DatabaseError::Damaged`].

mod format;
mod ground;
mod loss;
mod open;
mod options;
mod room;
mod rounds;
#[cfg(test)]
mod tests;
mod tidy;

pub use ground::failure::catches_panics;
pub use ground::lost::Lost;
pub use ground::snapshot::{DiskIterator, DiskSnapshot};
pub use ground::tables::lsm::LOG_FILTER;
pub use ground::watermark::{Recorded, Watermark};
pub use options::DiskOptions;
pub use rounds::scrub::{Scrub, ScrubStatus};

use crate::damage::{DamagedParts, Part};
use crate::database::{Change, Database, DatabaseError, DirectoryId, WriteBatch};
use crate::files::FileSystem;
use ground::failure::io_error;
use ground::log::Journal;
use ground::tables::Tables;
use room::Room;
use rounds::collect::Move;
use rounds::upkeep::Upkeep;
use rounds::workers::Work;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// A database in a directory.
pub struct DiskDatabase {
    files: Arc<dyn FileSystem>,
    path: PathBuf,
    options: DiskOptions,
    min_free: u64,
    /// What the journal may hold that is not in tables, unless the memtable is larger; of large values twice as much.
    journal_limit: u64,
    tables: Arc<Tables>,
    upkeep: Arc<Upkeep>,
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
    watermark: Arc<Watermark>,
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
    /// Whether batches have hidden or taken away something since memtables were last written to tables for it.
    made_room: bool,
    /// When a full disk was last given back what it could be.
    gave_back: Option<Instant>,
}

impl DiskDatabase {
    /// Number of the last durable batch; never goes back on a disk that keeps its promises.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
    }

    /// Whether there is room for writes now.
    pub fn accepts_writes(&self) -> bool {
        self.free().is_ok_and(|free| free >= self.needed(0))
    }

    /// Whether the engine goes on: its threads do not say so by themselves.
    ///
    /// # Errors
    /// What a thread failed with. The next batch would hear it, too.
    pub fn check(&self) -> Result<(), DatabaseError> {
        self.work.flushed()?;
        // Whoever holds this looks, too.
        let Ok(writer) = self.writer.try_lock() else { return Ok(()) };
        writer.watermark.check().map_err(|why| io_error("sync the watermark", &why))
    }

    /// Whether the last batch found room, and not only in what is kept free for those that make room.
    pub fn had_room(&self) -> bool {
        self.had_room.load(Ordering::Relaxed)
    }

    /// How many parts of the tables were lost to damage. Whatever may have been in them is [`DatabaseError::Unreadable`].
    pub fn damaged_parts(&self) -> usize {
        self.tables.damaged().len()
    }

    /// What the search for damage has come to.
    pub fn scrubbed(&self) -> ScrubStatus {
        self.work.scrubber.status()
    }

    /// Bytes that the files take.
    pub fn disk_bytes(&self) -> u64 {
        let journal = self.journal_bytes.load(Ordering::Relaxed) + self.work.collector.disk_bytes();
        self.tables.disk_bytes() + journal
    }

    /// How many large values have been read from the journal's segments since the start, to answer questions.
    pub fn large_values_read(&self) -> u64 {
        self.tables.large_reads.load(Ordering::Relaxed)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
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
        let (moves, in_doubt) = self.still_in_use(moves);
        let written = moves.and_then(|changes| {
            let mut moved = WriteBatch { changes, ..WriteBatch::default() };
            writer.written_since_look += moved.bytes();
            // In this order: what the batch itself says of a key is newer.
            moved.changes.extend(batch.changes);
            if moved.is_empty() { Ok(()) } else { self.commit(writer, moved, number) }
        });
        self.work.collector.moved(count, written.is_ok() && !in_doubt);
        written
    }

    /// Of the values that are to be moved those whose keys have not been written meanwhile; and whether that could not be told of
    /// one, because a table cannot be read. That one stays where it is.
    fn still_in_use(&self, moves: Vec<Move>) -> (Result<Vec<Change>, DatabaseError>, bool) {
        let (mut changes, mut in_doubt) = (Vec::with_capacity(moves.len()), false);
        for Move { key, value, from } in moves {
            match self.tables.is_at(&key, from) {
                Ok(true) => changes.push(Change::Put(key, value)),
                Ok(false) => {}
                Err(DatabaseError::Unreadable { .. }) => in_doubt = true,
                Err(why) => return (Err(why), in_doubt),
            }
        }
        (Ok(changes), in_doubt)
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
        // On a full disk there is better use for the room.
        if writer.journal.wants_spare() && self.had_room() {
            self.work.ask_for(|| writer.journal.next_blank());
        }
        Ok(())
    }
}

impl Database for DiskDatabase {
    type Snapshot = DiskSnapshot;

    fn write(&self, batch: WriteBatch) -> Result<(), DatabaseError> {
        let mut writer = self.writer();
        let (bytes, makes_room) = (batch.bytes(), batch.makes_room);
        let room = self.make_room(&mut writer, bytes, makes_room);
        let written = match room {
            // What is moved for the collector does not fit into what is kept free.
            Ok(Room::Kept) => {
                let number = self.sequence() + 1;
                self.commit(&mut writer, batch, number)
            }
            Ok(Room::Free) => self.write_with_moves(&mut writer, batch, bytes),
            Err(ref why) => Err(why.clone()),
        };
        if written.is_ok() {
            writer.written_since_tidy += bytes;
            writer.written_since_look += bytes;
            writer.made_room |= makes_room;
        }
        let had_room = !matches!((&room, &written), (Ok(Room::Kept), _) | (_, Err(DatabaseError::Full(_))));
        if self.had_room.swap(had_room, Ordering::Relaxed) != had_room {
            log::info!("the disk has {} for writes", if had_room { "room again" } else { "no room" });
        }
        written
    }

    fn lost(&self) -> Arc<DamagedParts> {
        self.tables.damaged()
    }

    fn has_lost(&self) -> bool {
        self.tables.has_lost()
    }

    fn begin_healing(&self, directory: DirectoryId) -> Result<(), DatabaseError> {
        self.upkeep.begin_healing(directory)
    }

    fn being_healed(&self, directory: DirectoryId) -> Option<Vec<Part>> {
        self.upkeep.being_healed(directory)
    }

    fn forget_healed(&self, directory: DirectoryId) -> Result<(), DatabaseError> {
        self.upkeep.forget_healed(directory)
    }

    fn keys_estimate(&self) -> u64 {
        self.tables.keys_estimate()
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
