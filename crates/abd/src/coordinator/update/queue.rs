//! The queue of a key: who waits for its fold, and what its operations come to.

use super::super::Coordinator;
use super::super::in_flight::Taken;
use super::super::machine::Machine;
use super::super::running::Running;
use super::super::step::Next;
use super::fold::{Fold, FoldPhase};
use super::{FOLD_BYTES, FOLD_OPERATIONS};
use crate::issuer::TimestampIssuer;
use crate::operation::{Outcome, Reason};
use crate::reserved::is_reserved;
use crate::time::{Instant, Now};
use crate::update::EvaluatedOperation;
use crate::value::StampedValue;
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
        let machine = Machine::Fold(Box::new(Fold::new(newest)));
        let needs_room = !is_reserved(&key);
        let running = Running::new(fold, key, needs_room, machine, deadline, &self.config, now.instant);
        let running = self.running.begin(running);
        self.begin_fold(running, now, issuer);
    }

    /// The next fold of a key begins, when the others have had their turn.
    fn begin_fold(&mut self, mut running: Taken, now: Now, issuer: &TimestampIssuer) {
        let wait = self.contention.wait(&running.key, now.instant);
        running.fold_mut().began = Some(now.instant + wait);
        if wait.is_zero() {
            return self.prepare(running, Next::Newest, now, issuer);
        }
        self.pause(running, Next::Newest, now.instant, wait);
    }

    /// Moves operations from the queue into a fold.
    pub(super) fn take_operations(&mut self, running: &mut Running) {
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

    /// A fold is through: the next one of the key begins, if anybody waits.
    pub(super) fn next_fold(&mut self, mut running: Taken, now: Now, issuer: &TimestampIssuer) {
        let fold = running.fold_mut();
        (fold.attempts, fold.own) = (0, None);
        assert!(fold.operations.is_empty(), "all operations of a fold that is through have ended");
        if self.queues.get(&running.key).is_none_or(|queue| queue.waiting.is_empty()) {
            return self.end_fold(running);
        }
        self.begin_fold(running, now, issuer);
    }

    pub(super) fn end_fold(&mut self, running: Taken) {
        self.disarm(&running);
        self.running.end(&running);
        let queue = self.queues.remove(&running.key);
        assert!(queue.is_none_or(|queue| queue.waiting.is_empty()), "somebody waits for a fold that ends");
    }

    /// The operations of a fold end without an answer, and the next fold of the key begins.
    pub(super) fn end_operations(
        &mut self,
        mut running: Taken,
        reason: Reason,
        now: Now,
        issuer: &TimestampIssuer,
    ) {
        let fold = running.fold_mut();
        fold.learn();
        fold.evaluated.clear();
        for operation in core::mem::take(&mut fold.operations) {
            self.end(operation, reason);
        }
        self.next_fold(running, now, issuer);
    }

    /// All operations of a key end, and so does the fold.
    pub(super) fn end_all(&mut self, mut running: Taken, reason: Reason) {
        let waiting = self.queues.get_mut(&running.key).map(|queue| core::mem::take(&mut queue.waiting));
        let operations = core::mem::take(&mut running.fold_mut().operations);
        for operation in operations.into_iter().chain(waiting.into_iter().flatten()) {
            self.end(operation, reason);
        }
        self.end_fold(running);
    }

    /// An operation that was a part of a fold has its answer: `stamped` is what the key holds after the fold.
    pub(super) fn answer(
        &mut self,
        id: u64,
        evaluated: EvaluatedOperation,
        stamped: &StampedValue,
        now: Now,
    ) {
        if let Some(running) = self.running.take(id) {
            let Machine::Member(member) = &running.machine else { unreachable!("it was in a fold") };
            let settled = member.settled(evaluated, stamped);
            self.settle(running, settled, now);
        }
    }

    /// An operation that was a part of a fold, or waited for one, ends without an answer.
    fn end(&mut self, id: u64, reason: Reason) {
        if let Some(running) = self.running.take(id) {
            let outcome = match running.machine.had_no_effect() {
                true => Outcome::Refused(reason),
                false => Outcome::Indeterminate(reason),
            };
            self.finish(running, outcome);
        }
    }

    /// An operation that waited for a fold, or was a part of it, has ended.
    pub(in super::super) fn leave(&mut self, id: u64, key: &Bytes) {
        let Some(queue) = self.queues.get_mut(key) else { unreachable!("whoever waits has a queue") };
        queue.waiting.retain(|waiting| *waiting != id);
        let (fold, nobody_waits) = (queue.fold, queue.waiting.is_empty());
        // A fold in the middle of something has its operations settled by itself.
        let Some(mut running) = self.running.take(fold) else { return };
        let fold = running.fold_mut();
        let place = fold.operations.iter().position(|operation| *operation == id);
        if let Some(place) = place {
            fold.operations.remove(place);
            if place < fold.evaluated.len() {
                fold.evaluated.remove(place);
            }
        }
        if nobody_waits && fold.operations.is_empty() {
            return self.end_fold(running);
        }
        if fold.operations.is_empty() && fold.own.take().is_some() {
            fold.learn();
            // P3' binds those of the proposal, and they are gone: nobody can apply them again. Those who wait begin anew, at once.
            fold.evaluated.clear();
            fold.attempts = 0;
            return self.pause(running, Next::Newest, Instant(0), Duration::ZERO);
        }
        if place.is_some() && matches!(fold.phase, FoldPhase::Evaluate(_)) {
            // What comes of the others without it?
            running.number += 1;
            return self.ask_for_evaluation(running);
        }
        self.keep(running);
    }

    /// What the fold that an operation waits for has come to so far, and whether that is chosen.
    pub(in super::super) fn fold_of(&self, key: &Bytes) -> Option<(&Running, bool)> {
        let running = self.running.get(self.queues.get(key)?.fold)?;
        Some((running, matches!(running.fold().phase, FoldPhase::Publish(_))))
    }
}
