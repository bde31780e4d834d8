//! Updates of one key that are proposed together: a fold. One is in flight for a key and an event loop; what comes meanwhile waits
//! for the next one.

use super::super::machine::First;
use super::super::step::{FoldStep, Next, Step};
use super::super::storing::Storing;
use super::accept::Accept;
use super::fate::Own;
use super::prepare::Prepare;
use crate::ballot::Ballot;
use crate::message::{Refusal, Reply, Request};
use crate::quorum::{NodeSet, QuorumSystem};
use crate::time::Instant;
use crate::update::EvaluatedOperation;
use crate::value::StampedValue;
use crate::version::NodeId;
use alloc::vec::Vec;
use bytes::Bytes;

/// So often it is asked what became of a proposal before it is given up: the first replicas to answer need not be those that know, and a
/// connection that was lost may be up again in a moment.
const LEARNING_ATTEMPTS: u32 = 3;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Fold {
    pub(in super::super) phase: FoldPhase,
    /// What was sent in an Accept and not resolved yet. It stays at its base until it is (rule P3').
    pub(in super::super) own: Option<Own>,
    /// The operations that are being evaluated, or were, in order; and what they came to, when they were.
    pub(in super::super) operations: Vec<u64>,
    pub(super) evaluated: Vec<EvaluatedOperation>,
    /// Operations below this number were invoked before the promises were asked for.
    pub(super) invoked_before: u64,
    /// The newest version whose content is here.
    pub(super) newest: StampedValue,
    /// The highest promise that was in the way.
    pub(super) highest: Ballot,
    /// Attempts in a row that came to nothing.
    pub(super) attempts: u32,
    /// When it began, as long as nobody was in its way.
    pub(super) began: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) enum FoldPhase {
    Prepare(Prepare),
    /// The node evaluates: the ballot and its base, and who has that.
    Evaluate(Prepare),
    Accept(Accept),
    Publish(Storing),
    Pause(Next),
}

impl Fold {
    /// One that has done nothing yet, and knows a version.
    pub(super) fn new(newest: StampedValue) -> Self {
        Self {
            phase: FoldPhase::Pause(Next::Newest),
            own: None,
            operations: Vec::new(),
            evaluated: Vec::new(),
            invoked_before: 0,
            newest,
            highest: Ballot::MIN,
            attempts: 0,
            began: None,
        }
    }

    pub(in super::super) fn first(&self) -> First {
        match &self.phase {
            FoldPhase::Prepare(prepare) if prepare.begins_at_home() => First::Local,
            FoldPhase::Prepare(prepare) if prepare.asks_everybody => {
                First::Everybody { but: NodeSet::EMPTY, is_patient: false }
            }
            FoldPhase::Prepare(_) => First::Majority,
            FoldPhase::Accept(_) | FoldPhase::Publish(_) => {
                First::Everybody { but: NodeSet::EMPTY, is_patient: true }
            }
            FoldPhase::Evaluate(_) | FoldPhase::Pause(_) => First::Nobody,
        }
    }

    pub(in super::super) fn request(&self, key: Bytes, to: NodeId) -> Request {
        match &self.phase {
            FoldPhase::Prepare(prepare) => prepare.request(key, to),
            FoldPhase::Accept(accept) => accept.request(key, to),
            FoldPhase::Publish(storing) => storing.request(key),
            FoldPhase::Evaluate(_) | FoldPhase::Pause(_) => unreachable!("whoever waits calls nobody"),
        }
    }

    pub(in super::super) fn answered(&self) -> NodeSet {
        match &self.phase {
            FoldPhase::Prepare(prepare) => prepare.answered(),
            FoldPhase::Accept(accept) => accept.answered(),
            FoldPhase::Publish(storing) => storing.answered(),
            FoldPhase::Evaluate(_) | FoldPhase::Pause(_) => NodeSet::EMPTY,
        }
    }

    pub(in super::super) fn counted(&self) -> NodeSet {
        match &self.phase {
            FoldPhase::Prepare(prepare) | FoldPhase::Evaluate(prepare) => prepare.promised,
            FoldPhase::Accept(accept) => accept.accepted,
            FoldPhase::Publish(storing) => storing.held,
            FoldPhase::Pause(_) => NodeSet::EMPTY,
        }
    }

    pub(in super::super) fn is_question(&self) -> bool {
        matches!(self.phase, FoldPhase::Prepare(_))
    }

    /// Whether another ballot may do what this one does not: somebody has refused.
    pub(in super::super) fn is_in_trouble(&self) -> bool {
        match &self.phase {
            FoldPhase::Prepare(prepare) => !prepare.setbacks.all().is_empty(),
            FoldPhase::Accept(accept) => !accept.setbacks.all().is_empty(),
            _ => false,
        }
    }

    /// Whether its proposal was not accepted by all who can be reached, and all of them have answered.
    pub(in super::super) fn waits_for_nobody_but(
        &self,
        unreachable: NodeSet,
        quorums: &QuorumSystem,
    ) -> bool {
        let FoldPhase::Accept(accept) = &self.phase else { return false };
        self.is_in_trouble() && quorums.voters().minus(unreachable).minus(accept.answered()).is_empty()
    }

    /// Whether it is not worth while to ask once more what became of its proposal.
    pub(super) fn is_beyond_learning(&self, quorums: &QuorumSystem, unreachable: NodeSet) -> bool {
        self.attempts >= LEARNING_ATTEMPTS
            && self.own.as_ref().is_some_and(|own| own.is_beyond_learning(quorums, unreachable))
    }

    pub(in super::super) fn is_paused(&self) -> bool {
        matches!(self.phase, FoldPhase::Pause(_))
    }

    pub(in super::super) fn absorb(&mut self, quorums: &QuorumSystem, from: NodeId, reply: Reply) -> Step {
        let own = self.own.as_mut();
        match (&mut self.phase, reply) {
            (FoldPhase::Prepare(prepare), reply) => prepare.absorb(quorums, own, from, reply),
            (FoldPhase::Accept(accept), reply) => accept.absorb(quorums, own, from, reply),
            (FoldPhase::Publish(storing), Reply::Written { .. }) => {
                match storing.absorb_written(quorums, from) {
                    true => Step::Fold(FoldStep::Published),
                    false => Step::Continue,
                }
            }
            _ => Step::Continue,
        }
    }

    pub(in super::super) fn absorb_refusal(
        &mut self,
        quorums: &QuorumSystem,
        from: NodeId,
        refusal: Refusal,
    ) -> Step {
        match &mut self.phase {
            FoldPhase::Prepare(prepare) => prepare.absorb_refusal(quorums, self.own.is_none(), from, refusal),
            FoldPhase::Accept(accept) => accept.absorb_refusal(quorums, from, refusal),
            FoldPhase::Publish(storing) => match storing.absorb_refusal(quorums, from, refusal) {
                Some(reason) => Step::Fold(FoldStep::Unpublished(reason)),
                None => Step::Continue,
            },
            FoldPhase::Evaluate(_) | FoldPhase::Pause(_) => Step::Continue,
        }
    }

    /// Where it goes on: at the base of what it has proposed, as long as the fate of that is unknown (rule P3').
    pub(in super::super) fn next_attempt(&self) -> Next {
        self.own.as_ref().map_or(Next::Newest, |own| Next::Base(own.base.clone()))
    }

    /// The highest promise that was in the way of the phase that ends, and the newest version that it has seen.
    pub(super) fn learn(&mut self) {
        let (highest, newest) = match &self.phase {
            FoldPhase::Prepare(prepare) => (prepare.setbacks.highest, &prepare.base),
            FoldPhase::Accept(accept) => (accept.setbacks.highest, &accept.base),
            _ => return,
        };
        self.highest = self.highest.max(highest);
        if newest.version > self.newest.version {
            self.newest = newest.clone();
        }
    }
}
