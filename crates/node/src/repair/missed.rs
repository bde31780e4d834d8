//! The list of keys whose newest version a peer may lack, bounded in memory.

use abd::{Instant, Version};
use alloc::{collections::BTreeMap, vec::Vec};
use bytes::Bytes;
use core::ops::Bound;

/// What a listed key costs beside its bytes.
const ENTRY_BYTES: usize = 128;

/// What is known of a key that a peer may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Miss {
    /// The newest version that it missed.
    version: Version,
    /// When it missed that one.
    at: Instant,
    /// When it missed the oldest one.
    since: Instant,
}

/// Keys that a peer may lack. One leaves the list when the peer has durably acknowledged that version or a newer one.
#[derive(Debug, Default)]
pub struct MissedKeys {
    keys: BTreeMap<Bytes, Miss>,
    bytes: usize,
    /// The last key that was taken up. The next batch begins behind it, so that keys that nobody takes do not hide others.
    cursor: Bytes,
}

impl MissedKeys {
    /// Notes that a version of a key did not reach the peer; whether there was room for it in `bytes_max`.
    pub fn add(&mut self, key: &Bytes, version: Version, now: Instant, bytes_max: usize) -> bool {
        if let Some(miss) = self.keys.get_mut(key) {
            if version > miss.version {
                (miss.version, miss.at) = (version, now);
            }
            return true;
        }
        let cost = key.len() + ENTRY_BYTES;
        if self.bytes + cost > bytes_max {
            return false;
        }
        self.bytes += cost;
        // A copy, so that the list does not keep network buffers alive.
        self.keys.insert(Bytes::copy_from_slice(key), Miss { version, at: now, since: now });
        true
    }

    /// The peer durably has this version, or a newer one; whether that takes the key off the list.
    pub fn settle(&mut self, key: &Bytes, version: Version) -> bool {
        let settled = self.keys.get(key).is_some_and(|miss| miss.version <= version);
        if settled {
            self.remove(key);
        }
        settled
    }

    /// The same; but a version that was missed at `nowhere_since` or before is forgotten, too: both sides have looked, and neither
    /// has stored it. Whether the key is on the list no more.
    pub fn settle_or_forget(
        &mut self,
        key: &Bytes,
        version: Version,
        nowhere_since: Option<Instant>,
    ) -> bool {
        self.settle(key, version);
        if nowhere_since.is_some_and(|limit| self.keys.get(key).is_some_and(|miss| miss.at <= limit)) {
            self.remove(key);
        }
        !self.keys.contains_key(key)
    }

    /// Takes a key off the list.
    fn remove(&mut self, key: &Bytes) {
        if self.keys.remove(key).is_some() {
            self.bytes -= key.len() + ENTRY_BYTES;
        }
    }

    /// Up to `at_most` keys for the next round, in turn.
    pub fn batch(&mut self, at_most: usize) -> Vec<Bytes> {
        let behind = (Bound::Excluded(self.cursor.clone()), Bound::Unbounded);
        let up_to = ..=self.cursor.clone();
        let turn = self.keys.range(behind).chain(self.keys.range(up_to));
        let batch: Vec<Bytes> = turn.map(|(key, _)| key.clone()).take(at_most).collect();
        if let Some(last) = batch.last() {
            self.cursor = last.clone();
        }
        batch
    }

    /// The next batch begins behind this key.
    pub fn go_on_behind(&mut self, key: &Bytes) {
        self.cursor = key.clone();
    }

    /// Since when the peer misses something. A walk over the list.
    pub fn oldest(&self) -> Option<Instant> {
        self.keys.values().map(|miss| miss.since).min()
    }

    /// Forgets all keys.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.bytes = 0;
    }

    /// How many keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abd::Timestamp;
    use alloc::{format, vec};

    fn version(time: u64) -> Version {
        Version::of_write(Timestamp { time, node: 1, boot: 1 })
    }

    #[test]
    fn a_key_stays_until_the_version_that_was_missed_last_is_acknowledged() {
        let (mut missed, key) = (MissedKeys::default(), Bytes::from("k"));
        assert!(missed.add(&key, version(1), Instant(10), 1000));
        assert!(missed.add(&key, version(3), Instant(20), 1000));
        assert!(missed.add(&key, version(2), Instant(30), 1000));
        assert!(!missed.settle(&key, version(2)));
        assert_eq!((missed.len(), missed.oldest()), (1, Some(Instant(10))));
        assert!(missed.settle(&key, version(3)));
        assert_eq!((missed.len(), missed.oldest(), missed.bytes), (0, None, 0));
    }

    #[test]
    fn a_version_is_waited_for_from_when_it_was_missed() {
        let (mut missed, key) = (MissedKeys::default(), Bytes::from("k"));
        missed.add(&key, version(1), Instant(10), 1000);
        missed.add(&key, version(2), Instant(50), 1000);
        // The newer one may be on its way to the own disk.
        assert!(!missed.settle_or_forget(&key, version(1), Some(Instant(40))));
        assert!(missed.settle_or_forget(&key, version(1), Some(Instant(50))));
    }

    #[test]
    fn the_list_is_bounded_and_says_when_it_is_full() {
        let mut missed = MissedKeys::default();
        let fits = (0..1000u32)
            .filter(|n| missed.add(&Bytes::from(format!("{n:04}")), version(1), Instant(0), 10 * ENTRY_BYTES))
            .count();
        assert_eq!(fits, 9);
        // What is there may become newer.
        assert!(missed.add(&Bytes::from("0003"), version(2), Instant(0), 10 * ENTRY_BYTES));
        missed.clear();
        assert!(missed.add(&Bytes::from("0009"), version(1), Instant(0), 10 * ENTRY_BYTES));
    }

    #[test]
    fn every_key_has_its_turn() {
        let mut missed = MissedKeys::default();
        for n in 0..10u8 {
            missed.add(&Bytes::from(vec![n]), version(1), Instant(0), usize::MAX);
        }
        let taken: Vec<u8> = (0..5).flat_map(|_| missed.batch(4)).map(|key| key[0]).collect();
        assert_eq!(taken, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9][..taken.len()]);
        assert_eq!(missed.batch(100).len(), 10);
    }
}
