//! A bounded look at a range of keys with what they hold: what bringing a replica up to date needs.
//!
//! A page is of one snapshot, and one walk reads it, in the order in which tables have it.

use super::doubts::Doubts;
use super::{KeyRange, MultiVersionStore, recorded_key, version_in};
use crate::damage::{DamagedParts, Part};
use crate::database::{Database, DatabaseError, DatabaseIterator, Snapshot};
use crate::encoding::space::Space;
use crate::encoding::{key, record};
use abd::{StampedValue, Version};
use bytes::Bytes;
use std::ops::Bound;
use std::sync::Arc;

/// Where a page ends before its range does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkLimits {
    /// So many keys.
    pub keys: usize,
    /// So many bytes of keys and contents. What does not fit is left to the next page, unless it is the first: so one page may have one
    /// value of any size.
    pub bytes: usize,
}

/// What is told of keys whose newest version may be lost (rule S3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Nothing: whoever counts on the answer counts on what is whole.
    Whole,
    /// What is stored, though something newer may be lost: for a replica that looks at what it has itself.
    Stored,
}

/// The first keys of a range, each with something about its newest version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkedPage<T> {
    /// In the order of the store.
    pub entries: Vec<(Bytes, T)>,
    /// Of these keys, among those up to the end of the page, nothing is told but what is among the entries. In order.
    pub abstains: Vec<KeyRange>,
    /// The last key that was looked at; `None`: the page reaches to the end of its range.
    pub told_up_to: Option<Bytes>,
}

/// What a position is asked for.
pub trait Told<I>: Sized {
    /// Bytes that an entry of it takes.
    fn size(iterator: &I, user_key: &[u8]) -> usize;

    /// Reads it. `version` is the one at the position.
    ///
    /// # Errors
    /// As those of [`DatabaseIterator`].
    fn read(iterator: &I, version: Version) -> Result<Self, DatabaseError>;
}

impl<I: DatabaseIterator> Told<I> for StampedValue {
    fn size(iterator: &I, user_key: &[u8]) -> usize {
        user_key.len() + iterator.value_length().unwrap_or(0) + Version::LEN
    }

    fn read(iterator: &I, version: Version) -> Result<Self, DatabaseError> {
        let gone = || DatabaseError::Damaged(format!("version {version} is the newest of a key and is gone"));
        Ok(record::decode(&iterator.value()?.ok_or_else(gone)?, version)?.1)
    }
}

impl<I> Told<I> for Version {
    fn size(_: &I, user_key: &[u8]) -> usize {
        user_key.len() + Version::LEN
    }

    fn read(_: &I, version: Version) -> Result<Self, DatabaseError> {
        Ok(version)
    }
}

impl<D: Database> MultiVersionStore<D> {
    /// The first keys behind `after` (of all, if `None`) and up to `up_to` (to the last, if `None`) with their newest versions, which are
    /// durable.
    ///
    /// # Errors
    /// As those of [`Database`]: [`DatabaseError::Unreadable`] while it is not known yet how far a damage goes that is right at the
    /// beginning of the page.
    pub fn walk_contents(
        &self,
        after: Option<&[u8]>,
        up_to: Option<&[u8]>,
        limits: WalkLimits,
        trust: Trust,
    ) -> Result<WalkedPage<StampedValue>, DatabaseError> {
        self.walk_page(after, up_to, limits, trust)
    }

    /// The same without a look at any content.
    ///
    /// # Errors
    /// As [`MultiVersionStore::walk_contents`].
    pub fn walk_versions(
        &self,
        after: Option<&[u8]>,
        up_to: Option<&[u8]>,
        limits: WalkLimits,
        trust: Trust,
    ) -> Result<WalkedPage<Version>, DatabaseError> {
        self.walk_page(after, up_to, limits, trust)
    }

    /// The version of a key that is stored, though a newer one may be lost; [`Version::MIN`] if there is none.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn stored_version(&self, user_key: &[u8]) -> Result<Version, DatabaseError> {
        let prefix = key::prefix(user_key);
        let mut iterator = self.database.snapshot()?.stored();
        iterator.seek(&prefix)?;
        let data_key = iterator.key().filter(|data_key| key::prefix_of(data_key) == prefix);
        data_key.map_or(Ok(Version::MIN), |data_key| version_in(data_key))
    }

    fn walk_page<T: Told<<D::Snapshot as Snapshot>::Iterator>>(
        &self,
        after: Option<&[u8]>,
        up_to: Option<&[u8]>,
        limits: WalkLimits,
        trust: Trust,
    ) -> Result<WalkedPage<T>, DatabaseError> {
        let range =
            KeyRange { after: after.map(Bytes::copy_from_slice), up_to: up_to.map(Bytes::copy_from_slice) };
        let snapshot = self.database.snapshot()?;
        let lost = (trust == Trust::Whole).then(|| snapshot.lost());
        let last = range.after.clone();
        let mut page = Page { entries: Vec::new(), abstains: Vec::new(), last, lost, doubts: &self.doubts };
        match page.fill(&mut snapshot.stored(), &range.of_versions(), limits) {
            Ok(true) => page.last = None,
            Ok(false) => {}
            // The next page begins there, and fails if it is not known by then.
            Err(DatabaseError::Unreadable { .. }) if page.last != range.after => {}
            Err(why) => return Err(why),
        }
        let told = KeyRange { up_to: page.last.clone().or_else(|| range.up_to.clone()), ..range };
        let parts = page.lost.iter().flat_map(|lost| lost.iter());
        let lost = parts.flat_map(KeyRange::covering).filter_map(|lost| lost.within(&told));
        let abstains = KeyRange::joined(lost.chain(page.abstains));
        Ok(WalkedPage { entries: page.entries, abstains, told_up_to: page.last })
    }
}

/// A page that is being read.
struct Page<'a, T> {
    entries: Vec<(Bytes, T)>,
    /// Keys of which nothing is told, one by one.
    abstains: Vec<KeyRange>,
    /// The last key that was looked at.
    last: Option<Bytes>,
    /// What may be lost; `None` if that does not matter.
    lost: Option<Arc<DamagedParts>>,
    doubts: &'a Doubts,
}

impl<T> Page<'_, T> {
    /// Reads until a limit or the end; whether it was the end.
    fn fill<I: DatabaseIterator>(
        &mut self,
        iterator: &mut I,
        within: &Part,
        limits: WalkLimits,
    ) -> Result<bool, DatabaseError>
    where
        T: Told<I>,
    {
        let (mut keys, mut bytes) = (0, 0);
        // Of the last key that was looked at.
        let mut prefix = Vec::new();
        for (begin, end) in Space::VERSIONS {
            let (begin, end) = (begin.max(&within.from), end.min(&within.to));
            if begin >= end {
                continue;
            }
            iterator.seek(begin)?;
            while let Some(data_key) = iterator.key().filter(|data_key| &data_key[..] < end) {
                if key::prefix_of(data_key) == prefix {
                    iterator.next()?;
                    continue;
                }
                if keys >= limits.keys {
                    return Ok(false);
                }
                keys += 1;
                prefix.clear();
                prefix.extend_from_slice(key::prefix_of(data_key));
                let version = version_in(data_key)?;
                let user_key = match key::plain_user_key(data_key) {
                    Some(user_key) => user_key,
                    None => recorded_key(iterator, &prefix)?,
                };
                let is_whole = self.is_whole(&user_key, &prefix, data_key);
                let size = T::size(iterator, &user_key);
                if is_whole && bytes > 0 && bytes + size > limits.bytes {
                    return Ok(false);
                }
                match if is_whole { T::read(iterator, version) } else { Err(damaged()) } {
                    Ok(told) => {
                        bytes += size;
                        self.entries.push((user_key.clone(), told));
                    }
                    Err(DatabaseError::Unreadable { .. }) => self.abstain(&user_key),
                    Err(why) => return Err(why),
                }
                self.last = Some(user_key);
                iterator.next()?;
            }
        }
        Ok(true)
    }

    /// Whether neither a newer version of a key nor its record may be lost.
    fn is_whole(&self, user_key: &[u8], prefix: &[u8], data_key: &[u8]) -> bool {
        self.lost.as_ref().is_none_or(|lost| {
            lost.check_between(Bound::Included(prefix), Bound::Included(data_key)).is_ok()
                && self.doubts.check(user_key).is_ok()
        })
    }

    /// Nothing is told of the next key.
    fn abstain(&mut self, key: &Bytes) {
        match self.abstains.last_mut() {
            Some(range) if self.last.is_some() && range.up_to == self.last => range.up_to = Some(key.clone()),
            _ => self.abstains.push(KeyRange { after: self.last.clone(), up_to: Some(key.clone()) }),
        }
    }
}

fn damaged() -> DatabaseError {
    DatabaseError::Unreadable { why: "a part of it may be lost".into(), behind: None }
}
