//! An increment that stays within bounds, and may say when the key expires (`INCREX` of Redis 8.8).

use super::answer::{FunctionAnswer, FunctionError};
use super::apply::{Applied, Held};
use super::{Expiry, Extended, parse_integer};
use abd::wire::{Reader, WireError};
use abd::{Content, Deadline, Moment, counted};
use bytes::{BufMut, BytesMut};

/// Adds to the number that the key holds, zero if it is absent. Answers the sum and what was added
/// ([`FunctionAnswer::Added`] or [`FunctionAnswer::AddedFloat`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundedIncrement {
    /// What is added.
    pub step: Step,
    /// Whether a sum beyond a bound becomes the bound. Else nothing changes then.
    pub saturates: bool,
    /// What becomes of the deadline.
    pub expiry: Expiry,
    /// Whether a new deadline is set only where there is none.
    pub only_if_none: bool,
}

/// What is added, as numbers of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To an integer.
    Integer(Bounded<i64>),
    /// To any number.
    Float(Bounded<Extended>),
}

/// A number, and between which the sum stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounded<T> {
    /// What is added; not infinite.
    pub by: T,
    /// The least sum.
    pub lower: T,
    /// The greatest sum, which is no less.
    pub upper: T,
}

impl<T: Copy> Bounded<T> {
    /// What the key holds in the end, if that is to change. `sum` is `None` where it is beyond all numbers, on the side to which `by`
    /// leads. Numbers are in the order of their `rank`.
    fn end(&self, sum: Option<T>, saturates: bool, rank: fn(T) -> i128) -> Option<T> {
        let [lower, upper] = [self.lower, self.upper].map(rank);
        let is_above = sum.map_or(rank(self.by) >= 0, |sum| rank(sum) > upper);
        match sum.filter(|sum| (lower..=upper).contains(&rank(*sum))) {
            Some(sum) => Some(sum),
            None if !saturates => None,
            None if is_above => Some(self.upper),
            None => Some(self.lower),
        }
    }
}

const IS_FLOAT: u8 = 1;
const SATURATES: u8 = 2;
const ONLY_IF_NONE: u8 = 4;
/// Bits that the flags have.
const BITS: u32 = 3;

impl BoundedIncrement {
    pub(super) fn apply(&self, held: &mut Held, moment: Moment) -> Result<Applied, FunctionError> {
        let (answer, sum) = match &self.step {
            Step::Integer(step) => add(held, step, self.saturates)?,
            Step::Float(step) => add_float(held, step, self.saturates)?,
        };
        let Some(sum) = sum else { return Ok((answer, false)) };
        held.change(sum);
        match self.expiry {
            Expiry::Keep => {}
            Expiry::At(_) if self.only_if_none && held.deadline != Deadline::NONE => {}
            Expiry::At(deadline) => held.expire_at(deadline, moment),
            Expiry::Never => held.deadline = Deadline::NONE,
        }
        Ok((answer, true))
    }

    /// Appends `flags u8 | expiry | by | lower | upper`.
    pub(super) fn put(&self, out: &mut BytesMut) {
        let is_float = matches!(self.step, Step::Float(_));
        let flags = [(IS_FLOAT, is_float), (SATURATES, self.saturates), (ONLY_IF_NONE, self.only_if_none)];
        out.put_u8(flags.iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag).sum());
        self.expiry.put(out);
        match &self.step {
            Step::Integer(Bounded { by, lower, upper }) => {
                [by, lower, upper].into_iter().for_each(|number| out.put_i64(*number));
            }
            Step::Float(Bounded { by, lower, upper }) => {
                [by, lower, upper].into_iter().for_each(|number| out.put_slice(&number.to_bytes()));
            }
        }
    }

    /// The inverse of [`put`](Self::put).
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let flags = reader.flags(BITS)?;
        let expiry = Expiry::read(reader)?;
        let step = if flags & IS_FLOAT == 0 {
            let mut number = || reader.u64().map(u64::cast_signed);
            Step::Integer(Bounded { by: number()?, lower: number()?, upper: number()? })
        } else {
            let mut number = || Extended::from_bytes(reader.take()?).ok_or(WireError::Kind(flags));
            Step::Float(Bounded { by: number()?, lower: number()?, upper: number()? })
        };
        let (saturates, only_if_none) = (flags & SATURATES != 0, flags & ONLY_IF_NONE != 0);
        Ok(Self { step, saturates, expiry, only_if_none })
    }
}

/// An answer, and what the key holds then, if that changes.
type Sum = (FunctionAnswer, Option<Content>);

fn add(held: &Held, step: &Bounded<i64>, saturates: bool) -> Result<Sum, FunctionError> {
    let number = match held.content.value() {
        Some(value) => parse_integer(value).ok_or(FunctionError::NotAnInteger)?,
        None => 0,
    };
    let Some(sum) = step.end(number.checked_add(step.by), saturates, i128::from) else {
        return Ok((FunctionAnswer::Added { sum: number, by: 0 }, None));
    };
    let by = sum.checked_sub(number).ok_or(FunctionError::AddedOverflow)?;
    let text = counted::copied(itoa::Buffer::new().format(sum).as_bytes());
    Ok((FunctionAnswer::Added { sum, by }, Some(Content::Value(text))))
}

fn add_float(held: &Held, step: &Bounded<Extended>, saturates: bool) -> Result<Sum, FunctionError> {
    let number = match held.content.value() {
        Some(value) => Extended::parse(value).ok_or(FunctionError::NotAFloat)?,
        None => Extended::ZERO,
    };
    if !number.is_finite() {
        return Err(FunctionError::Infinite);
    }
    let added = |sum: Extended, by: Extended| {
        let [sum, by] = [sum, by].map(|number| counted::copied(number.print().as_bytes()));
        FunctionAnswer::AddedFloat { sum, by }
    };
    let sum = number.add(step.by);
    let Some(end) = step.end(sum, saturates, Extended::rank) else {
        return Ok((added(number, Extended::ZERO), None));
    };
    let by = if sum == Some(end) { Some(step.by) } else { end.add(number.negated()) };
    let by = by.ok_or(FunctionError::AddedInfinity)?;
    Ok((added(end, by), Some(Content::Value(counted::copied(end.print().as_bytes())))))
}
