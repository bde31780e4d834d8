//! What a merge leaves out.

use super::library::{self, CompactionFilter, Context, Factory, ItemAccessor, Verdict};
use crate::disk::ground::tables::writeback::Writeback;
use crate::encoding::dominated::DominatedFilter;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes a filter for each merge.
pub(super) struct Merges {
    pub(super) folder: PathBuf,
    pub(super) first: Arc<AtomicU64>,
}

impl Factory for Merges {
    fn name(&self) -> &str {
        "dominated versions"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        let writeback = Writeback::new(self.folder.clone(), self.first.load(Ordering::Relaxed));
        Box::new(Filter { dominated: DominatedFilter::new(), writeback })
    }
}

struct Filter {
    dominated: DominatedFilter,
    writeback: Writeback,
}

impl CompactionFilter for Filter {
    /// No tombstone is left behind for one that goes: if the same version was put twice and an older copy lies in another
    /// table, it is a dominated version again, and goes with a later merge.
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> library::Result<Verdict> {
        self.writeback.entry(item.key().len() + item.value()?.len());
        Ok(if self.dominated.is_dominated(item.key()) { Verdict::Destroy } else { Verdict::Keep })
    }
}
