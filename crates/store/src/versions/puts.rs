//! Versions on their way to the database: encoded by the event loops that are asked to store them, committed by another
//! thread.
//!
//! That thread makes the allocations in which they stay. It is also the one that frees those of the versions they replace,
//! so the allocator hands out what is still in its processor's cache; allocations that one thread makes and another one frees
//! cost several cache misses each. And what waits for the disk does not keep network buffers from being used again.

use crate::encoding::{key, record};
use abd::counted::copied;
use abd::{Content, StampedValue, Version, WriteGroup};
use bytes::Bytes;

/// Larger records get their allocation at once: to copy them twice would cost more.
const ENCODED_MAX: usize = 4 << 10;
/// Room that is kept when what it was used for is done.
const KEPT_BYTES: usize = 256 << 10;
/// The same, for that many versions.
const KEPT: usize = 1024;
/// What is kept of a value does not keep a data key of more bytes, which nobody counts.
const LONG_DATA_KEY: usize = 128;

/// A version as it goes to the database.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) user_key: Bytes,
    pub(crate) data_key: Bytes,
    pub(crate) record: Bytes,
    /// Its content is a part of the record.
    pub(crate) stamped: StampedValue,
}

/// Versions to be committed together.
#[derive(Debug, Default)]
pub struct Puts {
    /// Data keys and records of the small ones, one behind the other.
    encoded: Vec<u8>,
    puts: Vec<PutForm>,
    bytes: usize,
}

#[derive(Debug)]
enum PutForm {
    /// The next bytes of what is encoded.
    Encoded(Parts),
    /// Too large to be copied twice, or its key does not stand in the data key as it is.
    Whole(Box<Put>),
}

/// What is where in an encoded version.
#[derive(Clone, Copy, Debug)]
struct Parts {
    user_key_length: usize,
    data_key_length: usize,
    record_length: usize,
    /// `None`: a tombstone.
    value_length: Option<usize>,
    version: Version,
}

impl WriteGroup for Puts {
    fn push(&mut self, user_key: &[u8], stamped: &StampedValue) {
        let size = user_key.len() + record::size(&stamped.content, None);
        if size > ENCODED_MAX || !key::is_plain(user_key) {
            let put = Put::whole(user_key, stamped);
            self.bytes += put.data_key.len() + put.record.len();
            self.puts.push(PutForm::Whole(Box::new(put)));
            return;
        }
        let start = self.encoded.len();
        key::append(&mut self.encoded, user_key, stamped.version);
        let data_key_length = self.encoded.len() - start;
        record::append(&mut self.encoded, &stamped.content, None);
        self.bytes += self.encoded.len() - start;
        self.puts.push(PutForm::Encoded(Parts {
            user_key_length: user_key.len(),
            data_key_length,
            record_length: self.encoded.len() - start - data_key_length,
            value_length: stamped.content.value().map(Bytes::len),
            version: stamped.version,
        }));
    }

    fn append(&mut self, other: &mut Self) {
        self.encoded.extend_from_slice(&other.encoded);
        self.puts.append(&mut other.puts);
        self.bytes += other.bytes;
        other.clear();
    }

    fn len(&self) -> usize {
        self.puts.len()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn clear(&mut self) {
        self.puts.clear();
        self.puts.shrink_to(KEPT);
        self.encoded.clear();
        self.encoded.shrink_to(KEPT_BYTES);
        self.bytes = 0;
    }

    fn are_tombstones(&self) -> impl Iterator<Item = bool> {
        self.puts.iter().map(|put| match put {
            PutForm::Encoded(parts) => parts.value_length.is_none(),
            PutForm::Whole(put) => !put.stamped.content.is_value(),
        })
    }

    fn versions(&self) -> impl Iterator<Item = (Bytes, Version)> {
        self.iter().map(|put| (put.user_key, put.stamped.version))
    }
}

impl Puts {
    /// Those that are tombstones.
    pub(crate) fn tombstones(&self) -> Self {
        let mut tombstones = Self::default();
        for put in self.iter().filter(|put| !put.stamped.content.is_value()) {
            tombstones.push(&put.user_key, &put.stamped);
        }
        tombstones
    }

    /// In the order in which they were added, each in an allocation of its own.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Put> {
        let mut rest = &self.encoded[..];
        self.puts.iter().map(move |put| match put {
            PutForm::Encoded(parts) => {
                let (encoded, behind) = rest.split_at(parts.data_key_length + parts.record_length);
                rest = behind;
                Put::encoded(encoded, *parts)
            }
            PutForm::Whole(put) => (**put).clone(),
        })
    }
}

impl Put {
    /// Encodes a version in allocations of its own.
    fn whole(user_key: &[u8], stamped: &StampedValue) -> Self {
        let data_key = key::encode(user_key, stamped.version);
        let recorded_key = key::is_hashed(&data_key).then_some(user_key);
        let mut record = Vec::with_capacity(record::size(&stamped.content, recorded_key));
        record::append(&mut record, &stamped.content, recorded_key);
        let value_length = stamped.content.value().map(Bytes::len);
        let user_key = key::plain_part(&data_key, user_key.len()).unwrap_or_else(|| copied(user_key));
        Self::new(user_key, data_key, record.into(), value_length, stamped.version)
    }

    /// A copy of what is encoded.
    fn encoded(encoded: &[u8], parts: Parts) -> Self {
        let (data_key, record) = encoded.split_at(parts.data_key_length);
        let (data_key, record) = if data_key.len() > LONG_DATA_KEY {
            (copied(data_key), copied(record))
        } else {
            let mut both = copied(encoded);
            let record = both.split_off(parts.data_key_length);
            (both, record)
        };
        let user_key = data_key.slice(1..=parts.user_key_length);
        Self::new(user_key, data_key, record, parts.value_length, parts.version)
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
        Self { user_key, data_key, record, stamped: StampedValue { version, content } }
    }

    /// What all versions of its key begin with.
    pub(crate) fn prefix(&self) -> &[u8] {
        key::prefix_of(&self.data_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abd::Timestamp;

    #[test]
    fn puts_of_any_kind_come_back_in_their_order() {
        let long = vec![7; 70_000];
        let keys: [&[u8]; 7] =
            [b"", b"key", b"with\0zeros\0\0", &long[..100], &long[..110], &long[..5_000], &long];
        let contents = [0, 1, 100, ENCODED_MAX - 200, ENCODED_MAX, 100_000]
            .map(|size| Content::Value(vec![9; size].into()));
        let contents: Vec<Content> = contents.into_iter().chain([Content::Tombstone]).collect();
        let mut puts = Puts::default();
        for round in 1..=2 {
            let mut pushed = Vec::new();
            for (key, content) in
                keys.iter().flat_map(|key| contents.iter().map(move |content| (*key, content)))
            {
                let timestamp = Timestamp { time: pushed.len() as u64 + 1, node: round, boot: 1 };
                let stamped =
                    StampedValue { version: Version::of_write(timestamp), content: content.clone() };
                puts.push(key, &stamped);
                pushed.push((key, stamped));
            }
            assert_eq!((puts.len(), puts.is_empty()), (pushed.len(), false));
            assert!(puts.bytes() >= pushed.iter().map(|(_, stamped)| stamped.content.len()).sum());
            for (put, (key, stamped)) in puts.iter().zip(&pushed) {
                assert_eq!((&put.user_key[..], &put.stamped), (*key, stamped));
                assert_eq!(put.data_key, key::encode(key, stamped.version));
                let (recorded, content) = record::decode(put.record.clone()).unwrap();
                assert_eq!((&content, recorded.is_some()), (&stamped.content, key::is_hashed(put.prefix())));
            }
            puts.clear();
            assert_eq!((puts.len(), puts.bytes(), puts.iter().count()), (0, 0, 0));
            let value = StampedValue { content: contents[2].clone(), ..pushed[0].1.clone() };
            let mut more = Puts::default();
            for number in 0..2 * KEPT_BYTES / 100 {
                more.push(b"more", &value);
                if number % 3 == 0 {
                    puts.append(&mut more);
                }
            }
            puts.append(&mut more);
            assert_eq!((more.len(), puts.len()), (0, 2 * KEPT_BYTES / 100));
            assert!(puts.iter().all(|put| put.user_key == "more" && put.stamped == value));
            assert!(puts.encoded.capacity() > KEPT_BYTES && puts.puts.capacity() > KEPT);
            puts.clear();
            assert!(puts.encoded.capacity() <= KEPT_BYTES && puts.puts.capacity() <= KEPT);
        }
    }
}
