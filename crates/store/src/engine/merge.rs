//! What is left out when a memtable is written and when tables are merged: dominated versions (rule G1).
//!
//! The journal or a synced table has every version that is seen here, so it is durable, and the new table replaces what
//! it was made of at one instant. A snapshot keeps the memtables and tables that it began with: a reader that does not
//! see the newer version yet still sees the older one.

use super::large::stored;
use super::memtable::Contents;
use super::writeback::Writeback;
use crate::garbage::DominatedFilter;
use lsm_tree::compaction::filter::{CompactionFilter, Context, Factory, ItemAccessor, Verdict};
use lsm_tree::{InternalValue, UserKey, ValueType};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes a filter for each merge.
#[derive(Debug)]
pub(super) struct DominatedFilters {
    /// Where tables are written, and from which number on the next merge does.
    pub(super) folder: PathBuf,
    pub(super) first: Arc<AtomicU64>,
}

impl Factory for DominatedFilters {
    fn name(&self) -> &str {
        "dominated versions"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        let writeback = Writeback::new(self.folder.clone(), self.first.load(Ordering::Relaxed));
        Box::new(Merge { filter: DominatedFilter::new(), writeback })
    }
}

struct Merge {
    filter: DominatedFilter,
    writeback: Writeback,
}

impl CompactionFilter for Merge {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> lsm_tree::Result<Verdict> {
        self.writeback.entry(item.key().len() + item.value()?.len());
        // No tombstone is left behind: if the same version was put twice and an older copy lies in another table, it
        // is a dominated version again, and goes with a later merge.
        Ok(if self.filter.is_dominated(item.key()) { Verdict::Destroy } else { Verdict::Keep })
    }
}

/// What a table gets of a memtable: its entries, in order, without dominated versions, and pointers to large values. A
/// version that was deleted dominates nothing. `writeback` hears of what is about to be written.
pub(super) fn without_dominated(
    memtable: &Contents,
    mut writeback: Writeback,
) -> impl Iterator<Item = InternalValue> {
    let mut filter = DominatedFilter::new();
    let (mut key, mut deleted) = (Vec::new(), Vec::new());
    memtable.walk().filter_map(move |(first, entry)| {
        key.clear();
        key.extend_from_slice(first);
        key.extend_from_slice(entry.version());
        if entry.value().is_none() {
            deleted.clone_from(&key);
        }
        if deleted != key && filter.is_dominated(&key) {
            return None;
        }
        let user_key = UserKey::from(&key[..]);
        Some(match entry.value() {
            Some(value) => {
                let value = stored(value, entry.pointer());
                writeback.entry(key.len() + value.len());
                InternalValue::from_components(user_key, value, entry.number(), ValueType::Value)
            }
            None => InternalValue::new_tombstone(user_key, entry.number()),
        })
    })
}
