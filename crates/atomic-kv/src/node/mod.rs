//! A node: the pure protocol with sockets, clocks, a disk and threads around it.
//!
//! One thread per `shard`, each an event loop with connections and a coordinator of its own; one `committer` thread per
//! database, and a few `reader`s for what has to be looked up on a slow disk. The database has threads of its own: those of
//! `store::disk`, and `tidy` while it tidies. What a node has once is in a part of its own (`Disk`, `Membership`, `Repairs`,
//! `Clients`, `Stats`, `NodeClock`, `Supervisor`), and each holds the parts that it needs.

mod acceptors;
mod admission;
mod alarm;
mod changes;
mod client;
pub mod clock;
mod committer;
mod completions;
mod connections;
mod crowd;
mod database;
mod disk;
mod event_loop;
mod flush;
mod founding;
mod healing;
mod host;
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
mod report;
mod running;
mod scripts;
mod shard;
mod signal;
mod sockets;
mod stats;
mod supervise;
mod surroundings;
mod sweep;
mod threads;

use abd::Instant;
use event_loop::Accepted;
pub use running::RunningNode;
pub(crate) use sockets::descriptor_limit;
use std::sync::LazyLock;

static EPOCH: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);

/// Monotonic time as the protocol counts it.
pub(crate) fn now_instant() -> Instant {
    Instant(u64::try_from(EPOCH.elapsed().as_nanos()).unwrap_or(u64::MAX))
}
