//! The Coordinator service: `Set`, `Get`, `Delete` and `Update` for any node and any client library.
//!
//! A connection has the bounds of any other client's: what it may have in flight, how much may wait for it to read. Answers
//! come in the order of the calls, but for those that were cancelled: they have none.
//!
//! A request is `call u64 | kind u8 | key | value`, with kind 140 Get, 141 Set (`deadline u64` behind the value, milliseconds since the Unix epoch, zero for never), 142 Delete, 143 cancel, 144 Update (instead of the
//! value: `count u32`, then functions, each `always changes u8 | function`); the answer is `call u64 | kind u8 | …` with kind 150
//! value, 151 absent, 152 written (`existed u8`), 153 refused (text), 154 indeterminate (text), 155 updated (version, `count u32`,
//! answers). Keys, values, functions, answers and texts carry a `u32` length in front; what functions and answers say is in
//! [`crate::functions`].

use abd::wire::{Reader, WireError, put_bytes};
use abd::{Content, Deadline, Function, Operation, Outcome, Version};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};

const GET: u8 = 140;
const SET: u8 = 141;
const DELETE: u8 = 142;
const CANCEL: u8 = 143;
const UPDATE: u8 = 144;
const VALUE: u8 = 150;
const ABSENT: u8 = 151;
const WRITTEN: u8 = 152;
const REFUSED: u8 = 153;
const INDETERMINATE: u8 = 154;
const UPDATED: u8 = 155;

/// Functions of one update at most, and so their answers.
const FUNCTIONS_MAX: u32 = 512;

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
    /// An update took effect, or changed nothing: the version that the key has, and what each function has answered.
    Updated(Version, Vec<Bytes>),
    /// Certainly no effect.
    Refused(String),
    /// May have an effect, now or later.
    Indeterminate(String),
}

/// Appends a call's body.
pub fn put_call(out: &mut BytesMut, number: u64, call: &Call) {
    let (kind, key, value) = match call {
        Call::Run(Operation::Get { key }) => (GET, Some(key), None),
        Call::Run(Operation::Set { key, value, .. }) => (SET, Some(key), Some(value)),
        Call::Run(Operation::Delete { key }) => (DELETE, Some(key), None),
        Call::Run(Operation::Update { key, .. }) => (UPDATE, Some(key), None),
        Call::Cancel => (CANCEL, None, None),
    };
    out.put_u64(number);
    out.put_u8(kind);
    key.into_iter().chain(value).for_each(|bytes| put_bytes(out, bytes));
    if let Call::Run(Operation::Set { deadline, .. }) = call {
        out.put_u64(deadline.0);
    }
    if let Call::Run(Operation::Update { functions, .. }) = call {
        put_count(out, functions.len());
        for function in functions {
            out.put_u8(function.always_changes.into());
            put_bytes(out, &function.encoded);
        }
    }
}

fn put_count(out: &mut BytesMut, count: usize) {
    let Ok(count) = u32::try_from(count) else { unreachable!("each has bytes in a frame") };
    out.put_u32(count);
}

/// So many, each read by `one`. No room is made for what only the count promises.
fn several<T>(
    reader: &mut Reader<'_>,
    mut one: impl FnMut(&mut Reader<'_>) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    let count = reader.u32()?;
    if count > FUNCTIONS_MAX {
        return Err(WireError::Length);
    }
    (0..count).map(|_| one(reader)).collect()
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
        SET => Call::Run(Operation::Set {
            key: reader.bytes()?,
            value: reader.bytes()?,
            deadline: Deadline(reader.u64()?),
        }),
        DELETE => Call::Run(Operation::Delete { key: reader.bytes()? }),
        CANCEL => Call::Cancel,
        UPDATE => {
            let key = reader.bytes()?;
            let functions = several(&mut reader, |reader| {
                let always_changes = reader.flags(1)? == 1;
                Ok(Function { encoded: reader.bytes()?, always_changes })
            })?;
            Call::Run(Operation::Update { key, functions })
        }
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
        CallAnswer::Updated(..) => (UPDATED, None),
        CallAnswer::Refused(why) => (REFUSED, Some(why.as_bytes())),
        CallAnswer::Indeterminate(why) => (INDETERMINATE, Some(why.as_bytes())),
    };
    out.put_u64(number);
    out.put_u8(kind);
    match answer {
        CallAnswer::Written(existed) => out.put_u8(u8::from(*existed)),
        CallAnswer::Updated(version, answers) => {
            out.put_slice(&version.to_bytes());
            put_count(out, answers.len());
            answers.iter().for_each(|answer| put_bytes(out, answer));
        }
        _ => {}
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
        UPDATED => CallAnswer::Updated(reader.version()?, several(&mut reader, |reader| reader.bytes())?),
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
            Outcome::Updated { answers, version } => Self::Updated(version, answers),
            Outcome::Refused(reason) => Self::Refused(reason.to_string()),
            Outcome::Indeterminate(reason) => Self::Indeterminate(reason.to_string()),
        }
    }
}
