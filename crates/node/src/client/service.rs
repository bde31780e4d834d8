//! The Coordinator service: `Set`, `Get` and `Delete` for any node and any client library.
//!
//! A connection has the bounds of any other client's: what it may have in flight, how much may wait for it to read. Answers
//! come in the order of the calls, but for those that were cancelled: they have none.
//!
//! A request is `call u64 | kind u8 | key | value`, with kind 140 Get, 141 Set, 142 Delete, 143 cancel; the answer is
//! `call u64 | kind u8 | …` with kind 150 value, 151 absent, 152 written (`existed u8`), 153 refused (text),
//! 154 indeterminate (text). Keys, values and texts carry a `u32` length in front.

use abd::wire::{Reader, WireError, put_bytes};
use abd::{Content, Operation, Outcome};
use alloc::string::{String, ToString};
use bytes::{BufMut, Bytes, BytesMut};

const GET: u8 = 140;
const SET: u8 = 141;
const DELETE: u8 = 142;
const CANCEL: u8 = 143;
const VALUE: u8 = 150;
const ABSENT: u8 = 151;
const WRITTEN: u8 = 152;
const REFUSED: u8 = 153;
const INDETERMINATE: u8 = 154;

/// One message from the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Run an operation.
    Run(Operation),
    /// The caller no longer wants the answer. A write may take effect all the same.
    Cancel,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallAnswer {
    /// A Get found this, or nothing.
    Read(Option<Bytes>),
    /// A write took effect; whether a value was seen before.
    Written(bool),
    /// Certainly no effect.
    Refused(String),
    /// May have an effect, now or later.
    Indeterminate(String),
}

/// Appends a call's body.
///
/// # Panics
/// When the operation is an Update, which this service does not have.
pub fn put_call(out: &mut BytesMut, number: u64, call: &Call) {
    let (kind, key, value) = match call {
        Call::Run(Operation::Get { key }) => (GET, Some(key), None),
        Call::Run(Operation::Set { key, value }) => (SET, Some(key), Some(value)),
        Call::Run(Operation::Delete { key }) => (DELETE, Some(key), None),
        Call::Run(Operation::Update { .. }) => unreachable!("the Coordinator service has no updates"),
        Call::Cancel => (CANCEL, None, None),
    };
    out.put_u64(number);
    out.put_u8(kind);
    key.into_iter().chain(value).for_each(|bytes| put_bytes(out, bytes));
}

/// Reads a call's body.
///
/// # Errors
/// When it is anything but exactly one call.
pub fn get_call(body: Bytes) -> Result<(u64, Call), WireError> {
    let mut reader = Reader::new(&body);
    let number = reader.u64()?;
    let call = match reader.u8()? {
        GET => Call::Run(Operation::Get { key: reader.bytes()? }),
        SET => Call::Run(Operation::Set { key: reader.bytes()?, value: reader.bytes()? }),
        DELETE => Call::Run(Operation::Delete { key: reader.bytes()? }),
        CANCEL => Call::Cancel,
        other => return Err(WireError::Kind(other)),
    };
    reader.end()?;
    Ok((number, call))
}

/// Appends an answer's body.
pub fn put_answer(out: &mut BytesMut, number: u64, answer: &CallAnswer) {
    let (kind, bytes) = match answer {
        CallAnswer::Read(Some(value)) => (VALUE, Some(&value[..])),
        CallAnswer::Read(None) => (ABSENT, None),
        CallAnswer::Written(_) => (WRITTEN, None),
        CallAnswer::Refused(why) => (REFUSED, Some(why.as_bytes())),
        CallAnswer::Indeterminate(why) => (INDETERMINATE, Some(why.as_bytes())),
    };
    out.put_u64(number);
    out.put_u8(kind);
    if let CallAnswer::Written(existed) = answer {
        out.put_u8(u8::from(*existed));
    }
    bytes.into_iter().for_each(|bytes| put_bytes(out, bytes));
}

/// Reads an answer's body.
///
/// # Errors
/// When it is anything but exactly one answer.
pub fn get_answer(body: Bytes) -> Result<(u64, CallAnswer), WireError> {
    let mut reader = Reader::new(&body);
    let number = reader.u64()?;
    let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
    let answer = match reader.u8()? {
        VALUE => CallAnswer::Read(Some(reader.bytes()?)),
        ABSENT => CallAnswer::Read(None),
        WRITTEN => CallAnswer::Written(reader.u8()? == 1),
        REFUSED => CallAnswer::Refused(text(reader.bytes()?)),
        INDETERMINATE => CallAnswer::Indeterminate(text(reader.bytes()?)),
        other => return Err(WireError::Kind(other)),
    };
    reader.end()?;
    Ok((number, answer))
}

impl From<Outcome> for CallAnswer {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Read(stamped) => Self::Read(match stamped.content {
                Content::Value(value) => Some(value),
                Content::Tombstone => None,
            }),
            Outcome::Written { existed, .. } => Self::Written(existed),
            Outcome::Updated { .. } => unreachable!("the Coordinator service has no updates"),
            Outcome::Refused(reason) => Self::Refused(reason.to_string()),
            Outcome::Indeterminate(reason) => Self::Indeterminate(reason.to_string()),
        }
    }
}
