//! The sequential object a history is compared with.
//!
//! All models share one vocabulary, [`Action`](crate::Action), and one state, a value or its absence. They differ in
//! the state they start from, so a model is nothing but its beginning.

/// The sequential specification of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    initial: Option<Vec<u8>>,
}

impl Model {
    /// A register with read, write and delete that starts absent.
    #[must_use]
    pub fn register() -> Self {
        Model { initial: None }
    }

    /// A register with read, write and compare-and-set that starts with the given value.
    #[must_use]
    pub fn cas_register(initial: Option<Vec<u8>>) -> Self {
        Model { initial }
    }

    /// Get, put and append, where a key that was never written reads as the empty string.
    #[must_use]
    pub fn kv() -> Self {
        Model { initial: Some(Vec::new()) }
    }

    /// The value before the first operation.
    #[must_use]
    pub fn initial(&self) -> Option<&[u8]> {
        self.initial.as_deref()
    }
}
