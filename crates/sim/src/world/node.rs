//! A node: what survives its process, and the process.

use super::committer::Writes;
use super::directories::{new_identity, random};
use super::{Event, World};
use crate::clock::NodeClocks;
use crate::directory::Directory;
use crate::disk::{Mood, SimDatabase};
use crate::plan::{Plan, Point};
use crate::rng::Rng;
use crate::time::{MS, S};
use crate::trace::What;
use ::node::admission::Admission;
use ::node::directory::Identity;
use ::node::nonce::Nonce;
use ::node::peer::dialling::Dialling;
use ::node::peer::greeting::Own;
use abd::{CallId, Config, Coordinator, Instant, Replica, TimestampIssuer};
use node::commit::{Batch, Queue, Rounds};
use node::lookups::{HandOver, Lookups};
use node::repair::Repair;
use node::repair::unacknowledged::Unacknowledged;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;
use store::{DatabaseError, MultiVersionStore};

/// As in the node: a query phase that a bare majority has not answered by then asks everybody.
const HEDGE_AFTER: Duration = Duration::from_millis(10);
/// As in the node.
const PROBE_AFTER: Duration = Duration::from_millis(50);
/// As in the node.
const RESEND_AFTER: Duration = Duration::from_millis(100);
/// As in the node.
const MAX_FUTURE: Duration = Duration::from_secs(60);
/// How often a node looks after its links.
pub(super) const TICK: u64 = S;

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
    /// Of some key it cannot read what it has stored, for good.
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

/// A running process.
pub(crate) struct Process {
    /// Unique in the run: what was meant for another process does not reach this one.
    pub(crate) incarnation: u64,
    pub(crate) coordinator: Coordinator,
    pub(crate) issuer: TimestampIssuer,
    pub(crate) replica: Replica,
    pub(crate) database: Arc<SimDatabase>,
    pub(crate) store: MultiVersionStore<Arc<SimDatabase>>,
    /// Whether look-ups leave the event loop, those that wait, and how many threads are at one.
    pub(crate) hand_over: HandOver,
    pub(crate) lookups: Lookups<Source>,
    pub(crate) looking: usize,
    /// Writes that wait for the disk.
    pub(crate) writes: Queue<Writes, Source>,
    pub(crate) rounds: Rounds,
    pub(crate) rounds_armed: u64,
    pub(crate) job: Option<Job>,
    pub(crate) links: Vec<Link>,
    /// Who has confirmed this node's disk.
    pub(crate) admission: Admission,
    /// By the coordinator's number: whose operation it is.
    pub(crate) running: BTreeMap<u64, RunningOperation>,
    pub(crate) armed: u64,
    pub(crate) repair: Repair,
    pub(crate) repair_armed: u64,
    /// The mutant `repair-stops` has stopped.
    pub(crate) repair_stopped: bool,
}

/// An operation in a coordinator.
pub(crate) struct RunningOperation {
    pub(crate) operation: usize,
    pub(crate) is_get: bool,
    /// Its latest phase.
    pub(crate) phase: u8,
    /// Members that were sent this phase's request.
    pub(crate) called: BTreeSet<u32>,
}

/// A connection that this node keeps up to a peer.
pub(crate) struct Link {
    /// While it is up: its number and the peer's process.
    pub(crate) up: Option<(u64, u64)>,
    pub(crate) last_heard: u64,
    pub(crate) dialling: Dialling,
    /// Writes that the peer has not acknowledged.
    pub(crate) unacknowledged: Unacknowledged,
}

impl Link {
    fn new(now: Instant) -> Self {
        let (dialling, unacknowledged) = (super::links::new_dialling(now), Unacknowledged::default());
        Self { up: None, last_heard: 0, dialling, unacknowledged }
    }
}

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// This node's coordinator.
    Local(CallId),
    /// A peer's: over this connection, which was opened to this process.
    Peer { node: u32, connection: u64, server: u64, call: CallId },
}

/// What the disk is at.
pub(crate) enum Job {
    /// A batch. `thrown_away` is what the mutant `cancel-batch` does to it.
    Commit { batch: Batch<Writes, Source>, thrown_away: bool },
    /// Garbage collection.
    Collect,
}

impl Process {
    /// A round of garbage collection, which is the engine's own: now and then it merges, in a script each time.
    pub(super) fn collect(&self, rng: &mut Rng, scripted: bool) -> Result<(), DatabaseError> {
        match scripted {
            true => self.database.merge(None),
            false if rng.one_in(4) => self.database.merge(Some(rng)),
            false => Ok(()),
        }
    }
}

impl Node {
    pub(super) fn new(rng: &mut Rng, id: u32, plan: &Plan) -> Self {
        Self {
            clocks: NodeClocks::draw(rng, &plan.clocks),
            own: super::greetings::own(id, plan.nodes),
            identity: new_identity(rng, id, plan),
            directory: Directory::default(),
            backup: None,
            copy: None,
            remembered: BTreeMap::new(),
            process: None,
            lost: false,
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
        self.lost || self.replaced || self.exchanged || self.rotten || self.damaged
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
        if state.lost || state.read_only || state.process.is_some() {
            return;
        }
        let before = state.directory.clone();
        let (rng, plan) = (&mut self.rng, &self.plan);
        let trusting = self.lies.trusts_directory();
        let mut identity = match state.directory.identify(|| new_identity(rng, node + 1, plan), trusting) {
            Ok(identity) => identity,
            Err(why) => return self.lose(node, why.to_string()),
        };
        let platter = state.directory.database.take().map(|stored| stored.platter).unwrap_or_default();
        let database = match SimDatabase::open(platter, self.lies.disk) {
            Ok(database) => database,
            Err((_, why)) => {
                state.directory = before;
                return self.lose(node, why.to_string());
            }
        };
        let acknowledged = before.watermark.map(|watermark| watermark.batches);
        let batches = database.sequence() + 1;
        if let Err(why) = identity.check_batches(acknowledged, batches)
            && !trusting
        {
            state.directory = before;
            return self.lose(node, why.to_string());
        }
        (state.backup, state.copy) = (Some(before), None);
        state.exchanged = false;
        database.set_mood(state.mood);
        // Before there are as many starts as numbers, the run is over.
        assert!(identity.start(Nonce(random(&mut self.rng)), false).is_ok(), "the boot counter is used up");
        state.directory.save(&mut identity);
        identity.set_marked();
        state.directory.save(&mut identity);
        let (boot, admitted) = (identity.boot, identity.admitted);
        state.identity = identity;
        let id = self.members.id(node as usize);
        let issued_as = if self.lies.boot_one { 1 } else { boot };
        let members = if self.lies.minority {
            // Half of them, rounded down, is one too few.
            let count = self.plan.nodes;
            let known = (0..count / 2).map(|offset| self.members.id(((node + offset) % count) as usize));
            abd::Members::new(known.collect())
        } else {
            self.members.clone()
        };
        let config = Config {
            local: id,
            members,
            mode: self.plan.mode,
            hedge_after: HEDGE_AFTER,
            rotate_after: self.plan.rotate_after,
            // Where questions are spread, it is also found out who is near.
            probe_after: (self.plan.rotate_after == NonZeroU64::MIN).then_some(PROBE_AFTER),
            resend_after: RESEND_AFTER,
        };
        let incarnation = self.next_incarnation;
        self.next_incarnation += 1;
        state.process = Some(Process {
            incarnation,
            coordinator: Coordinator::new(config),
            issuer: TimestampIssuer::new(id, issued_as),
            replica: Replica { max_future: Some(MAX_FUTURE) },
            store: MultiVersionStore::with_seed(database.clone(), self.plan.cache_bytes, u64::from(node)),
            hand_over: HandOver::default(),
            lookups: Lookups::default(),
            looking: 0,
            writes: Queue::new(if self.lies.queues_all { usize::MAX } else { self.plan.queue_bytes }),
            rounds: Rounds::new(database.has_room(), Instant(self.now)),
            rounds_armed: u64::MAX,
            database,
            job: None,
            links: (0..self.plan.nodes).map(|_| Link::new(Instant(self.now))).collect(),
            admission: Admission::new(self.members.clone(), id, admitted),
            running: BTreeMap::new(),
            armed: u64::MAX,
            repair: Repair::new(super::repair::config(&self.plan), self.members.count(), node as usize),
            repair_armed: u64::MAX,
            repair_stopped: false,
        });
        self.trace.record(self.now, || What::Started { node, boot });
        if !state.replaced
            && let Some(process) = &state.process
        {
            let kept = self
                .monotone
                .restarted(node, |key| process.store.newest(key).map(|newest| newest.stamped.version));
            self.convict(kept);
        }
        if self.springs(node, Point::InRecovery) {
            return;
        }
        self.work(node);
        self.connect_all(node, incarnation);
        let phase = if self.held.is_some() { TICK } else { self.rng.below(TICK) };
        self.queue.push(self.now + phase, Event::Tick { node, incarnation });
    }

    /// Ends a node's process. What the disk was at may be done or not.
    pub(crate) fn crash(&mut self, node: u32, power: bool, how: &str) {
        let state = &mut self.nodes[node as usize];
        let Some(mut process) = state.process.take() else { return };
        state.paused = false;
        let deferred = std::mem::take(&mut state.deferred);
        // In a script a crash keeps no more than what it says; else chance decides whether the disk had begun.
        if let Some(job) = process.job.take()
            && self.held.is_none()
            && self.rng.one_in(2)
        {
            if state.mood == Mood::Good {
                process.database.set_mood(Mood::GoingDown);
            }
            // It fails, of course; what counts is the bytes that it leaves behind.
            let _ = match job {
                Job::Commit { batch, .. } => process.store.commit_puts(&batch.writes.encoded()),
                Job::Collect => process.collect(&mut self.rng, self.held.is_some()),
            };
        }
        let platter = if power {
            process.database.after_power_cut(if self.held.is_some() { None } else { Some(&mut self.rng) })
        } else {
            process.database.after_kill()
        };
        // As far as it was written when the process ended, and the power may take some of that.
        let batches = process.database.sequence() + 1;
        if let Some(watermark) = &mut state.directory.watermark {
            let synced = watermark.synced.min(batches);
            watermark.batches = match self.held {
                _ if !power => batches,
                None => self.rng.between(synced, batches),
                Some(_) => synced,
            };
        }
        if let Some(stored) = &mut state.directory.database {
            stored.platter = platter;
        }
        self.trace.record(self.now, || What::Stopped { node, how: how.to_owned() });
        let asked = deferred.iter().filter_map(|event| match event {
            Event::Submit { operation, .. } => Some(*operation),
            _ => None,
        });
        let orphans: Vec<usize> =
            process.running.values().map(|running| running.operation).chain(asked).collect();
        for operation in orphans {
            self.answer_unknown(operation, "the node ended");
        }
        // The kernel of a killed process resets its connections; a machine without power says nothing.
        if !power {
            self.reset_links_to(node);
        }
    }

    /// A node must not serve any more (rule M1, or a disk that failed).
    pub(crate) fn lose(&mut self, node: u32, why: String) {
        self.crash(node, false, &why);
        self.nodes[node as usize].lost = true;
        self.trace.record(self.now, || What::Refused { node, why });
    }

    /// A node's disk failed: the process ends and may be started again.
    pub(crate) fn fail(&mut self, node: u32, why: &DatabaseError) {
        self.crash(node, true, &why.to_string());
        self.reset_links_to(node);
    }

    /// Repairs what a fault may have done to a node.
    pub(super) fn heal_node(&mut self, node: u32) {
        let state = &mut self.nodes[node as usize];
        state.trap = None;
        state.slow_by = 0;
        state.slow_sync = None;
        state.read_only = false;
        state.clocks.freeze(None);
        state.clocks.unknown = false;
        state.mood = Mood::Good;
        if let Some(process) = &state.process {
            process.database.set_mood(Mood::Good);
        }
        self.resume(node);
        if self.nodes[node as usize].rotten {
            // A disk that rots is looked at when the node starts.
            self.crash(node, false, "restarted by hand");
        }
        self.start(node);
    }

    /// A paused node goes on: whatever has come meanwhile happens now, in its order.
    pub(crate) fn resume(&mut self, node: u32) {
        let state = &mut self.nodes[node as usize];
        if !state.paused {
            return;
        }
        state.paused = false;
        self.trace.record(self.now, || What::Resumed { node });
        for event in std::mem::take(&mut state.deferred) {
            self.dispatch(event);
        }
    }

    /// How long a node's disk takes for a batch.
    pub(super) fn sync_time(&mut self, node: u32) -> u64 {
        let (from, to) = self.plan.sync;
        let drawn = self.rng.between(from, to);
        let state = &self.nodes[node as usize];
        state.slow_sync.unwrap_or(drawn) + state.slow_by.min(50 * MS)
    }
}
