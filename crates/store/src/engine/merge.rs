//! What the engine leaves out when it merges tables: dominated versions (rule G1).
//!
//! Tables are synced, so a version that a merge sees is durable, and the merged table replaces the old ones at one
//! instant. A snapshot keeps the tables that it began with: a reader that does not see the newer version yet still
//! sees the older one.

use crate::garbage::DominatedFilter;
use fjall::compaction::filter::{
    CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict,
};

/// Makes a filter for each merge.
#[derive(Debug)]
pub(super) struct DominatedFilters;

impl Factory for DominatedFilters {
    fn name(&self) -> &str {
        "dominated versions"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(Merge(DominatedFilter::new()))
    }
}

struct Merge(DominatedFilter);

impl CompactionFilter for Merge {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> CompactionFilterResult {
        // No tombstone is left behind: if the same version was put twice and an older copy lies in another table, it
        // is a dominated version again, and goes with a later merge.
        Ok(if self.0.is_dominated(item.key()) { Verdict::Destroy } else { Verdict::Keep })
    }
}
