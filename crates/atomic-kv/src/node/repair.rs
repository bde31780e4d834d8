//! Catching up (rule R2): the shell around the machine of `node::repair`, which decides. The first event loop carries out what
//! it wants, over its own lanes (`node::shard`); looks at the store that may wait for the disk are done elsewhere.

use super::database::ReplicaStore;
use super::metrics::describe;
use super::report::Report;
use super::shard::Shard;
use super::{now_instant, supervise};
use ::node::inquiry::listing::{ListLimits, ListedKey, Listing, Lists};
use ::node::repair::ranges::{Page, Range, Ranges};
use ::node::repair::{Action, Config, Repair, Status};
use ::node::sync::source::{Source, SourcePage};
use abd::{Instant, NodeId, StampedValue, Version, VersionStore};
use bytes::Bytes;
use std::cmp::Ordering;
use std::fmt::Write;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{DatabaseError, KeyRange, Trust, WalkLimits, WalkedPage};
use tokio::sync::Notify;

/// The machine, shared by all event loops: each tells it what did not reach a peer.
pub(crate) struct Repairs {
    machine: Mutex<Repair>,
    wake: Notify,
}

impl Repairs {
    pub(crate) fn new(local: NodeId, peers: impl IntoIterator<Item = NodeId>) -> Self {
        Self {
            machine: Mutex::new(Repair::new(config(), local, peers, store::versions::order)),
            wake: Notify::new(),
        }
    }

    fn machine(&self) -> MutexGuard<'_, Repair> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the machine something, and has what follows done.
    pub(crate) fn tell(&self, tell: impl FnOnce(&mut Repair, Instant)) {
        tell(&mut self.machine(), now_instant());
        self.wake.notify_one();
    }

    pub(crate) fn peer_is_up(&self, peer: NodeId, up: bool) {
        self.tell(|repair, now| {
            if up {
                repair.handle_peer_up(peer, now);
            } else {
                repair.handle_peer_down(peer);
            }
        });
    }

    /// A write did not reach a node; nothing can be done about it at once if that is away.
    pub(crate) fn missed(&self, node: NodeId, key: &Bytes, version: Version, is_away: bool) {
        self.machine().handle_missed(node, key, version, now_instant());
        if !is_away {
            self.wake.notify_one();
        }
    }

    /// The epoch in which this node is synced; zero if it is in none.
    pub(crate) fn synced_in(&self) -> u32 {
        self.machine().synced_in()
    }

    /// How many pages this node has pulled in the sync that is under way.
    pub(crate) fn pulled(&self) -> u64 {
        self.machine().pulled()
    }

    fn statuses(&self) -> Vec<(NodeId, Status)> {
        self.machine().statuses(now_instant()).collect()
    }
}

fn config() -> Config {
    let config = Config::default();
    // A debug build may be told to remember less, for tests.
    #[cfg(debug_assertions)]
    if let Ok(text) = std::env::var("ATOMIC_KV_TEST_REPAIR_LIST_BYTES") {
        let bytes = text.parse();
        let list_bytes = bytes.unwrap_or_else(|_| {
            panic!("ATOMIC_KV_TEST_REPAIR_LIST_BYTES: \"{text}\" is not a number of bytes")
        });
        return Config { list_bytes, ..config };
    }
    config
}

impl Ranges for ReplicaStore {
    type Error = DatabaseError;

    fn walk(&self, range: &Range, at_most: usize, bytes_max: usize) -> Result<Page, DatabaseError> {
        let (after, up_to) = (range.after.as_deref(), range.up_to.as_deref());
        let walked = self.versions.walk(after, up_to, at_most, bytes_max).inspect_err(cannot_read)?;
        Ok(Page { entries: walked.entries, is_last: walked.is_last })
    }

    fn version(&self, key: &[u8]) -> Result<Option<Version>, DatabaseError> {
        match self.versions.newest_above(key, Version::MAX) {
            Ok(glimpse) => Ok(Some(glimpse.version)),
            Err(why) if Self::is_damage(&why) => Ok(None),
            Err(why) => Err(why).inspect_err(cannot_read),
        }
    }
}

impl Lists for ReplicaStore {
    fn list(
        &self,
        after: Option<&[u8]>,
        beginning: &[u8],
        limits: ListLimits,
        wanted: impl FnMut(&[u8]) -> bool,
    ) -> Result<Listing, DatabaseError> {
        let ListLimits { present, looked_at, bytes } = limits;
        let limits = store::ListLimits { present, looked_at, bytes };
        let store::Listing { entries, told_up_to } =
            self.versions.list(after, beginning, limits, wanted).inspect_err(cannot_read)?;
        let entry = |store::ListedKey { key, version, present, deadline }| ListedKey {
            key,
            version,
            present,
            deadline,
        };
        Ok(Listing { entries: entries.into_iter().map(entry).collect(), told_up_to })
    }

    fn order(one: &[u8], other: &[u8]) -> Ordering {
        store::versions::order(one, other)
    }
}

impl Source for ReplicaStore {
    fn contents(
        &self,
        range: &Range,
        keys: usize,
        bytes: usize,
    ) -> Result<SourcePage<StampedValue>, DatabaseError> {
        let (after, up_to) = (range.after.as_deref(), range.up_to.as_deref());
        let limits = WalkLimits { keys, bytes };
        self.versions
            .walk_contents(after, up_to, limits, Trust::Whole)
            .map(source_page)
            .inspect_err(cannot_read)
    }

    fn versions(
        &self,
        range: &Range,
        keys: usize,
        bytes: usize,
    ) -> Result<SourcePage<Version>, DatabaseError> {
        walk_versions(self, range, keys, bytes, Trust::Whole)
    }

    fn stored(&self, range: &Range, keys: usize, bytes: usize) -> Result<SourcePage<Version>, DatabaseError> {
        walk_versions(self, range, keys, bytes, Trust::Stored)
    }

    fn lost(&self) -> Vec<Range> {
        self.versions.lost_ranges().into_iter().map(of_keys).collect()
    }
}

fn walk_versions(
    store: &ReplicaStore,
    range: &Range,
    keys: usize,
    bytes: usize,
    trust: Trust,
) -> Result<SourcePage<Version>, DatabaseError> {
    let (after, up_to) = (range.after.as_deref(), range.up_to.as_deref());
    let page = store.versions.walk_versions(after, up_to, WalkLimits { keys, bytes }, trust);
    page.map(source_page).inspect_err(cannot_read)
}

fn source_page<T>(page: WalkedPage<T>) -> SourcePage<T> {
    let WalkedPage { entries, abstains, told_up_to } = page;
    SourcePage { entries, lost: abstains.into_iter().map(of_keys).collect(), told_up_to }
}

fn of_keys(KeyRange { after, up_to }: KeyRange) -> Range {
    Range { after, up_to }
}

/// It is told where it is noticed, too, and ends the node if it is for good.
fn cannot_read(why: &DatabaseError) {
    tracing::debug!(%why, "cannot read this node's own store now, for repair or an inquiry");
}

/// Does what repair wants, for as long as the node lives.
pub(crate) async fn keep_repairing(shard: Rc<Shard>, repairs: Arc<Repairs>) {
    loop {
        let action = repairs.machine().poll(now_instant());
        if let Some(action) = action {
            let now = shard.now();
            let is_much = matches!(action, Action::Sync(_));
            if let Some(look) = shard.with(|machine| machine.carry_out_repair(action, now)) {
                let disk = shard.disk.clone();
                let looked = supervise::blocking(move || {
                    look.carry_out(&disk.store, |range| disk.acceptors.accepted(range))
                })
                .await;
                let now = shard.now();
                shard.with(|machine| machine.handle_looked(looked, now));
            }
            if is_much {
                // Clients have their turn between two batches.
                tokio::task::yield_now().await;
            }
            continue;
        }
        let wake_at = repairs.machine().wake_at();
        let pause = wake_at.map_or(Duration::MAX, |at| at.since(now_instant()));
        tokio::select! {
            biased;
            () = repairs.wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Report {
    /// Metrics by peer, in the Prometheus text format.
    pub(crate) fn repair_metrics(&self, out: &mut String) {
        type Row = (&'static str, &'static str, fn(&Status) -> u64);
        const ROWS: [Row; 7] = [
            ("repair_keys", "Keys on the list of what the peer may lack", |s| s.keys as u64),
            ("repair_comparing", "1 while ranges are compared with the peer, or are to be", |s| {
                u64::from(s.compared.is_some())
            }),
            ("repair_compared_keys", "Keys compared so far in this comparison", |s| {
                s.compared.unwrap_or_default()
            }),
            (
                "repair_behind_seconds",
                "How long ago the oldest write was that the peer is known to lack",
                |s| s.behind_for.unwrap_or_default().as_secs(),
            ),
            ("repair_sent_total", "Versions that the peer lacked and has acknowledged", |s| s.counts.sent),
            ("repair_fetched_total", "Versions that this node lacked and the peer had", |s| s.counts.fetched),
            ("repair_differing_total", "Compared ranges of a few keys that differed", |s| s.counts.differing),
        ];
        let statuses = self.repairs.statuses();
        for (name, help, value) in ROWS {
            describe(out, name, help);
            for (peer, status) in &statuses {
                let _ = writeln!(out, "atomic_kv_{name}{{peer=\"{peer}\"}} {}", value(status));
            }
        }
    }

    /// For INFO: by peer, what it is behind.
    pub(crate) fn repair_text(&self) -> String {
        let keys = self.disk.store.versions.keys_estimate().max(1);
        let text = |(peer, status): (NodeId, Status)| {
            let mut parts = Vec::new();
            if status.keys > 0 {
                parts.push(format!("{} keys missed", status.keys));
            }
            if let Some(compared) = status.compared {
                parts.push(format!("comparing ranges {}%", (compared.min(keys) * 100) / keys));
            }
            if let Some(behind) = status.behind_for {
                parts.push(format!("behind for {} s", behind.as_secs()));
            }
            let state = if parts.is_empty() { "has everything".to_owned() } else { parts.join(" and ") };
            format!("{peer}={state}")
        };
        self.repairs.statuses().into_iter().map(text).collect::<Vec<_>>().join(",")
    }
}
