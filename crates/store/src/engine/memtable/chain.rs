//! The changes to the versions of one user key.

use crate::engine::large::Location;
use crate::in_place::InPlace;
use crate::key;
use abd::Version;
use bytes::Bytes;
use smallvec::SmallVec;
use std::cmp::Reverse;

/// What an entry takes beside the bytes of its key and value, about: its share of a node of the tree, which is seldom full,
/// and what its value's allocation takes.
const ENTRY_OVERHEAD: usize = 160;

/// A change to a data key.
pub(in crate::engine) struct Entry {
    /// The second part of the key: the version.
    version: InPlace<{ Version::LEN }>,
    number: u64,
    value: Option<Bytes>,
    /// Where in the journal a large value is. In a box, because most are small.
    location: Option<Box<Location>>,
}

impl Entry {
    pub(super) fn new(version: &[u8], number: u64, value: Option<Bytes>, at: Option<Location>) -> Self {
        Self { version: InPlace::new(version), number, value, location: at.map(Box::new) }
    }

    /// The second part of the key.
    pub(in crate::engine) fn version(&self) -> &[u8] {
        self.version.bytes()
    }

    /// The number of the batch.
    pub(in crate::engine) fn number(&self) -> u64 {
        self.number
    }

    /// `None`: the key was deleted.
    pub(in crate::engine) fn value(&self) -> Option<&Bytes> {
        self.value.as_ref()
    }

    /// Where in the journal the value is, if it stays there.
    pub(in crate::engine) fn location(&self) -> Option<Location> {
        self.location.as_deref().copied()
    }

    /// Where it stands among the changes to one user key.
    fn place(&self) -> (&[u8], Reverse<u64>) {
        (self.version(), Reverse(self.number))
    }

    /// Bytes that it takes, about.
    pub(super) fn size(&self) -> usize {
        self.version().len() + self.value.as_ref().map_or(0, Bytes::len) + ENTRY_OVERHEAD
    }

    /// Whether nobody who sees `newer` sees this one, which comes after it: a change to the same key, or a version that is
    /// dominated (rule G1).
    ///
    /// The end of an older version is seen: it hides what older memtables and tables have.
    fn is_hidden_by(&self, newer: &Self) -> bool {
        let is_version = |entry: &Self| entry.value.is_some() && key::is_whole_version(entry.version());
        self.version() == newer.version() || is_version(self) && is_version(newer)
    }
}

/// Changes to the data keys of one user key: the newest version first, and of a version the newest change.
#[derive(Default)]
pub(super) struct Chain(SmallVec<[Entry; 1]>);

impl Chain {
    pub(super) fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Adds a change, newer than all that are here. `unseen`: nobody sees a change that this one hides, so it is left out.
    /// What goes is told to `gone`.
    pub(super) fn insert(&mut self, entry: Entry, unseen: bool, mut gone: impl FnMut(&Entry)) {
        let at = self.0.partition_point(|other| other.place() < entry.place());
        let is_gone = |other: &&Entry| match unseen {
            true => other.is_hidden_by(&entry),
            // An earlier change of the same batch.
            false => other.place() == entry.place(),
        };
        let count = self.0[at..].iter().take_while(is_gone).inspect(|other| gone(other)).count();
        match count {
            0 => self.0.insert(at, entry),
            _ => {
                self.0[at] = entry;
                self.0.drain(at + 1..at + count);
            }
        }
    }

    /// The newest change to a version below the number `at`.
    pub(super) fn get(&self, version: &[u8], at: u64) -> Option<&Entry> {
        let newest = (version, Reverse(at.saturating_sub(1)));
        let entry = self.0.get(self.0.partition_point(|other| other.place() < newest))?;
        (entry.version() == version).then_some(entry)
    }
}
