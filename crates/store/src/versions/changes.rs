//! What a group of units changes: versions, accepted records, what a replica keeps of itself.

use super::puts::Parts;
use crate::encoding::{key, record};
use abd::counted::copied;
use abd::{Ballot, Content, StampedValue, Version};
use bytes::Bytes;

/// What is kept of a value does not keep a data key of more bytes, which nobody counts.
const LONG_DATA_KEY: usize = 128;

/// In the order of the units, each in an allocation of its own.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// How many units that is.
    pub(super) units: usize,
    pub(super) puts: Vec<Put>,
    pub(super) records: Vec<RecordChange>,
    /// The largest one.
    pub(super) mark: Option<Ballot>,
    /// The last one.
    pub(super) configuration: Option<Bytes>,
}

/// A version as it goes to the database.
#[derive(Clone, Debug)]
pub(super) struct Put {
    pub(super) user_key: Bytes,
    pub(super) data_key: Bytes,
    pub(super) record: Bytes,
    /// Its content is a part of the record.
    pub(super) stamped: StampedValue,
}

/// What becomes of the accepted record of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecordChange {
    /// Where the record is.
    pub(super) key: Bytes,
    /// `None`: its end.
    pub(super) record: Option<Bytes>,
    /// Whether a full disk has no room for it.
    pub(super) needs_room: bool,
}

impl Put {
    /// Encodes a version in allocations of its own.
    pub(super) fn whole(user_key: &[u8], stamped: &StampedValue) -> Self {
        let data_key = key::encode(user_key, stamped.version);
        let recorded_key = key::is_hashed(&data_key).then_some(user_key);
        let mut record = Vec::with_capacity(record::size(&stamped.content, recorded_key));
        record::append(&mut record, stamped, recorded_key);
        let value_length = stamped.content.value().map(Bytes::len);
        let user_key = key::plain_part(&data_key, user_key.len()).unwrap_or_else(|| copied(user_key));
        Self::new(user_key, data_key, record.into(), value_length, stamped.version)
    }

    /// A copy of what is encoded.
    pub(super) fn encoded(encoded: &[u8], parts: Parts) -> Self {
        let (data_key, record) = encoded.split_at(parts.data_key_length as usize);
        let (data_key, record) = copied_both(data_key, record, encoded);
        let user_key = data_key.slice(1..=parts.user_key_length as usize);
        let value_length = parts.value_length.map(|length| length as usize);
        Self::new(user_key, data_key, record, value_length, parts.version)
    }

    fn new(
        user_key: Bytes,
        data_key: Bytes,
        record: Bytes,
        value_length: Option<usize>,
        version: Version,
    ) -> Self {
        let content = match value_length {
            Some(length) => Content::Value(record.slice(record.len() - length..)),
            None => Content::Tombstone,
        };
        let Ok(record::Head { update, deadline, .. }) = record::head(&record) else {
            unreachable!("it was encoded here")
        };
        Self { user_key, data_key, record, stamped: StampedValue { version, content, deadline, update } }
    }

    /// What all versions of its key begin with.
    pub(super) fn prefix(&self) -> &[u8] {
        key::prefix_of(&self.data_key)
    }
}

impl RecordChange {
    pub(super) fn new(key: Bytes, record: Bytes, needs_room: bool) -> Self {
        Self { key, record: Some(record), needs_room }
    }

    /// A copy of what is encoded.
    pub(super) fn encoded(encoded: &[u8], key_length: usize, needs_room: bool) -> Self {
        let (key, record) = encoded.split_at(key_length);
        let (key, record) = copied_both(key, record, encoded);
        Self::new(key, record, needs_room)
    }

    /// The record of the key that a version is of ends.
    pub(super) fn end(put: &Put) -> Self {
        Self { key: key::record_beside(put.prefix()), record: None, needs_room: false }
    }
}

/// A key and what is stored under it, which stand one behind the other in `encoded`: in one allocation, unless the key is long.
fn copied_both(key: &[u8], record: &[u8], encoded: &[u8]) -> (Bytes, Bytes) {
    if key.len() > LONG_DATA_KEY {
        return (copied(key), copied(record));
    }
    let mut both = copied(encoded);
    let record = both.split_off(key.len());
    (both, record)
}
