//! The multi-version store: many versions of a key over a map that holds one value per key.
//!
//! A versioned write is a blind put: the data key contains the version, so writes of different versions do not meet,
//! and the same write twice is the same bytes. A read is a snapshot and one seek: the newest version comes first.
//! No lock of the store's own is held while the database works.

mod cache;
mod puts;
mod walk;

pub use puts::Puts;
pub use walk::Walked;

use crate::damage::{Part, seek_readable};
use crate::database::{Database, DatabaseError, DatabaseIterator, HEAD_BYTES, Snapshot, WriteBatch};
use crate::encoding::{key, record};
use abd::{Content, Fit, Glimpse, Newest, StampedValue, Version, WriteGroup};
use bytes::Bytes;
use cache::{NewestCache, NewestFound};
use puts::Put;
use std::hash::{BuildHasher, RandomState};

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
}

impl<D: Database> MultiVersionStore<D> {
    /// Over a database, with a cache of newest versions of at most `cache_bytes`.
    pub fn new(database: D, cache_bytes: usize) -> Self {
        Self::with_seed(database, cache_bytes, RandomState::new().hash_one(0))
    }

    /// The same without chance: which keys share a part of the cache, and so what is evicted when, follows from
    /// `seed`. For runs that must repeat.
    pub fn with_seed(database: D, cache_bytes: usize, seed: u64) -> Self {
        let cache = NewestCache::new(cache_bytes, seed);
        Self { database, cache }
    }

    /// The database below.
    pub fn database(&self) -> &D {
        &self.database
    }

    /// How many keys there are, about: what the engine can tell at once ([`Database::keys_estimate`]).
    pub fn keys_estimate(&self) -> u64 {
        self.database.keys_estimate()
    }

    /// The newest version of a key, as of a moment after this call began. What it reports is durable.
    pub fn newest(&self, user_key: &[u8]) -> Result<Newest, DatabaseError> {
        let Glimpse { version, content, durable, .. } = self.newest_above(user_key, Version::MIN)?;
        // A key that was never written has no content that could be above that.
        let content = content.unwrap_or(Content::Tombstone);
        Ok(Newest { stamped: StampedValue { version, content }, durable })
    }

    /// The same, with the content only if the version is above `have`. Else a large one is not looked at.
    pub fn newest_above(&self, user_key: &[u8], have: Version) -> Result<Glimpse, DatabaseError> {
        let mut ticket = match self.cache.get(user_key, have) {
            Ok(told) => return Ok(told),
            Err(ticket) => ticket,
        };
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
        self.cache.get(user_key, have).ok()
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
            return Ok(NewestFound { version, present: is_present(&iterator)?, content: None });
        }
        let Some(record) = iterator.value()? else {
            return Err(DatabaseError::Damaged(format!(
                "version {version} is the newest of a key and is gone"
            )));
        };
        let (recorded_key, content) = record::decode(record)?;
        if recorded_key.is_some_and(|recorded| recorded != user_key) {
            return Err(DatabaseError::Damaged("two keys share one hash".into()));
        }
        Ok(StampedValue { version, content }.into())
    }

    /// Up to `at_most` keys with their newest versions, and whether each of these is a value and not a tombstone, in the order of
    /// the store, which is the same in every replica: plain keys by their bytes, then very long ones by their hashes. No
    /// content is looked at. Keys of which a version may have been lost are left out (rule S3). A page is of one moment; it
    /// begins with `from` if that key is there, so the next page is the one from the last key of this one, without that key.
    pub fn scan_versions(
        &self,
        from: &[u8],
        at_most: usize,
    ) -> Result<Vec<(Bytes, Version, bool)>, DatabaseError> {
        let mut iterator = self.database.snapshot()?.iterator();
        seek_readable(&mut iterator, key::prefix(from))?;
        let mut found = Vec::new();
        while let Some(data_key) = iterator.key().filter(|data_key| &data_key[..] < key::END) {
            if found.len() >= at_most {
                break;
            }
            let prefix = key::prefix_of(data_key).to_vec();
            let version = version_in(data_key)?;
            let user_key = match key::user_key(&prefix) {
                Some(user_key) => user_key,
                None => recorded_key(&iterator, &prefix)?,
            };
            found.push((user_key, version, is_present(&iterator)?));
            while iterator.key().is_some_and(|data_key| key::prefix_of(data_key) == prefix) {
                match iterator.next() {
                    Err(DatabaseError::Unreadable { .. }) => {
                        seek_readable(&mut iterator, Part::of_prefix(&prefix).to)?;
                    }
                    moved => moved?,
                }
            }
        }
        Ok(found)
    }

    /// [`MultiVersionStore::commit_puts`] of versions that are not encoded yet.
    ///
    /// # Errors
    /// As [`Database::write`]. Then nothing may be acknowledged.
    pub fn commit(&self, versions: &[(Bytes, StampedValue)]) -> Result<(), DatabaseError> {
        let mut puts = Puts::default();
        versions.iter().for_each(|(user_key, stamped)| puts.push(user_key, stamped));
        self.commit_puts(&puts)
    }

    /// Makes a group of versions durable, or those of it that a full disk has room for.
    ///
    /// # Errors
    /// As [`Database::write`], but that the disk is full. Then nothing may be acknowledged.
    pub fn commit_what_fits(&self, puts: &Puts) -> Result<Fit, DatabaseError> {
        let no_room = match self.commit_puts(puts) {
            Ok(()) => return Ok(Fit::All),
            Err(DatabaseError::Full(why)) => why,
            Err(why) => return Err(why),
        };
        let tombstones = puts.tombstones();
        // If there are no others, there was no room for them.
        if tombstones.is_empty() || tombstones.len() == puts.len() {
            return Ok(Fit::Nothing(no_room));
        }
        match self.commit_puts(&tombstones) {
            Ok(()) => Ok(Fit::Tombstones(no_room)),
            Err(DatabaseError::Full(why)) => Ok(Fit::Nothing(why)),
            Err(why) => Err(why),
        }
    }

    /// Makes a group of versions durable in one batch. Tombstones alone may have a part of the room that a full disk keeps
    /// free.
    ///
    /// Of several versions of one key only the newest is written: a replica that holds a newer version holds the
    /// older one as far as anybody can tell (rule S1). Nobody looks before the write whether there is a newer one already. A
    /// late older version is harmless: the version is a part of the data key, so it is an entry of its own, behind the newer
    /// one wherever either of them is, and [`MultiVersionStore::newest`] goes to the first. It is garbage like any other
    /// (rule G1).
    ///
    /// # Errors
    /// As [`Database::write`]. Then nothing may be acknowledged.
    pub fn commit_puts(&self, puts: &Puts) -> Result<(), DatabaseError> {
        let puts: Vec<Put> = puts.iter().collect();
        let mut puts: Vec<&Put> = puts.iter().collect();
        // By key, the newest first; of equal versions the one that came first.
        puts.sort_by(|a, b| a.data_key.cmp(&b.data_key));
        let mut batch = WriteBatch { changes: Vec::with_capacity(puts.len()), makes_room: true };
        let mut written = Vec::with_capacity(puts.len());
        let mut previous: Option<&Put> = None;
        for put in puts {
            let newer = previous.replace(put).filter(|newer| newer.prefix() == put.prefix());
            if let Some(newer) = newer {
                check_v1(&put.user_key, &newer.stamped, &put.stamped);
                continue;
            }
            // "Never written" is what a store without the key says anyway.
            if put.stamped.version == Version::MIN {
                continue;
            }
            batch.put(put.data_key.clone(), put.record.clone());
            batch.makes_room &= !put.stamped.content.is_value();
            written.push(put);
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.database.write(batch)?;
        // Only now: what the cache says is durable.
        for put in written {
            let held = self.cache.publish_commit(&put.user_key, put.stamped.clone());
            if held == Some(put.stamped.version) {
                self.check_held(put);
            }
        }
        Ok(())
    }

    /// Rule V1, where the cache holds the version of a put.
    fn check_held(&self, put: &Put) {
        if let Ok(Glimpse { version, content: Some(content), .. }) =
            self.cache.get(&put.user_key, Version::MIN)
        {
            check_v1(&put.user_key, &StampedValue { version, content }, &put.stamped);
        }
    }
}

/// Rule V1: one version names one content. Two contents are a bug in the protocol or in a peer; one of them stays.
/// Only tests end here, as what a peer sends may not end a node.
fn check_v1(user_key: &[u8], held: &StampedValue, put: &StampedValue) {
    if held.version == put.version && held.content != put.content {
        log::error!("two contents for key {user_key:02x?} at version {}: one is lost", put.version);
        debug_assert!(false, "two contents under version {} (rule V1)", put.version);
    }
}

/// Whether the record at a position is a value and not a tombstone.
fn is_present(iterator: &impl DatabaseIterator) -> Result<bool, DatabaseError> {
    record::is_value(&iterator.head(HEAD_BYTES)?.unwrap_or_default())
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
