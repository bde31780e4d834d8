//! One operation in flight, or one fold of several, and the calls that its phase makes.

use super::machine::Machine;
use super::update::fold::Fold;
use super::{Config, Transmit};
use crate::ballot::Scope;
use crate::message::{CallId, Refusal};
use crate::quorum::NodeSet;
use crate::time::Instant;
use crate::version::NodeId;
use alloc::collections::VecDeque;
use bytes::Bytes;
use core::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Running {
    pub(super) id: u64,
    pub(super) key: Bytes,
    /// Whether replicas whose disk is full cannot carry it out.
    pub(super) needs_room: bool,
    pub(super) scope: Scope,
    pub(super) deadline: Instant,
    /// Counts phases; part of every call id.
    pub(super) number: u32,
    pub(super) machine: Machine,
    pub(super) calls: Calls,
    /// When something is due next, and what the timer table says.
    pub(super) due: Instant,
    pub(super) armed: Option<Instant>,
    pub(super) resend_pause: Duration,
    pub(super) hedged: bool,
}

/// What the calls of a phase have come to, apart from counted answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Calls {
    /// Members that this phase has called.
    pub(super) contacted: NodeSet,
    pub(super) last_refusal: Option<Refusal>,
}

impl Running {
    pub(super) fn new(
        id: u64,
        key: Bytes,
        needs_room: bool,
        machine: Machine,
        deadline: Instant,
        config: &Config,
        now: Instant,
    ) -> Self {
        Self {
            id,
            key,
            needs_room,
            scope: config.quorums.scope(),
            deadline,
            number: 0,
            machine,
            calls: Calls::default(),
            due: deadline.min(now + config.hedge_after),
            armed: None,
            resend_pause: config.resend_after,
            hedged: false,
        }
    }

    /// The next phase begins: its calls are not those of the last one. Something is due after `due_after`.
    pub(super) fn enter(&mut self, now: Instant, due_after: Duration, resend_pause: Duration) {
        self.number += 1;
        self.calls = Calls::default();
        self.resend_pause = resend_pause;
        self.due_after(now, due_after);
        self.hedged = false;
    }

    /// Something is due after so long, but not after the deadline. A fold ends with its operations, each of which has a deadline
    /// of its own.
    pub(super) fn due_after(&mut self, now: Instant, pause: Duration) {
        let due = now + pause;
        self.due = if matches!(self.machine, Machine::Fold(_)) { due } else { self.deadline.min(due) };
    }

    pub(super) fn fold(&self) -> &Fold {
        match &self.machine {
            Machine::Fold(fold) => fold,
            other => unreachable!("{other:?} is not a fold"),
        }
    }

    pub(super) fn fold_mut(&mut self) -> &mut Fold {
        match &mut self.machine {
            Machine::Fold(fold) => fold,
            other => unreachable!("{other:?} is not a fold"),
        }
    }

    /// Whether this member was called and has not answered.
    pub(super) fn waits_for(&self, member: NodeId) -> bool {
        self.calls.contacted.minus(self.machine.answered()).contains(member)
    }

    /// The current phase's request to a member.
    pub(super) fn call(&self, to: NodeId) -> Transmit {
        let request = self.machine.request(self.key.clone(), to);
        let call = CallId { operation: self.id, phase: self.number };
        let Self { scope, deadline, .. } = *self;
        Transmit { to, call, scope, deadline, request, may_wait: false, again: false }
    }

    /// Calls those of `chosen` that this phase has not called yet.
    pub(super) fn widen(&mut self, chosen: NodeSet, transmits: &mut VecDeque<Transmit>) {
        for member in chosen.minus(self.calls.contacted).iter() {
            self.calls.contacted.insert(member);
            transmits.push_back(self.call(member));
        }
    }

    /// Calls those once more that were called and have not answered.
    pub(super) fn call_again(&self, transmits: &mut VecDeque<Transmit>) {
        for member in self.calls.contacted.minus(self.machine.answered()).iter() {
            transmits.push_back(Transmit { again: true, ..self.call(member) });
        }
    }
}
