//! What an operation in flight is doing: one of the state machines, in one of its phases. A phase is a scope: it owns its
//! outstanding calls, and when it ends none of their replies counts any more.

use super::get::Get;
use super::step::{Settled, Step};
use super::update::Member;
use super::update::fold::Fold;
use super::update::look::Look;
use super::write::Write;
use crate::issuer::TimestampIssuer;
use crate::message::{Refusal, Reply, Request};
use crate::quorum::{NodeSet, QuorumSystem};
use crate::time::Now;
use crate::version::NodeId;
use alloc::boxed::Box;
use bytes::Bytes;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Machine {
    Get(Get),
    Write(Write),
    /// An Update that looks whether it changes anything.
    Look(Look),
    /// An Update that waits for the fold of its key, or is a part of it; or a Get of a value that is due to expire.
    Member(Member),
    /// Updates of one key on their way to consensus.
    Fold(Box<Fold>),
    /// Everything is durable; TrueTime waits out the uncertainty (rule T1).
    CommitWait(Settled),
}

/// Whom a fresh phase calls first.
pub(super) enum First {
    Nobody,
    /// The own replica alone, so that the others need not send a content that is already here.
    Local,
    Majority,
    /// Everybody but these, who have it already. Those beyond a majority may wait, if nobody waits for more.
    Everybody {
        but: NodeSet,
        is_patient: bool,
    },
}

impl Machine {
    /// Whom it calls first.
    pub(super) fn first(&self) -> First {
        match self {
            Self::Get(Get::Read(_)) | Self::Look(_) => First::Local,
            Self::Get(Get::WriteBack(storing)) => First::Everybody { but: storing.held, is_patient: false },
            Self::Write(Write::ReadTimestamp(_)) => First::Majority,
            Self::Write(Write::Store(storing, _)) => First::Everybody { but: storing.held, is_patient: true },
            Self::Fold(fold) => fold.first(),
            Self::Member(_) | Self::CommitWait(_) => First::Nobody,
        }
    }

    /// The current phase's request to a member.
    pub(super) fn request(&self, key: Bytes, to: NodeId) -> Request {
        match self {
            Self::Get(get) => get.request(key),
            Self::Write(write) => write.request(key),
            Self::Look(look) => look.reading.request(key),
            Self::Fold(fold) => fold.request(key, to),
            Self::Member(_) | Self::CommitWait(_) => unreachable!("whoever waits calls nobody"),
        }
    }

    /// Who has answered the current phase.
    pub(super) fn answered(&self) -> NodeSet {
        match self {
            Self::Get(Get::Read(reading)) => reading.answered,
            Self::Get(Get::WriteBack(storing)) | Self::Write(Write::Store(storing, _)) => storing.answered(),
            Self::Write(Write::ReadTimestamp(query)) => query.answered.union(query.unwritable),
            Self::Look(look) => look.reading.answered,
            Self::Fold(fold) => fold.answered(),
            Self::Member(_) | Self::CommitWait(_) => NodeSet::EMPTY,
        }
    }

    /// Who has done what the current phase is about: of a refusal nobody is one nearer to a majority.
    pub(super) fn counted(&self) -> NodeSet {
        match self {
            Self::Get(Get::Read(reading)) => reading.answered,
            Self::Get(Get::WriteBack(storing)) | Self::Write(Write::Store(storing, _)) => storing.held,
            Self::Write(Write::ReadTimestamp(query)) => query.answered,
            Self::Look(look) => look.reading.answered,
            Self::Fold(fold) => fold.counted(),
            Self::Member(_) | Self::CommitWait(_) => NodeSet::EMPTY,
        }
    }

    /// Whether it asks, and a majority is as good as everybody.
    pub(super) fn is_question(&self) -> bool {
        match self {
            Self::Get(Get::Read(_)) | Self::Write(Write::ReadTimestamp(_)) | Self::Look(_) => true,
            Self::Fold(fold) => fold.is_question(),
            _ => false,
        }
    }

    /// Whether the operation has had no effect so far, and will have none when it ends here (rule A1).
    pub(super) fn had_no_effect(&self) -> bool {
        match self {
            Self::Get(_) | Self::Write(Write::ReadTimestamp(_)) | Self::Look(_) => true,
            Self::Write(Write::Store(..)) => false,
            Self::Member(member) => !member.may_have_effect(),
            Self::CommitWait(settled) => !settled.had_effect,
            Self::Fold(_) => unreachable!("a fold is no operation"),
        }
    }

    /// Counts a reply of the current phase.
    pub(super) fn absorb(
        &mut self,
        quorums: &QuorumSystem,
        issuer: &TimestampIssuer,
        from: NodeId,
        reply: Reply,
        now: Now,
    ) -> Step {
        match self {
            Self::Get(get) => get.absorb(quorums, from, reply, now),
            Self::Write(write) => write.absorb(quorums, issuer, from, reply),
            Self::Look(look) => look.absorb(quorums, from, reply),
            Self::Fold(fold) => fold.absorb(quorums, from, reply),
            Self::Member(_) | Self::CommitWait(_) => Step::Continue,
        }
    }

    /// Counts a refusal of the current phase.
    pub(super) fn absorb_refusal(&mut self, quorums: &QuorumSystem, from: NodeId, refusal: Refusal) -> Step {
        match self {
            Self::Get(get) => get.absorb_refusal(quorums, from, refusal),
            Self::Write(write) => write.absorb_refusal(quorums, from, refusal),
            Self::Look(_) => Step::AskEverybody,
            Self::Fold(fold) => fold.absorb_refusal(quorums, from, refusal),
            Self::Member(_) | Self::CommitWait(_) => Step::Continue,
        }
    }
}
