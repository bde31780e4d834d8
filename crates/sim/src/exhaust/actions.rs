//! What can happen next in a tiny world.

use super::history::Progress;
use super::replica::Cell;
use super::scenario::{Break, Clocks, OperationKind};
use super::updates::TIME_TO_LIVE;
use super::values::members;
use super::world::{Action, Delivery, Rules, World};
use abd::{Deadline, TimestampMode};
use std::iter::StepBy;
use std::ops::RangeInclusive;

impl Rules {
    /// Every step that may change the world.
    pub(super) fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for operation in 0..self.count() {
            self.questions(world, operation, actions);
        }
        for waiting in self.waiting(world) {
            if waiting.accept.is_some() || waiting.proposed.iter().any(Option::is_some) {
                actions.push(Action::Wait { operation: waiting.operation });
            }
        }
        for accept in world.accepts.iter() {
            for replica in self.reached_by_accept(world, accept) {
                self.push_proposal(Action::Accept { accept, replica, how: Delivery::Plain }, actions);
            }
        }
        for operation in 0..2 {
            for replica in replicas() {
                if world.travelling[usize::from(operation)][usize::from(replica)].is_some() {
                    actions.push(Action::Arrive { operation, replica });
                }
            }
        }
        for (epoch, sent) in (1..).zip(world.sent) {
            for value in members(sent) {
                let reached = self.reached_by_value(world, value, epoch);
                actions.extend(reached.map(|replica| Action::Deliver { value, epoch, replica }));
            }
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

    /// What an operation may ask next, but for what it asks to be stored or accepted.
    pub(super) fn questions(&self, world: &World, operation: u8, actions: &mut Vec<Action>) {
        if self.may_begin(world, operation) {
            self.first_steps(world, operation, actions);
        }
        for waiting in self.waiting(world).filter(|waiting| waiting.operation == operation) {
            for replica in bits(waiting.queried & self.reachable(world, waiting.epoch)) {
                self.push_query(world, operation, replica, waiting.for_timestamp, actions);
            }
            if waiting.accept.is_none() {
                for replica in bits(waiting.asked() & self.reachable(world, waiting.epoch)) {
                    self.push_prepare(world, operation, replica, actions);
                }
            }
        }
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
            if world.replica_restarts > 0 {
                actions.push(Action::ReplicaRestart { replica });
            }
            if world.wipes > 0 && cell.newest != 0 {
                actions.push(Action::Wipe { replica });
            }
            let may_drop = match self.scenario.breaks {
                Break::Tombstone => holds_tombstone(cell),
                Break::Dropped => self.machines.values().get(cell.durable).deadline != Deadline::NONE,
                _ => false,
            };
            if may_drop {
                actions.push(Action::Forget { replica });
            }
        }
        let [first, ..] = world.replicas;
        let unanimous =
            world.replicas[..usize::from(self.scenario.replicas())].iter().all(|cell| *cell == first);
        if self.scenario.breaks == Break::TombstoneEverywhere && unanimous && holds_tombstone(first) {
            actions.push(Action::ForgetEverywhere);
        }
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
            && self.scenario.operations[index].from <= self.machines.epoch(world.machines[event_loop])
            && self.scenario.operations[index].after.is_none_or(|other| world.records[other].answered())
            && (self.scenario.loops[event_loop].concurrent || earlier.into_iter().all(free))
    }

    /// What may be an operation's first effect.
    fn first_steps(&self, world: &World, operation: u8, actions: &mut Vec<Action>) {
        let wish = self.scenario.operations[usize::from(operation)];
        let reads = wish.kind.begins_with_a_read();
        let mode = self.scenario.loops[wish.event_loop].mode;
        let epoch = self.machines.epoch(world.machines[wish.event_loop]);
        let asked = self.members(epoch, wish.event_loop) & self.reachable(world, epoch);
        match self.scenario.clocks {
            // It looks at nothing before.
            _ if wish.kind == OperationKind::Append => {
                for replica in bits(asked) {
                    self.push_prepare(world, operation, replica, actions);
                }
            }
            Some(clocks) if mode == TimestampMode::TrueTime && !reads => {
                let range = world.now - clocks.behind..=world.now + clocks.ahead;
                actions.extend(range.map(|latest| Action::Begin { operation, latest }));
            }
            _ => {
                for replica in bits(asked) {
                    self.push_query(world, operation, replica, !reads, actions);
                }
            }
        }
    }

    fn push_query(
        &self,
        world: &World,
        operation: u8,
        replica: u8,
        for_timestamp: bool,
        actions: &mut Vec<Action>,
    ) {
        let moments = if for_timestamp { (0..=0).step_by(1) } else { self.moments(world, operation) };
        actions.extend(moments.map(|moment| Action::Query { operation, replica, moment }));
        if self.scenario.slow_replies && for_timestamp {
            actions.push(Action::Answer { operation, replica });
        }
    }

    fn push_prepare(&self, world: &World, operation: u8, replica: u8, actions: &mut Vec<Action>) {
        for moment in self.moments(world, operation) {
            let step = Action::Prepare { operation, replica, how: Delivery::Plain, moment };
            self.push_proposal(step, actions);
        }
    }

    /// By what an operation may judge values now.
    fn moments(&self, world: &World, operation: u8) -> StepBy<RangeInclusive<u8>> {
        let wish = self.scenario.operations[usize::from(operation)];
        if !self.scenario.has_deadlines() || self.scenario.loops[wish.event_loop].is_slow {
            return (0..=0).step_by(1);
        }
        let Some(Clocks { ahead, .. }) = self.scenario.clocks else {
            // Before any deadline, or after.
            return (0..=TIME_TO_LIVE).step_by(TIME_TO_LIVE.into());
        };
        let now = world.now;
        let range = match (self.scenario.breaks, wish.kind.is_update()) {
            // These are wrong even where a Get knows what time it is.
            (Break::OwnClock | Break::PromiseOnly | Break::PromiseAndLatest, false) => now..=now,
            (Break::OwnClock | Break::PromiseAndLatest, true) => now..=now + ahead,
            _ => now.saturating_sub(ahead)..=now,
        };
        range.step_by(1)
    }

    /// A request in all ways in which it may arrive.
    fn push_proposal(&self, step: Action, actions: &mut Vec<Action>) {
        actions.push(step);
        let others = [
            (self.scenario.breaks == Break::Closed, Delivery::ThoughClosed),
            (self.scenario.lost_replies, Delivery::ReplyLost),
        ];
        for (_, how) in others.into_iter().filter(|(may_be, _)| *may_be) {
            actions.push(match step {
                Action::Prepare { operation, replica, moment, .. } => {
                    Action::Prepare { operation, replica, how, moment }
                }
                Action::Accept { accept, replica, .. } => Action::Accept { accept, replica, how },
                other => other,
            });
        }
    }

    /// True time goes on only while some timestamp is not yet past, or some value not due by every clock. Once all are, a later hour is the same world with
    /// larger numbers: whatever is issued from then on is above all that exists, as it is now. A logical Set does not
    /// look at the clock, so where the two modes are mixed a few more hours make a difference.
    fn time_matters(&self, world: &World) -> bool {
        let logical = |l: &&super::scenario::EventLoop| l.mode == TimestampMode::Logical;
        let slack = self.scenario.loops.iter().filter(logical).count() as u64;
        let now = u64::from(world.now);
        let (values, sent) = (self.machines.values(), world.all_sent());
        let is_awaited = |clocks: Clocks| {
            // Once a value is due by every clock that keeps its promise, it stays so.
            let is_judged =
                values.latest_deadline(sent).is_some_and(|last| last + u64::from(clocks.ahead) > now);
            values.latest_time(sent) + slack >= now || is_judged
        };
        sent != 0 && self.scenario.clocks.is_some_and(is_awaited)
    }

    /// A crash makes a difference if something is in flight, or if a next operation will be of a new incarnation.
    fn crash_matters(&self, world: &World, event_loop: u8) -> bool {
        let own = |(_, o): &(usize, &super::scenario::Operation)| o.event_loop == usize::from(event_loop);
        let own = self.scenario.operations.iter().enumerate().filter(own);
        let mut progress = own.map(|(index, _)| world.records[index].progress);
        let begun = progress.clone().any(|progress| progress != Progress::Idle);
        begun && progress.any(|progress| matches!(progress, Progress::Idle | Progress::Open))
    }
}

pub(super) fn replicas() -> impl Iterator<Item = u8> {
    0..3
}

pub(super) fn bits(set: u8) -> impl Iterator<Item = u8> {
    (0..8).filter(move |bit| set & 1 << bit != 0)
}
