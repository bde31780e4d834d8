//! A page that has come from a source, on its way into the own replica.

use super::message::Contents;
use super::pull::Turn;
use super::{Action, Entry, Told};
use crate::repair::ranges::Range;
use abd::{CallId, Instant, NodeId, Reply};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

/// Entries that are given to the own replica at once, and no more once they have so many bytes: its event loop serves clients, too.
const BATCH_KEYS: usize = 128;
const BATCH_BYTES: usize = 64 << 10;
/// Batches under way at a time. They share the syncs of a disk.
const BATCHES: usize = 8;

#[derive(Debug)]
enum UnderWay {
    /// So many replies of the own replica are to come.
    Batch(usize),
    /// A content that was too large for a page is to come.
    Fetch(Entry),
}

/// What a page has come to so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merged {
    NotYet,
    All,
    /// Something was refused.
    Failed,
}

#[derive(Debug)]
pub(super) struct Merging {
    range: Range,
    lost: Vec<Range>,
    keys: usize,
    bytes: usize,
    batches: VecDeque<Vec<Entry>>,
    /// Contents that are to be asked for, one after the other.
    large: VecDeque<Entry>,
    under_way: BTreeMap<u64, UnderWay>,
    has_failed: bool,
    until: Instant,
}

impl Merging {
    pub(super) fn new(range: Range, contents: Contents, turn: &Turn<'_>) -> Self {
        let Contents { entries, lost, .. } = contents;
        let (keys, bytes) = (entries.len(), entries.iter().map(Entry::bytes).sum());
        let (mut batches, mut large): (VecDeque<Vec<Entry>>, _) = (VecDeque::new(), VecDeque::new());
        let mut last_bytes = 0;
        for entry in entries {
            if matches!(entry.newest, Told::Large(_)) {
                large.push_back(entry);
                continue;
            }
            let has_room = |batch: &&mut Vec<Entry>| batch.len() < BATCH_KEYS && last_bytes < BATCH_BYTES;
            match batches.back_mut().filter(has_room) {
                Some(batch) => {
                    last_bytes += entry.bytes();
                    batch.push(entry);
                }
                None => {
                    last_bytes = entry.bytes();
                    batches.push_back(vec![entry]);
                }
            }
        }
        let until = turn.now + turn.config.answer_within;
        Self {
            range,
            lost,
            keys,
            bytes,
            batches,
            large,
            under_way: BTreeMap::new(),
            has_failed: false,
            until,
        }
    }

    pub(super) fn keys(&self) -> usize {
        self.keys
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When it is given up, unless something comes before.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    pub(super) fn waits_for(&self, number: u64) -> bool {
        self.under_way.contains_key(&number)
    }

    /// Its range, and what the source could not read of that.
    pub(super) fn into_told(self) -> (Range, Vec<Range>) {
        (self.range, self.lost)
    }

    /// Sends as much as may be under way.
    pub(super) fn go_on(&mut self, source: NodeId, turn: &mut Turn<'_>) -> Merged {
        if self.has_failed {
            return Merged::Failed;
        }
        while self.under_way.len() < BATCHES {
            let Some(batch) = self.batches.pop_front() else { break };
            self.merge(batch, turn);
        }
        if self.batches.is_empty() && self.under_way.is_empty() {
            let Some(entry) = self.large.pop_front() else { return Merged::All };
            let (number, key) = (turn.number(), entry.key.clone());
            let whole = entry.accepted.is_some();
            let call = CallId { operation: number, phase: 0 };
            turn.actions.push_back(Action::Fetch { source, call, key, whole });
            self.under_way.insert(number, UnderWay::Fetch(entry));
            self.until = turn.now + turn.config.answer_within;
        }
        Merged::NotYet
    }

    fn merge(&mut self, entries: Vec<Entry>, turn: &mut Turn<'_>) {
        let number = turn.number();
        self.under_way.insert(number, UnderWay::Batch(entries.len()));
        let call = CallId { operation: number, phase: 0 };
        turn.actions.push_back(Action::Merge { call, entries });
        self.until = turn.now + turn.config.answer_within;
    }

    /// A reply to something that is under way.
    pub(super) fn handle_reply(&mut self, number: u64, is_own: bool, reply: Reply, turn: &mut Turn<'_>) {
        match (self.under_way.get_mut(&number), reply) {
            (Some(UnderWay::Batch(left)), Reply::Written { .. }) if is_own => {
                *left -= 1;
                self.until = turn.now + turn.config.answer_within;
                if *left == 0 {
                    self.under_way.remove(&number);
                }
            }
            (Some(UnderWay::Batch(_)), _) => self.has_failed |= is_own,
            (Some(UnderWay::Fetch(_)), Reply::Read(found)) if !is_own => {
                let Some(UnderWay::Fetch(entry)) = self.under_way.remove(&number) else { return };
                // Without a content it is no newer than what is here.
                let Some(stamped) = found.stamped() else { return };
                // What was accepted for a base that is not the newest version any more is closed.
                let accepted = entry.accepted.filter(|_| stamped.version == entry.newest.version());
                self.merge(vec![Entry { key: entry.key, newest: Told::Whole(stamped), accepted }], turn);
            }
            (Some(UnderWay::Fetch(_)), _) => self.has_failed |= !is_own,
            (None, _) => {}
        }
    }
}
