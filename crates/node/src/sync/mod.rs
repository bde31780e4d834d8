//! Sync: a replica pulls from others what they have and it lacks (rule C3 of docs/PROTOCOL.md).
//!
//! While members change from C to C', every replica of C' merges what a majority of C has in the joint epoch: of every key the newest
//! version, and what is accepted for it. The state of a replica is a lattice (a larger version wins; of two acceptances for one base
//! that of the later ballot), so what is merged may be merged again, in any order, and a sync may be interrupted anywhere.
//!
//! A [`Sync`] pulls from one source at a time (`pull`), range by range: it makes a digest of what it has there, and the source answers
//! that it has the same, or with the contents of what differs, many keys in one message. The next page is asked for while the last ones
//! are made durable. So a replica that has nothing gets everything from its first source, and tens of bytes a page from the others.
//! What a source cannot read it says, and it does not count there ([`coverage`]).
//!
//! The same machine catches up after a node was away (rule R2), within one configuration: versions alone are pulled then, as acceptors
//! keep their own records. A peer that knows, or fears, that this node lacks something says so ([`Wanted`]) until it is done.
//!
//! Keys are moved at a bounded rate ([`Config`]), as clients are served meanwhile.
//!
//! It is a pure state machine, driven as [`crate::repair`] is, which it is a part of.

mod action;
pub mod coverage;
mod goal;
mod merging;
pub mod message;
mod pull;
pub mod source;
#[cfg(test)]
mod tests;

pub use action::{Action, Entry, OwnPage, Told};
pub use goal::{Goal, Moved, Progress};

use crate::repair::ranges::{Order, Range};
use abd::{CallId, Instant, NodeId, Reply, Scope, Version};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use coverage::is_covered;
use message::{Answer, CaughtUp, Wanted};
use pull::{Ended, Pull, Turn};

/// Times and sizes.
#[derive(Clone, Debug)]
pub struct Config {
    /// Keys that are moved in a second at the most: what merging one costs is shared with clients. On two cores that run all of a small
    /// cluster, twice as many took more than half of the throughput from clients; with this a million keys of 100 B are moved in less
    /// than a minute.
    pub keys_per_second: u32,
    /// Bytes of keys and values that are moved in a second at the most.
    pub bytes_per_second: u32,
    /// Keys that are compared in a second at the most.
    pub compared_per_second: u32,
    /// Between two pages of a comparison that nobody waits for.
    pub routine_pause: Duration,
    /// Bytes that may have come and not be durable yet; a page more may be.
    pub window_bytes: usize,
    /// After something that came to nothing: at first, and at the most.
    pub retry: (Duration, Duration),
    /// What is not answered within this is given up, and asked again.
    pub answer_within: Duration,
    /// After this long a source is asked again about what it could not read.
    pub lost_again_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            keys_per_second: 25_000,
            bytes_per_second: 48 << 20,
            compared_per_second: 500_000,
            routine_pause: Duration::from_millis(100),
            window_bytes: 1 << 20,
            retry: (Duration::from_millis(20), Duration::from_secs(2)),
            answer_within: Duration::from_secs(5),
            lost_again_after: Duration::from_secs(10),
        }
    }
}

/// Calls of a sync have numbers from here on, as [`crate::repair`] has below.
pub(crate) const FIRST_NUMBER: u64 = 3 << 62;

/// Whether a call is one of a sync.
pub fn is_sync(call: CallId) -> bool {
    call.operation >= FIRST_NUMBER
}

/// Whom something is pulled from.
#[derive(Debug)]
struct Source {
    pull: Pull,
    /// When it is pulled from next, after something came to nothing.
    next_at: Instant,
    retry: Duration,
    /// Whether all of it is pulled; but for what it could not read.
    done: bool,
    moved: Moved,
    /// Whether somebody waits for it.
    urgent: bool,
    /// The peer has asked for it, under this number.
    wanted: Option<u64>,
}

impl Source {
    fn new(pull: Pull, urgent: bool, config: &Config, now: Instant) -> Self {
        let (retry, moved) = (config.retry.0, Moved::default());
        Self { pull, next_at: now, retry, done: false, moved, urgent, wanted: None }
    }
}

/// A change of members.
#[derive(Debug)]
struct Change {
    goal: Goal,
    synced: bool,
}

/// A peer that was caught up with: everything that it had is here.
#[derive(Debug)]
pub struct CaughtUpWith {
    /// Which peer.
    pub peer: NodeId,
    /// What was lacking here.
    pub moved: Moved,
    /// What came, as far as it was remembered: others may lack it, too.
    pub fetched: Vec<(Bytes, Version)>,
}

/// What a node does to have what others have.
#[derive(Debug)]
pub struct Sync {
    config: Config,
    local: NodeId,
    order: Order,
    /// In which configuration.
    scope: Scope,
    up: Vec<NodeId>,
    /// While members change.
    change: Option<Change>,
    /// While members change, the other voters of C; else those who are caught up with.
    sources: BTreeMap<NodeId, Source>,
    /// Who is pulled from.
    current: Option<NodeId>,
    ended: VecDeque<CaughtUpWith>,
    numbers: u64,
    actions: VecDeque<Action>,
}

impl Sync {
    /// Of the node `local`, with nothing to do. `order`: that of keys in the store, the same in every replica.
    pub fn new(config: Config, local: NodeId, order: Order) -> Self {
        Self {
            config,
            local,
            order,
            scope: Scope::FIRST,
            up: Vec::new(),
            change: None,
            sources: BTreeMap::new(),
            current: None,
            ended: VecDeque::new(),
            numbers: 0,
            actions: VecDeque::new(),
        }
    }

    /// A joint configuration is installed in which this node has a say once it is synced. From the beginning, whatever was done
    /// before: it was done in another epoch, or before the last start.
    pub fn begin(&mut self, goal: Goal, now: Instant) {
        self.end(goal.scope);
        let Self { config, local, .. } = self;
        let source = |id: &NodeId| (*id, Source::new(Pull::new(*id, goal.scope, true), true, config, now));
        self.sources = goal.sources.iter().filter(|id| **id != *local).map(source).collect();
        self.change = Some(Change { goal, synced: false });
        self.look_whether_synced();
    }

    /// The configuration in force is another one, in which this node has nothing to pull. Who was being caught up with asks again.
    pub fn end(&mut self, scope: Scope) {
        (self.scope, self.change, self.current) = (scope, None, None);
        self.sources.clear();
        self.actions.clear();
    }

    /// How far this node is; `None` if members do not change, or it is to be none of them.
    pub fn progress(&self) -> Option<Progress> {
        let Change { goal, synced } = self.change.as_ref()?;
        let done = self.sources.iter().filter(|(_, source)| source.done);
        let moved = self.sources.values().map(|source| source.moved).sum();
        Some(Progress {
            scope: goal.scope,
            synced: *synced,
            sources: done.map(|(id, _)| *id).collect(),
            moved,
            durable_pages: self.sources.values().map(|source| source.pull.durable_pages()).sum(),
        })
    }

    /// Nobody knows whether this node has everything that a peer has: it is looked at when there is time.
    pub fn want(&mut self, peer: NodeId, now: Instant) {
        if self.change.is_none() && self.sources.get(&peer).is_none_or(|source| source.done) {
            let pull = Pull::new(peer, self.scope, false);
            self.sources.insert(peer, Source::new(pull, false, &self.config, now));
        }
    }

    /// A peer says that this node lacks, or may lack, something that it has. How far this node is with that.
    pub fn handle_wanted(&mut self, from: NodeId, wanted: Wanted, now: Instant) -> CaughtUp {
        let Wanted { number, urgent } = wanted;
        if self.change.is_some() || from == self.local {
            // That brings more. Afterwards this is asked again.
            return CaughtUp::default();
        }
        if self.sources.get(&from).is_none_or(|source| source.wanted != Some(number)) {
            let pull = Pull::new(from, self.scope, false);
            let source = Source { wanted: Some(number), ..Source::new(pull, urgent, &self.config, now) };
            self.sources.insert(from, source);
            self.current.take_if(|current| *current == from);
        }
        let is_routine = |id: &NodeId| self.sources.get(id).is_some_and(|source| !source.urgent);
        if urgent && let Some(current) = self.current.filter(is_routine) {
            self.interrupt(current);
        }
        let Some(source) = self.sources.get(&from) else { return CaughtUp::default() };
        CaughtUp { compared: source.moved.compared, keys: source.moved.keys, done: source.done }
    }

    /// The next peer that was caught up with.
    pub fn poll_caught_up(&mut self) -> Option<CaughtUpWith> {
        self.ended.pop_front()
    }

    /// A connection to a peer is up.
    pub fn handle_peer_up(&mut self, peer: NodeId, now: Instant) {
        if !self.up.contains(&peer) {
            self.up.push(peer);
        }
        if let Some(source) = self.sources.get_mut(&peer) {
            (source.next_at, source.retry) = (now, self.config.retry.0);
        }
    }

    /// No connection to a peer is left.
    pub fn handle_peer_down(&mut self, peer: NodeId) {
        self.up.retain(|up| *up != peer);
        self.interrupt(peer);
        // Another run of it begins to count from one again.
        if self.change.is_none() && self.sources.get(&peer).is_some_and(|source| source.wanted.is_some()) {
            self.sources.remove(&peer);
        }
    }

    fn interrupt(&mut self, peer: NodeId) {
        if let Some(source) = self.sources.get_mut(&peer) {
            source.pull.interrupt();
        }
        self.current.take_if(|current| *current == peer);
    }

    /// What [`Action::Look`] has found; `None` if the own store cannot be read.
    pub fn looked(&mut self, look: u64, page: Option<OwnPage>, now: Instant) {
        self.with_current(now, |pull, turn| pull.looked(look, page, turn));
    }

    /// A source's answer. Late and foreign ones have no effect.
    pub fn handle_answer(&mut self, from: NodeId, call: CallId, answer: Answer, now: Instant) {
        let order = self.order;
        if is_sync(call) && self.current == Some(from) {
            self.with_current(now, |pull, turn| pull.handle_answer(call.operation, answer, order, turn));
        }
    }

    /// A reply of a source, or of the own replica. Late and foreign ones have no effect.
    pub fn handle_reply(&mut self, from: NodeId, call: CallId, reply: Reply, now: Instant) {
        let is_own = from == self.local;
        if is_sync(call) && (is_own || self.current == Some(from)) {
            self.with_current(now, |pull, turn| pull.handle_reply(call.operation, is_own, reply, turn));
        }
    }

    /// There was no way for a question.
    pub fn not_sent(&mut self, call: CallId, now: Instant) {
        self.with_current(now, |pull, turn| pull.not_sent(call.operation, turn));
    }

    /// What is to be done next.
    pub fn poll(&mut self, now: Instant) -> Option<Action> {
        if self.actions.is_empty() {
            if self.current.is_none() {
                self.ask_again_about_what_is_lost(now);
                self.current = self.chosen(now);
            }
            self.with_current(now, Pull::poll);
        }
        self.actions.pop_front()
    }

    /// When [`Sync::poll`] is due, after it has returned `None`.
    pub fn wake_at(&self) -> Option<Instant> {
        match self.current {
            Some(current) => self.sources.get(&current)?.pull.wake_at(&self.config),
            None => self.waiting().map(|(_, source)| source.next_at).min(),
        }
    }

    /// Sources that are up and have something that was not pulled.
    fn waiting(&self) -> impl Iterator<Item = (NodeId, &Source)> {
        let is_waiting = |(id, source): &(&NodeId, &Source)| self.up.contains(id) && !source.done;
        self.sources.iter().filter(is_waiting).map(|(id, source)| (*id, source))
    }

    /// Who is pulled from next. Those that have failed come behind others; what has begun goes on; and each node begins with the next
    /// higher id, so that not all pull from the same one.
    fn chosen(&self, now: Instant) -> Option<NodeId> {
        let due = self.waiting().filter(|(_, source)| source.next_at <= now);
        let first = due.min_by_key(|(id, source)| {
            (!source.urgent, source.retry, !source.pull.has_begun(), *id < self.local, *id)
        });
        first.map(|(id, _)| id)
    }

    fn with_current(&mut self, now: Instant, act: impl FnOnce(&mut Pull, &mut Turn<'_>)) {
        let Self { config, sources, current, numbers, actions, .. } = self;
        let Some(id) = *current else { return };
        let Some(source) = sources.get_mut(&id) else { return };
        let page_pause = if source.urgent { Duration::ZERO } else { config.routine_pause };
        let moved = &mut source.moved;
        let mut turn = Turn { config, page_pause, now, numbers, actions, moved, ended: None };
        act(&mut source.pull, &mut turn);
        let Some(ended) = turn.ended else {
            if source.pull.take_progress() {
                source.retry = config.retry.0;
            }
            return;
        };
        *current = None;
        match ended {
            Ended::All => source.done = true,
            Ended::Nothing => {
                source.next_at = now + source.retry;
                source.retry = (source.retry * 2).min(config.retry.1);
            }
        }
        if self.change.is_some() {
            self.look_whether_synced();
        } else if source.done {
            let (moved, fetched) = (source.moved, source.pull.take_fetched());
            self.ended.push_back(CaughtUpWith { peer: id, moved, fetched });
        }
    }

    /// Rule C3: whether everything is pulled from a majority of C.
    fn look_whether_synced(&mut self) {
        let Some(Change { goal, synced }) = &mut self.change else { return };
        let done = self.sources.values().filter(|source| source.done);
        let done = done.map(|source| source.pull.lost());
        let all: Vec<&[Range]> = goal.own.as_deref().into_iter().chain(done).collect();
        *synced |= is_covered(&all, goal.needed, self.order);
    }

    /// A source may be able to read what it could not, later. It is asked when nobody who is up has more to tell: a member that is dead
    /// never will.
    fn ask_again_about_what_is_lost(&mut self, now: Instant) {
        let is_synced = self.change.as_ref().is_none_or(|change| change.synced);
        if is_synced || self.waiting().next().is_some() {
            return;
        }
        // What came from one that is away stays here, and counts.
        let Self { config, sources, up, .. } = self;
        let may_know =
            |(id, source): &(&NodeId, &mut Source)| up.contains(id) && !source.pull.lost().is_empty();
        for (_, source) in sources.iter_mut().filter(may_know) {
            source.pull.begin_again();
            (source.done, source.next_at) = (false, now + config.lost_again_after);
        }
    }
}
