//! Read-modify-write: what the core knows of the functions that clients apply to a key, and what consensus decides about them.
//!
//! The core folds functions, proposes what comes of them, and has one proposal chosen for each base (rule P1). It knows that there is
//! a function from a content to a content and an answer, and not which: the node that coordinates an update evaluates it.

use crate::ballot::{Ballot, UpdateId};
use crate::counted::copied;
use crate::operation::OperationId;
use crate::value::{Content, Deadline, StampedValue};
use crate::version::Version;
use alloc::vec::Vec;
use bytes::Bytes;

/// A function of a key's content, as a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Function {
    /// What the node understands.
    pub encoded: Bytes,
    /// Whether it has no condition that may fail. A hint: to look first whether it changes anything is then of no use.
    pub always_changes: bool,
}

/// What a function answers, as a value.
pub type FunctionAnswer = Bytes;

/// Functions to be applied to a base, for [`Coordinator::handle_evaluated`](crate::Coordinator::handle_evaluated).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Evaluation {
    /// To be returned with what comes of it.
    pub id: EvaluationId,
    /// The key.
    pub key: Bytes,
    /// What they are applied to.
    pub base: StampedValue,
    /// The functions of each operation, in order. One without functions is a Get of a value that is due to expire: it is to be told
    /// what the key holds, so nothing changes behind it in a fold.
    pub operations: Vec<Vec<Function>>,
}

/// Which evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EvaluationId {
    /// The operation, or the fold of several.
    pub operation: OperationId,
    /// Its phase.
    pub phase: u32,
}

/// What functions have come to: a fold of operations, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Evaluated {
    /// The operations that were taken, from the first on: at least one. The others are to be applied in a fold of their own.
    pub operations: Vec<EvaluatedOperation>,
    /// The content after the last of them.
    pub content: Content,
    /// When it expires.
    pub deadline: Deadline,
}

/// What the functions of one operation have come to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EvaluatedOperation {
    /// The answer of each.
    pub answers: Vec<FunctionAnswer>,
    /// Whether any of them changes the key.
    pub changes: bool,
}

/// What is proposed to become the successor of a base.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Proposal {
    /// Whose it is.
    pub update: UpdateId,
    /// The content.
    pub content: Content,
    /// When it expires.
    pub deadline: Deadline,
}

/// Contents up to this size are copied where they are kept: what came over a lane keeps a whole buffer alive.
const COPIED_BYTES: usize = 32 << 10;

impl Proposal {
    /// The same in memory of its own, to be kept.
    pub(crate) fn kept(self) -> Self {
        match &self.content {
            Content::Value(value) if value.len() <= COPIED_BYTES => {
                Self { content: Content::Value(copied(value)), ..self }
            }
            _ => self,
        }
    }

    /// It was chosen: the version that it has become.
    pub fn stamped(self, version: Version) -> StampedValue {
        let Self { update, content, deadline } = self;
        StampedValue { version, content, deadline, update }
    }
}

/// A proposal that was accepted, and under which ballot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acceptance {
    /// The ballot.
    pub ballot: Ballot,
    /// The proposal.
    pub proposal: Proposal,
}

/// What a replica keeps durably of the one instance of a key that is alive: what it has accepted, and for which base (rule P2').
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AcceptedRecord {
    /// The base.
    pub base: Version,
    /// What was accepted last.
    pub acceptance: Acceptance,
}

/// A base, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Base {
    /// To a replica that is known to have it, or that may have it.
    Named(Version),
    /// With its content.
    Whole(StampedValue),
}

impl Base {
    /// Its version.
    pub fn version(&self) -> Version {
        match self {
            Self::Named(version) => *version,
            Self::Whole(stamped) => stamped.version,
        }
    }
}

/// What a replica knows of what it has accepted for a base at which it is closed (rule P3').
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AcceptedThere {
    /// Nothing, since this run of it began.
    Nothing,
    /// This, last.
    Update {
        /// Whose it is.
        update: UpdateId,
        /// It was accepted under no lower ballot, or the proposal of another one was accepted after that.
        lowest: Ballot,
        /// The last ballot under which it was accepted.
        highest: Ballot,
    },
    /// It may have accepted something, and does not know any more.
    Forgotten,
}

/// Who may have learned from a replica what it has accepted at a base: the ballots of the promises that said it. Without one of these
/// nobody can bring the proposal to others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Told(Option<Vec<Ballot>>);

impl Told {
    /// Nobody.
    pub const NOBODY: Self = Self(Some(Vec::new()));
    /// Perhaps anybody.
    pub const ANYBODY: Self = Self(None);
    /// More than these are not remembered one by one: they are anybody.
    pub const MAX: usize = 8;

    /// Of these ballots.
    pub fn of(ballots: Vec<Ballot>) -> Self {
        Self(Some(ballots).filter(|ballots| ballots.len() <= Self::MAX))
    }

    /// The ballots, if all of them are known.
    pub fn ballots(&self) -> Option<&[Ballot]> {
        self.0.as_deref()
    }

    /// The proposer of this ballot is told, too.
    pub(crate) fn tell(&mut self, ballot: Ballot) {
        if let Some(ballots) = self.0.as_mut().filter(|ballots| !ballots.contains(&ballot)) {
            ballots.push(ballot);
            if ballots.len() > Self::MAX {
                *self = Self::ANYBODY;
            }
        }
    }

    /// Whether nobody was told but the proposers of some of these ballots.
    pub(crate) fn is_only(&self, known: &[Ballot]) -> bool {
        self.ballots().is_some_and(|told| told.iter().all(|ballot| known.contains(ballot)))
    }
}
