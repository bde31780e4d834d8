//! Catching up (rule R2): the shell around the machine of `node::repair`, which decides. The first event loop carries out what
//! it wants, over its own lanes; looks at the store that may wait for the disk are done elsewhere.

use super::completions::LOCAL;
use super::database::{InMemory, OnDisk, ReplicaStore};
use super::peer::Lane;
use super::shard::Shard;
use super::{Node, now_instant, supervise};
use ::node::repair::message::{Answer, get_answer, get_question};
use ::node::repair::ranges::{self, Page, Range, Ranges};
use ::node::repair::{Action, Config, Repair, Status};
use abd::wire::WireError;
use abd::{CallId, Instant, NodeId, Refusal, Reply, Request, Version, VersionStore};
use bytes::Bytes;
use std::fmt::Write;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::DatabaseError;
use tokio::sync::Notify;

/// The machine, shared by all event loops: each tells it what did not reach a peer.
pub(crate) struct Repairs {
    machine: Mutex<Repair>,
    wake: Notify,
}

impl Repairs {
    pub(crate) fn new(members: usize, own: usize) -> Self {
        Self { machine: Mutex::new(Repair::new(config(), members, own)), wake: Notify::new() }
    }

    fn machine(&self) -> MutexGuard<'_, Repair> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the machine something, and has what follows done.
    fn tell(&self, tell: impl FnOnce(&mut Repair, Instant)) {
        tell(&mut self.machine(), now_instant());
        self.wake.notify_one();
    }

    pub(crate) fn peer_is_up(&self, peer: usize, up: bool) {
        self.tell(|repair, now| {
            if up {
                repair.handle_peer_up(peer, now);
            } else {
                repair.handle_peer_down(peer);
            }
        });
    }

    /// A write did not reach a member; nothing can be done about it at once if that is away.
    pub(crate) fn missed(&self, member: usize, key: &Bytes, version: Version, is_away: bool) {
        self.machine().handle_missed(member, key, version, now_instant());
        if !is_away {
            self.wake.notify_one();
        }
    }

    pub(crate) fn handle_reply(&self, from: usize, call: CallId, reply: Reply) {
        self.tell(|repair, now| repair.handle_reply(from, call, reply, now));
    }

    pub(crate) fn not_sent(&self, call: CallId) {
        self.tell(|repair, now| repair.not_sent(call, now));
    }

    pub(crate) fn status(&self, peer: usize) -> Status {
        self.machine().status(peer, now_instant())
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
        let walked =
            self.versions().walk(range.after.as_deref(), range.up_to.as_deref(), at_most, bytes_max)?;
        Ok(Page { entries: walked.entries, is_last: walked.is_last })
    }

    fn version(&self, key: &[u8]) -> Result<Option<Version>, DatabaseError> {
        match self.versions().newest_above(key, Version::MAX) {
            Ok(glimpse) => Ok(Some(glimpse.version)),
            Err(why) if Self::is_damage(&why) => Ok(None),
            Err(why) => Err(why),
        }
    }
}

/// Does what repair wants, for as long as the node lives.
pub(crate) async fn keep_repairing(shard: Rc<Shard>) {
    let repairs = &shard.node.repairs;
    loop {
        let action = repairs.machine().poll(now_instant());
        if let Some(action) = action {
            carry_out(&shard, action).await;
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

async fn carry_out(shard: &Rc<Shard>, action: Action) {
    let node = shard.node.clone();
    let repairs = &shard.node.repairs;
    match action {
        Action::LookUp { peer, look, keys } => {
            let in_memory = |key: &Bytes| InMemory(&node.store).newest_above(key, Version::MAX);
            let found: Result<Vec<_>, OnDisk> =
                keys.iter().map(|key| in_memory(key).map(|glimpse| Some(glimpse.version))).collect();
            let versions = match found {
                Ok(versions) => Ok(versions),
                Err(OnDisk) => {
                    let look_up = move || keys.iter().map(|key| node.store.version(key)).collect();
                    supervise::blocking(look_up).await
                }
            };
            let versions: Result<Vec<_>, DatabaseError> = versions;
            repairs.tell(|repair, now| repair.looked_up(peer, look, told(versions), now));
        }
        Action::Walk { peer, look, range } => {
            let walk = move || node.store.walk(&range, ranges::PAGE_KEYS, ranges::PAGE_BYTES);
            let page = supervise::blocking(walk).await;
            repairs.tell(|repair, now| repair.walked(peer, look, told(page), now));
        }
        Action::Ask { peer, call, question } => {
            let sent = shard.lanes_at(peer).is_some_and(|lanes| lanes.ask(call, &question));
            if !sent {
                repairs.not_sent(call);
            }
        }
        Action::Push { peer, call, key } => {
            let newest = match InMemory(&node.store).newest(&key) {
                Ok(newest) => Ok(newest),
                Err(OnDisk) => {
                    let key = key.clone();
                    supervise::blocking(move || node.store.newest(&key)).await
                }
            };
            match told(newest) {
                Some(newest) if newest.stamped.version > Version::MIN => {
                    send(shard, peer, call, Request::LocalWrite { key, stamped: newest.stamped });
                }
                _ => repairs.not_sent(call),
            }
        }
        Action::Fetch { peer, call, key, have } => {
            send(shard, peer, call, Request::LocalRead { key, have });
        }
        Action::Store { call, key, stamped } => {
            let deadline = now_instant() + node.settings.op_timeout;
            let reply = shard.serve(Request::LocalWrite { key, stamped }, call, LOCAL, deadline);
            if let (Some(reply), Some(own)) = (reply, node.members.index_of(node.id)) {
                repairs.handle_reply(own, call, reply);
            }
        }
    }
}

/// What the own store tells. That it cannot be read is told where it is noticed, too, and ends the node if it is for good.
fn told<T>(looked: Result<T, DatabaseError>) -> Option<T> {
    looked.inspect_err(|why| tracing::debug!(%why, "repair cannot read this node's own store now")).ok()
}

fn send(shard: &Shard, peer: usize, call: CallId, request: Request) {
    let Some(lanes) = shard.lanes_at(peer) else { return shard.node.repairs.not_sent(call) };
    let now = shard.now();
    let deadline = now.instant + shard.node.settings.op_timeout;
    let transmit = abd::Transmit { to: lanes.peer, call, deadline, request, may_wait: false, again: false };
    lanes.send(shard, transmit, now);
}

/// Takes a question of a peer's repair. It may wait for the disk, so one is looked at per lane and time.
///
/// # Errors
/// When it is not one.
pub(super) fn take_question(shard: &Shard, lane: &Lane, body: Bytes) -> Result<(), WireError> {
    let (call, question) = get_question(body)?;
    if !lane.begin_answer() {
        lane.tell(call, &Answer::Refused(Refusal::Overloaded));
        return Ok(());
    }
    let (node, number, lanes) = (shard.node.clone(), lane.number(), shard.open_lanes());
    tokio::task::spawn_local(async move {
        let look = move || ranges::answer(&node.store, &question, node.membership.admission.is_admitted());
        let answer = supervise::blocking(look).await;
        let answer = told(answer).unwrap_or(Answer::Refused(Refusal::StoreFailed));
        // It may be gone, and its question with it.
        if let Some((_, lane)) = lanes.borrow().iter().find(|(other, _)| *other == number) {
            lane.end_answer(call, &answer);
        }
    });
    Ok(())
}

/// Takes a peer's answer to a question.
///
/// # Errors
/// When it is not one.
pub(super) fn take_answer(shard: &Shard, peer: NodeId, body: Bytes) -> Result<(), WireError> {
    let (call, answer) = get_answer(body)?;
    if let Some(from) = shard.node.members.index_of(peer) {
        shard.node.repairs.tell(|repair, now| repair.handle_answer(from, call, answer, now));
    }
    Ok(())
}

impl Node {
    /// A write did not reach a member, or was not acknowledged for certain.
    pub(crate) fn missed(self: &Arc<Self>, member: NodeId, key: &Bytes, version: Version) {
        if let Some(index) = self.members.index_of(member) {
            let is_away = member != self.id && !self.membership.admission.is_up(index);
            self.repairs.missed(index, key, version, is_away);
        }
    }

    fn repair_statuses(&self) -> impl Iterator<Item = (NodeId, Status)> {
        let others = self.members.ids().iter().enumerate().filter(|(_, id)| **id != self.id);
        others.map(|(index, id)| (*id, self.repairs.status(index)))
    }

    /// Metrics by peer, in the Prometheus text format.
    pub(crate) fn repair_metrics(&self, out: &mut String) {
        type Row = (&'static str, &'static str, &'static str, fn(&Status) -> u64);
        const ROWS: [Row; 7] = [
            ("repair_keys", "gauge", "Keys on the list of what the peer may lack", |s| s.keys as u64),
            ("repair_comparing", "gauge", "1 while ranges are compared with the peer, or are to be", |s| {
                u64::from(s.compared.is_some())
            }),
            ("repair_compared_keys", "gauge", "Keys compared so far in this comparison", |s| {
                s.compared.unwrap_or_default()
            }),
            (
                "repair_behind_seconds",
                "gauge",
                "How long ago the oldest write was that the peer is known to lack",
                |s| s.behind_for.unwrap_or_default().as_secs(),
            ),
            ("repair_sent_total", "counter", "Versions that the peer lacked and has acknowledged", |s| {
                s.counts.sent
            }),
            ("repair_fetched_total", "counter", "Versions that this node lacked and the peer had", |s| {
                s.counts.fetched
            }),
            ("repair_differing_total", "counter", "Compared ranges of a few keys that differed", |s| {
                s.counts.differing
            }),
        ];
        let statuses: Vec<(NodeId, Status)> = self.repair_statuses().collect();
        for (name, kind, help, value) in ROWS {
            let _ = writeln!(out, "# HELP atomic_kv_{name} {help}\n# TYPE atomic_kv_{name} {kind}");
            for (peer, status) in &statuses {
                let _ = writeln!(out, "atomic_kv_{name}{{peer=\"{peer}\"}} {}", value(status));
            }
        }
    }

    /// For INFO: by peer, what it is behind.
    pub(crate) fn repair_text(&self) -> String {
        let keys = self.store.versions().keys_estimate().max(1);
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
        self.repair_statuses().map(text).collect::<Vec<_>>().join(",")
    }
}
