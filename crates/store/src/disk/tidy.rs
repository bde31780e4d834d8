//! What is done while nobody waits.

use super::{DiskDatabase, Writer};
use crate::database::{DatabaseError, WriteBatch};
use std::sync::MutexGuard;

/// Writes since the last tidying that make another one worth it.
const TIDY_AFTER_BYTES: u64 = 256 << 10;
/// A journal that is longer is shortened at the next opportunity.
const LONG_JOURNAL_BYTES: u64 = 2 << 20;
/// Tables up to this size are merged at every tidying.
const CHEAP_MERGE_BYTES: u64 = 16 << 20;

/// Large values that are put again at once when nobody waits.
const MOVED_AT_ONCE: u64 = 1 << 20;

impl DiskDatabase {
    /// Gives space back: writes recent changes to a table, merges the tables and writes large values again if that is worth
    /// it, and shortens the journal. Call it when nobody waits. Batches may be written meanwhile.
    pub fn maintain(&self) -> Result<(), DatabaseError> {
        let mut writer = self.writer();
        // A long journal is worth it for any write: one may have come while it could have been shortened.
        let long = writer.written_since_tidy > 0 && writer.journal.disk_bytes() > LONG_JOURNAL_BYTES;
        if !self.accepts_writes() {
            self.give_back(&mut writer)?;
            let made_room = writer.made_room;
            // One memtable at a time: while there is no room for the last one, there is none for more.
            if made_room && !self.work.has_full() {
                writer.made_room = false;
                self.seal(&mut writer);
            }
            drop(writer);
            let merged = self
                .work
                .wait(true)
                .and_then(|()| if made_room { self.merge_if_it_fits() } else { Ok(true) });
            let unfinished = match merged {
                Ok(merged) => !merged,
                Err(DatabaseError::Full(_)) => true,
                Err(why) => return Err(why),
            };
            writer = self.writer();
            writer.made_room |= made_room && unfinished;
            self.give_back(&mut writer)?;
            self.work.collector.make_room();
            if !self.accepts_writes() {
                return Ok(());
            }
        }
        if writer.written_since_tidy < TIDY_AFTER_BYTES && !long {
            return Ok(());
        }
        let written = writer.written_since_tidy;
        let tidied = self.tidy_and_collect(writer);
        if matches!(tidied, Err(DatabaseError::Full(_))) {
            // Whoever tries again when there is room must find that there is something to do.
            self.writer().written_since_tidy += written;
        }
        tidied
    }

    fn tidy_and_collect(&self, writer: MutexGuard<'_, Writer>) -> Result<(), DatabaseError> {
        self.tidy(writer)?;
        let Some(round) = self.work.collector.begin_quiet_round() else { return Ok(()) };
        while self.work.collector.wait_for_moves(&round) {
            let mut writer = self.writer();
            self.make_room(&mut writer, MOVED_AT_ONCE, false)?;
            self.write_with_moves(&mut writer, WriteBatch::default(), MOVED_AT_ONCE)?;
        }
        self.tidy(self.writer())
    }

    /// Merges all tables on a full disk, so that what is hidden goes, if the result fits into half of the room; whether it did.
    /// Where it does not, new tables are merged step by step, as under load.
    fn merge_if_it_fits(&self) -> Result<bool, DatabaseError> {
        if self.free()? < 2 * self.tables.disk_bytes() {
            return Ok(false);
        }
        self.upkeep.merge_all().inspect_err(|why| self.work.fail(why))?;
        Ok(true)
    }

    /// Has [`DiskDatabase::maintain`] end soon, now and later.
    pub fn stop_maintaining(&self) {
        self.work.collector.stop();
    }

    pub(super) fn tidy(&self, mut writer: MutexGuard<'_, Writer>) -> Result<(), DatabaseError> {
        writer.written_since_tidy = 0;
        let before = writer.tidy_bytes;
        self.seal(&mut writer);
        drop(writer);
        self.work.wait(true)?;
        // A quarter more than what was left last time is garbage, or growth that pays for a merge of everything.
        let bytes = self.tables.disk_bytes();
        let merges = bytes <= CHEAP_MERGE_BYTES || bytes > before + before / 4;
        if merges {
            self.upkeep.merge_all().inspect_err(|why| self.work.fail(why))?;
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
}
