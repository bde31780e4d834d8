//! Recent changes in memory, in the order of their keys, until they are written to a table.
//!
//! A batch has a number, and so has each of its changes. Of a key the newest change comes first; a view of number *n* sees
//! the first one below *n*.
//!
//! A B-tree with its keys in place: to find a place takes a few cache lines in a row, where a skip list of allocations, the
//! library's, takes two cache misses for each of some thirty comparisons. One thread inserts, at most one batch at a
//! time, so that whoever reads waits for microseconds. ARCHITECTURE.md, "The disk engine", has what that buys.

use super::large::{LargeValues, Location, is_large};
use crate::database::Change;
use crate::in_place::InPlace;
use bytes::Bytes;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// What an entry takes beside the bytes of its key and value, about.
const ENTRY_OVERHEAD: usize = 96;

/// A key and the number of a change to it. The newest change to a key comes first.
pub(super) struct Place {
    /// Data keys of user keys of up to 27 bytes lie in place.
    key: InPlace<54>,
    number: u64,
}

impl Place {
    fn new(key: &[u8], number: u64) -> Self {
        Self { key: InPlace::new(key), number }
    }

    pub(super) fn key(&self) -> &[u8] {
        self.key.bytes()
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(other.key()).then(other.number.cmp(&self.number))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place {}

/// What a memtable holds.
#[derive(Default)]
pub(super) struct Contents {
    /// `None`: the key was deleted.
    pub(super) entries: BTreeMap<Place, Option<Bytes>>,
    /// Where in the journal the large values are.
    locations: BTreeMap<Place, Location>,
}

impl Contents {
    /// Where in the journal a value lies, if it stays there.
    pub(super) fn location(&self, place: &Place, value: &Bytes) -> Option<Location> {
        if is_large(value) { self.locations.get(place).copied() } else { None }
    }
}

/// Recent changes.
#[derive(Default)]
pub(super) struct Memtable {
    contents: RwLock<Contents>,
    bytes: AtomicUsize,
    /// Whether all of it is in synced tables.
    flushed: AtomicBool,
}

impl Memtable {
    /// Puts the changes of a batch in, in their order.
    pub(super) fn insert(&self, changes: Vec<Change>, large: &LargeValues, number: u64) {
        let mut contents = self.contents.write().unwrap_or_else(PoisonError::into_inner);
        let Contents { entries, locations } = &mut *contents;
        if let Some((segment, _)) = large.segment {
            for (index, offset) in &large.offsets {
                let place = Place::new(changes[*index].key(), number);
                locations.insert(place, Location { segment, offset: *offset });
            }
        }
        let mut bytes = 0;
        for change in changes {
            let (key, value) = match change {
                Change::Put(key, value) => (key, Some(value)),
                Change::Delete(key) => (key, None),
            };
            bytes += key.len() + value.as_ref().map_or(0, Bytes::len) + ENTRY_OVERHEAD;
            entries.insert(Place::new(&key, number), value);
        }
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// All that is in it.
    pub(super) fn contents(&self) -> RwLockReadGuard<'_, Contents> {
        self.contents.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.contents().entries.len()
    }

    /// Bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.flushed.load(Acquire)
    }

    pub(super) fn set_flushed(&self) {
        self.flushed.store(true, Release);
    }

    /// What a view of number `at` sees of a key: nothing of it here, its end, or its value.
    pub(super) fn get(&self, key: &[u8], at: u64) -> Option<Option<Bytes>> {
        let contents = self.contents();
        let newest = contents.entries.range(Place::new(key, at.saturating_sub(1))..).next();
        newest.filter(|(place, _)| place.key() == key).map(|(_, value)| value.clone())
    }

    /// The first key within the bound of which a view of number `at` sees anything, and what.
    pub(super) fn first(&self, from: Bound<&[u8]>, at: u64) -> Option<Seen> {
        let start = match from {
            Bound::Included(key) => Bound::Included(Place::new(key, u64::MAX)),
            Bound::Excluded(key) => Bound::Excluded(Place::new(key, 0)),
            Bound::Unbounded => Bound::Unbounded,
        };
        self.contents()
            .entries
            .range((start, Bound::Unbounded))
            .find(|(place, _)| place.number < at)
            .map(seen)
    }

    /// The last key within the bounds of which a view of number `at` sees anything, and what.
    pub(super) fn last(&self, from: &[u8], to: Bound<&[u8]>, at: u64) -> Option<Seen> {
        let end = match to {
            Bound::Included(key) => Bound::Included(Place::new(key, 0)),
            Bound::Excluded(key) => Bound::Excluded(Place::new(key, u64::MAX)),
            Bound::Unbounded => Bound::Unbounded,
        };
        let contents = self.contents();
        let mut down = contents.entries.range((Bound::Included(Place::new(from, u64::MAX)), end)).rev();
        // Going down, the newest change to a key comes last.
        let last = down.find(|(place, _)| place.number < at)?;
        let same = down.take_while(|(place, _)| place.key() == last.0.key() && place.number < at);
        Some(seen(same.last().unwrap_or(last)))
    }
}

/// A key and its value; `None`: its end.
pub(super) type Seen = (Bytes, Option<Bytes>);

fn seen((place, value): (&Place, &Option<Bytes>)) -> Seen {
    (Bytes::copy_from_slice(place.key()), value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::Bound::{Excluded, Included, Unbounded};

    fn put(key: &'static str, value: &'static str) -> Change {
        Change::Put(key.into(), value.into())
    }

    fn text(seen: Option<Seen>) -> Option<(String, Option<String>)> {
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        seen.map(|(key, value)| (text(&key), value.as_ref().map(text)))
    }

    #[test]
    fn a_view_sees_what_is_older_and_of_that_the_newest() {
        let memtable = Memtable::default();
        memtable.insert(vec![put("b", "1"), put("d", "1")], &LargeValues::default(), 1);
        memtable.insert(
            vec![put("b", "2"), put("a", "2"), put("a", "later in the batch")],
            &LargeValues::default(),
            2,
        );
        memtable.insert(vec![Change::Delete("b".into()), put("c", "3")], &LargeValues::default(), 3);
        let long: &str = "a long key that has more than fifty-four bytes, so that it is allocated";
        memtable.insert(vec![put(long, "4")], &LargeValues::default(), 4);
        assert_eq!((memtable.len(), memtable.bytes() > 0), (7, true));
        let some = |key: &str, value: &str| Some((key.to_owned(), Some(value.to_owned())));
        assert_eq!(memtable.get(b"b", 1), None);
        assert_eq!(memtable.get(b"b", 2), Some(Some("1".into())));
        assert_eq!(memtable.get(b"b", 3), Some(Some("2".into())));
        assert_eq!(memtable.get(b"b", 4), Some(None));
        assert_eq!(memtable.get(b"bb", 9), None);
        assert_eq!(text(memtable.first(Unbounded, 2)), some("b", "1"));
        assert_eq!(text(memtable.first(Unbounded, 3)), some("a", "later in the batch"));
        assert_eq!(text(memtable.first(Excluded(b"a"), 5)), some(long, "4"));
        assert_eq!(text(memtable.first(Excluded(long.as_bytes()), 5)), Some(("b".into(), None)));
        assert_eq!(text(memtable.first(Excluded(b"b"), 3)), some("d", "1"));
        assert_eq!(text(memtable.first(Included(b"d"), 9)), some("d", "1"));
        assert_eq!(text(memtable.first(Excluded(b"d"), 9)), None);
        assert_eq!(text(memtable.last(b"a", Unbounded, 9)), some("d", "1"));
        assert_eq!(text(memtable.last(b"a", Excluded(b"d"), 9)), some("c", "3"));
        assert_eq!(text(memtable.last(b"a", Excluded(b"d"), 3)), some("b", "2"));
        assert_eq!(text(memtable.last(b"a", Included(b"b"), 2)), some("b", "1"));
        assert_eq!(text(memtable.last(b"a", Excluded(b"b"), 2)), None);
        assert_eq!(text(memtable.last(b"c", Excluded(b"d"), 3)), None);
    }
}
