//! The attempts of a fold: how it gets from a ballot to a successor of its base that a majority holds, and what it does when
//! somebody else has got further.

use super::super::in_flight::Taken;
use super::super::machine::Machine;
use super::super::running::{Calls, Running};
use super::super::step::{FoldStep, Next};
use super::super::storing::Storing;
use super::super::write::disk_full;
use super::super::{Coordinator, Transmit};
use super::accept::Accept;
use super::fate::Own;
use super::fold::FoldPhase;
use super::prepare::Prepare;
use crate::issuer::TimestampIssuer;
use crate::message::Request;
use crate::operation::{OperationId, Reason};
use crate::quorum::NodeSet;
use crate::time::{Instant, Now};
use crate::update::{Evaluated, EvaluatedOperation, Evaluation, EvaluationId, Proposal};
use crate::value::StampedValue;
use crate::version::NodeId;
use alloc::vec::Vec;
use core::time::Duration;

impl Coordinator {
    /// A fold makes an attempt.
    pub(in super::super) fn prepare(
        &mut self,
        mut running: Taken,
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
        let (epoch, round) = (self.config.quorums.scope().epoch, fold.highest.round.saturating_add(1));
        let Some(ballot) = issuer.issue_ballot(epoch, round) else {
            return self.end_all(running, Reason::CeilingReached);
        };
        if let Some(own) = &mut fold.own {
            own.ask(ballot);
        }
        fold.invoked_before = self.next_operation;
        fold.phase = FoldPhase::Prepare(Prepare::new(ballot, next, fold.newest.clone(), fold.own.is_some()));
        self.begin_phase(running, now.instant);
    }

    /// Carries out what an input has led a fold to.
    pub(in super::super) fn fold_step(
        &mut self,
        mut running: Taken,
        step: FoldStep,
        now: Now,
        issuer: &TimestampIssuer,
    ) {
        let fold = running.fold_mut();
        match step {
            FoldStep::Evaluate => self.evaluate(running, now),
            // Its operations end, and those that wait need not wait longer (P3').
            FoldStep::Retry if fold.is_beyond_learning(&self.config.quorums, self.unreachable) => {
                self.end_operations(running, Reason::FateUnknown { refusal: None }, now, issuer);
            }
            FoldStep::Retry => self.retry(running, now),
            FoldStep::Resume => {
                let FoldPhase::Pause(next) = fold.phase.clone() else { unreachable!("it has paused") };
                self.prepare(running, next, now, issuer);
            }
            FoldStep::Full(unwritable) => {
                assert!(fold.own.is_none(), "what was proposed may be accepted yet");
                self.end_all(running, disk_full(&self.config.quorums, unwritable));
            }
            FoldStep::Follow(next) => {
                assert!(fold.own.is_none(), "P3': a proposal whose fate is unknown stays at its base");
                self.prepare(running, next, now, issuer);
            }
            FoldStep::Lost(next) => {
                self.lose(&mut running);
                if let Next::Base(base) = &next {
                    self.meet(&mut running, base.update.node, now);
                }
                self.prepare(running, next, now, issuer);
            }
            FoldStep::Helped => {
                let FoldPhase::Accept(accept) = fold.phase.clone() else { unreachable!("it was accepted") };
                self.pauses.accepted(accept.since, now.instant);
                self.lose(&mut running);
                self.meet(&mut running, accept.proposal.update.node, now);
                self.publish_for_others(&running, &accept);
                self.prepare(running, accept.next(), now, issuer);
            }
            FoldStep::Won => self.publish(running, now),
            FoldStep::Published => self.published(running, now, issuer),
            FoldStep::Unpublished(reason) => self.end_operations(running, reason, now, issuer),
        }
    }

    /// Nothing comes of this attempt.
    fn retry(&mut self, mut running: Taken, now: Now) {
        let fold = running.fold_mut();
        fold.learn();
        fold.attempts += 1;
        let (FoldPhase::Prepare(Prepare { ballot, .. }) | FoldPhase::Accept(Accept { ballot, .. })) =
            fold.phase
        else {
            unreachable!("nobody refuses anything else")
        };
        let (pause, highest) = (self.pauses.before(fold.attempts, ballot), fold.highest);
        let next = fold.next_attempt();
        if highest > ballot {
            self.meet(&mut running, highest.node, now);
        }
        self.pause(running, next, now.instant, pause);
    }

    /// A fold makes its next attempt after a while.
    pub(super) fn pause(&mut self, mut running: Taken, next: Next, now: Instant, pause: Duration) {
        running.fold_mut().phase = FoldPhase::Pause(next);
        running.enter(now, pause, self.config.resend_after);
        self.keep(running);
    }

    /// A majority has promised.
    fn evaluate(&mut self, mut running: Taken, now: Now) {
        let fold = running.fold_mut();
        let FoldPhase::Prepare(prepare) = &mut fold.phase else { unreachable!("it was promised") };
        let accepted = prepare.accepted.take().map(|accepted| accepted.proposal);
        // P1: what may have been chosen comes first; then one's own, if it was sent already.
        let chosen = accepted.or_else(|| fold.own.as_ref().map(|own| own.proposal.clone()));
        if let Some(proposal) = chosen {
            let Prepare { ballot, base, promised, .. } = prepare.clone();
            fold.phase = FoldPhase::Accept(Accept::new(ballot, base, proposal, promised, now.instant));
            return self.begin_phase(running, now.instant);
        }
        fold.phase = FoldPhase::Evaluate(prepare.clone());
        // Nobody is asked anything meanwhile.
        running.calls = Calls::default();
        self.take_operations(&mut running);
        self.ask_for_evaluation(running);
    }

    /// Has the node evaluate the operations of a fold, if any are left.
    pub(super) fn ask_for_evaluation(&mut self, mut running: Taken) {
        if running.fold().operations.is_empty() {
            self.take_operations(&mut running);
        }
        let FoldPhase::Evaluate(prepare) = &running.fold().phase else { unreachable!("it was promised") };
        let operations = &running.fold().operations;
        if operations.is_empty() {
            return self.end_fold(running);
        }
        let functions = |member: &u64| match self.running.get(*member).map(|member| &member.machine) {
            Some(Machine::Member(member)) => member.functions.clone(),
            other => unreachable!("{other:?} is in a fold"),
        };
        self.evaluations.push_back(Evaluation {
            id: EvaluationId { operation: OperationId(running.id), phase: running.number },
            key: running.key.clone(),
            base: prepare.base.clone(),
            operations: operations.iter().map(functions).collect(),
        });
        self.keep(running);
    }

    /// What the operations of a fold come to.
    pub(in super::super) fn evaluated(
        &mut self,
        mut running: Taken,
        evaluated: Evaluated,
        now: Now,
        issuer: &TimestampIssuer,
    ) {
        let fold = running.fold_mut();
        let FoldPhase::Evaluate(prepare) = &fold.phase else { return self.keep(running) };
        let prepare = prepare.clone();
        let count = evaluated.operations.len();
        assert!((1..=fold.operations.len()).contains(&count), "some of the operations, from the first on");
        let rest = fold.operations.split_off(count);
        self.put_back(&running.key, rest);
        if evaluated.operations.iter().all(|operation| !operation.changes) {
            return self.answer_unchanged(running, evaluated.operations, &prepare.base, now, issuer);
        }
        self.propose(running, prepare, evaluated, now, issuer);
    }

    /// Nothing changes. It is a Get of the base, which a majority holds; whoever came after the question has to ask again.
    fn answer_unchanged(
        &mut self,
        mut running: Taken,
        evaluated: Vec<EvaluatedOperation>,
        base: &StampedValue,
        now: Now,
        issuer: &TimestampIssuer,
    ) {
        let fold = running.fold_mut();
        let invoked_before = fold.invoked_before;
        let operations = core::mem::take(&mut fold.operations).into_iter().zip(evaluated);
        let (answered, late): (Vec<_>, Vec<_>) =
            operations.partition(|(operation, _)| *operation < invoked_before);
        self.put_back(&running.key, late.into_iter().map(|(operation, _)| operation).collect());
        for (operation, evaluated) in answered {
            self.answer(operation, evaluated, base, now);
        }
        self.next_fold(running, now, issuer);
    }

    /// What the operations of a fold come to is to be the successor of the base, if that can be stored.
    fn propose(
        &mut self,
        mut running: Taken,
        mut prepare: Prepare,
        evaluated: Evaluated,
        now: Now,
        issuer: &TimestampIssuer,
    ) {
        let Evaluated { operations, content, deadline } = evaluated;
        if prepare.base.version.successor().is_none() {
            return self.end_operations(running, Reason::CeilingReached, now, issuer);
        }
        let unwritable = prepare.unwritable.union(self.unwritable);
        let needs_room = running.needs_room && content.is_value();
        if needs_room && !self.config.quorums.suffices_without(unwritable) {
            // Before anything was accepted: what is chosen can be published.
            let reason = disk_full(&self.config.quorums, unwritable);
            return self.end_operations(running, reason, now, issuer);
        }
        let fold = running.fold_mut();
        if needs_room && !prepare.has_room(&self.config.quorums) {
            // Some of those who have promised cannot store it: the others are asked, before anything is proposed.
            let asked = core::mem::take(&mut fold.operations);
            let answered = prepare.answered();
            fold.phase = FoldPhase::Prepare(prepare);
            running.calls.contacted = answered;
            self.put_back(&running.key, asked);
            running.widen(self.config.quorums.voters(), &mut self.transmits);
            let resend_pause = running.resend_pause;
            running.due_after(now.instant, resend_pause);
            return self.keep(running);
        }
        let Prepare { ballot, base, promised, .. } = prepare;
        let proposal = Proposal { update: ballot.update(), content, deadline };
        let mut binds = false;
        for operation in &fold.operations {
            if let Some(Machine::Member(member)) =
                self.running.get_mut(*operation).map(|operation| &mut operation.machine)
            {
                member.is_proposed = true;
                binds |= member.may_have_effect();
            }
        }
        fold.evaluated = operations;
        fold.own = Some(Own::new(base.clone(), proposal.clone(), ballot, binds, self.boots.clone()));
        fold.phase = FoldPhase::Accept(Accept::new(ballot, base, proposal, promised, now.instant));
        self.begin_phase(running, now.instant);
    }

    /// The own proposal was chosen: it is the successor of its base.
    fn publish(&mut self, mut running: Taken, now: Now) {
        let fold = running.fold_mut();
        if let FoldPhase::Accept(accept) = &fold.phase {
            self.pauses.accepted(accept.since, now.instant);
        }
        let Some(Own { base, proposal, .. }) = fold.own.take() else { unreachable!("it has won") };
        let Some(version) = base.version.successor() else { unreachable!("it was proposed") };
        fold.attempts = 0;
        fold.phase = FoldPhase::Publish(Storing::new(proposal.stamped(version), NodeSet::EMPTY));
        self.begin_phase(running, now.instant);
    }

    /// The successor is stored on a majority: the operations that it is made of have their answers.
    fn published(&mut self, mut running: Taken, now: Now, issuer: &TimestampIssuer) {
        let fold = running.fold_mut();
        let FoldPhase::Publish(storing) = &fold.phase else { unreachable!("it was published") };
        if let Some(began) = fold.began.take() {
            self.pauses.folded(began, now.instant);
        }
        let published = storing.stamped.clone();
        fold.newest = published.clone();
        let evaluated = core::mem::take(&mut fold.evaluated);
        for (operation, evaluated) in core::mem::take(&mut fold.operations).into_iter().zip(evaluated) {
            // All of them were there when the fold was chosen: also those that change nothing.
            let evaluated = EvaluatedOperation { changes: true, ..evaluated };
            self.answer(operation, evaluated, &published, now);
        }
        self.contention.folded(&running.key, &self.pauses, now.instant);
        self.next_fold(running, now, issuer);
    }

    /// R2: what one has helped to be chosen is sent to everybody. Its coordinator may be gone, and the next question takes it to a
    /// majority alone. Nobody waits for the answers.
    fn publish_for_others(&mut self, running: &Running, accept: &Accept) {
        let Some(stamped) = accept.clone().chosen() else { unreachable!("it was proposed") };
        for member in self.config.quorums.voters().iter() {
            let request = Request::LocalWrite { key: running.key.clone(), stamped: stamped.clone() };
            let transmit = running.call(member);
            self.transmits.push_back(Transmit { request, may_wait: true, ..transmit });
        }
    }

    /// What a fold has proposed was not chosen, if it has proposed anything.
    fn lose(&mut self, running: &mut Running) {
        let fold = running.fold_mut();
        fold.attempts = 0;
        fold.evaluated.clear();
        if fold.own.take().is_some() {
            let operations = core::mem::take(&mut fold.operations);
            self.put_back(&running.key, operations);
        }
    }

    /// The coordinator of a member was in the way of a fold.
    fn meet(&mut self, running: &mut Running, other: u32, now: Now) {
        running.fold_mut().began = None;
        if !self.config.pause.is_zero() && self.config.quorums.voters().contains(NodeId(other)) {
            self.contention.meet(&running.key, NodeId(other), now.instant);
        }
    }
}
