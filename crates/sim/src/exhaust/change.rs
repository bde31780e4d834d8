//! How the members of a tiny world change: A, B and C; then a joint configuration; then A, B and D.
//!
//! That a configuration is decided is one step (rule C2 rests on what the rows of Updates show). From then on any coordinator may learn of it at
//! any moment, or never. A replica installs it when a request or a sync brings it. Between the joint configuration and the last one
//! each of A, B and D merges what A, B and C hold, one after the other, until it has merged a majority of them (rule C3).
//!
//! An operation learns of a configuration with the first thing that it does in it: before that nobody can tell that it has.

use super::actions::bits;
use super::machine::{Awaited, Input, Machine, RequestId};
use super::scenario::{Break, JOINT, LAST, REPLICAS};
use super::symmetry::{Renaming, rename, rename_set};
use super::values::ValueId;
use super::world::{Action, Rules, World};
use abd::{CallId, Now, Reply, Request};

/// The members before, as a set of replicas, and after.
const OLD: u8 = 0b0111;
const NEW: u8 = 0b1011;

/// How far a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Change {
    /// The configuration that was decided last, counted from one.
    pub(super) decided: u8,
    /// By replica: what others held that it has merged.
    pulled: [u8; REPLICAS],
}

/// One step: an action, and perhaps an event loop that learns of a configuration with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) learns: Option<Learned>,
    pub(super) action: Action,
}

/// An event loop learns of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Learned {
    pub(super) event_loop: u8,
    pub(super) epoch: u8,
}

impl Change {
    pub(super) const NONE: Self = Self { decided: 1, pulled: [0; REPLICAS] };

    /// What was merged before the last configuration makes no difference any more.
    pub(super) fn decide(&mut self) {
        self.decided += 1;
        self.pulled = [0; REPLICAS];
    }

    pub(super) fn renamed(&self, renaming: &Renaming) -> Self {
        let pulled = rename(renaming, &self.pulled).map(|set| rename_set(renaming, set));
        Self { pulled, ..*self }
    }

    /// Whether a replica has merged what a majority of the members before hold.
    fn is_synced(&self, replica: u8) -> bool {
        let pulled = self.pulled[usize::from(replica)];
        // Its own counts when it knows that there is something to merge.
        let own = if pulled == 0 { 0 } else { OLD & 1 << replica };
        is_majority(OLD, pulled | own)
    }

    /// Whether a majority of the members to come is synced.
    fn may_end(&self) -> bool {
        is_majority(NEW, bits(NEW).filter(|replica| self.is_synced(*replica)).fold(0, |set, r| set | 1 << r))
    }
}

fn is_majority(members: u8, set: u8) -> bool {
    2 * (members & set).count_ones() > members.count_ones()
}

impl Awaited {
    /// Who is asked to promise or to accept, and has not answered.
    pub(super) fn asked(&self) -> u8 {
        (0..)
            .zip(self.proposed)
            .filter(|(_, asked)| asked.is_some())
            .fold(0, |set, (index, _)| set | 1 << index)
    }
}

impl Rules {
    /// Every step that may change the world.
    pub(super) fn steps(&mut self, world: &World, steps: &mut Vec<Step>) {
        steps.clear();
        let mut actions = Vec::new();
        self.actions(world, &mut actions);
        if self.scenario.changes {
            self.progress(world, &mut actions);
        }
        steps.extend(actions.iter().map(|&action| Step { learns: None, action }));
        for event_loop in 0..self.scenario.loops.len() {
            for epoch in self.machines.epoch(world.machines[event_loop]) + 1..=world.change.decided {
                if !self.has_ended(world, event_loop) {
                    let event_loop = u8::try_from(event_loop).unwrap_or(u8::MAX);
                    self.first_with(world, Learned { event_loop, epoch }, &mut actions, steps);
                }
            }
        }
    }

    /// How the change itself goes on.
    fn progress(&self, world: &World, actions: &mut Vec<Action>) {
        let change = &world.change;
        let may_end = change.may_end() || self.scenario.breaks == Break::Unsynced;
        if change.decided < JOINT || change.decided == JOINT && may_end {
            actions.push(Action::Decide);
        }
        if change.decided != JOINT || change.may_end() {
            return;
        }
        for replica in bits(NEW).filter(|replica| !change.is_synced(*replica)) {
            let pulled = change.pulled[usize::from(replica)] | 1 << replica;
            actions.extend(bits(OLD & !pulled).map(|from| Action::Pull { replica, from }));
        }
    }

    /// What an event loop may do first in a configuration.
    fn first_with(
        &mut self,
        world: &World,
        learned: Learned,
        actions: &mut Vec<Action>,
        steps: &mut Vec<Step>,
    ) {
        let mut knows = *world;
        self.learn(&mut knows, learned);
        actions.clear();
        for operation in 0..u8::try_from(self.scenario.operations.len()).unwrap_or(u8::MAX) {
            if self.scenario.operations[usize::from(operation)].event_loop != usize::from(learned.event_loop)
            {
                continue;
            }
            self.questions(&knows, operation, actions);
            for waiting in self.waiting(&knows).filter(|waiting| waiting.operation == operation) {
                let Some((value, asked)) = waiting.written else { continue };
                let (reached, epoch) = (asked & self.reachable(&knows, learned.epoch), learned.epoch);
                actions.extend(bits(reached).map(|replica| Action::Deliver { value, epoch, replica }));
            }
        }
        steps.extend(actions.iter().map(|&action| Step { learns: Some(learned), action }));
    }

    pub(super) fn learn(&mut self, world: &mut World, Learned { event_loop, epoch }: Learned) {
        self.input(world, usize::from(event_loop), Input::Install { epoch });
    }

    /// Whom an event loop asks in a configuration.
    pub(super) fn members(&self, epoch: u8, event_loop: usize) -> u8 {
        match epoch {
            JOINT if self.scenario.breaks == Break::NextAlone => NEW,
            JOINT => OLD | NEW,
            LAST if self.scenario.breaks == Break::TwoSuccessors && event_loop % 2 == 1 => OLD,
            LAST => NEW,
            _ => OLD,
        }
    }

    /// The replicas that serve a configuration, or will when they hear of it.
    pub(super) fn reachable(&self, world: &World, epoch: u8) -> u8 {
        let serves = |cell| self.scenario.breaks == Break::Unfenced || self.machines.epoch_at(cell) <= epoch;
        (0..)
            .zip(world.replicas)
            .filter(|(_, cell)| serves(*cell))
            .fold(0, |set, (index, _)| set | 1 << index)
    }

    /// Whom an Accept may reach.
    pub(super) fn reached_by_accept(
        &self,
        world: &World,
        accept: RequestId,
    ) -> impl Iterator<Item = u8> + use<> {
        let epoch = self.epoch_of(accept);
        let asks = |waiting: &Awaited| waiting.accept == Some(accept);
        let asked = match self.scenario.late {
            true => self.members(epoch, 0),
            false => self.waiting(world).filter(asks).fold(0, |set, waiting| set | waiting.asked()),
        };
        bits(asked & self.reachable(world, epoch))
    }

    /// Whom a value may reach that was sent in a configuration.
    pub(super) fn reached_by_value(
        &self,
        world: &World,
        value: ValueId,
        epoch: u8,
    ) -> impl Iterator<Item = u8> + use<> {
        let written = |waiting: Awaited| waiting.written.filter(|(written, _)| *written == value);
        let asked = match self.scenario.late {
            true => self.members(epoch, 0) | self.members(epoch, 1),
            false => self
                .waiting(world)
                .filter(|waiting| waiting.epoch == epoch)
                .filter_map(written)
                .fold(0, |set, (_, asked)| set | asked),
        };
        bits(asked & self.reachable(world, epoch))
    }

    fn epoch_of(&self, accept: RequestId) -> u8 {
        let Request::Accept { ballot, .. } = self.machines.request(accept) else { unreachable!("it is one") };
        u8::try_from(ballot.epoch).unwrap_or(u8::MAX)
    }

    /// A request that reaches a replica brings its configuration.
    pub(super) fn reach(&mut self, world: &mut World, action: Action) {
        let epoch_of = |operation: u8| {
            let event_loop = self.scenario.operations[usize::from(operation)].event_loop;
            self.machines.epoch(world.machines[event_loop])
        };
        let (epoch, replica) = match action {
            Action::Query { operation, replica, .. } | Action::Prepare { operation, replica, .. } => {
                (epoch_of(operation), replica)
            }
            Action::Accept { accept, replica, .. } => (self.epoch_of(accept), replica),
            Action::Deliver { epoch, replica, .. } => (epoch, replica),
            _ => return,
        };
        let cell = &mut world.replicas[usize::from(replica)];
        *cell = self.machines.install(*cell, epoch);
    }

    pub(super) fn pull(&mut self, world: &mut World, replica: u8, from: u8) {
        let [to, source] = [replica, from].map(usize::from);
        for index in [to, source] {
            world.replicas[index] = self.machines.install(world.replicas[index], JOINT);
        }
        world.replicas[to] = self.machines.merge(world.replicas[to], world.replicas[source]);
        world.change.pulled[to] |= 1 << from;
    }
}

impl Machine {
    /// Where acknowledgements are added up (BM2): two suffice, whatever configuration they are of.
    pub(super) fn add_up(&mut self, from: u8, call: CallId, now: Now) {
        self.acknowledged |= 1 << from;
        if self.acknowledged.count_ones() < 2 {
            return;
        }
        for member in self.coordinator.quorums().voters().iter() {
            let reply = Reply::Written { previous: None };
            self.coordinator.handle_reply(member, call, reply, now, &self.issuer);
        }
    }

    /// What was stored for a Get is read again in the next configuration.
    pub(super) fn forget_acknowledgements(&mut self, is_get: impl Fn(u8) -> bool) {
        if self.calls.keys().any(|operation| is_get(*operation)) {
            self.acknowledged = 0;
        }
    }
}
