//! The queue of a key: who waits for its fold, and how the fold goes on.

use super::super::in_flight::Position;
use super::super::machine::Machine;
use super::super::running::{Calls, Running};
use super::super::step::{FoldStep, Next};
use super::super::storing::Storing;
use super::super::write::disk_full;
use super::super::{Coordinator, Transmit};
use super::accept::Accept;
use super::fate::Own;
use super::fold::{Fold, FoldPhase};
use super::prepare::Prepare;
use super::{FOLD_BYTES, FOLD_OPERATIONS};
use crate::issuer::TimestampIssuer;
use crate::message::Request;
use crate::operation::{OperationId, Outcome, Reason};
use crate::quorum::NodeSet;
use crate::time::{Instant, Now};
use crate::update::{Evaluated, EvaluatedOperation, Evaluation, EvaluationId, Proposal};
use crate::value::StampedValue;
use crate::version::NodeId;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// Those who wait for the fold of a key, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct KeyQueue {
    fold: u64,
    waiting: VecDeque<u64>,
}

impl Coordinator {
    /// An Update that was put back waits for the fold of its key. `newest` is a version of it that is known.
    pub(in super::super) fn enqueue(
        &mut self,
        id: u64,
        newest: StampedValue,
        now: Now,
        issuer: &TimestampIssuer,
    ) {
        let Some(member) = self.running.get(id) else { unreachable!("it was put back") };
        let (key, deadline) = (member.key.clone(), member.deadline);
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.waiting.push_back(id);
            let Some(fold) = self.running.get_mut(queue.fold) else { unreachable!("a queue has a fold") };
            fold.deadline = fold.deadline.max(deadline);
            return;
        }
        let fold = self.next_operation;
        self.next_operation += 1;
        self.queues.insert(key.clone(), KeyQueue { fold, waiting: VecDeque::from([id]) });
        let position = self.running.begin(fold);
        let machine = Machine::Fold(Box::new(Fold::new(newest)));
        let running = Box::new(Running::new(key, true, machine, deadline, &self.config, now.instant));
        self.begin_fold(fold, position, running, now, issuer);
    }

    /// The next fold of a key begins, when the others have had their turn.
    fn begin_fold(
        &mut self,
        id: u64,
        position: Position,
        mut running: Box<Running>,
        now: Now,
        issuer: &TimestampIssuer,
    ) {
        let wait = self.contention.wait(&running.key, now.instant);
        let fold = running.fold_mut();
        fold.began = Some(now.instant + wait);
        if wait.is_zero() {
            return self.prepare(id, position, running, Next::Newest, now, issuer);
        }
        fold.phase = FoldPhase::Pause(Next::Newest);
        running.enter(now.instant, wait, self.config.resend_after);
        self.keep(id, position, running);
    }

    /// The coordinator of a member was in the way of a fold.
    fn meet(&mut self, running: &mut Running, other: u32, now: Now) {
        running.fold_mut().began = None;
        if !self.config.pause.is_zero() && self.config.quorums.voters().contains(NodeId(other)) {
            self.contention.meet(&running.key, NodeId(other), now.instant);
        }
    }

    /// A fold begins an attempt.
    pub(in super::super) fn prepare(
        &mut self,
        id: u64,
        position: Position,
        mut running: Box<Running>,
        next: Next,
        now: Now,
        issuer: &TimestampIssuer,
    ) {
        let fold = running.fold_mut();
        fold.learn();
        if let (Some(own), Next::Base(base)) = (&fold.own, &next) {
            assert!(
                own.base.version == base.version,
                "P3': a proposal whose fate is unknown stays at its base"
            );
        }
        let Some(ballot) =
            issuer.issue_ballot(self.config.quorums.scope().epoch, fold.highest.round.saturating_add(1))
        else {
            return self.end_all(id, position, running, Reason::CeilingReached);
        };
        fold.invoked_before = self.next_operation;
        let prepare = Prepare::new(ballot, next, fold.newest.clone(), fold.own.is_some());
        fold.phase = FoldPhase::Prepare(prepare);
        running.enter(now.instant, self.config.hedge_after, self.config.resend_after);
        self.call_first(id, &mut running, now.instant);
        self.keep(id, position, running);
    }

    /// Carries out what an input has led a fold to.
    pub(in super::super) fn fold_step(
        &mut self,
        id: u64,
        position: Position,
        mut running: Box<Running>,
        step: FoldStep,
        now: Now,
        issuer: &TimestampIssuer,
    ) {
        let fold = running.fold_mut();
        match step {
            FoldStep::Evaluate => self.evaluate(id, position, running, now),
            FoldStep::Retry if fold.is_beyond_learning(&self.config.quorums) => {
                self.end_unknown(id, position, running, now, issuer);
            }
            FoldStep::Retry => {
                fold.learn();
                fold.attempts += 1;
                let (FoldPhase::Prepare(Prepare { ballot, .. }) | FoldPhase::Accept(Accept { ballot, .. })) =
                    fold.phase
                else {
                    unreachable!("nobody refuses anything else")
                };
                let (pause, highest) = (self.pauses.before(fold.attempts, ballot), fold.highest);
                let next = fold.own.as_ref().map_or(Next::Newest, |own| Next::Base(own.base.clone()));
                fold.phase = FoldPhase::Pause(next);
                running.enter(now.instant, pause, self.config.resend_after);
                if highest > ballot {
                    self.meet(&mut running, highest.node, now);
                }
                self.keep(id, position, running);
            }
            FoldStep::Resume => {
                let FoldPhase::Pause(next) = fold.phase.clone() else { unreachable!("it has paused") };
                self.prepare(id, position, running, next, now, issuer);
            }
            FoldStep::Full(unwritable) => {
                assert!(fold.own.is_none(), "what was proposed may be accepted yet");
                self.end_all(id, position, running, disk_full(&self.config.quorums, unwritable));
            }
            FoldStep::Follow(next) => {
                assert!(fold.own.is_none(), "P3': a proposal whose fate is unknown stays at its base");
                self.prepare(id, position, running, next, now, issuer);
            }
            FoldStep::Lost(next) => {
                self.lose(&mut running);
                if let Next::Base(base) = &next {
                    self.meet(&mut running, base.update.node, now);
                }
                self.prepare(id, position, running, next, now, issuer);
            }
            FoldStep::Helped => {
                let FoldPhase::Accept(accept) = fold.phase.clone() else { unreachable!("it was accepted") };
                self.pauses.accepted(accept.since, now.instant);
                self.lose(&mut running);
                self.meet(&mut running, accept.proposal.update.node, now);
                self.publish_for_others(id, &running, &accept);
                self.prepare(id, position, running, accept.next(), now, issuer);
            }
            FoldStep::Won => {
                if let FoldPhase::Accept(accept) = &fold.phase {
                    self.pauses.accepted(accept.since, now.instant);
                }
                let Some(Own { base, proposal, .. }) = fold.own.take() else { unreachable!("it has won") };
                let Some(version) = base.version.successor() else { unreachable!("it was proposed") };
                fold.attempts = 0;
                fold.phase = FoldPhase::Publish(Storing::new(proposal.stamped(version), NodeSet::EMPTY));
                running.enter(now.instant, self.config.resend_after, self.config.resend_after);
                self.call_first(id, &mut running, now.instant);
                self.keep(id, position, running);
            }
            FoldStep::Published => {
                let FoldPhase::Publish(storing) = &fold.phase else { unreachable!("it was published") };
                if let Some(began) = fold.began.take() {
                    self.pauses.folded(began, now.instant);
                }
                let published = storing.stamped.clone();
                fold.newest = published.clone();
                for (member, evaluated) in core::mem::take(&mut fold.operations)
                    .into_iter()
                    .zip(core::mem::take(&mut fold.evaluated))
                {
                    // All of them were there when the fold was chosen: also those that change nothing.
                    let evaluated = EvaluatedOperation { changes: true, ..evaluated };
                    self.settle(member, evaluated, &published, now);
                }
                self.contention.folded(&running.key, &self.pauses, now.instant);
                self.next_fold(id, position, running, now, issuer);
            }
            FoldStep::Unpublished(reason) => {
                fold.evaluated.clear();
                for member in core::mem::take(&mut fold.operations) {
                    self.end(member, reason);
                }
                self.next_fold(id, position, running, now, issuer);
            }
        }
    }

    /// R2: what one has helped to be chosen is sent to everybody. Its coordinator may be gone, and the next question takes it to a
    /// majority alone. Nobody waits for the answers.
    fn publish_for_others(&mut self, id: u64, running: &Running, accept: &Accept) {
        let Some(stamped) = accept.clone().chosen() else { unreachable!("it was proposed") };
        for member in self.config.quorums.voters().iter() {
            let request = Request::LocalWrite { key: running.key.clone(), stamped: stamped.clone() };
            let transmit = running.call(id, member);
            self.transmits.push_back(Transmit { request, may_wait: true, ..transmit });
        }
    }

    /// A majority has promised.
    fn evaluate(&mut self, id: u64, position: Position, mut running: Box<Running>, now: Now) {
        let fold = running.fold_mut();
        let FoldPhase::Prepare(prepare) = &mut fold.phase else { unreachable!("it was promised") };
        let accepted = prepare.accepted.take().map(|accepted| accepted.proposal);
        // P1: what may have been chosen comes first; then one's own, if it was sent already.
        let chosen = accepted.or_else(|| fold.own.as_ref().map(|own| own.proposal.clone()));
        if let Some(proposal) = chosen {
            let Prepare { ballot, base, promised, .. } = prepare.clone();
            fold.phase = FoldPhase::Accept(Accept::new(ballot, base, proposal, promised, now.instant));
            running.enter(now.instant, self.config.resend_after, self.config.resend_after);
            self.call_first(id, &mut running, now.instant);
            return self.keep(id, position, running);
        }
        fold.phase = FoldPhase::Evaluate(prepare.clone());
        // Nobody is asked anything meanwhile.
        running.calls = Calls::default();
        self.take_operations(&mut running);
        self.ask_for_evaluation(id, position, running);
    }

    /// Has the node evaluate the operations of a fold, if any are left.
    fn ask_for_evaluation(&mut self, id: u64, position: Position, mut running: Box<Running>) {
        if running.fold().operations.is_empty() {
            self.take_operations(&mut running);
        }
        let FoldPhase::Evaluate(prepare) = &running.fold().phase else { unreachable!("it was promised") };
        let operations = &running.fold().operations;
        if operations.is_empty() {
            return self.end_fold(id, position, running);
        }
        let functions = |member: &u64| match self.running.get(*member).map(|member| &member.machine) {
            Some(Machine::Member(member)) => member.functions.clone(),
            other => unreachable!("{other:?} is in a fold"),
        };
        self.evaluations.push_back(Evaluation {
            id: EvaluationId { operation: OperationId(id), phase: running.number },
            key: running.key.clone(),
            base: prepare.base.clone(),
            operations: operations.iter().map(functions).collect(),
        });
        self.keep(id, position, running);
    }

    /// What the operations of a fold come to.
    pub(in super::super) fn evaluated(
        &mut self,
        id: u64,
        position: Position,
        mut running: Box<Running>,
        evaluated: Evaluated,
        now: Now,
        issuer: &TimestampIssuer,
    ) {
        let fold = running.fold_mut();
        let FoldPhase::Evaluate(prepare) = &fold.phase else { return self.keep(id, position, running) };
        let mut prepare = prepare.clone();
        let Evaluated { operations, content, deadline } = evaluated;
        let count = operations.len();
        assert!((1..=fold.operations.len()).contains(&count), "some of the operations, from the first on");
        let rest = fold.operations.split_off(count);
        self.put_back(&running.key, rest);
        let fold = running.fold_mut();
        if operations.iter().all(|operation| !operation.changes) {
            // A Get of the base: a majority holds it. Whoever came after the question has to ask again.
            let invoked_before = fold.invoked_before;
            let members = core::mem::take(&mut fold.operations).into_iter().zip(operations);
            let (answered, late): (Vec<_>, Vec<_>) =
                members.partition(|(member, _)| *member < invoked_before);
            self.put_back(&running.key, late.into_iter().map(|(member, _)| member).collect());
            for (member, evaluated) in answered {
                self.settle(member, evaluated, &prepare.base, now);
            }
            return self.next_fold(id, position, running, now, issuer);
        }
        let unwritable = prepare.unwritable.union(self.unwritable);
        let reason = if prepare.base.version.successor().is_none() {
            Some(Reason::CeilingReached)
        } else if content.is_value() && !self.config.quorums.suffices_without(unwritable) {
            // Before anything was accepted: what is chosen can be published.
            Some(disk_full(&self.config.quorums, unwritable))
        } else {
            None
        };
        if let Some(reason) = reason {
            for member in core::mem::take(&mut fold.operations) {
                self.end(member, reason);
            }
            return self.next_fold(id, position, running, now, issuer);
        }
        if content.is_value() && !prepare.has_room(&self.config.quorums) {
            // Some of those who have promised cannot store it: the others are asked, before anything is proposed.
            let asked = core::mem::take(&mut fold.operations);
            running.calls.contacted = prepare.answered();
            running.fold_mut().phase = FoldPhase::Prepare(prepare);
            self.put_back(&running.key, asked);
            running.widen(id, self.config.quorums.voters(), &mut self.transmits);
            running.due_after(now.instant, running.resend_pause);
            return self.keep(id, position, running);
        }
        let Prepare { ballot, base, promised, .. } = prepare;
        let proposal = Proposal { update: ballot.update(), content, deadline };
        let mut binds = false;
        for member in &fold.operations {
            if let Some(Machine::Member(member)) =
                self.running.get_mut(*member).map(|member| &mut member.machine)
            {
                member.is_proposed = true;
                binds |= member.may_have_effect();
            }
        }
        fold.evaluated = operations;
        fold.own = Some(Own::new(base.clone(), proposal.clone(), binds, self.boots.clone()));
        fold.phase = FoldPhase::Accept(Accept::new(ballot, base, proposal, promised, now.instant));
        running.enter(now.instant, self.config.resend_after, self.config.resend_after);
        self.call_first(id, &mut running, now.instant);
        self.keep(id, position, running);
    }

    /// Moves operations from the queue into a fold.
    fn take_operations(&mut self, running: &mut Running) {
        let Some(queue) = self.queues.get_mut(&running.key) else { unreachable!("a fold has a queue") };
        let fold = running.fold_mut();
        let mut bytes = 0;
        while fold.operations.len() < FOLD_OPERATIONS
            && let Some(next) = queue.waiting.front()
        {
            if let Some(Machine::Member(member)) = self.running.get(*next).map(|next| &next.machine) {
                bytes += member.bytes();
            }
            if bytes > FOLD_BYTES && !fold.operations.is_empty() {
                break;
            }
            fold.operations.extend(queue.waiting.pop_front());
        }
    }

    /// Puts operations back to the head of their queue: nothing of theirs is under way any more.
    pub(in super::super) fn put_back(&mut self, key: &Bytes, operations: Vec<u64>) {
        for member in operations.into_iter().rev() {
            if let Some(Machine::Member(member)) =
                self.running.get_mut(member).map(|member| &mut member.machine)
            {
                member.is_proposed = false;
            }
            let Some(queue) = self.queues.get_mut(key) else { unreachable!("a fold has a queue") };
            queue.waiting.push_front(member);
        }
    }

    /// What a fold has proposed was not chosen, if it has proposed anything.
    fn lose(&mut self, running: &mut Running) {
        let fold = running.fold_mut();
        fold.attempts = 0;
        fold.evaluated.clear();
        if fold.own.take().is_some() {
            let operations = core::mem::take(&mut fold.operations);
            self.put_back(&running.key.clone(), operations);
        }
    }

    /// A fold is through: the next one of the key begins, if anybody waits.
    pub(super) fn next_fold(
        &mut self,
        id: u64,
        position: Position,
        mut running: Box<Running>,
        now: Now,
        issuer: &TimestampIssuer,
    ) {
        let fold = running.fold_mut();
        (fold.attempts, fold.own) = (0, None);
        assert!(fold.operations.is_empty(), "all operations of a fold that is through have ended");
        if self.queues.get(&running.key).is_none_or(|queue| queue.waiting.is_empty()) {
            return self.end_fold(id, position, running);
        }
        self.begin_fold(id, position, running, now, issuer);
    }

    fn end_fold(&mut self, id: u64, position: Position, running: Box<Running>) {
        self.disarm(id, &running);
        self.running.end(position);
        let queue = self.queues.remove(&running.key);
        assert!(queue.is_none_or(|queue| queue.waiting.is_empty()), "somebody waits for a fold that ends");
    }

    /// All operations of a key end, and so does the fold.
    fn end_all(&mut self, id: u64, position: Position, mut running: Box<Running>, reason: Reason) {
        let waiting = self.queues.get_mut(&running.key).map(|queue| core::mem::take(&mut queue.waiting));
        let fold = running.fold_mut();
        for member in core::mem::take(&mut fold.operations).into_iter().chain(waiting.into_iter().flatten()) {
            self.end(member, reason);
        }
        self.end_fold(id, position, running);
    }

    /// An operation that was a part of a fold has its answer: `stamped` is what the key holds after the fold.
    fn settle(&mut self, id: u64, evaluated: EvaluatedOperation, stamped: &StampedValue, now: Now) {
        if let Some((position, running)) = self.running.take(id) {
            let Machine::Member(member) = &running.machine else { unreachable!("it was in a fold") };
            let settled = member.settled(evaluated, stamped);
            self.settle_running(id, position, running, settled, now);
        }
    }

    /// An operation that was a part of a fold, or waited for one, ends without an answer.
    pub(super) fn end(&mut self, id: u64, reason: Reason) {
        if let Some((position, running)) = self.running.take(id) {
            let outcome = match running.machine.had_no_effect() {
                true => Outcome::Refused(reason),
                false => Outcome::Indeterminate(reason),
            };
            self.finish(id, position, &running, outcome);
        }
    }

    /// An operation that waited for a fold, or was a part of it, has ended.
    pub(in super::super) fn leave(&mut self, id: u64, key: &Bytes) {
        let Some(queue) = self.queues.get_mut(key) else { unreachable!("whoever waits has a queue") };
        queue.waiting.retain(|waiting| *waiting != id);
        let (fold_id, nobody_waits) = (queue.fold, queue.waiting.is_empty());
        // A fold in the middle of something has its operations settled by itself.
        let Some((position, mut running)) = self.running.take(fold_id) else { return };
        let fold = running.fold_mut();
        let place = fold.operations.iter().position(|operation| *operation == id);
        if let Some(place) = place {
            fold.operations.remove(place);
            if place < fold.evaluated.len() {
                fold.evaluated.remove(place);
            }
        }
        if nobody_waits && fold.operations.is_empty() {
            return self.end_fold(fold_id, position, running);
        }
        if fold.operations.is_empty() && fold.own.take().is_some() {
            fold.learn();
            // P3' binds those of the proposal, and they are gone: nobody can apply them again. Those who wait begin anew, at once.
            fold.evaluated.clear();
            fold.attempts = 0;
            fold.phase = FoldPhase::Pause(Next::Newest);
            running.enter(Instant(0), Duration::ZERO, self.config.resend_after);
        }
        let fold = running.fold();
        if place.is_some() && matches!(fold.phase, FoldPhase::Evaluate(_)) {
            // What comes of the others without it?
            running.number += 1;
            return self.ask_for_evaluation(fold_id, position, running);
        }
        self.keep(fold_id, position, running);
    }

    /// What the fold that an operation waits for has come to so far, and whether that is chosen.
    pub(in super::super) fn fold_of(&self, key: &Bytes) -> Option<(&Running, bool)> {
        let running = self.running.get(self.queues.get(key)?.fold)?;
        Some((running, matches!(running.fold().phase, FoldPhase::Publish(_))))
    }
}
