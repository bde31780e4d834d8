//! What each function does.

use super::answer::{FunctionAnswer, FunctionError};
use super::{Condition, Extended, Function, parse_integer};
use abd::{Content, Deadline, StampedValue, Version, counted};
use bytes::{Bytes, BytesMut};

/// What a key holds while functions are applied to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its content.
    pub content: Content,
    /// When it expires.
    pub deadline: Deadline,
    /// Its version, as long as nothing has changed it: what it becomes has none yet.
    pub version: Option<Version>,
}

/// What a function answers, and whether it has changed the key.
pub(super) type Applied = (FunctionAnswer, bool);

impl From<&StampedValue> for Held {
    fn from(base: &StampedValue) -> Self {
        Self { content: base.content.clone(), deadline: base.deadline, version: Some(base.version) }
    }
}

impl Held {
    /// The key holds something else now. Its deadline stays.
    fn change(&mut self, content: Content) {
        self.content = content;
        self.version = None;
    }

    /// What `GET` answers.
    fn read(&self) -> FunctionAnswer {
        self.content.value().cloned().map_or(FunctionAnswer::Null, FunctionAnswer::Value)
    }

    /// Takes the value out, to be changed in place if nobody else has it, with room for `length` bytes. Something is put back.
    fn take(&mut self, length: usize) -> BytesMut {
        match core::mem::replace(&mut self.content, Content::Tombstone) {
            Content::Tombstone => BytesMut::with_capacity(length),
            Content::Value(value) => value.try_into_mut().unwrap_or_else(|value| {
                let mut copy = BytesMut::with_capacity(length.max(value.len()));
                copy.extend_from_slice(&value);
                copy
            }),
        }
    }
}

impl Condition {
    fn holds(&self, held: &Held) -> bool {
        let value = held.content.value();
        match self {
            Self::Always => true,
            Self::Absent => value.is_none(),
            Self::Present => value.is_some(),
            Self::Equals(wanted) => value == Some(wanted),
            Self::Differs(unwanted) => value != Some(unwanted),
            Self::Version(version) => held.version == Some(*version),
        }
    }
}

impl Function {
    /// Applies it to what the key holds. No value becomes larger than `value_bytes_max`. After an error, nothing has changed.
    pub(super) fn apply(&self, held: &mut Held, value_bytes_max: usize) -> Applied {
        let changed = match self {
            Self::Set { value, condition, get, .. } => {
                return set(held, value, condition, *get, value_bytes_max);
            }
            Self::Delete { condition, get } => return delete(held, condition, *get),
            Self::Increment(by) => increment(held, *by),
            Self::IncrementFloat(by) => increment_float(held, *by),
            Self::Append(value) => append(held, value, value_bytes_max),
            Self::SetRange { offset, value } => set_range(held, *offset, value, value_bytes_max),
        };
        changed.unwrap_or_else(|error| (FunctionAnswer::Error(error), false))
    }

    /// Whether its caller is told the version that the key has after it.
    pub(super) fn wants_version(&self) -> bool {
        matches!(self, Self::Set { wants_version: true, .. })
    }
}

fn set(held: &mut Held, value: &Bytes, condition: &Condition, get: bool, max: usize) -> Applied {
    if value.len() > max {
        return (FunctionAnswer::Error(FunctionError::TooLarge), false);
    }
    let holds = condition.holds(held);
    let answer = match (get, holds) {
        (true, _) => held.read(),
        (false, true) => FunctionAnswer::Ok,
        (false, false) => FunctionAnswer::Null,
    };
    if holds {
        // The value is a part of the function's bytes, which would stay with it.
        held.change(Content::Value(counted::copied(value)));
        held.deadline = Deadline::NONE;
    }
    (answer, holds)
}

fn delete(held: &mut Held, condition: &Condition, get: bool) -> Applied {
    let holds = held.content.is_value() && condition.holds(held);
    let answer = if get { held.read() } else { FunctionAnswer::Integer(holds.into()) };
    if holds {
        held.change(Content::Tombstone);
        held.deadline = Deadline::NONE;
    }
    (answer, holds)
}

fn increment(held: &mut Held, by: i64) -> Result<Applied, FunctionError> {
    let number = match held.content.value() {
        Some(value) => parse_integer(value).ok_or(FunctionError::NotAnInteger)?,
        None => 0,
    };
    let sum = number.checked_add(by).ok_or(FunctionError::Overflow)?;
    held.change(Content::Value(counted::copied(itoa::Buffer::new().format(sum).as_bytes())));
    Ok((FunctionAnswer::Integer(sum), true))
}

fn increment_float(held: &mut Held, by: Extended) -> Result<Applied, FunctionError> {
    let number = match held.content.value() {
        Some(value) => Extended::parse(value).ok_or(FunctionError::NotAFloat)?,
        None => Extended::ZERO,
    };
    let sum = number.add(by).ok_or(FunctionError::NotFinite)?;
    let text = counted::copied(sum.print().as_bytes());
    held.change(Content::Value(text.clone()));
    Ok((FunctionAnswer::Value(text), true))
}

/// An absent key gets an empty value even by nothing that is appended, as in Redis.
fn append(held: &mut Held, value: &Bytes, max: usize) -> Result<Applied, FunctionError> {
    let length = held.content.len().saturating_add(value.len());
    if length > max {
        return Err(FunctionError::TooLarge);
    }
    let changes = !value.is_empty() || !held.content.is_value();
    if changes {
        let mut whole = held.take(length);
        whole.extend_from_slice(value);
        held.change(Content::Value(whole.freeze()));
    }
    Ok((count(length), changes))
}

fn set_range(held: &mut Held, offset: u64, value: &Bytes, max: usize) -> Result<Applied, FunctionError> {
    if value.is_empty() {
        return Ok((count(held.content.len()), false));
    }
    let start = usize::try_from(offset).map_err(|_| FunctionError::TooLarge)?;
    let end = start.checked_add(value.len()).filter(|end| *end <= max).ok_or(FunctionError::TooLarge)?;
    let length = held.content.len().max(end);
    let mut whole = held.take(length);
    whole.resize(length, 0);
    whole[start..end].copy_from_slice(value);
    held.change(Content::Value(whole.freeze()));
    Ok((count(length), true))
}

fn count(length: usize) -> FunctionAnswer {
    FunctionAnswer::Integer(i64::try_from(length).unwrap_or(i64::MAX))
}
