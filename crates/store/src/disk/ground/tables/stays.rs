//! What is left out when a memtable is written and when tables are merged: dominated versions (rule G1), and of accepted records
//! what was replaced.
//!
//! The journal or a synced table has every version that is seen here, so it is durable, and the new table replaces what
//! it was made of at one instant. A snapshot keeps the memtables and tables that it began with: a reader that does not
//! see the newer version yet still sees the older one.

use super::lsm::Row;
use super::writeback::Writeback;
use crate::disk::ground::memtable::Contents;
use crate::disk::ground::values::stored;
use crate::encoding::dominated::DominatedFilter;
use crate::encoding::space::Space;
use bytes::Bytes;

/// What a table gets of a memtable: its entries, in order, without dominated versions, and pointers to large values. A
/// version that was deleted dominates nothing. `writeback` hears of what is about to be written.
///
/// Of an accepted record only the last change: whoever may see another one looks at the memtable. Most records begin and end in one
/// memtable, so their end is left out where it hides nothing: `hides` says whether an older table may have anything under a key.
pub(crate) fn what_stays(
    memtable: &Contents,
    hides: impl Fn(&[u8]) -> bool,
    mut writeback: Writeback,
) -> impl Iterator<Item = Row> {
    let mut filter = DominatedFilter::new();
    let (mut key, mut deleted, mut record) = (Vec::new(), Vec::new(), Vec::new());
    memtable.walk().filter_map(move |(first, entry)| {
        key.clear();
        key.extend_from_slice(first);
        key.extend_from_slice(entry.version());
        if Space::of(&key) == Space::Accepted {
            if record == key {
                return None;
            }
            record.clone_from(&key);
            if entry.value().is_none() && !hides(&key) {
                return None;
            }
        }
        if entry.value().is_none() {
            deleted.clone_from(&key);
        }
        if deleted != key && filter.is_dominated(&key) {
            return None;
        }
        let row_key = Bytes::copy_from_slice(&key);
        let value = entry.value().map(|value| stored(value, entry.pointer()));
        if let Some(value) = &value {
            writeback.entry(key.len() + value.len());
        }
        Some(Row { key: row_key, value, number: entry.number() })
    })
}
