//! Value records: `format u8 | kind u8 | update id 16 | deadline u64 | key length u32 | key | crc32 u32 | bytes`, all big-endian.
//!
//! The update id and the deadline are a part of the value (PROTOCOL section 5.7): one version names one record, byte for byte, for
//! ever, whoever stores it (rule V1). The key is there only if the data key does not contain it. The checksum covers all other
//! bytes, so that damage that the engine does not notice is an error and never a value.

use crate::database::{DatabaseError, HEAD_BYTES};
use abd::{Content, Deadline, StampedValue, UpdateId, Version};
use bytes::{Buf, BufMut, Bytes};

/// That of the development versions before was 1.
const FORMAT: u8 = 2;
const TOMBSTONE: u8 = 0;
const VALUE: u8 = 1;
/// Bytes before the key.
pub(crate) const HEADER: usize = HEAD_BYTES + 4;

/// What a record says of its value, without the bytes of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Whether it is a value and not a tombstone.
    pub(crate) present: bool,
    pub(crate) update: UpdateId,
    pub(crate) deadline: Deadline,
}

/// Bytes of a record.
pub(crate) fn size(content: &Content, key: Option<&[u8]>) -> usize {
    HEADER + key.map_or(0, <[u8]>::len) + 4 + content.len()
}

/// The byte that says what a content is.
pub(super) fn kind(content: &Content) -> u8 {
    if content.is_value() { VALUE } else { TOMBSTONE }
}

/// The content that such a byte and the last bytes of a record say, unless no release has written that.
pub(super) fn content(kind: u8, bytes: Bytes) -> Option<Content> {
    match kind {
        VALUE => Some(Content::Value(bytes)),
        TOMBSTONE if bytes.is_empty() => Some(Content::Tombstone),
        _ => None,
    }
}

/// Appends a record of a value, with whose content it ends; `key` only where the data key is a hash.
pub(crate) fn append(out: &mut Vec<u8>, stamped: &StampedValue, key: Option<&[u8]>) {
    let start = out.len();
    out.put_u8(FORMAT);
    out.put_u8(kind(&stamped.content));
    out.put_slice(&stamped.update.to_bytes());
    out.put_u64(stamped.deadline.0);
    finish(out, start, &stamped.content, key);
}

/// Appends to what a record begins with, which is what stands in `out` from `start` on, its key, the checksum and the content.
pub(super) fn finish(out: &mut Vec<u8>, start: usize, content: &Content, key: Option<&[u8]>) {
    let key = key.unwrap_or_default();
    out.put_u32(u32::try_from(key.len()).unwrap_or(u32::MAX));
    out.put_slice(key);
    let value = content.value().map(|bytes| &bytes[..]).unwrap_or_default();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&out[start..]);
    hasher.update(value);
    out.put_u32(hasher.finalize());
    out.put_slice(value);
}

/// The inverse of [`finish`]: `header` bytes stand before the length of the key. The key, if there is one, and the bytes of the
/// content; `None` if the checksum does not match.
pub(super) fn checked(record: &Bytes, header: usize) -> Option<(Option<Bytes>, Bytes)> {
    let mut rest = record.get(header..).map(|_| record.slice(header..))?;
    let key_length = rest.try_get_u32().ok()? as usize;
    if rest.len().checked_sub(4)? < key_length {
        return None;
    }
    let key = rest.split_to(key_length);
    let checksum = rest.get_u32();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&record[..header + 4 + key_length]);
    hasher.update(&rest);
    (hasher.finalize() == checksum).then_some(((!key.is_empty()).then_some(key), rest))
}

/// Decodes the record of a version: the key, if it is in there, and the value.
pub(crate) fn decode(
    record: &Bytes,
    version: Version,
) -> Result<(Option<Bytes>, StampedValue), DatabaseError> {
    let Some((key, bytes)) = checked(record, HEAD_BYTES) else {
        return Err(DatabaseError::Damaged("a value record does not match its checksum".into()));
    };
    let Head { update, deadline, .. } = head(record)?;
    let Some(content) = content(record[1], bytes) else { return Err(unknown(record)) };
    Ok((key, StampedValue { version, content, deadline, update }))
}

/// Bytes of the key that follows a header, zero if there is none; nobody knows whether they are damaged.
pub(crate) fn key_length(header: &[u8]) -> Result<usize, DatabaseError> {
    let Some(length) = header.get(HEADER - 4..HEADER) else { return Err(too_short()) };
    Ok(u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize)
}

/// What a record says of its value, from the first [`HEAD_BYTES`] of it; nobody knows whether they are damaged.
pub(crate) fn head(record: &[u8]) -> Result<Head, DatabaseError> {
    let present = is_value(record)?;
    let field = |from: usize| record.get(from..).ok_or_else(too_short);
    let update = UpdateId::from_bytes(field(2)?.first_chunk().ok_or_else(too_short)?);
    let deadline = u64::from_be_bytes(*field(2 + UpdateId::LEN)?.first_chunk().ok_or_else(too_short)?);
    Ok(Head { present, update, deadline: Deadline(deadline) })
}

/// Whether a record holds a value and not a tombstone, without looking at the rest of it.
pub(crate) fn is_value(record: &[u8]) -> Result<bool, DatabaseError> {
    match record {
        [FORMAT, VALUE, ..] => Ok(true),
        [FORMAT, TOMBSTONE, ..] => Ok(false),
        _ => Err(unknown(record)),
    }
}

fn too_short() -> DatabaseError {
    DatabaseError::Damaged("a value record is shorter than its header".into())
}

fn unknown(record: &[u8]) -> DatabaseError {
    match record {
        [format, kind, ..] => DatabaseError::Damaged(format!(
            "a value record of format {format}, kind {kind}: was it written by a newer release?"
        )),
        _ => too_short(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abd::Timestamp;

    const VERSION: Version = Version { timestamp: Timestamp { time: 7, node: 1, boot: 2 }, rmwc: 3 };

    #[test]
    fn a_record_gives_back_what_went_in_and_no_flipped_bit_passes() {
        let update = UpdateId { round: 1 << 40, node: 3, boot: 9 };
        for content in [Content::Tombstone, Content::Value("".into()), Content::Value("value".into())] {
            for (key, deadline, update) in [
                (None, Deadline::NONE, UpdateId::NONE),
                (Some(&b"a long key"[..]), Deadline(u64::MAX), update),
            ] {
                let stamped = StampedValue { version: VERSION, content: content.clone(), deadline, update };
                let mut record = b"before".to_vec();
                append(&mut record, &stamped, key);
                let record = Bytes::from(record.split_off(6));
                assert_eq!(record.len(), size(&content, key));
                assert!(content.value().is_none_or(|value| record.ends_with(value)));
                let decoded = decode(&record, VERSION).unwrap();
                assert_eq!(decoded, (key.map(Bytes::copy_from_slice), stamped));
                assert_eq!(key_length(&record[..HEADER]), Ok(key.map_or(0, <[u8]>::len)));
                let present = content.is_value();
                assert_eq!(head(&record[..HEAD_BYTES]), Ok(Head { present, update, deadline }));
                assert!((0..HEAD_BYTES).all(|length| head(&record[..length]).is_err()));
                for bit in 0..record.len() * 8 {
                    let mut flipped = record.to_vec();
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    assert!(decode(&Bytes::from(flipped), VERSION).is_err(), "bit {bit}");
                }
                assert!((0..record.len()).all(|length| decode(&record.slice(..length), VERSION).is_err()));
            }
        }
    }

    /// The bytes are on disks: they stay what they are.
    #[test]
    fn the_format_is_pinned() {
        let update = UpdateId { round: 0x0102, node: 3, boot: 4 };
        let content = Content::Value("v".into());
        let mut record = Vec::new();
        append(&mut record, &StampedValue { version: VERSION, content, deadline: Deadline(5), update }, None);
        let mut expected = vec![2, 1];
        expected.extend([0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0]);
        assert_eq!(record[..HEADER], expected);
        assert_eq!((record.len(), record.last()), (HEADER + 5, Some(&b'v')));
    }
}
