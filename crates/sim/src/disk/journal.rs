//! The bytes of the journal: `length u32 | crc32 u32 | changes`, where a change is `kind u8 | key | value`, each with
//! a `u32` length in front.

use bytes::{Buf, BufMut, Bytes};
use store::{Change, WriteBatch};

const HEADER: usize = 8;
const PUT: u8 = 1;
const DELETE: u8 = 2;

/// Appends a batch.
pub(super) fn append(journal: &mut Vec<u8>, batch: &WriteBatch) {
    let start = journal.len();
    journal.put_u64(0);
    for change in &batch.changes {
        match change {
            Change::Put(key, value) => {
                journal.put_u8(PUT);
                put_bytes(journal, key);
                put_bytes(journal, value);
            }
            Change::Delete(key) => {
                journal.put_u8(DELETE);
                put_bytes(journal, key);
            }
        }
    }
    let body = &journal[start + HEADER..];
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    // Zeros must not pass for an empty batch.
    let checksum = !crc32fast::hash(body);
    journal[start..start + 4].copy_from_slice(&length.to_be_bytes());
    journal[start + 4..start + 8].copy_from_slice(&checksum.to_be_bytes());
}

/// The batch at `at` and where the next one begins; `None` when no whole batch is there.
pub(super) fn decode(journal: &[u8], at: usize) -> Option<(WriteBatch, usize)> {
    let mut header = journal.get(at..at + HEADER)?;
    let (length, checksum) = (header.get_u32() as usize, header.get_u32());
    let end = (at + HEADER).checked_add(length)?;
    let body = journal.get(at + HEADER..end)?;
    if !crc32fast::hash(body) != checksum {
        return None;
    }
    let mut body = Bytes::copy_from_slice(body);
    let mut batch = WriteBatch::default();
    while !body.is_empty() {
        let kind = body.get_u8();
        let key = get_bytes(&mut body)?;
        match kind {
            PUT => batch.put(key, get_bytes(&mut body)?),
            DELETE => batch.delete(key),
            _ => return None,
        }
    }
    Some((batch, end))
}

fn put_bytes(journal: &mut Vec<u8>, bytes: &[u8]) {
    journal.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    journal.put_slice(bytes);
}

fn get_bytes(body: &mut Bytes) -> Option<Bytes> {
    let length = body.try_get_u32().ok()? as usize;
    (body.len() >= length).then(|| body.split_to(length))
}
