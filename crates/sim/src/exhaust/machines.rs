//! The production machines, run once for every distinct situation and remembered.
//!
//! A world has millions of states but few distinct coordinators: what one of them knows is a handful of replies. So
//! every distinct machine (a `Coordinator`, the `TimestampIssuer` of its node, the calls it is waiting for) gets a
//! number, and what an input does to it is computed once, by the production code, and looked up from then on.
//! Machines are compared whole, with `Eq`: nothing is projected away. What would distort the count is made constant
//! from outside instead:
//!
//! * *Whom to ask first.* A query phase asks its own replica, then a majority, then everybody when the hedge fires.
//!   Here the hedge fires at once, so everybody is always asked; not having asked equals never being answered. What
//!   the coordinator suspects of slow members goes with [`Coordinator::handle_peer_up`], which every member sends.
//! * *Timers.* Deadlines are closer than the first repetition, so every timer stands at the deadline, which never
//!   comes; except that of a commit wait, which depends on the version alone because true time drives the timers.
//! * *`previous` in an acknowledgement.* Replicas do not know it (`None`, as the message allows). It enters only the
//!   `existed` of an outcome, which is a report and not part of the history.

use super::hash::Map;
use super::history::Answer;
use super::scenario::{Break, Kind, LETTERS, REPLICAS, Scenario};
use super::symmetry::{RENAMINGS, Renaming};
use super::values::{Cell, Store, ValueId, ValueSet, Values};
use abd::{
    CallId, Config, Coordinator, Instant, Interval, Members, NodeId, Now, Operation, OperationId, Outcome,
    Reaction, Replica, Reply, Request, StampedValue, Standing, TimestampIssuer, TimestampMode,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// A time that no run reaches, but before the first repetition.
const DEADLINE: Instant = Instant(1_000);

/// Later than the deadline, whenever the phase began.
const RESEND_AFTER: Duration = Duration::from_secs(1);

/// What every replica may do here.
const STANDING: Standing = Standing { admitted: true, writable: true };

/// The number of a distinct machine.
pub(super) type MachineId = u32;

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

/// What an input leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Effect {
    /// The machine after it.
    pub(super) next: MachineId,
    /// The values that it sends to be stored.
    pub(super) sent: ValueSet,
    /// The operations that end.
    pub(super) answers: [Option<(u8, Answer)>; 2],
}

/// What an operation in flight is waiting for: bit `i` is replica `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
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
struct Machine {
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

struct Entry {
    machine: Rc<Machine>,
    /// How it first came about: from which machine, by which input. Nothing for a fresh one.
    origin: Option<(MachineId, Input)>,
    /// Itself under each renaming of the replicas, once known.
    images: [Option<MachineId>; RENAMINGS.len()],
    waiting: [Option<Waiting>; 2],
}

/// All machines of a run.
pub(super) struct Machines {
    scenario: Scenario,
    pub(super) values: Values,
    entries: Vec<Entry>,
    numbers: Map<Rc<Machine>, MachineId>,
    effects: Map<(MachineId, Input), Effect>,
    steps: Vec<(MachineId, Input)>,
    stored: Map<(Cell, ValueId), (Cell, bool)>,
}

impl Machines {
    pub(super) fn new(scenario: Scenario) -> Self {
        Self {
            scenario,
            values: Values::new(),
            entries: Vec::new(),
            numbers: Map::default(),
            effects: Map::default(),
            steps: Vec::new(),
            stored: Map::default(),
        }
    }

    /// A machine that has just started for the first time.
    pub(super) fn fresh(&mut self, event_loop: usize) -> MachineId {
        let event_loop = self.scenario.loops[event_loop];
        self.number(Machine::new(event_loop.node, 1, 1, event_loop.mode), None)
    }

    /// What the operations of a machine are waiting for.
    pub(super) fn waiting(&self, machine: MachineId) -> [Option<Waiting>; 2] {
        self.entries[machine as usize].waiting
    }

    /// How many distinct machines there are, and how many distinct inputs to them.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.steps.len())
    }

    /// What an input does to a machine.
    pub(super) fn step(&mut self, machine: MachineId, input: Input) -> Effect {
        if let Some(effect) = self.effects.get(&(machine, input)) {
            return *effect;
        }
        let mut next = (*self.entries[machine as usize].machine).clone();
        let mut effect = Effect { next: machine, sent: 0, answers: [None; 2] };
        self.run(&mut next, input, &mut effect);
        effect.next = self.number(next, Some((machine, input)));
        self.effects.insert((machine, input), effect);
        self.steps.push((machine, input));
        effect
    }

    /// What a replica stores after a write was delivered to it, and whether it acknowledges.
    pub(super) fn store(&mut self, cell: Cell, value: ValueId) -> (Cell, bool) {
        if let Some(stored) = self.stored.get(&(cell, value)) {
            return *stored;
        }
        let stored = self.react(cell, value);
        self.stored.insert((cell, value), stored);
        stored
    }

    fn react(&self, cell: Cell, value: ValueId) -> (Cell, bool) {
        let stamped = self.values.get(value).clone();
        let newest = self.values.get(cell.newest).version;
        if newest == stamped.version && cell.newest != value {
            // Two values under one version, which a debug build of the replica asserts never to see. A release build
            // keeps what it has and acknowledges; so does this world, to see where it leads.
            return (cell, true);
        }
        let store = Store { values: &self.values, cell };
        let request = Request::LocalWrite { key: KEY, stamped };
        match (Replica { max_future: None }).handle(&store, request, STANDING, 0) {
            Reaction::Reply(_) => (cell, true),
            Reaction::Commit { stamped, .. } => {
                let newest = if stamped.version > newest { value } else { cell.newest };
                if self.scenario.page_cache {
                    // Acknowledged when it is delivered again after the fsync, as every request is.
                    return (Cell { newest, ..cell }, false);
                }
                (Cell::synced(newest), true)
            }
        }
    }

    /// A machine with the replicas renamed: the same inputs from the replicas' new names.
    pub(super) fn image(&mut self, machine: MachineId, renaming: usize) -> MachineId {
        if let Some(image) = self.entries[machine as usize].images[renaming] {
            return image;
        }
        let image = match self.entries[machine as usize].origin {
            None => machine,
            Some((origin, input)) => {
                let origin = self.image(origin, renaming);
                self.step(origin, input.renamed(&RENAMINGS[renaming])).next
            }
        };
        self.entries[machine as usize].images[renaming] = Some(image);
        image
    }

    /// Proves what the search relies on, for every machine and every input that it met.
    ///
    /// First, renaming the replicas of a machine and of an input renames those of the result, and changes nothing
    /// else. Second, replies to calls that are over change nothing, whatever they say.
    ///
    /// # Errors
    /// The machine and the input for which it is not so.
    pub(super) fn verify(&mut self) -> Result<(), String> {
        let mut done = 0;
        while done < self.steps.len() {
            let (machine, input) = self.steps[done];
            let effect = self.step(machine, input);
            for (index, renaming) in RENAMINGS.iter().enumerate() {
                let expected = Effect { next: self.image(effect.next, index), ..effect };
                let image = self.image(machine, index);
                if self.step(image, input.renamed(renaming)) != expected {
                    return Err(format!(
                        "{input:?} is not symmetric for {:?}",
                        self.entries[machine as usize].machine
                    ));
                }
            }
            done += 1;
        }
        self.entries.iter().try_for_each(|entry| self.ignores_late_replies(&entry.machine))
    }

    fn ignores_late_replies(&self, machine: &Machine) -> Result<(), String> {
        let newest = self.values.list().iter().max_by_key(|value| value.version);
        let newest = newest.unwrap_or(&StampedValue::NEVER);
        let (version, content) = (newest.version, Some(newest.content.clone()));
        let replies = [
            Reply::Read { version, content, durable: true },
            Reply::Timestamp { version, present: true, writable: true },
            Reply::Written { previous: None },
        ];
        let now = self.now(machine.mode, 0, 0, false);
        for operation in 0..self.scenario.operations.len() as u64 {
            for phase in 0..3 {
                let call = CallId { operation, phase };
                if machine.coordinator.is_open(call) {
                    continue;
                }
                for reply in &replies {
                    let mut after = machine.clone();
                    after.coordinator.handle_reply(NodeId(1), call, reply.clone(), now, &after.issuer);
                    if after != *machine {
                        return Err(format!(
                            "{reply:?} to the finished call {call:?} had an effect on {machine:?}"
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    fn run(&mut self, machine: &mut Machine, input: Input, effect: &mut Effect) {
        if self.scenario.breaks == Break::LastIssued {
            machine.issuer = TimestampIssuer::new(NodeId(machine.node), machine.boot);
        }
        match input {
            Input::Submit { operation, latest } => self.submit(machine, operation, latest, effect),
            Input::Query { operation, from, cell, now } => {
                let now = self.now_for(machine, operation, now);
                let Some((to, call, request)) = machine.request(operation, from) else { return };
                let store = Store { values: &self.values, cell };
                let reaction = (Replica { max_future: None }).handle(&store, request, STANDING, 0);
                let Reaction::Reply(mut reply) = reaction else { unreachable!("a query stores nothing") };
                if let (Break::DurableFlag, Reply::Read { durable, .. }) = (self.scenario.breaks, &mut reply)
                {
                    *durable = true;
                }
                machine.coordinator.handle_reply(to, call, reply, now, &machine.issuer);
                self.collect(machine, now, effect);
            }
            Input::Written { operation, from, now } => {
                let now = self.now_for(machine, operation, now);
                let Some((to, call, _)) = machine.request(operation, from) else { return };
                machine.coordinator.handle_reply(to, call, WRITTEN, now, &machine.issuer);
                self.collect(machine, now, effect);
            }
            Input::Time { now } => {
                let now = self.now(machine.mode, now, now, false);
                machine.coordinator.handle_timeout(now);
                self.collect(machine, now, effect);
            }
            Input::Restart => {
                let boot = machine.boot + 1;
                let stamped = if self.scenario.breaks == Break::Boot { 1 } else { boot };
                *machine = Machine::new(machine.node, boot, stamped, machine.mode);
            }
        }
    }

    fn submit(&mut self, machine: &mut Machine, operation: u8, latest: u8, effect: &mut Effect) {
        let now = self.now(machine.mode, 0, latest, false);
        let letter = usize::from(operation);
        let wish = match self.scenario.operations[letter].kind {
            Kind::Get => Operation::Get { key: KEY },
            Kind::Set => Operation::Set { key: KEY, value: Bytes::from_static(&LETTERS[letter..=letter]) },
            Kind::Delete => Operation::Delete { key: KEY },
        };
        let id = machine.coordinator.submit(wish, DEADLINE, now, &machine.issuer);
        let first = CallId { operation: id.0, phase: 0 };
        machine.calls.insert(operation, Call { operation: id, id: first, requests: Default::default() });
        // The hedge is due at once; then nobody is under suspicion.
        machine.coordinator.handle_timeout(now);
        for node in 1..=3 {
            machine.coordinator.handle_peer_up(NodeId(node));
        }
        self.collect(machine, now, effect);
    }

    /// Takes what the coordinator puts out.
    fn collect(&mut self, machine: &mut Machine, now: Now, effect: &mut Effect) {
        while let Some(transmit) = machine.coordinator.poll_transmit() {
            let asker =
                machine.calls.iter_mut().find(|(_, call)| call.operation.0 == transmit.call.operation);
            let Some((&operation, call)) = asker else { unreachable!("a call of nobody: {transmit:?}") };
            if let Request::LocalWrite { stamped, .. } = &transmit.request {
                let kind = self.scenario.operations[usize::from(operation)].kind;
                if self.scenario.breaks == Break::WriteBack && kind == Kind::Get {
                    let Machine { coordinator, issuer, .. } = machine;
                    coordinator.handle_reply(transmit.to, transmit.call, WRITTEN, now, issuer);
                    continue;
                }
                effect.sent |= 1 << self.values.number(stamped);
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
                Outcome::Written { .. } => Answer::Written,
                Outcome::Read(stamped) => Answer::Read(Values::writer(&stamped)),
                Outcome::Refused(_) | Outcome::Indeterminate(_) => {
                    unreachable!("{outcome:?} without a reason")
                }
            };
            let free = effect.answers.iter_mut().find(|answer| answer.is_none());
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
            Break::SetWait => kind == Kind::Set,
            Break::GetWait => kind == Kind::Get,
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

    fn number(&mut self, machine: Machine, origin: Option<(MachineId, Input)>) -> MachineId {
        if let Some(&number) = self.numbers.get(&machine) {
            return number;
        }
        let Ok(number) = u32::try_from(self.entries.len()) else { panic!("not a tiny world") };
        let mut waiting = [None; 2];
        for (place, (&operation, call)) in waiting.iter_mut().zip(&machine.calls) {
            *place = Some(call.waiting(operation, &mut self.values));
        }
        let machine = Rc::new(machine);
        self.numbers.insert(Rc::clone(&machine), number);
        let mut images = [None; RENAMINGS.len()];
        images[0] = Some(number);
        self.entries.push(Entry { machine, origin, images, waiting });
        number
    }
}

/// The one key of a tiny world.
const KEY: Bytes = Bytes::from_static(b"k");

const WRITTEN: Reply = Reply::Written { previous: None };

impl Input {
    fn renamed(self, renaming: &Renaming) -> Self {
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
    fn new(node: u32, boot: u32, stamped: u32, mode: TimestampMode) -> Self {
        let config = Config {
            local: NodeId(node),
            members: Members::new(vec![NodeId(1), NodeId(2), NodeId(3)]),
            mode,
            hedge_after: Duration::ZERO,
            resend_after: RESEND_AFTER,
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
}

impl Call {
    fn waiting(&self, operation: u8, values: &mut Values) -> Waiting {
        let mut waiting = Waiting { operation, queried: 0, for_timestamp: false, written: None };
        for (index, request) in self.requests.iter().enumerate() {
            match request {
                None => {}
                Some(Request::LocalRead { .. }) => waiting.queried |= 1 << index,
                Some(Request::LocalReadTimestamp { .. }) => {
                    waiting.queried |= 1 << index;
                    waiting.for_timestamp = true;
                }
                Some(Request::LocalWrite { stamped, .. }) => {
                    let (_, written) = waiting.written.unwrap_or_default();
                    waiting.written = Some((values.number(stamped), written | 1 << index));
                }
            }
        }
        waiting
    }
}
