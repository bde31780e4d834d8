//! What a version names: a value or a tombstone.

use crate::ballot::UpdateId;
use crate::time::Moment;
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

/// When a value is due to expire: milliseconds since the Unix epoch. A part of the value; the value is present until its expiry is
/// decided (rule E1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(pub u64);

impl Deadline {
    /// Never.
    pub const NONE: Self = Self(0);

    /// The sooner one of two.
    pub fn or_sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::NONE, one) | (one, Self::NONE) => one,
            (one, other) => one.min(other),
        }
    }

    /// Rule E3: whether a value with this deadline is due to expire.
    pub fn has_passed(self, moment: Moment) -> bool {
        self != Self::NONE && moment.0 >= self.0
    }
}

/// A content under its version. One version names one content, deadline and update, for ever (rule V1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StampedValue {
    /// Its place in the order.
    pub version: Version,
    /// What was written.
    pub content: Content,
    /// When that expires.
    pub deadline: Deadline,
    /// The update that wrote it; none for a Set or a Delete.
    pub update: UpdateId,
}

impl StampedValue {
    /// What a key that was never written holds.
    pub const NEVER: Self = Self::plain(Version::MIN, Content::Tombstone);

    /// Of a Set or a Delete that has no deadline.
    pub const fn plain(version: Version, content: Content) -> Self {
        Self { version, content, deadline: Deadline::NONE, update: UpdateId::NONE }
    }

    /// Whether it is a value that is due to expire: what readers see of it is decided then (rule E1).
    pub fn is_due(&self, moment: Moment) -> bool {
        self.content.is_value() && self.deadline.has_passed(moment)
    }
}

/// What a reader that may know the content already must be told of a newest version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Glimpse {
    /// The newest version.
    pub version: Version,
    /// Whether it is a value, not a tombstone.
    pub present: bool,
    /// When it expires.
    pub deadline: Deadline,
    /// The update that wrote it.
    pub update: UpdateId,
    /// Its content, if it was asked for.
    pub content: Option<Content>,
    /// As [`Newest::durable`].
    pub durable: bool,
}

impl Glimpse {
    /// All of it, if the content is here.
    pub fn stamped(self) -> Option<StampedValue> {
        let Self { version, deadline, update, content, .. } = self;
        Some(StampedValue { version, content: content?, deadline, update })
    }
}

impl Newest {
    /// The content is left out unless the version is above `have`.
    pub fn glimpse(self, have: Version) -> Glimpse {
        let Self { stamped: StampedValue { version, content, deadline, update }, durable } = self;
        Glimpse {
            version,
            present: content.is_value(),
            deadline,
            update,
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

impl Newest {
    /// From a glimpse of a reader that has nothing: a key that was never written has no content that could be above that.
    pub fn of(glimpse: Glimpse) -> Self {
        let Glimpse { version, deadline, update, content, durable, .. } = glimpse;
        let content = content.unwrap_or(Content::Tombstone);
        Self { stamped: StampedValue { version, content, deadline, update }, durable }
    }
}
