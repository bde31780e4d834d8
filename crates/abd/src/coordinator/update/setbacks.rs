//! Who has not done what a phase of consensus asks for, and what follows when no majority is left.

use super::super::step::{FoldStep, Next, Step};
use super::fate::{Fate, Own};
use crate::ballot::Ballot;
use crate::message::Closed;
use crate::quorum::{NodeSet, QuorumSystem};
use crate::version::NodeId;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Setbacks {
    /// Who has promised a higher ballot, or is busy: another ballot may do.
    nacked: NodeSet,
    /// Who has refused for another reason, or is closed.
    refused: NodeSet,
    /// Where to go on, as somebody is closed.
    closed: Option<Next>,
    /// The highest promise that was in the way.
    pub(super) highest: Ballot,
}

impl Setbacks {
    pub(super) const NONE: Self =
        Self { nacked: NodeSet::EMPTY, refused: NodeSet::EMPTY, closed: None, highest: Ballot::MIN };

    /// All of them.
    pub(super) fn all(&self) -> NodeSet {
        self.nacked.union(self.refused)
    }

    /// It has promised this ballot.
    pub(super) fn nack(&mut self, from: NodeId, promised: Ballot) {
        self.highest = self.highest.max(promised);
        self.nacked.insert(from);
    }

    /// It has refused, and may do what is asked of it `later`.
    pub(super) fn refuse(&mut self, from: NodeId, later: bool) {
        if later {
            self.nacked.insert(from)
        } else {
            self.refused.insert(from)
        };
    }

    /// It has done it after all.
    pub(super) fn make_up(&mut self, from: NodeId) {
        self.nacked.remove(from);
        self.refused.remove(from);
    }

    /// It is closed. What follows from the fate of the own proposal, if one is at stake and that is known now.
    pub(super) fn close(
        &mut self,
        quorums: &QuorumSystem,
        own: Option<&mut Own>,
        from: NodeId,
        closed: &Closed,
    ) -> Option<Step> {
        self.refused.insert(from);
        let next = closed.newest.clone().stamped().map_or(Next::Newest, Next::Base);
        let Some(own) = own else {
            self.closed = Some(next);
            return None;
        };
        match own.judge(quorums, from, closed) {
            Fate::Won => Some(Step::Fold(FoldStep::Won)),
            Fate::Lost => Some(Step::Fold(FoldStep::Lost(next))),
            Fate::Unknown => None,
        }
    }

    /// Where to go on with what a closed replica has, if it has told its content.
    pub(super) fn known_base(&mut self) -> Option<Next> {
        self.closed.take_if(|next| matches!(next, Next::Base(_)))
    }

    /// No majority is left. If somebody is closed, and nobody is in the way, there is more to be had at once.
    pub(super) fn give_up(&mut self) -> Step {
        Step::Fold(match self.closed.take() {
            Some(next) if self.nacked.is_empty() => FoldStep::Follow(next),
            _ => FoldStep::Retry,
        })
    }
}
