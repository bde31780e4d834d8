//! Records and segment headers as bytes, and what is still readable of them after a crash.
//!
//! ```text
//! segment   header block | record | record | …                              every part begins at a multiple of 512
//! header    "AKVJRNL1" | id u64 | salt u64 | first u64 | flushed u64 | crc32 u32     "AKVVALS1" when it is kept
//! record    "batc" | crc32 u32 | salt u64 | number u64 | length u32 | payload, of that length | zeros
//! payload   for each change: kind u8 | key length u16 | value length u32 | key | value
//! ```
//! All integers are big-endian; a checksum covers what follows it, in the header what precedes it. The salt is drawn for
//! each use of a segment: what an earlier use left behind, and what a client puts into a value, are no records.
//!
//! A record has its sectors to itself, so a write that is torn cannot harm an acknowledged one. Only the last batch can
//! be torn, because a batch is written when the one before is durable. So a record that does not match, with a whole
//! one behind it, is not the end of the journal but damage.

use crate::database::Change;
use crate::disk::ground::values::{Location, Pointer, is_large};
use bytes::{Buf, BufMut, Bytes};

/// What a disk writes whole or not at all.
pub(super) const BLOCK: usize = 512;
const SEGMENT_MAGIC: &[u8; 8] = b"AKVJRNL1";
const KEPT_MAGIC: &[u8; 8] = b"AKVVALS1";
const BLANK_MAGIC: &[u8; 8] = b"AKVBLNK1";
const RECORD_MAGIC: &[u8; 4] = b"batc";
const RECORD_HEADER: usize = 4 + 4 + 8 + 8 + 4;
const SEGMENT_HEADER: usize = 8 + 4 * 8 + 4;
const CHANGE_HEADER: usize = 1 + 2 + 4;

const DELETE: u8 = 0;
const PUT: u8 = 1;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Rises with every use of a segment.
    pub(super) id: u64,
    pub(super) salt: u64,
    /// Number of the first batch in it.
    pub(super) first: u64,
    /// All batches up to this one were in synced tables when the segment was begun.
    pub(super) flushed: u64,
    /// All its batches are in tables, and it is there for the large values in it.
    pub(super) kept: bool,
}

/// One batch as it was found.
#[derive(Debug)]
pub(super) struct BatchRecord {
    pub(super) number: u64,
    pub(super) changes: Vec<Change>,
    /// Where in the segment its changes begin.
    payload_at: u64,
}

impl BatchRecord {
    /// Where its large values are, in a segment of this number.
    pub(super) fn large_values(&self, segment: u64) -> Vec<(usize, Pointer)> {
        large_values(&self.changes, Location { segment, offset: self.payload_at })
    }
}

/// A record that does not match lies before one that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// The batch that should be there.
    pub(super) number: u64,
}

impl Header {
    /// Appends the header block.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_slice(if self.kept { KEPT_MAGIC } else { SEGMENT_MAGIC });
        for field in [self.id, self.salt, self.first, self.flushed] {
            out.put_u64(field);
        }
        out.put_u32(crc32fast::hash(&out[start..]));
        pad(out, start);
    }

    /// Reads a header; `None` if the bytes are none.
    pub(super) fn get(bytes: &[u8]) -> Option<Self> {
        let (body, mut checksum) = bytes.get(..SEGMENT_HEADER)?.split_at(SEGMENT_HEADER - 4);
        if checksum.get_u32() != crc32fast::hash(body) {
            return None;
        }
        let kept = body.starts_with(KEPT_MAGIC);
        let mut fields = body.strip_prefix(if kept { KEPT_MAGIC } else { SEGMENT_MAGIC })?;
        let (id, salt) = (fields.get_u64(), fields.get_u64());
        Some(Self { id, salt, first: fields.get_u64(), flushed: fields.get_u64(), kept })
    }
}

/// What stands in place of the header of a segment that was used and is to be used again. It is written whole or not at
/// all, and tells such a segment from one whose header is damaged.
pub(super) fn blank_block() -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..BLANK_MAGIC.len()].copy_from_slice(BLANK_MAGIC);
    block
}

/// Bytes that a record of these changes takes.
pub(super) fn record_size(changes: &[Change]) -> usize {
    (RECORD_HEADER + changes.iter().map(change_size).sum::<usize>()).next_multiple_of(BLOCK)
}

fn change_size(change: &Change) -> usize {
    match change {
        Change::Put(key, value) => CHANGE_HEADER + key.len() + value.len(),
        Change::Delete(key) => CHANGE_HEADER + key.len(),
    }
}

/// Where the large values of a record are that was found with its changes at a location.
fn large_values(changes: &[Change], mut at: Location) -> Vec<(usize, Pointer)> {
    let mut pointers = Vec::new();
    for (index, change) in changes.iter().enumerate() {
        if let Some((key, value)) = large(change) {
            let offset = at.offset + (CHANGE_HEADER + key.len()) as u64;
            pointers.push((index, Pointer::new(Location { offset, ..at }, value)));
        }
        at.offset += change_size(change) as u64;
    }
    pointers
}

fn large(change: &Change) -> Option<(&Bytes, &Bytes)> {
    match change {
        Change::Put(key, value) if is_large(value) => Some((key, value)),
        _ => None,
    }
}

/// Appends a record that is to be written at a location; returns where its large values will be.
///
/// Their checksums are taken here and then joined, because they are in the processor's cache now, and not when a table
/// needs the checksum of each.
pub(super) fn put_record(
    out: &mut Vec<u8>,
    salt: u64,
    number: u64,
    changes: &[Change],
    at: Location,
) -> Vec<(usize, Pointer)> {
    let start = out.len();
    let Ok(length) = u32::try_from(changes.iter().map(change_size).sum::<usize>()) else {
        unreachable!("no batch has 4 GiB");
    };
    out.put_slice(RECORD_MAGIC);
    out.put_u32(0);
    let (mut pointers, mut hasher, mut hashed) = (Vec::new(), crc32fast::Hasher::new(), out.len());
    out.put_u64(salt);
    out.put_u64(number);
    out.put_u32(length);
    for (index, change) in changes.iter().enumerate() {
        let (kind, key, value) = match change {
            Change::Put(key, value) => (PUT, key, &value[..]),
            Change::Delete(key) => (DELETE, key, &[][..]),
        };
        let (Ok(key_length), Ok(value_length)) = (u16::try_from(key.len()), u32::try_from(value.len()))
        else {
            unreachable!("no key has 64 KiB, no value 4 GiB");
        };
        out.put_u8(kind);
        out.put_u16(key_length);
        out.put_u32(value_length);
        out.put_slice(key);
        let value_at = out.len();
        out.put_slice(value);
        if large(change).is_some() {
            let location = Location { offset: at.offset + (value_at - start) as u64, ..at };
            let mut of_value = crc32fast::Hasher::new();
            of_value.update(&out[value_at..]);
            hasher.update(&out[hashed..value_at]);
            hasher.combine(&of_value);
            hashed = out.len();
            let checksum = of_value.finalize();
            pointers.push((index, Pointer { location, length: value_length, checksum }));
        }
    }
    hasher.update(&out[hashed..]);
    out[start + 4..start + 8].copy_from_slice(&hasher.finalize().to_be_bytes());
    pad(out, start);
    pointers
}

fn pad(out: &mut Vec<u8>, start: usize) {
    out.resize(start + (out.len() - start).next_multiple_of(BLOCK), 0);
}

/// Takes the records of a segment one by one.
pub(super) struct Records {
    segment: Bytes,
    salt: u64,
    at: usize,
    next: u64,
}

impl Records {
    /// Whether a segment whose header is no header holds acknowledged batches all the same: a second batch is written when
    /// the first one, and the header with it, is durable.
    pub(super) fn are_there_without_header(segment: Bytes) -> bool {
        let Some(mut salt) = segment.get(BLOCK + 8..BLOCK + 16) else { return false };
        let records = Self { salt: salt.get_u64(), segment, at: BLOCK, next: 0 };
        let second = records.read(BLOCK).and_then(|(first, _, size)| {
            records.read(BLOCK + size).filter(|(second, ..)| *second == first + 1)
        });
        second.is_some()
    }

    /// Over a whole segment, whose header was read before.
    pub(super) fn new(segment: Bytes, header: Header) -> Self {
        Self { segment, salt: header.salt, at: BLOCK, next: header.first }
    }

    /// The next record; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<BatchRecord>, Damage> {
        if let Some((number, payload, size)) = self.read(self.at).filter(|(number, ..)| *number == self.next)
            && let Some(changes) = changes_in(payload)
        {
            let payload_at = (self.at + RECORD_HEADER) as u64;
            self.at += size;
            self.next += 1;
            return Ok(Some(BatchRecord { number, changes, payload_at }));
        }
        let mut ahead = self.at + BLOCK;
        while ahead < self.segment.len() {
            if self.read(ahead).is_some_and(|(number, ..)| number > self.next) {
                return Err(Damage { number: self.next });
            }
            ahead += BLOCK;
        }
        Ok(None)
    }

    /// The record at an offset, whatever its number: number, payload, size.
    fn read(&self, at: usize) -> Option<(u64, Bytes, usize)> {
        let mut fields = self.segment.get(at..at + RECORD_HEADER)?.strip_prefix(RECORD_MAGIC)?;
        let (checksum, salt) = (fields.get_u32(), fields.get_u64());
        let (number, length) = (fields.get_u64(), fields.get_u32() as usize);
        let end = at + RECORD_HEADER + length;
        let body = self.segment.get(at + 8..end)?;
        if salt != self.salt || crc32fast::hash(body) != checksum {
            return None;
        }
        let size = (RECORD_HEADER + length).next_multiple_of(BLOCK);
        Some((number, self.segment.slice(at + RECORD_HEADER..end), size))
    }
}

fn changes_in(mut payload: Bytes) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    while !payload.is_empty() {
        let kind = payload.try_get_u8().ok()?;
        let key_length = usize::from(payload.try_get_u16().ok()?);
        let value_length = payload.try_get_u32().ok()? as usize;
        if payload.len() < key_length + value_length {
            return None;
        }
        let (key, value) = (payload.split_to(key_length), payload.split_to(value_length));
        changes.push(match kind {
            PUT => Change::Put(key, value),
            DELETE => Change::Delete(key),
            _ => return None,
        });
    }
    Some(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::ground::values::LARGE;

    const HEADER: Header = Header { id: 3, salt: 99, first: 7, flushed: 5, kept: false };

    fn changes(size: usize) -> Vec<Change> {
        vec![Change::Put("key".into(), vec![7; size].into()), Change::Delete("gone".into())]
    }

    fn put(out: &mut Vec<u8>, salt: u64, number: u64, changes: &[Change]) -> Vec<(usize, Pointer)> {
        let at = Location { segment: HEADER.id, offset: out.len() as u64 };
        put_record(out, salt, number, changes, at)
    }

    fn segment(sizes: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        HEADER.put(&mut bytes);
        for (number, size) in (7..).zip(sizes) {
            let before = bytes.len();
            put(&mut bytes, HEADER.salt, number, &changes(*size));
            assert_eq!(bytes.len() - before, record_size(&changes(*size)));
        }
        bytes
    }

    fn count(bytes: Vec<u8>) -> Result<usize, Damage> {
        let mut records = Records::new(bytes.into(), HEADER);
        let mut count = 0;
        while records.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn what_was_put_is_read_again() {
        let bytes = segment(&[0, 1, 2_000]);
        assert_eq!(Header::get(&bytes), Some(HEADER));
        let mut records = Records::new(bytes.into(), HEADER);
        for (number, size) in [(7, 0), (8, 1), (9, 2_000)] {
            let record = records.next().unwrap().unwrap();
            assert_eq!((record.number, record.changes), (number, changes(size)));
        }
        assert!(records.next().unwrap().is_none());
    }

    #[test]
    fn pointers_to_large_values_are_the_same_when_written_and_when_found() {
        let of = |size: usize| Change::Put(format!("key {size}").into(), vec![7; size].into());
        let sizes = [LARGE, 3, LARGE - 1, LARGE + 1, 0, 70_000, 20_000];
        let mut changes: Vec<Change> = sizes.map(of).into();
        changes.insert(3, Change::Delete("gone".into()));
        let mut bytes = segment(&[100]);
        let written = put(&mut bytes, HEADER.salt, 8, &changes);
        let mut records = Records::new(bytes.clone().into(), HEADER);
        assert_eq!(records.next().unwrap().unwrap().large_values(HEADER.id), []);
        let found = records.next().unwrap().unwrap();
        assert_eq!((&found.changes, found.large_values(HEADER.id)), (&changes, written.clone()));
        assert_eq!(written.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 4, 6, 7]);
        for (index, Pointer { location, length, checksum }) in written {
            let Change::Put(_, value) = &changes[index] else { panic!("{index} is no put") };
            let from = usize::try_from(location.offset).unwrap();
            assert_eq!(bytes[from..from + length as usize], value[..]);
            assert_eq!((location.segment, checksum), (HEADER.id, crc32fast::hash(value)));
        }
    }

    #[test]
    fn a_torn_end_is_an_end_and_a_hole_is_damage() {
        let whole = segment(&[100, 2_000, 100]);
        for cut in (BLOCK..whole.len() - BLOCK).step_by(97) {
            let mut torn = whole.clone();
            torn.truncate(cut);
            assert!(count(torn).unwrap() < 3);
        }
        for at in BLOCK..2 * BLOCK + 2_000 {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x20;
            match count(flipped) {
                // The zeros behind a record are nobody's.
                Ok(count) => assert_eq!(count, 3, "byte {at}"),
                Err(damage) => assert!(damage.number == 7 || damage.number == 8, "byte {at}"),
            }
        }
    }

    #[test]
    fn what_an_earlier_use_left_behind_is_no_record() {
        let mut bytes = segment(&[100]);
        put(&mut bytes, HEADER.salt - 1, 8, &changes(100));
        put(&mut bytes, HEADER.salt, 7, &changes(100));
        assert_eq!(count(bytes), Ok(1));
    }

    #[test]
    fn without_a_header_two_records_in_a_row_are_told_from_what_was_never_acknowledged() {
        let damaged = |sizes: &[usize]| {
            let mut bytes = segment(sizes);
            bytes[9] ^= 1;
            assert_eq!(Header::get(&bytes), None);
            Records::are_there_without_header(bytes.into())
        };
        assert!(damaged(&[100, 2_000]));
        // One alone may have been torn off its header.
        assert!(!damaged(&[100]));
        assert!(!damaged(&[]));
        assert!(!Records::are_there_without_header(vec![0; 8 * BLOCK].into()));
    }

    #[test]
    fn no_flipped_bit_of_a_header_passes() {
        let bytes = segment(&[]);
        for bit in 0..SEGMENT_HEADER * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::get(&flipped), None, "bit {bit}");
        }
    }
}
