//! What a merge leaves out.

use super::library::{self, CompactionFilter, Context, Factory, ItemAccessor, Verdict};
use crate::disk::ground::tables::stays::Merge;
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
        Box::new(Filter(Merge::new(self.folder.clone(), self.first.load(Ordering::Relaxed))))
    }
}

struct Filter(Merge);

impl CompactionFilter for Filter {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> library::Result<Verdict> {
        let keeps = self.0.keeps(item.key(), item.value()?.len());
        Ok(if keeps { Verdict::Keep } else { Verdict::Destroy })
    }
}
