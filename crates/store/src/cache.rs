//! Newest versions in memory: a cache with a byte budget, never the truth.
//!
//! It must not make a replica go back (rule S2): once somebody was told version 2, nobody may be told version 1.
//! **The coherence rule**, in three parts:
//!
//! 1. A reader notes the shard's epoch, *then* takes its snapshot, and inserts what it found only if the epoch has not
//!    moved. If there is an entry by then, the larger version stays and is what it tells.
//! 2. Whatever makes an older snapshot dangerous moves the epoch: an eviction, a commit of a key that has no entry,
//!    and a reader that tells what it found without leaving it here.
//! 3. A commit merges into an entry only when it is durable and visible, and never creates one: a blind put does not
//!    know whether the database holds something newer.
//!
//! Why each is needed. Without the epoch at evictions: a reader takes a snapshot with version 1; version 2 is
//! committed, merged, told and evicted; the reader inserts version 1. Without the epoch at commits: the same, with
//! no entry there at all. Without the epoch at tellings: version 2 is visible but not merged yet; reader A, whose
//! epoch has moved, tells 2 and inserts nothing; reader B, with an older snapshot and the present epoch, inserts 1.
//! With a commit that creates entries: a late version 1 hides version 2 in the database.
//!
//! An entry may know the version and not the content: a large value, or one that had to make room. Three of four questions
//! are about versions alone (the timestamps of a Set, what a write dominates, the replicas that a Get asks second). A
//! reader that finds an entry with a version above its snapshot's looks again.

use crate::counted::copied;
use crate::in_place::InPlace;
use abd::{Content, Glimpse, StampedValue, Version};
use hashbrown::HashTable;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 64;
/// What an entry costs beyond its bytes: its place in a table that is seldom full, the allocation of its value and that
/// one's count.
const ENTRY_OVERHEAD: usize = 240;
/// Values up to this size are kept whatever the budget of a shard; larger ones only if they are a small part of it.
const ALWAYS_KEPT: usize = 4 << 10;
/// A content below this size goes with its entry, as dropping it alone would gain too little.
const DROPPED_ALONE: usize = 64;

/// Entries found by hash; a clock hand goes round the table when room is needed.
#[derive(Default)]
struct Shard {
    entries: HashTable<Entry>,
    hand: usize,
    bytes: usize,
    epoch: u64,
}

/// All of it but the value lies in the table: a look at the version touches nothing else.
struct Entry {
    hash: u64,
    /// Most keys are this short.
    key: InPlace<22>,
    version: Version,
    /// Whether that version is a value and not a tombstone.
    present: bool,
    /// `None`: it has to be looked up.
    content: Option<Content>,
    /// Used since the hand last came by.
    used: bool,
}

/// Permission to insert, if the epoch has not moved since.
#[derive(Clone, Copy)]
pub(crate) struct Ticket(u64);

/// The cache of one store.
pub(crate) struct NewestCache {
    shards: Vec<Mutex<Shard>>,
    shard_budget: usize,
    /// Which keys share a shard and a place in it. From a secret in a node, so that nobody can crowd one; fixed where
    /// a run is replayed.
    secrets: RapidSecrets,
}

impl Entry {
    fn cost(&self) -> usize {
        self.key.bytes().len() + self.content_bytes() + ENTRY_OVERHEAD
    }

    fn content_bytes(&self) -> usize {
        self.content.as_ref().map_or(0, Content::len)
    }

    /// Takes a larger version, or the content of the one that it has. `bytes` are those of the shard.
    fn put(&mut self, stamped: StampedValue, budget: usize, bytes: &mut usize) {
        let before = self.content_bytes();
        (self.version, self.present) = (stamped.version, stamped.content.is_value());
        self.content = kept(stamped.content, budget);
        self.used = true;
        *bytes = *bytes + self.content_bytes() - before;
    }

    /// The version with its content, if that is here.
    fn stamped(&self) -> Option<StampedValue> {
        self.content.clone().map(|content| StampedValue { version: self.version, content })
    }
}

/// A copy of its own, so that a small entry does not keep a whole network buffer or table block alive.
fn own(stamped: &StampedValue) -> StampedValue {
    let content = match &stamped.content {
        Content::Value(bytes) => Content::Value(copied(bytes)),
        Content::Tombstone => Content::Tombstone,
    };
    StampedValue { version: stamped.version, content }
}

impl NewestCache {
    pub(crate) fn new(budget_bytes: usize, seed: u64) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            shard_budget: budget_bytes / SHARDS,
            secrets: RapidSecrets::seed(seed),
        }
    }

    fn shard(&self, key: &[u8]) -> (MutexGuard<'_, Shard>, u64) {
        let hash = rapidhash_v3_seeded(key, &self.secrets);
        // The table within a shard uses the low bits, and the highest seven.
        let shard = usize::try_from(hash >> 32).unwrap_or_default() % SHARDS;
        (self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner), hash)
    }

    /// The newest version, or a ticket for whoever goes and looks. Get it *before* taking the snapshot.
    pub(crate) fn get(&self, key: &[u8]) -> Result<StampedValue, Ticket> {
        let (mut shard, hash) = self.shard(key);
        let epoch = shard.epoch;
        let Some(entry) = find(&mut shard.entries, key, hash) else { return Err(Ticket(epoch)) };
        entry.used = true;
        entry.stamped().ok_or(Ticket(epoch))
    }

    /// The newest version and whether it is a value, if there is an entry.
    pub(crate) fn peek(&self, key: &[u8]) -> Option<(Version, bool)> {
        let (mut shard, hash) = self.shard(key);
        find(&mut shard.entries, key, hash).map(|entry| (entry.version, entry.present))
    }

    /// What an entry says about the newest version, with its content only if that is above `have`; `None` also when the
    /// content is wanted and not here.
    pub(crate) fn glimpse(&self, key: &[u8], have: Version) -> Option<Glimpse> {
        let (mut shard, hash) = self.shard(key);
        let entry = find(&mut shard.entries, key, hash)?;
        entry.used = true;
        let content = if entry.version > have { Some(entry.content.clone()?) } else { None };
        Some(Glimpse { version: entry.version, present: entry.present, content, durable: true })
    }

    /// What a reader found in its snapshot. `Ok` is what it may tell; `Err` means that the snapshot may be old: look
    /// again with this new ticket, or settle for [`NewestCache::tell_unpublished`].
    pub(crate) fn publish_read(
        &self,
        key: &[u8],
        found: &StampedValue,
        ticket: Ticket,
    ) -> Result<StampedValue, Ticket> {
        let (mut shard, hash) = self.shard(key);
        let shard = &mut *shard;
        let epoch = shard.epoch;
        if let Some(entry) = find(&mut shard.entries, key, hash) {
            if entry.version >= found.version
                && let Some(stamped) = entry.stamped()
            {
                return Ok(stamped);
            }
            if entry.version > found.version {
                return Err(Ticket(epoch));
            }
            entry.put(own(found), self.shard_budget, &mut shard.bytes);
            shard.shrink(self.shard_budget);
            return Ok(found.clone());
        }
        if epoch != ticket.0 {
            return Err(Ticket(epoch));
        }
        shard.insert(key, hash, own(found), self.shard_budget);
        Ok(found.clone())
    }

    /// For a reader that gave up publishing: what it may tell, now that nobody can insert anything older. Its snapshot was
    /// taken after its call began, so `found` was the newest at a moment in between even if an entry knows a newer
    /// version by now and has no content for it.
    pub(crate) fn tell_unpublished(&self, key: &[u8], found: StampedValue) -> StampedValue {
        let (mut shard, hash) = self.shard(key);
        let shard = &mut *shard;
        if let Some(entry) = find(&mut shard.entries, key, hash) {
            if entry.version > found.version {
                return entry.stamped().unwrap_or(found);
            }
            entry.put(own(&found), self.shard_budget, &mut shard.bytes);
            shard.shrink(self.shard_budget);
        } else {
            shard.epoch += 1;
        }
        found
    }

    /// What was just committed, in an allocation that no network buffer or table block is in; to be called when it is durable
    /// and visible.
    /// Returns the version that the entry held and whether it was a value, if there was one.
    pub(crate) fn publish_commit(&self, key: &[u8], committed: StampedValue) -> Option<(Version, bool)> {
        let (mut shard, hash) = self.shard(key);
        let shard = &mut *shard;
        let Some(entry) = find(&mut shard.entries, key, hash) else {
            shard.epoch += 1;
            return None;
        };
        let held = (entry.version, entry.present);
        if committed.version > held.0 {
            entry.put(committed, self.shard_budget, &mut shard.bytes);
            shard.shrink(self.shard_budget);
        }
        Some(held)
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().bytes).sum()
    }
}

fn find<'a>(entries: &'a mut HashTable<Entry>, key: &[u8], hash: u64) -> Option<&'a mut Entry> {
    entries.find_mut(hash, |entry| entry.hash == hash && entry.key.bytes() == key)
}

impl Shard {
    fn insert(&mut self, key: &[u8], hash: u64, stamped: StampedValue, budget: usize) {
        let (version, present) = (stamped.version, stamped.content.is_value());
        let content = kept(stamped.content, budget);
        let entry = Entry { hash, key: InPlace::new(key), version, present, content, used: false };
        self.bytes += entry.cost();
        self.entries.insert_unique(hash, entry, |entry| entry.hash);
        self.shrink(budget);
    }

    fn evict(&mut self, place: usize) {
        let Ok(found) = self.entries.get_bucket_entry(place) else { return };
        let (entry, _) = found.remove();
        self.bytes -= entry.cost();
        self.epoch += 1;
    }

    fn shrink(&mut self, budget: usize) {
        while self.bytes > budget {
            // The table may have grown since: then the hand is somewhere else, which is as good.
            let place = self.hand % self.entries.num_buckets();
            self.hand = place + 1;
            match self.entries.get_bucket_mut(place) {
                Some(entry) if entry.used => entry.used = false,
                Some(entry) if entry.content_bytes() >= DROPPED_ALONE => {
                    self.bytes -= entry.content_bytes();
                    entry.content = None;
                }
                Some(_) => self.evict(place),
                None => {}
            }
        }
    }
}

/// The content, if it may take that much of a shard's budget.
fn kept(content: Content, budget: usize) -> Option<Content> {
    (content.len() <= ALWAYS_KEPT.max(budget / 16)).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use abd::{Timestamp, Version};

    fn stamped(time: u64, size: usize) -> StampedValue {
        let version = Version::of_write(Timestamp { time, node: 1, boot: 1 });
        StampedValue { version, content: Content::Value(vec![7; size].into()) }
    }

    fn ticket(cache: &NewestCache, key: &[u8]) -> Ticket {
        cache.get(key).expect_err("a miss")
    }

    #[test]
    fn an_old_snapshot_cannot_replace_what_was_committed_meanwhile() {
        let cache = NewestCache::new(1 << 20, 0);
        let reader = ticket(&cache, b"k");
        assert_eq!(cache.publish_commit(b"k", stamped(2, 1)), None);
        assert!(cache.publish_read(b"k", &stamped(1, 1), reader).is_err());
        assert!(cache.get(b"k").is_err(), "neither the old version nor a blind put is there");
    }

    #[test]
    fn s2_what_was_told_unpublished_is_not_hidden_by_an_older_snapshot() {
        let cache = NewestCache::new(1 << 20, 0);
        let (first, _) = (ticket(&cache, b"k"), cache.publish_commit(b"k", stamped(1, 1)));
        let second = ticket(&cache, b"k");
        assert!(cache.publish_read(b"k", &stamped(2, 1), first).is_err());
        assert_eq!(cache.tell_unpublished(b"k", stamped(2, 1)), stamped(2, 1));
        assert!(cache.publish_read(b"k", &stamped(1, 1), second).is_err());
    }

    #[test]
    fn the_larger_version_stays_and_is_told() {
        let cache = NewestCache::new(1 << 20, 0);
        let (one, two) = (ticket(&cache, b"k"), ticket(&cache, b"k"));
        assert_eq!(cache.publish_read(b"k", &stamped(5, 1), one).ok(), Some(stamped(5, 1)));
        assert_eq!(cache.publish_read(b"k", &stamped(3, 1), two).ok(), Some(stamped(5, 1)));
        assert!(cache.publish_commit(b"k", stamped(4, 1)).is_some());
        assert_eq!(cache.get(b"k").ok(), Some(stamped(5, 1)));
    }

    #[test]
    fn an_entry_without_its_content_still_knows_its_version() {
        let cache = NewestCache::new(64 << 10, 0);
        let large = stamped(2, 8 << 10);
        let reader = ticket(&cache, b"k");
        assert_eq!(cache.publish_read(b"k", &large, reader).ok(), Some(large.clone()));
        assert_eq!(cache.peek(b"k"), Some((large.version, true)));
        assert!(cache.glimpse(b"k", large.version).is_some_and(|glimpse| glimpse.content.is_none()));
        assert!(cache.glimpse(b"k", Version::MIN).is_none() && cache.get(b"k").is_err());
        // A snapshot below that version is not told, and not left here.
        let reader = ticket(&cache, b"k");
        assert!(cache.publish_read(b"k", &stamped(1, 1), reader).is_err());
        assert_eq!(cache.publish_commit(b"k", stamped(3, 10)), Some((large.version, true)));
        assert_eq!(cache.get(b"k").ok(), Some(stamped(3, 10)));
    }

    #[test]
    fn the_budget_is_kept() {
        let cache = NewestCache::new(64 << 10, 0);
        for number in 0..5_000u32 {
            let key = number.to_be_bytes();
            let found = stamped(1, number as usize % 3_000);
            let ticket = ticket(&cache, &key);
            let _ = cache.publish_read(&key, &found, ticket);
            cache.publish_commit(&key, stamped(2, number as usize % 9_000));
        }
        assert!(cache.bytes() <= 64 << 10, "{} bytes", cache.bytes());
    }
}
