//! What the bodies of messages between nodes have in common. A body is `kind u8 | operation u64 | phase u32 | payload`, all integers
//! big-endian, as those of `abd::wire`; each message has its own payload.

use abd::CallId;
use abd::wire::{Reader, WireError, put_bytes, put_call};
use bytes::{BufMut, Bytes, BytesMut};

pub(crate) fn put_head(out: &mut BytesMut, kind: u8, call: CallId) {
    out.put_u8(kind);
    put_call(out, call);
}

/// Of a message that can only be of one kind.
pub(crate) fn get_head(reader: &mut Reader<'_>, expected: u8) -> Result<CallId, WireError> {
    match reader.u8()? {
        kind if kind == expected => reader.call(),
        other => Err(WireError::Kind(other)),
    }
}

/// How many entries a list has.
pub(crate) fn put_count(out: &mut BytesMut, count: usize) {
    let Ok(count) = u32::try_from(count) else { unreachable!("lists are short") };
    out.put_u32(count);
}

/// [`WireError::Length`] when there are more than `most`.
pub(crate) fn get_count(reader: &mut Reader<'_>, most: usize) -> Result<u32, WireError> {
    let count = reader.u32()?;
    if count as usize > most { Err(WireError::Length) } else { Ok(count) }
}

/// A copy: what is kept of a message must not keep a buffer of the network. [`WireError::Length`] when it has more bytes than `limit`.
pub(crate) fn get_copy(reader: &mut Reader<'_>, limit: usize) -> Result<Bytes, WireError> {
    let bytes = reader.bytes()?;
    if bytes.len() > limit { Err(WireError::Length) } else { Ok(Bytes::copy_from_slice(&bytes)) }
}

pub(crate) fn put_optional(out: &mut BytesMut, bytes: Option<&Bytes>) {
    out.put_u8(u8::from(bytes.is_some()));
    if let Some(bytes) = bytes {
        put_bytes(out, bytes);
    }
}

/// As [`get_copy`].
pub(crate) fn get_optional(reader: &mut Reader<'_>, limit: usize) -> Result<Option<Bytes>, WireError> {
    if reader.flags(1)? == 1 { get_copy(reader, limit).map(Some) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use crate::lanes::lane::{CONFIGURATION, PING, PONG};
    use crate::news::News;
    use crate::{inquiry, repair, sync};
    use abd::wire::call_of;

    /// Whoever takes a frame off a lane goes by its first byte.
    #[test]
    fn each_kind_is_that_of_one_message() {
        for kind in 0..=u8::MAX {
            let body = &[kind; 13][..];
            let is = [
                call_of(body).is_some(),
                [PING, PONG, CONFIGURATION].contains(&kind),
                News::is_news(body),
                repair::message::is_question(body),
                repair::message::is_answer(body),
                inquiry::message::is_question(body),
                inquiry::message::is_answer(body),
                sync::message::is_question(body),
                sync::message::is_answer(body),
                sync::message::is_wanted(body),
                sync::message::is_caught_up(body),
            ];
            assert!(is.iter().filter(|is| **is).count() <= 1, "{kind}: {is:?}");
        }
    }
}
