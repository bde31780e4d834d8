//! The sequential object a history is compared with.
//!
//! All models share one vocabulary, [`Action`](crate::Action), and one state, a value or its absence. They differ in
//! the state they start from, and in whether absence can be told from an empty value.

use crate::update::Change;

/// The sequential specification of one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Model {
    initial: Option<Vec<u8>>,
    absent_is_empty: bool,
}

impl Model {
    /// A register with read, write and delete that starts absent.
    #[must_use]
    pub fn register() -> Self {
        Model { initial: None, absent_is_empty: false }
    }

    /// A register that starts absent, with read, write, delete and every [`Update`](crate::Update).
    #[must_use]
    pub fn register_with_updates() -> Self {
        Model { initial: None, absent_is_empty: false }
    }

    /// A register with read, write and compare-and-set that starts with the given value.
    #[must_use]
    pub fn cas_register(initial: Option<Vec<u8>>) -> Self {
        Model { initial, absent_is_empty: false }
    }

    /// Get, put and append, where a key that was never written reads as the empty string. Nobody can tell absence
    /// from an empty value.
    #[must_use]
    pub fn kv() -> Self {
        Model { initial: Some(Vec::new()), absent_is_empty: true }
    }

    /// The value before the first operation.
    #[must_use]
    pub fn initial(&self) -> Option<&[u8]> {
        self.initial.as_deref()
    }

    /// The value as this model has it: where absence is the empty string, that.
    pub(crate) fn seen<'a>(&self, value: Option<&'a [u8]>) -> Option<&'a [u8]> {
        match value {
            None if self.absent_is_empty => Some(b""),
            value => value,
        }
    }

    /// The value after a change, or `None` where it is impossible.
    #[expect(clippy::option_option, reason = "the inner absence is a value, the outer one is impossibility")]
    pub(crate) fn changed(&self, value: Option<&[u8]>, change: &Change) -> Option<Option<Vec<u8>>> {
        let value = value.filter(|value| !(self.absent_is_empty && value.is_empty()));
        let after = change.of(value)?;
        Some(self.seen(after.as_deref()).map(<[u8]>::to_vec))
    }
}
