//! What a run is made of. Everything is drawn from the seed before the first event, printed whole, and can be made
//! smaller piece by piece afterwards.

mod changes;
mod draw;
mod fault;
mod features;
mod kind;
mod losses;
mod storms;

pub use fault::{Fault, Point, Shape, What, Wish};
pub use features::Features;
pub use kind::OperationKind;

use crate::rng::Ratio;
use crate::time;
use abd::TimestampMode;
use bytes::Bytes;
use node::lanes::Bounds;
use std::fmt;
use std::num::NonZeroU64;

/// Bytes of writes that may wait for a disk where only a few may.
pub const SHORT_QUEUE: usize = 1 << 10;

/// What may wait on a lane where only a few messages may.
pub const SHORT_BACKLOG: Bounds = Bounds { encoded: 200, backlog: 400, contents: 400, unread: 8 << 10 };

/// What clients may hold of a node where that is little: not much more than what their connections take, and one large value.
pub const LITTLE: u64 = 96 << 10;

/// Of three keys in a row this one is a counter.
const COUNTERS: u32 = 1;

/// Where nothing goes wrong a sync takes no longer, and a coordinator tries for at least so long, in nanoseconds.
const CALM_SYNC: u64 = 5 * time::MS;
/// And a message so long at most: where it takes much longer, coordinators that are in each other's way may need more than the
/// deadline.
const CALM_LATENCY: u64 = 2 * time::MS;
/// See above.
const CALM_PATIENCE: u64 = 5 * time::S;

/// A whole run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where chance comes from while the run goes on.
    pub seed: u64,
    /// Members of the cluster: 3, 5 or 7.
    pub nodes: u32,
    /// How timestamps are chosen.
    pub mode: TimestampMode,
    /// How long a coordinator tries, in nanoseconds.
    pub op_timeout: u64,
    /// What the newest-version cache of a store may hold, in bytes.
    pub cache_bytes: usize,
    /// So many operations of a node in a row ask the same majority first.
    pub rotate_after: NonZeroU64,
    /// Bytes of writes that may wait for a disk; more are refused.
    pub queue_bytes: usize,
    /// Whether replicas show writes, marked as not durable, while they are being synced (PROTOCOL section 4).
    pub early_reads: bool,
    /// What messages suffer all the time.
    pub network: Network,
    /// What clocks do all the time.
    pub clocks: Clocks,
    /// How long a healthy disk takes to sync: from, to, in nanoseconds.
    pub sync: (u64, u64),
    /// How long a disk takes to find what is not in memory: from, to, in nanoseconds. `None`: no time.
    pub lookups: Option<(u64, u64)>,
    /// Whether acceptors remember only a few promises and closed instances one by one.
    pub few_instances: bool,
    /// Answers that clients never get.
    pub lost_answers: Ratio,
    /// Whether nodes repair what others lack; a script says so.
    pub repairs: bool,
    /// Whether nodes expire what nobody reads (rule E4); never in a script.
    pub sweeps: bool,
    /// Whether nodes drive changes of the members, and tell each other how they stand in them.
    pub drives: bool,
    /// Whether nodes that have lost something heal.
    pub heals: bool,
    /// Whether a node remembers only a few keys for a peer, so that it has to compare ranges.
    pub short_lists: bool,
    /// Whether only a few messages may wait for a peer that does not read.
    pub short_backlogs: bool,
    /// How long after a comparison of ranges the next one begins by itself, in nanoseconds.
    pub compare_every: Option<u64>,
    /// The largest values that nodes let their clients write, by node.
    pub value_limits: Vec<u64>,
    /// What clients may hold of a node, in bytes.
    pub clients_bytes: u64,
    /// How many requests each client sends before it has the answers.
    pub pipelines: Vec<u32>,
    /// For how long a node that stops waits for operations in flight, in nanoseconds.
    pub drain: u64,
    /// What clients do.
    pub operations: Vec<Planned>,
    /// What goes wrong, and when.
    pub faults: Vec<Fault>,
    /// When everything is repaired.
    pub chaos_end: u64,
    /// Whether the run goes on after that, to see that every operation ends and the cluster serves. A run that was
    /// made small needs no such end.
    pub liveness: bool,
}

/// What every message suffers.
#[derive(Clone, Debug)]
pub struct Network {
    /// One way, in nanoseconds: from, to.
    pub latency: (u64, u64),
    /// Lost.
    pub loss: Ratio,
    /// Delivered twice.
    pub duplicate: Ratio,
    /// Delayed by up to `stray_max` on top.
    pub stray: Ratio,
    /// The longest delay of a stray message, in nanoseconds.
    pub stray_max: u64,
    /// Damaged on the way.
    pub corrupt: Ratio,
}

/// What clocks do.
#[derive(Clone, Debug)]
pub struct Clocks {
    /// Wall clocks are wrong by up to this, either way, in nanoseconds.
    pub wall_skew: u64,
    /// And drift by up to this many parts per million.
    pub drift_ppm: u64,
    /// Interval clocks: true time is at most this far after `earliest`, in nanoseconds.
    pub behind: u64,
    /// And at most this far before `latest`.
    pub ahead: u64,
    /// For how long the two distances stay as they are.
    pub hold: u64,
    /// Readings are multiples of this, so that they repeat.
    pub tick: u64,
}

/// An operation of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When it begins at the earliest; the client's previous one must have ended.
    pub at: u64,
    /// Whose.
    pub client: u32,
    /// Through which node, if that one is up. Nodes count from zero here.
    pub node: u32,
    /// On which key.
    pub key: u32,
    /// What.
    pub kind: OperationKind,
    /// How many bytes a Set writes at least.
    pub size: usize,
    /// For how long what it leaves lives, in milliseconds, if it has a deadline.
    pub lives: u64,
    /// After this long the client wants no answer any more; zero: it waits.
    pub patience: u64,
}

impl Plan {
    /// The key as bytes. One of them holds the bytes that a careless encoding trips over.
    pub fn key(number: u32) -> Bytes {
        match number {
            0 => Bytes::from_static(b"k"),
            1 => Bytes::from_static(b"k\0\xff\0\x01"),
            n => Bytes::from(format!("k{n}")),
        }
    }

    /// Whether a key of the plan holds a number, which is counted up; else what it holds is appended to.
    pub fn is_counter(number: u32) -> bool {
        number % 3 == COUNTERS
    }

    /// Whether nothing goes wrong in this run: then nothing of it may stay unknown.
    pub fn is_calm(&self) -> bool {
        let Network { latency, loss, duplicate, stray, corrupt, .. } = &self.network;
        let is_quiet =
            [loss, duplicate, stray, corrupt, &self.lost_answers].iter().all(|ratio| **ratio == Ratio::ZERO);
        let is_fast = latency.1 <= CALM_LATENCY
            && self.sync.1 <= CALM_SYNC
            && self.lookups.is_none_or(|(_, most)| most <= CALM_SYNC);
        is_quiet
            && is_fast
            && !self.few_instances
            && self.faults.is_empty()
            && self.op_timeout >= CALM_PATIENCE
    }

    /// Whether some node does not know its interval for a while.
    pub fn loses_clocks(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.what, What::ClockUnknown(..)))
    }

    /// The members of a majority.
    pub fn majority(&self) -> u32 {
        self.nodes / 2 + 1
    }

    /// The same with fewer nodes: what concerned the others is left out or moved.
    #[must_use]
    pub fn with_nodes(&self, nodes: u32) -> Self {
        let mut plan = self.clone();
        plan.nodes = nodes;
        plan.value_limits.truncate(nodes as usize);
        for operation in &mut plan.operations {
            operation.node %= nodes;
        }
        plan.faults.retain_mut(|fault| fault.what.limit_to(nodes));
        plan
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clients = self.operations.iter().map(|operation| operation.client + 1).max().unwrap_or(0);
        let keys = self.operations.iter().map(|operation| operation.key + 1).max().unwrap_or(0);
        let mode = match self.mode {
            TimestampMode::Logical => "logical",
            TimestampMode::TrueTime => "truetime",
        };
        let span = |(from, to): (u64, u64)| format!("{}..{}", time::text(from), time::text(to));
        writeln!(f, "plan of seed {}", self.seed)?;
        writeln!(
            f,
            "  {} nodes, timestamps {mode}, operations end within {}",
            self.nodes,
            time::text(self.op_timeout)
        )?;
        writeln!(
            f,
            "  {} operations by {clients} clients on {keys} keys, answers lost {}",
            self.operations.len(),
            self.lost_answers
        )?;
        let network = &self.network;
        writeln!(
            f,
            "  messages take {}, lost {}, twice {}, strays {} of up to {}, damaged {}",
            span(network.latency),
            network.loss,
            network.duplicate,
            network.stray,
            time::text(network.stray_max),
            network.corrupt
        )?;
        let clocks = &self.clocks;
        writeln!(
            f,
            "  wall clocks wrong by {} and {} ppm; intervals -{} +{} for {}, ticks of {}",
            time::text(clocks.wall_skew),
            clocks.drift_ppm,
            time::text(clocks.behind),
            time::text(clocks.ahead),
            time::text(clocks.hold),
            time::text(clocks.tick)
        )?;
        writeln!(
            f,
            "  a sync takes {}, {} bytes of writes may wait, cache of {} bytes, unsynced writes {}; look-ups take {}; {}",
            span(self.sync),
            self.queue_bytes,
            self.cache_bytes,
            if self.early_reads { "are shown as not durable" } else { "are not shown" },
            self.lookups.map_or_else(|| "no time".into(), span),
            if self.rotate_after == NonZeroU64::MIN {
                "majorities take turns"
            } else {
                "one majority is asked first"
            }
        )?;
        let compare = self.compare_every.map_or_else(
            || "after a start".into(),
            |every| format!("after a start and every {}", time::text(every)),
        );
        let backlogs = if self.short_backlogs { "a few messages wait" } else { "megabytes wait" };
        let lists = if self.short_lists { "a few keys" } else { "all keys" };
        writeln!(
            f,
            "  lists hold {lists} that a peer missed, ranges are compared {compare}; {backlogs} for a peer"
        )?;
        let limits: Vec<String> = self
            .value_limits
            .iter()
            .map(|limit| match limit {
                &u64::MAX => "any".into(),
                limit => format!("{limit} bytes"),
            })
            .collect();
        writeln!(
            f,
            "  values of clients may have {}, all clients may hold {} bytes; a node that stops waits {}",
            limits.join(", "),
            self.clients_bytes,
            time::text(self.drain)
        )?;
        let heals = if self.heals { "heal" } else { "do not heal" };
        writeln!(f, "  nodes that have lost something {heals}")?;
        let instances = if self.few_instances { "a few" } else { "many" };
        writeln!(f, "  acceptors remember {instances} instances")?;
        writeln!(f, "  {} faults until {}:", self.faults.len(), time::text(self.chaos_end))?;
        for fault in &self.faults {
            writeln!(f, "    {fault}")?;
        }
        Ok(())
    }
}
