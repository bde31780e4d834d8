//! Which parts of a database are damaged, and iterators that do not pass over them unnoticed (rule S3).
//!
//! What was in a damaged part is gone, and with it perhaps the newest version of a key. The versions of a key follow each
//! other, the newest first, so "the first entry at or after this" is an answer only if nothing in between is damaged: then
//! whatever was lost is older. Whoever asks across a damaged part gets [`DatabaseError::Unreadable`]; everything else is
//! answered as ever.

use crate::database::{DatabaseError, DatabaseIterator};
use crate::encoding::key;
use bytes::Bytes;
use std::ops::Bound;
use std::sync::Arc;

/// Data keys from one on up to another one, which is not among them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    /// The first data key.
    pub from: Bytes,
    /// The first one behind it.
    pub to: Bytes,
}

impl Part {
    /// All data keys that begin like this.
    pub fn of_prefix(prefix: &[u8]) -> Self {
        let mut to = prefix.to_vec();
        // The next larger bytes of the same length or less.
        while let Some(last) = to.pop() {
            if last < 0xff {
                to.push(last + 1);
                break;
            }
        }
        Self { from: Bytes::copy_from_slice(prefix), to: to.into() }
    }
}

/// The damaged parts of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DamagedParts(Vec<Part>);

impl std::ops::Deref for DamagedParts {
    type Target = [Part];

    fn deref(&self) -> &[Part] {
        &self.0
    }
}

impl DamagedParts {
    /// Adds one.
    pub fn add(&mut self, part: Part) {
        if !self.0.contains(&part) && part.from < part.to {
            self.0.push(part);
        }
    }

    /// Whether a data key lies in none of them.
    pub fn check(&self, key: &[u8]) -> Result<(), DatabaseError> {
        self.check_between(Bound::Included(key), Bound::Included(key))
    }

    /// Whether no data key between the two lies in one of them.
    pub fn check_between(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<(), DatabaseError> {
        let crosses = |part: &&Part| {
            let begins_before_the_end = match to {
                Bound::Included(to) => &part.from[..] <= to,
                Bound::Excluded(to) => &part.from[..] < to,
                Bound::Unbounded => true,
            };
            let ends_behind_the_beginning = match from {
                Bound::Included(from) => from < &part.to[..],
                // The smallest key above it is the one with a zero more.
                Bound::Excluded(from) => from < &part.to[..] && part.to[..] != [from, &[0]].concat(),
                Bound::Unbounded => true,
            };
            begins_before_the_end && ends_behind_the_beginning
        };
        match self.0.iter().filter(crosses).max_by(|a, b| a.to.cmp(&b.to)) {
            None => Ok(()),
            Some(part) => Err(DatabaseError::Unreadable {
                why: "what was stored there is damaged".into(),
                behind: Some(part.to.clone()),
            }),
        }
    }
}

/// An iterator that fails where it would pass over a damaged part.
pub struct Guarded<I> {
    iterator: I,
    parts: Arc<DamagedParts>,
    /// Where it failed it stands nowhere.
    failed: bool,
}

impl<I: DatabaseIterator> Guarded<I> {
    /// Over an iterator that knows nothing of damage.
    pub fn new(iterator: I, parts: Arc<DamagedParts>) -> Self {
        Self { iterator, parts, failed: false }
    }

    /// After a move: nothing between the two is damaged. What is found is the bound that is not given.
    fn moved(&mut self, bound: Bound<&[u8]>, upwards: bool) -> Result<(), DatabaseError> {
        self.failed = false;
        if self.parts.is_empty() {
            return Ok(());
        }
        let found = self.iterator.key().map_or(Bound::Unbounded, |key| Bound::Included(&key[..]));
        let (from, to) = if upwards { (bound, found) } else { (found, bound) };
        let checked = self.parts.check_between(from, to);
        self.failed = checked.is_err();
        checked
    }

    fn key_before(&self) -> Option<Bytes> {
        if self.parts.is_empty() { None } else { self.key().cloned() }
    }
}

impl<I: DatabaseIterator> DatabaseIterator for Guarded<I> {
    fn seek(&mut self, key: &[u8]) -> Result<(), DatabaseError> {
        self.iterator.seek(key)?;
        self.moved(Bound::Included(key), true)
    }

    fn seek_to_first(&mut self) -> Result<(), DatabaseError> {
        self.iterator.seek_to_first()?;
        self.moved(Bound::Unbounded, true)
    }

    fn seek_to_last(&mut self) -> Result<(), DatabaseError> {
        self.iterator.seek_to_last()?;
        self.moved(Bound::Unbounded, false)
    }

    fn next(&mut self) -> Result<(), DatabaseError> {
        if self.failed {
            return Ok(());
        }
        let before = self.key_before();
        self.iterator.next()?;
        before.map_or(Ok(()), |before| self.moved(Bound::Excluded(&before), true))
    }

    fn prev(&mut self) -> Result<(), DatabaseError> {
        if self.failed {
            return Ok(());
        }
        let before = self.key_before();
        self.iterator.prev()?;
        before.map_or(Ok(()), |before| self.moved(Bound::Excluded(&before), false))
    }

    fn key(&self) -> Option<&Bytes> {
        if self.failed { None } else { self.iterator.key() }
    }

    fn value_length(&self) -> Option<usize> {
        if self.failed { None } else { self.iterator.value_length() }
    }

    fn head(&self, length: usize) -> Result<Option<Bytes>, DatabaseError> {
        if self.failed { Ok(None) } else { self.iterator.head(length) }
    }

    fn value(&self) -> Result<Option<Bytes>, DatabaseError> {
        if self.failed { Ok(None) } else { self.iterator.value() }
    }
}

/// Moves to the first entry at or after a key that is neither in a damaged part nor of a user key whose newest version may
/// have been in one. For walks that tell what can be told.
pub(crate) fn seek_readable(
    iterator: &mut impl DatabaseIterator,
    from: impl Into<Bytes>,
) -> Result<(), DatabaseError> {
    let (mut from, mut damaged) = (from.into(), false);
    loop {
        match iterator.seek(&from) {
            Err(DatabaseError::Unreadable { behind: Some(behind), .. }) => (from, damaged) = (behind, true),
            Ok(()) if damaged => {
                let Some(key) = iterator.key() else { return Ok(()) };
                let versions = Part::of_prefix(key::parts(key).0);
                if versions.from >= from {
                    return Ok(());
                }
                from = versions.to;
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::{Database, Snapshot};
    use crate::memory::MemoryDatabase;

    fn part(from: &'static str, to: &'static str) -> Part {
        Part { from: from.into(), to: to.into() }
    }

    #[test]
    fn a_prefix_covers_what_begins_like_it_and_nothing_else() {
        let parts = |prefix: &[u8]| {
            let mut parts = DamagedParts::default();
            parts.add(Part::of_prefix(prefix));
            parts
        };
        let of_ab = parts(b"ab");
        for (key, inside) in [(&b"a"[..], false), (b"ab", true), (b"ab\xff\xff", true), (b"ac", false)] {
            assert_eq!(of_ab.check(key).is_err(), inside, "{key:?}");
        }
        assert!(parts(b"a\xff").check(b"a\xff\xff\xff").is_err());
        assert!(parts(b"a\xff").check(b"b").is_ok());
    }

    /// Every move over every pair of entries, with a damaged part at every place.
    #[test]
    fn s3_no_move_passes_over_a_damaged_part() {
        let database = MemoryDatabase::new();
        for key in ["b", "d", "f"] {
            database.put(key.into(), "value".into()).unwrap();
        }
        let iterator = |part: Part| {
            let mut parts = DamagedParts::default();
            parts.add(part);
            Guarded::new(database.snapshot().unwrap().iterator(), Arc::new(parts))
        };
        // Between two entries: no walk passes, and both ends are reached from their own side.
        let mut walk = iterator(part("bb", "c"));
        walk.seek(b"a").unwrap();
        assert_eq!(walk.key().unwrap(), "b");
        let Err(DatabaseError::Unreadable { behind: Some(behind), .. }) = walk.next() else { panic!() };
        assert!(!walk.valid(), "after a failure it stands nowhere");
        walk.seek(&behind).unwrap();
        assert_eq!(walk.key().unwrap(), "d");
        assert!(walk.prev().is_err());
        walk.seek(b"c").unwrap();
        walk.next().unwrap();
        assert_eq!(walk.key().unwrap(), "f");
        walk.next().unwrap();
        assert!(!walk.valid());
        assert!(iterator(part("bb", "c")).seek(b"bz").is_err());
        // What lies in it is not told, although it is there: it was put after the damage.
        assert!(iterator(part("c", "e")).seek(b"d").is_err());
        // At both ends.
        assert!(iterator(part("0", "1")).seek_to_first().is_err());
        assert!(iterator(part("0", "1")).seek_to_last().is_ok());
        assert!(iterator(part("x", "y")).seek_to_last().is_err());
        assert!(iterator(part("x", "y")).seek(b"g").is_err());
        let mut last = iterator(part("x", "y"));
        last.seek(b"f").unwrap();
        assert!(last.next().is_err());
        // Right behind an entry: the smallest part that there is.
        let mut walk = iterator(part("b\0", "b\0\0"));
        walk.seek(b"b").unwrap();
        assert!(walk.next().is_err());
    }
}
