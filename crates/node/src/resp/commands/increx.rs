//! `INCREX`: an increment within bounds that may say when the key expires, as in Redis 8.8.

use super::expiry_options::{ExpiryOption, TIME_OR_PERSIST};
use super::{CAT_WRITE_FAST, FIRST};
use crate::clock::Clock;
use crate::functions::{Bounded, BoundedIncrement, Expiry, Extended, Function, Step, parse_integer};
use crate::resp::command::{Arg, Call, Command, Plan, Planned, arg, syntax_error};
use crate::resp::outcomes::answer_of;
use crate::resp::response::Response;
use bytes::Bytes;

const ARGS: &[Arg] = &[
    arg("key", "key"),
    arg("increment", "oneof")
        .flags(&["optional"])
        .of(&[arg("float", "double").token("BYFLOAT"), arg("integer", "integer").token("BYINT")]),
    arg("saturate", "pure-token").token("SATURATE").flags(&["optional"]),
    arg("lowerbound", "string").token("LBOUND").flags(&["optional"]),
    arg("upperbound", "string").token("UBOUND").flags(&["optional"]),
    TIME_OR_PERSIST,
    arg("enx", "pure-token").token("ENX").flags(&["optional"]),
];

pub(super) const COMMANDS: &[Command] = &[Command::new(
    "string",
    "increx",
    -2,
    increx,
    "Adds to the number of a key, within bounds, and sets its time of expiry.",
)
.since("8.8.0")
.flags(&["write", "denyoom", "fast"], CAT_WRITE_FAST)
.keys(FIRST, &["RW", "access", "update"])
.args(ARGS)];

fn increx(mut call: Call<'_>) -> Planned {
    let increment = Options::parse(&call.args[2..])?.increment(call.host)?;
    Plan::update(call.take(1), &Function::IncrementWithin(increment), answer_of)
}

/// The options as words. Each may be named once.
#[derive(Debug, Default)]
struct Options {
    by_integer: Option<Bytes>,
    by_float: Option<Bytes>,
    lower: Option<Bytes>,
    upper: Option<Bytes>,
    saturates: bool,
    expiry: ExpiryOption,
    only_if_none: bool,
}

impl Options {
    fn parse(words: &[Bytes]) -> Result<Self, Response> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let word = word.to_ascii_uppercase();
            if let Some(time) = ExpiryOption::time(&word, &mut words)? {
                options.expire(time)?;
                continue;
            }
            let place = match word.as_slice() {
                b"PERSIST" => {
                    options.expire(ExpiryOption::Persist)?;
                    continue;
                }
                b"SATURATE" => {
                    once(&mut options.saturates)?;
                    continue;
                }
                b"ENX" => {
                    once(&mut options.only_if_none)?;
                    continue;
                }
                b"BYINT" => &mut options.by_integer,
                b"BYFLOAT" => &mut options.by_float,
                b"LBOUND" => &mut options.lower,
                b"UBOUND" => &mut options.upper,
                _ => return Err(syntax_error()),
            };
            let operand = words.next().ok_or_else(syntax_error)?;
            if place.replace(operand.clone()).is_some() {
                return Err(syntax_error());
            }
        }
        let has_two = options.by_integer.is_some() && options.by_float.is_some();
        if has_two || options.only_if_none && options.expiry == ExpiryOption::Persist {
            return Err(syntax_error());
        }
        if options.only_if_none && options.expiry == ExpiryOption::None {
            return Err(Response::error("ERR ENX flag requires an expiration"));
        }
        Ok(options)
    }

    fn expire(&mut self, expiry: ExpiryOption) -> Result<(), Response> {
        if self.expiry != ExpiryOption::None {
            return Err(syntax_error());
        }
        self.expiry = expiry;
        Ok(())
    }

    fn increment(&self, clock: &dyn Clock) -> Result<BoundedIncrement, Response> {
        let step = match &self.by_float {
            Some(by) => self.float(by)?,
            None => self.integer()?,
        };
        let expiry = self.expiry.expiry(Expiry::Keep, "increx", clock)?;
        let Self { saturates, only_if_none, .. } = *self;
        Ok(BoundedIncrement { step, saturates, expiry, only_if_none })
    }

    fn integer(&self) -> Result<Step, Response> {
        let number = |text: &Option<Bytes>, what, if_none| match text {
            Some(text) => parse_integer(text)
                .ok_or_else(|| Response::err(format_args!("{what} is not an integer or out of range"))),
            None => Ok(if_none),
        };
        let by = number(&self.by_integer, "Increment", 1)?;
        let lower = number(&self.lower, "LBOUND", i64::MIN)?;
        let upper = number(&self.upper, "UBOUND", i64::MAX)?;
        check_bounds(lower <= upper)?;
        Ok(Step::Integer(Bounded { by, lower, upper }))
    }

    fn float(&self, by: &Bytes) -> Result<Step, Response> {
        let number = |text: &Bytes, what| {
            let wrong = || Response::err(format_args!("{what} is not a valid float"));
            Extended::parse(text).ok_or_else(wrong)
        };
        let bound = |text: &Option<Bytes>, what, if_none| match text {
            Some(text) => number(text, what),
            None => Ok(if_none),
        };
        let by = number(by, "Increment")?;
        if !by.is_finite() {
            return Err(Response::error("ERR BYFLOAT increment cannot be Infinity"));
        }
        let lower = bound(&self.lower, "LBOUND", Extended::MAX.negated())?;
        let upper = bound(&self.upper, "UBOUND", Extended::MAX)?;
        check_bounds(lower.rank() <= upper.rank())?;
        Ok(Step::Float(Bounded { by, lower, upper }))
    }
}

fn once(option: &mut bool) -> Result<(), Response> {
    if core::mem::replace(option, true) { Err(syntax_error()) } else { Ok(()) }
}

fn check_bounds(are_in_order: bool) -> Result<(), Response> {
    are_in_order.then_some(()).ok_or_else(|| Response::error("ERR LBOUND can't be greater than UBOUND"))
}
