//! An event loop without its sockets, threads and clocks: a coordinator, the own replica, the lanes to the peers, and who waits for
//! which operation.
//!
//! Inputs are methods (`handle_*`, [`submit`](Shard::submit)), outputs are polled for or arise from an input at once: what waits
//! for the disk goes through the [`Environment`], an outcome goes the way back that its operation came with, frames wait for
//! whoever sends them ([`poll_sender`](Shard::poll_sender), [`take_output`](Shard::take_output)). An operation lives and
//! ends on one event loop. Event loops of a node share what the environment gives them: the store, one counter of timestamps, the
//! queue for the disk, the list of what repair has to do.

mod arriving;
mod callers;
mod catching_up;
mod config;
mod configuring;
mod driving;
mod environment;
mod inquiring;
mod own;
mod questions;
mod sending;
mod sweeping;
mod syncing;
#[cfg(test)]
mod tests;

pub use callers::{OperationKind, Return};
pub use catching_up::{Look, Looked};
pub use config::{REPLICA, coordinator_config, replica};
pub use configuring::PARTING;
pub use environment::{Environment, ReplyTo};
pub use own::{InMemory, OnDisk, Served};
pub use questions::{OwnAnswer, OwnQuestion};

use crate::configuration::Configuration;
use crate::functions::{Circumstances, evaluate};
use crate::inquiry::Inquiries;
use crate::inquiry::listing::Lists as _;
use crate::lanes::lane::LaneKey;
use crate::lanes::peer::AllLanes;
use crate::lookups::{Completed, found_bytes};
use crate::repair::is_repair;

use abd::{
    CallId, Config, Coordinator, Evaluated, EvaluationId, Instant, NodeId, Now, Operation, OperationId,
    Outcome, Reason, Refusal, Replica, Reply, ValueFound, Version,
};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;
use callers::Callers;
use configuring::Configuring;
use core::time::Duration;
use driving::Driving;
use sweeping::Sweeping;

/// A value that was sought and found counts for its client at once if it is so large.
const FOUND_MUCH_BYTES: usize = 64 << 10;

/// One event loop's state.
pub struct Shard<E, R> {
    environment: E,
    local: NodeId,
    op_timeout: Duration,
    replica: Replica,
    configuring: Configuring,
    coordinator: Coordinator,
    callers: Callers<R>,
    lanes: AllLanes,
    next_lane: u64,
    /// Lanes whose senders are to be woken.
    senders: Vec<LaneKey>,
    replaced: VecDeque<LaneKey>,
    questions: VecDeque<OwnQuestion>,
    inquiries: Inquiries<R>,
    /// While this event loop sweeps.
    sweeping: Option<Sweeping>,
    /// While this event loop drives changes of the members.
    driving: Option<Driving>,
}

impl<E: Environment, R: Return> Shard<E, R> {
    /// An event loop of the node that `config` calls local, which has installed a configuration. Nobody waits for an answer for much
    /// longer than `op_timeout`.
    pub fn new(
        environment: E,
        config: Config,
        configuration: Configuration,
        replica: Replica,
        op_timeout: Duration,
    ) -> Self {
        let local = config.local;
        let everybody = configuration.everybody().into_iter().map(|member| member.id);
        let lanes = AllLanes::new(everybody.filter(|id| *id != local));
        let inquiries = Inquiries::new(config.quorums.clone(), local, E::Store::order, op_timeout);
        let mut shard = Self {
            environment,
            local,
            op_timeout,
            replica,
            configuring: Configuring::new(configuration),
            coordinator: Coordinator::new(config),
            callers: Callers::default(),
            lanes,
            inquiries,
            next_lane: 0,
            senders: Vec::new(),
            replaced: VecDeque::new(),
            questions: VecDeque::new(),
            sweeping: None,
            driving: None,
        };
        shard.install_sync();
        shard.miss_lanes();
        shard
    }

    /// What it reaches beyond itself.
    pub fn environment(&self) -> &E {
        &self.environment
    }

    /// Starts an operation, to be ended by `deadline`. Its outcome goes the way `back`.
    ///
    /// # Errors
    /// Why it may not begin, and the way back.
    pub fn submit(
        &mut self,
        operation: Operation,
        deadline: Instant,
        instant: Instant,
        back: R,
    ) -> Result<OperationId, (Reason, R)> {
        let kind = OperationKind::from(&operation);
        if let Some(reason) = self.environment.reason_to_refuse(&operation) {
            self.environment.count(kind, &Outcome::Refused(reason));
            return Err((reason, back));
        }
        // T2: the clocks are read after the invocation, whatever the age of `instant`.
        let now = self.environment.now(instant);
        let id = self.coordinator.submit(operation, deadline, now, &self.environment.issuer());
        self.callers.insert(id, kind, back);
        self.pump(now);
        Ok(id)
    }

    /// Ends operations whose callers are gone.
    pub fn cancel(&mut self, operations: impl Iterator<Item = OperationId>, instant: Instant) {
        let mut are_any = false;
        for operation in operations {
            are_any = true;
            self.coordinator.cancel(operation);
        }
        if are_any {
            self.pump(self.at(instant));
        }
    }

    /// How much an operation holds of what it has read.
    pub fn found(&self, operation: OperationId) -> ValueFound {
        self.coordinator.found(operation)
    }

    /// Operations and inquiries in flight.
    pub fn in_flight(&self) -> usize {
        self.coordinator.in_flight() + self.inquiries.in_flight()
    }

    /// What time it is, for the coordinator.
    pub fn at(&self, instant: Instant) -> Now {
        self.environment.now(instant)
    }

    /// What had to wait for the disk, and writes of the own coordinator that the own replica has refused.
    pub fn handle_completions(
        &mut self,
        completed: impl IntoIterator<Item = (ReplyTo, Completed)>,
        refused: impl IntoIterator<Item = (Bytes, Version)>,
        now: Now,
    ) {
        for (key, version) in refused {
            self.environment.missed(self.local, &key, version);
        }
        let mut taken = 0;
        for (to, completed) in completed {
            taken += completed.bytes();
            let reply = match completed {
                Completed::Written(reply) => Some(reply),
                // It was looked up while this node served the epoch in which it was asked, or may have been later.
                Completed::Found(_) if !self.answers_in(to.epoch) => {
                    Some(Reply::Refused(Refusal::OtherConfiguration))
                }
                Completed::Found(reply) => Some(reply),
                // Should it have left the memory again, it is looked up here.
                Completed::LookedUp(request) => self.serve_own(request, to, None).reply(),
            };
            match (reply, to.lane) {
                (Some(reply), None) if self.configuration_written(to.call, &reply, now) => {}
                (Some(reply), None) => self.handle_reply(self.local, to.call, reply, now),
                (Some(reply), Some(key)) => self.answer(key, to.call, &reply),
                (None, _) => {}
            }
        }
        if taken > 0 {
            self.environment.taken(taken);
        }
        self.pump(now);
    }

    /// What functions have come to that were handed over.
    pub fn handle_evaluated(&mut self, id: EvaluationId, evaluated: Evaluated, now: Now) {
        self.coordinator.handle_evaluated(id, evaluated, now, &self.environment.issuer());
        self.pump(now);
    }

    /// Fires the timers. With `instant` at its largest all operations end: whoever waits is told what may have
    /// become of his write.
    pub fn handle_timeout(&mut self, now: Now) {
        self.coordinator.handle_timeout(now, &self.environment.issuer());
        self.inquiries.handle_timeout(now.instant);
        self.install_again(now);
        self.pump(now);
    }

    /// When [`Shard::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = [
            self.coordinator.poll_timeout(),
            self.inquiries.poll_timeout(),
            self.sweep_at(),
            self.install_at(),
            self.drive_at(),
        ];
        due.into_iter().flatten().min()
    }

    /// The next lane whose sender is to be woken.
    pub fn poll_sender(&mut self) -> Option<LaneKey> {
        self.senders.pop()
    }

    /// The next lane whose connection is to be closed, as another one took its place.
    pub fn poll_replaced(&mut self) -> Option<LaneKey> {
        self.replaced.pop_front()
    }

    /// A reply of a member. `now` may be a little old: an older `earliest` makes rule T1 wait longer, never
    /// shorter.
    fn handle_reply(&mut self, from: NodeId, call: CallId, reply: Reply, now: Now) {
        if is_repair(call) {
            return self.environment.repair(|repair, now| repair.handle_reply(from, call, reply, now));
        }
        let found = found_bytes(&reply);
        self.compare_configurations(from, &reply, now);
        self.coordinator.handle_reply(from, call, reply, now, &self.environment.issuer());
        if found >= FOUND_MUCH_BYTES {
            // The operation may hold it for long: its client is to be charged for it.
            self.callers.wake(OperationId(call.operation));
        }
    }

    /// Carries out everything that the coordinator and inquiries want done. `now` is that of the input.
    fn pump(&mut self, now: Now) {
        loop {
            self.pump_coordinator(now);
            self.install_noticed(now);
            let has_proposed = self.drive(now);
            if !self.sweep(now) && !has_proposed {
                break;
            }
        }
    }

    fn pump_coordinator(&mut self, now: Now) {
        loop {
            if let Some(transmit) = self.coordinator.poll_transmit() {
                self.transmit(transmit, now);
            } else if let Some(evaluation) = self.coordinator.poll_evaluation() {
                let moments = self.environment.moments();
                if evaluation.base.is_due(moments.earliest) {
                    self.environment.expires();
                }
                let Some(evaluation) = self.environment.hand_over(evaluation) else { continue };
                let circumstances =
                    Circumstances { moments, value_bytes_max: self.environment.value_bytes_max() };
                let evaluated = evaluate(&evaluation, circumstances, None);
                self.coordinator.handle_evaluated(evaluation.id, evaluated, now, &self.environment.issuer());
            } else {
                break;
            }
        }
        while let Some((id, outcome)) = self.coordinator.poll_outcome() {
            if let Some((kind, back)) = self.callers.remove(id) {
                self.environment.count(kind, &outcome);
                back.send(outcome);
            } else if !self.end_proposal(id, &outcome, now) {
                self.end_read(id, &outcome, now);
            }
        }
        self.pump_inquiries(now);
    }
}
