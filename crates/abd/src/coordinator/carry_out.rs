//! What is the same for all machines: their steps are carried out, timers fire, rule T1 is waited for, operations end.

use super::in_flight::Taken;
use super::machine::Machine;
use super::running::Running;
use super::step::{FoldStep, Settled, Step};
use super::{Config, Coordinator, TimestampMode};
use crate::issuer::TimestampIssuer;
use crate::operation::{OperationId, Outcome, Reason};
use crate::time::{Instant, Now};
use crate::update::{Evaluation, EvaluationId};
use crate::version::Version;
use alloc::vec;
use core::time::Duration;

impl Coordinator {
    pub(super) fn on_timer(&mut self, running: &mut Running, now: Now) -> Step {
        running.armed = None;
        let is_fold = matches!(running.machine, Machine::Fold(_));
        if let Machine::CommitWait(Settled { version, outcome, .. }) = &running.machine
            && waited_out(now, *version)
        {
            return Step::End(outcome.clone());
        }
        if now.instant >= running.deadline && !is_fold {
            let waits = matches!(running.machine, Machine::CommitWait(_)) && now.interval.is_some();
            return Step::End(self.give_up(running, waits.then_some(Reason::StillUncertain)));
        }
        match &running.machine {
            Machine::CommitWait(Settled { version, .. }) => {
                running.due = running.deadline.min(now.instant + self.commit_wait(now, *version));
                return Step::Continue;
            }
            Machine::Fold(fold) if fold.is_paused() => return Step::Fold(FoldStep::Resume),
            machine if machine.is_question() && !running.hedged => {
                self.suspects = self.suspects.union(running.calls.contacted.minus(machine.answered()));
                return hedge(running, now);
            }
            Machine::Fold(fold) if fold.is_in_trouble() => return Step::Fold(FoldStep::Retry),
            _ => {}
        }
        running.call_again(&mut self.transmits);
        running.resend_pause = (running.resend_pause * 2).min(self.config.resend_after * 8);
        running.due_after(now.instant, running.resend_pause);
        Step::Continue
    }

    /// How long until `version` is in the past for certain, as far as one reading can tell.
    pub(super) fn commit_wait(&self, now: Now, version: Version) -> Duration {
        match now.interval {
            Some(interval) => Duration::from_nanos((version.time() + 1).saturating_sub(interval.earliest)),
            // The bound is lost for the moment: look again.
            None => self.config.hedge_after,
        }
    }

    /// What a client may conclude from an operation that ends without its quorum.
    pub(super) fn give_up(&self, running: &Running, reason: Option<Reason>) -> Outcome {
        let had_no_effect = running.machine.had_no_effect();
        let reason = reason.unwrap_or_else(|| match &running.machine {
            Machine::CommitWait(_) => Reason::ClockUnknown,
            Machine::Member(_) => match self.fold_of(&running.key) {
                Some((fold, is_chosen)) if had_no_effect || is_chosen => self.no_quorum(fold),
                fold => Reason::FateUnknown { refusal: fold.and_then(|(fold, _)| fold.calls.last_refusal) },
            },
            _ => self.no_quorum(running),
        });
        if had_no_effect { Outcome::Refused(reason) } else { Outcome::Indeterminate(reason) }
    }

    fn no_quorum(&self, running: &Running) -> Reason {
        let (answered, needed, members) = self.config.quorums.shortfall(running.machine.counted());
        Reason::NoQuorum { answered, needed, members, refusal: running.calls.last_refusal }
    }

    /// Carries out what an input led to, and keeps or ends the operation.
    pub(super) fn carry_out(&mut self, mut running: Taken, step: Step, now: Now, issuer: &TimestampIssuer) {
        match step {
            Step::Continue => {}
            Step::AskMajority => {
                let chosen = self.majority_to_ask(&running, now.instant);
                running.widen(chosen, &mut self.transmits);
            }
            Step::AskEverybody => {
                running.widen(self.config.quorums.voters(), &mut self.transmits);
            }
            Step::AskAgain(member) => self.transmits.push_back(running.call(member)),
            Step::Enter(machine) => {
                running.machine = machine;
                return self.begin_phase(running, now.instant);
            }
            Step::Settle(settled) => return self.settle(running, settled, now),
            Step::End(outcome) => return self.finish(running, outcome),
            Step::Evaluate(base, functions) => {
                let id = EvaluationId { operation: OperationId(running.id), phase: running.number };
                let key = running.key.clone();
                self.evaluations.push_back(Evaluation { id, key, base, operations: vec![functions] });
            }
            Step::Enqueue(newest, member) => {
                running.machine = Machine::Member(member);
                running.enter(now.instant, self.config.resend_after, self.config.resend_after);
                running.due = running.deadline;
                let id = running.id;
                self.keep(running);
                return self.enqueue(id, newest, now, issuer);
            }
            Step::Fold(step) => return self.fold_step(running, step, now, issuer),
        }
        self.keep(running);
    }

    /// The phase that a machine has come to begins: those are called whom it asks first.
    pub(super) fn begin_phase(&mut self, mut running: Taken, now: Instant) {
        let Config { hedge_after, resend_after, .. } = self.config;
        let due_after = if running.machine.is_question() { hedge_after } else { resend_after };
        running.enter(now, due_after, resend_after);
        self.call_first(&mut running, now);
        self.keep(running);
    }

    /// Keeps an operation until its next input, or until something is due.
    pub(super) fn keep(&mut self, mut running: Taken) {
        if running.armed != Some(running.due) {
            self.disarm(&running);
            running.armed = Some(running.due);
            self.timers.insert((running.due, running.id));
        }
        self.running.put_back(running);
    }

    /// T1: every operation, Get included, answers only when its version is in the past for certain.
    pub(super) fn settle(&mut self, mut running: Taken, settled: Settled, now: Now) {
        if self.config.mode == TimestampMode::Logical || waited_out(now, settled.version) {
            // It waits for no fold any more.
            running.machine = Machine::CommitWait(settled.clone());
            return self.finish(running, settled.outcome);
        }
        let wait = self.commit_wait(now, settled.version);
        running.machine = Machine::CommitWait(settled);
        let resend_pause = running.resend_pause;
        running.enter(now.instant, wait, resend_pause);
        self.keep(running);
    }

    pub(super) fn disarm(&mut self, running: &Running) {
        if let Some(at) = running.armed {
            self.timers.remove(&(at, running.id));
        }
    }

    pub(super) fn finish(&mut self, running: Taken, outcome: Outcome) {
        self.disarm(&running);
        self.running.end(&running);
        self.outcomes.push_back((OperationId(running.id), outcome));
        if matches!(running.machine, Machine::Member(_)) {
            self.leave(running.id, &running.key);
        }
    }
}

/// Everybody is asked, and the same again after a while.
pub(super) fn hedge(running: &mut Running, now: Now) -> Step {
    running.hedged = true;
    running.due_after(now.instant, running.resend_pause);
    Step::AskEverybody
}

/// Rule T1: one sighting of `earliest > time` suffices, whatever the clock says later.
pub(super) fn waited_out(now: Now, version: Version) -> bool {
    now.interval.is_some_and(|interval| interval.earliest > version.time())
}
