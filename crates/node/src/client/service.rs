//! The Coordinator service: `Set`, `Get` and `Delete` for any node and any client library.
//!
//! A connection has the bounds of any other client's: what it may have in flight, how much may wait for it to read. Answers
//! come in the order of the calls, but for those that were cancelled: they have none.
//!
//! A request is `call u64 | kind u8 | key | value`, with kind 140 Get, 141 Set, 142 Delete, 143 cancel; the answer is
//! `call u64 | kind u8 | …` with kind 150 value, 151 absent, 152 written (`existed u8`), 153 refused (text),
//! 154 indeterminate (text). Keys, values and texts carry a `u32` length in front.

use abd::wire::{WireError, get_bytes, put_bytes};
use abd::{Content, Operation, Outcome};
use alloc::string::{String, ToString};
use bytes::{Buf, BufMut, Bytes, BytesMut};

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
pub fn put_call(out: &mut BytesMut, number: u64, call: &Call) {
    out.put_u64(number);
    match call {
        Call::Run(Operation::Get { key }) => {
            out.put_u8(GET);
            put_bytes(out, key);
        }
        Call::Run(Operation::Set { key, value }) => {
            out.put_u8(SET);
            put_bytes(out, key);
            put_bytes(out, value);
        }
        Call::Run(Operation::Delete { key }) => {
            out.put_u8(DELETE);
            put_bytes(out, key);
        }
        Call::Cancel => out.put_u8(CANCEL),
    }
}

/// Reads a call's body.
///
/// # Errors
/// When it is anything but exactly one call.
pub fn get_call(mut body: Bytes) -> Result<(u64, Call), WireError> {
    let number = body.try_get_u64().map_err(|_| WireError::Length)?;
    let call = match body.try_get_u8().map_err(|_| WireError::Length)? {
        GET => Call::Run(Operation::Get { key: get_bytes(&mut body)? }),
        SET => Call::Run(Operation::Set { key: get_bytes(&mut body)?, value: get_bytes(&mut body)? }),
        DELETE => Call::Run(Operation::Delete { key: get_bytes(&mut body)? }),
        CANCEL => Call::Cancel,
        other => return Err(WireError::Kind(other)),
    };
    if body.is_empty() { Ok((number, call)) } else { Err(WireError::Length) }
}

/// Appends an answer's body.
pub fn put_answer(out: &mut BytesMut, number: u64, answer: &CallAnswer) {
    out.put_u64(number);
    match answer {
        CallAnswer::Read(Some(value)) => {
            out.put_u8(VALUE);
            put_bytes(out, value);
        }
        CallAnswer::Read(None) => out.put_u8(ABSENT),
        CallAnswer::Written(existed) => {
            out.put_u8(WRITTEN);
            out.put_u8(u8::from(*existed));
        }
        CallAnswer::Refused(why) => {
            out.put_u8(REFUSED);
            put_bytes(out, why.as_bytes());
        }
        CallAnswer::Indeterminate(why) => {
            out.put_u8(INDETERMINATE);
            put_bytes(out, why.as_bytes());
        }
    }
}

/// Reads an answer's body.
///
/// # Errors
/// When it is anything but exactly one answer.
pub fn get_answer(mut body: Bytes) -> Result<(u64, CallAnswer), WireError> {
    let number = body.try_get_u64().map_err(|_| WireError::Length)?;
    let answer = match body.try_get_u8().map_err(|_| WireError::Length)? {
        VALUE => CallAnswer::Read(Some(get_bytes(&mut body)?)),
        ABSENT => CallAnswer::Read(None),
        WRITTEN => CallAnswer::Written(body.try_get_u8().map_err(|_| WireError::Length)? == 1),
        REFUSED => CallAnswer::Refused(String::from_utf8_lossy(&get_bytes(&mut body)?).into_owned()),
        INDETERMINATE => {
            CallAnswer::Indeterminate(String::from_utf8_lossy(&get_bytes(&mut body)?).into_owned())
        }
        other => return Err(WireError::Kind(other)),
    };
    if body.is_empty() { Ok((number, answer)) } else { Err(WireError::Length) }
}

impl From<Outcome> for CallAnswer {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Read(stamped) => Self::Read(match stamped.content {
                Content::Value(value) => Some(value),
                Content::Tombstone => None,
            }),
            Outcome::Written { existed, .. } => Self::Written(existed),
            Outcome::Refused(reason) => Self::Refused(reason.to_string()),
            Outcome::Indeterminate(reason) => Self::Indeterminate(reason.to_string()),
        }
    }
}
