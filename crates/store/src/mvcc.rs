//! The multi-version store: many versions of a key over a map that holds one value per key.
//!
//! A versioned write is a blind put: the data key contains the version, so writes of different versions do not meet,
//! and the same write twice is the same bytes. A read is a snapshot and one seek: the newest version comes first.
//! Neither takes a lock of the store's own.

use crate::cache::NewestCache;
use crate::database::{Database, DatabaseError, DatabaseIterator, Snapshot, WriteBatch};
use crate::key;
use crate::record;
use abd::{Newest, StampedValue, Version};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Keys that may wait for the collector; beyond it they are found by a walk over everything.
const QUEUE_MAX: usize = 65_536;

/// Versions by key over any [`Database`].
pub struct MultiVersionStore<D> {
    database: D,
    cache: NewestCache,
    garbage: Mutex<Garbage>,
    live_keys: AtomicI64,
}

/// What the collector has yet to look at.
struct Garbage {
    /// Prefixes of keys that may have dominated versions, with the version whose put made them suspicious.
    queue: VecDeque<(Vec<u8>, Version)>,
    /// The walk over everything; `None` when it is done.
    walk: Option<Walk>,
}

/// A walk over all keys.
#[derive(Clone)]
struct Walk {
    /// The next prefix to look at.
    at: Vec<u8>,
    /// The first walk counts live keys; what lies before it is counted as it changes.
    counting: bool,
}

impl Walk {
    fn from_the_start(counting: bool) -> Self {
        Self { at: key::FIRST.to_vec(), counting }
    }
}

impl Garbage {
    /// Whether changes of this key are to be counted one by one.
    fn is_counted(&self, prefix: &[u8]) -> bool {
        self.walk.as_ref().is_none_or(|walk| !walk.counting || prefix < &walk.at[..])
    }
}

impl<D: Database> MultiVersionStore<D> {
    /// Over a database, with a cache of newest versions of at most `cache_bytes`.
    pub fn new(database: D, cache_bytes: usize) -> Self {
        Self {
            database,
            cache: NewestCache::new(cache_bytes),
            // Whatever a crash left behind is found by a first walk, which also counts the keys.
            garbage: Mutex::new(Garbage { queue: VecDeque::new(), walk: Some(Walk::from_the_start(true)) }),
            live_keys: AtomicI64::new(0),
        }
    }

    /// The database below.
    pub fn database(&self) -> &D {
        &self.database
    }

    /// Keys that hold a value: counted by the first walk after opening, and kept up to date from then on. A report,
    /// not a promise.
    pub fn live_keys(&self) -> u64 {
        u64::try_from(self.live_keys.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// The newest version of a key, as of a moment after this call began. What it reports is durable.
    ///
    /// # Errors
    /// When the data cannot be read or is damaged.
    pub fn newest(&self, user_key: &[u8]) -> Result<Newest, DatabaseError> {
        let ticket = match self.cache.get(user_key) {
            Ok(stamped) => return Ok(Newest { stamped, durable: true }),
            Err(ticket) => ticket,
        };
        let found = self.seek(user_key, None)?.unwrap_or(StampedValue::NEVER);
        let stamped = self.cache.publish_read(user_key, found, &ticket);
        Ok(Newest { stamped, durable: true })
    }

    /// The newest version that is not above `version`, unless it was collected.
    ///
    /// # Errors
    /// When the data cannot be read or is damaged.
    pub fn as_of(&self, user_key: &[u8], version: Version) -> Result<Option<StampedValue>, DatabaseError> {
        self.seek(user_key, Some(version))
    }

    fn seek(&self, user_key: &[u8], at_most: Option<Version>) -> Result<Option<StampedValue>, DatabaseError> {
        let prefix = key::prefix(user_key);
        let mut iterator = self.database.snapshot()?.iterator();
        match at_most {
            None => iterator.seek(&prefix)?,
            Some(version) => iterator.seek(&key::with_version(prefix.clone(), version))?,
        }
        let Some((data_key, value)) = iterator.entry() else { return Ok(None) };
        if key::prefix_of(data_key) != prefix {
            return Ok(None);
        }
        let (recorded_key, content) = record::decode(value.clone())?;
        if recorded_key.is_some_and(|recorded| recorded != user_key) {
            return Err(DatabaseError::Damaged("two keys share one hash".into()));
        }
        Ok(Some(StampedValue { version: version_in(data_key)?, content }))
    }

    /// Makes a group of versions durable in one batch.
    ///
    /// Of several versions of one key only the newest is written: a replica that holds a newer version holds the
    /// older one as far as anybody can tell (rule S1). For the same reason a version below the cached newest is not
    /// written at all. The version that a put dominates is deleted in the very batch that makes its successor
    /// durable (rule G1): no crash can leave the one without the other.
    ///
    /// # Errors
    /// As [`Database::write`]. Then nothing may be acknowledged.
    pub fn commit(&self, puts: &[(Bytes, StampedValue)]) -> Result<(), DatabaseError> {
        let mut newest: BTreeMap<&Bytes, &StampedValue> = BTreeMap::new();
        for (user_key, stamped) in puts {
            let entry = newest.entry(user_key).or_insert(stamped);
            if stamped.version > entry.version {
                *entry = stamped;
            }
        }
        let mut batch = WriteBatch::default();
        let mut suspicious = Vec::new();
        let mut changes = Vec::new();
        newest.retain(|user_key, stamped| {
            let prefix = key::prefix(user_key);
            let present = i64::from(stamped.content.is_value());
            match self.cache.get(user_key) {
                Ok(held) if held.version >= stamped.version => return false,
                Ok(held) => {
                    if held.version > Version::MIN {
                        batch.delete(key::with_version(prefix.clone(), held.version));
                    }
                    changes.push((prefix.clone(), present - i64::from(held.content.is_value())));
                }
                Err(_) => suspicious.push((prefix.clone(), stamped.version)),
            }
            let data_key = key::with_version(prefix, stamped.version);
            let recorded_key = key::user_key(key::prefix_of(&data_key)).is_none().then_some(&user_key[..]);
            batch.put(data_key, record::encode(&stamped.content, recorded_key));
            true
        });
        if !batch.is_empty() {
            self.database.write(batch)?;
        }
        for (user_key, stamped) in newest {
            self.cache.publish_commit(user_key, stamped.clone());
        }
        let mut garbage = self.garbage.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = changes.iter().filter(|(prefix, _)| garbage.is_counted(prefix));
        self.live_keys.fetch_add(counted.map(|(_, change)| change).sum(), Ordering::Relaxed);
        garbage.queue.extend(suspicious);
        if garbage.queue.len() > QUEUE_MAX {
            garbage.queue.truncate(QUEUE_MAX);
            let counting = garbage.walk.as_ref().is_some_and(|walk| walk.counting);
            if counting {
                self.live_keys.store(0, Ordering::Relaxed);
            }
            garbage.walk = Some(Walk::from_the_start(counting));
        }
        Ok(())
    }

    /// Deletes dominated versions of up to `budget` keys; returns how many keys it looked at, zero when it is done.
    ///
    /// Rule G1 holds because a snapshot shows only what is durable: the newest version in it is a durable, greater
    /// version in the same store. Readers keep their snapshots. A late, older put after this is garbage again, and
    /// is found again.
    ///
    /// # Errors
    /// As [`Database::write`].
    pub fn collect_garbage(&self, budget: usize) -> Result<usize, DatabaseError> {
        let (queued, walk) = {
            let mut garbage = self.garbage.lock().unwrap_or_else(PoisonError::into_inner);
            let count = garbage.queue.len().min(budget);
            let queued: Vec<_> = garbage.queue.drain(..count).collect();
            (queued, garbage.walk.clone())
        };
        let mut looked_at = queued.len();
        let mut batch = WriteBatch::default();
        let mut iterator = self.database.snapshot()?.iterator();
        let mut live = 0;
        for (prefix, put) in queued {
            iterator.seek(&prefix)?;
            let found = collect_key(&mut iterator, &prefix, &mut batch)?;
            if walk.as_ref().is_none_or(|walk| !walk.counting || prefix < walk.at)
                && found.newest == Some(put)
            {
                live += i64::from(found.newest_live) - i64::from(found.previous_live);
            }
        }
        if let Some(walk) = walk {
            iterator.seek(&walk.at)?;
            let mut next = None;
            while let Some(data_key) = iterator.key() {
                if &data_key[..] >= key::END {
                    break;
                }
                let prefix = key::prefix_of(data_key).to_vec();
                if looked_at >= budget {
                    next = Some(Walk { at: prefix, ..walk });
                    break;
                }
                let found = collect_key(&mut iterator, &prefix, &mut batch)?;
                live += i64::from(walk.counting && found.newest_live);
                looked_at += 1;
            }
            self.garbage.lock().unwrap_or_else(PoisonError::into_inner).walk = next;
        }
        if !batch.is_empty() {
            self.database.write(batch)?;
        }
        self.live_keys.fetch_add(live, Ordering::Relaxed);
        Ok(looked_at)
    }

    /// Up to `limit` keys above `after` (all, if `None`) with their newest versions, in the order of the store.
    ///
    /// # Errors
    /// When the data cannot be read or is damaged.
    pub fn scan(&self, after: Option<&[u8]>, limit: usize) -> Result<Vec<(Bytes, Version)>, DatabaseError> {
        let mut iterator = self.database.snapshot()?.iterator();
        match after {
            None => iterator.seek(key::FIRST)?,
            Some(user_key) => {
                let mut past = key::prefix(user_key);
                past.extend_from_slice(&[0xff; Version::LEN]);
                past.push(0);
                iterator.seek(&past)?;
            }
        }
        let mut found = Vec::new();
        while let Some((data_key, value)) = iterator.entry() {
            if found.len() >= limit || &data_key[..] >= key::END {
                break;
            }
            let prefix = key::prefix_of(data_key).to_vec();
            let version = version_in(data_key)?;
            let user_key = match key::user_key(&prefix) {
                Some(user_key) => user_key,
                None => record::decode(value.clone())?.0.unwrap_or_default(),
            };
            found.push((user_key, version));
            while iterator.key().is_some_and(|data_key| key::prefix_of(data_key) == prefix) {
                iterator.next()?;
            }
        }
        Ok(found)
    }
}

struct Found {
    newest: Option<Version>,
    newest_live: bool,
    previous_live: bool,
}

/// Walks over all versions of the key that the iterator stands on and marks all but the newest for deletion.
fn collect_key(
    iterator: &mut impl DatabaseIterator,
    prefix: &[u8],
    batch: &mut WriteBatch,
) -> Result<Found, DatabaseError> {
    let mut found = Found { newest: None, newest_live: false, previous_live: false };
    let mut count = 0;
    while let Some((data_key, value)) = iterator.entry() {
        if key::prefix_of(data_key) != prefix {
            break;
        }
        count += 1;
        if count <= 2 {
            let live = record::decode(value.clone())?.1.is_value();
            if count == 1 {
                (found.newest, found.newest_live) = (Some(version_in(data_key)?), live);
            } else {
                found.previous_live = live;
            }
        }
        if count > 1 {
            batch.delete(data_key.clone());
        }
        iterator.next()?;
    }
    Ok(found)
}

fn version_in(data_key: &[u8]) -> Result<Version, DatabaseError> {
    key::version_of(data_key)
        .ok_or_else(|| DatabaseError::Damaged(format!("{data_key:02x?} is not a data key of this release")))
}
