//! Times of expiry as clients name them: `EX`, `PX`, `EXAT`, `PXAT`, and what `SET`, `GETEX` and their relatives allow beside them.

use super::integer;
use crate::clock::Clock;
use crate::functions::Expiry;
use crate::resp::command::{Arg, arg, syntax_error};
use crate::resp::response::Response;
use abd::{Deadline, Moment};
use alloc::format;
use bytes::Bytes;

/// 2020-01-01. A clock before that was never set: what is to expire so long after its time has expired for all other nodes.
const SET_SINCE: Moment = Moment(1_577_836_800_000);

/// How the number of a time is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Seconds from now (`EX`).
    Seconds,
    /// Milliseconds from now (`PX`).
    Millis,
    /// Seconds since the Unix epoch (`EXAT`).
    UnixSeconds,
    /// Milliseconds since the Unix epoch (`PXAT`).
    UnixMillis,
}

impl Unit {
    fn named(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"EX" => Self::Seconds,
            b"PX" => Self::Millis,
            b"EXAT" => Self::UnixSeconds,
            b"PXAT" => Self::UnixMillis,
            _ => return None,
        })
    }

    /// The time that a number of these means, in milliseconds since the Unix epoch; negative before it. A time from now begins at
    /// [`Moments::latest`](crate::clock::Moments): a value never lives shorter than its client says. One that is over begins at
    /// `earliest`: it has passed for certain, and no command behind it finds the value. `None` if it is out of range.
    fn since_epoch(self, number: i64, clock: &dyn Clock) -> Option<i64> {
        let (millis, is_relative) = match self {
            Self::Seconds => (1000, true),
            Self::Millis => (1, true),
            Self::UnixSeconds => (1000, false),
            Self::UnixMillis => (1, false),
        };
        let now = match is_relative {
            true if number > 0 => clock.moments().latest.0,
            true => clock.moments().earliest.0,
            false => 0,
        };
        number.checked_mul(millis)?.checked_add(i64::try_from(now).ok()?)
    }

    /// The deadline that a number of `EXPIRE` or a relative means. One before the epoch has passed like any other.
    ///
    /// # Errors
    /// The reply, if it is no integer or out of range.
    pub(super) fn any_deadline(
        self,
        number: &[u8],
        command: &str,
        clock: &dyn Clock,
    ) -> Result<Deadline, Response> {
        let number = integer(number)?;
        if matches!(self, Self::Seconds | Self::Millis) && clock.moments().latest < SET_SINCE {
            return Err(Response::error(
                "ERR this node's clock was never set, it says a time before 2020: set it, or name the time at which the key expires",
            ));
        }
        let time = self.since_epoch(number, clock).ok_or_else(|| invalid_time(command))?;
        Ok(Deadline(u64::try_from(time).unwrap_or(0).max(1)))
    }

    /// The deadline that a number in an option means, which is positive.
    ///
    /// # Errors
    /// The reply, if it is no integer, not positive or out of range.
    pub(super) fn deadline(
        self,
        number: &[u8],
        command: &str,
        clock: &dyn Clock,
    ) -> Result<Deadline, Response> {
        if integer(number)? <= 0 {
            return Err(invalid_time(command));
        }
        self.any_deadline(number, command, clock)
    }
}

/// As Redis says it. The name of the command is in lower case.
fn invalid_time(command: &str) -> Response {
    Response::error(format!("ERR invalid expire time in '{command}' command"))
}

/// What a command's options say about the deadline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum ExpiryOption {
    /// Nothing.
    #[default]
    None,
    /// `KEEPTTL`.
    Keep,
    /// `PERSIST`.
    Persist,
    /// A time: its unit and its number.
    Time(Unit, Bytes),
}

impl ExpiryOption {
    /// Reads a word, in upper case, that may name a time, whose number is the next word.
    ///
    /// # Errors
    /// The reply, if there is no number.
    pub(super) fn time<'a>(
        word: &[u8],
        mut words: impl Iterator<Item = &'a Bytes>,
    ) -> Result<Option<Self>, Response> {
        let Some(unit) = Unit::named(word) else { return Ok(None) };
        let number = words.next().ok_or_else(syntax_error)?;
        Ok(Some(Self::Time(unit, number.clone())))
    }

    /// Takes another option about the deadline. There is one; the same may be named again, as in Redis, and the last one counts.
    ///
    /// # Errors
    /// The reply, if there was a different one.
    pub(super) fn set(&mut self, other: Self) -> Result<(), Response> {
        let fits = match (&*self, &other) {
            (Self::None, _) => true,
            (Self::Time(unit, _), Self::Time(other, _)) => unit == other,
            (one, other) => one == other,
        };
        if !fits {
            return Err(syntax_error());
        }
        *self = other;
        Ok(())
    }

    /// What becomes of the deadline; `if_none` without an option.
    ///
    /// # Errors
    /// The reply, if a time is none.
    pub(super) fn expiry(
        &self,
        if_none: Expiry,
        command: &str,
        clock: &dyn Clock,
    ) -> Result<Expiry, Response> {
        Ok(match self {
            Self::None => if_none,
            Self::Keep => Expiry::Keep,
            Self::Persist => Expiry::Never,
            Self::Time(unit, number) => Expiry::At(unit.deadline(number, command, clock)?),
        })
    }
}

/// The options that name a time, for `COMMAND DOCS`.
macro_rules! time_args {
    ($($more:expr),*) => {
        &[
            arg("seconds", "integer").token("EX"),
            arg("milliseconds", "integer").token("PX"),
            arg("unix-time-seconds", "unix-time").token("EXAT"),
            arg("unix-time-milliseconds", "unix-time").token("PXAT"),
            $($more),*
        ]
    };
}

pub(super) const TIME_OR_KEEPTTL: Arg = arg("expiration", "oneof")
    .flags(&["optional"])
    .of(time_args![arg("keepttl", "pure-token").token("KEEPTTL")]);
pub(super) const TIME_OR_PERSIST: Arg = arg("expiration", "oneof")
    .flags(&["optional"])
    .of(time_args![arg("persist", "pure-token").token("PERSIST")]);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moments;

    fn deadline(unit: Unit, number: &[u8], earliest: u64) -> Result<Deadline, Response> {
        let moments = Moments { earliest: Moment(earliest), latest: Moment(earliest + 3) };
        unit.any_deadline(number, "expire", &moments)
    }

    #[test]
    fn a_time_that_is_over_has_passed_for_certain_and_another_one_has_not() {
        let now = SET_SINCE.0 + 5;
        for number in [&b"0"[..], b"-1", b"-99999999999999"] {
            for unit in [Unit::Seconds, Unit::Millis] {
                let deadline = deadline(unit, number, now).expect("a time");
                assert!(deadline.has_passed(Moment(now)), "{deadline:?}");
            }
        }
        assert_eq!(deadline(Unit::Millis, b"1", now), Ok(Deadline(now + 3 + 1)));
        assert_eq!(deadline(Unit::UnixMillis, b"7", now), Ok(Deadline(7)));
    }

    #[test]
    fn a_clock_that_was_never_set_gives_no_time_to_live() {
        let told = deadline(Unit::Seconds, b"10", 5).expect_err("nobody knows when");
        assert!(matches!(told, Response::Error(text) if text.contains("never set")));
        assert_eq!(deadline(Unit::UnixSeconds, b"10", 5), Ok(Deadline(10_000)));
    }
}
