//! A node: the pure protocol with sockets, clocks, a disk and threads around it.
//!
//! One thread per `shard`, each an event loop with connections and a coordinator of its own; one `committer` thread per
//! database, and a few `reader`s for what has to be looked up on a slow disk. What all of them share is in `Node`. The database
//! has threads of its own: those of `store::engine`, and `tidy` while it tidies.

mod alarm;
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
mod listen;
mod membership;
mod metrics;
mod mode;
pub mod peer;
mod process;
mod readers;
mod repair;
mod running;
mod shard;
mod signal;
mod sockets;
mod stats;
mod supervise;
mod surroundings;

use crate::config::Settings;
use crate::fatal::Fatal;
use abd::{Instant, Interval, IntervalClock, Members, NodeId, Operation, Reason, Standing, TimestampIssuer};
use client::Clients;
use committer::Committer;
use completions::Completions;
use connections::Connections;
use database::ReplicaStore;
use event_loop::Accepted;
use membership::Membership;
use readers::Readers;
pub use running::RunningNode;
pub(crate) use sockets::descriptor_limit;
use stats::{LoopStats, Rates};
use std::sync::{Arc, LazyLock};
use tokio::sync::{mpsc, watch};

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
    pub(crate) store: ReplicaStore,
    pub(crate) committer: Committer,
    pub(crate) readers: Readers,
    /// What has waited for the disk, for each event loop.
    pub(crate) completions: Arc<[Completions]>,
    clock: Option<Box<dyn IntervalClock + Send + Sync>>,
    pub(crate) membership: Arc<Membership>,
    failure: watch::Sender<Option<Fatal>>,
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
        self.membership.admission.standing(self.committer.writable())
    }

    /// Why no operation can be expected to succeed now. `None`: this node is ready.
    pub(crate) fn not_ready(&self) -> Option<Reason> {
        let has_time = self.clock.as_ref().is_none_or(|clock| clock.now().is_ok());
        self.membership.admission.not_ready(has_time)
    }

    /// Why an operation may not begin, as too many members refuse what is so large.
    pub(crate) fn reason_to_refuse(&self, operation: &Operation) -> Option<Reason> {
        self.membership.limits.reason_to_refuse(operation, self.members.majority())
    }

    /// Hands a connection to an event loop. One that is gone ends the node, unless that stops anyway.
    pub(crate) fn hand_to(&self, index: usize, connection: Accepted) {
        let _ = self.loops[index].send(connection);
    }

    pub(crate) fn observe(&self, peer: NodeId, sequence: u64) {
        self.membership.directory.observe_sequence(peer.0, sequence);
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

    /// An event loop has a lane to a peer, or has none any more.
    pub(crate) fn peer_is_up(&self, peer: NodeId, up: bool) {
        if self.membership.admission.lanes_changed(peer, up)
            && let Some(index) = self.members.index_of(peer)
        {
            self.repairs.peer_is_up(index, up);
        }
    }
}
