//! Tables become fewer. Which is told by the crate's strategy; how large they become, and what a failure means, is told here.

use super::upkeep::Upkeep;
use crate::database::DatabaseError;
use crate::disk::ground::tables::lsm::Tree;
use std::ops::RangeInclusive;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

/// Bytes of a merged table. The crate below makes the index and the filter of the last one of a merge, and syncs it, under a lock that
/// readers and writers take, so tables are small; but levels are multiples of this size, and beside much data there should not be
/// too many of either.
const TABLE_BYTES: RangeInclusive<u64> = 16 << 20..=64 << 20;
const TABLE_PART: u64 = 32;
/// So many new tables are merged with those that are there. A read that comes to the tables looks at all new ones.
pub(super) const NEW_TABLES: u8 = 4;
/// A disk that damages tables faster than that is not worth more merges for now.
const REPAIRS_MAX: u8 = 3;
pub(super) const NEW_TABLES_REMEMBERED: u8 = 8;

/// How large a table becomes where all of them together have so many bytes.
pub(super) fn table_bytes(all: u64) -> u64 {
    (all / TABLE_PART).clamp(*TABLE_BYTES.start(), *TABLE_BYTES.end())
}

impl Upkeep {
    /// Merges some tables, if there are too many; whether there are still too many new ones. One step moves little where there are
    /// several levels, and the new tables of a level that is too large wait for it.
    pub(crate) fn merge(&self) -> Result<bool, DatabaseError> {
        let all = self.tables.disk_bytes();
        let new_max = if all <= self.remembered_bytes { NEW_TABLES_REMEMBERED } else { NEW_TABLES };
        let before = self.tables.tree().list();
        self.merge_with(|tree| tree.merge(table_bytes(all), new_max, self.tables.horizon()))?;
        let tree = self.tables.tree();
        // If nothing was done, nothing can be.
        Ok(tree.list() != before && tree.new_tables() >= usize::from(new_max))
    }

    /// Merges all tables.
    pub(crate) fn merge_all(&self) -> Result<(), DatabaseError> {
        self.merge_with(|tree| tree.merge_all(table_bytes(tree.disk_bytes()), self.tables.horizon()))
    }

    /// For one merge; files of a failed flush are told by being in no set of tables before a second one. If a table turns out to
    /// be damaged, a new one of what is left of it takes its place, and the merge begins again. One that cannot be read for
    /// another reason is left for later.
    pub(super) fn merge_with(
        &self,
        merge: impl Fn(&Tree) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        self.unless_in_doubt(|| {
            let merging = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
            let mut repairs = 0..REPAIRS_MAX;
            loop {
                self.merges.fetch_add(1, Ordering::Relaxed);
                self.clean_up_around(&merging)?;
                let tree = self.tables.tree();
                let first = tree.next_table();
                let merged = merge(&tree);
                if merged.is_err() {
                    self.check_current()?;
                    self.give_up(first);
                }
                self.clean_up_around(&merging)?;
                match merged {
                    // Whether it was a read or a write that failed, the crate does not say.
                    Err(DatabaseError::Fatal(_))
                        if repairs.next().is_some() && self.repair(&merging, true)? => {}
                    Err(DatabaseError::Unreadable { .. })
                        if repairs.next().is_some() && self.repair(&merging, false)? => {}
                    Err(DatabaseError::Unreadable { why, .. }) => {
                        log::warn!("tables are not merged for the moment: {why}");
                        return Ok(());
                    }
                    merged => return merged,
                }
            }
        })
    }
}
