//! What makes writes durable in groups, as a replica sees it.

use crate::ballot::Ballot;
use crate::reserved::needs_room;
use crate::update::AcceptedRecord;
use crate::value::StampedValue;
use crate::version::Version;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// What becomes durable together or not at all, of one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// A version.
    Version {
        /// The key.
        key: Bytes,
        /// The version.
        stamped: StampedValue,
    },
    /// A version above the base of the key's record, which goes with it (rule P2').
    Closing {
        /// The key.
        key: Bytes,
        /// The version.
        stamped: StampedValue,
    },
    /// An acceptance, with its base if that is not here yet (rule P7). The record takes the place of an earlier one.
    Acceptance {
        /// The key.
        key: Bytes,
        /// The base.
        base: Option<Box<StampedValue>>,
        /// The record.
        record: Box<AcceptedRecord>,
    },
    /// The largest ballot that this replica may promise (rule P5).
    Mark(Ballot),
    /// The configuration that this replica has installed, encoded. It takes the place of the one before.
    Configuration(Bytes),
}

impl Unit {
    /// The version in it, and its key.
    pub fn version(&self) -> Option<(&Bytes, &StampedValue)> {
        match self {
            Self::Version { key, stamped } | Self::Closing { key, stamped } => Some((key, stamped)),
            Self::Acceptance { key, base, .. } => base.as_deref().map(|base| (key, base)),
            Self::Mark(_) | Self::Configuration(_) => None,
        }
    }

    /// Whether there is a value in it for which a full disk has no room ([`needs_room`]).
    pub fn needs_room(&self) -> bool {
        let of_record = match self {
            Self::Acceptance { key, record, .. } => needs_room(key, &record.acceptance.proposal.content),
            _ => false,
        };
        of_record || self.version().is_some_and(|(key, stamped)| needs_room(key, &stamped.content))
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        let of_record = match self {
            Self::Acceptance { key, record, .. } => key.len() + record.acceptance.proposal.content.len(),
            Self::Configuration(configuration) => configuration.len(),
            _ => 0,
        };
        of_record + self.version().map_or(0, |(key, stamped)| key.len() + stamped.content.len())
    }
}

/// Units that become durable together, in the form in which a store takes them.
pub trait WriteGroup: Default {
    /// Adds a unit.
    fn push(&mut self, unit: &Unit);

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

    /// In the order in which they were added, whether each needs room ([`Unit::needs_room`]).
    fn need_room(&self) -> impl Iterator<Item = bool>;

    /// In the order in which they were added, their keys and versions, if there is a version.
    fn versions(&self) -> impl Iterator<Item = Option<(Bytes, Version)>>;
}

/// A group as it is, for stores that encode nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedWrites(pub Vec<Unit>);

impl WriteGroup for ListedWrites {
    fn push(&mut self, unit: &Unit) {
        self.0.push(unit.clone());
    }

    fn append(&mut self, other: &mut Self) {
        self.0.append(&mut other.0);
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(Unit::bytes).sum()
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    fn need_room(&self) -> impl Iterator<Item = bool> {
        self.0.iter().map(Unit::needs_room)
    }

    fn versions(&self) -> impl Iterator<Item = Option<(Bytes, Version)>> {
        self.0.iter().map(|unit| unit.version().map(|(key, stamped)| (key.clone(), stamped.version)))
    }
}

/// What of a group has become durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// All of it.
    All,
    /// What needs no room, tombstones above all; why the values did not fit.
    Roomless(String),
    /// Nothing; why.
    Nothing(String),
}

impl Fit {
    /// Whether the units that need room have become durable, or those that do not.
    pub fn has(&self, needs_room: bool) -> bool {
        match self {
            Self::All => true,
            Self::Roomless(_) => !needs_room,
            Self::Nothing(_) => false,
        }
    }
}
