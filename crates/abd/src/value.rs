//! What a version names: a value or a tombstone.

use crate::version::Version;
use bytes::Bytes;

/// The content of a key at a version. Delete is a write (PROTOCOL section 6): its content is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// The key has this value.
    Value(Bytes),
    /// The key is absent: never written ([`Version::MIN`]) or deleted.
    Tombstone,
}

impl Content {
    /// The value, if there is one.
    pub fn value(&self) -> Option<&Bytes> {
        match self {
            Self::Value(bytes) => Some(bytes),
            Self::Tombstone => None,
        }
    }

    /// Whether the key is present.
    pub fn is_value(&self) -> bool {
        matches!(self, Self::Value(_))
    }

    /// Bytes of the value; zero for a tombstone.
    pub fn len(&self) -> usize {
        self.value().map_or(0, Bytes::len)
    }

    /// Whether there are no value bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A content under its version. One version names one content, for ever (rule V1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StampedValue {
    /// Its place in the order.
    pub version: Version,
    /// What was written.
    pub content: Content,
}

impl StampedValue {
    /// What a key that was never written holds.
    pub const NEVER: Self = Self { version: Version::MIN, content: Content::Tombstone };
}

/// What a reader that may know the content already must be told of a newest version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Glimpse {
    /// The newest version.
    pub version: Version,
    /// Whether it is a value, not a tombstone.
    pub present: bool,
    /// Its content, if it was asked for.
    pub content: Option<Content>,
    /// As [`Newest::durable`].
    pub durable: bool,
}

impl Newest {
    /// The content is left out unless the version is above `have`.
    pub fn glimpse(self, have: Version) -> Glimpse {
        let Self { stamped: StampedValue { version, content }, durable } = self;
        Glimpse {
            version,
            present: content.is_value(),
            content: (version > have).then_some(content),
            durable,
        }
    }
}

/// A replica's newest version of a key, as its store knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Newest {
    /// The version and its content; [`StampedValue::NEVER`] for an unknown key.
    pub stamped: StampedValue,
    /// Whether it survives a power cut now (rule S2). A version that does not is never counted as held.
    pub durable: bool,
}
