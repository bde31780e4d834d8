//! Value records: `format u8 | kind u8 | operation id u64 | key length u32 | key | crc32 u32 | bytes`.
//!
//! The operation id is zero until conditional updates need it (PROTOCOL section 5). The key is there only if the data
//! key does not contain it. The checksum covers all other bytes, so that damage that the engine does not notice is
//! an error and never a value.

use crate::database::DatabaseError;
use abd::Content;
use bytes::{Buf, BufMut, Bytes};

const FORMAT: u8 = 1;
const TOMBSTONE: u8 = 0;
const VALUE: u8 = 1;
/// Bytes before the key.
pub(crate) const HEADER: usize = 1 + 1 + 8 + 4;

/// Bytes of a record.
pub(crate) fn size(content: &Content, key: Option<&[u8]>) -> usize {
    HEADER + key.map_or(0, <[u8]>::len) + 4 + content.len()
}

/// Appends a record of a content, which is what it ends with; `key` only where the data key is a hash.
pub(crate) fn append(out: &mut Vec<u8>, content: &Content, key: Option<&[u8]>) {
    let key = key.unwrap_or_default();
    let start = out.len();
    out.put_u8(FORMAT);
    out.put_u8(if content.is_value() { VALUE } else { TOMBSTONE });
    out.put_u64(0);
    out.put_u32(u32::try_from(key.len()).unwrap_or(u32::MAX));
    out.put_slice(key);
    let value = content.value().map(|bytes| &bytes[..]).unwrap_or_default();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&out[start..]);
    hasher.update(value);
    out.put_u32(hasher.finalize());
    out.put_slice(value);
}

/// Decodes a record: the key, if it is in there, and the content.
pub(crate) fn decode(mut record: Bytes) -> Result<(Option<Bytes>, Content), DatabaseError> {
    let damaged = || DatabaseError::Damaged("a value record does not match its checksum".into());
    let whole = record.clone();
    if record.len() < HEADER + 4 {
        return Err(damaged());
    }
    let (format, kind) = (record.get_u8(), record.get_u8());
    let _operation_id = record.get_u64();
    let key_length = record.get_u32() as usize;
    if record.len().saturating_sub(4) < key_length {
        return Err(damaged());
    }
    let key = record.split_to(key_length);
    let checksum = record.get_u32();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&whole[..HEADER + key_length]);
    hasher.update(&record);
    if hasher.finalize() != checksum {
        return Err(damaged());
    }
    let content = match (format, kind) {
        (FORMAT, VALUE) => Content::Value(record),
        (FORMAT, TOMBSTONE) if record.is_empty() => Content::Tombstone,
        _ => {
            return Err(DatabaseError::Damaged(format!(
                "a value record of format {format}, kind {kind}: was it written by a newer release?"
            )));
        }
    };
    Ok(((!key.is_empty()).then_some(key), content))
}

/// Bytes of the key that follows a header, zero if there is none; nobody knows whether they are damaged.
pub(crate) fn key_length(header: &[u8]) -> Result<usize, DatabaseError> {
    let Some(length) = header.get(HEADER - 4..HEADER) else {
        return Err(DatabaseError::Damaged("a value record is shorter than its header".into()));
    };
    Ok(u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize)
}

/// Whether a record holds a value and not a tombstone, without looking at the rest of it.
pub(crate) fn is_value(record: &[u8]) -> Result<bool, DatabaseError> {
    match record {
        [FORMAT, VALUE, ..] => Ok(true),
        [FORMAT, TOMBSTONE, ..] => Ok(false),
        _ => Err(DatabaseError::Damaged("a value record has an unknown head".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::HEAD_BYTES;

    #[test]
    fn a_record_gives_back_what_went_in_and_no_flipped_bit_passes() {
        for content in [Content::Tombstone, Content::Value("".into()), Content::Value("value".into())] {
            for key in [None, Some(&b"a long key"[..])] {
                let mut record = b"before".to_vec();
                append(&mut record, &content, key);
                let record = Bytes::from(record.split_off(6));
                assert_eq!(record.len(), size(&content, key));
                assert!(content.value().is_none_or(|value| record.ends_with(value)));
                let decoded = decode(record.clone()).unwrap();
                assert_eq!(decoded, (key.map(Bytes::copy_from_slice), content.clone()));
                assert_eq!(key_length(&record[..HEADER]), Ok(key.map_or(0, <[u8]>::len)));
                assert_eq!(is_value(&record[..HEAD_BYTES]), Ok(content.is_value()));
                for bit in 0..record.len() * 8 {
                    let mut flipped = record.to_vec();
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    assert!(decode(Bytes::from(flipped)).is_err(), "bit {bit}");
                }
            }
        }
    }
}
