//! One event loop of one node: the production coordinator and issuer, and the adapters that lie to them in broken rows.
//!
//! Machines are compared whole, with `Eq`: nothing is projected away. What would distort the count of states is made
//! constant from outside instead:
//!
//! * *Whom to ask first.* A query phase asks its own replica, then a majority, then everybody when the hedge fires.
//!   Here the hedge fires at once, so everybody is always asked; not having asked equals never being answered. What
//!   the coordinator suspects of slow members goes with [`Coordinator::handle_peer_up`], which every member sends.
//! * *Timers.* Deadlines are closer than the first repetition, so every timer stands at the deadline, which never
//!   comes; except that of a commit wait, which depends on the version alone because true time drives the timers.
//! * *`previous` in an acknowledgement.* Replicas do not know it (`None`, as the message allows). It enters only the
//!   `existed` of an outcome, which is a report and not part of the history.

use super::history::ModelAnswer;
use super::scenario::{Break, LETTERS, OperationKind, REPLICAS, Scenario};
use super::symmetry::Renaming;
use super::values::{Cell, Store, ValueId, ValueSet, Values};
use abd::{
    Acceptor, AcceptorLimits, Ballot, CallId, Config, Coordinator, Instant, Interval, Members, Newest,
    NodeId, Now, Operation, OperationId, Outcome, PAUSE, Reaction, Replica, Reply, Request, Scope,
    StampedValue, Standing, TimestampIssuer, TimestampMode, Version,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

/// The one key of a tiny world.
pub(super) const KEY: Bytes = Bytes::from_static(b"k");

/// Every replica.
const REPLICA: Replica = Replica { scope: Scope::FIRST, max_future: None };

const LIMITS: AcceptorLimits = AcceptorLimits { promises: 1, closed: 1, key_bytes: 1 << 10, buckets: 1 };

const WRITTEN: Reply = Reply::Written { previous: None };

/// A time that no run reaches, but before the first repetition.
const DEADLINE: Instant = Instant(1_000);

/// Later than the deadline, whenever the phase began.
const RESEND_AFTER: Duration = Duration::from_secs(1);

/// What every replica may do here.
const STANDING: Standing = Standing { admitted: true, writable: true };

/// Everything that can happen to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Input {
    /// A client's operation; `latest` is what the interval clock says now.
    Submit { operation: u8, latest: u8 },
    /// A replica that stores `cell` answers the query of an operation.
    Query { operation: u8, from: u8, cell: Cell, now: u8 },
    /// A replica acknowledges the write of an operation.
    Written { operation: u8, from: u8, now: u8 },
    /// True time is now this.
    Time { now: u8 },
    /// The node crashes and comes back.
    Restart,
}

/// What an input puts out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Output {
    /// The values that are sent to be stored.
    pub(super) sent: ValueSet,
    /// The operations that end.
    pub(super) answers: [Option<(u8, ModelAnswer)>; 2],
}

/// What machines run in: the scenario with its lies, and the values by number.
pub(super) struct Surroundings {
    pub(super) scenario: Scenario,
    pub(super) values: Values,
}

/// What an operation in flight is waiting for: bit `i` is replica `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Awaited {
    pub(super) operation: u8,
    /// Replicas that were asked what they hold.
    pub(super) queried: u8,
    /// The query is for a timestamp only.
    pub(super) for_timestamp: bool,
    /// Replicas that were asked to store the value.
    pub(super) written: Option<(ValueId, u8)>,
}

/// The production machines of one event loop, and the requests whose replies would still count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Machine {
    node: u32,
    boot: u32,
    mode: TimestampMode,
    coordinator: Coordinator,
    issuer: TimestampIssuer,
    calls: BTreeMap<u8, Call>,
}

/// The requests of an operation's current phase.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Call {
    operation: OperationId,
    id: CallId,
    requests: [Option<Request>; REPLICAS],
}

impl Surroundings {
    /// Gives a machine an input.
    pub(super) fn run(&mut self, machine: &mut Machine, input: Input) -> Output {
        let mut output = Output::default();
        self.feed(machine, input, &mut output);
        output
    }

    fn feed(&mut self, machine: &mut Machine, input: Input, output: &mut Output) {
        if self.scenario.breaks == Break::LastIssued {
            machine.issuer = TimestampIssuer::new(NodeId(machine.node), machine.boot);
        }
        match input {
            Input::Submit { operation, latest } => self.submit(machine, operation, latest, output),
            Input::Query { operation, from, cell, now } => {
                let now = self.now_for(machine, operation, now);
                let Some((to, call, request)) = machine.request(operation, from) else { return };
                let store = Store { values: &self.values, cell };
                let mut reply = REPLICA.read(&store, request, STANDING);
                if let (Break::DurableFlag, Reply::Read(found)) = (self.scenario.breaks, &mut reply) {
                    found.durable = true;
                }
                machine.coordinator.handle_reply(to, call, reply, now, &machine.issuer);
                self.collect(machine, now, output);
            }
            Input::Written { operation, from, now } => {
                let now = self.now_for(machine, operation, now);
                let Some((to, call, _)) = machine.request(operation, from) else { return };
                machine.coordinator.handle_reply(to, call, WRITTEN, now, &machine.issuer);
                self.collect(machine, now, output);
            }
            Input::Time { now } => {
                let now = self.now(machine.mode, now, now, false);
                machine.coordinator.handle_timeout(now, &machine.issuer);
                self.collect(machine, now, output);
            }
            Input::Restart => {
                let boot = machine.boot + 1;
                let stamped = if self.scenario.breaks == Break::Boot { 1 } else { boot };
                *machine = Machine::new(machine.node, boot, stamped, machine.mode);
            }
        }
    }

    fn submit(&mut self, machine: &mut Machine, operation: u8, latest: u8, output: &mut Output) {
        let now = self.now(machine.mode, 0, latest, false);
        let letter = usize::from(operation);
        let wish = match self.scenario.operations[letter].kind {
            OperationKind::Get => Operation::Get { key: KEY },
            OperationKind::Set => {
                Operation::Set { key: KEY, value: Bytes::from_static(&LETTERS[letter..=letter]) }
            }
            OperationKind::Delete => Operation::Delete { key: KEY },
        };
        let id = machine.coordinator.submit(wish, DEADLINE, now, &machine.issuer);
        let first = CallId { operation: id.0, phase: 0 };
        machine.calls.insert(operation, Call { operation: id, id: first, requests: Default::default() });
        // The hedge is due at once; then nobody is under suspicion.
        machine.coordinator.handle_timeout(now, &machine.issuer);
        for node in 1..=3 {
            machine.coordinator.handle_peer_up(NodeId(node), 1);
        }
        self.collect(machine, now, output);
    }

    /// Takes what the coordinator puts out.
    fn collect(&mut self, machine: &mut Machine, now: Now, output: &mut Output) {
        while let Some(transmit) = machine.coordinator.poll_transmit() {
            let asker =
                machine.calls.iter_mut().find(|(_, call)| call.operation.0 == transmit.call.operation);
            let Some((&operation, call)) = asker else { unreachable!("a call of nobody: {transmit:?}") };
            if let Request::LocalWrite { stamped, .. } = &transmit.request {
                let kind = self.scenario.operations[usize::from(operation)].kind;
                if self.scenario.breaks == Break::WriteBack && kind == OperationKind::Get {
                    let Machine { coordinator, issuer, .. } = machine;
                    coordinator.handle_reply(transmit.to, transmit.call, WRITTEN, now, issuer);
                    continue;
                }
                output.sent |= 1 << self.values.number(stamped);
            }
            if call.id != transmit.call {
                call.id = transmit.call;
                call.requests = Default::default();
            }
            call.requests[(transmit.to.0 - 1) as usize] = Some(transmit.request);
        }
        while let Some((id, outcome)) = machine.coordinator.poll_outcome() {
            let ended = machine.calls.iter().find(|(_, call)| call.operation == id);
            let Some((&operation, _)) = ended else { unreachable!("{id:?} ended twice") };
            machine.calls.remove(&operation);
            let answer = match outcome {
                Outcome::Written { .. } => ModelAnswer::Written,
                Outcome::Read(stamped) => ModelAnswer::Read(Values::writer(&stamped)),
                Outcome::Updated { .. } | Outcome::Refused(_) | Outcome::Indeterminate(_) => {
                    unreachable!("{outcome:?} without a reason")
                }
            };
            let free = output.answers.iter_mut().find(|answer| answer.is_none());
            let Some(free) = free else { unreachable!("a loop has at most two operations") };
            *free = Some((operation, answer));
        }
        for call in machine.calls.values_mut() {
            if !machine.coordinator.is_open(call.id) {
                call.requests = Default::default();
            }
        }
    }

    /// What time it is for the input that may end an operation.
    fn now_for(&self, machine: &Machine, operation: u8, now: u8) -> Now {
        let kind = self.scenario.operations[usize::from(operation)].kind;
        let all_past = match self.scenario.breaks {
            Break::AllWaits => true,
            Break::SetWait => kind == OperationKind::Set,
            Break::GetWait => kind == OperationKind::Get,
            _ => false,
        };
        self.now(machine.mode, now, now, all_past)
    }

    /// `earliest` is as late as it may be: a wait that can be over is over.
    fn now(&self, mode: TimestampMode, now: u8, latest: u8, all_past: bool) -> Now {
        let earliest = if all_past { u64::MAX } else { u64::from(now) };
        let interval = Interval { earliest, latest: u64::from(latest) };
        Now {
            instant: Instant(u64::from(now)),
            interval: (mode == TimestampMode::TrueTime).then_some(interval),
        }
    }

    /// What a replica stores after a write was delivered to it, and whether it acknowledges.
    pub(super) fn store(&self, cell: Cell, value: ValueId) -> (Cell, bool) {
        let stamped = self.values.get(value).clone();
        let newest = self.values.get(cell.newest).version;
        if newest == stamped.version && cell.newest != value {
            // Two values under one version, which a debug build of the replica asserts never to see. A release build
            // keeps what it has and acknowledges; so does this world, to see where it leads.
            return (cell, true);
        }
        let store = Store { values: &self.values, cell };
        let request = Request::LocalWrite { key: KEY, stamped };
        // Without updates an acceptor has nothing to remember.
        let mut acceptor = Acceptor::new(1, Ballot::MIN, LIMITS);
        match REPLICA.handle(&store, &mut acceptor, request, STANDING, 0) {
            Reaction::Reply(reply) => (cell, matches!(reply, Reply::Written { .. })),
            Reaction::Commit { unit, .. } => {
                let Some((_, stamped)) = unit.version() else { unreachable!("a write is a version") };
                let newest = if stamped.version > newest { value } else { cell.newest };
                if self.scenario.page_cache {
                    // Acknowledged when it is delivered again after the fsync, as every request is.
                    return (Cell { newest, ..cell }, false);
                }
                (Cell::synced(newest), true)
            }
        }
    }

    /// Whether replies to calls that are over leave a machine as it is, whatever they say and whoever sends them.
    ///
    /// # Errors
    /// The reply that does not.
    pub(super) fn ignores_late_replies(&self, machine: &Machine) -> Result<(), String> {
        let newest = self.values.list().iter().max_by_key(|value| value.version);
        let newest = newest.cloned().unwrap_or(StampedValue::NEVER);
        let version = newest.version;
        let found = Newest { stamped: newest, durable: true }.glimpse(Version::MIN);
        let replies =
            [Reply::Read(found), Reply::Timestamp { version, present: true, writable: true }, WRITTEN];
        let calls = (0..2).flat_map(|operation| (0..3).map(move |phase| CallId { operation, phase }));
        let over = calls.filter(|call| !machine.coordinator.is_open(*call));
        for (call, node) in over.flat_map(|call| (1..=3).map(move |node| (call, NodeId(node)))) {
            for reply in &replies {
                let mut after = machine.clone();
                let now = self.now(machine.mode, 0, 0, false);
                after.coordinator.handle_reply(node, call, reply.clone(), now, &after.issuer);
                if after != *machine {
                    return Err(format!("{reply:?} to {call:?}, which is over, changes {machine:?}"));
                }
            }
        }
        Ok(())
    }
}

impl Input {
    /// The same input with the replicas renamed.
    pub(super) fn renamed(self, renaming: &Renaming) -> Self {
        let new = |from: u8| renaming[usize::from(from)];
        match self {
            Self::Query { operation, from, cell, now } => {
                Self::Query { operation, from: new(from), cell, now }
            }
            Self::Written { operation, from, now } => Self::Written { operation, from: new(from), now },
            Self::Submit { .. } | Self::Time { .. } | Self::Restart => self,
        }
    }
}

impl Machine {
    /// `boot` is the incarnation, `stamped` the one that goes into timestamps.
    pub(super) fn new(node: u32, boot: u32, stamped: u32, mode: TimestampMode) -> Self {
        let config = Config {
            local: NodeId(node),
            members: Members::new(vec![NodeId(1), NodeId(2), NodeId(3)]),
            scope: Scope::FIRST,
            mode,
            hedge_after: Duration::ZERO,
            rotate_after: NonZeroU64::MIN,
            // Times are no part of a state.
            probe_after: None,
            resend_after: RESEND_AFTER,
            pause: PAUSE,
        };
        Self {
            node,
            boot,
            mode,
            coordinator: Coordinator::new(config),
            issuer: TimestampIssuer::new(NodeId(node), stamped),
            calls: BTreeMap::new(),
        }
    }

    /// The request of an operation's current phase to one replica.
    fn request(&self, operation: u8, to: u8) -> Option<(NodeId, CallId, Request)> {
        let call = self.calls.get(&operation)?;
        let request = call.requests[usize::from(to)].clone()?;
        Some((NodeId(u32::from(to) + 1), call.id, request))
    }

    /// What its operations are waiting for.
    pub(super) fn waiting(&self, values: &mut Values) -> [Option<Awaited>; 2] {
        let mut waiting = [None; 2];
        for (place, (&operation, call)) in waiting.iter_mut().zip(&self.calls) {
            *place = Some(call.waiting(operation, values));
        }
        waiting
    }
}

impl Call {
    fn waiting(&self, operation: u8, values: &mut Values) -> Awaited {
        let mut waiting = Awaited { operation, queried: 0, for_timestamp: false, written: None };
        for (index, request) in self.requests.iter().enumerate() {
            match request {
                None => {}
                Some(Request::LocalRead { .. }) => waiting.queried |= 1 << index,
                Some(Request::LocalReadTimestamp { .. }) => {
                    waiting.queried |= 1 << index;
                    waiting.for_timestamp = true;
                }
                Some(Request::Prepare { .. } | Request::Accept { .. }) => unreachable!("nobody updates"),
                Some(Request::LocalWrite { stamped, .. }) => {
                    let (_, written) = waiting.written.unwrap_or_default();
                    waiting.written = Some((values.number(stamped), written | 1 << index));
                }
            }
        }
        waiting
    }
}
