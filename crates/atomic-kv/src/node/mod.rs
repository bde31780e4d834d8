//! A node: the pure protocol with sockets, clocks, a disk and threads around it.
//!
//! One thread per `shard`, each an event loop with connections and a coordinator of its own; one `committer` thread per
//! database, and a few `reader`s for what has to be looked up on a slow disk. What all of them share is in `Node`. The database
//! has threads of its own: those of `store::engine`, and `tidy` while it tidies.

mod alarm;
mod answers;
mod callers;
mod client;
pub mod clock;
mod committer;
mod completions;
mod connections;
mod crowd;
mod database;
mod event_loop;
mod http;
mod info;
mod limits;
mod listen;
mod metrics;
mod mode;
pub mod peer;
mod pipeline;
mod process;
mod readers;
mod repair;
mod running;
mod shard;
mod signal;
mod sockets;
mod started;
mod stats;
mod supervise;

use crate::config::{Settings, parse_cluster};
use crate::fatal::Fatal;
use crate::identity::DataDir;
use crate::logging::limit::limited;
use ::node::acquaintances::PeerRefusal;
use ::node::hello::{About, Limits};
use ::node::introduction::Introduction;
use ::node::limits::FRAME_BYTES_MAX;
use ::node::nonce::Challenges;
use abd::WriteGroup as _;
use abd::{
    Config, Instant, Interval, IntervalClock, Members, NodeId, Operation, Reaction, Reason, Replica, Reply,
    Standing, TimestampIssuer,
};
use client::Clients;
use committer::Committer;
use completions::{Completions, ReplyTo};
use connections::Connections;
use database::ReplicaStore;
use event_loop::Accepted;
use readers::Readers;
pub use running::RunningNode;
pub(crate) use sockets::descriptor_limit;
use stats::{LoopStats, Rates};
use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;
use store::Puts;
use tokio::sync::{mpsc, watch};

/// A query phase that a bare majority has not answered by then asks everybody.
const HEDGE_AFTER: Duration = Duration::from_millis(10);
/// How old knowledge of how near a member is may become.
const PROBE_AFTER: Duration = Duration::from_millis(50);
/// Long enough that most of what is in flight at any time asks the same members.
const ROTATE_AFTER: NonZeroU64 = NonZeroU64::new(256).unwrap();
/// First pause before an unanswered call is sent again.
const RESEND_AFTER: Duration = Duration::from_millis(100);
static EPOCH: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);

/// Monotonic time as the protocol counts it.
pub(crate) fn now_instant() -> Instant {
    Instant(u64::try_from(EPOCH.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// What all threads of a node share.
pub(crate) struct Node {
    pub(crate) settings: Settings,
    pub(crate) id: NodeId,
    pub(crate) members: Members,
    pub(crate) issuer: TimestampIssuer,
    pub(crate) replica: Replica,
    pub(crate) store: ReplicaStore,
    pub(crate) committer: Committer,
    pub(crate) readers: Readers,
    /// What has waited for the disk, for each event loop.
    pub(crate) completions: Arc<[Completions]>,
    clock: Option<Box<dyn IntervalClock + Send + Sync>>,
    identity: DataDir,
    /// Whether every other member has confirmed this node's data directory, now or in an earlier run (rule M1).
    admitted: AtomicBool,
    /// The members that have confirmed it in this run.
    confirmed: Mutex<BTreeSet<u32>>,
    /// Whether this node may begin operations: see [`Node::may_begin`].
    begins: watch::Sender<bool>,
    /// The same, for whoever asks at every request: a look costs no lock. Set first, so that whoever was woken sees it.
    begun: AtomicBool,
    failure: watch::Sender<Option<Fatal>>,
    stopping: watch::Sender<bool>,
    /// Event loops that have a lane to it, by member.
    links_up: Vec<AtomicUsize>,
    limits: limits::KnownLimits,
    /// The way to each event loop.
    loops: Vec<mpsc::UnboundedSender<Accepted>>,
    pub(crate) repairs: repair::Repairs,
    pub(crate) clients: Clients,
    /// By event loop.
    pub(crate) stats: Vec<LoopStats>,
    pub(crate) rates: Rates,
    pub(crate) connections: Connections,
}

impl Node {
    pub(crate) fn coordinator_config(&self) -> Config {
        Config {
            local: self.id,
            members: self.members.clone(),
            mode: self.settings.timestamps,
            hedge_after: HEDGE_AFTER,
            rotate_after: ROTATE_AFTER,
            probe_after: Some(PROBE_AFTER),
            resend_after: RESEND_AFTER,
        }
    }

    /// The interval now, in TrueTime mode and if there is one.
    pub(crate) fn interval(&self) -> Option<Interval> {
        self.clock.as_ref().and_then(|clock| clock.now().ok())
    }

    pub(crate) fn horizon_clock(&self) -> u64 {
        self.interval().map_or_else(clock::horizon, |interval| interval.latest)
    }

    pub(crate) fn clock_text(&self) -> String {
        self.clock.as_ref().map_or_else(|| "not needed".to_owned(), |clock| clock.source())
    }

    pub(crate) fn standing(&self) -> Standing {
        Standing { admitted: self.is_admitted(), writable: self.committer.writable() }
    }

    /// What a request to the own replica has led to: the reply, if there is one now. `put` is where a write is encoded, and
    /// empty otherwise.
    pub(crate) fn carry_out(&self, reaction: Reaction, to: ReplyTo, put: &mut Puts) -> Option<Reply> {
        match reaction {
            Reaction::Reply(reply) => Some(reply),
            Reaction::Commit { key, stamped, reply } => {
                // Before the queue is locked, which other threads use, too.
                put.push(&key, &stamped);
                self.committer.enqueue(put, reply, to).err()
            }
        }
    }

    pub(crate) fn is_admitted(&self) -> bool {
        self.admitted.load(Ordering::Acquire)
    }

    /// Whether this node may begin operations, and so issue timestamps (rule V1): its directory is confirmed, and since
    /// its start a majority has met it. On an old copy of its disk it would issue with TrueTime, which asks nobody first,
    /// what its former self has issued under the same boot count; whoever met that one refuses the copy.
    pub(crate) fn may_begin(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    pub(crate) async fn wait_to_begin(&self) {
        // The sender lives as long as the node.
        let _ = self.begins.subscribe().wait_for(|begins| *begins).await;
    }

    /// From now on no operation begins here, and what waits to begin is refused.
    fn begin_to_stop(&self) {
        self.stopping.send_replace(true);
        self.begun.store(false, Ordering::Release);
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    pub(crate) async fn wait_to_stop(&self) {
        // The sender lives as long as the node.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    /// Why it may not.
    pub(crate) fn not_begun(&self) -> Reason {
        if self.is_stopping() {
            return Reason::Stopping;
        }
        if !self.is_admitted() {
            return Reason::NotAdmitted;
        }
        let met = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner).len() + 1;
        Reason::MajorityNotMet { met, needed: self.members.majority(), members: self.members.count() }
    }

    /// Why no operation can be expected to succeed now, in the words of the errors that clients get. `None`: this node is
    /// ready.
    pub(crate) fn not_ready(&self) -> Option<Reason> {
        if !self.may_begin() {
            return Some(self.not_begun());
        }
        if self.clock.as_ref().is_some_and(|clock| clock.now().is_err()) {
            return Some(Reason::ClockUnknown);
        }
        let local = self.members.index_of(self.id);
        let members = self.members.count();
        let answered = (0..members).filter(|index| Some(*index) == local || self.is_peer_up(*index)).count();
        let needed = self.members.majority();
        (answered < needed).then_some(Reason::NoQuorum { answered, needed, members, refusal: None })
    }

    pub(crate) fn boot(&self) -> u32 {
        self.identity.boot()
    }

    /// What this node says about itself to whoever it meets.
    pub(crate) fn about(&self) -> About {
        About {
            cluster: self.settings.cluster_text(),
            timestamps: self.settings.timestamps_name().to_owned(),
            member: Some(self.id.0),
            challenge: [0; 16],
            admitted: self.is_admitted(),
            limits: own_limits(&self.settings),
            loops: self.loop_count(),
        }
    }

    /// How many event loops this node has.
    pub(crate) fn loop_count(&self) -> u16 {
        u16::try_from(self.loops.len()).unwrap_or(u16::MAX)
    }

    /// Why an operation may not begin, as too many members refuse what is so large.
    pub(crate) fn reason_to_refuse(&self, operation: &Operation) -> Option<Reason> {
        self.limits.reason_to_refuse(operation, self.members.majority())
    }

    /// Hands a connection to an event loop. One that is gone ends the node, unless that stops anyway.
    pub(crate) fn hand_to(&self, index: usize, connection: Accepted) {
        let _ = self.loops[index].send(connection);
    }

    /// A member has said what it lets its clients write.
    pub(crate) fn learn_limits(&self, peer: NodeId, limits: Limits) {
        if let Some(index) = self.members.index_of(peer) {
            self.limits.learn(index, limits);
        }
    }

    /// Whether the other side belongs to the same cluster: one of the same members. Their addresses may differ, as they do
    /// while a changed one is made known to one node after the other; who is who is told by the data directories (M1).
    pub(crate) fn check_cluster(&self, theirs: &About) -> Result<(), String> {
        let is_same = parse_cluster(&theirs.cluster).is_ok_and(|cluster| {
            cluster.len() == self.members.count()
                && cluster.iter().all(|(id, _)| self.members.index_of(NodeId(*id)).is_some())
        });
        if !is_same {
            let ours = self.settings.cluster_text();
            return Err(format!(
                "its --cluster is \"{}\", this node's is \"{ours}\": the ids must be the same",
                theirs.cluster
            ));
        }
        let ours = self.settings.timestamps_name();
        if theirs.timestamps != ours {
            return Err(format!("its --timestamps is {}, this node's is {ours}", theirs.timestamps));
        }
        match &theirs.member {
            Some(member) if self.members.index_of(NodeId(*member)).is_none() => {
                Err(format!("node {member} is not in --cluster"))
            }
            _ => Ok(()),
        }
    }

    /// Meets a member on a thread that may wait for the disk.
    pub(crate) async fn meet(
        self: &Arc<Self>,
        peer: Introduction,
        challenges: Challenges,
    ) -> Result<(), PeerRefusal> {
        let node = self.clone();
        supervise::blocking(move || node.identity.meet(&peer, challenges)).await
    }

    /// A member has durably remembered this node's directory (rule M1).
    pub(crate) async fn confirmed_by(self: &Arc<Self>, peer: NodeId) {
        let met = {
            let mut confirmed = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
            confirmed.insert(peer.0);
            confirmed.len() + 1
        };
        let node = self.clone();
        if let Err(why) = supervise::blocking(move || node.identity.was_met_by(peer.0)).await {
            limited!(warn, "cannot write down who has met this node", %why);
        }
        if met == self.members.count() && !self.is_admitted() {
            let node = self.clone();
            if let Err(why) = supervise::blocking(move || node.identity.set_admitted()).await {
                return self.fail(format!("cannot write the identity file: {why}"));
            }
            if !self.admitted.swap(true, Ordering::AcqRel) {
                tracing::info!("every member has confirmed this data directory: this node votes from now on");
            }
        }
        if met >= self.members.majority() && self.is_admitted() && !self.may_begin() && !self.is_stopping() {
            self.begun.store(true, Ordering::Release);
            self.begins.send_replace(true);
        }
    }

    pub(crate) fn observe(&self, peer: NodeId, sequence: u64) {
        self.identity.observe_sequence(peer.0, sequence);
    }

    /// This node must not go on: says why, once, and ends the program.
    pub(crate) fn fail(&self, why: String) {
        self.fail_as(Fatal::runtime(why));
    }

    fn fail_as(&self, fatal: Fatal) {
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            if first {
                tracing::error!(why = fatal.message, "this node refuses to serve");
                *failure = Some(fatal);
            }
            first
        });
    }

    pub(crate) fn peer_is_up(&self, peer: NodeId, up: bool) {
        if let Some(index) = self.members.index_of(peer) {
            let before = if up {
                self.links_up[index].fetch_add(1, Ordering::Relaxed)
            } else {
                self.links_up[index].fetch_sub(1, Ordering::Relaxed)
            };
            if before == usize::from(!up) {
                self.repairs.peer_is_up(index, up);
            }
        }
    }

    pub(crate) fn is_peer_up(&self, index: usize) -> bool {
        self.links_up[index].load(Ordering::Relaxed) > 0
    }

    pub(crate) fn check_sizes(&self, operation: &Operation) -> Result<(), String> {
        let key = operation.key().len();
        if key > self.settings.max_key_bytes {
            return Err(format!(
                "key is too long: {key} bytes, the limit is {}",
                self.settings.max_key_bytes
            ));
        }
        if let Operation::Set { value, .. } = operation
            && value.len() > self.settings.max_value_bytes
        {
            let (size, limit) = (value.len(), self.settings.max_value_bytes);
            return Err(format!("value is too large: {size} bytes, the limit is {limit}"));
        }
        Ok(())
    }
}

fn own_limits(settings: &Settings) -> Limits {
    let Settings { max_key_bytes, max_value_bytes, .. } = *settings;
    Limits { key: max_key_bytes as u64, value: max_value_bytes as u64, frame: FRAME_BYTES_MAX as u64 }
}
