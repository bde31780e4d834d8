//! The state of a tiny world, and every step that it can take.

use super::history::{HistoryEntry, Progress};
use super::machine::{Awaited, Input, Output};
use super::machines::{Effect, MachineId, Machines};
use super::scenario::{Break, MAX_LOOPS, MAX_OPERATIONS, OperationKind, REPLICAS, Scenario};
use super::symmetry::{RENAMINGS, rename};
use super::values::{Cell, ValueId, ValueSet, members};
use abd::TimestampMode;

/// Everything that the future depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// What each replica has stored.
    pub(super) replicas: [Cell; REPLICAS],
    /// The machines of each event loop.
    pub(super) machines: [MachineId; MAX_LOOPS],
    /// The history so far.
    pub(super) records: [HistoryEntry; MAX_OPERATIONS],
    /// Every value that was ever sent to be stored: deliverable for ever, to anybody, any number of times.
    pub(super) sent: ValueSet,
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
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A TrueTime Set is invoked and reads its clock.
    Begin { operation: u8, latest: u8 },
    /// A replica answers an operation's query with what it holds now. If it is the first, the operation is invoked.
    Query { operation: u8, replica: u8 },
    /// The same, but the answer stays on its way.
    Answer { operation: u8, replica: u8 },
    /// It arrives.
    Arrive { operation: u8, replica: u8 },
    /// A value reaches a replica, and those who wait for it get the acknowledgement.
    Deliver { value: ValueId, replica: u8 },
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
}

/// The rules by which a world moves.
pub(super) struct Rules {
    pub(super) scenario: Scenario,
    pub(super) machines: Machines,
}

impl Rules {
    pub(super) fn new(scenario: Scenario) -> Self {
        Self { machines: Machines::new(scenario.clone()), scenario }
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
            sent: 0,
            travelling: [[None; REPLICAS]; 2],
            // Timestamps start at 1, and so does time, later where clocks may be behind.
            now: 1 + self.scenario.clocks.map_or(0, |clocks| clocks.behind),
            crashes: may_crash.fold(0, |set, (event_loop, _)| set | 1 << event_loop),
            power_cuts: self.scenario.power_cuts,
            wipes: self.scenario.wipes,
        }
    }

    /// Whether all operations that can still be answered are.
    pub(super) fn finished(&self, world: &World) -> bool {
        let records = &world.records[..self.scenario.operations.len()];
        records.iter().all(|record| record.answered() || record.progress == Progress::Lost)
    }

    /// Whether all operations are answered.
    pub(super) fn all_answered(&self, world: &World) -> bool {
        world.records[..self.scenario.operations.len()].iter().all(|record| record.answered())
    }

    /// The same world with its replicas in the one order that stands for all (see the module documentation).
    pub(super) fn canonical(&mut self, world: &World) -> World {
        let mut best: Option<World> = None;
        for (index, renaming) in RENAMINGS.iter().enumerate() {
            let replicas = rename(renaming, &world.replicas);
            if !replicas.is_sorted() {
                continue;
            }
            let machines = world.machines.map(|machine| self.machines.image(machine, index));
            let travelling = world.travelling.map(|answers| rename(renaming, &answers));
            let world = World { replicas, machines, travelling, ..*world };
            let order = |world: &World| (world.machines, world.travelling);
            if best.as_ref().is_none_or(|best| order(&world) < order(best)) {
                best = Some(world);
            }
        }
        best.unwrap_or(*world)
    }

    /// Every step that may change the world.
    pub(super) fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.clear();
        for operation in 0..self.count() {
            if self.may_begin(world, operation) {
                self.first_steps(world, operation, actions);
            }
        }
        for waiting in self.waiting(world) {
            for replica in bits(waiting.queried) {
                self.push_query(waiting.operation, replica, waiting.for_timestamp, actions);
            }
        }
        for operation in 0..2 {
            for replica in replicas() {
                if world.travelling[usize::from(operation)][usize::from(replica)].is_some() {
                    actions.push(Action::Arrive { operation, replica });
                }
            }
        }
        for value in members(world.sent) {
            actions.extend(replicas().map(|replica| Action::Deliver { value, replica }));
        }
        if self.time_matters(world) {
            actions.push(Action::Tick);
        }
        for event_loop in bits(world.crashes) {
            if self.crash_matters(world, event_loop) {
                actions.push(Action::Restart { event_loop });
            }
        }
        self.replica_faults(world, actions);
    }

    fn replica_faults(&self, world: &World, actions: &mut Vec<Action>) {
        let holds_tombstone = |cell: Cell| {
            let value = self.machines.values().get(cell.durable);
            cell.durable != 0 && !value.content.is_value()
        };
        for (replica, cell) in replicas().zip(world.replicas) {
            if cell.newest != cell.durable {
                actions.push(Action::Sync { replica });
                if world.power_cuts > 0 {
                    actions.push(Action::PowerCut { replica });
                }
            }
            if world.wipes > 0 && cell.newest != 0 {
                actions.push(Action::Wipe { replica });
            }
            if self.scenario.breaks == Break::Tombstone && holds_tombstone(cell) {
                actions.push(Action::Forget { replica });
            }
        }
        let [first, ..] = world.replicas;
        let unanimous = world.replicas.iter().all(|cell| *cell == first);
        if self.scenario.breaks == Break::TombstoneEverywhere && unanimous && holds_tombstone(first) {
            actions.push(Action::ForgetEverywhere);
        }
    }

    /// The world after a step, or nothing if the step changes nothing.
    pub(super) fn apply(&mut self, world: &World, action: Action) -> Option<World> {
        let mut after = *world;
        let cell = |replica: u8| world.replicas[usize::from(replica)];
        match action {
            Action::Begin { operation, latest } => self.begin(&mut after, operation, latest),
            Action::Query { operation, replica } => {
                self.begin_if_idle(&mut after, operation);
                self.query(&mut after, operation, replica, cell(replica));
            }
            Action::Answer { operation, replica } => {
                self.begin_if_idle(&mut after, operation);
                let place = &mut after.travelling[usize::from(operation)][usize::from(replica)];
                *place = Some(cell(replica).newest);
            }
            Action::Arrive { operation, replica } => {
                let place = &mut after.travelling[usize::from(operation)][usize::from(replica)];
                let value = place.take()?;
                self.query(&mut after, operation, replica, Cell::synced(value));
            }
            Action::Deliver { value, replica } => self.deliver(&mut after, value, replica),
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
        }
        (after != *world).then_some(after)
    }

    fn count(&self) -> u8 {
        u8::try_from(self.scenario.operations.len()).unwrap_or(u8::MAX)
    }

    /// Operations of a loop come in order; at once only where the scenario says so.
    fn may_begin(&self, world: &World, operation: u8) -> bool {
        let index = usize::from(operation);
        let event_loop = self.scenario.operations[index].event_loop;
        let earlier = (0..index).filter(|&other| self.scenario.operations[other].event_loop == event_loop);
        let progress = |index: usize| world.records[index].progress;
        let free = |other| !matches!(progress(other), Progress::Idle | Progress::Open);
        progress(index) == Progress::Idle
            && (self.scenario.loops[event_loop].concurrent || earlier.into_iter().all(free))
    }

    /// What may be an operation's first effect.
    fn first_steps(&self, world: &World, operation: u8, actions: &mut Vec<Action>) {
        let wish = self.scenario.operations[usize::from(operation)];
        let reads = wish.kind == OperationKind::Get;
        let mode = self.scenario.loops[wish.event_loop].mode;
        match self.scenario.clocks {
            Some(clocks) if mode == TimestampMode::TrueTime && !reads => {
                let range = world.now - clocks.behind..=world.now + clocks.ahead;
                actions.extend(range.map(|latest| Action::Begin { operation, latest }));
            }
            _ => {
                for replica in replicas() {
                    self.push_query(operation, replica, !reads, actions);
                }
            }
        }
    }

    fn push_query(&self, operation: u8, replica: u8, for_timestamp: bool, actions: &mut Vec<Action>) {
        actions.push(Action::Query { operation, replica });
        if self.scenario.slow_replies && for_timestamp {
            actions.push(Action::Answer { operation, replica });
        }
    }

    /// True time goes on only while some timestamp is not yet past. Once all are, a later hour is the same world with
    /// larger numbers: whatever is issued from then on is above all that exists, as it is now. A logical Set does not
    /// look at the clock, so where the two modes are mixed a few more hours make a difference.
    fn time_matters(&self, world: &World) -> bool {
        let logical = |l: &&super::scenario::EventLoop| l.mode == TimestampMode::Logical;
        let slack = self.scenario.loops.iter().filter(logical).count() as u64;
        let latest_time = self.machines.values().latest_time(world.sent);
        self.scenario.clocks.is_some() && world.sent != 0 && latest_time + slack >= u64::from(world.now)
    }

    /// A crash makes a difference if something is in flight, or if a next operation will be of a new incarnation.
    fn crash_matters(&self, world: &World, event_loop: u8) -> bool {
        let own = |(_, o): &(usize, &super::scenario::Operation)| o.event_loop == usize::from(event_loop);
        let own = self.scenario.operations.iter().enumerate().filter(own);
        let mut progress = own.map(|(index, _)| world.records[index].progress);
        let begun = progress.clone().any(|progress| progress != Progress::Idle);
        begun && progress.any(|progress| matches!(progress, Progress::Idle | Progress::Open))
    }

    fn waiting(&self, world: &World) -> impl Iterator<Item = Awaited> {
        let loops = self.scenario.loops.len();
        world.machines.into_iter().take(loops).flat_map(|machine| self.machines.waiting(machine)).flatten()
    }

    fn begin(&mut self, world: &mut World, operation: u8, latest: u8) {
        let before =
            (0..MAX_OPERATIONS).filter(|&i| world.records[i].answered()).fold(0, |set, i| set | 1 << i);
        world.records[usize::from(operation)] = HistoryEntry { progress: Progress::Open, before };
        self.input_for(world, operation, Input::Submit { operation, latest });
    }

    fn begin_if_idle(&mut self, world: &mut World, operation: u8) {
        if world.records[usize::from(operation)].progress == Progress::Idle {
            self.begin(world, operation, 0);
        }
    }

    fn query(&mut self, world: &mut World, operation: u8, from: u8, cell: Cell) {
        let input = Input::Query { operation, from, cell, now: self.clock(world) };
        self.input_for(world, operation, input);
    }

    fn deliver(&mut self, world: &mut World, value: ValueId, replica: u8) {
        let cell = &mut world.replicas[usize::from(replica)];
        let (stored, acknowledged) = self.machines.store(*cell, value);
        *cell = stored;
        if !acknowledged {
            return;
        }
        let now = self.clock(world);
        let mut waiting = [None; MAX_OPERATIONS];
        let asked = |w: &Awaited| w.written.is_some_and(|(v, to)| v == value && to & 1 << replica != 0);
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

    fn input(&mut self, world: &mut World, event_loop: usize, input: Input) {
        let Effect { next, output: Output { sent, answers } } =
            self.machines.step(world.machines[event_loop], input);
        world.machines[event_loop] = next;
        world.sent |= sent;
        for (operation, answer) in answers.into_iter().flatten() {
            world.records[usize::from(operation)].progress = Progress::Answered(answer);
        }
        if self.scenario.slow_replies {
            self.drop_late_replies(world);
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

fn replicas() -> impl Iterator<Item = u8> {
    0..3
}

fn bits(set: u8) -> impl Iterator<Item = u8> {
    (0..8).filter(move |bit| set & 1 << bit != 0)
}
