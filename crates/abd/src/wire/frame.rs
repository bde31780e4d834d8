//! Frames: `length u32 | crc32 u32 | body`; the length and the checksum are of the body.

use super::WireError;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes before the body of a frame.
pub const FRAME_HEADER: usize = 8;

/// Appends a frame around what `body` writes.
pub fn put_frame(out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u64(0);
    body(out);
    let length = out.len() - start - FRAME_HEADER;
    let checksum = crc32fast::hash(&out[start + FRAME_HEADER..]);
    let Ok(length) = u32::try_from(length) else { unreachable!("no message has 4 GiB") };
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    out[start + 4..start + 8].copy_from_slice(&checksum.to_be_bytes());
}

/// Bytes that are still to come of the frame at the front of `input`, as far as that is known.
pub fn missing_bytes(input: &[u8]) -> usize {
    let length = input.first_chunk().map_or(0, |length: &[u8; 4]| u32::from_be_bytes(*length));
    (FRAME_HEADER + length as usize).saturating_sub(input.len())
}

/// Takes the next whole frame's body off the front of `input`, or `None` if it is not all there yet.
///
/// # Errors
/// [`WireError::TooLong`] as soon as the header is there, [`WireError::Checksum`] when the body is.
pub fn take_frame(input: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, WireError> {
    if input.len() < FRAME_HEADER {
        return Ok(None);
    }
    let length = u32::from_be_bytes([input[0], input[1], input[2], input[3]]) as usize;
    if length > limit {
        return Err(WireError::TooLong { length, limit });
    }
    if input.len() < FRAME_HEADER + length {
        return Ok(None);
    }
    let checksum = u32::from_be_bytes([input[4], input[5], input[6], input[7]]);
    input.advance(FRAME_HEADER);
    let body = input.split_to(length).freeze();
    if crc32fast::hash(&body) != checksum {
        return Err(WireError::Checksum);
    }
    Ok(Some(body))
}
