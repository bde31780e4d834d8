//! The coordinator: client operations as phases over quorums.
//!
//! ```text
//! Get      read a majority ─► newest durable on a majority? ── yes ──────────► (T1 wait) ─► answer
//!                  │                     └── no ─► write it back to those that lack it ┘
//!                  └── due to expire ─► its expiry is decided, as an Update is (rule E1) ─► answer
//! Set, logical    timestamps of a majority ─► time = max + 1 ─► write to a majority ─► (T1 wait) ─► answer
//! Set, TrueTime   time = latest ─► write to a majority ─► T1 wait, overlapped ─► answer
//! Delete   a Set whose content is the tombstone
//! Update   consensus on the successor of a base: see the module `update`
//! ```
//!
//! Each kind of operation is a machine of its own (`get`, `write`, `update`), with its phases, replies and calls; what is the
//! same for all of them is here.
//!
//! Its methods come in three kinds. Commands: [`Coordinator::submit`], [`Coordinator::cancel`]. Inputs: `handle_*`.
//! Outputs: [`Coordinator::poll_transmit`], [`Coordinator::poll_outcome`] (both until `None` after any command or
//! input), then [`Coordinator::poll_timeout`], at which [`Coordinator::handle_timeout`] is due. The functions of an Update are evaluated
//! by whoever holds the coordinator: [`Coordinator::poll_evaluation`], [`Coordinator::handle_evaluated`].

mod carry_out;
mod choice;
mod get;
mod in_flight;
mod install;
mod machine;
mod nearness;
mod peers;
mod running;
mod step;
mod storing;
mod update;
mod write;

use crate::ballot::Scope;
use crate::issuer::TimestampIssuer;
use crate::message::{CallId, Refusal, Reply, Request};
use crate::operation::{Operation, OperationId, Outcome, Reason};
use crate::quorum::{NodeSet, QuorumSystem};
use crate::time::{Instant, Now};
use crate::update::{Evaluated, Evaluation, EvaluationId};
use crate::value::{Content, Deadline, StampedValue};
use crate::version::{NodeId, Version};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use bytes::Bytes;
use core::num::NonZeroU64;
use core::time::Duration;
use get::Get;
use in_flight::InFlight;
use machine::Machine;
use nearness::Nearness;
use running::Running;
use step::{Settled, Step};
use update::look::Look;
use update::{Contention, KeyQueue, Member, Pauses};
use write::{Write, disk_full};

/// How the cluster chooses timestamps. All members use the same: a TrueTime Set is ordered after a logical operation
/// only if that one waited too (PROTOCOL 3.7, run BT4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimestampMode {
    /// A quorum read of timestamps, then one more.
    Logical,
    /// The interval clock's `latest`; every operation waits the uncertainty out.
    TrueTime,
}

/// What a coordinator is told once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// The member whose replica is closest: this node's own.
    pub local: NodeId,
    /// Whose answers suffice, and in which configuration.
    pub quorums: QuorumSystem,
    /// How timestamps are chosen.
    pub mode: TimestampMode,
    /// A query phase asks a bare majority first and everybody after this long.
    pub hedge_after: Duration,
    /// So many operations in a row ask the same majority first: those that run at the same time then share messages.
    pub rotate_after: NonZeroU64,
    /// Members that answer questions much later than others are asked last. One that has not been asked for this long is
    /// asked beside those who are needed, to learn whether that is still so. `None`: nobody is timed, and all count as near.
    pub probe_after: Option<Duration>,
    /// First pause before a call that was not answered is sent again; doubles each time up to eight times this.
    pub resend_after: Duration,
    /// An Update that was in another one's way pauses for up to this long, and then for longer. With zero nothing is left to the
    /// others, either.
    pub pause: Duration,
}

/// The first pause of an Update that was in another one's way ([`Config::pause`]) that fits most clusters.
pub const PAUSE: Duration = Duration::from_millis(1);

/// A request to one replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transmit {
    /// Whom to ask.
    pub to: NodeId,
    /// To be returned with the reply.
    pub call: CallId,
    /// Which configuration it belongs to.
    pub scope: Scope,
    /// The operation's deadline: an answer after it is of no use.
    pub deadline: Instant,
    /// What to ask.
    pub request: Request,
    /// Whether nobody waits for the answer as long as those answer who were asked without this: a write beyond a
    /// majority. It may be sent a little later, together with others, but not much: should one of the others fail, the
    /// operation waits for this one.
    pub may_wait: bool,
    /// Whether it was sent before and not answered: the way that it took may be at fault.
    pub again: bool,
}

/// The state machines of all operations in flight.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Coordinator {
    config: Config,
    next_operation: u64,
    running: InFlight,
    timers: BTreeSet<(Instant, u64)>,
    /// Members that left a hedge waiting: asked last until they answer anything. A hint, never a rule.
    suspects: NodeSet,
    nearness: Nearness,
    /// Members that said their disk is full: they take deletes, if anything.
    unwritable: NodeSet,
    transmits: VecDeque<Transmit>,
    outcomes: VecDeque<(OperationId, Outcome)>,
    /// By key, its Updates: those that wait, and their fold.
    queues: BTreeMap<Bytes, KeyQueue>,
    evaluations: VecDeque<Evaluation>,
    pauses: Pauses,
    contention: Contention,
    /// The last run of each member that is known.
    boots: BTreeMap<NodeId, u32>,
    /// Members to whom no connection is up: no proposal is sent to them (rule P3').
    unreachable: NodeSet,
}

/// How much an operation holds of what it has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueFound {
    /// A Get that nobody has answered yet, not even the own replica.
    Nothing,
    /// So many bytes of a content: at first what the own replica has, then the newest.
    Bytes(usize),
    /// It is not in flight any more.
    Ended,
}

impl Coordinator {
    /// A coordinator with nothing in flight.
    pub fn new(config: Config) -> Self {
        Self {
            nearness: Nearness::new(config.quorums.clone(), config.local, config.probe_after),
            pauses: Pauses::new(config.pause),
            contention: Contention::default(),
            boots: BTreeMap::new(),
            unreachable: NodeSet::EMPTY,
            config,
            next_operation: 0,
            running: InFlight::default(),
            timers: BTreeSet::new(),
            suspects: NodeSet::EMPTY,
            unwritable: NodeSet::EMPTY,
            transmits: VecDeque::new(),
            outcomes: VecDeque::new(),
            queues: BTreeMap::new(),
            evaluations: VecDeque::new(),
        }
    }

    /// Starts an operation, to be ended by `deadline` at the latest.
    pub fn submit(
        &mut self,
        operation: Operation,
        deadline: Instant,
        now: Now,
        issuer: &TimestampIssuer,
    ) -> OperationId {
        let id = self.next_operation;
        self.next_operation += 1;
        let (key, needs_room) = (operation.key().clone(), operation.needs_room());
        let (machine, enqueues) = match self.machine_for(operation, now, issuer) {
            Ok(machine) => {
                let enqueues = matches!(machine, Machine::Member(_));
                (machine, enqueues)
            }
            Err(reason) => {
                self.outcomes.push_back((OperationId(id), Outcome::Refused(reason)));
                return OperationId(id);
            }
        };
        let running = Running::new(id, key, needs_room, machine, deadline, &self.config, now.instant);
        let mut running = self.running.begin(running);
        if enqueues {
            running.due = deadline;
        }
        self.call_first(&mut running, now.instant);
        self.keep(running);
        if enqueues {
            self.enqueue(id, StampedValue::NEVER, now, issuer);
        }
        OperationId(id)
    }

    /// The machine of a new operation.
    fn machine_for(
        &self,
        operation: Operation,
        now: Now,
        issuer: &TimestampIssuer,
    ) -> Result<Machine, Reason> {
        let is_truetime = self.config.mode == TimestampMode::TrueTime;
        if is_truetime && now.interval.is_none() && !operation.is_read() {
            return Err(Reason::ClockUnknown);
        }
        let (content, deadline) = match operation {
            Operation::Get { .. } => return Ok(Machine::Get(Get::new())),
            Operation::Update { functions, .. } => {
                let looks = functions.iter().all(|function| !function.always_changes);
                return Ok(match looks {
                    true => Machine::Look(Look::new(functions)),
                    false => Machine::Member(Member::new(functions)),
                });
            }
            Operation::Set { value, deadline, .. } => (Content::Value(value), deadline),
            Operation::Delete { .. } => (Content::Tombstone, Deadline::NONE),
        };
        let Some(interval) = now.interval.filter(|_| is_truetime) else {
            return Ok(Machine::Write(Write::new(content, deadline, None)));
        };
        if content.is_value() && !self.config.quorums.suffices_without(self.unwritable) {
            return Err(disk_full(&self.config.quorums, self.unwritable));
        }
        // T2: `latest` was read after the invocation; `last_issued` makes up for its repeats.
        let timestamp = issuer.issue(interval.latest).map_err(|_| Reason::CeilingReached)?;
        let version = Version::of_write(timestamp);
        Ok(Machine::Write(match content {
            // How many keys there were is a question, and a write asks none.
            Content::Tombstone => Write::new(content, deadline, Some(version)),
            Content::Value(_) => Write::blind(content, deadline, version),
        }))
    }

    /// Ends an operation whose caller is gone. It answers `Refused` or `Indeterminate`, as a deadline would.
    pub fn cancel(&mut self, operation: OperationId) {
        if let Some(running) = self.running.take(operation.0) {
            let outcome = self.give_up(&running, Some(Reason::Cancelled));
            self.finish(running, outcome);
        }
    }

    /// A replica's reply. Late, duplicate and foreign ones have no effect.
    pub fn handle_reply(
        &mut self,
        from: NodeId,
        call: CallId,
        reply: Reply,
        now: Now,
        issuer: &TimestampIssuer,
    ) {
        if !self.config.quorums.voters().contains(from) {
            return;
        }
        self.suspects.remove(from);
        self.nearness.answered(from, call, matches!(reply, Reply::Refused(_)), now.instant);
        let boot = match &reply {
            Reply::Promise(promise) => promise.boot,
            Reply::Closed(closed) => closed.boot,
            _ => 0,
        };
        self.know_boot(from, boot);
        let Some(mut running) = self.running.take(call.operation) else { return };
        let step = match reply {
            _ if running.number != call.phase => Step::Continue,
            Reply::Refused(refusal) => {
                running.calls.last_refusal = Some(refusal);
                running.machine.absorb_refusal(&self.config.quorums, from, refusal)
            }
            // Whoever holds this coordinator has it install that configuration (rule C1).
            Reply::Stale { .. } if running.machine.is_question() => Step::AskEverybody,
            Reply::Stale { .. } => Step::Continue,
            reply => {
                if matches!(reply, Reply::Timestamp { writable: false, .. }) && running.needs_room {
                    running.calls.last_refusal = Some(Refusal::DiskFull);
                }
                running.machine.absorb(&self.config.quorums, issuer, from, reply, now)
            }
        };
        let step = self.or_retry(&running, step);
        self.carry_out(running, step, now, issuer);
    }

    /// The next functions to be evaluated, until none is left; [`Coordinator::handle_evaluated`] follows, at once or later.
    pub fn poll_evaluation(&mut self) -> Option<Evaluation> {
        self.evaluations.pop_front()
    }

    /// What functions have come to. Late ones have no effect.
    ///
    /// # Panics
    /// When fewer than one of the operations, or more than there are, were evaluated.
    pub fn handle_evaluated(
        &mut self,
        id: EvaluationId,
        evaluated: Evaluated,
        now: Now,
        issuer: &TimestampIssuer,
    ) {
        let EvaluationId { operation: OperationId(operation), phase } = id;
        let Some(mut running) = self.running.take(operation) else { return };
        if running.number != phase {
            return self.keep(running);
        }
        match &mut running.machine {
            Machine::Look(look) => {
                let Some(first) = evaluated.operations.into_iter().next() else {
                    panic!("at least one operation is evaluated");
                };
                let step = look.absorb_evaluated(&self.config.quorums, first);
                self.carry_out(running, step, now, issuer);
            }
            Machine::Fold(_) => self.evaluated(running, evaluated, now, issuer),
            _ => self.keep(running),
        }
    }

    /// Fires what is due at `now`.
    pub fn handle_timeout(&mut self, now: Now, issuer: &TimestampIssuer) {
        while let Some((at, id)) = self.timers.first().copied() {
            if at > now.instant {
                break;
            }
            self.timers.pop_first();
            let Some(mut running) = self.running.take(id) else {
                unreachable!("a timer outlives its operation {id}");
            };
            let step = self.on_timer(&mut running, now);
            self.carry_out(running, step, now, issuer);
        }
    }

    /// The next request to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        loop {
            let transmit = self.transmits.pop_front()?;
            if !matches!(transmit.request, Request::Accept { .. }) || self.proposes(&transmit) {
                return Some(transmit);
            }
        }
    }

    /// The next operation that has ended.
    pub fn poll_outcome(&mut self) -> Option<(OperationId, Outcome)> {
        self.outcomes.pop_front()
    }

    /// When [`Coordinator::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Whether a reply to this call would still count. What waits to be sent for a closed call may be dropped.
    pub fn is_open(&self, call: CallId) -> bool {
        self.running.get(call.operation).is_some_and(|running| running.number == call.phase)
    }

    /// How much an operation holds of what it has read.
    pub fn found(&self, operation: OperationId) -> ValueFound {
        let Some(running) = self.running.get(operation.0) else { return ValueFound::Ended };
        match &running.machine {
            Machine::Get(Get::Read(reading)) if reading.answered.is_empty() => ValueFound::Nothing,
            Machine::Get(Get::Read(reading)) => ValueFound::Bytes(reading.newest.content.len()),
            Machine::Look(look) => ValueFound::Bytes(look.reading.newest.content.len()),
            Machine::Get(Get::WriteBack(storing)) => ValueFound::Bytes(storing.stamped.content.len()),
            Machine::CommitWait(Settled { outcome: Outcome::Read(stamped), .. }) => {
                ValueFound::Bytes(stamped.content.len())
            }
            Machine::CommitWait(Settled { outcome: Outcome::Updated { answers, .. }, .. }) => {
                ValueFound::Bytes(answers.iter().map(Bytes::len).sum())
            }
            _ => ValueFound::Bytes(0),
        }
    }

    /// Operations in flight.
    pub fn in_flight(&self) -> usize {
        self.running.len()
    }
}
