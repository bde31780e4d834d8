//! Key spaces: the first byte of a data key says what is stored under it, and each space has its rule for what is garbage.
//!
//! ```text
//! 0x00              the engine's own
//! 0x01, 0x03        versions of a key; of a key that is too long for the engine, by its hash
//! 0x02, 0x04        the accepted record of a key; the same
//! 0x05              what a replica keeps of itself: its mark, its configuration
//! ```
//! Whoever may leave out what it holds, counts keys or walks over them asks for the space first. Of all that may end like a version
//! only what is in the space of versions is one.

/// What is stored under a data key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// The engine's own: no batch names such a key.
    Engine,
    /// A version of a key.
    Versions,
    /// What a replica has accepted for the newest version of a key: one record for each key that has any (rule P2').
    Accepted,
    /// What a replica keeps of itself.
    Replica,
    /// No release so far has written it.
    Unknown,
}

/// Which entries of a space an engine may leave out when it rewrites what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Garbage {
    /// Also a version of a key of which there is a newer one (rule G1).
    Dominated,
    /// Only what a batch has put something else in the place of, or has taken away. What makes a record garbage is a version, and
    /// that is in another space: so whoever stores the version ends the record, in the same batch or a later one.
    Replaced,
}

/// Data keys from one on up to another one, which is not among them.
pub(crate) type Range = (&'static [u8], &'static [u8]);

pub(super) const VERSION: u8 = 1;
pub(super) const RECORD: u8 = 2;
pub(super) const HASHED_VERSION: u8 = 3;
pub(super) const HASHED_RECORD: u8 = 4;
pub(super) const REPLICA: u8 = 5;

impl Space {
    /// The space of a data key.
    pub fn of(data_key: &[u8]) -> Self {
        match data_key.first() {
            Some(0) => Self::Engine,
            Some(&(VERSION | HASHED_VERSION)) => Self::Versions,
            Some(&(RECORD | HASHED_RECORD)) => Self::Accepted,
            Some(&REPLICA) => Self::Replica,
            _ => Self::Unknown,
        }
    }

    /// Its rule.
    pub fn garbage(self) -> Garbage {
        match self {
            Self::Versions => Garbage::Dominated,
            Self::Engine | Self::Accepted | Self::Replica | Self::Unknown => Garbage::Replaced,
        }
    }

    /// Where the keys of versions are, in order.
    pub(crate) const VERSIONS: [Range; 2] =
        [(&[VERSION], &[VERSION + 1]), (&[HASHED_VERSION], &[HASHED_VERSION + 1])];

    /// Where the keys of accepted records are, in order.
    pub(crate) const ACCEPTED: [Range; 2] =
        [(&[RECORD], &[RECORD + 1]), (&[HASHED_RECORD], &[HASHED_RECORD + 1])];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_their_spaces() {
        for byte in 0..=u8::MAX {
            for key in [vec![byte], vec![byte, 0], vec![byte, 0xff, 0xff]] {
                let within =
                    |ranges: [Range; 2]| ranges.iter().any(|(from, to)| *from <= &key[..] && &key[..] < *to);
                let space = Space::of(&key);
                assert_eq!(within(Space::VERSIONS), space == Space::Versions, "{key:?}");
                assert_eq!(within(Space::ACCEPTED), space == Space::Accepted, "{key:?}");
                assert_eq!(space.garbage() == Garbage::Dominated, space == Space::Versions, "{key:?}");
            }
        }
        assert_eq!(Space::of(b""), Space::Unknown);
        assert_eq!(Space::of(&[REPLICA]), Space::Replica);
    }
}
