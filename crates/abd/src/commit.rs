//! What makes writes durable in groups, as a replica sees it.

use crate::value::StampedValue;
use crate::version::Version;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// Versions that become durable together, in the form in which a store takes them.
pub trait WriteGroup: Default {
    /// Adds a version.
    fn push(&mut self, key: &[u8], stamped: &StampedValue);

    /// Moves those of another group behind these.
    fn append(&mut self, other: &mut Self);

    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What they take, about.
    fn bytes(&self) -> usize;

    /// Forgets all of them.
    fn clear(&mut self);

    /// In the order in which they were added, whether each is a tombstone.
    fn are_tombstones(&self) -> impl Iterator<Item = bool>;

    /// In the order in which they were added, their keys and versions.
    fn versions(&self) -> impl Iterator<Item = (Bytes, Version)>;
}

/// A group as it is, for stores that encode nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedWrites(pub Vec<(Bytes, StampedValue)>);

impl WriteGroup for ListedWrites {
    fn push(&mut self, key: &[u8], stamped: &StampedValue) {
        self.0.push((Bytes::copy_from_slice(key), stamped.clone()));
    }

    fn append(&mut self, other: &mut Self) {
        self.0.append(&mut other.0);
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|(key, stamped)| key.len() + stamped.content.len()).sum()
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    fn are_tombstones(&self) -> impl Iterator<Item = bool> {
        self.0.iter().map(|(_, stamped)| !stamped.content.is_value())
    }

    fn versions(&self) -> impl Iterator<Item = (Bytes, Version)> {
        self.0.iter().map(|(key, stamped)| (key.clone(), stamped.version))
    }
}

/// What of a group has become durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// All of it.
    All,
    /// The tombstones; why the values did not fit.
    Tombstones(String),
    /// Nothing; why.
    Nothing(String),
}

impl Fit {
    /// Whether the tombstones of the group have become durable, or its values.
    pub fn has(&self, tombstones: bool) -> bool {
        match self {
            Self::All => true,
            Self::Tombstones(_) => tombstones,
            Self::Nothing(_) => false,
        }
    }
}
