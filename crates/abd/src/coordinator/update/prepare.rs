//! The first phase of consensus on an update: promises of a majority for one base.

use super::super::step::{FoldStep, Next, Step};
use super::WHOLE_BASE_BYTES;
use super::fate::Own;
use super::setbacks::Setbacks;
use crate::ballot::Ballot;
use crate::message::{Promise, Refusal, Reply, Request};
use crate::quorum::{NodeSet, QuorumSystem, Tally};
use crate::update::{Acceptance, Base};
use crate::value::{Glimpse, StampedValue};
use crate::version::NodeId;
use alloc::boxed::Box;
use bytes::Bytes;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Prepare {
    pub(super) ballot: Ballot,
    /// Whether it is about the base below and no other; else about whatever is the newest version of a majority.
    is_fixed: bool,
    /// Whether a majority does not do: what happened at the base is asked, too.
    pub(super) asks_everybody: bool,
    /// The base, or the newest version seen.
    pub(super) base: StampedValue,
    /// Who has promised for it.
    pub(super) promised: NodeSet,
    /// Who has promised for an older one.
    behind: NodeSet,
    pub(super) setbacks: Setbacks,
    /// Who has said that it lacks the base.
    lacking: NodeSet,
    /// Who has said that its disk is full.
    pub(super) unwritable: NodeSet,
    /// Who has no room for the base.
    full: NodeSet,
    /// Whether what is to be proposed is a value, for which a promise of those is not enough.
    needs_room: bool,
    /// The highest that was accepted for the base.
    pub(super) accepted: Option<Acceptance>,
}

impl Prepare {
    /// For the version that `next` says, knowing `newest`.
    pub(super) fn new(ballot: Ballot, next: Next, newest: StampedValue, asks_everybody: bool) -> Self {
        let (is_fixed, base) = match next {
            Next::Newest => (false, newest),
            Next::Base(base) => (true, base),
        };
        Self {
            ballot,
            is_fixed,
            asks_everybody,
            base,
            promised: NodeSet::EMPTY,
            behind: NodeSet::EMPTY,
            setbacks: Setbacks::NONE,
            lacking: NodeSet::EMPTY,
            unwritable: NodeSet::EMPTY,
            full: NodeSet::EMPTY,
            needs_room: false,
            accepted: None,
        }
    }

    /// Whether the own replica is asked before the others.
    pub(super) fn begins_at_home(&self) -> bool {
        !self.is_fixed
    }

    pub(super) fn request(&self, key: Bytes, to: NodeId) -> Request {
        let is_small = self.base.content.len() <= WHOLE_BASE_BYTES;
        let base = self.is_fixed.then(|| {
            Box::new(match is_small || self.lacking.contains(to) {
                true => Base::Whole(self.base.clone()),
                false => Base::Named(self.base.version),
            })
        });
        Request::Prepare { key, ballot: self.ballot, base, have: self.base.version }
    }

    pub(super) fn answered(&self) -> NodeSet {
        self.promised.union(self.behind).union(self.setbacks.all())
    }

    pub(super) fn absorb(
        &mut self,
        quorums: &QuorumSystem,
        own: Option<&mut Own>,
        from: NodeId,
        reply: Reply,
    ) -> Step {
        match reply {
            Reply::Promise(promise) => self.absorb_promise(quorums, from, *promise),
            Reply::Nack { promised, newest } => {
                self.see(*newest);
                self.setbacks.nack(from, promised);
                self.judge(quorums)
            }
            Reply::Closed(closed) => {
                if let Some(step) = self.setbacks.close(quorums, own, from, &closed) {
                    return step;
                }
                match self.setbacks.known_base() {
                    // It is newer than anything that others have: nothing is gained by waiting for them.
                    Some(next) => Step::Fold(FoldStep::Follow(next)),
                    None => self.judge(quorums),
                }
            }
            Reply::NeedBase if self.lacking.insert(from) => Step::AskAgain(from),
            // A reply of another kind: not ours to interpret.
            _ => Step::Continue,
        }
    }

    /// `is_free`: nothing of one's own is at stake.
    pub(super) fn absorb_refusal(
        &mut self,
        quorums: &QuorumSystem,
        is_free: bool,
        from: NodeId,
        refusal: Refusal,
    ) -> Step {
        if refusal == Refusal::OtherConfiguration {
            // It is asked again as soon as it has that of this epoch.
            return Step::AskEverybody;
        }
        self.setbacks.refuse(from, refusal == Refusal::Busy);
        if refusal == Refusal::DiskFull {
            self.full.insert(from);
            if is_free && !quorums.suffices_without(self.full) {
                return Step::Fold(FoldStep::Full(self.full));
            }
        }
        self.judge(quorums)
    }

    fn absorb_promise(&mut self, quorums: &QuorumSystem, from: NodeId, promise: Promise) -> Step {
        let Promise { newest, accepted, writable, .. } = promise;
        let version = newest.version;
        if self.is_fixed && version != self.base.version {
            return Step::Continue;
        }
        self.see(newest);
        match version == self.base.version {
            true => {
                self.promised.insert(from);
                if let Some(accepted) = accepted
                    && self.accepted.as_ref().is_none_or(|highest| highest.ballot < accepted.ballot)
                {
                    self.accepted = Some(accepted);
                }
            }
            false => {
                self.behind.insert(from);
            }
        }
        if !writable {
            self.unwritable.insert(from);
        }
        if self.is_promised(quorums) {
            return Step::Fold(FoldStep::Evaluate);
        }
        if !quorums.is_quorum(self.promised) && quorums.is_quorum(self.promised.union(self.behind)) {
            // Not all of them have the newest: it goes with the next question.
            return Step::Fold(FoldStep::Follow(Next::Base(self.base.clone())));
        }
        self.judge(quorums)
    }

    /// Whether what was to be promised is: for a value by enough of those who can store it, or by a majority if there are not enough
    /// of those.
    fn is_promised(&self, quorums: &QuorumSystem) -> bool {
        let can_store = self.promised.minus(self.unwritable);
        quorums.is_quorum(self.promised)
            && (!self.needs_room
                || quorums.is_quorum(can_store)
                || !quorums.suffices_without(self.unwritable))
    }

    /// What is to be proposed is a value. Whether the promises that are in suffice for it, or no others will.
    pub(super) fn has_room(&mut self, quorums: &QuorumSystem) -> bool {
        self.needs_room = true;
        self.is_promised(quorums)
    }

    /// A version that a replica has. A newer one is the base from now on, unless that is fixed.
    fn see(&mut self, newest: Glimpse) {
        if self.is_fixed || newest.version <= self.base.version {
            return;
        }
        // The content is left out only if it was said to be here already.
        let Some(stamped) = newest.stamped() else { return };
        self.base = stamped;
        self.behind = self.behind.union(core::mem::take(&mut self.promised));
        self.accepted = None;
    }

    fn judge(&mut self, quorums: &QuorumSystem) -> Step {
        let promised = self.promised.union(self.behind);
        match quorums.tally(promised, self.setbacks.all()) {
            Tally::Impossible => self.setbacks.give_up(),
            // The own replica has answered: now the others, told what is here.
            Tally::Pending | Tally::Reached if !self.setbacks.all().is_empty() || self.asks_everybody => {
                Step::AskEverybody
            }
            Tally::Pending | Tally::Reached => Step::AskMajority,
        }
    }
}
