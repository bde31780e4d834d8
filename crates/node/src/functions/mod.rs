//! What an update does to a key: functions from what it holds to what it will hold, and an answer.
//!
//! The core carries them as bytes and asks to have them evaluated ([`evaluate`]); which functions there are is known here alone. They
//! are deterministic, and they fail without a change. What they do, and the texts of their errors, is what Redis 7.0 does.

mod answer;
mod apply;
mod bounded;
mod configure;
mod encoding;
mod extended;
mod fold;
mod integer;
mod script;

pub use answer::{FunctionAnswer, FunctionError};
pub use apply::{Circumstances, Held};
pub use bounded::{Bounded, BoundedIncrement, Step};
pub use extended::Extended;
pub use fold::evaluate;
pub use script::{Interpreter, Script, has_script};

pub(crate) use integer::parse_integer;

use abd::{Deadline, Version};
use bytes::Bytes;

/// A function of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Function {
    /// The key gets a value. Answers [`FunctionAnswer::Ok`], or nothing if the condition does not hold.
    Set {
        /// The value.
        value: Bytes,
        /// What becomes of its deadline.
        expiry: Expiry,
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
    /// Adds to the number that the key holds, within bounds, and may change its deadline.
    IncrementWithin(BoundedIncrement),
    /// Appends to what the key holds. Answers the length.
    Append(Bytes),
    /// Overwrites a part of what the key holds, with zeros before it if that is shorter. Answers the length.
    SetRange {
        /// Where the part begins.
        offset: u64,
        /// The part. An empty one changes nothing.
        value: Bytes,
    },
    /// The key gets another deadline, if it is there; one that has passed takes it away. Answers whether it was done: 1 or 0.
    Expire {
        /// When it expires.
        deadline: Deadline,
        /// Which deadlines it takes the place of.
        replaces: Replaces,
    },
    /// Answers what the key holds, and changes its deadline. One that has passed takes the key away.
    GetExpire(Expiry),
    /// The key loses its deadline. Answers whether it had one: 1 or 0.
    Persist,
    /// Answers what the key holds, with its deadline: [`FunctionAnswer::Held`].
    Read {
        /// Whether its caller is told the version that the key has then.
        wants_version: bool,
    },
    /// Runs a script. Answers what that answers; [`FunctionAnswer::OtherKey`] if it is about another key, and has done nothing.
    Script(Script),
    /// Unless the key has this version, all functions of the operation do nothing, and each answers [`FunctionAnswer::Aborted`].
    Guard(Version),
    /// One configuration takes the place of another (rule C2). Answers [`FunctionAnswer::Ok`], or what the key holds if that is
    /// another one; [`FunctionError::NotASuccessor`] for what nobody may propose.
    Configure {
        /// What the key holds, exactly.
        from: Bytes,
        /// What it gets.
        to: Bytes,
    },
}

/// What becomes of the deadline of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// There is none any more.
    Never,
    /// It stays.
    Keep,
    /// This is it.
    At(Deadline),
}

/// Which deadlines another one takes the place of; all conditions must hold. A key without a deadline lives longer than any with one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replaces {
    /// There is none (`NX`).
    pub none: bool,
    /// There is one (`XX`).
    pub some: bool,
    /// It is earlier (`GT`).
    pub earlier: bool,
    /// It is later (`LT`).
    pub later: bool,
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
