//! A node: what survives its process, and the process.

use super::back::Back;
use super::desk::Desk;
use super::directories::new_identity;
use super::environment::{Moment, Reached, Surroundings};
use super::lanes::TICK;
use super::opening::Opened;
use super::running::About;
use super::talks::Talk;
use super::view::View;
use super::{Event, World};
use crate::clock::NodeClocks;
use crate::directory::Directory;
use crate::disk::{Mood, SimDatabase};
use crate::plan::{Plan, Point, SHORT_BACKLOG};
use crate::rng::Rng;
use crate::trace::What;
use ::node::admission::Admission;
use ::node::directory::Identity;
use abd::{Config, Instant, ListedWrites, NodeId, QuorumSystem, Standing, TimestampIssuer, VersionStore};
use bytes::Bytes;
use node::change::Driver;
use node::client::budget::Budget;
use node::commit::{Batch, Queue, Rounds};
use node::hello::LaneKind;
use node::lanes::lane::LaneKey;
use node::limits::KnownLimits;
use node::lookups::{HandOver, Lookups};
use node::peer::dialling::Dialling;
use node::peer::greeting::Own;
use node::repair::Repair;
use node::shard::{ReplyTo, Shard, coordinator_config, replica};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use store::{DatabaseError, MultiVersionStore};

/// A member of the cluster, up or down.
pub(crate) struct Node {
    pub(crate) clocks: NodeClocks,
    /// What it says of itself.
    pub(crate) own: Own,
    /// What the process knows of itself and the others; what is on the disk may be older.
    pub(crate) identity: Identity,
    /// What is on the disk.
    pub(crate) directory: Directory,
    /// The same before the last start: what an old backup holds.
    pub(crate) backup: Option<Directory>,
    /// And at some moment of the last run.
    pub(crate) copy: Option<Directory>,
    /// How the others were known when that was last written down: boot count and batches.
    pub(crate) remembered: BTreeMap<u32, (u32, u64)>,
    pub(crate) process: Option<Process>,
    /// It refuses to serve for good, or its disk was taken away: nothing that it promised is expected of it.
    pub(crate) lost: bool,
    /// Where its peers reach it.
    pub(crate) address: String,
    /// It is no member any more, and its directory says so.
    pub(crate) retired: bool,
    /// Some configuration has given it its id, and its machine has been told so.
    pub(crate) exists: bool,
    /// What it has installed, and when: epochs in ascending order.
    pub(crate) epochs: Vec<(u64, u32)>,
    /// Its disk was exchanged, and the others may not have noticed yet.
    pub(crate) replaced: bool,
    /// Parts of its directory were exchanged, and it has not looked at them yet.
    pub(crate) exchanged: bool,
    /// Something was done to its directory at some time.
    pub(crate) meddled: bool,
    /// Its identity cannot be written.
    pub(crate) read_only: bool,
    /// Synced bytes have changed. It must notice at its next start, or have lost nothing.
    pub(crate) rotten: bool,
    /// It has lost something of what it has stored, and is not healed.
    pub(crate) damaged: bool,
    /// The mutant `empty-disk`: batches that it claims to hold.
    pub(crate) claims: u64,
    /// Where the process ends when it comes there, and the fault that wants it.
    pub(crate) trap: Option<(Point, usize)>,
    pub(crate) paused: bool,
    pub(crate) deferred: Vec<Event>,
    /// Everything takes this much longer.
    pub(crate) slow_by: u64,
    /// A sync takes this long, whatever the plan says.
    pub(crate) slow_sync: Option<u64>,
    pub(crate) mood: Mood,
    /// A script says when it has synced.
    pub(crate) lazy_disk: bool,
    pub(super) shown_interval: Option<(u64, u64)>,
    pub(super) shown_wall: Option<i64>,
}

/// The event loop of a node.
pub(crate) type Loop = Shard<Reached, Back>;

/// A running process.
pub(crate) struct Process {
    /// Unique in the run: what was meant for another process does not reach this one.
    pub(crate) incarnation: u64,
    pub(crate) desk: Desk,
    /// The connections of clients.
    pub(crate) talks: BTreeMap<u64, Talk>,
    pub(crate) budget: Budget,
    pub(crate) database: Arc<SimDatabase>,
    /// Threads that are at a look-up.
    pub(crate) looking: usize,
    pub(crate) rounds: Rounds,
    pub(crate) rounds_armed: u64,
    pub(crate) job: Option<Job>,
    /// The connection of each lane.
    pub(crate) lanes: BTreeMap<LaneKey, u64>,
    pub(crate) dialling: BTreeMap<(u32, LaneKind), Dialling>,
    pub(crate) armed: u64,
    pub(crate) repair_armed: u64,
    /// Whether it expires what nobody reads.
    pub(crate) sweeps: bool,
    /// Whether it is to end, and how far that is.
    pub(crate) stopping: Stopping,
}

/// How far a process is that stops in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopping {
    /// It does not.
    No,
    /// Operations in flight may end.
    Draining,
    /// They have; what waits for the disk becomes durable.
    Closing,
}

/// What the disk is at.
pub(crate) enum Job {
    /// A batch. `thrown_away` is what the mutant `cancel-batch` does to it.
    Commit { batch: Batch<ListedWrites, ReplyTo>, thrown_away: bool },
    /// Garbage collection.
    Collect,
}

impl Process {
    /// What its event loop reaches.
    pub(crate) fn around(&self) -> &Surroundings {
        &self.desk.around
    }

    /// What the disk has.
    pub(crate) fn store(&self) -> &MultiVersionStore<Arc<SimDatabase>> {
        &self.around().store.versions
    }

    /// A round of garbage collection, which is the engine's own: now and then it merges, in a script each time.
    pub(super) fn collect(&self, rng: &mut Rng, scripted: bool) -> Result<(), DatabaseError> {
        match scripted {
            true => self.database.merge(None),
            false if rng.one_in(4) => self.database.merge(Some(rng)),
            false => Ok(()),
        }
    }
}

/// Where a node is reached at first.
pub(super) fn address(id: u32) -> String {
    format!("n{id}:1")
}

impl Node {
    pub(super) fn new(rng: &mut Rng, id: u32, plan: &Plan) -> Self {
        Self {
            clocks: NodeClocks::draw(rng, &plan.clocks),
            own: super::greetings::own(id, plan),
            identity: new_identity(rng, id, plan),
            directory: Directory::default(),
            backup: None,
            copy: None,
            remembered: BTreeMap::new(),
            process: None,
            lost: false,
            address: address(id),
            retired: false,
            exists: id <= plan.nodes,
            epochs: Vec::new(),
            replaced: false,
            exchanged: false,
            meddled: false,
            read_only: false,
            rotten: false,
            damaged: false,
            claims: 0,
            trap: None,
            paused: false,
            deferred: Vec::new(),
            slow_by: 0,
            slow_sync: None,
            mood: Mood::Good,
            lazy_disk: false,
            shown_interval: None,
            shown_wall: None,
        }
    }

    /// Whether nothing, or not everything, that it promised is expected of it.
    pub(super) fn is_gone(&self) -> bool {
        let is_exchanged = self.replaced || self.exchanged;
        self.lost || is_exchanged || self.rotten || self.damaged || self.identity.is_gone()
    }

    /// Batches that it says are durable.
    pub(crate) fn sequence(&self) -> u64 {
        let stored = || self.directory.database.as_ref().map_or(0, |stored| stored.platter.sequence());
        let held = self.process.as_ref().map_or_else(stored, |process| process.database.sequence());
        // In a real directory the first batch makes the database.
        held.max(self.claims) + 1
    }
}

impl World {
    /// Starts a node's process on its disk.
    pub(crate) fn start(&mut self, node: u32) {
        let state = &mut self.nodes[node as usize];
        if state.lost || state.retired || !state.exists || state.read_only || state.process.is_some() {
            return;
        }
        let Some(opened) = self.open(node) else { return };
        let Opened { database, versions, acceptor, configuration } = opened;
        let state = &mut self.nodes[node as usize];
        if !state.identity.is_named_by(&configuration) {
            state.directory.keep(database.after_kill());
            return self.retire(node, configuration.epoch());
        }
        let (boot, admitted) = (state.identity.boot, state.identity.admitted && !state.identity.is_gone());
        let id = NodeId(node + 1);
        let issued_as = if self.lies.boot_one { 1 } else { boot };
        let incarnation = self.next_incarnation;
        self.next_incarnation += 1;
        state.epochs.push((self.now, configuration.epoch()));
        state.own.members = configuration.quorums().members().clone();
        state.own.cluster = configuration.text();
        let quorums = if self.lies.minority {
            // Half of them, rounded down, is one too few.
            let count = self.plan.nodes;
            let known = (0..count / 2).map(|offset| NodeId((node + offset) % count + 1));
            QuorumSystem::of(abd::Members::new(known.collect()), configuration.scope)
        } else {
            configuration.quorums()
        };
        let config = Config {
            rotate_after: self.plan.rotate_after,
            quorums,
            ..coordinator_config(id, &configuration)
        };
        // Where questions are spread, it is also found out who is near.
        let probes = self.plan.rotate_after == NonZeroU64::MIN;
        let config = Config { probe_after: config.probe_after.filter(|_| probes), ..config };
        let store = View {
            versions,
            database: database.clone(),
            early: RefCell::default(),
            early_is_durable: self.lies.counts_unsynced,
            node,
            monotone: self.monotone.clone(),
            is_replaced: Cell::new(state.replaced),
            conviction: RefCell::default(),
            shown: RefCell::default(),
            hides_due_at: Cell::new(abd::Moment::UNKNOWN),
        };
        let queue_bytes = self.plan.queue_bytes;
        let now = Instant(self.now);
        let repair_config = super::repair::config(&self.plan, self.lies);
        let peers = configuration.everybody().into_iter().map(|member| member.id);
        let repair = Repair::new(repair_config, id, peers, store::versions::order);
        let standing = Standing { admitted, writable: true };
        let mut limits = KnownLimits::new(&configuration);
        limits.learn(id, state.own.limits);
        let issuer = TimestampIssuer::new(id, issued_as);
        issuer.observe_round(store.mark().round);
        let surroundings = Rc::new(Surroundings {
            lies: self.lies,
            moment: Cell::new(Moment {
                now,
                interval: None,
                latest: 0,
                moments: node::clock::Moments::of_wall(0),
                standing,
                sequence: 0,
                lookups: None,
            }),
            issues_as: (id, issued_as),
            issuer: RefCell::new(issuer),
            store,
            acceptor: RefCell::new(acceptor),
            writes: RefCell::new(Queue::new(if self.lies.queues_all { usize::MAX } else { queue_bytes })),
            queue_bytes,
            driver: RefCell::new(Driver::new(
                id,
                state.identity.disk,
                configuration.clone(),
                node::change::Settings { heals: self.plan.heals, order: store::versions::order },
                now,
            )),
            admission: Rc::new(RefCell::new(Admission::new(
                &configuration,
                id,
                state.identity.voting(),
                admitted,
            ))),
            who: Cell::new(state.who()),
            expected: Cell::new(configuration.epoch()),
            coming: RefCell::default(),
            known: RefCell::new(state.known_directories()),
            decided: RefCell::default(),
            newest_epoch: Cell::new(configuration.epoch()),
            served_epoch: Cell::new(configuration.epoch()),
            installed: RefCell::default(),
            accepts: Cell::new(false),
            told: RefCell::default(),
            deletes: RefCell::default(),
            hand_over: RefCell::new(HandOver::default()),
            lookups: RefCell::new(Lookups::default()),
            repair: RefCell::new(repair),
            remembered: RefCell::default(),
            has_found: Cell::new(false),
            operations: RefCell::default(),
            folds: RefCell::default(),
            notes: RefCell::default(),
            limits: RefCell::new(limits),
            bounds: self.plan.short_backlogs.then_some(SHORT_BACKLOG),
            forgets: Cell::new(false),
            ended: RefCell::default(),
            about: Cell::new(About::Other),
            stops: Cell::new(false),
            rng: RefCell::new(Rng::new(self.rng.word(), u64::from(node))),
        });
        let op_timeout = Duration::from_nanos(self.plan.op_timeout);
        let peers: Vec<u32> = configuration.everybody().iter().map(|member| member.id.0 - 1).collect();
        let peers = peers.into_iter().filter(|peer| *peer != node);
        let kinds = [LaneKind::Small, LaneKind::Bulk];
        let dialling = peers.flat_map(|peer| kinds.map(|kind| (peer, kind)));
        let dialled = |(peer, kind)| ((peer, kind), Dialling::new(id, NodeId(peer + 1), now));
        state.process = Some(Process {
            incarnation,
            desk: Desk::new(
                Shard::new(
                    Reached(surroundings.clone()),
                    config,
                    configuration.clone(),
                    replica(&configuration),
                    op_timeout,
                ),
                surroundings,
                self.lies.begins_alone,
                op_timeout,
            ),
            talks: BTreeMap::new(),
            budget: Budget::new(self.plan.clients_bytes),
            looking: 0,
            rounds: Rounds::new(database.has_room(), now),
            rounds_armed: u64::MAX,
            database,
            job: None,
            lanes: BTreeMap::new(),
            dialling: dialling.map(dialled).collect(),
            armed: u64::MAX,
            repair_armed: u64::MAX,
            sweeps: false,
            stopping: Stopping::No,
        });
        if self.plan.drives
            && let Some(process) = &mut state.process
        {
            process.desk.shard.get_mut().begin_driving(now);
        }
        self.trace.record(self.now, || What::Started { node, boot });
        if !state.replaced
            && let Some(process) = &state.process
        {
            let newest = |key: &Bytes| process.store().newest(key).map(|newest| newest.stamped.version);
            let kept = self.monotone.borrow().restarted(node, newest);
            self.convict(kept);
        }
        if self.springs(node, Point::InRecovery) {
            return;
        }
        self.follow_up(node);
        self.dial_all(node, incarnation);
        let phase = if self.held.is_some() { TICK } else { self.rng.below(TICK) };
        self.queue.push(self.now + phase, Event::Tick { node, incarnation });
    }
}
