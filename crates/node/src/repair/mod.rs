//! Repair: every replica gets every version in the end (rule R2 of docs/PROTOCOL.md).
//!
//! The protocol does not need this: a Get repairs what it reads. It bounds the time for which a version is on fewer disks than
//! it could be, and keeps Gets at one round trip after a node was away. Sending a stored version again creates no new one
//! (rule V2), so it is always safe, to anybody, at any time.
//!
//! Two ways lead to what a peer lacks:
//!
//! * **The list.** A coordinator remembers by peer which writes did not reach it: those to a peer that was down, those that a
//!   full backlog dropped, those that were under way when a connection broke, those that the peer refused. A key leaves the list
//!   when the peer has *acknowledged* that version or a newer one ([`missed`]).
//! * **The comparison of ranges.** A list is bounded, and gone after a crash. So when it has overflowed, and once after every
//!   start, the node walks through its own store and compares it with the peer's, digest by digest ([`ranges`]). What the peer
//!   lacks it gets; what this node lacks it fetches, and asks the others about it.
//!
//! Both lead to the same round (`peer`): ask the peer for its versions of some keys, then move what is newer on either
//! side. A round that comes to nothing is tried again by time, whatever the reason was.
//!
//! This is a pure state machine. Whoever drives it carries out each [`Action`] and reports what came of it; the node and
//! the simulator are two such drivers.

mod action;
mod catching_up;
mod comparison;
pub mod message;
pub mod missed;
mod moving;
mod peer;
pub mod ranges;
mod status;
pub mod unacknowledged;

pub use action::Action;
pub use status::{Counts, Status};

use crate::change::report::Compared;
use crate::configuration::Configuration;
use crate::sync::message::{CaughtUp, Wanted};
use crate::sync::{self, CaughtUpWith, Goal, Sync};
use abd::{CallId, Instant, NodeId, Reply, Version};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;
use comparison::Urgency;
use core::time::Duration;
use message::{Answer, KeyVersion};
use peer::{Peer, Turn};
use ranges::{Order, Page, Range};
use status::Pass;

/// Times and sizes.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes that the list of one peer may take; beyond it that peer is compared with.
    pub list_bytes: usize,
    /// Between two rounds with a peer that is behind.
    pub pause: Duration,
    /// Between two pages of a comparison that nobody waits for.
    pub routine_pause: Duration,
    /// After a round that came to nothing: at first, and at the most.
    pub retry: (Duration, Duration),
    /// A question that is not answered within this is asked again.
    pub answer_within: Duration,
    /// A peer that catches up is asked this often how far it is.
    pub ask_every: Duration,
    /// A version that neither this node nor a peer has after so long was stored by nobody, or others know of it.
    pub nowhere_after: Duration,
    /// Of the sync of a change.
    pub sync: sync::Config,
    /// From the end of one comparison with a peer to the next one; `None`: only when there is a reason.
    pub compare_every: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            list_bytes: 8 << 20,
            pause: Duration::from_millis(5),
            routine_pause: Duration::from_millis(100),
            retry: (Duration::from_secs(1), Duration::from_secs(8)),
            answer_within: Duration::from_secs(5),
            ask_every: Duration::from_secs(1),
            nowhere_after: Duration::from_secs(60),
            sync: sync::Config::default(),
            compare_every: Some(Duration::from_secs(24 * 3600)),
        }
    }
}

/// Calls of repairs have numbers from here on, so that their replies are told from those to operations.
const FIRST_NUMBER: u64 = 1 << 63;

fn call(number: u64) -> CallId {
    CallId { operation: FIRST_NUMBER | number, phase: 0 }
}

/// Whether a call is one of repair's and not of an operation.
pub fn is_repair(call: CallId) -> bool {
    call.operation >= FIRST_NUMBER
}

fn number(call: CallId) -> u64 {
    call.operation & !FIRST_NUMBER
}

/// What a node does about peers that lack something.
#[derive(Debug)]
pub struct Repair {
    config: Config,
    local: NodeId,
    sync: Sync,
    /// The epoch that is installed; zero before the first one.
    installed: u32,
    peers: BTreeMap<NodeId, Peer>,
    numbers: u64,
    actions: VecDeque<Action>,
}

impl Repair {
    /// Of the node `local` that has just started: it compares itself with each of `peers` once, as nobody knows what was under
    /// way when it ended. `order`: that of keys in the store.
    pub fn new(config: Config, local: NodeId, peers: impl IntoIterator<Item = NodeId>, order: Order) -> Self {
        let sync = Sync::new(config.sync.clone(), local, order);
        let (peers_of, actions) = (BTreeMap::new(), VecDeque::new());
        let mut repair = Self { config, local, sync, installed: 0, peers: peers_of, numbers: 0, actions };
        repair.set_peers(peers);
        for peer in repair.peers.values_mut() {
            peer.comparison.want(Urgency::Routine, None);
        }
        repair
    }

    /// These are the peers from now on; the own node is passed over. What is known of others is forgotten. With those who are
    /// new nothing is compared before there is a reason: a sync brings them what there is.
    fn set_peers(&mut self, peers: impl IntoIterator<Item = NodeId>) {
        let mut before = core::mem::take(&mut self.peers);
        for id in peers.into_iter().filter(|id| *id != self.local) {
            let peer = before.remove(&id).unwrap_or_else(|| Peer::new(id, &self.config));
            self.peers.insert(id, peer);
        }
    }

    /// A configuration is installed: its members are the peers from now on, and while they change this node pulls what it lacks to be
    /// one of them. `lost`: the ranges of which the own replica may have lost something.
    ///
    /// Each event loop of a node says so, some later than others: the first one counts, and what lags changes nothing.
    pub fn install(&mut self, configuration: &Configuration, lost: Vec<Range>, now: Instant) {
        if configuration.epoch() <= self.installed {
            return;
        }
        self.installed = configuration.epoch();
        self.set_peers(configuration.everybody().iter().map(|member| member.id));
        match Goal::of(configuration, self.local, lost) {
            Some(goal) => self.sync.begin(goal, now),
            None => self.sync.end(configuration.scope),
        }
    }

    /// The epoch in which this node is synced (rule C3); zero if it is in none.
    pub fn synced_in(&self) -> u32 {
        self.sync.progress().filter(|progress| progress.synced).map_or(0, |progress| progress.scope.epoch)
    }

    /// How many pages are pulled in the sync that is under way.
    pub fn pulled(&self) -> u64 {
        self.sync.progress().map_or(0, |progress| progress.durable_pages)
    }

    /// What this node has compared with each peer that it has caught up with.
    pub fn compared(&self, now: Instant) -> Vec<(NodeId, Compared)> {
        let of_peer = |(id, peer): (&NodeId, &Peer)| {
            let Pass { number, moved, at } = peer.pass?;
            let (ranges, differing, seconds_ago) = (moved.pages, moved.differing, now.since(at).as_secs());
            Some((*id, Compared { ranges, differing, passes: number, seconds_ago }))
        };
        self.peers.iter().filter_map(of_peer).collect()
    }

    /// The sync of a change of members, which is driven with the rest.
    pub fn sync(&mut self) -> &mut Sync {
        &mut self.sync
    }

    /// A connection to a peer is up.
    pub fn handle_peer_up(&mut self, peer: NodeId, now: Instant) {
        self.sync.handle_peer_up(peer, now);
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.connected(&self.config, now);
        }
    }

    /// Whether a peer can look itself for what it lacks, which those of an earlier release cannot.
    pub fn handle_pulls(&mut self, peer: NodeId, pulls: bool) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.pulls = pulls;
        }
    }

    /// A peer says that this node lacks, or may lack, something that it has. How far this node is with that.
    pub fn handle_wanted(&mut self, from: NodeId, wanted: Wanted, now: Instant) -> CaughtUp {
        if self.peers.contains_key(&from) {
            self.sync.handle_wanted(from, wanted, now)
        } else {
            CaughtUp::default()
        }
    }

    /// How far a peer is that was asked to catch up. Late and foreign answers have no effect.
    pub fn handle_caught_up(&mut self, from: NodeId, call: CallId, caught_up: CaughtUp, now: Instant) {
        if is_repair(call) {
            self.with(from, now, |peer, turn| peer.handle_caught_up(number(call), caught_up, turn));
        }
    }

    /// No connection to a peer is left.
    pub fn handle_peer_down(&mut self, peer: NodeId) {
        self.sync.handle_peer_down(peer);
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.disconnected();
        }
    }

    /// A write did not reach a node, or was not acknowledged for certain.
    pub fn handle_missed(&mut self, node: NodeId, key: &Bytes, version: Version, now: Instant) {
        // If the own replica has refused it, whoever has it is found by asking all of them.
        let is_own = node == self.local;
        for (_, peer) in self.peers.iter_mut().filter(|(id, _)| is_own || **id == node) {
            peer.misses(key, version, &self.config, now);
        }
    }

    /// More did not reach a peer than anybody can say.
    pub fn handle_overflow(&mut self, peer: NodeId, now: Instant) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.has_missed_too_much(now);
        }
    }

    /// What [`Action::LookUp`] has found, as [`ranges::Ranges::version`] tells it; `None` if the own store cannot be read.
    pub fn looked_up(
        &mut self,
        peer: NodeId,
        look: u64,
        versions: Option<Vec<Option<Version>>>,
        now: Instant,
    ) {
        self.with(peer, now, |peer, turn| peer.looked_up(look, versions, turn));
    }

    /// What [`Action::Walk`] has found; `None` if the own store cannot be read.
    pub fn walked(&mut self, peer: NodeId, look: u64, page: Option<Page>, now: Instant) {
        self.with(peer, now, |peer, turn| peer.walked(look, page, turn));
    }

    /// A peer's answer to a question. Late and foreign ones have no effect.
    pub fn handle_answer(&mut self, from: NodeId, call: CallId, answer: Answer, now: Instant) {
        if is_repair(call) {
            self.with(from, now, |peer, turn| peer.handle_answer(number(call), answer, turn));
        }
    }

    /// A reply of a peer, or of the own replica. Late and foreign ones have no effect.
    pub fn handle_reply(&mut self, from: NodeId, call: CallId, reply: Reply, now: Instant) {
        if sync::is_sync(call) {
            return self.sync.handle_reply(from, call, reply, now);
        }
        let is_own = from == self.local;
        let peer = if is_own { self.asked_about(call) } else { Some(from).filter(|_| is_repair(call)) };
        if let Some(peer) = peer {
            self.with(peer, now, |peer, turn| peer.handle_reply(number(call), is_own, reply, turn));
        }
    }

    /// There was no room for a question, a push or a fetch, or nothing to send.
    pub fn not_sent(&mut self, call: CallId, now: Instant) {
        if sync::is_sync(call) {
            return self.sync.not_sent(call, now);
        }
        if let Some(peer) = self.asked_about(call) {
            self.with(peer, now, |peer, turn| peer.not_sent(number(call), turn));
        }
    }

    /// The peer about which this call is under way.
    fn asked_about(&self, call: CallId) -> Option<NodeId> {
        let is_about = |peer: &&Peer| is_repair(call) && peer.waits_for(number(call));
        self.peers.values().find(is_about).map(Peer::id)
    }

    /// What is to be done next.
    pub fn poll(&mut self, now: Instant) -> Option<Action> {
        if self.actions.is_empty() {
            let peers: Vec<NodeId> = self.peers.keys().copied().collect();
            for peer in peers {
                self.with(peer, now, Peer::poll);
            }
        }
        let action = self.actions.pop_front();
        action.or_else(|| {
            let action = self.sync.poll(now).map(Action::Sync);
            self.pass_on(now);
            action
        })
    }

    /// When [`Repair::poll`] is due, after it has returned `None`.
    pub fn wake_at(&self) -> Option<Instant> {
        self.peers.values().filter_map(Peer::wake_at).chain(self.sync.wake_at()).min()
    }

    /// How each peer stands, in the order of their ids.
    pub fn statuses(&self, now: Instant) -> impl Iterator<Item = (NodeId, Status)> {
        self.peers.iter().map(move |(id, peer)| {
            let since = peer.missed.oldest().into_iter().chain(peer.comparison.since()).min();
            let status = Status {
                keys: peer.missed.len(),
                compared: peer.comparison.progress(),
                behind_for: since.map(|since| now.since(since)),
                counts: peer.counts,
            };
            (*id, status)
        })
    }

    fn with(&mut self, peer: NodeId, now: Instant, act: impl FnOnce(&mut Peer, &mut Turn<'_>)) {
        let (mut fetched, mut wants_itself): (Vec<KeyVersion>, _) = (Vec::new(), false);
        let Self { config, peers, numbers, actions, .. } = self;
        let Some(of_peer) = peers.get_mut(&peer) else { return };
        act(
            of_peer,
            &mut Turn {
                config,
                now,
                numbers,
                actions,
                fetched: &mut fetched,
                wants_itself: &mut wants_itself,
            },
        );
        if wants_itself {
            self.sync.want(peer, now);
        }
        self.others_may_lack(peer, &fetched, now);
    }

    /// What this node did not have, others may lack, too: its writer may be gone.
    fn others_may_lack(&mut self, had_by: NodeId, fetched: &[KeyVersion], now: Instant) {
        for (key, version) in fetched {
            for (_, other) in self.peers.iter_mut().filter(|(id, _)| **id != had_by) {
                // A walk that has yet to begin will come upon it.
                if !other.comparison.is_wanted() || other.comparison.is_under_way() {
                    other.misses(key, *version, &self.config, now);
                }
            }
        }
    }

    /// The same of what was pulled from peers. If that was too much to remember, the others look themselves.
    fn pass_on(&mut self, now: Instant) {
        while let Some(CaughtUpWith { peer, moved, fetched }) = self.sync.poll_caught_up() {
            if let Some(of_peer) = self.peers.get_mut(&peer) {
                of_peer.counts.fetched += moved.keys;
                of_peer.counts.differing += moved.differing;
                of_peer.pass =
                    Some(Pass { number: of_peer.pass.map_or(0, |pass| pass.number) + 1, moved, at: now });
            }
            if moved.keys > fetched.len() as u64 {
                let others = self.peers.iter_mut().filter(|(id, _)| **id != peer);
                others.for_each(|(_, other)| other.comparison.want(Urgency::Routine, None));
            } else {
                self.others_may_lack(peer, &fetched, now);
            }
        }
    }
}
