//! Room: when a memtable goes to a table, when a batch is refused, and what a full disk gives back.

use super::{DiskDatabase, Writer};
use crate::database::DatabaseError;
use crate::disk::ground::failure::space;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// While there is plenty of room, it is looked at this often, and after this many bytes.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOK_AFTER_BYTES: u64 = 1 << 20;

/// Where a batch fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    /// In what is kept free for those that make room.
    Kept,
}

impl DiskDatabase {
    /// Takes over what the threads have done; returns up to which batch everything is in tables.
    pub(super) fn catch_up(&self, writer: &mut Writer) -> Result<u64, DatabaseError> {
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
    pub(super) fn give_back(&self, writer: &mut Writer) -> Result<(), DatabaseError> {
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
    pub(super) fn hand_over_kept(&self, writer: &mut Writer, free: Option<u64>) {
        let collector = &self.work.collector;
        let kept = writer.journal.take_kept(collector.kept_bytes());
        if !kept.is_empty() {
            collector.keep(kept, free);
        }
    }

    pub(super) fn count_journal_bytes(&self, writer: &Writer) {
        self.journal_bytes.store(writer.journal.disk_bytes(), Ordering::Relaxed);
    }

    /// Has everything in memory written to tables. The guard shows that no batch is on its way.
    pub(super) fn seal(&self, writer: &mut Writer) {
        if let Some(full) = self.tables.seal(self.sequence()) {
            self.work.push(full);
        }
        writer.memtable_limit = self.options.memtable_limit(self.tables.disk_bytes(), self.min_free);
        writer.journal_before = writer.journal.written();
    }

    pub(super) fn free(&self) -> Result<u64, DatabaseError> {
        Ok(space(&*self.files, &self.path)?.free)
    }

    /// Free space that a batch needs. More after a refusal, so that a disk at the limit does not flap.
    pub(super) fn needed(&self, bytes: u64) -> u64 {
        let margin = if self.had_room() { 1 } else { 2 };
        margin * self.min_free + 2 * bytes
    }

    /// Makes sure that there is room for a batch; says which. One that makes room may have half of what is kept free, as the
    /// other half is for the tables in which it does, and what the journal has already.
    pub(super) fn make_room(
        &self,
        writer: &mut Writer,
        bytes: u64,
        makes_room: bool,
    ) -> Result<Room, DatabaseError> {
        let mut room = Room::Free;
        let fresh = writer.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY)
            && writer.written_since_look + bytes < LOOK_AFTER_BYTES;
        if !fresh || !self.had_room() {
            (writer.looked, writer.written_since_look) = (Some(Instant::now()), 0);
            let (mut free, needed) = (self.free()?, self.needed(bytes));
            if free < needed && writer.gave_back.is_none_or(|then| then.elapsed() >= LOOK_EVERY) {
                self.give_back(writer)?;
                free = self.free()?;
            }
            if free < needed {
                let fits = free >= self.min_free / 2 + 2 * bytes || writer.journal.has_room_for(2 * bytes);
                if !(makes_room && fits) {
                    return Err(DatabaseError::Full(format!("{free} bytes are free, {needed} are needed")));
                }
                room = Room::Kept;
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
        Ok(room)
    }
}
