//! Newest versions in memory: a cache with a byte budget, never the truth.
//!
//! It must not make a replica go back (rule S2): once somebody was told version 2, nobody may be told version 1.
//! **The coherence rule**, in three parts:
//!
//! 1. A reader notes the stripe's epoch, *then* takes its snapshot, and inserts what it found only if the epoch has not
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

use crate::encoding::record::Head;
use abd::counted::copied;
use abd::{Content, Deadline, Glimpse, StampedValue, UpdateId, Version};
use hashbrown::HashTable;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};
use smallvec::SmallVec;
use std::sync::{Mutex, MutexGuard, PoisonError};

const STRIPES: usize = 64;
/// What an entry costs beyond its bytes: its place in a table that is seldom full, the allocation of its value and that
/// one's count.
const ENTRY_OVERHEAD: usize = 240;
/// Values up to this size are kept whatever the budget of a stripe; larger ones only if they are a small part of it.
const ALWAYS_KEPT: usize = 4 << 10;
/// A content below this size goes with its entry, as dropping it alone would gain too little.
const DROPPED_ALONE: usize = 64;

/// Entries found by hash; a clock hand goes round the table when room is needed.
#[derive(Default)]
struct Stripe {
    entries: HashTable<Entry>,
    hand: usize,
    bytes: usize,
    epoch: u64,
}

/// All of it but the value lies in the table: a look at the version touches nothing else.
struct Entry {
    hash: u64,
    /// Most keys are this short.
    key: SmallVec<[u8; 24]>,
    version: Version,
    /// Whether that version is a value and not a tombstone.
    present: bool,
    /// `None`: it has to be looked up.
    content: Option<Content>,
    /// `None`: a plain write made the version, and it has no deadline. Most are such, and their entries are not to be larger for it.
    origin: Option<Box<Origin>>,
    /// Used since the hand last came by.
    used: bool,
}

/// What is a part of a value beside its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Origin {
    update: UpdateId,
    deadline: Deadline,
}

/// What the box of an origin takes.
const ORIGIN_BYTES: usize = 32;

/// Permission to insert, if the epoch has not moved since.
#[derive(Clone, Copy)]
pub(crate) struct Ticket(u64);

/// The cache of one store.
pub(crate) struct NewestCache {
    stripes: Vec<Mutex<Stripe>>,
    stripe_budget: usize,
    /// Which keys share a stripe and a place in it. From a secret in a node, so that nobody can crowd one; fixed where
    /// a run is replayed.
    secrets: RapidSecrets,
}

impl Entry {
    fn cost(&self) -> usize {
        self.key.len() + self.value_bytes() + ENTRY_OVERHEAD
    }

    fn content_bytes(&self) -> usize {
        self.content.as_ref().map_or(0, Content::len)
    }

    fn value_bytes(&self) -> usize {
        self.content_bytes() + self.origin.as_ref().map_or(0, |_| ORIGIN_BYTES)
    }

    fn origin(&self) -> Origin {
        self.origin.as_deref().copied().unwrap_or(Origin::PLAIN)
    }

    fn set_origin(&mut self, origin: Origin) {
        match &mut self.origin {
            _ if origin == Origin::PLAIN => self.origin = None,
            Some(held) => **held = origin,
            None => self.origin = Some(Box::new(origin)),
        }
    }

    /// Takes a larger version, or the content of the one that it has. `bytes` are those of the stripe.
    fn put(&mut self, newest: NewestFound, budget: usize, bytes: &mut usize) {
        let before = self.value_bytes();
        if newest.version > self.version {
            self.content = None;
        }
        (self.version, self.present) = (newest.version, newest.present);
        self.set_origin(newest.origin);
        if let Some(content) = newest.content {
            self.content = kept(content, budget);
        }
        self.used = true;
        *bytes = *bytes + self.value_bytes() - before;
    }

    /// What it says to somebody who has that version; `None` when the content is wanted and not here.
    fn told(&self, have: Version) -> Option<Glimpse> {
        let content = if self.version > have { Some(self.content.clone()?) } else { None };
        let Origin { update, deadline } = self.origin();
        let (version, present) = (self.version, self.present);
        Some(Glimpse { version, present, deadline, update, content, durable: true })
    }
}

impl Origin {
    const PLAIN: Self = Self { update: UpdateId::NONE, deadline: Deadline::NONE };
}

/// A newest version, and its content if that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewestFound {
    pub(crate) version: Version,
    present: bool,
    origin: Origin,
    content: Option<Content>,
}

impl NewestFound {
    /// What a key that was never written has.
    pub(crate) const NEVER: Self = Self {
        version: Version::MIN,
        present: false,
        origin: Origin::PLAIN,
        content: Some(Content::Tombstone),
    };

    /// One whose content was not looked at.
    pub(crate) fn of_head(version: Version, Head { present, update, deadline }: Head) -> Self {
        Self { version, present, origin: Origin { update, deadline }, content: None }
    }

    /// A copy of its own, so that a small entry does not keep a whole network buffer or table block alive.
    fn own(&self) -> Self {
        let content = self.content.as_ref().map(|content| match content {
            Content::Value(bytes) => Content::Value(copied(bytes)),
            Content::Tombstone => Content::Tombstone,
        });
        Self { content, ..*self }
    }

    /// For somebody who has that version.
    pub(crate) fn told(self, have: Version) -> Glimpse {
        let Self { version, present, origin: Origin { update, deadline }, content } = self;
        let content = content.filter(|_| version > have);
        Glimpse { version, present, deadline, update, content, durable: true }
    }
}

impl From<StampedValue> for NewestFound {
    fn from(StampedValue { version, content, deadline, update }: StampedValue) -> Self {
        let origin = Origin { update, deadline };
        Self { version, present: content.is_value(), origin, content: Some(content) }
    }
}

impl NewestCache {
    pub(crate) fn new(budget_bytes: usize, seed: u64) -> Self {
        Self {
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            stripe_budget: budget_bytes / STRIPES,
            secrets: RapidSecrets::seed(seed),
        }
    }

    fn stripe(&self, key: &[u8]) -> (MutexGuard<'_, Stripe>, u64) {
        let hash = rapidhash_v3_seeded(key, &self.secrets);
        // The table within a stripe uses the low bits, and the highest seven.
        let stripe = usize::try_from(hash >> 32).unwrap_or_default() % STRIPES;
        (self.stripes[stripe].lock().unwrap_or_else(PoisonError::into_inner), hash)
    }

    /// The newest version, with its content only if that is above `have`; or a ticket for whoever goes and looks. Get it
    /// *before* taking the snapshot.
    pub(crate) fn get(&self, key: &[u8], have: Version) -> Result<Glimpse, Ticket> {
        let (mut stripe, hash) = self.stripe(key);
        let epoch = stripe.epoch;
        let Some(entry) = find(&mut stripe.entries, key, hash) else { return Err(Ticket(epoch)) };
        entry.used = true;
        entry.told(have).ok_or(Ticket(epoch))
    }

    /// What a reader found in its snapshot, who wants the content if it is above `have`. `Ok` is what it may tell; `Err` means
    /// that the snapshot may be old: look again with this new ticket, or settle for [`NewestCache::tell_unpublished`].
    pub(crate) fn publish_read(
        &self,
        key: &[u8],
        found: &NewestFound,
        have: Version,
        ticket: Ticket,
    ) -> Result<Glimpse, Ticket> {
        let (mut stripe, hash) = self.stripe(key);
        let stripe = &mut *stripe;
        let epoch = stripe.epoch;
        if let Some(entry) = find(&mut stripe.entries, key, hash) {
            if entry.version > found.version {
                return entry.told(have).ok_or(Ticket(epoch));
            }
            // Of an equal version it may have the content already.
            if entry.version < found.version || entry.content.is_none() {
                entry.put(found.own(), self.stripe_budget, &mut stripe.bytes);
                stripe.shrink(self.stripe_budget);
            }
            return Ok(found.clone().told(have));
        }
        if epoch != ticket.0 {
            return Err(Ticket(epoch));
        }
        stripe.insert(key, hash, found.own(), self.stripe_budget);
        Ok(found.clone().told(have))
    }

    /// For a reader that gave up publishing: what it may tell, now that nobody can insert anything older. Its snapshot was
    /// taken after its call began, so `found` was the newest at a moment in between even if an entry knows a newer
    /// version by now and has no content for it.
    pub(crate) fn tell_unpublished(&self, key: &[u8], found: NewestFound, have: Version) -> Glimpse {
        let (mut stripe, hash) = self.stripe(key);
        let stripe = &mut *stripe;
        if let Some(entry) = find(&mut stripe.entries, key, hash) {
            if entry.version > found.version {
                return entry.told(have).unwrap_or_else(|| found.told(have));
            }
            entry.put(found.own(), self.stripe_budget, &mut stripe.bytes);
            stripe.shrink(self.stripe_budget);
        } else {
            stripe.epoch += 1;
        }
        found.told(have)
    }

    /// What was just committed, in an allocation that no network buffer or table block is in; to be called when it is durable
    /// and visible.
    /// Returns the version that the entry held, if there was one.
    pub(crate) fn publish_commit(&self, key: &[u8], committed: StampedValue) -> Option<Version> {
        let (mut stripe, hash) = self.stripe(key);
        let stripe = &mut *stripe;
        let Some(entry) = find(&mut stripe.entries, key, hash) else {
            stripe.epoch += 1;
            return None;
        };
        let held = entry.version;
        if committed.version > held {
            entry.put(committed.into(), self.stripe_budget, &mut stripe.bytes);
            stripe.shrink(self.stripe_budget);
        }
        Some(held)
    }

    /// Forgets everything.
    pub(crate) fn forget_all(&self) {
        for stripe in &self.stripes {
            let mut stripe = stripe.lock().unwrap_or_else(PoisonError::into_inner);
            stripe.entries.clear();
            (stripe.bytes, stripe.epoch) = (0, stripe.epoch + 1);
        }
    }
}

fn find<'a>(entries: &'a mut HashTable<Entry>, key: &[u8], hash: u64) -> Option<&'a mut Entry> {
    entries.find_mut(hash, |entry| entry.hash == hash && entry.key[..] == *key)
}

impl Stripe {
    fn insert(&mut self, key: &[u8], hash: u64, found: NewestFound, budget: usize) {
        let NewestFound { version, present, origin, content } = found;
        let content = content.and_then(|content| kept(content, budget));
        let origin = (origin != Origin::PLAIN).then(|| Box::new(origin));
        let key = SmallVec::from_slice(key);
        let entry = Entry { hash, key, version, present, content, origin, used: false };
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

/// The content, if it may take that much of a stripe's budget.
fn kept(content: Content, budget: usize) -> Option<Content> {
    (content.len() <= ALWAYS_KEPT.max(budget / 16)).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use abd::{Timestamp, Version};

    impl NewestCache {
        fn peek(&self, key: &[u8]) -> Option<(Version, bool)> {
            let (mut stripe, hash) = self.stripe(key);
            find(&mut stripe.entries, key, hash).map(|entry| (entry.version, entry.present))
        }

        fn bytes(&self) -> usize {
            self.stripes.iter().map(|stripe| stripe.lock().unwrap().bytes).sum()
        }
    }

    fn stamped(time: u64, size: usize) -> StampedValue {
        let version = Version::of_write(Timestamp { time, node: 1, boot: 1 });
        let stamped = StampedValue::plain(version, Content::Value(vec![7; size].into()));
        // Every third one is an update's.
        let update = UpdateId { round: time, node: 2, boot: 1 };
        if time.is_multiple_of(3) {
            StampedValue { update, deadline: Deadline(time), ..stamped }
        } else {
            stamped
        }
    }

    fn ticket(cache: &NewestCache, key: &[u8]) -> Ticket {
        cache.get(key, Version::MIN).expect_err("a miss")
    }

    /// As a reader who wants the content.
    fn publish(cache: &NewestCache, stamped: &StampedValue, ticket: Ticket) -> Option<StampedValue> {
        let told = cache.publish_read(b"k", &stamped.clone().into(), Version::MIN, ticket).ok()?;
        told.stamped()
    }

    fn held(cache: &NewestCache) -> Option<StampedValue> {
        cache.get(b"k", Version::MIN).ok()?.stamped()
    }

    #[test]
    fn an_old_snapshot_cannot_replace_what_was_committed_meanwhile() {
        let cache = NewestCache::new(1 << 20, 0);
        let reader = ticket(&cache, b"k");
        assert_eq!(cache.publish_commit(b"k", stamped(2, 1)), None);
        assert_eq!(publish(&cache, &stamped(1, 1), reader), None);
        assert_eq!(held(&cache), None, "neither the old version nor a blind put is there");
    }

    #[test]
    fn s2_what_was_told_unpublished_is_not_hidden_by_an_older_snapshot() {
        let cache = NewestCache::new(1 << 20, 0);
        let (first, _) = (ticket(&cache, b"k"), cache.publish_commit(b"k", stamped(1, 1)));
        let second = ticket(&cache, b"k");
        assert_eq!(publish(&cache, &stamped(2, 1), first), None);
        let told = cache.tell_unpublished(b"k", stamped(2, 1).into(), Version::MIN);
        assert_eq!(told.stamped(), Some(stamped(2, 1)));
        assert_eq!(publish(&cache, &stamped(1, 1), second), None);
    }

    #[test]
    fn the_larger_version_stays_and_is_told() {
        let cache = NewestCache::new(1 << 20, 0);
        let (one, two) = (ticket(&cache, b"k"), ticket(&cache, b"k"));
        assert_eq!(publish(&cache, &stamped(5, 1), one), Some(stamped(5, 1)));
        assert_eq!(publish(&cache, &stamped(3, 1), two), Some(stamped(5, 1)));
        assert!(cache.publish_commit(b"k", stamped(4, 1)).is_some());
        assert_eq!(held(&cache), Some(stamped(5, 1)));
    }

    #[test]
    fn an_entry_without_its_content_still_knows_its_version() {
        let cache = NewestCache::new(64 << 10, 0);
        let large = stamped(2, 8 << 10);
        let reader = ticket(&cache, b"k");
        assert_eq!(publish(&cache, &large, reader), Some(large.clone()));
        assert_eq!(cache.peek(b"k"), Some((large.version, true)));
        assert!(cache.get(b"k", large.version).is_ok_and(|told| told.content.is_none()));
        assert_eq!(held(&cache), None);
        // A snapshot below that version is not told, and not left here.
        let reader = ticket(&cache, b"k");
        assert_eq!(publish(&cache, &stamped(1, 1), reader), None);
        assert_eq!(cache.publish_commit(b"k", stamped(3, 10)), Some(large.version));
        assert_eq!(held(&cache), Some(stamped(3, 10)));
    }

    /// Whoever asked for a version alone leaves that, and takes no content away.
    #[test]
    fn a_version_without_its_content_is_kept_beside_one_that_has_it() {
        let cache = NewestCache::new(1 << 20, 0);
        let version = |time| stamped(time, 1).version;
        let alone = |time| NewestFound { content: None, ..stamped(time, 1).into() };
        let read = |found: &NewestFound, reader| cache.publish_read(b"k", found, Version::MAX, reader).ok();
        let reader = ticket(&cache, b"k");
        assert_eq!(read(&alone(2), reader).map(|told| told.version), Some(version(2)));
        assert_eq!((cache.peek(b"k"), held(&cache)), (Some((version(2), true)), None));
        assert_eq!(publish(&cache, &stamped(2, 1), reader), Some(stamped(2, 1)));
        assert!(read(&alone(2), reader).is_some() && held(&cache) == Some(stamped(2, 1)));
        // A newer one has no content until somebody looks at it.
        assert!(read(&alone(3), reader).is_some() && held(&cache).is_none());
        assert_eq!(cache.peek(b"k"), Some((version(3), true)));
        let told = cache.tell_unpublished(b"k", stamped(2, 1).into(), Version::MIN);
        assert_eq!(told.version, version(2), "the content that is asked for is that of an older one");
    }

    /// A plain write has one word for what an update has beyond it.
    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Entry>(), 120);
    }

    #[test]
    fn the_budget_is_kept() {
        let cache = NewestCache::new(64 << 10, 0);
        for number in 0..5_000u32 {
            let key = number.to_be_bytes();
            let found = stamped(1, number as usize % 3_000);
            let ticket = ticket(&cache, &key);
            let _ = cache.publish_read(&key, &found.into(), Version::MIN, ticket);
            cache.publish_commit(&key, stamped(2, number as usize % 9_000));
        }
        assert!(cache.bytes() <= 64 << 10, "{} bytes", cache.bytes());
    }
}
