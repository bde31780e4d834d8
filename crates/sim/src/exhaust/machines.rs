//! The production machines, run once for every distinct situation and remembered.
//!
//! A world has millions of states but few distinct coordinators: what one of them knows is a handful of replies. So
//! every distinct machine (a `Coordinator`, the `TimestampIssuer` of its node, the calls it is waiting for) gets a
//! number, and what an input does to it is computed once, by the production code, and looked up from then on.

use super::hash::Map;
use super::machine::{Awaited, Input, Machine, Output, ReplyId, RequestId, Surroundings};
use super::numbered::Numbered;
use super::replica::{Cell, Replicas};
use super::scenario::Scenario;
use super::symmetry::{RENAMINGS, renamings};
use super::values::{ValueId, Values};
use std::rc::Rc;

/// The number of a distinct machine.
pub(super) type MachineId = u32;

/// What an input leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Effect {
    /// The machine after it.
    pub(super) next: MachineId,
    /// What it puts out.
    pub(super) output: Output,
}

/// What is known of a distinct machine.
struct Entry {
    machine: Rc<Machine>,
    /// How it first came about: from which machine, by which input. Nothing for a fresh one.
    origin: Option<(MachineId, Input)>,
    /// Itself under each renaming of the replicas, once known.
    images: [Option<MachineId>; RENAMINGS.len()],
    waiting: [Option<Awaited>; 2],
}

/// All machines of a run.
pub(super) struct Machines {
    surroundings: Surroundings,
    replicas: Replicas,
    entries: Vec<Entry>,
    numbers: Map<Rc<Machine>, MachineId>,
    fresh: Vec<MachineId>,
    effects: Map<(MachineId, Input), Effect>,
    steps: Vec<(MachineId, Input)>,
    stored: Map<(Cell, ValueId), (Cell, bool)>,
    handled: Map<(Cell, RequestId, bool), Option<(Cell, ReplyId)>>,
}

impl Machines {
    pub(super) fn new(scenario: Scenario) -> Self {
        let loops = scenario.loops.clone();
        let updates = scenario.has_updates();
        let mut machines = Self {
            replicas: Replicas::new(&scenario),
            surroundings: Surroundings {
                scenario,
                values: Values::new(),
                requests: Numbered::new(),
                replies: Numbered::new(),
            },
            entries: Vec::new(),
            numbers: Map::default(),
            fresh: Vec::new(),
            effects: Map::default(),
            steps: Vec::new(),
            stored: Map::default(),
            handled: Map::default(),
        };
        for (index, event_loop) in loops.into_iter().enumerate() {
            let quorums = machines.surroundings.scenario.quorums(1, index);
            let machine = Machine::new(event_loop.node, 1, 1, event_loop.mode, updates, quorums);
            let number = machines.number(machine, None);
            machines.fresh.push(number);
        }
        machines
    }

    /// The values by number.
    pub(super) fn values(&self) -> &Values {
        &self.surroundings.values
    }

    /// A machine that has just started for the first time.
    pub(super) fn fresh(&self, event_loop: usize) -> MachineId {
        self.fresh[event_loop]
    }

    /// What the operations of a machine are waiting for.
    pub(super) fn waiting(&self, machine: MachineId) -> [Option<Awaited>; 2] {
        self.entries[machine as usize].waiting
    }

    /// How many distinct machines there are, how many distinct inputs to them, and how many distinct acceptors.
    pub(super) fn size(&self) -> (usize, usize, usize) {
        (self.entries.len(), self.steps.len(), self.replicas.count())
    }

    /// What an input does to a machine.
    pub(super) fn step(&mut self, machine: MachineId, input: Input) -> Effect {
        if let Some(effect) = self.effects.get(&(machine, input)) {
            return *effect;
        }
        let mut next = (*self.entries[machine as usize].machine).clone();
        let output = self.surroundings.run(&self.replicas, &mut next, input);
        let effect = Effect { next: self.number(next, Some((machine, input))), output };
        self.effects.insert((machine, input), effect);
        self.steps.push((machine, input));
        effect
    }

    /// What a replica stores after a write was delivered to it, and whether it acknowledges.
    pub(super) fn store(&mut self, cell: Cell, value: ValueId) -> (Cell, bool) {
        if let Some(stored) = self.stored.get(&(cell, value)) {
            return *stored;
        }
        let stored = self.replicas.store(&mut self.surroundings.values, cell, value);
        self.stored.insert((cell, value), stored);
        stored
    }

    /// What a replica has after a Prepare or an Accept, and what it answers. It may be asked to take part `though_closed`; then
    /// nothing comes of it if it is not.
    pub(super) fn handle(
        &mut self,
        cell: Cell,
        request: RequestId,
        though_closed: bool,
    ) -> Option<(Cell, ReplyId)> {
        if let Some(handled) = self.handled.get(&(cell, request, though_closed)) {
            return *handled;
        }
        let Surroundings { values, requests, replies, .. } = &mut self.surroundings;
        let asked = requests.get(request).clone();
        let handled = match though_closed {
            true => self.replicas.handle_though_closed(values, cell, asked),
            false => Some(self.replicas.handle(values, cell, asked)),
        };
        let handled = handled.map(|(cell, reply)| (cell, replies.number(reply)));
        self.handled.insert((cell, request, though_closed), handled);
        handled
    }

    /// The configuration that a machine has installed.
    pub(super) fn epoch(&self, machine: MachineId) -> u8 {
        self.entries[machine as usize].machine.epoch()
    }

    /// The configuration that a replica has installed.
    pub(super) fn epoch_at(&self, cell: Cell) -> u8 {
        self.replicas.epoch(cell)
    }

    /// A replica that has heard of a configuration.
    pub(super) fn install(&mut self, cell: Cell, epoch: u8) -> Cell {
        if self.replicas.epoch(cell) >= epoch {
            return cell;
        }
        self.replicas.install(cell, epoch)
    }

    /// A replica that has merged what another one holds.
    pub(super) fn merge(&mut self, cell: Cell, other: Cell) -> Cell {
        self.replicas.merge(&mut self.surroundings.values, cell, other)
    }

    /// A replica after a restart, and which run of it that is; nothing if it makes no difference.
    pub(super) fn restart(&mut self, cell: Cell) -> Option<(Cell, u8)> {
        let restarted = self.replicas.restart(&self.surroundings.values, cell)?;
        Some((restarted, u8::try_from(self.replicas.boot(restarted.acceptor)).unwrap_or(u8::MAX)))
    }

    /// A replica that will not restart any more.
    pub(super) fn without_mark(&mut self, cell: Cell) -> Cell {
        self.replicas.without_mark(cell)
    }

    pub(super) fn request(&self, request: RequestId) -> &abd::Request {
        self.surroundings.requests.get(request)
    }

    pub(super) fn reply(&self, reply: ReplyId) -> &abd::Reply {
        self.surroundings.replies.get(reply)
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
            let count = self.surroundings.scenario.interchangeable();
            for (index, renaming) in renamings(count).iter().enumerate() {
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
        self.entries.iter().try_for_each(|entry| self.surroundings.ignores_late_replies(&entry.machine))
    }

    fn number(&mut self, machine: Machine, origin: Option<(MachineId, Input)>) -> MachineId {
        if let Some(&number) = self.numbers.get(&machine) {
            return number;
        }
        let Ok(number) = MachineId::try_from(self.entries.len()) else { panic!("not a tiny world") };
        let waiting = machine.waiting(&mut self.surroundings);
        let machine = Rc::new(machine);
        self.numbers.insert(Rc::clone(&machine), number);
        let mut images = [None; RENAMINGS.len()];
        images[0] = Some(number);
        self.entries.push(Entry { machine, origin, images, waiting });
        number
    }
}
