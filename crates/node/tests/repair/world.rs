//! Replicas in memory, each with a repair of its own, and lanes that can be cut, be full, or lose what is in them.

use abd::{Ballot, Content, Instant, Newest, NodeId, Reply, StampedValue, Timestamp, Version, VersionStore};
use bytes::{Bytes, BytesMut};
use node::inquiry::listing::{ListLimits, Listing, Lists};
use node::repair::message::{Answer, Question, get_answer, get_question, put_answer, put_question};
use node::repair::ranges::{self, Page, Range, Ranges};
use node::repair::{Action, Config, Repair, Status};
use node::sync;
use node::sync::source::{self, Source, SourcePage, own_page};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

/// A version that only its time tells from others.
pub(crate) fn version(time: u64) -> Version {
    Version::of_write(Timestamp { time, node: 1, boot: 1 })
}

pub(crate) fn key(number: usize) -> Bytes {
    Bytes::from(format!("key {number:06}"))
}

/// The id of the node at an index. Ids may be far apart.
pub(crate) fn id(node: usize) -> NodeId {
    NodeId(u32::try_from(node).unwrap() * 1000 + 1)
}

pub(crate) fn index(id: NodeId) -> usize {
    usize::try_from(id.0 / 1000).unwrap()
}

/// The machine of a node that has just started.
pub(crate) fn machine(config: Config, members: usize, node: usize) -> Repair {
    Repair::new(config, id(node), (0..members).map(id), <[u8]>::cmp)
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    pub(crate) versions: BTreeMap<Bytes, StampedValue>,
    /// For these keys it abstains (rule S3), writes are taken.
    pub(crate) abstains: BTreeSet<Bytes>,
    /// Reads of these keys fail.
    pub(crate) damaged: BTreeSet<Bytes>,
    /// Writes of these keys are refused.
    pub(crate) refused: BTreeSet<Bytes>,
    /// It takes no writes.
    pub(crate) full: bool,
}

impl Ranges for Store {
    type Error = ();

    fn walk(&self, range: &Range, at_most: usize, bytes_max: usize) -> Result<Page, ()> {
        let after = range.after.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let up_to = range.up_to.clone().map_or(Bound::Unbounded, Bound::Included);
        if let (Bound::Excluded(after), Bound::Included(up_to)) = (&after, &up_to)
            && after >= up_to
        {
            return Ok(Page { entries: Vec::new(), is_last: true });
        }
        let mut rest = self.versions.range((after, up_to));
        let mut entries = Vec::new();
        let mut bytes = 0;
        while entries.len() < at_most && bytes < bytes_max {
            let Some((key, stamped)) = rest.next() else { return Ok(Page { entries, is_last: true }) };
            if self.abstains.contains(key) {
                continue;
            }
            if self.damaged.contains(key) {
                return Err(());
            }
            bytes += key.len() + Version::LEN;
            entries.push((key.clone(), stamped.version));
        }
        Ok(Page { entries, is_last: rest.next().is_none() })
    }

    fn version(&self, key: &[u8]) -> Result<Option<Version>, ()> {
        if self.abstains.contains(key) {
            return Ok(None);
        }
        if self.damaged.contains(key) {
            return Err(());
        }
        Ok(Some(self.versions.get(key).map_or(Version::MIN, |stamped| stamped.version)))
    }
}

impl VersionStore for Store {
    type Error = ();

    fn newest(&self, key: &[u8]) -> Result<Newest, ()> {
        if self.damaged.contains(key) || self.abstains.contains(key) {
            return Err(());
        }
        let stamped = self.versions.get(key).cloned().unwrap_or(StampedValue::NEVER);
        Ok(Newest { stamped, durable: true })
    }

    fn mark(&self) -> Ballot {
        Ballot::MIN
    }
}

impl Lists for Store {
    fn list(
        &self,
        _: Option<&[u8]>,
        _: &[u8],
        _: ListLimits,
        _: impl FnMut(&[u8]) -> bool,
    ) -> Result<Listing, ()> {
        unreachable!("repair lists nothing")
    }

    fn order(one: &[u8], other: &[u8]) -> Ordering {
        one.cmp(other)
    }
}

impl Source for Store {
    fn contents(&self, range: &Range, keys: usize, bytes: usize) -> Result<SourcePage<StampedValue>, ()> {
        let SourcePage { entries, lost, told_up_to } = self.versions(range, keys, bytes)?;
        let entries = entries.into_iter().map(|(key, _)| (key.clone(), self.versions[&key].clone()));
        Ok(SourcePage { entries: entries.collect(), lost, told_up_to })
    }

    fn versions(&self, range: &Range, keys: usize, bytes: usize) -> Result<SourcePage<Version>, ()> {
        let Page { entries, is_last } = self.walk(range, keys, bytes)?;
        let told_up_to = entries.last().map(|(key, _)| key.clone()).filter(|_| !is_last);
        Ok(SourcePage { entries, lost: Vec::new(), told_up_to })
    }

    fn stored(&self, range: &Range, keys: usize, bytes: usize) -> Result<SourcePage<Version>, ()> {
        self.versions(range, keys, bytes)
    }

    fn lost(&self) -> Vec<Range> {
        Vec::new()
    }
}

impl Store {
    pub(crate) fn put(&mut self, key: &Bytes, version: Version) {
        let content = Content::Value(Bytes::from(format!("value of {version}")));
        self.merge(key, StampedValue::plain(version, content));
    }

    fn merge(&mut self, key: &Bytes, stamped: StampedValue) {
        let held = self.versions.entry(key.clone()).or_insert(StampedValue::NEVER);
        if stamped.version > held.version {
            *held = stamped;
        }
    }
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) config: Config,
    pub(crate) stores: Vec<Store>,
    pub(crate) repairs: Vec<Option<Repair>>,
    /// Nodes that can look themselves for what they lack.
    pub(crate) pulling: BTreeSet<usize>,
    /// Ways on which nothing passes, and nobody has noticed: from, to.
    pub(crate) silent: BTreeSet<(usize, usize)>,
    /// Ways whose backlog is full.
    pub(crate) full: BTreeSet<(usize, usize)>,
    /// By kind: what was sent over all.
    pub(crate) sent: BTreeMap<&'static str, usize>,
    pub(crate) bytes: usize,
}

impl World {
    pub(crate) fn new(members: usize, config: Config) -> Self {
        let mut world = Self {
            now: Instant(1),
            config,
            stores: vec![Store::default(); members],
            repairs: (0..members).map(|_| None).collect(),
            pulling: BTreeSet::new(),
            silent: BTreeSet::new(),
            full: BTreeSet::new(),
            sent: BTreeMap::new(),
            bytes: 0,
        };
        (0..members).for_each(|node| world.start(node));
        world
    }

    pub(crate) fn start(&mut self, node: usize) {
        let mut repair = machine(self.config.clone(), self.stores.len(), node);
        for peer in 0..self.stores.len() {
            if let Some(there) = &mut self.repairs[peer] {
                there.handle_pulls(id(node), self.pulling.contains(&node) && self.pulling.contains(&peer));
                there.handle_peer_up(id(node), self.now);
                repair.handle_pulls(id(peer), self.pulling.contains(&node) && self.pulling.contains(&peer));
                repair.handle_peer_up(id(peer), self.now);
            }
        }
        self.repairs[node] = Some(repair);
    }

    pub(crate) fn stop(&mut self, node: usize) {
        self.repairs[node] = None;
        for there in self.repairs.iter_mut().flatten() {
            there.handle_peer_down(id(node));
        }
    }

    pub(crate) fn repair(&mut self, node: usize) -> &mut Repair {
        self.repairs[node].as_mut().expect("the node is up")
    }

    pub(crate) fn status(&self, node: usize, peer: usize) -> Status {
        let repair = self.repairs[node].as_ref().expect("the node is up");
        let of_peer = repair.statuses(self.now).find(|(of, _)| *of == id(peer));
        of_peer.expect("it is a peer").1
    }

    /// Lets time pass; everything that is due happens at once.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            for node in 0..self.stores.len() {
                while let Some(action) = self.repairs[node].as_mut().and_then(|repair| repair.poll(self.now))
                {
                    self.carry_out(node, action);
                }
            }
            let next = self.repairs.iter().flatten().filter_map(Repair::wake_at).min();
            match next {
                Some(at) if at <= end => self.now = self.now.max(at),
                _ => break,
            }
        }
        self.now = end;
    }

    fn carry_out(&mut self, node: usize, action: Action) {
        let now = self.now;
        match action {
            Action::LookUp { peer, look, keys } => {
                let versions = keys.iter().map(|key| self.stores[node].version(key)).collect();
                self.repair(node).looked_up(peer, look, Result::ok(versions), now);
            }
            Action::Walk { peer, look, range } => {
                let page = self.stores[node].walk(&range, ranges::PAGE_KEYS, ranges::PAGE_BYTES).ok();
                self.repair(node).walked(peer, look, page, now);
            }
            Action::Ask { peer, call, question } => {
                let kind = if matches!(question, Question::Digest { .. }) { "digest" } else { "versions" };
                if self.refuses_to_send(node, index(peer), kind) {
                    return self.repair(node).not_sent(call, now);
                }
                let mut body = BytesMut::new();
                put_question(&mut body, call, &question);
                let (back, question) = get_question(self.count(body)).unwrap();
                assert_eq!(back, call);
                if self.is_lost(node, index(peer)) {
                    return;
                }
                let answer = ranges::answer(&self.stores[index(peer)], &question, true)
                    .unwrap_or(Answer::Refused(abd::Refusal::StoreFailed));
                let mut body = BytesMut::new();
                put_answer(&mut body, call, &answer);
                let (call, answer) = get_answer(self.count(body)).unwrap();
                self.repair(node).handle_answer(peer, call, answer, now);
            }
            Action::Push { peer, call, key } => {
                let Some(stamped) = self.stores[node].versions.get(&key).cloned() else {
                    return self.repair(node).not_sent(call, now);
                };
                if self.refuses_to_send(node, index(peer), "push") {
                    return self.repair(node).not_sent(call, now);
                }
                if self.is_lost(node, index(peer)) {
                    return;
                }
                let reply = self.write(index(peer), &key, stamped);
                self.repair(node).handle_reply(peer, call, reply, now);
            }
            Action::Fetch { peer, call, key, have } => {
                if self.refuses_to_send(node, index(peer), "fetch") {
                    return self.repair(node).not_sent(call, now);
                }
                if self.is_lost(node, index(peer)) {
                    return;
                }
                let held =
                    self.stores[index(peer)].versions.get(&key).cloned().unwrap_or(StampedValue::NEVER);
                let reply = Reply::Read(Newest { stamped: held, durable: true }.glimpse(have));
                self.repair(node).handle_reply(peer, call, reply, now);
            }
            Action::Sync(action) => self.carry_out_sync(node, action),
            Action::CatchUp { peer, call, wanted } => {
                if self.refuses_to_send(node, index(peer), "wanted") {
                    return self.repair(node).not_sent(call, now);
                }
                if !self.is_lost(node, index(peer)) {
                    let caught_up = self.repair(index(peer)).handle_wanted(id(node), wanted, now);
                    self.repair(node).handle_caught_up(peer, call, caught_up, now);
                }
            }
            Action::Store { call, key, stamped } => {
                let reply = self.write(node, &key, stamped);
                self.repair(node).handle_reply(id(node), call, reply, now);
            }
        }
    }

    fn carry_out_sync(&mut self, node: usize, action: sync::Action) {
        let now = self.now;
        match action {
            sync::Action::Look { look, after, records } => {
                assert!(!records, "acceptors keep their own records");
                let page = own_page(&self.stores[node], after, |_| Vec::new()).ok();
                self.repair(node).sync().looked(look, page, now);
            }
            sync::Action::Ask { source, call, question } => {
                if self.refuses_to_send(node, index(source), "pull") {
                    return self.repair(node).not_sent(call, now);
                }
                let mut body = BytesMut::new();
                sync::message::put_question(&mut body, call, &question);
                self.count(body);
                if self.is_lost(node, index(source)) {
                    return;
                }
                let answer = source::answer(&self.stores[index(source)], &question, |_| Vec::new());
                let answer = answer.unwrap_or(sync::message::Answer::Refused(abd::Refusal::StoreFailed));
                let mut body = BytesMut::new();
                sync::message::put_answer(&mut body, call, &answer);
                self.count(body);
                self.repair(node).sync().handle_answer(source, call, answer, now);
            }
            sync::Action::Fetch { source, call, key, .. } => {
                let held = self.stores[index(source)].versions[&key].clone();
                let reply = Reply::Read(Newest { stamped: held, durable: true }.glimpse(Version::MIN));
                self.repair(node).handle_reply(source, call, reply, now);
            }
            sync::Action::Flush { .. } => panic!("nothing is accepted here"),
            sync::Action::Merge { call, entries } => {
                for entry in entries {
                    let sync::Told::Whole(stamped) = entry.newest else { panic!("it is to be whole") };
                    let reply = self.write(node, &entry.key, stamped);
                    self.repair(node).handle_reply(id(node), call, reply, now);
                }
            }
        }
    }

    fn write(&mut self, node: usize, key: &Bytes, stamped: StampedValue) -> Reply {
        if self.stores[node].full || self.stores[node].refused.contains(key) {
            return Reply::Refused(abd::Refusal::DiskFull);
        }
        self.stores[node].merge(key, stamped);
        Reply::Written { previous: None }
    }

    fn refuses_to_send(&mut self, node: usize, peer: usize, kind: &'static str) -> bool {
        let refuses = self.repairs[peer].is_none() || self.full.contains(&(node, peer));
        if !refuses {
            *self.sent.entry(kind).or_default() += 1;
        }
        refuses
    }

    fn is_lost(&self, from: usize, to: usize) -> bool {
        self.silent.contains(&(from, to)) || self.silent.contains(&(to, from))
    }

    fn count(&mut self, body: BytesMut) -> Bytes {
        self.bytes += body.len();
        body.freeze()
    }

    pub(crate) fn count_of(&self, kind: &str) -> usize {
        self.sent.get(kind).copied().unwrap_or_default()
    }

    pub(crate) fn assert_converged(&self) {
        for (node, store) in self.stores.iter().enumerate().skip(1) {
            assert!(store.versions == self.stores[0].versions, "node {node} differs from the first one");
        }
    }
}
