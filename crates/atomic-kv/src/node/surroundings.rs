//! What the machine of an event loop reaches of this process: its clocks, its disk, and what all event loops share.

use super::changes::Changes;
use super::clock::NodeClock;
use super::completions::ReplyTo;
use super::database::ReplicaStore;
use super::disk::Disk;
use super::event_loop::Given;
use super::healing::Healing;
use super::membership::Membership;
use super::now_instant;
use super::repair::Repairs;
use super::scripts::Scripts;
use super::stats::{LoopStats, Stats};
use crate::logging::limit::limited;
use ::node::change::Driver;
use ::node::clock::{Clock as _, Moments};
use ::node::configuration::{Configuration, DirectoryId, LEVEL};
use ::node::functions::Circumstances;
use ::node::inquiry::notes::Notes;
use ::node::limits::FRAME_BYTES_MAX;
use ::node::news::News;
use ::node::repair::Repair;
use ::node::shard::{self, Environment, OperationKind};
use ::node::sweep::Progress;
use abd::WriteGroup as _;
use abd::{
    Acceptor, AfterCommit, Evaluation, Instant, NodeId, Now, Operation, Outcome, Reason, Reply, Request,
    Standing, TimestampIssuer, Unit, Version,
};
use bytes::Bytes;
use std::cell::RefCell;
use std::ops::Deref;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use store::Puts;

/// The surroundings of one event loop.
pub(crate) struct Surroundings {
    index: usize,
    clock: Arc<NodeClock>,
    issuer: Arc<TimestampIssuer>,
    disk: Arc<Disk>,
    membership: Arc<Membership>,
    repairs: Arc<Repairs>,
    changes: Arc<Changes>,
    healing: Arc<Healing>,
    notes: Arc<Mutex<Notes>>,
    stats: Arc<Stats>,
    scripts: Arc<Scripts>,
    /// Where a write is encoded; empty otherwise.
    put: RefCell<Puts>,
}

impl Surroundings {
    pub(super) fn new(given: &Given, index: usize) -> Self {
        let Given {
            clock, issuer, disk, membership, repairs, changes, healing, notes, stats, scripts, ..
        } = given.clone();
        Self {
            index,
            clock,
            issuer,
            disk,
            membership,
            repairs,
            changes,
            healing,
            notes,
            stats,
            scripts,
            put: RefCell::default(),
        }
    }

    fn home(&self, to: shard::ReplyTo) -> ReplyTo {
        ReplyTo { shard: self.index, lane: to.lane, call: to.call, epoch: to.epoch }
    }
}

impl Environment for Surroundings {
    type Store = ReplicaStore;

    fn now(&self, instant: Instant) -> Now {
        self.clock.now(instant)
    }

    fn horizon(&self) -> u64 {
        self.clock.horizon()
    }

    fn issuer(&self) -> impl Deref<Target = TimestampIssuer> {
        &*self.issuer
    }

    fn store(&self) -> impl Deref<Target = ReplicaStore> {
        &self.disk.store
    }

    fn standing(&self) -> Standing {
        self.disk.standing(&self.membership.admission)
    }

    fn sequence(&self) -> u64 {
        self.disk.store.database.sequence()
    }

    fn acceptor<T>(&self, key: &[u8], run: impl FnOnce(&mut Acceptor) -> T) -> T {
        self.disk.acceptors.with(key, run)
    }

    fn commit(&self, unit: Unit, reply: AfterCommit, to: shard::ReplyTo) -> Result<(), Reply> {
        // Encoded before the queue is locked, which other threads use, too.
        let mut put = self.put.borrow_mut();
        put.push(&unit);
        self.disk.committer.enqueue(&mut put, reply, self.home(to))
    }

    fn hands_over(&self) -> bool {
        self.disk.readers.are_needed()
    }

    fn is_slow(&self) -> bool {
        self.disk.readers.are_slow()
    }

    fn ask_disk(&self, request: Request, to: shard::ReplyTo, deadline: Instant) -> Result<(), Reply> {
        self.disk.readers.ask(request, self.home(to), deadline)
    }

    fn look_here<T>(&self, look: impl FnOnce() -> T) -> T {
        self.disk.readers.look_up(look)
    }

    fn taken(&self, found_bytes: usize) {
        self.disk.readers.taken(found_bytes);
    }

    fn expect(&self, configuration: &Configuration) -> bool {
        self.changes.expect(configuration)
    }

    fn begin_installing<T>(&self, epoch: u32, queue: impl FnOnce() -> T) -> Option<T> {
        self.changes.begin_installing(epoch, &self.disk.acceptors, queue)
    }

    fn served_epoch(&self) -> u32 {
        self.changes.served_epoch()
    }

    fn newest_epoch(&self) -> u32 {
        self.changes.newest_epoch()
    }

    fn installed(&self, configuration: &Configuration) {
        self.changes.installed(configuration);
        // Only now: no event loop answers in an older epoch any more.
        self.membership.begin_to_serve(configuration);
    }

    fn driver<T>(&self, run: impl FnOnce(&mut Driver) -> T) -> T {
        run(&mut self.changes.driver())
    }

    fn news(&self) -> News {
        let directory = self.membership.directory.identity().presented();
        let (synced_in, lost, heal) = (self.repairs.synced_in(), self.healing.lost(), self.healing.wanted());
        News { directory, level: LEVEL, synced_in, lost, heal, pulled: self.repairs.pulled() }
    }

    fn remembered(&self) -> Vec<(NodeId, DirectoryId)> {
        self.membership.remembered()
    }

    fn repair(&self, tell: impl FnOnce(&mut Repair, Instant)) {
        self.repairs.tell(tell);
    }

    fn notes<T>(&self, run: impl FnOnce(&mut Notes) -> T) -> T {
        run(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn missed(&self, member: NodeId, key: &Bytes, version: Version) {
        let own = &self.membership.own;
        let is_away = member != own.id && !self.membership.admission.is_up(member);
        self.repairs.missed(member, key, version, is_away);
    }

    fn peer_is_up(&self, peer: NodeId, up: bool) {
        if self.membership.admission.lanes_changed(peer, up) {
            self.changes.driver().handle_up(peer, up, now_instant());
            self.repairs.peer_is_up(peer, up);
        }
    }

    fn observe(&self, peer: NodeId, sequence: u64) {
        self.membership.directory.observe_sequence(peer.0, sequence);
    }

    fn reason_to_refuse(&self, operation: &Operation) -> Option<Reason> {
        self.membership.limits.reason_to_refuse(operation)
    }

    fn value_bytes_max(&self) -> usize {
        self.membership.limits.value_bytes_max()
    }

    fn moments(&self) -> Moments {
        self.clock.moments()
    }

    fn hand_over(&self, evaluation: Evaluation) -> Option<Evaluation> {
        self.scripts.hand_over(self.index, evaluation, || Circumstances {
            moments: self.moments(),
            value_bytes_max: self.value_bytes_max(),
        })
    }

    fn count(&self, kind: OperationKind, outcome: &Outcome) {
        self.stats.loops[self.index].count_outcome(kind, outcome);
    }

    fn expires(&self) {
        LoopStats::add(&self.stats.loops[self.index].expired, 1);
    }

    fn swept(&self, progress: Progress) {
        let Progress { walks, keys, swept, failed } = progress;
        let stats = &self.stats.loops[self.index];
        stats.sweeps.store(walks, Ordering::Relaxed);
        stats.sweep_keys.store(keys, Ordering::Relaxed);
        stats.swept.store(swept, Ordering::Relaxed);
        stats.sweep_failures.store(failed, Ordering::Relaxed);
    }

    fn passed_over(&self, peer: NodeId, length: usize) {
        let peer = peer.0;
        limited!(warn, "passed over a message that is too long", peer, length, limit = FRAME_BYTES_MAX);
    }
}
