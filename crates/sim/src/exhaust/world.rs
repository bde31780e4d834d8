//! The state of a tiny world, and every step that it can take.

use super::actions::replicas;
use super::change::{Change, Step};
use super::history::{HistoryEntry, Progress};
use super::machine::{Awaited, Input, Output, ReplyId, RequestId};
use super::machines::{Effect, MachineId, Machines};
use super::replica::Cell;
use super::scenario::{Break, LAST, MAX_LOOPS, MAX_OPERATIONS, Operation, REPLICAS, Scenario};
use super::symmetry::{rename, renamings};
use super::values::{ValueId, ValueSet};

/// Everything that the future depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// What each replica has stored.
    pub(super) replicas: [Cell; REPLICAS],
    /// The machines of each event loop.
    pub(super) machines: [MachineId; MAX_LOOPS],
    /// The history so far.
    pub(super) records: [HistoryEntry; MAX_OPERATIONS],
    /// Every value that was ever sent to be stored, by configuration: deliverable for ever, to all its members, any number of times.
    pub(super) sent: [ValueSet; LAST as usize],
    /// Every Accept that was ever sent: the same holds for it.
    pub(super) accepts: Accepts,
    /// Answers of replicas to the timestamp queries of the first two operations that are still on their way, where
    /// the scenario has slow replies.
    pub(super) travelling: [[Option<ValueId>; REPLICAS]; 2],
    /// True time.
    pub(super) now: u8,
    /// Crashes that may still happen: a bit for each event loop.
    pub(super) crashes: u8,
    /// Power cuts that may still happen.
    pub(super) power_cuts: u8,
    /// Disks that may still be lost.
    pub(super) wipes: u8,
    /// Restarts of replicas that may still happen.
    pub(super) replica_restarts: u8,
    pub(super) change: Change,
}

/// A set of Accepts: in ascending order, and then nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Accepts([RequestId; ACCEPTS]);

/// Most Accepts that are sent in a tiny world.
const ACCEPTS: usize = 8;

impl Accepts {
    const NOTHING: RequestId = RequestId::MAX;
    const NONE: Self = Self([Self::NOTHING; ACCEPTS]);

    pub(super) fn iter(self) -> impl Iterator<Item = RequestId> {
        self.0.into_iter().take_while(|accept| *accept != Self::NOTHING)
    }

    fn insert(&mut self, accept: RequestId) {
        if self.0.contains(&accept) {
            return;
        }
        let [.., last] = &mut self.0;
        assert!(*last == Self::NOTHING, "not a tiny world");
        *last = accept;
        self.0.sort_unstable();
    }
}

impl World {
    /// Every value that was ever sent to be stored.
    pub(super) fn all_sent(&self) -> ValueSet {
        self.sent.iter().fold(0, |all, sent| all | sent)
    }
}

/// How a Prepare or an Accept arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Plain,
    /// The answer is lost; the request may be repeated.
    ReplyLost,
    /// The replica takes part in an instance at which it is closed.
    ThoughClosed,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A TrueTime Set is invoked and reads its clock.
    Begin { operation: u8, latest: u8 },
    /// A replica answers an operation's query with what it holds now, which is judged by `moment`. If it is the first, the operation is
    /// invoked.
    Query { operation: u8, replica: u8, moment: u8 },
    /// The same, but the answer stays on its way.
    Answer { operation: u8, replica: u8 },
    /// It arrives.
    Arrive { operation: u8, replica: u8 },
    /// A value that was sent in a configuration reaches a replica, and those who wait for it get the acknowledgement.
    Deliver { value: ValueId, epoch: u8, replica: u8 },
    /// A replica gets a Prepare, and its answer is taken in; what is evaluated then is judged by `moment`. If it is the first, the
    /// operation is invoked.
    Prepare { operation: u8, replica: u8, how: Delivery, moment: u8 },
    /// An Accept reaches a replica, and whoever waits for it gets the answer.
    Accept { accept: RequestId, replica: u8, how: Delivery },
    /// An Update has waited for long: it begins another ballot if somebody was in its way.
    Wait { operation: u8 },
    /// A replica restarts.
    ReplicaRestart { replica: u8 },
    /// True time goes on.
    Tick,
    /// The node of an event loop crashes and comes back.
    Restart { event_loop: u8 },
    /// What a replica stored becomes durable.
    Sync { replica: u8 },
    /// A replica loses what was not.
    PowerCut { replica: u8 },
    /// A replica comes back empty.
    Wipe { replica: u8 },
    /// A replica forgets the tombstone that it holds.
    Forget { replica: u8 },
    /// All replicas forget the tombstone that all hold.
    ForgetEverywhere,
    /// The next configuration is decided.
    Decide,
    /// A replica that is to be a member merges what a member holds.
    Pull { replica: u8, from: u8 },
}

/// The rules by which a world moves.
pub(super) struct Rules {
    pub(super) scenario: Scenario,
    pub(super) machines: Machines,
    /// Whether there are Updates.
    updates: bool,
}

/// A Prepare or an Accept, and its answer.
#[derive(Clone, Copy)]
pub(super) struct Exchange {
    /// The operation that gets the answer.
    pub(super) asker: Option<u8>,
    pub(super) request: RequestId,
    /// The replica afterwards.
    cell: Cell,
    pub(super) reply: ReplyId,
}

impl Rules {
    pub(super) fn new(scenario: Scenario) -> Self {
        let updates = scenario.has_updates();
        Self { machines: Machines::new(scenario.clone()), scenario, updates }
    }

    /// The world before anything happened.
    pub(super) fn beginning(&mut self) -> World {
        let mut machines = [0; MAX_LOOPS];
        for (event_loop, machine) in machines.iter_mut().enumerate().take(self.scenario.loops.len()) {
            *machine = self.machines.fresh(event_loop);
        }
        let may_crash = self.scenario.loops.iter().enumerate().filter(|(_, l)| l.crashes);
        World {
            replicas: [Cell::default(); REPLICAS],
            machines,
            records: [HistoryEntry::IDLE; MAX_OPERATIONS],
            sent: [0; LAST as usize],
            accepts: Accepts::NONE,
            travelling: [[None; REPLICAS]; 2],
            // Timestamps start at 1, and so does time, later where clocks may be behind.
            now: 1 + self.scenario.clocks.map_or(0, |clocks| clocks.behind),
            crashes: may_crash.fold(0, |set, (event_loop, _)| set | 1 << event_loop),
            power_cuts: self.scenario.power_cuts,
            wipes: self.scenario.wipes,
            replica_restarts: self.scenario.replica_restarts,
            change: Change::NONE,
        }
    }

    /// Whether all operations that can still be answered are.
    pub(super) fn finished(&self, world: &World) -> bool {
        let ends = |index: usize| world.records[index].answered() || self.never_answers(world, index);
        (0..self.scenario.operations.len()).all(ends)
    }

    /// Whether an operation is lost, or waits for one that is.
    fn never_answers(&self, world: &World, operation: usize) -> bool {
        let after = self.scenario.operations[operation].after;
        world.records[operation].progress == Progress::Lost
            || after.is_some_and(|after| self.never_answers(world, after))
    }

    /// Whether all operations are answered.
    pub(super) fn all_answered(&self, world: &World) -> bool {
        world.records[..self.scenario.operations.len()].iter().all(|record| record.answered())
    }

    /// The same world with its replicas in the one order that stands for all (see the module documentation).
    pub(super) fn canonical(&mut self, world: &World) -> World {
        let mut best: Option<World> = None;
        let count = self.scenario.interchangeable();
        for (index, renaming) in renamings(count).iter().enumerate() {
            let replicas = rename(renaming, &world.replicas);
            if !replicas[..count].is_sorted() {
                continue;
            }
            let machines = world.machines.map(|machine| self.machines.image(machine, index));
            let travelling = world.travelling.map(|answers| rename(renaming, &answers));
            let change = world.change.renamed(renaming);
            let world = World { replicas, machines, travelling, change, ..*world };
            let order = |world: &World| (world.machines, world.travelling, world.change);
            if best.as_ref().is_none_or(|best| order(&world) < order(best)) {
                best = Some(world);
            }
        }
        best.unwrap_or(*world)
    }

    /// The world after a step, or nothing if the step changes nothing.
    pub(super) fn apply(&mut self, world: &World, step: Step) -> Option<World> {
        let Step { learns, action } = step;
        let mut after = *world;
        if let Some(learned) = learns {
            self.learn(&mut after, learned);
        }
        self.reach(&mut after, action);
        let cell = |replica: u8| world.replicas[usize::from(replica)];
        match action {
            Action::Begin { operation, latest } => self.begin(&mut after, operation, latest),
            Action::Query { operation, replica, moment } => {
                self.begin_if_idle(&mut after, operation);
                self.query(&mut after, operation, replica, cell(replica), moment);
            }
            Action::Answer { operation, replica } => {
                self.begin_if_idle(&mut after, operation);
                let place = &mut after.travelling[usize::from(operation)][usize::from(replica)];
                *place = Some(cell(replica).newest);
            }
            Action::Arrive { operation, replica } => {
                let place = &mut after.travelling[usize::from(operation)][usize::from(replica)];
                let value = place.take()?;
                self.query(&mut after, operation, replica, Cell::synced(value), 0);
            }
            Action::Deliver { value, epoch, replica } => self.deliver(&mut after, value, epoch, replica),
            Action::Prepare { operation, replica, .. } => {
                self.begin_if_idle(&mut after, operation);
                self.propose(&mut after, action, replica)?;
            }
            Action::Accept { replica, .. } => self.propose(&mut after, action, replica)?,
            Action::Wait { operation } => {
                let now = self.clock(world);
                self.input_for(&mut after, operation, Input::Waited { operation, now });
            }
            Action::ReplicaRestart { replica } => self.restart_replica(&mut after, replica)?,
            Action::Tick => {
                let now = world.now + 1;
                after.now = now;
                for event_loop in 0..self.scenario.loops.len() {
                    self.input(&mut after, event_loop, Input::Time { now });
                }
            }
            Action::Restart { event_loop } => self.restart(&mut after, event_loop),
            Action::Sync { replica } => {
                after.replicas[usize::from(replica)].durable = cell(replica).newest;
            }
            Action::PowerCut { replica } => {
                after.power_cuts -= 1;
                after.replicas[usize::from(replica)].newest = cell(replica).durable;
            }
            Action::Wipe { replica } => {
                after.wipes -= 1;
                after.replicas[usize::from(replica)] = Cell::default();
            }
            Action::Forget { replica } => after.replicas[usize::from(replica)] = Cell::default(),
            Action::ForgetEverywhere => after.replicas = [Cell::default(); REPLICAS],
            Action::Decide => after.change.decide(),
            Action::Pull { replica, from } => self.pull(&mut after, replica, from),
        }
        (after != *world).then_some(after)
    }

    /// Every value that is stored, or may be.
    pub(super) fn present(&self, world: &World) -> ValueSet {
        world.replicas.iter().fold(world.all_sent(), |set, cell| set | 1 << cell.newest)
    }

    pub(super) fn waiting(&self, world: &World) -> impl Iterator<Item = Awaited> {
        let loops = self.scenario.loops.len();
        world.machines.into_iter().take(loops).flat_map(|machine| self.machines.waiting(machine)).flatten()
    }

    fn begin(&mut self, world: &mut World, operation: u8, latest: u8) {
        let before =
            (0..MAX_OPERATIONS).filter(|&i| world.records[i].answered()).fold(0, |set, i| set | 1 << i);
        world.records[usize::from(operation)] = HistoryEntry { progress: Progress::Open, before };
        self.input_for(world, operation, Input::Submit { operation, latest });
    }

    pub(super) fn begin_if_idle(&mut self, world: &mut World, operation: u8) {
        if world.records[usize::from(operation)].progress == Progress::Idle {
            self.begin(world, operation, 0);
        }
    }

    fn query(&mut self, world: &mut World, operation: u8, from: u8, cell: Cell, moment: u8) {
        // What its acceptor knows is no part of the answer.
        let cell = Cell { acceptor: 0, ..cell };
        let input = Input::Query { operation, from, cell, now: self.clock(world), moment };
        self.input_for(world, operation, input);
    }

    /// The request that reaches a replica, what the replica has then and answers, and to whom.
    pub(super) fn exchange(&mut self, world: &World, action: Action) -> Option<Exchange> {
        let (asker, request, replica, how) = match action {
            Action::Prepare { operation, replica, how, .. } => {
                let asker = self.waiting(world).find(|waiting| waiting.operation == operation)?;
                (Some(operation), asker.proposed[usize::from(replica)]?, replica, how)
            }
            Action::Accept { accept, replica, how } => {
                let asks = |waiting: &Awaited| {
                    waiting.accept == Some(accept) && waiting.proposed[usize::from(replica)].is_some()
                };
                let asker = self.waiting(world).find(asks);
                let exact = asker.and_then(|asker| asker.proposed[usize::from(replica)]);
                // Liars need the base.
                let request =
                    exact.filter(|_| !matches!(self.scenario.breaks, Break::Forgotten | Break::Closed));
                (asker.map(|asker| asker.operation), request.unwrap_or(accept), replica, how)
            }
            _ => return None,
        };
        let cell = world.replicas[usize::from(replica)];
        let (cell, reply) = self.machines.handle(cell, request, how == Delivery::ThoughClosed)?;
        let asker = asker.filter(|_| how != Delivery::ReplyLost);
        Some(Exchange { asker, request, cell, reply })
    }

    fn propose(&mut self, world: &mut World, action: Action, replica: u8) -> Option<()> {
        let Exchange { asker, cell, reply, .. } = self.exchange(world, action)?;
        world.replicas[usize::from(replica)] = cell;
        if let Some(operation) = asker {
            let now = self.clock(world);
            let moment = if let Action::Prepare { moment, .. } = action { moment } else { 0 };
            self.input_for(world, operation, Input::Reply { operation, from: replica, reply, now, moment });
        }
        Some(())
    }

    /// All coordinators get to know at once that it is another run of the replica: the sooner they know, the more they believe of
    /// what it says (rule P3').
    fn restart_replica(&mut self, world: &mut World, replica: u8) -> Option<()> {
        let cell = &mut world.replicas[usize::from(replica)];
        let (restarted, boot) = self.machines.restart(*cell)?;
        *cell = restarted;
        world.replica_restarts -= 1;
        if world.replica_restarts == 0 {
            world.replicas = world.replicas.map(|cell| self.machines.without_mark(cell));
        }
        for event_loop in 0..self.scenario.loops.len() {
            if !self.has_ended(world, event_loop) {
                self.input(world, event_loop, Input::PeerUp { from: replica, boot });
            }
        }
        Some(())
    }

    /// Whether all operations of a loop are over.
    pub(super) fn has_ended(&self, world: &World, event_loop: usize) -> bool {
        let own = |(index, operation): (usize, &Operation)| {
            (operation.event_loop == event_loop).then_some(world.records[index].progress)
        };
        let mut progress = self.scenario.operations.iter().enumerate().filter_map(own);
        progress.all(|progress| !matches!(progress, Progress::Idle | Progress::Open))
    }

    fn deliver(&mut self, world: &mut World, value: ValueId, epoch: u8, replica: u8) {
        let cell = &mut world.replicas[usize::from(replica)];
        let (stored, acknowledged) = self.machines.store(*cell, value);
        *cell = stored;
        if !acknowledged {
            return;
        }
        let now = self.clock(world);
        let mut waiting = [None; MAX_OPERATIONS];
        let asked = |w: &Awaited| {
            w.epoch == epoch && w.written.is_some_and(|(v, to)| v == value && to & 1 << replica != 0)
        };
        for (place, found) in waiting.iter_mut().zip(self.waiting(world).filter(asked)) {
            *place = Some(found.operation);
        }
        for operation in waiting.into_iter().flatten() {
            self.input_for(world, operation, Input::Written { operation, from: replica, now });
        }
    }

    fn restart(&mut self, world: &mut World, event_loop: u8) {
        world.crashes &= !(1 << event_loop);
        for (index, operation) in self.scenario.operations.iter().enumerate() {
            let progress = &mut world.records[index].progress;
            if operation.event_loop == usize::from(event_loop) && *progress == Progress::Open {
                *progress = Progress::Lost;
                if let Some(travelling) = world.travelling.get_mut(index) {
                    *travelling = [None; REPLICAS];
                }
            }
        }
        self.input(world, usize::from(event_loop), Input::Restart);
    }

    /// True time, where anybody looks at it.
    fn clock(&self, world: &World) -> u8 {
        if self.scenario.clocks.is_some() { world.now } else { 0 }
    }

    fn input_for(&mut self, world: &mut World, operation: u8, input: Input) {
        self.input(world, self.scenario.operations[usize::from(operation)].event_loop, input);
    }

    pub(super) fn input(&mut self, world: &mut World, event_loop: usize, input: Input) {
        let Effect { next, output } = self.machines.step(world.machines[event_loop], input);
        let Output { sent, accept, answers, exhausted } = output;
        world.machines[event_loop] = next;
        world.sent[usize::from(self.machines.epoch(next)) - 1] |= sent;
        if let Some(accept) = accept {
            world.accepts.insert(accept);
        }
        if let Some(operation) = exhausted {
            world.records[usize::from(operation)].progress = Progress::Lost;
        }
        for (operation, answer) in answers.into_iter().flatten() {
            world.records[usize::from(operation)].progress = Progress::Answered(answer);
        }
        if self.scenario.slow_replies {
            self.drop_late_replies(world);
        }
        if (self.updates || self.scenario.changes) && self.has_ended(world, event_loop) {
            // What is left of it nobody will ask for.
            world.machines[event_loop] = self.machines.fresh(event_loop);
        }
    }

    /// A reply to a phase that is over changes nothing ([`Machines::verify`] shows it), so it need not be kept.
    fn drop_late_replies(&self, world: &mut World) {
        let mut queried = [0; 2];
        for waiting in self.waiting(world) {
            if let Some(place) = queried.get_mut(usize::from(waiting.operation)) {
                *place = waiting.queried;
            }
        }
        for (travelling, queried) in world.travelling.iter_mut().zip(queried) {
            for (replica, answer) in replicas().zip(travelling) {
                answer.take_if(|_| queried & 1 << replica == 0);
            }
        }
    }
}
