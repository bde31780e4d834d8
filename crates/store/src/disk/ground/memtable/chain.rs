//! The changes to the versions of one user key.

use crate::disk::ground::values::Pointer;
use crate::encoding::key;
use crate::encoding::record::is_value;
use abd::Version;
use bytes::Bytes;
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::ops::Bound;

/// What an entry takes beside the bytes of its key and value, about: its slot, its key's place in the tree and in the table,
/// neither of which is ever full, and what its value's allocation takes.
const ENTRY_OVERHEAD: usize = 190;

/// Entries in the order of their keys, the newest change to a key first.
pub(super) type Walk<'a> = std::iter::Rev<std::slice::Iter<'a, Entry>>;

/// A change to a data key.
pub(crate) struct Entry {
    /// The second part of the key: the version.
    version: SmallVec<[u8; Version::LEN]>,
    number: u64,
    value: Option<Bytes>,
    /// Where in the journal a large value is. In a box, because most are small.
    pointer: Option<Box<Pointer>>,
}

impl Entry {
    pub(super) fn new(version: &[u8], number: u64, value: Option<Bytes>, at: Option<Pointer>) -> Self {
        Self { version: SmallVec::from_slice(version), number, value, pointer: at.map(Box::new) }
    }

    /// The second part of the key.
    pub(crate) fn version(&self) -> &[u8] {
        &self.version
    }

    /// The number of the batch.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// What it has of memory beside its place.
    pub(super) fn into_value(self) -> Option<Bytes> {
        self.value
    }

    /// `None`: the key was deleted.
    pub(crate) fn value(&self) -> Option<&Bytes> {
        self.value.as_ref()
    }

    /// Where in the journal the value is, if it stays there.
    pub(crate) fn pointer(&self) -> Option<Pointer> {
        self.pointer.as_deref().copied()
    }

    /// Where it stands among the changes to one user key.
    fn place(&self) -> (&[u8], Reverse<u64>) {
        (self.version(), Reverse(self.number))
    }

    /// Bytes that it takes, about.
    pub(super) fn size(&self) -> usize {
        self.version().len() + self.value.as_ref().map_or(0, Bytes::len) + ENTRY_OVERHEAD
    }

    /// Bytes of its value if that lies in the journal.
    pub(super) fn large_value_size(&self) -> usize {
        self.pointer.as_ref().and(self.value.as_ref()).map_or(0, Bytes::len)
    }

    /// Whether it is a version without a value.
    pub(super) fn is_tombstone(&self) -> bool {
        key::is_whole_version(self.version())
            && self.value().is_some_and(|record| is_value(record) == Ok(false))
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

/// Changes to the data keys of one user key, against the order of a walk: of a version the oldest change first, and the newest
/// version last. So what is written in its turn goes to the end.
#[derive(Default)]
pub(super) struct Chain(SmallVec<[Entry; 1]>);

impl Chain {
    /// In the order of a walk.
    pub(super) fn walk(&self) -> Walk<'_> {
        self.0.iter().rev()
    }

    /// What of a walk comes after this version, or begins with it.
    pub(super) fn walk_from(&self, version: Bound<&[u8]>) -> Walk<'_> {
        let end = match version {
            Bound::Included(from) => self.0.partition_point(|entry| entry.version() >= from),
            Bound::Excluded(from) => self.0.partition_point(|entry| entry.version() > from),
            Bound::Unbounded => self.0.len(),
        };
        self.0[..end].iter().rev()
    }

    /// What of a walk comes before this version, or ends with it.
    pub(super) fn walk_to(&self, version: Bound<&[u8]>) -> Walk<'_> {
        let start = match version {
            Bound::Included(to) => self.0.partition_point(|entry| entry.version() > to),
            Bound::Excluded(to) => self.0.partition_point(|entry| entry.version() >= to),
            Bound::Unbounded => 0,
        };
        self.0[start..].iter().rev()
    }

    /// Adds a change, newer than all that are here. `unseen`: nobody sees a change that this one hides, nor this one if it
    /// comes late, so they are taken out and told to `gone`.
    pub(super) fn insert(&mut self, entry: Entry, unseen: bool, mut gone: impl FnMut(Entry)) {
        let is_gone = |other: &&Entry| match unseen {
            true => other.is_hidden_by(&entry),
            // An earlier change of the same batch.
            false => other.place() == entry.place(),
        };
        let end = self.0.partition_point(|other| other.place() >= entry.place());
        if unseen && self.0.get(end).is_some_and(|newer| entry.is_hidden_by(newer)) {
            return gone(entry);
        }
        let start = end - self.0[..end].iter().rev().take_while(is_gone).count();
        self.0.drain(start..end).for_each(gone);
        self.0.insert(start, entry);
    }

    /// The newest change to a version below the number `at`.
    pub(super) fn get(&self, version: &[u8], at: u64) -> Option<&Entry> {
        let newest = (version, Reverse(at.saturating_sub(1)));
        let end = self.0.partition_point(|other| other.place() >= newest);
        self.0[..end].last().filter(|entry| entry.version() == version)
    }
}
