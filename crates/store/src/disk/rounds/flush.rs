//! A full memtable becomes a synced table, without dominated versions.

use super::upkeep::Upkeep;
use crate::database::DatabaseError;
use crate::disk::ground::tables::Full;
use crate::disk::ground::tables::head::{FLUSHED_KEY, head};
use crate::disk::ground::tables::lsm::Row;
use crate::disk::ground::tables::stays::what_stays;
use crate::disk::ground::tables::writeback::Writeback;
use std::sync::atomic::Ordering;

impl Upkeep {
    /// Writes the oldest closed memtable to synced tables. Dominated versions stay behind.
    /// Fails with [`DatabaseError::Full`]; it may be tried again. Every other error is final.
    pub(crate) fn flush(&self, full: &Full) -> Result<(), DatabaseError> {
        self.flush_while(full, || {})
    }

    /// The same, beside something else.
    pub(super) fn flush_while(&self, full: &Full, meanwhile: impl FnOnce()) -> Result<(), DatabaseError> {
        self.unless_in_doubt(|| {
            let flushing = self.flushing();
            let tree = self.tables.tree();
            let merges = self.merges.load(Ordering::Relaxed);
            let beside_a_merge = u64::from(self.merging.try_lock().is_err());
            let first = tree.next_table();
            meanwhile();
            let contents = full.memtable.contents();
            let writeback = Writeback::new(tree.folder(), first);
            let hides = |key: &[u8]| !matches!(tree.get_newest(key), Ok(None));
            let mut rows = what_stays(&contents, hides, writeback).peekable();
            let flushed = rows.next_if(|row| row.key == FLUSHED_KEY).map(|Row { key, value, number }| {
                let from = rows.peek().map(|row| row.key.clone()).unwrap_or_default();
                Row { key, value: value.map(|last| head(&last, first, &from)), number }
            });
            let flushed = tree.flush(flushed.into_iter().chain(rows), || self.tables.horizon());
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
}
