//! Sets of nodes by id, and which of them are a majority.

use abd::{Members, NodeId};
use core::fmt;

/// Nodes in a set at the most.
const VOTERS_MAX: usize = 14;

/// A set of nodes. What is known of a node stays true of it when others come or go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeSet {
    /// Ascending; behind them zeros, which are the id of nobody.
    ids: [u32; VOTERS_MAX],
    count: u32,
}

impl NodeSet {
    /// Nobody.
    pub const EMPTY: Self = Self { ids: [0; VOTERS_MAX], count: 0 };

    fn as_slice(&self) -> &[u32] {
        &self.ids[..self.count as usize]
    }

    /// Adds a node; whether it is new.
    ///
    /// # Panics
    /// When there are [`VOTERS_MAX`] others in it, or the id is zero.
    pub fn insert(&mut self, id: NodeId) -> bool {
        assert!(id.0 > 0, "node ids begin at 1");
        let count = self.count as usize;
        let place = self.as_slice().iter().position(|other| *other >= id.0).unwrap_or(count);
        if place < count && self.ids[place] == id.0 {
            return false;
        }
        assert!(count < VOTERS_MAX, "a set of nodes has room for {VOTERS_MAX}");
        self.ids.copy_within(place..count, place + 1);
        self.ids[place] = id.0;
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
        self.as_slice().contains(&id.0)
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
        self.ids.into_iter().take(self.count as usize).map(NodeId)
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

/// All members, ascending.
pub fn ids(members: &Members) -> impl Iterator<Item = NodeId> + '_ {
    members.ids().iter().copied()
}

/// Whether these are a majority.
pub fn is_majority(members: &Members, yes: NodeSet) -> bool {
    ids(members).filter(|id| yes.contains(*id)).count() >= members.majority()
}

/// Whether a majority is left without these.
pub fn suffices_without(members: &Members, no: NodeSet) -> bool {
    ids(members).filter(|id| !no.contains(*id)).count() >= members.majority()
}
