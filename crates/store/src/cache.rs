//! Newest versions in memory: a cache with a byte budget, never the truth.
//!
//! It must not make a replica go back (rule S2): once somebody was told version 2, nobody may be told version 1. Two
//! rules see to that. Whoever reads the database *publishes* what it found before it tells anybody, and the larger
//! version wins. And a reader whose snapshot may be old inserts nothing: it remembers the shard's epoch before it
//! looks, and every eviction moves the epoch on. Without the second rule: a reader takes a snapshot with version 1,
//! version 2 is committed, published, told and evicted, and the reader puts version 1 in its place.

use abd::{Content, StampedValue};
use bytes::Bytes;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

const SHARDS: usize = 16;
/// What an entry costs beyond its bytes.
const ENTRY_OVERHEAD: usize = 160;

#[derive(Default)]
struct Shard {
    entries: HashMap<Bytes, Entry>,
    /// Keys in the order of the clock hand.
    ring: std::collections::VecDeque<Bytes>,
    bytes: usize,
    epoch: u64,
}

struct Entry {
    stamped: StampedValue,
    /// Used since the hand last came by.
    used: bool,
}

/// Permission to insert, if nothing was evicted since.
pub(crate) struct Ticket(u64);

/// The cache of one store.
pub(crate) struct NewestCache {
    shards: Vec<Mutex<Shard>>,
    shard_budget: usize,
    hasher: RandomState,
}

fn cost(key: &Bytes, stamped: &StampedValue) -> usize {
    key.len() + stamped.content.len() + ENTRY_OVERHEAD
}

impl NewestCache {
    pub(crate) fn new(budget_bytes: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            shard_budget: budget_bytes / SHARDS,
            hasher: RandomState::new(),
        }
    }

    fn shard(&self, key: &[u8]) -> std::sync::MutexGuard<'_, Shard> {
        let index = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or_default();
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest version, or a ticket for whoever goes and looks. Get it *before* taking the snapshot.
    pub(crate) fn get(&self, key: &[u8]) -> Result<StampedValue, Ticket> {
        let mut shard = self.shard(key);
        let epoch = shard.epoch;
        match shard.entries.get_mut(key) {
            Some(entry) => {
                entry.used = true;
                Ok(entry.stamped.clone())
            }
            None => Err(Ticket(epoch)),
        }
    }

    /// What a reader found in its snapshot; returns what it may tell.
    pub(crate) fn publish_read(&self, key: &[u8], found: StampedValue, ticket: &Ticket) -> StampedValue {
        let mut shard = self.shard(key);
        if shard.entries.contains_key(key) {
            return shard.merge(Bytes::copy_from_slice(key), found, self.shard_budget);
        }
        if shard.epoch == ticket.0 {
            return shard.merge(Bytes::copy_from_slice(key), found, self.shard_budget);
        }
        found
    }

    /// What was just committed; to be called when it is durable and visible.
    pub(crate) fn publish_commit(&self, key: &Bytes, committed: StampedValue) {
        // A copy, so that the cache does not keep whole network buffers alive.
        let content = match committed.content {
            Content::Value(bytes) => Content::Value(Bytes::copy_from_slice(&bytes)),
            Content::Tombstone => Content::Tombstone,
        };
        let stamped = StampedValue { version: committed.version, content };
        self.shard(key).merge(Bytes::copy_from_slice(key), stamped, self.shard_budget);
    }
}

impl Shard {
    /// Keeps the larger version and returns it.
    fn merge(&mut self, key: Bytes, stamped: StampedValue, budget: usize) -> StampedValue {
        let size = cost(&key, &stamped);
        let told = match self.entries.get_mut(&key) {
            Some(entry) => {
                if stamped.version > entry.stamped.version {
                    self.bytes = self.bytes + size - cost(&key, &entry.stamped);
                    entry.stamped = stamped;
                }
                entry.stamped.clone()
            }
            None => {
                self.bytes += size;
                self.ring.push_back(key.clone());
                self.entries.insert(key, Entry { stamped: stamped.clone(), used: false });
                stamped
            }
        };
        while self.bytes > budget {
            let Some(victim) = self.ring.pop_front() else { break };
            match self.entries.get_mut(&victim) {
                Some(entry) if entry.used => {
                    entry.used = false;
                    self.ring.push_back(victim);
                }
                Some(entry) => {
                    self.bytes -= cost(&victim, &entry.stamped);
                    self.entries.remove(&victim);
                    self.epoch += 1;
                }
                None => {}
            }
        }
        told
    }
}
