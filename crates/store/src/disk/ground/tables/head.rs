//! What every new table says of itself.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Under this key, which no user has, every table says up to which batch everything is in tables.
pub(crate) const FLUSHED_KEY: &[u8] = b"\x00flushed";

/// As much as a block of a table has.
const BLOCK: usize = 4096;

/// What a new table has under [`FLUSHED_KEY`]: the number of the last batch, the number of the table, and its first key that is
/// not the engine's own. For whoever finds the first block of keys damaged, nothing else says where it begins. It fills a
/// block, so that the keys are in others.
pub(crate) fn head(last: &[u8], table: u64, from: &[u8]) -> Bytes {
    let mut head = BytesMut::with_capacity(BLOCK + from.len());
    head.put_slice(last);
    head.put_u64(table);
    head.put_u32(u32::try_from(from.len()).unwrap_or(0));
    head.put_slice(from);
    head.resize(head.len().max(BLOCK), 0);
    head.freeze()
}

/// Where the keys of a table begin, if its head is of the same table: a merge keeps that of a table it was made of.
pub(crate) fn begins(mut head: &[u8], table: u64) -> Option<Bytes> {
    head.advance(head.len().min(8));
    if head.try_get_u64().ok()? != table {
        return None;
    }
    let length = head.try_get_u32().ok()? as usize;
    let from = head.get(..length).filter(|from| !from.is_empty())?;
    Some(Bytes::copy_from_slice(from))
}
