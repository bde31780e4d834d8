//! The shell around an event loop's machine ([`::node::shard`]): its clients and its senders, and the tasks that wait for it.

use super::alarm::Alarm;
use super::changes::Changes;
use super::client::{Client, Clients};
use super::clock::NodeClock;
use super::crowd::Crowd;
use super::disk::Disk;
use super::event_loop::{Given, Loops};
use super::membership::Membership;
use super::report::Report;
use super::signal::Signal;
use super::stats::{LoopStats, Slow, Stats};
use super::supervise::Supervisor;
use super::surroundings::Surroundings;
use super::{now_instant, supervise};
use crate::buffers::Buffers;
use crate::config::Settings;
use ::node::client::answers::WayBack;
use ::node::client::descriptors;
use ::node::client::operations::Started;
use ::node::client::parked::Parked;
use ::node::client::turns::{Load, Turns};
use ::node::lanes::lane::LaneKey;
use ::node::shard::{ReplyTo, Return, coordinator_config, replica};
use abd::{Instant, NodeId, Now, Operation, Outcome};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What clients may have in flight here, but for one operation each. More makes all of them wait longer, and brings no more
/// through; bytes beyond what a link takes would be dropped there.
const IN_FLIGHT_MAX: Load = Load { operations: 2048, bytes: 32 << 20 };

/// With more operations in flight than this, an event loop lets other threads run before it sleeps: it then finds more to do
/// at once, and one write to a peer carries it all. With few it answers faster without.
const BUSY_ABOVE: usize = 4;

/// The machine of an event loop of this process.
pub(crate) type Machine = ::node::shard::Shard<Surroundings, WayBack>;

/// Tells the task of a lane something.
#[derive(Default)]
pub(crate) struct LaneSignals {
    /// There may be something to send.
    pub(crate) sends: Signal,
    /// Another lane took its place.
    pub(crate) replaced: Signal,
    /// The configuration does not name the peer any more.
    pub(crate) dismissed: Signal,
}

/// One event loop's state. Single-threaded: borrow, act, release; never across an `await`.
pub(crate) struct Shard {
    pub(crate) index: usize,
    pub(crate) settings: Arc<Settings>,
    pub(super) clock: Arc<NodeClock>,
    pub(crate) disk: Arc<Disk>,
    pub(crate) membership: Arc<Membership>,
    pub(crate) changes: Arc<Changes>,
    /// The clients of all event loops.
    pub(crate) all_clients: Arc<Clients>,
    stats: Arc<Stats>,
    pub(crate) report: Arc<Report>,
    pub(crate) supervisor: Arc<Supervisor>,
    /// The way to all event loops.
    pub(crate) loops: Arc<Loops>,
    machine: RefCell<Machine>,
    /// Those of the lanes that are up; there are about twice as many as members.
    lanes: RefCell<Vec<(LaneKey, Rc<LaneSignals>)>>,
    /// For requests and replies of clients.
    pub(crate) buffers: Buffers,
    /// Which of them may begin operations.
    pub(crate) turns: RefCell<Turns>,
    /// Operations that may not begin yet.
    pub(crate) parked: RefCell<Parked>,
    /// Who has come to the peers' port and has not said yet who he is.
    pub(crate) newcomers: Crowd,
    /// The clients here, by account.
    pub(crate) clients: RefCell<HashMap<usize, Rc<Client>>>,
    /// When the timer task will wake by itself, in nanoseconds.
    armed: Cell<u64>,
    rearm: Signal,
    /// Given when nothing is in flight.
    drained: Signal,
    /// Given when the own store is asked something.
    asked: Signal,
    /// Given when the sweeper wants to look at the store.
    pub(super) sweeps: Signal,
    /// Whether so much is in flight that the thread lets others run before it sleeps.
    busy: Arc<AtomicBool>,
}

impl Shard {
    pub(crate) fn new(given: Given, index: usize, busy: Arc<AtomicBool>) -> Rc<Self> {
        let surroundings = Surroundings::new(&given, index);
        let Given {
            settings,
            clock,
            disk,
            membership,
            changes,
            clients,
            stats,
            report,
            supervisor,
            loops,
            ..
        } = given;
        let id = membership.own.id;
        let configuration = membership.configuration();
        let config = coordinator_config(id, &configuration);
        let replica = replica(&configuration);
        let installed = (*configuration).clone();
        let machine = Machine::new(surroundings, config, installed, replica, settings.op_timeout);
        Rc::new(Self {
            index,
            settings,
            clock,
            disk,
            membership,
            changes,
            all_clients: clients,
            stats,
            report,
            supervisor,
            loops,
            machine: RefCell::new(machine),
            lanes: RefCell::default(),
            buffers: Buffers::default(),
            turns: RefCell::new(Turns::new(IN_FLIGHT_MAX)),
            parked: RefCell::default(),
            newcomers: Crowd::new(descriptors::NEWCOMERS),
            clients: RefCell::default(),
            armed: Cell::new(u64::MAX),
            rearm: Signal::default(),
            drained: Signal::default(),
            asked: Signal::default(),
            sweeps: Signal::default(),
            busy,
        })
    }

    /// Gives the machine an input, and wakes whoever has to do something then.
    pub(crate) fn with<T>(&self, input: impl FnOnce(&mut Machine) -> T) -> T {
        let mut machine = self.machine.borrow_mut();
        let output = input(&mut machine);
        while let Some(key) = machine.poll_sender() {
            self.tell(key, |lane| lane.sends.give());
        }
        while let Some(key) = machine.poll_replaced() {
            self.tell(key, |lane| lane.replaced.give());
        }
        if machine.has_question() {
            self.asked.give();
        }
        if machine.has_look() {
            self.sweeps.give();
        }
        let in_flight = machine.in_flight();
        self.busy.store(in_flight > BUSY_ABOVE, Ordering::Relaxed);
        if in_flight == 0 {
            self.drained.give();
        }
        if machine.poll_timeout().is_some_and(|due| due.0 < self.armed.get()) {
            self.rearm.give();
        }
        output
    }

    /// A question to the machine, which changes nothing.
    pub(crate) fn look<T>(&self, question: impl FnOnce(&Machine) -> T) -> T {
        question(&self.machine.borrow())
    }

    fn tell(&self, key: LaneKey, tell: impl FnOnce(&LaneSignals)) {
        if let Some((_, lane)) = self.lanes.borrow().iter().find(|(other, _)| *other == key) {
            tell(lane);
        }
    }

    /// A lane is up: whoever serves it listens to these.
    pub(crate) fn add_lane(&self, key: LaneKey) -> Rc<LaneSignals> {
        let signals = Rc::<LaneSignals>::default();
        self.lanes.borrow_mut().push((key, signals.clone()));
        signals
    }

    /// Has the lanes to some peers end.
    pub(crate) fn dismiss(&self, is_dismissed: impl Fn(NodeId) -> bool) {
        for (_, lane) in self.lanes.borrow().iter().filter(|(key, _)| is_dismissed(key.peer)) {
            lane.dismissed.give();
        }
    }

    pub(crate) fn remove_lane(&self, key: LaneKey) {
        self.lanes.borrow_mut().retain(|(other, _)| *other != key);
        let now = self.now();
        self.with(|machine| machine.close_lane(key, now));
    }

    /// What took long at this node.
    pub(crate) fn slow(&self) -> &Slow {
        &self.stats.slow
    }

    /// Where this event loop counts.
    pub(crate) fn stats(&self) -> &LoopStats {
        &self.stats.loops[self.index]
    }

    /// Starts an operation whose outcome goes the way `back`.
    pub(super) fn submit(
        &self,
        operation: Operation,
        deadline: Instant,
        instant: Instant,
        back: WayBack,
    ) -> Started {
        match self.with(|machine| machine.submit(operation, deadline, instant, back)) {
            Ok(id) => Started::Running(id),
            Err((reason, back)) => {
                back.send(Outcome::Refused(reason));
                Started::Refused
            }
        }
    }

    /// Has an operation wait until this node may begin it, unless it never will.
    pub(super) fn park(&self, operation: Operation, deadline: Instant, back: WayBack) -> Started {
        if self.membership.admission.is_stopping() {
            back.send(Outcome::Refused(self.membership.admission.not_begun()));
            return Started::Refused;
        }
        if deadline.0 < self.armed.get() {
            self.rearm.give();
        }
        Started::Parked(self.parked.borrow_mut().park(operation, deadline, back))
    }

    /// Refuses what waits to begin and has waited until `now`.
    pub(super) fn refuse_parked(&self, now: Instant) {
        self.parked.borrow_mut().handle_timeout(now, self.membership.admission.not_begun());
    }

    /// What time it is, for the machine.
    pub(crate) fn now(&self) -> Now {
        self.clock.now(now_instant())
    }

    /// Brings home what comes of the committer and the readers.
    pub(crate) async fn deliver_completions(self: Rc<Self>) {
        let completions = &self.disk.completions[self.index];
        loop {
            completions.wake.notified().await;
            let (refused, completed) = (completions.take_refused(), completions.take());
            let completed = completed
                .into_iter()
                .map(|(to, what)| (ReplyTo { lane: to.lane, call: to.call, epoch: to.epoch }, what));
            let now = self.now();
            self.with(|machine| machine.handle_completions(completed, refused, now));
        }
    }

    /// Looks up what the peers' repair and inquiries ask the own store.
    pub(crate) async fn answer_questions(self: Rc<Self>) {
        loop {
            self.asked.wait().await;
            while let Some(question) = self.with(Machine::poll_question) {
                let shard = self.clone();
                tokio::task::spawn_local(async move {
                    let disk = shard.disk.clone();
                    let is_admitted = shard.membership.admission.is_admitted();
                    let to = question.to;
                    let answer = supervise::blocking(move || {
                        question.carry_out(&disk.store, is_admitted, |range| disk.acceptors.accepted(range))
                    })
                    .await;
                    let now = shard.now();
                    shard.with(|machine| machine.handle_answered(to, answer, now));
                });
            }
        }
    }

    /// Brings home what scripts have come to.
    pub(crate) async fn deliver_evaluated(self: Rc<Self>) {
        let done = &self.report.scripts.done[self.index];
        loop {
            done.wake.notified().await;
            for (id, evaluated) in done.take() {
                let now = self.now();
                self.with(|machine| machine.handle_evaluated(id, evaluated, now));
            }
        }
    }

    /// Fires the timers.
    pub(crate) async fn keep_time(self: Rc<Self>) {
        let alarm = Alarm::new();
        loop {
            let parked = self.parked.borrow().poll_timeout();
            let due = [self.look(Machine::poll_timeout), parked].into_iter().flatten().min();
            let now = now_instant();
            match due {
                Some(due) if due <= now => {
                    self.armed.set(0);
                    if parked.is_some_and(|due| due <= now) {
                        self.refuse_parked(now);
                    }
                    let now = self.now();
                    self.with(|machine| machine.handle_timeout(now));
                }
                Some(due) => {
                    self.armed.set(due.0);
                    tokio::select! {
                        biased;
                        () = self.rearm.wait() => {}
                        () = alarm.wait(due.since(now)) => {}
                    }
                }
                None => {
                    self.armed.set(u64::MAX);
                    self.rearm.wait().await;
                }
            }
        }
    }

    /// Lets the operations in flight end, for a while; then gives up what is left.
    pub(crate) async fn drain(&self, limit: Duration) {
        let drained = async {
            while self.look(Machine::in_flight) > 0 {
                self.drained.wait().await;
            }
        };
        if tokio::time::timeout(limit, drained).await.is_err() {
            // As if all deadlines had passed.
            let now = self.clock.now(Instant(u64::MAX));
            self.with(|machine| machine.handle_timeout(now));
        }
    }
}
