//! An event loop: its own coordinator, its own links to the peers, its own client connections.
//!
//! A shard shares nothing on the hot path with other shards but the store (whose locks are held for a look at a cache or a
//! memtable, never during a sync), the timestamp issuer (one atomic) and the committer's queue. An operation lives and ends on the shard that its client is connected to.

use super::alarm::Alarm;
use super::answers::Answers;
use super::callers::Callers;
use super::client::Client;
use super::completions::{LOCAL, ReplyTo};
use super::crowd::Crowd;
use super::database::{InMemory, OnDisk};
use super::peer::{Lane, Lanes};
use super::signal::Signal;
use super::started::{Parked, Started};
use super::stats::LoopStats;
use super::{Node, now_instant};
use crate::buffers::Buffers;
use ::node::client::descriptors;
use ::node::client::turns::{Load, Turns};
use ::node::lookups::found_bytes;
use ::node::repair::is_repair;
use abd::{
    CallId, Coordinator, Instant, NodeId, Now, Operation, OperationId, Outcome, Reply, Request, Unanswered,
};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::Puts;

/// What clients may have in flight here, but for one operation each. More makes all of them wait longer, and brings no more
/// through; bytes beyond what a link takes would be dropped there.
const IN_FLIGHT_MAX: Load = Load { operations: 2048, bytes: 32 << 20 };

/// A value that was sought and found counts for its client at once if it is so large.
const FOUND_MUCH_BYTES: usize = 64 << 10;

/// With more operations in flight than this, an event loop lets other threads run before it sleeps: it then finds more to do
/// at once, and one write to a peer carries it all. With few it answers faster without.
const BUSY_ABOVE: usize = 4;

/// Lanes that are up, by their numbers.
pub(crate) type OpenLanes = Rc<RefCell<Vec<(u64, Rc<Lane>)>>>;

/// One event loop's state. Single-threaded: borrow, act, release; never across an `await`.
pub(crate) struct Shard {
    pub(crate) node: Arc<Node>,
    pub(crate) index: usize,
    pub(super) coordinator: RefCell<Coordinator>,
    /// By member index; `None` at this node's own.
    lanes: Vec<Option<Rc<Lanes>>>,
    callers: RefCell<Callers>,
    /// Lanes that are up: replies that go over them may come later. There are about twice as many as members.
    open_lanes: OpenLanes,
    next_lane: Cell<u64>,
    /// Where a write is encoded; empty otherwise.
    put: RefCell<Puts>,
    /// For requests and replies of clients.
    pub(crate) buffers: Buffers,
    /// Which of them may begin operations.
    pub(crate) turns: RefCell<Turns>,
    /// Who has come to the peers' port and has not said yet who he is.
    pub(crate) newcomers: Crowd,
    /// The clients here, by account.
    pub(crate) clients: RefCell<HashMap<usize, Rc<Client>>>,
    /// When the timer task will wake by itself, in nanoseconds.
    armed: Cell<u64>,
    rearm: Signal,
    /// Given when nothing is in flight.
    drained: Signal,
    /// Whether so much is in flight that the thread lets others run before it sleeps.
    busy: Arc<AtomicBool>,
}

impl Shard {
    pub(crate) fn new(node: Arc<Node>, index: usize, busy: Arc<AtomicBool>) -> Rc<Self> {
        let coordinator = Coordinator::new(node.coordinator_config());
        let ids = node.members.ids().iter();
        let lanes = ids.map(|id| (*id != node.id).then(|| Lanes::new(*id))).collect();
        Rc::new(Self {
            node,
            index,
            coordinator: RefCell::new(coordinator),
            lanes,
            callers: RefCell::default(),
            open_lanes: Rc::default(),
            next_lane: Cell::new(LOCAL + 1),
            put: RefCell::default(),
            buffers: Buffers::default(),
            turns: RefCell::new(Turns::new(IN_FLIGHT_MAX)),
            newcomers: Crowd::new(descriptors::NEWCOMERS),
            clients: RefCell::default(),
            armed: Cell::new(u64::MAX),
            rearm: Signal::default(),
            drained: Signal::default(),
            busy,
        })
    }

    /// Where this event loop counts.
    pub(crate) fn stats(&self) -> &LoopStats {
        &self.node.stats[self.index]
    }

    /// The lanes to the member at an index, but to this node itself.
    pub(crate) fn lanes_at(&self, index: usize) -> Option<&Rc<Lanes>> {
        self.lanes.get(index)?.as_ref()
    }

    /// The lanes to a member, but to this node itself.
    pub(crate) fn lanes(&self, peer: NodeId) -> Option<&Rc<Lanes>> {
        self.lanes[self.node.members.index_of(peer)?].as_ref()
    }

    /// Starts an operation now; the result is awaited later. `instant` may be a little old, so that a batch needs one
    /// look at the clock: only the deadline and the timers depend on it.
    pub(crate) fn start(&self, operation: Operation, instant: Instant, answers: &Rc<Answers>) -> Started {
        let deadline = instant + self.node.settings.op_timeout;
        if !self.node.membership.admission.may_begin() {
            return Started::Parked(Box::new(Parked::new(operation, deadline, self.node.membership.clone())));
        }
        self.submit(operation, deadline, instant, answers)
    }

    pub(super) fn submit(
        &self,
        operation: Operation,
        deadline: Instant,
        instant: Instant,
        answers: &Rc<Answers>,
    ) -> Started {
        let (back, slot) = answers.open();
        if let Some(reason) = self.node.reason_to_refuse(&operation) {
            let outcome = Outcome::Refused(reason);
            self.stats().count_outcome(&outcome);
            back.send(outcome);
            return Started::Refused { slot };
        }
        // T2: the interval is read after the invocation, whatever the age of `instant`.
        let now = Now { instant, interval: self.node.interval() };
        let id = self.coordinator.borrow_mut().submit(operation, deadline, now, &self.node.issuer);
        self.callers.borrow_mut().insert(id, back);
        self.pump(now);
        Started::Running { id, slot }
    }

    /// Ends operations whose callers are gone.
    pub(crate) fn cancel(&self, operations: impl Iterator<Item = OperationId>) {
        let mut are_any = false;
        for operation in operations {
            are_any = true;
            self.coordinator.borrow_mut().cancel(operation);
        }
        if are_any {
            self.pump(self.now());
        }
    }

    /// What time it is, for the coordinator.
    pub(crate) fn now(&self) -> Now {
        Now { instant: now_instant(), interval: self.node.interval() }
    }

    /// A reply arrived over a link. `now` may be a little old: an older `earliest` makes rule T1 wait longer, never
    /// shorter.
    pub(crate) fn handle_reply(&self, from: NodeId, call: CallId, reply: Reply, now: Now) {
        if is_repair(call) {
            if let Some(from) = self.node.members.index_of(from) {
                self.node.repairs.handle_reply(from, call, reply);
            }
            return;
        }
        let found = found_bytes(&reply);
        self.coordinator.borrow_mut().handle_reply(from, call, reply, now, &self.node.issuer);
        if found >= FOUND_MUCH_BYTES {
            // The operation may hold it for long: its client is to be charged for it.
            self.callers.borrow().wake(OperationId(call.operation));
        }
    }

    pub(crate) fn peer_up(&self, peer: NodeId) {
        self.coordinator.borrow_mut().handle_peer_up(peer);
        self.pump(self.now());
    }

    pub(crate) fn peer_down(&self, peer: NodeId) {
        self.coordinator.borrow_mut().handle_peer_down(peer);
        self.pump(self.now());
    }

    pub(crate) fn peer_writable(&self, peer: NodeId, writable: bool) {
        self.coordinator.borrow_mut().handle_peer_writable(peer, writable);
    }

    /// A lane has dropped a question.
    pub(crate) fn not_sent(&self, peer: NodeId, call: CallId) {
        if is_repair(call) {
            return self.node.repairs.not_sent(call);
        }
        self.coordinator.borrow_mut().handle_not_sent(peer, call);
    }

    pub(crate) fn is_open(&self, call: CallId) -> bool {
        is_repair(call) || self.coordinator.borrow().is_open(call)
    }

    /// Carries out everything that the coordinator wants done. To be called after every input, or after several that
    /// arrived together. `now` is that of the input.
    pub(crate) fn pump(&self, now: Now) {
        loop {
            let transmit = self.coordinator.borrow_mut().poll_transmit();
            let Some(transmit) = transmit else { break };
            if transmit.to == self.node.id {
                // The own replica is a call, not a message.
                let is_read = transmit.request.is_read();
                let write = match &transmit.request {
                    Request::LocalWrite { key, stamped } => Some((key.clone(), stamped.version)),
                    _ => None,
                };
                match self.serve(transmit.request, transmit.call, LOCAL, transmit.deadline) {
                    Some(reply) => {
                        if let (Some((key, version)), Reply::Refused(_)) = (write, &reply) {
                            self.node.missed(self.node.id, &key, version);
                        }
                        self.handle_reply(self.node.id, transmit.call, reply, now);
                    }
                    // It was handed over.
                    None if is_read && self.node.readers.are_slow() => {
                        self.coordinator.borrow_mut().handle_local_delay(transmit.call, now);
                    }
                    None => {}
                }
            } else if let Some(lanes) = self.lanes(transmit.to) {
                lanes.send(self, transmit, now);
            }
        }
        loop {
            let ended = self.coordinator.borrow_mut().poll_outcome();
            let Some((id, outcome)) = ended else { break };
            self.stats().count_outcome(&outcome);
            let back = self.callers.borrow_mut().remove(id);
            if let Some(back) = back {
                back.send(outcome);
            }
        }
        let coordinator = self.coordinator.borrow();
        self.busy.store(coordinator.in_flight() > BUSY_ABOVE, Ordering::Relaxed);
        if coordinator.in_flight() == 0 {
            self.drained.give();
        }
        let due = coordinator.poll_timeout();
        if due.is_some_and(|due| due.0 < self.armed.get()) {
            self.rearm.give();
        }
    }

    /// Answers one request of the Replica service; or queues it for the committer, or for a reader. `deadline`: when nobody
    /// waits for the answer any more.
    pub(crate) fn serve(
        &self,
        request: Request,
        call: CallId,
        connection: u64,
        deadline: Instant,
    ) -> Option<Reply> {
        let node = &self.node;
        let to = ReplyTo { shard: self.index, connection, call };
        // The horizon is a rule of writes alone.
        let latest = if request.is_read() { 0 } else { node.horizon_clock() };
        match node.replica.try_handle(&InMemory(&node.store), request, node.standing(), latest) {
            Ok(reaction) => node.carry_out(reaction, to, &mut self.put.borrow_mut()),
            Err(Unanswered { request, why: OnDisk }) if node.readers.are_needed() => {
                node.readers.ask(request, to, deadline).err()
            }
            Err(Unanswered { request, why: OnDisk }) => {
                let looked_up = || node.replica.handle(&node.store, request, node.standing(), latest);
                node.carry_out(node.readers.look_up(looked_up), to, &mut self.put.borrow_mut())
            }
        }
    }

    /// A number that no lane of this event loop has had.
    pub(crate) fn next_lane_number(&self) -> u64 {
        let number = self.next_lane.get();
        self.next_lane.set(number + 1);
        number
    }

    /// Makes a lane known, so that replies that come later find it.
    pub(crate) fn open_lane(&self, lane: &Rc<Lane>) {
        self.open_lanes.borrow_mut().push((lane.number(), lane.clone()));
    }

    pub(crate) fn close_lane(&self, lane: &Lane) {
        self.open_lanes.borrow_mut().retain(|(number, _)| *number != lane.number());
    }

    /// Lanes that are up, by their numbers.
    pub(crate) fn open_lanes(&self) -> OpenLanes {
        self.open_lanes.clone()
    }

    /// Brings the replies of the committer and the readers home.
    pub(crate) async fn deliver_completions(self: Rc<Self>) {
        let completions = &self.node.completions[self.index];
        loop {
            completions.wake.notified().await;
            let now = self.now();
            for (key, version) in completions.take_refused() {
                self.node.missed(self.node.id, &key, version);
            }
            let mut found = 0;
            for (to, reply) in completions.take() {
                found += found_bytes(&reply);
                if to.connection == LOCAL {
                    self.handle_reply(self.node.id, to.call, reply, now);
                } else if let Some((_, lane)) =
                    self.open_lanes.borrow().iter().find(|(number, _)| *number == to.connection)
                {
                    lane.answer(to.call, &reply);
                }
            }
            if found > 0 {
                self.node.readers.taken(found);
            }
            self.pump(now);
        }
    }

    /// Fires the coordinator's timers.
    pub(crate) async fn keep_time(self: Rc<Self>) {
        let alarm = Alarm::new();
        loop {
            let due = self.coordinator.borrow().poll_timeout();
            let now = now_instant();
            match due {
                Some(due) if due <= now => {
                    self.armed.set(0);
                    let moment = self.now();
                    self.coordinator.borrow_mut().handle_timeout(moment);
                    self.pump(moment);
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
            while self.coordinator.borrow().in_flight() > 0 {
                self.drained.wait().await;
            }
        };
        if tokio::time::timeout(limit, drained).await.is_err() {
            // As if all deadlines had passed: whoever waits is told what may have become of his write.
            let now = Now { instant: Instant(u64::MAX), interval: self.node.interval() };
            self.coordinator.borrow_mut().handle_timeout(now);
            self.pump(now);
        }
    }
}
