//! What may be set, and how large a memtable may become.

use crate::disk::ground::memtable::Size;
use crate::disk::ground::watermark::Watermark;
use crate::disk::rounds::scrub::Scrub;
use std::sync::Arc;

/// How much of what the engine may take.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// Bytes of recent writes kept in memory before they go to a table, at least.
    pub memtable_bytes: u64,
    /// The same at most, unless that is less: the more there is in tables, the less often should they be merged with new
    /// ones.
    pub memtable_bytes_max: u64,
    /// Beside tables of so many bytes they are merged half as often: whoever uses the engine has what is in them in memory, and
    /// seldom reads them.
    pub remembered_bytes: u64,
    /// Bytes of table blocks kept in memory.
    pub cache_bytes: u64,
    /// Writes are refused while the file system has less room than this, but those that make room have half of it; `None` chooses
    /// by its size.
    pub min_free_bytes: Option<u64>,
    /// Where the number of the last batch is recorded, outside of the database's directory: an older copy of that does not
    /// bring its own along. `None`: in the directory.
    pub watermark: Option<Arc<Watermark>>,
    /// When everything is read in search of damage.
    pub scrub: Scrub,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            memtable_bytes: 4 << 20,
            memtable_bytes_max: 32 << 20,
            remembered_bytes: 0,
            cache_bytes: 16 << 20,
            min_free_bytes: None,
            watermark: None,
            scrub: Scrub::default(),
        }
    }
}

impl DiskOptions {
    /// How large a memtable may become beside tables of so many bytes: every merge of new tables writes most of the old ones
    /// again. With writes refused below `min_free` there is room for the table of one that has grown.
    pub(super) fn memtable_limit(&self, tables: u64, min_free: u64) -> u64 {
        (tables / 4).min(self.memtable_bytes_max).min(min_free / 4).max(self.memtable_bytes)
    }

    /// Whether a memtable goes to a table. Of large values that gets only pointers, so there may be more of them.
    pub(super) fn is_full(&self, limit: u64, size: Size) -> bool {
        size.table as u64 > limit || size.memory as u64 > limit.max(self.memtable_bytes_max)
    }
}
