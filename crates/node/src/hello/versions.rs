//! Which versions of the peer protocol a node speaks.

use core::fmt;

/// From this version on nodes tell each other their configurations (rules C1 to C3).
pub const WITH_CONFIGURATIONS: u16 = 6;

/// The versions of the peer protocol that a node speaks, all from the oldest to the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    pub(super) oldest: u16,
    pub(super) newest: u16,
}

impl Versions {
    /// Those of this release. `newest` is raised with any change to what travels between nodes after the handshake; `oldest`
    /// when this release cannot talk as an earlier one did any more.
    pub const OURS: Self = Self { oldest: 5, newest: WITH_CONFIGURATIONS };

    /// All from `oldest` to `newest`; `None` when there is none.
    pub fn new(oldest: u16, newest: u16) -> Option<Self> {
        (oldest <= newest).then_some(Self { oldest, newest })
    }

    pub(crate) const fn only(version: u16) -> Self {
        Self { oldest: version, newest: version }
    }

    /// The highest version that both speak.
    pub fn common(self, other: Self) -> Option<u16> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }

    /// Whether this version is among them.
    pub fn contains(self, version: u16) -> bool {
        (self.oldest..=self.newest).contains(&version)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.oldest == self.newest {
            write!(f, "version {}", self.newest)
        } else {
            write!(f, "versions {} to {}", self.oldest, self.newest)
        }
    }
}
