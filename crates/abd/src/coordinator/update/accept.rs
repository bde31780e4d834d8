//! The second phase of consensus on an update: a majority accepts a proposal under one ballot, which chooses it.

use super::super::step::{FoldStep, Next, Step};
use super::WHOLE_BASE_BYTES;
use super::fate::Own;
use super::setbacks::Setbacks;
use crate::ballot::Ballot;
use crate::message::{Refusal, Reply, Request};
use crate::quorum::{NodeSet, QuorumSystem, Tally};
use crate::time::Instant;
use crate::update::{Base, Proposal};
use crate::value::StampedValue;
use crate::version::NodeId;
use alloc::boxed::Box;
use bytes::Bytes;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Accept {
    pub(super) ballot: Ballot,
    pub(super) base: StampedValue,
    pub(super) proposal: Proposal,
    /// Who is known to have the base.
    holders: NodeSet,
    /// Who has said that it lacks it.
    lacking: NodeSet,
    pub(super) accepted: NodeSet,
    pub(super) setbacks: Setbacks,
    /// When it was sent.
    pub(super) since: Instant,
}

impl Accept {
    pub(super) fn new(
        ballot: Ballot,
        base: StampedValue,
        proposal: Proposal,
        holders: NodeSet,
        since: Instant,
    ) -> Self {
        Self {
            ballot,
            base,
            proposal,
            holders,
            lacking: NodeSet::EMPTY,
            accepted: NodeSet::EMPTY,
            setbacks: Setbacks::NONE,
            since,
        }
    }

    pub(super) fn request(&self, key: Bytes, to: NodeId) -> Request {
        // P7: an acceptance contains its base. It is sent to those who are not known to have it; a large one when they ask for it.
        let is_small = self.base.content.len() <= WHOLE_BASE_BYTES;
        let is_whole = self.lacking.contains(to) || (is_small && !self.holders.contains(to));
        let base = if is_whole { Base::Whole(self.base.clone()) } else { Base::Named(self.base.version) };
        let (base, proposal) = (Box::new(base), Box::new(self.proposal.clone()));
        Request::Accept { key, ballot: self.ballot, base, proposal }
    }

    pub(super) fn answered(&self) -> NodeSet {
        self.accepted.union(self.setbacks.all())
    }

    pub(super) fn absorb(
        &mut self,
        quorums: &QuorumSystem,
        own: Option<&mut Own>,
        from: NodeId,
        reply: Reply,
    ) -> Step {
        match reply {
            Reply::Accepted => {
                self.setbacks.make_up(from);
                self.accepted.insert(from);
                if !quorums.is_quorum(self.accepted) {
                    return Step::Continue;
                }
                // Chosen: nothing else will ever be the successor of this base (rule P1).
                let is_own = own.is_some_and(|own| own.proposal.update == self.proposal.update);
                Step::Fold(if is_own { FoldStep::Won } else { FoldStep::Helped })
            }
            Reply::Nack { promised, .. } => {
                self.setbacks.nack(from, promised);
                self.judge(quorums)
            }
            // The others may choose it all the same.
            Reply::Closed(closed) => {
                self.setbacks.close(quorums, own, from, &closed).unwrap_or_else(|| self.judge(quorums))
            }
            Reply::NeedBase if self.lacking.insert(from) => Step::AskAgain(from),
            // A reply of another kind: not ours to interpret.
            _ => Step::Continue,
        }
    }

    pub(super) fn absorb_refusal(&mut self, quorums: &QuorumSystem, from: NodeId, refusal: Refusal) -> Step {
        if refusal == Refusal::OtherConfiguration {
            // It is asked again as soon as it has that of this epoch.
            return Step::Continue;
        }
        // These may change their minds within the deadline.
        let later = matches!(refusal, Refusal::NotAdmitted | Refusal::Overloaded | Refusal::Busy);
        self.setbacks.refuse(from, later);
        self.judge(quorums)
    }

    fn judge(&mut self, quorums: &QuorumSystem) -> Step {
        match quorums.tally(self.accepted, self.setbacks.all()) {
            Tally::Impossible => self.setbacks.give_up(),
            Tally::Pending | Tally::Reached => Step::Continue,
        }
    }

    /// What it was about was chosen.
    pub(super) fn chosen(self) -> Option<StampedValue> {
        let version = self.base.version.successor()?;
        Some(self.proposal.stamped(version))
    }

    /// As a place to go on.
    pub(super) fn next(self) -> Next {
        self.chosen().map_or(Next::Newest, Next::Base)
    }
}
