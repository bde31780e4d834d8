//! Who is a member, and who suffices: a majority. Any two majorities meet, which is all that ABD needs of them.
//!
//! Members change while the cluster serves (rules C1 to C3), so what suffices is a value with an epoch, a [`QuorumSystem`]. While one
//! set of members takes the place of another one, a quorum is a majority of both.

use crate::ballot::Scope;
use crate::version::NodeId;
use alloc::vec::Vec;
use core::fmt;

/// Members of one configuration at the most.
pub const MEMBERS_MAX: usize = 7;
/// Members that are in force at a time at the most: those of a configuration and of the one that takes its place.
pub const VOTERS_MAX: usize = 2 * MEMBERS_MAX;

/// The replicas of one configuration, in ascending order of id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Members(NodeSet);

/// A set of nodes. What is known of a node stays true of it when others come or go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeSet {
    /// Ascending; behind them zeros, which are the id of nobody.
    ids: [NodeId; VOTERS_MAX],
    count: u32,
}

/// How a round of requests stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tally {
    /// More answers are needed and possible.
    Pending,
    /// A quorum is in.
    Reached,
    /// Too many said no: a quorum cannot come together.
    Impossible,
}

/// Whose answers suffice, in one epoch: a majority of the members, and while they change also one of those to come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QuorumSystem {
    scope: Scope,
    members: Members,
    joint: Option<Joint>,
    /// Everybody whose answer may count.
    voters: NodeSet,
}

/// What takes the place of the members.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Joint {
    next: Members,
    /// Members whose directory is gone: they count as members, and no answer comes from them but as one of those to come.
    lost: NodeSet,
}

impl Members {
    /// From ids in any order.
    ///
    /// # Panics
    /// When there are none, more than [`MEMBERS_MAX`], or one twice: configuration is checked before it comes here.
    pub fn new(ids: Vec<NodeId>) -> Self {
        let count = ids.len();
        assert!((1..=MEMBERS_MAX).contains(&count), "a cluster has 1 to {MEMBERS_MAX} members, not {count}");
        let set: NodeSet = ids.into_iter().collect();
        assert!(set.len() == count, "a node id is listed twice");
        Self(set)
    }

    /// How many members there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest number of members that is a majority: `N/2 + 1`.
    pub fn majority(&self) -> usize {
        self.0.len() / 2 + 1
    }

    /// Whether it is one of them.
    pub fn contains(&self, id: NodeId) -> bool {
        self.0.contains(id)
    }

    /// All of them, ascending.
    pub fn ids(&self) -> &[NodeId] {
        self.0.as_slice()
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = NodeId> + Clone + '_ {
        self.ids().iter().copied()
    }

    /// Every member as a set.
    pub fn all(&self) -> NodeSet {
        self.0
    }

    /// Whether `yes` has a majority, may come to have one, or cannot any more because of `no`.
    fn tally(&self, yes: NodeSet, no: NodeSet) -> Tally {
        let yes = self.0.common(yes);
        if yes.len() >= self.majority() {
            Tally::Reached
        } else if self.count() - self.0.common(no).minus(yes).len() < self.majority() {
            Tally::Impossible
        } else {
            Tally::Pending
        }
    }
}

impl QuorumSystem {
    /// A majority of these.
    pub fn of(members: Members, scope: Scope) -> Self {
        Self { scope, voters: members.all(), members, joint: None }
    }

    /// A majority of these and one of `next`. `lost`: those of `members` whose directory is gone.
    pub fn joint(members: Members, next: Members, lost: NodeSet, scope: Scope) -> Self {
        let voters = members.all().minus(lost).union(next.all());
        Self { scope, voters, members, joint: Some(Joint { next, lost }) }
    }

    /// In which configuration they suffice.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// The members, without those to come.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// Those to come, while the members change.
    pub fn next(&self) -> Option<&Members> {
        self.joint.as_ref().map(|joint| &joint.next)
    }

    /// Everybody whose answer may count.
    pub fn voters(&self) -> NodeSet {
        self.voters
    }

    /// Whether these suffice.
    pub fn is_quorum(&self, yes: NodeSet) -> bool {
        self.tally(yes, NodeSet::EMPTY) == Tally::Reached
    }

    /// Whether a quorum is left without these.
    pub fn suffices_without(&self, no: NodeSet) -> bool {
        self.tally(NodeSet::EMPTY, no) != Tally::Impossible
    }

    /// Whether `yes` suffices, may come to suffice, or cannot any more because of `no`.
    pub fn tally(&self, yes: NodeSet, no: NodeSet) -> Tally {
        let Some(Joint { next, lost }) = &self.joint else { return self.members.tally(yes, no) };
        let old = self.members.tally(yes.minus(*lost), no.union(*lost));
        match (old, next.tally(yes, no)) {
            (Tally::Reached, Tally::Reached) => Tally::Reached,
            (Tally::Impossible, _) | (_, Tally::Impossible) => Tally::Impossible,
            _ => Tally::Pending,
        }
    }

    /// How these stand where they are furthest from sufficing: how many of them count there, how many are needed, of how many.
    pub fn shortfall(&self, yes: NodeSet) -> (usize, usize, usize) {
        let of = |members: &Members, yes: NodeSet| {
            (members.0.common(yes).len(), members.majority(), members.count())
        };
        let Some(Joint { next, lost }) = &self.joint else { return of(&self.members, yes) };
        let (old, new) = (of(&self.members, yes.minus(*lost)), of(next, yes));
        let missing = |(yes, needed, _): (usize, usize, usize)| needed.saturating_sub(yes);
        if missing(new) > missing(old) { new } else { old }
    }
}

impl NodeSet {
    /// Nobody.
    pub const EMPTY: Self = Self { ids: [NodeId(0); VOTERS_MAX], count: 0 };

    fn as_slice(&self) -> &[NodeId] {
        &self.ids[..self.count as usize]
    }

    /// Adds a node; whether it is new.
    ///
    /// # Panics
    /// When there are [`VOTERS_MAX`] others in it, or the id is zero.
    pub fn insert(&mut self, id: NodeId) -> bool {
        assert!(id.0 > 0, "node ids begin at 1");
        let count = self.count as usize;
        let place = self.as_slice().iter().position(|other| *other >= id).unwrap_or(count);
        if place < count && self.ids[place] == id {
            return false;
        }
        assert!(count < VOTERS_MAX, "a set of nodes has room for {VOTERS_MAX}");
        self.ids.copy_within(place..count, place + 1);
        self.ids[place] = id;
        self.count += 1;
        true
    }

    /// Takes a node out.
    pub fn remove(&mut self, id: NodeId) {
        if self.contains(id) {
            *self = self.iter().filter(|other| *other != id).collect();
        }
    }

    /// Whether a node is in it.
    pub fn contains(self, id: NodeId) -> bool {
        self.as_slice().contains(&id)
    }

    /// How many are in it.
    pub fn len(self) -> usize {
        self.count as usize
    }

    /// Whether nobody is in it.
    pub fn is_empty(self) -> bool {
        self.count == 0
    }

    /// Those in `self` and not in `other`.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        if other.is_empty() { self } else { self.iter().filter(|id| !other.contains(*id)).collect() }
    }

    /// Those in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        let mut both = self;
        other.iter().for_each(|id| _ = both.insert(id));
        both
    }

    /// Those in both.
    #[must_use]
    pub fn common(self, other: Self) -> Self {
        if self == other { self } else { self.iter().filter(|id| other.contains(*id)).collect() }
    }

    /// The nodes in ascending order.
    pub fn iter(self) -> impl Iterator<Item = NodeId> {
        self.ids.into_iter().take(self.count as usize)
    }
}

impl Default for NodeSet {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl FromIterator<NodeId> for NodeSet {
    fn from_iter<T: IntoIterator<Item = NodeId>>(ids: T) -> Self {
        let mut set = Self::EMPTY;
        ids.into_iter().for_each(|id| _ = set.insert(id));
        set
    }
}

impl fmt::Debug for NodeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|id| id.0)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(ids: impl IntoIterator<Item = u32>) -> Members {
        Members::new(ids.into_iter().map(NodeId).collect())
    }

    /// The nodes whose bits are set, the lowest is node 1.
    fn set(bits: u64) -> NodeSet {
        (0..64).filter(|bit| bits & (1 << bit) != 0).map(|bit| NodeId(bit + 1)).collect()
    }

    fn plain(members: Members) -> QuorumSystem {
        QuorumSystem::of(members, Scope::FIRST)
    }

    #[test]
    fn a_set_is_one_of_ids_in_their_order() {
        let ids = [7, 3, 1_000_000, 3, 1];
        let mut set: NodeSet = ids.into_iter().map(NodeId).collect();
        assert_eq!(set.iter().map(|id| id.0).collect::<Vec<_>>(), [1, 3, 7, 1_000_000]);
        assert!(!set.insert(NodeId(7)) && set.contains(NodeId(1_000_000)) && !set.contains(NodeId(2)));
        set.remove(NodeId(3));
        set.remove(NodeId(4));
        assert_eq!(set, [NodeId(1_000_000), NodeId(7), NodeId(1)].into_iter().collect());
        let other: NodeSet = [NodeId(7), NodeId(8)].into_iter().collect();
        assert_eq!((set.common(other).len(), set.minus(other).len(), set.union(other).len()), (1, 2, 4));
    }

    /// Attiya, Bar-Noy, Dolev 1995, section 3: correctness rests on any two quorums sharing a member.
    #[test]
    fn any_two_majorities_meet() {
        for count in 1..=7u32 {
            let quorums = plain(members(1..=count));
            let majorities: Vec<u64> =
                (0..1u64 << count).filter(|bits| quorums.is_quorum(set(*bits))).collect();
            for a in &majorities {
                assert!(majorities.iter().all(|b| a & b != 0), "{count} members");
            }
        }
    }

    /// The clever tally against a dumb one, for every pair of subsets of up to five members.
    #[test]
    fn the_tally_agrees_with_counting_by_hand() {
        for count in 1..=5u32 {
            let quorums = plain(members(1..=count));
            for yes in 0..1u64 << count {
                for no in 0..1u64 << count {
                    let open = (!(yes | no) & ((1 << count) - 1)).count_ones();
                    let yeses = yes.count_ones();
                    let expected = if 2 * yeses > count {
                        Tally::Reached
                    } else if 2 * (yeses + open) <= count {
                        Tally::Impossible
                    } else {
                        Tally::Pending
                    };
                    assert_eq!(quorums.tally(set(yes), set(no)), expected, "{count} {yes:b} {no:b}");
                }
            }
        }
    }

    /// C1 (docs/PROTOCOL.md): a quorum of the joint epoch meets every quorum of the one before and of the one after.
    #[test]
    fn c1_joint_quorums_meet_those_of_both_sides() {
        for (old, new) in [(1..=3, 3..=5), (1..=3, 1..=5), (2..=6, 1..=3), (1..=1, 1..=3), (1..=3, 4..=6)] {
            let (old, new) = (members(old), members(new));
            let joint = QuorumSystem::joint(old.clone(), new.clone(), NodeSet::EMPTY, Scope::FIRST);
            let (old, new) = (plain(old), plain(new));
            for bits in 0..1u64 << 6 {
                let yes = set(bits);
                assert_eq!(joint.is_quorum(yes), old.is_quorum(yes) && new.is_quorum(yes));
                let without = old.suffices_without(yes) && new.suffices_without(yes);
                assert_eq!(joint.suffices_without(yes), without, "{yes:?}");
            }
            assert!(joint.is_quorum(joint.voters()));
        }
    }

    /// BL5 (docs/PROTOCOL.md): whose directory is gone has no say as the member that it was.
    #[test]
    fn bl5_a_lost_directory_counts_on_one_side_alone() {
        let three = members(1..=3);
        let joint = QuorumSystem::joint(three.clone(), three, set(0b100), Scope::FIRST);
        assert!(!joint.is_quorum(set(0b101)) && joint.is_quorum(set(0b011)) && joint.is_quorum(set(0b111)));
        assert_eq!(joint.shortfall(set(0b101)), (1, 2, 3));
        assert!(!joint.suffices_without(set(0b001)) && joint.suffices_without(set(0b100)));
    }
}
