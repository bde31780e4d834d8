//! What is left out when a memtable is written and when tables are merged: dominated versions (rule G1).
//!
//! The journal or a synced table has every version that is seen here, so it is durable, and the new table replaces what
//! it was made of at one instant. A snapshot keeps the memtables and tables that it began with: a reader that does not
//! see the newer version yet still sees the older one.

use super::failure::sync_directory;
use super::memtable::Entries;
use crate::database::DatabaseError;
use crate::garbage::DominatedFilter;
use lsm_tree::compaction::filter::{CompactionFilter, Context, Factory, ItemAccessor, Verdict};
use lsm_tree::{InternalValue, UserKey, ValueType};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Makes a filter for each merge.
#[derive(Debug)]
pub(super) struct DominatedFilters {
    blobs: PathBuf,
    failure: Arc<Mutex<Option<DatabaseError>>>,
}

impl DominatedFilters {
    /// For tables whose large values lie in files in the directory `blobs`.
    pub(super) fn new(blobs: PathBuf) -> Self {
        Self { blobs, failure: Arc::default() }
    }

    /// Why the names of files that a merge made could not be synced. What they replaced may be gone by now.
    pub(super) fn take_failure(&self) -> Option<DatabaseError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Factory for DominatedFilters {
    fn name(&self) -> &str {
        "dominated versions"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        let (filter, blobs, failure) = (DominatedFilter::new(), self.blobs.clone(), self.failure.clone());
        Box::new(Merge { filter, blobs, failure })
    }
}

struct Merge {
    filter: DominatedFilter,
    blobs: PathBuf,
    failure: Arc<Mutex<Option<DatabaseError>>>,
}

impl CompactionFilter for Merge {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> lsm_tree::Result<Verdict> {
        // No tombstone is left behind: if the same version was put twice and an older copy lies in another table, it
        // is a dominated version again, and goes with a later merge.
        Ok(if self.filter.is_dominated(item.key()) { Verdict::Destroy } else { Verdict::Keep })
    }

    /// All files have been begun, none is in use: the one moment to sync their names, which the crate does not.
    fn finish(self: Box<Self>) {
        if let Err(why) = sync_directory(&self.blobs) {
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        }
    }
}

/// The entries of a memtable, in order, without dominated versions. A version that was deleted dominates nothing.
pub(super) fn without_dominated(entries: &Entries) -> impl Iterator<Item = InternalValue> {
    let mut filter = DominatedFilter::new();
    let mut deleted: Option<&[u8]> = None;
    entries.iter().filter_map(move |(place, value)| {
        let key = place.key();
        if value.is_none() {
            deleted = Some(key);
        }
        if deleted != Some(key) && filter.is_dominated(key) {
            return None;
        }
        let user_key = UserKey::from(key);
        Some(match value {
            Some(value) => {
                InternalValue::from_components(user_key, value.clone(), place.number(), ValueType::Value)
            }
            None => InternalValue::new_tombstone(user_key, place.number()),
        })
    })
}
