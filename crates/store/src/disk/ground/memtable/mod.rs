//! Recent changes in memory, in the order of their keys, until they are written to a table.
//!
//! A batch has a number, and so has each of its changes. Of a key the newest change comes first; a view of number *n* sees
//! the first one below *n*.
//!
//! User keys, with their versions in place, found by hash or in order ([`Chains`]): that takes three cache misses, or a dozen,
//! where a skip list of allocations, the library's, takes two for each of some thirty comparisons; and a key that is
//! written again and again, when nobody looks, is one entry that changes. One thread inserts, at most one batch at a time, so that
//! whoever reads waits for microseconds. ARCHITECTURE.md, "Why a journal and memtables of our own", has what that buys.

mod chain;
mod chains;

use super::values::LargeValues;
use crate::database::Change;
use crate::encoding::key;
use bytes::Bytes;
use chain::{Entry, Walk};
use chains::Chains;
use std::ops::Bound;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// What a memtable holds.
#[derive(Default)]
pub(crate) struct Contents {
    chains: Chains,
    /// Entries in all chains.
    count: usize,
}

impl Contents {
    /// All entries in the order of their keys, each after the first part of its key.
    pub(crate) fn walk(&self) -> impl Iterator<Item = (&[u8], &Entry)> {
        self.chains
            .range((Bound::Unbounded, Bound::Unbounded))
            .flat_map(|(first, chain)| after(first, chain.walk()))
    }
}

/// Entries of a chain, each after the first part of its key.
fn after<'a>(first: &'a [u8], walk: Walk<'a>) -> impl DoubleEndedIterator<Item = (&'a [u8], &'a Entry)> {
    walk.map(move |entry| (first, entry))
}

/// How large a memtable is, in bytes, about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) memory: usize,
    /// Without the large values that lie in the journal: a table gets pointers to them.
    pub(crate) table: usize,
}

impl Size {
    /// Whether large values are nearly all of it.
    pub(crate) fn is_large_values(self) -> bool {
        self.table <= self.memory / 8
    }
}

/// Recent changes.
#[derive(Default)]
pub(crate) struct Memtable {
    contents: RwLock<Contents>,
    memory: AtomicUsize,
    large_values: AtomicUsize,
    tombstones: AtomicUsize,
    /// Whether all of it is in synced tables.
    flushed: AtomicBool,
}

impl Memtable {
    /// Puts the changes of a batch in, in their order. `unseen`: no view looks at this memtable, and none begins to before
    /// the whole batch can be seen; then what the batch hides is not kept (rule G1: the batch is durable).
    ///
    /// Returns what is not kept, to be freed when nobody waits for a lock: a large value takes a while.
    pub(crate) fn insert(
        &self,
        changes: Vec<Change>,
        large: &LargeValues,
        number: u64,
        unseen: bool,
    ) -> Vec<Bytes> {
        let mut contents = self.contents.write().unwrap_or_else(PoisonError::into_inner);
        let Contents { chains, count } = &mut *contents;
        let mut pointers = large.pointers.iter().peekable();
        let (mut bytes, mut large_values) = (self.memory.load(Relaxed), self.large_values.load(Relaxed));
        let mut tombstones = self.tombstones.load(Relaxed);
        let mut hidden = Vec::new();
        for (index, change) in changes.into_iter().enumerate() {
            let pointer = pointers.next_if(|(at, _)| *at == index).map(|(_, pointer)| *pointer);
            let (key, value) = match change {
                Change::Put(key, value) => (key, Some(value)),
                Change::Delete(key) => (key, None),
            };
            let (first, version) = key::parts(&key);
            let entry = Entry::new(version, number, value, pointer);
            let key_size = Chains::key_size(first);
            (*count, bytes) = (*count + 1, bytes + key_size + entry.size());
            large_values += entry.large_value_size();
            tombstones += usize::from(entry.is_tombstone());
            chains.get_or_new(first).insert(entry, unseen, |gone| {
                (*count, bytes) = (*count - 1, bytes - key_size - gone.size());
                large_values -= gone.large_value_size();
                tombstones -= usize::from(gone.is_tombstone());
                hidden.extend(gone.into_value());
            });
        }
        self.memory.store(bytes, Relaxed);
        self.large_values.store(large_values, Relaxed);
        self.tombstones.store(tombstones, Relaxed);
        hidden
    }

    /// All that is in it.
    pub(crate) fn contents(&self) -> RwLockReadGuard<'_, Contents> {
        self.contents.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.contents().count
    }

    /// User keys that it has anything of but tombstones, about.
    pub(crate) fn keys(&self) -> usize {
        self.contents().chains.versioned().saturating_sub(self.tombstones.load(Relaxed))
    }

    pub(crate) fn size(&self) -> Size {
        let memory = self.memory.load(Relaxed);
        Size { memory, table: memory.saturating_sub(self.large_values.load(Relaxed)) }
    }

    pub(crate) fn is_flushed(&self) -> bool {
        self.flushed.load(Acquire)
    }

    pub(crate) fn set_flushed(&self) {
        self.flushed.store(true, Release);
    }

    /// What a view of number `at` sees of a key: nothing of it here, its end, or its value.
    pub(crate) fn get(&self, key: &[u8], at: u64) -> Option<Option<Bytes>> {
        let (first, version) = key::parts(key);
        let contents = self.contents();
        contents.chains.get(first)?.get(version, at).map(|entry| entry.value().cloned())
    }

    /// The first key within the bound of which a view of number `at` sees anything, and what.
    pub(crate) fn first(&self, from: Bound<&[u8]>, at: u64) -> Option<Seen> {
        let (start, from) = cut(from);
        let contents = self.contents();
        let chains = contents.chains.range((start, Bound::Unbounded));
        let mut up = chains.flat_map(|(first, chain)| {
            after(first, if is_at(start, first) { chain.walk_from(from) } else { chain.walk() })
        });
        up.find(|(_, entry)| entry.number() < at).map(seen)
    }

    /// The last key within the bounds of which a view of number `at` sees anything, and what. `from` is a key without a second
    /// part, and not above `to`.
    pub(crate) fn last(&self, from: &[u8], to: Bound<&[u8]>, at: u64) -> Option<Seen> {
        let (end, to) = cut(to);
        let contents = self.contents();
        let chains = contents.chains.range((Bound::Included(from), end));
        let walks = chains.flat_map(|(first, chain)| {
            after(first, if is_at(end, first) { chain.walk_to(to) } else { chain.walk() })
        });
        // Going down, the newest change to a key comes last.
        let mut down = walks.rev();
        let last = down.find(|(_, entry)| entry.number() < at)?;
        let is_same = |(first, entry): &(&[u8], &Entry)| {
            (*first, entry.version()) == (last.0, last.1.version()) && entry.number() < at
        };
        Some(seen(down.take_while(is_same).last().unwrap_or(last)))
    }
}

/// The two parts of a bound: chains up to one that holds what is within and what is not, and where it is cut.
fn cut(bound: Bound<&[u8]>) -> (Bound<&[u8]>, Bound<&[u8]>) {
    match bound {
        Bound::Included(key) => {
            let (first, version) = key::parts(key);
            (Bound::Included(first), Bound::Included(version))
        }
        Bound::Excluded(key) => {
            let (first, version) = key::parts(key);
            (Bound::Included(first), Bound::Excluded(version))
        }
        Bound::Unbounded => (Bound::Unbounded, Bound::Unbounded),
    }
}

fn is_at(bound: Bound<&[u8]>, first: &[u8]) -> bool {
    matches!(bound, Bound::Included(at) if at == first)
}

/// A key and its value; `None`: its end.
pub(crate) type Seen = (Bytes, Option<Bytes>);

fn seen((first, entry): (&[u8], &Entry)) -> Seen {
    ([first, entry.version()].concat().into(), entry.value().cloned())
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
        memtable.insert(vec![put("b", "1"), put("d", "1")], &LargeValues::default(), 1, false);
        memtable.insert(
            vec![put("b", "2"), put("a", "2"), put("a", "later in the batch")],
            &LargeValues::default(),
            2,
            false,
        );
        memtable.insert(vec![Change::Delete("b".into()), put("c", "3")], &LargeValues::default(), 3, false);
        let long: &str = "a long key that has more than thirty bytes, so that it is allocated";
        memtable.insert(vec![put(long, "4")], &LargeValues::default(), 4, false);
        assert_eq!((memtable.len(), memtable.size().memory > 0), (7, true));
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

    #[test]
    fn bounds_may_lie_between_the_versions_of_a_key() {
        let memtable = Memtable::default();
        for (number, time) in [(1, 2), (2, 3), (3, 4), (4, 3)] {
            memtable.insert(vec![put_version(time)], &LargeValues::default(), number, false);
        }
        memtable.insert(vec![Change::Put("\x01user".into(), "1".into())], &LargeValues::default(), 5, false);
        let key = |seen: Option<Seen>| seen.map(|(key, _)| key);
        let (other, four, three, two) = (Bytes::from("\x01user"), version(4), version(3), version(2));
        let [first, last] = [&four, &two].map(Clone::clone);
        for (from, at, expected) in [
            (Unbounded, 9, Some(&other)),
            (Excluded(&other[..]), 9, Some(&four)),
            (Excluded(&other[..]), 3, Some(&three)),
            (Included(&version(9)[..]), 9, Some(&four)),
            (Included(&three[..]), 9, Some(&three)),
            (Excluded(&three[..]), 9, Some(&two)),
            (Excluded(&two[..]), 9, None),
            (Included(&three[..]), 2, Some(&two)),
        ] {
            assert_eq!(key(memtable.first(from, at)), expected.cloned(), "{from:?} {at}");
        }
        for (to, at, expected) in [
            (Unbounded, 9, Some(&last)),
            (Included(&three[..]), 9, Some(&three)),
            (Excluded(&three[..]), 9, Some(&four)),
            (Excluded(&three[..]), 3, Some(&other)),
            (Included(&first[..]), 9, Some(&four)),
            (Excluded(&first[..]), 9, Some(&other)),
        ] {
            let expected = expected.filter(|key| **key != other || at > 5);
            assert_eq!(key(memtable.last(b"\x01", to, at)), expected.cloned(), "{to:?} {at}");
        }
        assert_eq!(memtable.get(&three, 3), memtable.get(&three, 9), "both puts of a version are the same");
    }

    fn version(time: u64) -> Bytes {
        let timestamp = abd::Timestamp { time, node: 1, boot: 1 };
        key::encode(b"user key", abd::Version::of_write(timestamp))
    }

    fn put_version(time: u64) -> Change {
        Change::Put(version(time), vec![7; 100].into())
    }

    fn held(memtable: &Memtable) -> Vec<(Bytes, u64)> {
        let entries = memtable.contents();
        let entry = |(first, entry): (&[u8], &Entry)| {
            (Bytes::from([first, entry.version()].concat()), entry.number())
        };
        entries.walk().map(entry).collect()
    }

    #[test]
    fn g1_what_nobody_sees_is_not_kept() {
        let memtable = Memtable::default();
        let insert = |number, unseen, changes| {
            memtable.insert(changes, &LargeValues::default(), number, unseen);
            held(&memtable)
        };
        insert(1, true, vec![put_version(1)]);
        let one = memtable.size();
        assert_eq!(insert(2, true, vec![put_version(2)]), [(version(2), 2)], "a dominated version");
        assert_eq!((memtable.size(), memtable.len()), (one, 1));
        insert(3, false, vec![put_version(3)]);
        assert_eq!(insert(4, false, vec![put_version(4)]).len(), 3, "somebody looks");
        assert_eq!(insert(5, true, vec![put_version(5)]), [(version(5), 5)], "all that have gathered");
        assert_eq!(
            insert(6, true, vec![put_version(4)]),
            [(version(5), 5)],
            "one that comes late is dominated"
        );
        assert_eq!((memtable.size(), memtable.len()), (one, 1));
        assert_eq!(insert(6, false, vec![put_version(4)]).len(), 2, "somebody looks");
        // A version's end does not bring back an older one, nor does it go: an older table may have the version.
        let end = insert(7, true, vec![Change::Delete(version(5))]);
        assert_eq!(end, [(version(5), 7), (version(4), 6)]);
        assert_eq!(insert(8, true, vec![put_version(6)]).len(), 3);
        assert_eq!(memtable.get(&version(5), 9), Some(None));
        // Of other keys only changes to the same key.
        let keys = || vec![put("a", "1"), put("b", "1"), put("a", "2")];
        assert_eq!(insert(9, true, keys()).len(), 5);
        assert_eq!(insert(10, true, keys()).len(), 5);
        assert_eq!(memtable.get(b"a", 11).unwrap().unwrap(), "2");
    }
}
