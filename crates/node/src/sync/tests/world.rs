//! Replicas in memory: one that pulls, and its sources.

pub(super) use crate::in_memory::Store;
use crate::repair::ranges::{PAGE_KEYS, Range};
use crate::sync::message::{Answer, get_answer, get_question, put_answer, put_question};
use crate::sync::source::{self, LARGE_BYTES, Records};
use crate::sync::*;
use abd::{
    Acceptance, AcceptedRecord, Ballot, CallId, Content, Deadline, Instant, NodeId, Proposal, Refusal, Reply,
    Scope, StampedValue, Timestamp, Version, VersionStore,
};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use alloc::{format, vec};
use bytes::{Bytes, BytesMut};
use core::time::Duration;

pub(super) fn version(time: u64) -> Version {
    if time == 0 { Version::MIN } else { Version::of_write(Timestamp { time, node: 1, boot: 1 }) }
}

pub(super) fn key(number: usize) -> Bytes {
    Bytes::from(format!("key {number:06}"))
}

pub(super) fn value(time: u64, length: usize) -> StampedValue {
    StampedValue::plain(version(time), Content::Value(Bytes::from(vec![b'v'; length])))
}

pub(super) fn accepted(round: u64) -> Acceptance {
    let ballot = Ballot { epoch: 1, round, node: 1, boot: 1 };
    let content = Content::Value(Bytes::from(format!("proposed in {round}")));
    Acceptance { ballot, proposal: Proposal { update: ballot.update(), content, deadline: Deadline(round) } }
}

impl Store {
    /// As the replica merges: a larger version wins, of acceptances that of the larger base, then of the later ballot.
    pub(super) fn merge(&mut self, key: &Bytes, stamped: StampedValue, accepted: Option<Acceptance>) {
        let base = stamped.version;
        let held = self.versions.get(key).map_or(Version::MIN, |held| held.version);
        if base > held {
            self.versions.insert(key.clone(), stamped);
        }
        let newest = held.max(base);
        self.records.retain(|of, record| of != key || record.base == newest);
        if let Some(acceptance) = accepted.filter(|_| base == newest) {
            let here = self.records.get(key).map(|record| record.acceptance.ballot);
            if here.is_none_or(|here| here < acceptance.ballot) {
                self.records.insert(key.clone(), AcceptedRecord { base, acceptance });
            }
        }
    }

    pub(super) fn join(&mut self, other: &Self) {
        for (key, stamped) in &other.versions {
            self.merge(key, stamped.clone(), None);
        }
        for (key, record) in &other.records {
            let stamped = other.versions.get(key).cloned().unwrap_or(StampedValue::NEVER);
            self.merge(key, stamped, Some(record.acceptance.clone()));
        }
    }

    pub(super) fn records(&self, range: &Range) -> Records {
        let all = self.records.iter().map(|(key, record)| (key.clone(), record.clone()));
        all.filter(|(key, _)| range.has(key, <[u8]>::cmp)).collect()
    }
}

pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    pub(super) fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

pub(super) const EPOCH: Scope = Scope { partition: 0, epoch: 5 };
pub(super) const LOCAL: NodeId = NodeId(40_000);
pub(super) const LONG: Duration = Duration::from_secs(100);

pub(super) fn id(source: usize) -> NodeId {
    NodeId(u32::try_from(source).unwrap() * 70_000 + 1)
}

pub(super) fn index(id: NodeId) -> usize {
    usize::try_from(id.0 / 70_000).unwrap()
}

/// One replica that pulls, and its sources.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) sync: Sync,
    pub(super) own: Store,
    pub(super) sources: Vec<Store>,
    pub(super) up: Vec<bool>,
    /// Which epoch each source has installed.
    pub(super) epochs: Vec<u32>,
    pub(super) random: Random,
    /// Whether nothing can be written here.
    pub(super) refuses: bool,
    /// One in so many answers is lost, and one in so many writes is refused; none, if zero.
    pub(super) loses: usize,
    pub(super) asked: usize,
    pub(super) bytes: usize,
    /// Of a question and its answer.
    pub(super) latency: Duration,
    /// Flushes of the own disk that have not ended, and whether they do.
    flushes: VecDeque<CallId>,
    pub(super) holds_flushes: bool,
}

impl World {
    pub(super) fn new(sources: Vec<Store>, own: Store) -> Self {
        let count = sources.len();
        let mut world = Self {
            now: Instant(1),
            sync: Sync::new(Config::default(), LOCAL, <[u8]>::cmp),
            own,
            up: vec![true; count],
            epochs: vec![EPOCH.epoch; count],
            sources,
            random: Random(7),
            refuses: false,
            loses: 0,
            asked: 0,
            bytes: 0,
            latency: Duration::ZERO,
            flushes: VecDeque::new(),
            holds_flushes: false,
        };
        world.begin(count / 2 + 1);
        world
    }

    /// The one that pulls is new, or was restarted.
    pub(super) fn begin(&mut self, needed: usize) {
        self.sync = Sync::new(Config::default(), LOCAL, <[u8]>::cmp);
        (0..self.sources.len()).for_each(|source| self.sync.handle_peer_up(id(source), self.now));
        let sources = (0..self.sources.len()).map(id).collect();
        self.sync.begin(Goal { scope: EPOCH, sources, needed, own: None }, self.now);
    }

    pub(super) fn state(&self) -> Progress {
        self.sync.progress().expect("a sync is under way")
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            while let Some(action) = self.sync.poll(self.now) {
                self.carry_out(action);
            }
            match self.sync.wake_at() {
                Some(at) if at <= end => self.now = self.now.max(at),
                _ => break,
            }
        }
        self.now = self.now.max(end);
    }

    pub(super) fn is_lost(&mut self) -> bool {
        self.loses > 0 && self.random.one_in(self.loses)
    }

    /// What waits for the own disk is durable.
    pub(super) fn flush(&mut self) {
        for call in core::mem::take(&mut self.flushes) {
            let is_refused = self.refuses || self.is_lost();
            let done = Reply::Written { previous: None };
            let reply = if is_refused { Reply::Refused(Refusal::Overloaded) } else { done };
            self.sync.handle_reply(LOCAL, call, reply, self.now);
        }
    }

    pub(super) fn carry_out(&mut self, action: Action) {
        let now = self.now;
        match action {
            Action::Look { look, after, records } => {
                assert!(records);
                let page = source::own_page(&self.own, after, |range| self.own.records(range)).unwrap();
                assert!(page.digests.len() <= PAGE_KEYS);
                self.sync.looked(look, Some(page), now);
            }
            Action::Ask { source, call, question } => {
                if !self.up[index(source)] {
                    return self.sync.not_sent(call, now);
                }
                self.asked += 1;
                self.now = self.now + self.latency;
                let now = self.now;
                let mut body = BytesMut::new();
                put_question(&mut body, call, &question);
                self.bytes += body.len();
                let (call, question) = get_question(body.freeze()).unwrap();
                let store = &self.sources[index(source)];
                let answer = if self.epochs[index(source)] == question.scope.epoch {
                    source::answer(store, &question, |range| store.records(range)).unwrap()
                } else {
                    Answer::Refused(Refusal::OtherConfiguration)
                };
                let mut body = BytesMut::new();
                put_answer(&mut body, call, &answer);
                self.bytes += body.len();
                if !self.is_lost() {
                    let (call, answer) = get_answer(body.freeze()).unwrap();
                    self.sync.handle_answer(source, call, answer, now);
                }
            }
            Action::Fetch { source, call, key, whole } => {
                let held = self.own.newest(&key).unwrap().stamped.version;
                let have = if whole { Version::MIN } else { held };
                let found = self.sources[index(source)].newest(&key).unwrap().glimpse(have);
                if !self.is_lost() {
                    self.sync.handle_reply(source, call, Reply::Read(found), now);
                }
            }
            Action::Flush { call } => {
                self.flushes.push_back(call);
                if !self.holds_flushes {
                    self.flush();
                }
            }
            Action::Merge { call, entries } => {
                for (phase, entry) in entries.into_iter().enumerate() {
                    let Told::Whole(stamped) = entry.newest else { panic!("it is to be whole") };
                    let call = CallId { phase: u32::try_from(phase).unwrap(), ..call };
                    let reply = if self.refuses || self.is_lost() {
                        Reply::Refused(Refusal::DiskFull)
                    } else {
                        self.own.merge(&entry.key, stamped, entry.accepted.map(|accepted| *accepted));
                        Reply::Written { previous: None }
                    };
                    self.sync.handle_reply(LOCAL, call, reply, now);
                }
            }
        }
    }
}

/// A store in which some keys are older, newer, missing, or have something accepted.
pub(super) fn random_store(random: &mut Random, keys: usize) -> Store {
    let mut store = Store::default();
    for number in 0..keys {
        let time = [0, 3, 3, 3, 3, 3, 4, 5][random.below(8)];
        if time > 0 {
            let length = if random.one_in(200) { LARGE_BYTES + 1 + random.below(9) } else { 10 };
            store.versions.insert(key(number), value(time, length * usize::try_from(time).unwrap()));
        }
        if random.one_in(20) {
            let acceptance = accepted(1 + random.below(3) as u64);
            store.records.insert(key(number), AcceptedRecord { base: version(time), acceptance });
        }
    }
    // One version names one content.
    for (key, stamped) in &mut store.versions {
        let is_long = key[key.len() - 1] == b'7' && key[key.len() - 2] == b'7';
        let length = if is_long { LARGE_BYTES * 2 } else { 20 };
        *stamped = value(stamped.version.time(), length);
    }
    store
}
