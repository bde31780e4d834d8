//! What an update does to a key: functions from what it holds to what it will hold, and an answer.
//!
//! The core carries them as bytes and asks to have them evaluated ([`evaluate`]); which functions there are is known here alone. They
//! are deterministic, and they fail without a change. What they do, and the texts of their errors, is what Redis 7.0 does.

mod answer;
mod apply;
mod encoding;
mod extended;
mod fold;
mod integer;

pub use answer::{FunctionAnswer, FunctionError};
pub use apply::Held;
pub use extended::Extended;
pub use fold::evaluate;

pub(crate) use integer::parse_integer;

use abd::Version;
use bytes::Bytes;

/// A function of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Function {
    /// The key gets a value, and loses its deadline. Answers [`FunctionAnswer::Ok`], or nothing if the condition does not hold.
    Set {
        /// The value.
        value: Bytes,
        /// When.
        condition: Condition,
        /// Answers what the key held before instead, whether the condition holds or not.
        get: bool,
        /// Whether its caller is told the version that the key has then.
        wants_version: bool,
    },
    /// The key is taken away, if it is there. Answers how many were: one or none.
    Delete {
        /// When.
        condition: Condition,
        /// Answers what the key held before instead.
        get: bool,
    },
    /// Adds to the integer that the key holds, zero if it is absent. Answers the sum.
    Increment(i64),
    /// Adds to the number that the key holds, zero if it is absent. Answers the sum as the key holds it then.
    IncrementFloat(Extended),
    /// Appends to what the key holds. Answers the length.
    Append(Bytes),
    /// Overwrites a part of what the key holds, with zeros before it if that is shorter. Answers the length.
    SetRange {
        /// Where the part begins.
        offset: u64,
        /// The part. An empty one changes nothing.
        value: Bytes,
    },
}

/// When a function changes the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// In any case.
    Always,
    /// It is absent.
    Absent,
    /// It is present.
    Present,
    /// It holds this value.
    Equals(Bytes),
    /// It does not hold this value; it may be absent.
    Differs(Bytes),
    /// It has this version: nobody has written it since, and nobody has deleted it.
    Version(Version),
}

#[cfg(test)]
pub(crate) mod registers;
#[cfg(test)]
mod tests;
