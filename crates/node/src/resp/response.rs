//! Replies and their bytes.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};

/// The protocol version that a connection has agreed on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protocol {
    /// The one every connection starts with.
    #[default]
    Resp2,
    /// After `HELLO 3`.
    Resp3,
}

impl Protocol {
    /// 2 or 3.
    pub fn number(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// An answer to a client. Kinds that RESP2 lacks are sent there in the form that Redis gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// A short word such as `OK`. Line ends in it become spaces.
    Simple(Cow<'static, str>),
    /// An error that begins with its code, such as `ERR`. Line ends in it become spaces.
    Error(String),
    /// A number.
    Integer(i64),
    /// Any bytes.
    Bulk(Bytes),
    /// No value.
    Null,
    /// No array: differs from [`Null`](Self::Null) in RESP2 only.
    NullArray,
    /// A list.
    Array(Vec<Response>),
    /// A set; a list in RESP2.
    Set(Vec<Response>),
    /// Names and values; a flat list in RESP2.
    Map(Vec<(Response, Response)>),
    /// A truth value; 1 or 0 in RESP2.
    Boolean(bool),
    /// A number with a fraction, as text; plain bytes in RESP2.
    Double(Bytes),
    /// A list that is no reply by its form; a list in RESP2.
    Push(Vec<Response>),
    /// Several replies to one request, one after the other.
    Several(Vec<Response>),
    /// Text to be shown as it is; plain bytes in RESP2.
    Verbatim(Bytes),
    /// What is a reply already, in the protocol of its client.
    Encoded(Bytes),
    /// A number of any length by its digits; plain bytes in RESP2. Line ends in it become spaces.
    BigNumber(String),
}

impl Response {
    /// `+OK`.
    pub const OK: Self = Self::Simple(Cow::Borrowed("OK"));

    /// A bulk string of the text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Bulk(Bytes::from(text.into()))
    }

    /// An error with its code in front.
    pub fn error(text: impl Into<String>) -> Self {
        Self::Error(text.into())
    }

    /// An error without a code of its own.
    pub(super) fn err(why: impl core::fmt::Display) -> Self {
        Self::Error(alloc::format!("ERR {why}"))
    }

    /// A number of things.
    pub(super) fn count(count: usize) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// Names and what they stand for.
    pub(super) fn map(fields: impl IntoIterator<Item = (&'static str, Self)>) -> Self {
        Self::Map(fields.into_iter().map(|(name, value)| (Self::text(name), value)).collect())
    }

    /// Appends the reply's bytes.
    pub fn encode(&self, protocol: Protocol, out: &mut BytesMut) {
        let resp3 = protocol == Protocol::Resp3;
        match self {
            Self::Simple(text) => line(b'+', text, out),
            Self::Error(text) => line(b'-', text, out),
            Self::Integer(number) => header(b':', *number, out),
            Self::Bulk(bytes) => blob(b'$', b"", bytes, out),
            Self::Double(text) if resp3 => {
                out.put_u8(b',');
                out.put_slice(text);
                out.put_slice(b"\r\n");
            }
            Self::Double(text) => blob(b'$', b"", text, out),
            Self::Verbatim(bytes) if resp3 => blob(b'=', b"txt:", bytes, out),
            Self::Verbatim(bytes) => blob(b'$', b"", bytes, out),
            Self::Encoded(bytes) => out.put_slice(bytes),
            Self::BigNumber(digits) if resp3 => line(b'(', digits, out),
            Self::BigNumber(digits) => blob(b'$', b"", digits.as_bytes(), out),
            Self::Null | Self::NullArray if resp3 => out.put_slice(b"_\r\n"),
            Self::Null => out.put_slice(b"$-1\r\n"),
            Self::NullArray => out.put_slice(b"*-1\r\n"),
            Self::Boolean(truth) if resp3 => out.put_slice(if *truth { b"#t\r\n" } else { b"#f\r\n" }),
            Self::Boolean(truth) => header(b':', i64::from(*truth), out),
            Self::Array(items) => list(b'*', items, protocol, out),
            Self::Push(items) => list(if resp3 { b'>' } else { b'*' }, items, protocol, out),
            Self::Several(replies) => replies.iter().for_each(|reply| reply.encode(protocol, out)),
            Self::Set(items) => list(if resp3 { b'~' } else { b'*' }, items, protocol, out),
            Self::Map(pairs) => {
                match resp3 {
                    true => header(b'%', pairs.len(), out),
                    false => header(b'*', pairs.len() * 2, out),
                }
                for (name, value) in pairs {
                    name.encode(protocol, out);
                    value.encode(protocol, out);
                }
            }
        }
    }
}

fn header(kind: u8, number: impl itoa::Integer, out: &mut BytesMut) {
    out.put_u8(kind);
    out.put_slice(itoa::Buffer::new().format(number).as_bytes());
    out.put_slice(b"\r\n");
}

fn list(kind: u8, items: &[Response], protocol: Protocol, out: &mut BytesMut) {
    header(kind, items.len(), out);
    for item in items {
        item.encode(protocol, out);
    }
}

fn blob(kind: u8, prefix: &[u8], bytes: &[u8], out: &mut BytesMut) {
    out.reserve(prefix.len() + bytes.len() + 32);
    header(kind, prefix.len() + bytes.len(), out);
    out.put_slice(prefix);
    out.put_slice(bytes);
    out.put_slice(b"\r\n");
}

fn line(kind: u8, text: &str, out: &mut BytesMut) {
    out.put_u8(kind);
    for part in text.split_inclusive(['\r', '\n']) {
        let clean = part.strip_suffix(['\r', '\n']);
        out.put_slice(clean.unwrap_or(part).as_bytes());
        if clean.is_some() {
            out.put_u8(b' ');
        }
    }
    out.put_slice(b"\r\n");
}
