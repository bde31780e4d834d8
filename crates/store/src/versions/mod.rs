//! The multi-version store: many versions of a key over a map that holds one value per key; and what a replica keeps beside them to
//! take part in consensus on updates.
//!
//! A versioned write is a blind put: the data key contains the version, so writes of different versions do not meet,
//! and the same write twice is the same bytes. A read is a snapshot and one seek: the newest version comes first.
//! No lock of the store's own that a reader takes is held while the database works.

mod acceptances;
mod cache;
mod changes;
mod commit;
mod contents;
mod deadlines;
mod doubts;
mod list;
mod lost;
mod near;
mod own;
mod puts;
mod ranges;
mod walk;

pub use contents::{Told, Trust, WalkLimits, WalkedPage};
pub use deadlines::Due;
pub use list::{ListLimits, ListedKey, Listing, order};
pub use puts::Puts;
pub use ranges::KeyRange;
pub use walk::Walked;

use crate::damage::{DamagedParts, Part, seek_readable};
use crate::database::{Database, DatabaseError, DatabaseIterator, HEAD_BYTES, Snapshot};
use crate::encoding::space::Space;
use crate::encoding::{key, record};
use abd::{Glimpse, Newest, RESERVED, Version, is_reserved};
use bytes::Bytes;
use cache::{NewestCache, NewestFound, Ticket};
use deadlines::SoonestDeadline;
use doubts::Doubts;
use own::Own;
use std::hash::{BuildHasher, RandomState};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The budget of the cache of newest versions that fits most nodes.
pub const CACHE_BYTES: usize = 384 << 20;

/// How often a reader looks again because its snapshot may be old, before it settles for not caching.
const READ_ATTEMPTS: usize = 3;
/// Records up to this size lie beside their keys in any engine: whoever finds one of them may as well remember its content.
const AT_HAND: usize = 1 << 10;

/// Versions by key over any [`Database`].
pub struct MultiVersionStore<D> {
    database: D,
    cache: NewestCache,
    own: Own,
    doubts: Doubts,
    /// The soonest deadline among the values that were committed since somebody forgot it.
    soonest: SoonestDeadline,
    /// Whether there is a key of the cluster's own: there is one at the most.
    has_reserved: AtomicBool,
}

impl<D: Database> MultiVersionStore<D> {
    /// Over a database, with a cache of newest versions of at most `cache_bytes`.
    ///
    /// # Errors
    /// When the database cannot be read. What of it is damaged is no error, but an answer less (rule S3).
    pub fn new(database: D, cache_bytes: usize) -> Result<Self, DatabaseError> {
        Self::with_seed(database, cache_bytes, RandomState::new().hash_one(0))
    }

    /// The same without chance: which keys share a part of the cache, and so what is evicted when, follows from
    /// `seed`. For runs that must repeat.
    ///
    /// # Errors
    /// When the database cannot be read. What of it is damaged is no error, but an answer less (rule S3).
    pub fn with_seed(database: D, cache_bytes: usize, seed: u64) -> Result<Self, DatabaseError> {
        let cache = NewestCache::new(cache_bytes, seed);
        let doubts = Doubts::default();
        let own = Own::read(&database, &doubts)?;
        let (soonest, has_reserved) = (SoonestDeadline::default(), AtomicBool::default());
        let store = Self { database, cache, own, doubts, soonest, has_reserved };
        // Where that is damaged a count about which nobody is sure is one too high.
        let first = store.scan(RESERVED, 1).unwrap_or_default();
        if first.iter().any(|found| is_reserved(&found.key)) {
            store.has_reserved.store(true, Ordering::Relaxed);
        }
        Ok(store)
    }

    /// The database below.
    pub fn database(&self) -> &D {
        &self.database
    }

    /// How many keys of clients there are, about: what the engine can tell at once ([`Database::keys_estimate`]).
    pub fn keys_estimate(&self) -> u64 {
        self.database.keys_estimate().saturating_sub(u64::from(self.has_reserved.load(Ordering::Relaxed)))
    }

    /// The newest version of a key, as of a moment after this call began. What it reports is durable.
    ///
    /// # Errors
    /// As those of [`Database`]: [`DatabaseError::Unreadable`] also where the accepted record of the key may have been lost, until a
    /// version is written that is newer than the one that is there (rule S3).
    pub fn newest(&self, user_key: &[u8]) -> Result<Newest, DatabaseError> {
        self.newest_above(user_key, Version::MIN).map(Newest::of)
    }

    /// The same, with the content only if the version is above `have`. Else a large one is not looked at.
    ///
    /// # Errors
    /// As [`MultiVersionStore::newest`].
    pub fn newest_above(&self, user_key: &[u8], have: Version) -> Result<Glimpse, DatabaseError> {
        let remembered = self.remembered(user_key, have);
        if let Ok(told) = remembered {
            return Ok(told);
        }
        self.doubts.check(user_key)?;
        let Err(Some(mut ticket)) = remembered else { return Ok(self.seek(user_key, have)?.told(have)) };
        let mut found = NewestFound::NEVER;
        for _ in 0..READ_ATTEMPTS {
            found = self.seek(user_key, have)?;
            match self.cache.publish_read(user_key, &found, have, ticket) {
                Ok(told) => return Ok(told),
                Err(newer) => ticket = newer,
            }
        }
        Ok(self.cache.tell_unpublished(user_key, found, have))
    }

    /// The same, if it is known without a look at the database, which may have to wait for the disk.
    pub fn remembered_above(&self, user_key: &[u8], have: Version) -> Option<Glimpse> {
        self.remembered(user_key, have).ok()
    }

    /// The same; or what is needed to remember what the database says, if that may be remembered. What the disk has lost is not: whoever
    /// brings it back must not be told that it is here (rule S3).
    fn remembered(&self, user_key: &[u8], have: Version) -> Result<Glimpse, Option<Ticket>> {
        // Before the cache is asked: that is emptied before anything that was lost is forgotten.
        let lost = self.database.has_lost().then(|| self.database.lost());
        let told = self.cache.get(user_key, have).map_err(Some)?;
        let is_lost = |lost: Arc<DamagedParts>| {
            let (first, newest) = (key::prefix(user_key), key::encode(user_key, told.version));
            lost.check_between(Bound::Included(&first), Bound::Included(&newest)).is_err()
        };
        if lost.is_some_and(is_lost) { Err(None) } else { Ok(told) }
    }

    /// What a new snapshot has of a key; a content that is neither small nor above `have` is left where it is.
    fn seek(&self, user_key: &[u8], have: Version) -> Result<NewestFound, DatabaseError> {
        let prefix = key::prefix(user_key);
        let mut iterator = self.database.snapshot()?.iterator();
        iterator.seek(&prefix)?;
        let Some(data_key) = iterator.key().filter(|data_key| key::prefix_of(data_key) == prefix) else {
            return Ok(NewestFound::NEVER);
        };
        let version = version_in(data_key)?;
        if version <= have && iterator.value_length().is_some_and(|length| length > AT_HAND) {
            return Ok(NewestFound::of_head(version, head(&iterator)?));
        }
        let Some(record) = iterator.value()? else {
            return Err(DatabaseError::Damaged(format!(
                "version {version} is the newest of a key and is gone"
            )));
        };
        let (recorded_key, stamped) = record::decode(&record, version)?;
        if recorded_key.is_some_and(|recorded| recorded != user_key) {
            return Err(DatabaseError::Damaged("two keys share one hash".into()));
        }
        Ok(stamped.into())
    }

    /// Up to `at_most` keys with their newest versions, and whether each of these is a value and not a tombstone, in the order of
    /// the store, which is the same in every replica: plain keys by their bytes, then very long ones by their hashes. No
    /// content is looked at. Keys of which a version may have been lost are left out (rule S3). A page is of one moment; it
    /// begins with `from` if that key is there, so the next page is the one from the last key of this one, without that key.
    pub fn scan_versions(&self, from: &[u8], at_most: usize) -> Result<Vec<Listed>, DatabaseError> {
        let scanned = self.scan(from, at_most)?;
        Ok(scanned.into_iter().map(|entry| (entry.key, entry.version, entry.head.present)).collect())
    }

    fn scan(&self, from: &[u8], at_most: usize) -> Result<Vec<Scanned>, DatabaseError> {
        let mut iterator = self.database.snapshot()?.iterator();
        let from = key::prefix(from);
        let mut found = Vec::new();
        for (begin, end) in Space::VERSIONS {
            if &from[..] < end && found.len() < at_most {
                seek_readable(&mut iterator, from.clone().max(begin.to_vec()))?;
                list_newest(&mut iterator, end, at_most, &mut found)?;
            }
        }
        Ok(found)
    }
}

/// A key, its newest version, and whether that is a value and not a tombstone.
type Listed = (Bytes, Version, bool);

/// A key and what is known of its newest version without its content.
struct Scanned {
    key: Bytes,
    version: Version,
    head: record::Head,
    /// Bytes of its record.
    length: usize,
}

/// Goes on from a position in one range of versions to its end.
fn list_newest(
    iterator: &mut impl DatabaseIterator,
    end: &[u8],
    at_most: usize,
    found: &mut Vec<Scanned>,
) -> Result<(), DatabaseError> {
    while let Some(data_key) = iterator.key().filter(|data_key| &data_key[..] < end) {
        if found.len() >= at_most {
            break;
        }
        let prefix = key::prefix_of(data_key).to_vec();
        let version = version_in(data_key)?;
        let key = match key::user_key(&prefix) {
            Some(user_key) => user_key,
            None => recorded_key(iterator, &prefix)?,
        };
        let length = iterator.value_length().unwrap_or(0);
        found.push(Scanned { key, version, head: head(iterator)?, length });
        while iterator.key().is_some_and(|data_key| key::prefix_of(data_key) == prefix) {
            match iterator.next() {
                Err(DatabaseError::Unreadable { .. }) => {
                    seek_readable(iterator, Part::of_prefix(&prefix).to)?;
                }
                moved => moved?,
            }
        }
    }
    Ok(())
}

/// What the record at a position says of its value.
fn head(iterator: &impl DatabaseIterator) -> Result<record::Head, DatabaseError> {
    record::head(&iterator.head(HEAD_BYTES)?.unwrap_or_default())
}

/// The user key in the record at a position whose data key has its hash, without the content.
fn recorded_key(iterator: &impl DatabaseIterator, prefix: &[u8]) -> Result<Bytes, DatabaseError> {
    let head = |length| iterator.head(length).map(Option::unwrap_or_default);
    let length = record::key_length(&head(record::HEADER)?)?;
    let mut header = head(record::HEADER + length)?;
    let user_key = header.split_off(record::HEADER.min(header.len()));
    // The hash shows that it is not damaged.
    if key::prefix(&user_key) != prefix {
        return Err(DatabaseError::Damaged("the key in a record is not the one of its hash".into()));
    }
    Ok(user_key)
}

fn version_in(data_key: &[u8]) -> Result<Version, DatabaseError> {
    key::version_of(data_key)
        .ok_or_else(|| DatabaseError::Damaged(format!("{data_key:02x?} is not a data key of this release")))
}
