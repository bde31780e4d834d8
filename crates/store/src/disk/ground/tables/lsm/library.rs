//! All that the engine takes of the crate of the tables. No other file names it, so a new version of it is read against this
//! list.

pub(super) use lsm_tree::checksum::ChecksummedWriter;
pub(super) use lsm_tree::coding::Decode;
pub(super) use lsm_tree::compaction::Leveled;
pub(super) use lsm_tree::compaction::filter::{CompactionFilter, Context, Factory, ItemAccessor, Verdict};
pub(super) use lsm_tree::table::block::decoder::ParsedItem;
pub(super) use lsm_tree::table::block::{BlockType, Header};
pub(super) use lsm_tree::table::{Block, DataBlock, IndexBlock, Writer};
pub(super) use lsm_tree::{AbstractTree, AnyTree, Config, Guard, IterGuardImpl, SequenceNumberCounter};
pub(super) use lsm_tree::{Cache, Checksum, CompressionType, Error, InternalValue, Result, Table};
pub(super) use lsm_tree::{UserKey, ValueType};

/// Which of the crate's lines belong into a log: its warnings. Every read of a damaged block is an error that is told, and
/// limited, where it is handled.
pub const LOG_FILTER: &str = "lsm_tree=warn,lsm_tree::table::block=off";
