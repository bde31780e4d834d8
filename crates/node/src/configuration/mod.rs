//! The configuration of a cluster: who its members are, as a value with an epoch (rules C1 to C3 of docs/PROTOCOL.md).
//!
//! ```text
//! stable{C} ── announced ──► awaiting{C, C'} ── all of C' have shown up ──► joint{C, C'} ── synced (C3) ──► stable{C'}
//!     ▲                           │                                           │
//!     └───────────────────────────┴──────────────── given up ─────────────────┘
//! ```
//!
//! It is the value of a reserved key ([`KEY`]), stored and decided like that of any other key, under the quorums that it names
//! itself; a configuration has one successor (C2), which is decided by an update that is pinned to it. Each has an epoch one above
//! the one before. At most two sets of members are in force at a time.

mod encoding;
mod succession;
#[cfg(test)]
mod tests;

pub use encoding::ConfigurationError;
pub use succession::NotASuccessor;
pub(crate) use succession::are_same;

pub use abd::RESERVED;

use abd::{Members, NodeId, QuorumSystem, Scope, TimestampMode};
use alloc::string::String;
use alloc::vec::Vec;
use sha2::{Digest as _, Sha256};

/// The key whose value the configuration is.
pub const KEY: &[u8] = b"\0atomic-kv\0configuration";

/// The random id of a data directory.
pub type DirectoryId = [u8; 16];

/// What the nodes of a release can do that those of an earlier one cannot. A configuration says which level all members have;
/// what needs a higher one does not begin.
pub const LEVEL: u32 = 1;

/// A member of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// Its id, which is never used for anybody else.
    pub id: NodeId,
    /// Its data directory: the pair of both is who votes (M1). `None` in the first configuration, and for somebody who has not
    /// shown up yet.
    pub directory: Option<DirectoryId>,
    /// Where its peers reach it, HOST:PORT.
    pub address: String,
}

impl Member {
    /// Whether a pair of node and directory is this member, as far as it is named.
    fn may_be(&self, id: NodeId, directory: DirectoryId) -> bool {
        self.id == id && self.directory.is_none_or(|named| named == directory)
    }
}

/// Whether the members are about to change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// They are not.
    Stable,
    /// These are to take their place as soon as all of them have shown up. They have no say.
    Awaiting(Vec<Member>),
    /// These are taking their place: quorums are joint.
    Joint {
        /// Those to come.
        next: Vec<Member>,
        /// Members of old whose directories are gone: nothing that comes from their ids is a vote of theirs.
        lost: Vec<NodeId>,
    },
}

/// Who the members are, in one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Configuration {
    /// Which part of the keys, and which configuration of it, counted from one.
    pub scope: Scope,
    /// How timestamps are chosen.
    pub timestamps: TimestampMode,
    /// What all members can do ([`LEVEL`]); zero for those of a release without configurations.
    pub level: u32,
    /// The next node that joins gets this id.
    pub next_id: u32,
    /// Ascending by id.
    pub members: Vec<Member>,
    /// Who is to come.
    pub stage: Stage,
}

impl Configuration {
    /// The first one: nobody knows the directories yet, and every member has to confirm each of them (rule M1).
    ///
    /// # Panics
    /// When there is no member, more than [`abd::quorum::MEMBERS_MAX`], or one twice.
    pub fn first(addresses: impl IntoIterator<Item = (NodeId, String)>, timestamps: TimestampMode) -> Self {
        let member = |(id, address)| Member { id, directory: None, address };
        let mut members: Vec<Member> = addresses.into_iter().map(member).collect();
        members.sort_by_key(|member| member.id);
        let highest = Members::new(members.iter().map(|member| member.id).collect()).iter().next_back();
        let next_id = highest.map_or(1, |id| id.0.saturating_add(1));
        Self { scope: Scope::FIRST, timestamps, level: 0, next_id, members, stage: Stage::Stable }
    }

    /// Which one it is.
    pub fn epoch(&self) -> u32 {
        self.scope.epoch
    }

    /// Whether it is that with which the cluster began.
    pub fn is_first(&self) -> bool {
        self.scope.epoch == Scope::FIRST.epoch
    }

    /// Those who are to come, in whatever stage.
    pub fn next(&self) -> Option<&[Member]> {
        match &self.stage {
            Stage::Stable => None,
            Stage::Awaiting(next) | Stage::Joint { next, .. } => Some(next),
        }
    }

    /// Whether quorums are joint.
    pub fn is_joint(&self) -> bool {
        matches!(self.stage, Stage::Joint { .. })
    }

    /// Which member heals in it: the members stay who they are, and one of them comes back with another directory.
    pub fn heals(&self) -> Option<NodeId> {
        let next = self.next().filter(|next| next.len() == self.members.len())?;
        let mut pairs = self.members.iter().zip(next);
        let is_same = pairs.clone().all(|(member, to_come)| member.id == to_come.id);
        let healed = pairs.find(|(member, to_come)| member.directory != to_come.directory);
        healed.filter(|_| is_same).map(|(member, _)| member.id)
    }

    /// The same with a digest in place of each directory's id, for those who have not shown who they are: whoever knows an id is believed by
    /// the node that has it.
    #[must_use]
    pub fn disguised(&self) -> Self {
        let mut disguised = self.clone();
        let next = match &mut disguised.stage {
            Stage::Stable => None,
            Stage::Awaiting(next) | Stage::Joint { next, .. } => Some(next),
        };
        let members = disguised.members.iter_mut().chain(next.into_iter().flatten());
        members.for_each(|member| member.directory = member.directory.map(disguise));
        disguised
    }

    /// Those whose answers suffice (C1).
    pub fn quorums(&self) -> QuorumSystem {
        let members = ids(&self.members);
        match &self.stage {
            Stage::Stable | Stage::Awaiting(_) => QuorumSystem::of(members, self.scope),
            Stage::Joint { next, lost } => {
                QuorumSystem::joint(members, ids(next), lost.iter().copied().collect(), self.scope)
            }
        }
    }

    /// Everybody whom it names, voters and those who are awaited: the last known address of each, ascending by id.
    pub fn everybody(&self) -> Vec<&Member> {
        let next = self.next().unwrap_or_default();
        let leaves = |member: &&Member| !next.iter().any(|other| other.id == member.id);
        let mut all: Vec<&Member> = next.iter().chain(self.members.iter().filter(leaves)).collect();
        all.sort_by_key(|member| member.id);
        all
    }

    /// Whether it names a node at all.
    pub fn names(&self, id: NodeId) -> bool {
        self.everybody().iter().any(|member| member.id == id)
    }

    /// Whom it awaits: those to come who are no members, or come with a directory of which nobody knows yet.
    pub fn awaited(&self) -> impl Iterator<Item = &Member> {
        let next = match &self.stage {
            Stage::Awaiting(next) => next.as_slice(),
            Stage::Stable | Stage::Joint { .. } => &[],
        };
        next.iter().filter(|member| !self.members.contains(member))
    }

    /// Rule M1: whether a pair of node and directory is a voter. In the first configuration directories are not named, and it is
    /// for the members to confirm them.
    pub fn is_voter(&self, id: NodeId, directory: DirectoryId) -> bool {
        let is_pair = |member: &Member| member.may_be(id, directory);
        match &self.stage {
            Stage::Stable | Stage::Awaiting(_) => self.members.iter().any(is_pair),
            Stage::Joint { next, lost } => {
                next.iter().any(is_pair) || (!lost.contains(&id) && self.members.iter().any(is_pair))
            }
        }
    }

    /// Whether a pair may have a connection: it votes, or is awaited and may show up.
    pub fn may_connect(&self, id: NodeId, directory: DirectoryId) -> bool {
        self.is_voter(id, directory) || self.awaited().any(|member| member.may_be(id, directory))
    }

    /// The same without the ids of directories, for somebody who has not shown who he is: they are what a node may believe a stranger
    /// by (M1).
    #[must_use]
    pub fn without_directories(&self) -> Self {
        let mut told = self.clone();
        let next = match &mut told.stage {
            Stage::Stable => None,
            Stage::Awaiting(next) | Stage::Joint { next, .. } => Some(next),
        };
        told.members.iter_mut().chain(next.into_iter().flatten()).for_each(|member| member.directory = None);
        told
    }

    /// Whom it names under this peer address: a newcomer before the member whose place it takes, on the same machine perhaps.
    pub fn at(&self, address: &str) -> Option<&Member> {
        let mut all = self.next().into_iter().flatten().chain(&self.members);
        all.find(|member| member.address == address)
    }

    /// The members with their addresses: `1=HOST:PORT,2=HOST:PORT`.
    pub fn text(&self) -> String {
        text(&self.members)
    }
}

/// The digest of a directory's id.
pub(crate) fn disguise(directory: DirectoryId) -> DirectoryId {
    let digest = Sha256::new().chain_update(b"atomic-kv directory").chain_update(directory).finalize();
    core::array::from_fn(|at| digest[at])
}

fn ids(members: &[Member]) -> Members {
    Members::new(members.iter().map(|member| member.id).collect())
}

/// As in `--cluster`.
pub fn text(members: &[Member]) -> String {
    let entries = members.iter().map(|member| alloc::format!("{}={}", member.id, member.address));
    entries.collect::<Vec<_>>().join(",")
}
