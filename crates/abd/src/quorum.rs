//! Who is a member, and who suffices: a majority. Any two majorities meet, which is all that ABD needs of them.

use crate::version::NodeId;
use alloc::vec::Vec;
use core::fmt;

/// The fixed set of replicas, in ascending order of id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Members(Vec<NodeId>);

/// A set of members by their index in [`Members`].
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct NodeSet(u64);

/// How a round of requests stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tally {
    /// More answers are needed and possible.
    Pending,
    /// A majority is in.
    Reached,
    /// Too many said no: a majority cannot come together.
    Impossible,
}

impl Members {
    /// From ids in any order.
    ///
    /// # Panics
    /// When there are none, more than 64, or one twice: configuration is checked before it comes here.
    pub fn new(mut ids: Vec<NodeId>) -> Self {
        ids.sort_unstable();
        let count = ids.len();
        ids.dedup();
        assert!(count == ids.len(), "a node id is listed twice");
        assert!((1..=64).contains(&count), "a cluster has 1 to 64 members, not {count}");
        Self(ids)
    }

    /// How many members there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest number of members that is a majority: `N/2 + 1`.
    pub fn majority(&self) -> usize {
        self.0.len() / 2 + 1
    }

    /// Position of a member, or `None` for a stranger.
    pub fn index_of(&self, id: NodeId) -> Option<usize> {
        self.0.binary_search(&id).ok()
    }

    /// The member at a position.
    pub fn id(&self, index: usize) -> NodeId {
        self.0[index]
    }

    /// All ids, ascending.
    pub fn ids(&self) -> &[NodeId] {
        &self.0
    }

    /// Every member as a set.
    pub fn all(&self) -> NodeSet {
        NodeSet(u64::MAX >> (64 - self.0.len()))
    }

    /// Whether these are a majority.
    pub fn is_majority(&self, yes: NodeSet) -> bool {
        self.tally(yes, NodeSet::EMPTY) == Tally::Reached
    }

    /// Whether a majority is left without these.
    pub fn suffices_without(&self, no: NodeSet) -> bool {
        self.tally(NodeSet::EMPTY, no) != Tally::Impossible
    }

    /// Whether `yes` is a majority, may become one, or cannot any more because of `no`.
    pub fn tally(&self, yes: NodeSet, no: NodeSet) -> Tally {
        if yes.len() >= self.majority() {
            Tally::Reached
        } else if self.count() - no.minus(yes).len() < self.majority() {
            Tally::Impossible
        } else {
            Tally::Pending
        }
    }
}

impl NodeSet {
    /// Nobody.
    pub const EMPTY: Self = Self(0);

    /// Adds a member; whether it is new.
    pub fn insert(&mut self, index: usize) -> bool {
        let before = self.0;
        self.0 |= 1 << index;
        self.0 != before
    }

    /// Takes a member out.
    pub fn remove(&mut self, index: usize) {
        self.0 &= !(1 << index);
    }

    /// Whether a member is in it.
    pub fn contains(self, index: usize) -> bool {
        self.0 & (1 << index) != 0
    }

    /// How many are in it.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether nobody is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in `self` and not in `other`.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Indexes in ascending order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        core::iter::from_fn(move || {
            let index = (left != 0).then_some(left.trailing_zeros() as usize);
            left &= left.saturating_sub(1);
            index
        })
    }
}

impl fmt::Debug for NodeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(count: u32) -> Members {
        Members::new((1..=count).map(NodeId).collect())
    }

    fn set(bits: u64) -> NodeSet {
        NodeSet(bits)
    }

    /// Attiya, Bar-Noy, Dolev 1995, section 3: correctness rests on any two quorums sharing a member.
    #[test]
    fn any_two_majorities_meet() {
        for count in 1..=7u32 {
            let members = members(count);
            let majorities: Vec<u64> = (0..1u64 << count)
                .filter(|bits| members.tally(set(*bits), NodeSet::EMPTY) == Tally::Reached)
                .collect();
            for a in &majorities {
                assert!(majorities.iter().all(|b| a & b != 0), "{count} members");
            }
        }
    }

    /// The clever tally against a dumb one, for every pair of subsets of up to five members.
    #[test]
    fn the_tally_agrees_with_counting_by_hand() {
        for count in 1..=5u32 {
            let members = members(count);
            for yes in 0..1u64 << count {
                for no in 0..1u64 << count {
                    let mut yeses = 0;
                    let mut open = 0;
                    for index in 0..count {
                        if yes & (1 << index) != 0 {
                            yeses += 1;
                        } else if no & (1 << index) == 0 {
                            open += 1;
                        }
                    }
                    let expected = if 2 * yeses > count {
                        Tally::Reached
                    } else if 2 * (yeses + open) <= count {
                        Tally::Impossible
                    } else {
                        Tally::Pending
                    };
                    assert_eq!(members.tally(set(yes), set(no)), expected, "{count} {yes:b} {no:b}");
                }
            }
        }
    }
}
