//! From bytes to requests, incrementally, and without copying large arguments.

use super::inline;
use crate::configuration::RESERVED;
use crate::limits::KEY_BYTES_MAX;
use abd::counted;
use alloc::format;
use alloc::string::String;
use bytes::{Buf, Bytes, BytesMut};
use core::fmt::Display;
use smallvec::SmallVec;

/// The longest header line or inline command, as in Redis.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// A declared length above this is taken for garbage rather than for a large argument (Redis' own limit).
const MAX_DECLARED_BYTES: u64 = 512 * 1024 * 1024;
/// What a request may carry in all its arguments together, beyond one value of the largest size.
const REQUEST_ALLOWANCE_BYTES: u64 = 64 * 1024 * 1024;
/// What an argument costs besides its own bytes: its handle, and the header that shares its buffer.
const ARGUMENT_OVERHEAD_BYTES: u64 = 64;

/// An argument up to this size is copied out of the buffer. Otherwise a ten-byte key in flight would keep the buffer from
/// being used again, and every read would need a new one.
pub(super) const COPIED_MAX_BYTES: usize = 1024;

/// What a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest key. The [`Session`](super::Session) checks it; the parser does not know what is a key.
    pub max_key_bytes: usize,
    /// The longest value.
    pub max_value_bytes: usize,
    /// The most arguments of one request, the command's name included.
    pub max_args: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_key_bytes: KEY_BYTES_MAX, max_value_bytes: 16 * 1024 * 1024, max_args: 1024 * 1024 }
    }
}

impl Limits {
    /// Whether a client may name a key: it is no longer than allowed, and none of the cluster's own.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check_key(&self, key: &[u8]) -> Result<(), String> {
        let (size, limit) = (key.len(), self.max_key_bytes);
        if key.starts_with(RESERVED) {
            return Err("the key is reserved: what the cluster keeps for itself begins so".into());
        }
        if size <= limit {
            Ok(())
        } else {
            Err(format!("key is too long: {size} bytes, the limit is {limit}"))
        }
    }

    /// Whether a value may be so large.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check_value(&self, value: &[u8]) -> Result<(), String> {
        let (size, limit) = (value.len(), self.max_value_bytes);
        if size <= limit { Ok(()) } else { Err(too_large("value", size, limit)) }
    }

    /// The longest argument that the parser lets through. A key may be longer than a value where the
    /// configuration says so, and the slack leaves the exact error message to the session.
    fn argument_bytes(&self) -> u64 {
        self.max_value_bytes.max(self.max_key_bytes) as u64 + 1024
    }

    /// What a request may have in all.
    pub(super) fn request_bytes(&self) -> u64 {
        self.max_value_bytes.max(self.max_key_bytes) as u64 + REQUEST_ALLOWANCE_BYTES
    }
}

/// The arguments of a command, its name first. A large one shares the buffer that it was read into and keeps all of it
/// in memory: who stores one for long copies it.
///
/// The commands of every day have at most three, which cost no allocation.
pub type Args = SmallVec<[Bytes; 3]>;

/// Names of commands that are not copied for every request.
const FREQUENT: [&[u8]; 4] = [b"GET", b"SET", b"get", b"set"];

/// One complete request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientRequest {
    /// A command with its arguments; there is at least one.
    Command(Args),
    /// A request whose bytes were thrown away as they came. The connection is still in step.
    TooLarge {
        /// What was too large.
        what: Oversized,
        /// Its size in bytes, as far as known when it was given up.
        declared: u64,
        /// The size that would have been accepted.
        limit: u64,
    },
}

/// What made a request too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oversized {
    /// One argument.
    Argument,
    /// All arguments together.
    Request,
}

/// The bytes are not RESP. The text is the reply that Redis gives before it closes the connection, as the
/// node must: there is no way to know where the next request begins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The count of a `*` header is not a number, or is above [`Limits::max_args`].
    #[error("ERR Protocol error: invalid multibulk length")]
    InvalidMultibulkLength,
    /// The length of a `$` header is not a number, or is absurd.
    #[error("ERR Protocol error: invalid bulk length")]
    InvalidBulkLength,
    /// A `*` header without an end.
    #[error("ERR Protocol error: too big mbulk count string")]
    MultibulkHeaderTooLong,
    /// A `$` header without an end.
    #[error("ERR Protocol error: too big bulk count string")]
    BulkHeaderTooLong,
    /// An inline command without an end.
    #[error("ERR Protocol error: too big inline request")]
    InlineTooLong,
    /// An argument that does not begin with `$`.
    #[error("ERR Protocol error: expected '$', got '{}'", .0.escape_ascii())]
    ExpectedBulk(u8),
    /// An argument that does not end where its header said.
    #[error("ERR Protocol error: expected CRLF after the argument")]
    ExpectedCrlf,
    /// An inline command that opens a quote and does not close it.
    #[error("ERR Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
}

/// Where the parser stands between two calls.
#[derive(Debug, Clone, Copy)]
enum State {
    /// Before a request.
    Start,
    /// Before the `$` header of an argument.
    Header,
    /// Inside an argument of which `len` bytes are to come together.
    Argument { len: usize },
    /// Inside an argument that nobody wants, of which `left` bytes are still to come.
    Skip { left: u64 },
}

/// Reads requests from a growing buffer.
///
/// The caller appends what it reads and calls [`parse`](Self::parse) until it returns `None`; it never
/// removes bytes itself. What has been parsed leaves the buffer, so the buffer holds at most one unfinished
/// argument or line plus one read, and nothing is allocated because of a length that was only declared.
#[derive(Debug)]
pub struct RequestParser {
    limits: Limits,
    state: State,
    args: Args,
    args_left: usize,
    /// The size of the request so far, with overhead.
    size: u64,
    oversized: Option<(Oversized, u64, u64)>,
    /// How far the unfinished line at the front of the buffer has been searched for its end.
    searched: usize,
    failed: Option<ProtocolError>,
}

impl RequestParser {
    /// A parser at the start of a connection.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Start,
            args: Args::new(),
            args_left: 0,
            size: 0,
            oversized: None,
            searched: 0,
            failed: None,
        }
    }

    /// Takes the next complete request from the front of `buf`; `None` asks for more bytes.
    ///
    /// After an error the connection cannot go on, and every later call returns that error again.
    pub fn parse(&mut self, buf: &mut BytesMut) -> Result<Option<ClientRequest>, ProtocolError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let parsed = self.advance(buf);
        if let Err(error) = &parsed {
            self.failed = Some(error.clone());
            self.args = Args::new();
        }
        parsed
    }

    /// Bytes of memory that a half-sent request takes beside the buffer; not zero while there is one. It is asked for whenever
    /// something has come, so it does not look at each argument.
    pub fn held_bytes(&self) -> usize {
        let coming = match self.state {
            State::Start => return 0,
            State::Argument { len } => len as u64 + ARGUMENT_OVERHEAD_BYTES,
            State::Header | State::Skip { .. } => 0,
        };
        let held = if self.oversized.is_some() { 0 } else { self.size - coming };
        usize::try_from(held.max(1)).unwrap_or(usize::MAX)
    }

    /// How many bytes of a half-sent request have come, of which so many are in the buffer.
    pub fn arrived_bytes(&self, in_buffer: usize) -> usize {
        let to_come = match self.state {
            State::Argument { len } => len as u64,
            State::Skip { left } => left,
            State::Start | State::Header => 0,
        };
        usize::try_from(self.size - to_come).unwrap_or(usize::MAX).saturating_add(in_buffer)
    }

    /// How many bytes must come at least before the next request can be complete, with so many in the buffer.
    pub fn missing_bytes(&self, in_buffer: usize) -> usize {
        match self.state {
            State::Argument { len } => (len + 2).saturating_sub(in_buffer),
            State::Start | State::Header | State::Skip { .. } => 0,
        }
    }

    fn advance(&mut self, buf: &mut BytesMut) -> Result<Option<ClientRequest>, ProtocolError> {
        loop {
            let request = match self.state {
                State::Start => match buf.first() {
                    None => return Ok(None),
                    Some(b'*') => {
                        let Some(line) = self.line(buf, ProtocolError::MultibulkHeaderTooLong)? else {
                            return Ok(None);
                        };
                        self.start_array(&buf[..line])?;
                        buf.advance(line);
                        None
                    }
                    Some(_) => {
                        let Some(line) = self.line(buf, ProtocolError::InlineTooLong)? else {
                            return Ok(None);
                        };
                        let args = inline::split(&buf[..line])?;
                        buf.advance(line);
                        (!args.is_empty()).then_some(ClientRequest::Command(args))
                    }
                },
                State::Header => {
                    match buf.first() {
                        None => return Ok(None),
                        Some(b'$') => {}
                        Some(&other) => return Err(ProtocolError::ExpectedBulk(other)),
                    }
                    let Some(line) = self.line(buf, ProtocolError::BulkHeaderTooLong)? else {
                        return Ok(None);
                    };
                    self.start_argument(&buf[..line])?;
                    buf.advance(line);
                    None
                }
                State::Argument { len } => {
                    if buf.len() < len + 2 {
                        return Ok(None);
                    }
                    let arg = if len <= COPIED_MAX_BYTES {
                        let arg = copied(&buf[..len], self.args.is_empty());
                        buf.advance(len);
                        arg
                    } else {
                        buf.split_to(len).freeze()
                    };
                    take_crlf(buf)?;
                    self.args.push(arg);
                    self.end_argument()
                }
                State::Skip { left } => {
                    let now = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
                    buf.advance(now);
                    let left = left - now as u64;
                    self.state = State::Skip { left };
                    if left > 0 || buf.len() < 2 {
                        return Ok(None);
                    }
                    take_crlf(buf)?;
                    self.end_argument()
                }
            };
            if request.is_some() {
                return Ok(request);
            }
        }
    }

    /// The length, with its end, of the line at the front of the buffer, unless it is still incomplete.
    fn line(&mut self, buf: &[u8], too_long: ProtocolError) -> Result<Option<usize>, ProtocolError> {
        match buf[self.searched..].iter().position(|&byte| byte == b'\n') {
            Some(offset) if self.searched + offset <= MAX_LINE_BYTES => {
                let end = self.searched + offset;
                self.searched = 0;
                Ok(Some(end + 1))
            }
            None if buf.len() <= MAX_LINE_BYTES => {
                self.searched = buf.len();
                Ok(None)
            }
            _ => Err(too_long),
        }
    }

    fn start_array(&mut self, line: &[u8]) -> Result<(), ProtocolError> {
        let count = header_number(line).ok_or(ProtocolError::InvalidMultibulkLength)?;
        if count <= 0 {
            return Ok(()); // Redis ignores empty and null arrays.
        }
        let count = usize::try_from(count).map_err(|_| ProtocolError::InvalidMultibulkLength)?;
        if count > self.limits.max_args {
            return Err(ProtocolError::InvalidMultibulkLength);
        }
        self.args_left = count;
        self.state = State::Header;
        Ok(())
    }

    fn start_argument(&mut self, line: &[u8]) -> Result<(), ProtocolError> {
        let len = header_number(line)
            .and_then(|len| u64::try_from(len).ok())
            .filter(|&len| len <= MAX_DECLARED_BYTES.max(self.limits.argument_bytes()))
            .ok_or(ProtocolError::InvalidBulkLength)?;
        self.size += len + ARGUMENT_OVERHEAD_BYTES;
        if self.oversized.is_none() {
            if len > self.limits.argument_bytes() {
                self.give_up(Oversized::Argument, len, self.limits.max_value_bytes as u64);
            } else if self.size > self.limits.request_bytes() {
                self.give_up(Oversized::Request, self.size, self.limits.request_bytes());
            }
        }
        self.state = match usize::try_from(len) {
            Ok(len) if self.oversized.is_none() => State::Argument { len },
            _ => State::Skip { left: len },
        };
        Ok(())
    }

    /// Forgets the arguments so far; those to come are skipped.
    fn give_up(&mut self, what: Oversized, declared: u64, limit: u64) {
        self.oversized = Some((what, declared, limit));
        self.args = Args::new();
    }

    fn end_argument(&mut self) -> Option<ClientRequest> {
        self.args_left -= 1;
        if self.args_left > 0 {
            self.state = State::Header;
            return None;
        }
        self.state = State::Start;
        self.size = 0;
        let args = core::mem::take(&mut self.args);
        Some(match self.oversized.take() {
            Some((what, declared, limit)) => ClientRequest::TooLarge { what, declared, limit },
            None => ClientRequest::Command(args),
        })
    }
}

/// An argument in an allocation of its own, unless it is a name that is known beforehand.
fn copied(arg: &[u8], is_name: bool) -> Bytes {
    match FREQUENT.iter().find(|name| is_name && **name == arg) {
        Some(name) => Bytes::from_static(name),
        None => counted::copied(arg),
    }
}

/// Why something is refused for its size.
pub(super) fn too_large(what: &str, size: impl Display, limit: impl Display) -> String {
    format!("{what} is too large: {size} bytes, the limit is {limit}")
}

fn take_crlf(buf: &mut BytesMut) -> Result<(), ProtocolError> {
    if !buf.starts_with(b"\r\n") {
        return Err(ProtocolError::ExpectedCrlf);
    }
    buf.advance(2);
    Ok(())
}

/// The number in `*12\r\n` or `$-1\r\n`, in the one spelling that Redis accepts.
fn header_number(line: &[u8]) -> Option<i64> {
    let digits = line.get(1..)?.strip_suffix(b"\r\n")?;
    let magnitude = digits.strip_prefix(b"-").unwrap_or(digits);
    if magnitude.is_empty() || (magnitude.starts_with(b"0") && digits.len() > 1) {
        return None;
    }
    // Below zero there is room for one more than above.
    let mut negative = 0i64;
    for digit in magnitude {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        negative = negative.checked_mul(10)?.checked_sub(digit)?;
    }
    if digits.len() > magnitude.len() { Some(negative) } else { negative.checked_neg() }
}
