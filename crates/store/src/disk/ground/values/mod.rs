//! Large values stay where they were written: in the journal. Tables hold pointers to them.
//!
//! So a large value is written once, and neither a flush nor a merge copies it (WiscKey: Lu et al., FAST 2016, section 3).
//! A segment of the journal that has large values is *kept* when its batches are in tables, and is open for as long as
//! anybody may follow a pointer into it. The collector finds out which kept segments hold mostly what nobody points at, has
//! the rest of such a segment written again with the batches that come, and gives the segment back.

mod files;
mod pointer;

pub(crate) use files::{Files, PointerTarget};
pub(crate) use pointer::{Location, Pointer, Stored, stored};

use crate::files::OpenFile;
use bytes::Bytes;
use std::sync::Arc;

/// Values from this size on stay in the journal. As many bytes again in a table, and in every merge of it, cost more than a
/// second look for whoever reads past the cache.
pub(crate) const LARGE: usize = 2 << 10;

pub(crate) fn is_large(value: &Bytes) -> bool {
    value.len() >= LARGE
}

/// Where the large values of a batch are.
#[derive(Default)]
pub(crate) struct LargeValues {
    /// The segment's number and its file; `None` when there are no large values.
    pub(crate) segment: Option<(u64, Arc<dyn OpenFile>)>,
    /// Which changes of the batch have them, and where.
    pub(crate) pointers: Vec<(usize, Pointer)>,
}
