//! Read-modify-writes: what they asked, what they did, what they answered.
//!
//! There is one form for all of them, a condition, a change and an answer. A command is a choice of the three:
//!
//! | command | update |
//! |---|---|
//! | `INCRBY key 2`, answered 7 | `Update::add(2).number(7)` |
//! | `APPEND key x`, answered 12 | `Update::append(b"x").length(12)` |
//! | `SET key x NX`, answered OK | `Update::set(b"x").if_absent().applied(true)` |
//! | `SET key x XX`, answered nil | `Update::set(b"x").if_present().applied(false)` |
//! | `SET key x IFEQ y`, answered nil | `Update::set(b"x").if_equal(b"y").applied(false)` |
//! | `SET key x GET`, answered y | `Update::set(b"x").before(Some(b"y"))` |
//! | `SET key x NX GET`, answered nil | `Update::set(b"x").if_absent().before(None)` |
//! | `GETDEL key`, answered y | `Update::delete().before(Some(b"y"))` |
//! | `DEL key`, answered 1 | `Update::delete().if_present().applied(true)` |
//!
//! ```
//! use lincheck::{Action, History, Model, Operation, Update, check};
//!
//! let operation = |client, action, invoke, ret| Operation { client, key: b"hits".to_vec(), action, invoke, ret };
//! let one = |answer| Update::add(1).number(answer).into();
//! let history = History::new(vec![
//!     operation(1, one(1), 0, Some(10)),
//!     operation(2, Update::add(1).into(), 0, None), // Nobody knows whether this one happened.
//!     operation(1, one(3), 20, Some(30)),           // It did, or else this would be 2.
//!     operation(3, Action::Read(Some(b"2".to_vec())), 40, Some(50)), // But then this is stale.
//! ]);
//! let verdict = check(&Model::register_with_updates(), &history);
//! assert_eq!(verdict.violation().map(|violation| violation.window.len()), Some(2));
//! ```

use crate::history::Action;

/// A read-modify-write together with its answer.
///
/// When the outcome is unknown the answer means nothing, and the change may have happened where the condition held.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Update {
    /// What has to hold of the value before. Where it does not hold the update leaves the value alone.
    pub condition: Condition,
    /// What happens to the value where the condition holds.
    pub change: Change,
    /// What the store said about it.
    pub answer: Answer,
}

/// When an update changes the value. `None` stands for an absent key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Whatever the value is.
    Always,
    /// Only if this is the value.
    Is(Option<Vec<u8>>),
    /// Only if the value is another.
    IsNot(Option<Vec<u8>>),
}

/// How an update changes the value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// To this value; `None` deletes it.
    Set(Option<Vec<u8>>),
    /// These bytes are added to its end; an absent key counts as empty.
    Append(Vec<u8>),
    /// This is added to the number in decimal digits that the value is; an absent key counts as 0. A value that is no
    /// number of 64 bits, or would not be one afterwards, makes the update impossible: the store answers an error then.
    Add(i64),
}

/// What the answer of an update tells. `None` stands for an absent key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Nothing, not even whether the condition held.
    Nothing,
    /// Whether the condition held.
    Applied(bool),
    /// The value before, whether the condition held or not.
    Before(Option<Vec<u8>>),
    /// The value after, whether the condition held or not.
    After(Option<Vec<u8>>),
    /// How many bytes the value had after, whether the condition held or not; an absent key has none.
    Length(u64),
}

impl Update {
    /// The value is replaced.
    #[must_use]
    pub fn set(value: &[u8]) -> Self {
        Update::of(Change::Set(Some(value.to_vec())))
    }

    /// The value is removed.
    #[must_use]
    pub fn delete() -> Self {
        Update::of(Change::Set(None))
    }

    /// The bytes are added to the end of the value.
    #[must_use]
    pub fn append(tail: &[u8]) -> Self {
        Update::of(Change::Append(tail.to_vec()))
    }

    /// The number is added to the value.
    #[must_use]
    pub fn add(number: i64) -> Self {
        Update::of(Change::Add(number))
    }

    /// A compare-and-set that said whether it swapped; `from` is `None` where it expected an absent key.
    #[must_use]
    pub fn cas(from: Option<&[u8]>, to: &[u8], applied: bool) -> Self {
        Update { condition: Condition::Is(from.map(<[u8]>::to_vec)), ..Update::set(to) }.applied(applied)
    }

    fn of(change: Change) -> Self {
        Update { condition: Condition::Always, change, answer: Answer::Nothing }
    }

    /// Only if the key is absent.
    #[must_use]
    pub fn if_absent(self) -> Self {
        Update { condition: Condition::Is(None), ..self }
    }

    /// Only if the key is present.
    #[must_use]
    pub fn if_present(self) -> Self {
        Update { condition: Condition::IsNot(None), ..self }
    }

    /// Only if this is the value.
    #[must_use]
    pub fn if_equal(self, value: &[u8]) -> Self {
        Update { condition: Condition::Is(Some(value.to_vec())), ..self }
    }

    /// Only if the value is another, or the key absent.
    #[must_use]
    pub fn if_not_equal(self, value: &[u8]) -> Self {
        Update { condition: Condition::IsNot(Some(value.to_vec())), ..self }
    }

    /// The store said whether the condition held.
    #[must_use]
    pub fn applied(self, applied: bool) -> Self {
        Update { answer: Answer::Applied(applied), ..self }
    }

    /// The store said what the value was before; `None`: absent.
    #[must_use]
    pub fn before(self, value: Option<&[u8]>) -> Self {
        Update { answer: Answer::Before(value.map(<[u8]>::to_vec)), ..self }
    }

    /// The store said what the value was after; `None`: absent.
    #[must_use]
    pub fn after(self, value: Option<&[u8]>) -> Self {
        Update { answer: Answer::After(value.map(<[u8]>::to_vec)), ..self }
    }

    /// The store said which number the value was after.
    #[must_use]
    pub fn number(self, number: i64) -> Self {
        self.after(Some(number.to_string().as_bytes()))
    }

    /// The store said how many bytes the value had after.
    #[must_use]
    pub fn length(self, bytes: u64) -> Self {
        Update { answer: Answer::Length(bytes), ..self }
    }
}

impl From<Update> for Action {
    fn from(update: Update) -> Self {
        Action::Update(update)
    }
}

impl Change {
    /// The value after a change that happens, or `None` where it is impossible.
    #[expect(clippy::option_option, reason = "the inner absence is a value, the outer one is impossibility")]
    pub(crate) fn of(&self, value: Option<&[u8]>) -> Option<Option<Vec<u8>>> {
        match self {
            Change::Set(to) => Some(to.clone()),
            Change::Append(tail) => Some(Some([value.unwrap_or_default(), tail].concat())),
            Change::Add(number) => {
                let sum = decimal(value.unwrap_or(b"0"))?.checked_add(*number)?;
                Some(Some(sum.to_string().into_bytes()))
            }
        }
    }
}

/// The number that the digits spell, if they do so in the one way that a store writes it.
pub(crate) fn decimal(digits: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == digits).then_some(number)
}
