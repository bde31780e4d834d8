//! A bounded look at a range of keys that tells which of them are there: what scanning a cluster needs.
//!
//! Unlike a walk, which leaves out what it cannot tell, it fails where something may have been lost: a majority counts on each of
//! its members to have told everything that it has.

use super::{MultiVersionStore, head, recorded_key, version_in};
use crate::damage::Part;
use crate::database::{Database, DatabaseError, DatabaseIterator, Snapshot};
use crate::encoding::key;
use crate::encoding::space::Space;
use abd::{Deadline, Version};
use bytes::Bytes;
use std::cmp::Ordering;

/// Keys read from one snapshot. A snapshot keeps memtables and tables for as long as it lives.
const STEP: usize = 256;

/// What looking at a key costs beside its bytes, in bytes: its version, and the rest of its record.
const ENTRY_BYTES: usize = 64;

/// A key as a list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKey {
    /// The key.
    pub key: Bytes,
    /// Its newest version.
    pub version: Version,
    /// Whether that is a value and not a tombstone.
    pub present: bool,
    /// When the value expires.
    pub deadline: Deadline,
}

/// The first keys of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Those that are wanted, in the order of the store.
    pub entries: Vec<ListedKey>,
    /// Up to which key everything is told; `None`: there is nothing behind.
    pub told_up_to: Option<Bytes>,
}

/// Where a list ends before its range does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListLimits {
    /// So many wanted keys that are present.
    pub present: usize,
    /// So many bytes of keys that were looked at, each with its versions.
    pub looked_at: usize,
    /// So many bytes of wanted keys; one more than fits may be listed.
    pub bytes: usize,
}

/// The order of keys in the store, which is the same in every replica: plain keys by their bytes, then very long ones by their hashes.
pub fn order(one: &[u8], other: &[u8]) -> Ordering {
    if key::is_plain(one) && key::is_plain(other) {
        return one.cmp(other);
    }
    key::prefix(one).cmp(&key::prefix(other))
}

impl<D: Database> MultiVersionStore<D> {
    /// The first keys behind `after` (of all, if `None`) that begin with `beginning` and are `wanted`.
    ///
    /// # Errors
    /// As those of [`Database`]: [`DatabaseError::Unreadable`] if a newest version in the range may have been lost.
    pub fn list(
        &self,
        after: Option<&[u8]>,
        beginning: &[u8],
        limits: ListLimits,
        mut wanted: impl FnMut(&[u8]) -> bool,
    ) -> Result<Listing, DatabaseError> {
        let mut listing = Listing::default();
        let (mut last, mut looked_at, mut present, mut bytes) = (after.map(Bytes::copy_from_slice), 0, 0, 0);
        loop {
            let step = self.list_step(last.as_deref(), beginning)?;
            let is_last = step.len() < STEP;
            for entry in step {
                if present >= limits.present || looked_at >= limits.looked_at || bytes >= limits.bytes {
                    listing.told_up_to = last;
                    return Ok(listing);
                }
                looked_at += entry.key.len() + ENTRY_BYTES;
                last = Some(entry.key.clone());
                if entry.key.starts_with(beginning) && wanted(&entry.key) {
                    present += usize::from(entry.present);
                    bytes += entry.key.len() + Version::LEN;
                    listing.entries.push(entry);
                }
            }
            if is_last {
                return Ok(listing);
            }
        }
    }

    /// Up to [`STEP`] keys from one snapshot.
    fn list_step(&self, after: Option<&[u8]>, beginning: &[u8]) -> Result<Vec<ListedKey>, DatabaseError> {
        let behind = after.map(|key| Part::of_prefix(&key::prefix(key)).to);
        let mut iterator = self.database.snapshot()?.iterator();
        let mut found = Vec::new();
        for (begin, end) in Space::VERSIONS {
            // Long keys lie by their hashes, whatever they begin with.
            let is_hashed = begin == Space::VERSIONS[1].0;
            let part = Part::of_prefix(&if is_hashed { begin.to_vec() } else { key::beginning(beginning) });
            let from = behind.clone().map_or(part.from.clone(), |behind| behind.max(part.from));
            if &from[..] < end && from < part.to && found.len() < STEP {
                iterator.seek(&from)?;
                list_from(&mut iterator, &part.to, &mut found)?;
            }
        }
        Ok(found)
    }
}

/// Goes on from a position up to a data key, or until there are enough.
fn list_from(
    iterator: &mut impl DatabaseIterator,
    to: &[u8],
    found: &mut Vec<ListedKey>,
) -> Result<(), DatabaseError> {
    while let Some(data_key) = iterator.key().filter(|data_key| &data_key[..] < to) {
        if found.len() >= STEP {
            break;
        }
        let prefix = key::prefix_of(data_key).to_vec();
        let version = version_in(data_key)?;
        let user_key = match key::user_key(&prefix) {
            Some(user_key) => user_key,
            None => recorded_key(iterator, &prefix)?,
        };
        let head = head(iterator)?;
        found.push(ListedKey { key: user_key, version, present: head.present, deadline: head.deadline });
        while iterator.key().is_some_and(|data_key| key::prefix_of(data_key) == prefix) {
            match iterator.next() {
                // Older versions may be lost: nobody asks for them. What comes behind may not.
                Err(DatabaseError::Unreadable { .. }) => iterator.seek(&Part::of_prefix(&prefix).to)?,
                moved => moved?,
            }
        }
    }
    Ok(())
}
