//! The chains of a memtable, in the order of their user keys and by hash.
//!
//! Writes mostly go to keys that are here already. Down the tree to one of ten thousand takes a dozen cache misses, by hash
//! three; so the tree is only for what asks about order, and for keys that are new.

use super::chain::Chain;
use crate::encoding::space::Space;
use hashbrown::HashTable;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::RangeBounds;

/// Chains in one allocation: what grows must not move what is there, while readers wait.
const TOGETHER: usize = 128;

/// First parts of keys up to this length lie in place: those of user keys of up to 29 bytes.
const IN_PLACE: usize = 32;

type First = SmallVec<[u8; IN_PLACE]>;

/// A user key and its chain. They stay where they are for as long as the memtable lives.
struct Slot {
    first: First,
    chain: Chain,
}

/// A place in the table by hash. The hash lies beside the number, so that the table grows without a look at the slots.
struct Bucket {
    hash: u32,
    slot: u32,
}

/// Chains by the first part of the key ([`crate::encoding::key::parts`]).
pub(super) struct Chains {
    slots: Vec<Vec<Slot>>,
    by_hash: HashTable<Bucket>,
    in_order: BTreeMap<First, u32>,
    /// How many of them are of user keys with versions.
    versioned: usize,
    /// So that nobody can choose keys that crowd one place.
    secrets: RapidSecrets,
}

impl Default for Chains {
    fn default() -> Self {
        let secrets = RapidSecrets::seed(RandomState::new().hash_one(0));
        let slots = Vec::new();
        Self { slots, by_hash: HashTable::new(), in_order: BTreeMap::new(), versioned: 0, secrets }
    }
}

impl Bucket {
    /// The table looks at the highest bits and at the lowest.
    fn spread(hash: u32) -> u64 {
        u64::from(hash) << 32 | u64::from(hash)
    }
}

impl Chains {
    fn slot(&self, number: u32) -> &Slot {
        &self.slots[number as usize / TOGETHER][number as usize % TOGETHER]
    }

    fn find(&self, first: &[u8], hash: u32) -> Option<u32> {
        let is_it = |bucket: &Bucket| bucket.hash == hash && self.slot(bucket.slot).first[..] == *first;
        self.by_hash.find(Bucket::spread(hash), is_it).map(|bucket| bucket.slot)
    }

    fn hash(&self, first: &[u8]) -> u32 {
        let [.., a, b, c, d] = rapidhash_v3_seeded(first, &self.secrets).to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// How many user keys there are that it has versions of.
    pub(super) fn versioned(&self) -> usize {
        self.versioned
    }

    /// Bytes that a user key takes: one that does not lie in place is allocated twice.
    pub(super) fn key_size(first: &[u8]) -> usize {
        if first.len() > IN_PLACE { 2 * first.len() } else { first.len() }
    }

    /// The chain of a user key.
    pub(super) fn get(&self, first: &[u8]) -> Option<&Chain> {
        self.find(first, self.hash(first)).map(|number| &self.slot(number).chain)
    }

    /// The chain of a user key, to be changed; an empty one if there is none yet.
    pub(super) fn get_or_new(&mut self, first: &[u8]) -> &mut Chain {
        let hash = self.hash(first);
        let number = self.find(first, hash).unwrap_or_else(|| self.add(first, hash));
        &mut self.slots[number as usize / TOGETHER][number as usize % TOGETHER].chain
    }

    fn add(&mut self, first: &[u8], hash: u32) -> u32 {
        if self.slots.last().is_none_or(|last| last.len() == TOGETHER) {
            self.slots.push(Vec::with_capacity(TOGETHER));
        }
        let Ok(number) = u32::try_from(self.in_order.len()) else {
            unreachable!("a memtable is written long before it has four billion keys")
        };
        self.versioned += usize::from(Space::of(first) == Space::Versions);
        let first = First::from_slice(first);
        self.in_order.insert(first.clone(), number);
        if let Some(last) = self.slots.last_mut() {
            last.push(Slot { first, chain: Chain::default() });
        }
        self.by_hash.insert_unique(Bucket::spread(hash), Bucket { hash, slot: number }, |bucket| {
            Bucket::spread(bucket.hash)
        });
        number
    }

    /// User keys with their chains, in order.
    pub(super) fn range(
        &self,
        range: impl RangeBounds<[u8]>,
    ) -> impl DoubleEndedIterator<Item = (&[u8], &Chain)> {
        self.in_order.range::<[u8], _>(range).map(|(first, number)| (&first[..], &self.slot(*number).chain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::Bound;

    #[test]
    fn every_key_is_found_by_hash_and_in_order() {
        let mut chains = Chains::default();
        assert!(chains.get(b"nothing").is_none());
        // Long ones too, which do not lie in place.
        let key =
            |number: u32| [number.wrapping_mul(2_654_435_761).to_be_bytes().as_slice(), &[7; 40]].concat();
        let keys: Vec<Vec<u8>> = (0..5_000)
            .map(|number| if number % 3 == 0 { key(number) } else { number.to_le_bytes().to_vec() })
            .collect();
        let addresses: Vec<*const Chain> =
            keys.iter().map(|key| std::ptr::from_ref(chains.get_or_new(key))).collect();
        for (key, address) in keys.iter().zip(&addresses) {
            assert_eq!(chains.get(key).map(std::ptr::from_ref), Some(*address), "none is moved, none is two");
            assert_eq!(std::ptr::from_ref(chains.get_or_new(key)), *address);
        }
        assert!(chains.get(b"nothing").is_none());
        let mut sorted: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        sorted.sort_unstable();
        let all = (Bound::Unbounded, Bound::Unbounded);
        assert!(chains.range(all).map(|(first, _)| first).eq(sorted.iter().copied()));
        let part = (Bound::Excluded(sorted[10]), Bound::Included(sorted[4_000]));
        assert!(
            chains.range(part).map(|(first, _)| first).rev().eq(sorted[11..=4_000].iter().rev().copied())
        );
        for (first, chain) in chains.range(all) {
            assert_eq!(chains.get(first).map(std::ptr::from_ref), Some(std::ptr::from_ref(chain)));
        }
    }
}
