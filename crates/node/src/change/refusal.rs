//! Why a change is not begun.

use super::HELD_OFF;
use abd::NodeId;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Why a change is not begun. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody has this id.
    #[error("there is no node {id}: the members are {members}")]
    UnknownNode {
        /// Which one.
        id: NodeId,
        /// Those that there are.
        members: String,
    },
    /// It is no address.
    #[error("'{0}' is no HOST:PORT")]
    NoAddress(String),
    /// Two nodes would have one address.
    #[error("{address} is the address of node {id}, which stays")]
    AddressInUse {
        /// Which one.
        address: String,
        /// Whose it is.
        id: NodeId,
    },
    /// Something is named twice.
    #[error("{0} is named twice")]
    Twice(String),
    /// The members would stay the same.
    #[error("nobody would be added or removed")]
    Nothing,
    /// An even number of members, and nobody said that it is meant.
    #[error(
        "there would be {0} members, and an even number survives no more failures than one member less; say EVEN (--even) if it is meant"
    )]
    Even(usize),
    /// More or fewer members than a cluster may have.
    #[error("there would be {0} members, and a cluster has 1 to {max}", max = abd::quorum::MEMBERS_MAX)]
    Count(usize),
    /// The members cannot decide anything now.
    #[error("of the members {members} there answer {who}, and a change is decided by {needed} of {count}")]
    NoMajority {
        /// All of them.
        members: String,
        /// Those that answer.
        who: String,
        /// How many are needed.
        needed: usize,
        /// Of so many.
        count: usize,
    },
    /// The new members could not decide anything.
    #[error("of the new members {members} there would answer {sum}, and {needed} are needed")]
    NoMajorityAfterwards {
        /// All of them.
        members: String,
        /// Who would answer, counted.
        sum: String,
        /// How many are needed.
        needed: usize,
    },
    /// What was to be given up is in force.
    #[error("the change is through: since epoch {epoch} at the latest the members are {members}")]
    Through {
        /// In which epoch that was found.
        epoch: u32,
        /// Who they are.
        members: String,
    },
    /// It is not an operator who has begun what is under way.
    #[error(
        "node {id} is healing (epoch {epoch}); wait for the end of that, or give it up with abort-change: nobody heals for {held} s then, and \
         another change may begin",
        held = HELD_OFF.as_secs()
    )]
    Healing {
        /// Which member.
        id: NodeId,
        /// In which epoch.
        epoch: u32,
    },
    /// One change at a time.
    #[error(
        "another change is under way (epoch {epoch}, {stage}: {from} -> {to}); wait for its end, or give it up with abort-change"
    )]
    UnderWay {
        /// In which epoch.
        epoch: u32,
        /// How far.
        stage: &'static str,
        /// The members.
        from: String,
        /// Those to come.
        to: String,
    },
    /// An older release.
    #[error("node {0} runs a release that cannot change the members: upgrade it first")]
    Level(NodeId),
    /// An older release, which tells nothing; or it has just been connected.
    #[error(
        "node {0} answers and does not tell what its release can do, as one that cannot change the members: upgrade it, or repeat this in a few \
         seconds if that is done"
    )]
    LevelUntold(NodeId),
    /// Perhaps an older release.
    #[error(
        "node {0} does not answer, so nobody knows whether its release can change the members: start it, or take it out with the same change"
    )]
    LevelUnknown(NodeId),
    /// Rule M1: who votes is named with his directory.
    #[error(
        "node {0} has not shown its directory since the cluster began, so nobody can name it (M1): start it first"
    )]
    DirectoryUnknown(NodeId),
    /// A member that has lost something needs the others.
    #[error(
        "node {id} cannot heal: there are keys of which {whole} of {count} members are known to be whole, and {needed} are needed; heal the others first, \
         or bring their data back"
    )]
    TooFewWhole {
        /// Who would heal.
        id: NodeId,
        /// How many have them.
        whole: usize,
        /// Members.
        count: usize,
        /// How many are needed.
        needed: usize,
    },
    /// Epochs or ids are used up.
    #[error("{0} are used up")]
    UsedUp(&'static str),
}

/// `1, 2, 3`.
pub(super) fn list(ids: impl IntoIterator<Item = NodeId>) -> String {
    ids.into_iter().map(|id| id.to_string()).collect::<Vec<_>>().join(", ")
}

/// `2 (1, 2)`, or `nobody`.
pub(super) fn counted(ids: &[NodeId]) -> String {
    if ids.is_empty() { "nobody".into() } else { format!("{} ({})", ids.len(), list(ids.iter().copied())) }
}
