//! The multi-version store: many versions of a key over a map that holds one value per key.
//!
//! A versioned write is a blind put: the data key contains the version, so writes of different versions do not meet,
//! and the same write twice is the same bytes. A read is a snapshot and one seek: the newest version comes first.
//! No lock of the store's own is held while the database works.

use crate::cache::{Found, NewestCache};
use crate::damage::{Part, seek_readable};
use crate::database::{Database, DatabaseError, DatabaseIterator, HEAD_BYTES, Snapshot, WriteBatch};
use crate::garbage::Garbage;
use crate::key;
use crate::puts::{Put, Puts};
use crate::record;
use abd::{Content, Glimpse, Newest, StampedValue, Version};
use bytes::Bytes;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The budget of the cache of newest versions that fits most nodes.
pub const CACHE_BYTES: usize = 384 << 20;

/// How often a reader looks again because its snapshot may be old, before it settles for not caching.
const READ_ATTEMPTS: usize = 3;
/// Records up to this size lie beside their keys in any engine: whoever finds one of them may as well remember its content.
const AT_HAND: usize = 1 << 10;
/// Deletes in one batch of the collector, about.
const DELETES_MAX: usize = 16_384;

/// Versions by key over any [`Database`].
pub struct MultiVersionStore<D> {
    database: D,
    cache: NewestCache,
    garbage: Mutex<Garbage>,
}

/// What of a group of versions has become durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// All of it.
    All,
    /// The tombstones; why the values did not fit.
    Tombstones(String),
    /// Nothing; why.
    Nothing(String),
}

impl Fit {
    /// Whether the tombstones of the group have become durable, or its values.
    pub fn has(&self, tombstones: bool) -> bool {
        match self {
            Self::All => true,
            Self::Tombstones(_) => tombstones,
            Self::Nothing(_) => false,
        }
    }
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
        Self { database, cache, garbage: Mutex::new(Garbage::new()) }
    }

    /// The database below.
    pub fn database(&self) -> &D {
        &self.database
    }

    /// Keys that hold a value: a report, not a promise. It is exact when a sweep has ended and since then no version was put
    /// twice, no key was put that nobody has read before, and none was read for the first time while it was committed.
    pub fn live_keys(&self) -> u64 {
        self.garbage().live()
    }

    fn garbage(&self) -> MutexGuard<'_, Garbage> {
        self.garbage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest version of a key, as of a moment after this call began. What it reports is durable.
    ///
    /// # Errors
    /// When the data cannot be read or is damaged.
    pub fn newest(&self, user_key: &[u8]) -> Result<Newest, DatabaseError> {
        let Glimpse { version, content, durable, .. } = self.newest_above(user_key, Version::MIN)?;
        // A key that was never written has no content that could be above that.
        let content = content.unwrap_or(Content::Tombstone);
        Ok(Newest { stamped: StampedValue { version, content }, durable })
    }

    /// The same, with the content only if the version is above `have`. Else a large one is not looked at.
    ///
    /// # Errors
    /// As [`MultiVersionStore::newest`].
    pub fn newest_above(&self, user_key: &[u8], have: Version) -> Result<Glimpse, DatabaseError> {
        let mut ticket = match self.cache.get(user_key, have) {
            Ok(told) => return Ok(told),
            Err(ticket) => ticket,
        };
        let mut found = Found::NEVER;
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
    fn seek(&self, user_key: &[u8], have: Version) -> Result<Found, DatabaseError> {
        let prefix = key::prefix(user_key);
        let mut iterator = self.database.snapshot()?.iterator();
        iterator.seek(&prefix)?;
        let Some(data_key) = iterator.key().filter(|data_key| key::prefix_of(data_key) == prefix) else {
            return Ok(Found::NEVER);
        };
        let version = version_in(data_key)?;
        if version <= have && iterator.value_length().is_some_and(|length| length > AT_HAND) {
            return Ok(Found { version, present: is_present(&iterator)?, content: None });
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
    /// content is looked at. Keys of which a version may have been lost are left out (rule S3). A page is of one moment; it begins with `from` if that key is there, so the next page is the one
    /// from the last key of this one, without its first entry.
    ///
    /// # Errors
    /// When the data cannot be read or is damaged.
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
    /// older one as far as anybody can tell (rule S1). Where the database does not drop dominated versions itself, the
    /// version that a put dominates is deleted in the very batch that makes its successor durable (rule G1): no crash can
    /// leave the one without the other; and a version below the cached newest is not written at all. Where it does,
    /// nobody looks before the write: a late older version is garbage like any other.
    ///
    /// # Errors
    /// As [`Database::write`]. Then nothing may be acknowledged.
    pub fn commit_puts(&self, puts: &Puts) -> Result<(), DatabaseError> {
        let puts: Vec<Put> = puts.iter().collect();
        let mut puts: Vec<&Put> = puts.iter().collect();
        // By key, the newest first; of equal versions the one that came first.
        puts.sort_by(|a, b| a.data_key.cmp(&b.data_key));
        let deletes = !self.database.drops_dominated();
        let mut batch = WriteBatch { changes: Vec::with_capacity(puts.len()), makes_room: true };
        let mut written = Vec::with_capacity(puts.len());
        let mut previous: Option<&Put> = None;
        for put in puts {
            let newer = previous.replace(put).filter(|newer| newer.prefix() == put.prefix());
            if let Some(newer) = newer {
                check_v1(&put.user_key, &newer.stamped, &put.stamped);
                continue;
            }
            let version = put.stamped.version;
            // "Never written" is what a store without the key says anyway.
            if version == Version::MIN {
                continue;
            }
            let held = if deletes { self.cache.peek(&put.user_key) } else { None };
            if let Some((held, _)) = held {
                if held >= version {
                    self.check_held(put, held);
                    continue;
                }
                if held > Version::MIN {
                    batch.delete(key::with_version(put.prefix().to_vec(), held));
                }
            }
            batch.put(put.data_key.clone(), put.record.clone());
            batch.makes_room &= !put.stamped.content.is_value();
            written.push((put, held));
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.database.write(batch)?;
        // Only now: what the cache says is durable.
        let mut garbage = self.garbage();
        for (put, held) in written {
            let replaced = self.cache.publish_commit(&put.user_key, put.stamped.clone());
            let live = match if deletes { held } else { replaced } {
                // It came late.
                Some((newer, _)) if newer >= put.stamped.version => {
                    self.check_held(put, newer);
                    0
                }
                older => {
                    let was_live = older.is_some_and(|(_, present)| present);
                    i64::from(put.stamped.content.is_value()) - i64::from(was_live)
                }
            };
            if live != 0 {
                garbage.count(put.prefix(), live);
            }
            // A blind put, or somebody else wrote the key between our look and our batch.
            if deletes && (held.is_none() || replaced != held) {
                garbage.suspect(put.prefix().to_vec());
            }
        }
        Ok(())
    }

    /// Rule V1, if the version that the cache holds is that of a put.
    fn check_held(&self, put: &Put, held: Version) {
        if held == put.stamped.version
            && let Ok(Glimpse { version, content: Some(content), .. }) =
                self.cache.get(&put.user_key, Version::MIN)
        {
            check_v1(&put.user_key, &StampedValue { version, content }, &put.stamped);
        }
    }

    /// Deletes dominated versions of up to `budget` keys, where the database does not drop them itself, and counts the
    /// live ones; returns how many keys it looked at, zero when it is done.
    ///
    /// Rule G1 holds because a snapshot shows only what is durable: the newest version in it is a durable, greater
    /// version in the same store. Readers keep their snapshots. A late, older put after this is garbage again, and
    /// is found again.
    ///
    /// # Errors
    /// As [`Database::write`].
    pub fn collect_garbage(&self, budget: usize) -> Result<usize, DatabaseError> {
        let collected = self.collect(budget);
        if collected.is_err() {
            // What was taken from the queue is forgotten, but not for ever.
            self.garbage().request_sweep();
        }
        collected
    }

    /// Has the collector look at everything once more; [`MultiVersionStore::live_keys`] is counted afresh.
    pub fn request_sweep(&self) {
        self.garbage().request_sweep();
    }

    fn collect(&self, budget: usize) -> Result<usize, DatabaseError> {
        let (queued, sweep) = {
            let mut garbage = self.garbage();
            let mut queued = garbage.take(budget);
            // A key that was suspected twice would be counted twice.
            queued.sort_unstable();
            queued.dedup();
            let sweep = if queued.len() < budget { garbage.sweep_from(key::FIRST) } else { None };
            (queued, sweep)
        };
        if queued.is_empty() && sweep.is_none() {
            return Ok(0);
        }
        let deletes = !self.database.drops_dominated();
        let mut looked_at = queued.len();
        let mut dominated = Dominated::default();
        let mut swept = None;
        {
            // In a block: a snapshot keeps memtables and tables for as long as it lives.
            let mut iterator = self.database.snapshot()?.iterator();
            for prefix in &queued {
                // What the sweep has yet to reach it will find, and must not be counted twice.
                if sweep.as_ref().is_none_or(|from| prefix < from) {
                    let sought = iterator.seek(prefix);
                    // What is damaged is left as it is.
                    match sought.and_then(|()| dominated.take_key(&mut iterator, prefix, deletes)) {
                        Ok(_) | Err(DatabaseError::Unreadable { .. }) => {}
                        Err(why) => return Err(why),
                    }
                }
            }
            if let Some(from) = sweep {
                seek_readable(&mut iterator, from)?;
                let (mut next, mut counted) = (None, 0);
                while let Some(data_key) = iterator.key().filter(|data_key| &data_key[..] < key::END) {
                    version_in(data_key)?;
                    let prefix = key::prefix_of(data_key).to_vec();
                    if looked_at >= budget || dominated.batch.changes.len() >= DELETES_MAX {
                        next = Some(prefix);
                        break;
                    }
                    match dominated.take_key(&mut iterator, &prefix, deletes) {
                        Err(DatabaseError::Unreadable { .. }) => {
                            seek_readable(&mut iterator, Part::of_prefix(&prefix).to)?;
                        }
                        taken => counted += i64::from(taken?),
                    }
                    looked_at += 1;
                }
                swept = Some((next, counted));
            }
        }
        if !dominated.batch.is_empty() {
            self.database.write(dominated.batch)?;
        }
        let mut garbage = self.garbage();
        // Before the sweep moves on: what it passed in this round, it counted without the dominated versions.
        for (prefix, values) in dominated.values {
            garbage.count(&prefix, -values);
        }
        if let Some((next, counted)) = swept {
            garbage.advance(next, counted);
        }
        Ok(looked_at.max(1))
    }
}

/// Rule V1: one version names one content. Two contents are a bug in the protocol or in a peer; one of them stays.
fn check_v1(user_key: &[u8], held: &StampedValue, put: &StampedValue) {
    if held.version == put.version && held.content != put.content {
        log::error!("two contents for key {user_key:02x?} at version {}: one is lost", put.version);
        debug_assert!(false, "two contents under version {} (rule V1)", put.version);
    }
}

/// What the collector is about to delete.
#[derive(Default)]
struct Dominated {
    batch: WriteBatch,
    /// By prefix, how many of the deleted versions are values.
    values: Vec<(Vec<u8>, i64)>,
}

impl Dominated {
    /// Walks over all versions of the key that the iterator stands on, and marks all but the newest if they are to be
    /// deleted here; returns whether the newest is a value.
    fn take_key(
        &mut self,
        iterator: &mut impl DatabaseIterator,
        prefix: &[u8],
        deletes: bool,
    ) -> Result<bool, DatabaseError> {
        let mut newest = None;
        let mut values = 0;
        while let Some(data_key) = iterator.key().filter(|data_key| key::prefix_of(data_key) == prefix) {
            let is_value = is_present(iterator)?;
            match newest {
                None => newest = Some(is_value),
                Some(_) if !deletes => {}
                Some(_) => {
                    self.batch.delete(data_key.clone());
                    values += i64::from(is_value);
                }
            }
            iterator.next()?;
        }
        if values > 0 {
            self.values.push((prefix.to_vec(), values));
        }
        Ok(newest.unwrap_or(false))
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
