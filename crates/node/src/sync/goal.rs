//! What a sync has to come to, and how far it is.

use crate::configuration::{Configuration, Stage};
use crate::repair::ranges::Range;
use abd::{NodeId, Scope};
use alloc::vec::Vec;

/// What a sync has to come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    /// In which joint epoch.
    pub scope: Scope,
    /// The other voters of C.
    pub sources: Vec<NodeId>,
    /// How many are a majority of C.
    pub needed: usize,
    /// If the own pair is one of C: the ranges of which it may have lost something. The rest counts as pulled from it.
    pub own: Option<Vec<Range>>,
}

impl Goal {
    /// That of the node `local` in a configuration: there is one while members change and this node is to be one of them. `lost`: the
    /// ranges of which its own replica may have lost something.
    pub fn of(configuration: &Configuration, local: NodeId, lost: Vec<Range>) -> Option<Self> {
        let Stage::Joint { next, lost: gone } = &configuration.stage else { return None };
        let is_member = next.iter().any(|member| member.id == local);
        let voters = configuration.members.iter().map(|member| member.id).filter(|id| !gone.contains(id));
        is_member.then(|| Self {
            scope: configuration.scope,
            sources: voters.clone().filter(|id| *id != local).collect(),
            needed: configuration.quorums().members().majority(),
            own: voters.clone().any(|id| id == local).then_some(lost),
        })
    }
}

/// How far a replica is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// In which configuration.
    pub scope: Scope,
    /// Rule C3: whether it has everything from a majority of C.
    pub synced: bool,
    /// Whom it has pulled everything from that they could read.
    pub sources: Vec<NodeId>,
    /// How much.
    pub moved: Moved,
    /// Pages that are durable here, of all sources; what is pulled once more does not count again. So it grows as long as the sync comes
    /// nearer to its end.
    pub durable_pages: u64,
}

/// How many keys and bytes have been moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Keys that were looked at.
    pub compared: u64,
    /// Pages that were compared.
    pub pages: u64,
    /// Those of which something differed.
    pub differing: u64,
    /// Keys that differed and were merged.
    pub keys: u64,
    /// Bytes of them and their contents.
    pub bytes: u64,
}

impl core::iter::Sum for Moved {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            compared: sum.compared + one.compared,
            pages: sum.pages + one.pages,
            differing: sum.differing + one.differing,
            keys: sum.keys + one.keys,
            bytes: sum.bytes + one.bytes,
        })
    }
}
