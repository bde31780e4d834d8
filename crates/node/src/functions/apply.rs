//! What each function does.

use super::answer::{FunctionAnswer, FunctionError};
use super::configure::configure;
use super::{Condition, Expiry, Extended, Function, Replaces, parse_integer};
use crate::clock::Moments;
use abd::{Content, Deadline, Moment, StampedValue, Version, counted};
use bytes::{Bytes, BytesMut};

/// What functions depend on beside what the key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// A value whose deadline is no later than the earliest has expired (rule E3).
    pub moments: Moments,
    /// No value becomes larger, in bytes.
    pub value_bytes_max: usize,
}

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
pub(crate) type Applied = (FunctionAnswer, bool);

impl From<&StampedValue> for Held {
    fn from(base: &StampedValue) -> Self {
        Self { content: base.content.clone(), deadline: base.deadline, version: Some(base.version) }
    }
}

impl Held {
    /// Rule E2: a value that has expired is absent to every function. Whether it was one: that it is gone is a change, whatever the
    /// functions do.
    pub fn expire(&mut self, moment: Moment) -> bool {
        let is_due = self.content.is_value() && self.deadline.has_passed(moment);
        if is_due {
            self.clear();
        }
        is_due
    }

    /// The key is taken away.
    fn clear(&mut self) {
        self.change(Content::Tombstone);
        self.deadline = Deadline::NONE;
    }

    /// It expires at this time, which may have passed.
    pub(super) fn expire_at(&mut self, deadline: Deadline, moment: Moment) {
        self.deadline = deadline;
        self.version = None;
        self.expire(moment);
    }

    /// The key holds something else now. Its deadline stays.
    pub(super) fn change(&mut self, content: Content) {
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
    /// Applies it to what the key holds, unless it is a script. After an error, nothing has changed.
    pub(crate) fn apply(&self, held: &mut Held, circumstances: Circumstances) -> Applied {
        let Circumstances { moments: Moments { earliest: moment, .. }, value_bytes_max } = circumstances;
        let changed = match self {
            Self::Set { value, expiry, condition, get, .. } => {
                return set(held, value, *expiry, condition, *get, circumstances);
            }
            Self::Expire { deadline, replaces } => return expire(held, *deadline, *replaces, moment),
            Self::GetExpire(expiry) => return get_expire(held, *expiry, moment),
            Self::Persist => return persist(held),
            Self::Read { .. } => {
                let (value, deadline) = (held.content.value().cloned(), held.deadline);
                return (FunctionAnswer::Held { value, deadline }, false);
            }
            Self::Script(_) => return (FunctionAnswer::Error(FunctionError::Unknown), false),
            Self::Guard(version) if held.version == Some(*version) => return (FunctionAnswer::Ok, false),
            Self::Guard(_) => return (FunctionAnswer::Aborted, false),
            Self::Delete { condition, get } => return delete(held, condition, *get),
            Self::Increment(by) => increment(held, *by),
            Self::IncrementFloat(by) => increment_float(held, *by),
            Self::IncrementWithin(increment) => increment.apply(held, moment),
            Self::Append(value) => append(held, value, value_bytes_max),
            Self::Configure { from, to } => configure(held, from, to),
            Self::SetRange { offset, value } => set_range(held, *offset, value, value_bytes_max),
        };
        changed.unwrap_or_else(|error| (FunctionAnswer::Error(error), false))
    }

    /// Whether its caller is told the version that the key has after it.
    pub(crate) fn wants_version(&self) -> bool {
        matches!(self, Self::Set { wants_version: true, .. } | Self::Read { wants_version: true })
    }
}

fn set(
    held: &mut Held,
    value: &Bytes,
    expiry: Expiry,
    condition: &Condition,
    get: bool,
    circumstances: Circumstances,
) -> Applied {
    if value.len() > circumstances.value_bytes_max {
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
        match expiry {
            Expiry::Never => held.deadline = Deadline::NONE,
            Expiry::Keep => {}
            Expiry::At(deadline) => held.expire_at(deadline, circumstances.moments.earliest),
        }
    }
    (answer, holds)
}

fn delete(held: &mut Held, condition: &Condition, get: bool) -> Applied {
    let holds = held.content.is_value() && condition.holds(held);
    let answer = if get { held.read() } else { FunctionAnswer::Integer(holds.into()) };
    if holds {
        held.clear();
    }
    (answer, holds)
}

fn expire(held: &mut Held, deadline: Deadline, replaces: Replaces, moment: Moment) -> Applied {
    let does = held.content.is_value() && replaces.allows(held.deadline, deadline);
    if does {
        held.expire_at(deadline, moment);
    }
    (FunctionAnswer::Integer(does.into()), does)
}

fn get_expire(held: &mut Held, expiry: Expiry, moment: Moment) -> Applied {
    let answer = held.read();
    let changes = match expiry {
        Expiry::Never => persist(held).1,
        Expiry::At(deadline) if held.content.is_value() && deadline != held.deadline => {
            held.expire_at(deadline, moment);
            true
        }
        Expiry::At(_) | Expiry::Keep => false,
    };
    (answer, changes)
}

fn persist(held: &mut Held) -> Applied {
    let does = held.content.is_value() && held.deadline != Deadline::NONE;
    if does {
        held.deadline = Deadline::NONE;
        held.version = None;
    }
    (FunctionAnswer::Integer(does.into()), does)
}

impl Replaces {
    fn allows(self, had: Deadline, new: Deadline) -> bool {
        let has_one = had != Deadline::NONE;
        !(self.none && has_one
            || self.some && !has_one
            || self.earlier && (!has_one || new <= had)
            || self.later && has_one && new >= had)
    }
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
