//! Bytes between coordinators and replicas.
//!
//! A frame is `length u32 | crc32 u32 | body`, all integers big-endian; the length and the checksum are of the body.
//! The body of a request is `kind u8 | operation u64 | phase u8 | remaining ms u32 | payload`; of a reply the same
//! without the remaining time. Deadlines travel as *remaining* time, because the two clocks need not agree.

use crate::message::{CallId, Refusal, Reply, Request};
use crate::value::{Content, StampedValue};
use crate::version::{Version, VersionError};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes before the body of a frame.
pub const FRAME_HEADER: usize = 8;

/// Why bytes are not a frame or not a message. The connection that sent them is closed; nothing else happens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The length field exceeds the limit.
    #[error("a frame of {length} bytes exceeds the limit of {limit}")]
    TooLong {
        /// As announced.
        length: usize,
        /// What is accepted.
        limit: usize,
    },
    /// The body does not match its checksum.
    #[error("a frame's checksum does not match: it was damaged, or the sender speaks another protocol")]
    Checksum,
    /// The body ends too early or goes on too long.
    #[error("a message ends in the wrong place")]
    Length,
    /// An unknown kind of message.
    #[error("unknown message kind {0}")]
    Kind(u8),
    /// A version that no correct node issues.
    #[error(transparent)]
    Version(#[from] VersionError),
}

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

const LOCAL_READ: u8 = 1;
const LOCAL_READ_TIMESTAMP: u8 = 2;
const LOCAL_WRITE: u8 = 3;
const READ: u8 = 65;
const TIMESTAMP: u8 = 66;
const WRITTEN: u8 = 67;
const REFUSED: u8 = 68;

/// Whether a body is that of a reply, rather than of a request or of anything else.
pub fn is_reply(body: &[u8]) -> bool {
    matches!(body.first(), Some(&(READ | TIMESTAMP | WRITTEN | REFUSED)))
}

/// The call that a body belongs to, by its first bytes, and whether it is a reply to that call or a request. `None` when it
/// is neither.
pub fn call_of(head: &[u8]) -> Option<(CallId, bool)> {
    let is_reply = is_reply(head);
    let is_request = matches!(head.first(), Some(&(LOCAL_READ | LOCAL_READ_TIMESTAMP | LOCAL_WRITE)));
    let (operation, rest) = head.get(1..)?.split_first_chunk()?;
    let call = CallId { operation: u64::from_be_bytes(*operation), phase: *rest.first()? };
    (is_reply || is_request).then_some((call, is_reply))
}

/// Appends a request's body.
pub fn put_request(out: &mut BytesMut, call: CallId, remaining_ms: u32, request: &Request) {
    out.put_u8(match request {
        Request::LocalRead { .. } => LOCAL_READ,
        Request::LocalReadTimestamp { .. } => LOCAL_READ_TIMESTAMP,
        Request::LocalWrite { .. } => LOCAL_WRITE,
    });
    put_call(out, call);
    out.put_u32(remaining_ms);
    put_bytes(out, request.key());
    match request {
        Request::LocalRead { have, .. } => out.put_slice(&have.to_bytes()),
        Request::LocalReadTimestamp { .. } => {}
        Request::LocalWrite { stamped, .. } => {
            out.put_slice(&stamped.version.to_bytes());
            put_content(out, &stamped.content);
        }
    }
}

/// Reads a request's body: the call, the remaining time in milliseconds, the request.
///
/// # Errors
/// When the body is anything but exactly one request.
pub fn get_request(body: Bytes) -> Result<(CallId, u32, Request), WireError> {
    let mut reader = Reader::new(&body);
    let kind = reader.u8()?;
    let call = reader.call()?;
    let remaining = reader.u32()?;
    let key = reader.bytes()?;
    let request = match kind {
        LOCAL_READ => Request::LocalRead { key, have: reader.version()? },
        LOCAL_READ_TIMESTAMP => Request::LocalReadTimestamp { key },
        LOCAL_WRITE => {
            let version = reader.version()?;
            if version == Version::MIN {
                return Err(VersionError::NoWriter { node: 0, boot: 0, time: 0 }.into());
            }
            Request::LocalWrite { key, stamped: StampedValue { version, content: reader.content()? } }
        }
        other => return Err(WireError::Kind(other)),
    };
    reader.end()?;
    Ok((call, remaining, request))
}

/// Appends a reply's body.
pub fn put_reply(out: &mut BytesMut, call: CallId, reply: &Reply) {
    out.put_u8(match reply {
        Reply::Read { .. } => READ,
        Reply::Timestamp { .. } => TIMESTAMP,
        Reply::Written { .. } => WRITTEN,
        Reply::Refused(_) => REFUSED,
    });
    put_call(out, call);
    match reply {
        Reply::Read { version, content, durable } => {
            out.put_slice(&version.to_bytes());
            out.put_u8(u8::from(*durable) | (u8::from(content.is_some()) << 1));
            if let Some(content) = content {
                put_content(out, content);
            }
        }
        Reply::Timestamp { version, present, writable } => {
            out.put_slice(&version.to_bytes());
            out.put_u8(u8::from(*present) | (u8::from(*writable) << 1));
        }
        Reply::Written { previous } => {
            out.put_u8(u8::from(previous.is_some()));
            if let Some((version, present)) = previous {
                out.put_slice(&version.to_bytes());
                out.put_u8(u8::from(*present));
            }
        }
        Reply::Refused(refusal) => put_refusal(out, *refusal),
    }
}

/// Appends why a replica did nothing.
pub fn put_refusal(out: &mut BytesMut, refusal: Refusal) {
    out.put_u8(match refusal {
        Refusal::NotAdmitted => 1,
        Refusal::DiskFull => 2,
        Refusal::FutureVersion => 3,
        Refusal::Overloaded => 4,
        Refusal::StoreFailed => 5,
        Refusal::Damaged => 6,
        Refusal::TooLarge => 7,
    });
}

/// Reads what [`put_refusal`] wrote.
///
/// # Errors
/// [`WireError::Kind`] when nobody writes that.
pub fn get_refusal(byte: u8) -> Result<Refusal, WireError> {
    Ok(match byte {
        1 => Refusal::NotAdmitted,
        2 => Refusal::DiskFull,
        3 => Refusal::FutureVersion,
        4 => Refusal::Overloaded,
        5 => Refusal::StoreFailed,
        6 => Refusal::Damaged,
        7 => Refusal::TooLarge,
        other => return Err(WireError::Kind(other)),
    })
}

/// Reads a reply's body.
///
/// # Errors
/// When the body is anything but exactly one reply.
pub fn get_reply(body: Bytes) -> Result<(CallId, Reply), WireError> {
    let mut reader = Reader::new(&body);
    let kind = reader.u8()?;
    let call = reader.call()?;
    let reply = match kind {
        READ => {
            let version = reader.version()?;
            let flags = reader.flags(2)?;
            let content = if flags & 2 != 0 { Some(reader.content()?) } else { None };
            Reply::Read { version, content, durable: flags & 1 != 0 }
        }
        TIMESTAMP => {
            let version = reader.version()?;
            let flags = reader.flags(2)?;
            Reply::Timestamp { version, present: flags & 1 != 0, writable: flags & 2 != 0 }
        }
        WRITTEN => {
            let previous =
                if reader.flags(1)? == 1 { Some((reader.version()?, reader.flags(1)? == 1)) } else { None };
            Reply::Written { previous }
        }
        REFUSED => Reply::Refused(get_refusal(reader.u8()?)?),
        other => return Err(WireError::Kind(other)),
    };
    reader.end()?;
    Ok((call, reply))
}

/// Appends a length and the bytes.
pub fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    let Ok(length) = u32::try_from(bytes.len()) else { unreachable!("no field has 4 GiB") };
    out.put_u32(length);
    out.put_slice(bytes);
}

/// Reads what [`put_bytes`] wrote, without copying.
///
/// # Errors
/// [`WireError::Length`] when fewer bytes are there.
pub fn get_bytes(body: &mut Bytes) -> Result<Bytes, WireError> {
    let length = body.try_get_u32().map_err(|_| WireError::Length)? as usize;
    if body.len() < length {
        return Err(WireError::Length);
    }
    Ok(body.split_to(length))
}

/// Appends which call a body belongs to.
pub fn put_call(out: &mut BytesMut, call: CallId) {
    out.put_u64(call.operation);
    out.put_u8(call.phase);
}

fn put_content(out: &mut BytesMut, content: &Content) {
    match content {
        Content::Value(bytes) => {
            out.put_u8(1);
            put_bytes(out, bytes);
        }
        Content::Tombstone => out.put_u8(0),
    }
}

/// Reads the fields of a body. It looks at plain bytes, and shares the body's buffer only for keys and values.
#[derive(Debug)]
pub struct Reader<'a> {
    body: &'a Bytes,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// From the front of a body.
    pub fn new(body: &'a Bytes) -> Self {
        Self { body, rest: body }
    }

    /// So many bytes.
    ///
    /// # Errors
    /// [`WireError`] when it is not there, or nothing that it can be.
    pub fn take<const LEN: usize>(&mut self) -> Result<&'a [u8; LEN], WireError> {
        let (field, rest) = self.rest.split_first_chunk().ok_or(WireError::Length)?;
        self.rest = rest;
        Ok(field)
    }

    /// A byte.
    ///
    /// # Errors
    /// [`WireError`] when it is not there, or nothing that it can be.
    pub fn u8(&mut self) -> Result<u8, WireError> {
        let [byte] = self.take()?;
        Ok(*byte)
    }

    /// A number of four bytes.
    ///
    /// # Errors
    /// [`WireError`] when it is not there, or nothing that it can be.
    pub fn u32(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_be_bytes(*self.take()?))
    }

    /// A number of eight bytes.
    ///
    /// # Errors
    /// [`WireError`] when it is not there, or nothing that it can be.
    pub fn u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_be_bytes(*self.take()?))
    }

    /// What [`put_call`] wrote.
    ///
    /// # Errors
    /// [`WireError`] when it is not there, or nothing that it can be.
    pub fn call(&mut self) -> Result<CallId, WireError> {
        Ok(CallId { operation: self.u64()?, phase: self.u8()? })
    }

    /// A version.
    ///
    /// # Errors
    /// [`WireError`] when it is not there, or nothing that it can be.
    pub fn version(&mut self) -> Result<Version, WireError> {
        Ok(Version::from_bytes(self.take()?)?)
    }

    /// A byte of which only the lowest `bits` may be set.
    ///
    /// # Errors
    /// [`WireError`] when it is not there, or nothing that it can be.
    pub fn flags(&mut self, bits: u32) -> Result<u8, WireError> {
        let flags = self.u8()?;
        if u32::from(flags) >> bits != 0 { Err(WireError::Kind(flags)) } else { Ok(flags) }
    }

    /// What [`put_bytes`] wrote, without copying.
    ///
    /// # Errors
    /// [`WireError`] when it is not there, or nothing that it can be.
    pub fn bytes(&mut self) -> Result<Bytes, WireError> {
        let length = self.u32()? as usize;
        let (field, rest) = self.rest.split_at_checked(length).ok_or(WireError::Length)?;
        self.rest = rest;
        Ok(self.body.slice_ref(field))
    }

    fn content(&mut self) -> Result<Content, WireError> {
        match self.u8()? {
            0 => Ok(Content::Tombstone),
            1 => Ok(Content::Value(self.bytes()?)),
            other => Err(WireError::Kind(other)),
        }
    }

    /// There is no more.
    ///
    /// # Errors
    /// [`WireError`] when it is not there, or nothing that it can be.
    pub fn end(&self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError::Length) }
    }
}
