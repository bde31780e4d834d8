//! The acceptor of consensus on updates: what a replica has promised and accepted, for many keys.
//!
//! There is one instance for each pair of key and base, and of a key at most one is alive: that of its newest version (rule P2').
//! So there is one entry for a key. What of an entry waits for the disk is the authority until it is there: whoever asks next must
//! be answered as if it were. Promises are not written at all (rule P5): none is above the durable mark, and after a restart
//! everything up to the mark counts as promised.
//!
//! All of one key is to be handled one after the other, and its writes are to be queued for the disk in that order.

use super::closed::{AcceptedUnder, ClosedInstances, bucket_of};
use crate::ballot::{Ballot, UpdateId};
use crate::counted::copied;
use crate::update::{Acceptance, AcceptedRecord, AcceptedThere, Proposal, Told};
use crate::value::Glimpse;
use crate::version::Version;
use alloc::collections::{BTreeMap, VecDeque, btree_map};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// Keys whose promises an acceptor remembers one by one. Of those beyond, it remembers the highest of many.
pub const PROMISES: usize = 1024;
/// Closed instances that an acceptor remembers.
pub const CLOSED_INSTANCES: usize = 1024;
/// Bytes of the keys of either. What is accepted and alive counts among the promises and is never evicted.
pub const KEY_BYTES: usize = 512 << 10;
/// So many keys share what is remembered of what was forgotten one by one.
pub const BUCKETS: usize = 1024;
/// Keys looked at, with each request, for which the disk should be through by now.
const SETTLED_AT_ONCE: usize = 2;
/// A raised mark leaves room for so many rounds more (rule P5): it costs a sync.
const MARK_STEP: u64 = 1 << 20;

/// How much an acceptor remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AcceptorLimits {
    /// As [`PROMISES`].
    pub promises: usize,
    /// As [`CLOSED_INSTANCES`].
    pub closed: usize,
    /// As [`KEY_BYTES`].
    pub key_bytes: usize,
    /// As [`BUCKETS`]; at least one.
    pub buckets: usize,
}

impl Default for AcceptorLimits {
    fn default() -> Self {
        Self { promises: PROMISES, closed: CLOSED_INSTANCES, key_bytes: KEY_BYTES, buckets: BUCKETS }
    }
}

/// The state of an acceptor. A node may have several, each for a part of the keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acceptor {
    boot: u32,
    /// The configuration that it takes part in (rule C1).
    epoch: u32,
    limits: AcceptorLimits,
    /// The mark that was found at the start: nothing below is promised or accepted in this run.
    floor: Ballot,
    entries: BTreeMap<Bytes, Entry>,
    entry_key_bytes: usize,
    /// Entries with an acceptance: these are never evicted.
    accepted: usize,
    /// Where in the order of keys the last entry was evicted.
    evicted: Bytes,
    /// By bucket, the highest promise that was evicted.
    forgotten: Vec<Ballot>,
    closed: ClosedInstances,
    /// Keys whose entries are looked at again: the oldest first.
    watched: VecDeque<Bytes>,
}

/// The one instance of a key that is alive, or was when it was last looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry {
    base: Version,
    promised: Ballot,
    accepted: Option<Acceptance>,
    /// The first ballot under which that proposal was accepted, with no other one since.
    accepted_first: Ballot,
    /// Who was told of what was accepted here. It is not forgotten when another proposal is accepted.
    told: Told,
    /// Whether the base is not durable here yet. Until it is, the entry must stay: without it a base below would be served as if
    /// nothing had been promised or accepted there.
    waits_for_base: bool,
}

impl Entry {
    /// Whether the acceptor looks at it again by itself: it must stay, and is not to stay for longer than it must.
    fn is_watched(&self) -> bool {
        self.waits_for_base || self.accepted.is_some()
    }
}

/// An entry as it was before a request, to be put back if nothing comes of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before(Option<Entry>);

/// What a ballot may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// Go on.
    Taken,
    /// A higher one was promised.
    Promised(Ballot),
    /// There is an acceptance for a newer base, which is not durable here yet.
    Busy,
}

/// The largest ballot that may be promised, raised so that a ballot fits below it.
pub(super) fn raised_mark(ballot: Ballot) -> Ballot {
    Ballot { round: ballot.round.saturating_add(MARK_STEP), node: u32::MAX, boot: u32::MAX, ..ballot }
}

impl Acceptor {
    /// Of the run `boot` of a replica, which serves the configuration `epoch` and found the mark `floor` on its disk.
    ///
    /// # Panics
    /// When there are to be no buckets.
    pub fn new(boot: u32, epoch: u32, floor: Ballot, limits: AcceptorLimits) -> Self {
        assert!(limits.buckets > 0, "what is forgotten needs a place");
        Self {
            boot,
            epoch,
            limits,
            floor,
            entries: BTreeMap::new(),
            entry_key_bytes: 0,
            accepted: 0,
            evicted: Bytes::new(),
            forgotten: vec![Ballot::MIN; limits.buckets],
            closed: ClosedInstances::new(limits),
            watched: VecDeque::new(),
        }
    }

    /// Which run of the replica this is.
    pub fn boot(&self) -> u32 {
        self.boot
    }

    /// The configuration that it takes part in.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// From now on it takes part in this configuration and in no older one (rule C1). What was promised before binds nobody any
    /// more: ballots begin with the epoch. What was accepted stays.
    ///
    /// # Panics
    /// When it is an older one: epochs only grow.
    pub fn install(&mut self, epoch: u32) {
        assert!(epoch >= self.epoch, "C1: epoch {epoch} is older than {}", self.epoch);
        self.epoch = epoch;
    }

    /// What is accepted and alive of the keys behind one and up to another, as far as this acceptor knows: for a sync (rule C3), which may
    /// bring it to anybody.
    pub fn accepted_between<'a>(
        &'a mut self,
        after: Option<&Bytes>,
        up_to: Option<&Bytes>,
    ) -> impl Iterator<Item = (&'a Bytes, AcceptedRecord)> + use<'a> {
        use core::ops::Bound::{Excluded, Included, Unbounded};
        let is_empty = matches!((after, up_to), (Some(after), Some(up_to)) if after >= up_to);
        let range = (after.cloned().map_or(Unbounded, Excluded), up_to.cloned().map_or(Unbounded, Included));
        let found = (!is_empty).then(|| self.entries.range_mut::<Bytes, _>(range)).into_iter().flatten();
        found.filter_map(|(key, entry)| {
            let acceptance = entry.accepted.clone()?;
            entry.told = Told::ANYBODY;
            Some((key, AcceptedRecord { base: entry.base, acceptance }))
        })
    }

    /// A record that a member of the configuration before has, for a base that is not below the newest durable version of the key.
    /// The later ballot wins (rule C3); whether this one does. It was asked of nobody in this epoch, so it is a copy and no vote:
    /// promises are not looked at.
    pub(super) fn adopt(
        &mut self,
        key: &Bytes,
        base: Version,
        is_held: bool,
        acceptance: Acceptance,
    ) -> bool {
        let is_newer = match self.entries.get(key) {
            Some(entry) if entry.base > base => false,
            Some(Entry { base: at, accepted: Some(accepted), .. }) if *at == base => {
                accepted.ballot < acceptance.ballot
            }
            _ => true,
        };
        if is_newer {
            let was_watched = self.is_watched(key);
            let entry = self.entry(key, base, is_held);
            entry.promised = entry.promised.max(acceptance.ballot);
            // Under which ballots it was accepted elsewhere is not known here, nor who was told of it there.
            (entry.accepted_first, entry.told) = (Ballot::MIN, Told::ANYBODY);
            let Acceptance { ballot, proposal } = acceptance;
            let before = entry.accepted.replace(Acceptance { ballot, proposal: proposal.kept() });
            self.accepted += usize::from(before.is_none());
            self.watch(key, was_watched);
        }
        is_newer
    }

    /// A record that was found at the start, alive: its base is the newest version.
    pub fn restore(&mut self, key: Bytes, record: AcceptedRecord) {
        let AcceptedRecord { base, acceptance } = record;
        let promised = acceptance.ballot;
        let entry = Entry {
            base,
            promised,
            accepted: Some(acceptance),
            accepted_first: Ballot::MIN,
            // Promises of an earlier run are not known any more.
            told: Told::ANYBODY,
            waits_for_base: false,
        };
        self.entry_key_bytes += key.len();
        let before = self.entries.insert(key.clone(), entry);
        assert!(before.is_none(), "P2': a key has one record");
        self.watched.push_back(key);
        self.accepted += 1;
    }

    /// Keys with an acceptance, and those with nothing but a promise.
    pub fn counts(&self) -> (usize, usize) {
        (self.accepted, self.entries.len() - self.accepted)
    }

    /// What was accepted for the newest version of a key, as far as this acceptor knows.
    pub fn accepted(&self, key: &[u8]) -> Option<(Version, &Acceptance)> {
        let entry = self.entries.get(key)?;
        Some((entry.base, entry.accepted.as_ref()?))
    }

    /// What is kept of a key now, before it is asked for a promise or given a proposal.
    pub fn before(&self, key: &[u8]) -> Before {
        Before(self.entries.get(key).cloned())
    }

    /// The last promise or acceptance was told to nobody, and nothing was queued for the disk.
    pub fn undo(&mut self, key: &Bytes, before: Before) {
        let accepted =
            |entry: &Option<Entry>| usize::from(entry.as_ref().is_some_and(|entry| entry.accepted.is_some()));
        self.accepted += accepted(&before.0);
        let is_there = before.0.is_some();
        let undone = match before.0 {
            Some(entry) => self.entries.insert(key.clone(), entry),
            None => self.entries.remove(key),
        };
        match (undone.is_some(), is_there) {
            (true, false) => self.entry_key_bytes -= key.len(),
            (false, true) => self.entry_key_bytes += key.len(),
            _ => {}
        }
        // It may have been closed meanwhile; then it is looked at once more.
        self.watch(key, false);
        self.accepted -= accepted(&undone);
    }

    /// A ballot asks for a promise at a base that is not below the newest durable version of the key: it is that one if it
    /// `is_held`.
    pub(super) fn promise(&mut self, key: &Bytes, base: Version, is_held: bool, ballot: Ballot) -> Judged {
        let judged = self.judge(key, base, ballot);
        if judged == Judged::Taken {
            let was_watched = self.is_watched(key);
            let entry = self.entry(key, base, is_held);
            entry.promised = ballot;
            if entry.accepted.is_some() {
                entry.told.tell(ballot);
            }
            self.watch(key, was_watched);
            self.evict();
        }
        judged
    }

    /// A ballot brings a proposal for such a base.
    pub(super) fn accept(
        &mut self,
        key: &Bytes,
        base: Version,
        is_held: bool,
        ballot: Ballot,
        proposal: Proposal,
    ) -> Judged {
        let judged = self.judge(key, base, ballot);
        if judged == Judged::Taken {
            let was_watched = self.is_watched(key);
            let entry = self.entry(key, base, is_held);
            entry.promised = ballot;
            let is_the_same = |accepted: &Acceptance| accepted.proposal.update == proposal.update;
            if !entry.accepted.as_ref().is_some_and(is_the_same) {
                entry.accepted_first = ballot;
            }
            let proposal = proposal.kept();
            let before = entry.accepted.replace(Acceptance { ballot, proposal });
            self.accepted += usize::from(before.is_none());
            self.watch(key, was_watched);
        }
        judged
    }

    fn judge(&self, key: &Bytes, base: Version, ballot: Ballot) -> Judged {
        let mut promised = self.floor.max(self.forgotten[bucket_of(key, self.limits)]);
        match self.entries.get(key) {
            Some(entry) if entry.base > base => return Judged::Busy,
            Some(entry) if entry.base == base => promised = promised.max(entry.promised),
            _ => {}
        }
        if ballot < promised { Judged::Promised(promised) } else { Judged::Taken }
    }

    /// The entry of a key for a base that is not below that of the entry which is there.
    fn entry(&mut self, key: &Bytes, base: Version, is_held: bool) -> &mut Entry {
        if self.entries.get(key).is_some_and(|entry| entry.base < base) {
            // Its base will not be the newest any more when the new one is durable.
            self.close(key, None);
        }
        let (promised, accepted_first) = (Ballot::MIN, Ballot::MIN);
        let told = Told::NOBODY;
        let fresh = Entry { base, promised, accepted: None, accepted_first, told, waits_for_base: !is_held };
        // Of its own: what came over a lane keeps a whole buffer alive.
        match self.entries.entry(copied(key)) {
            btree_map::Entry::Occupied(entry) => entry.into_mut(),
            btree_map::Entry::Vacant(place) => {
                self.entry_key_bytes += key.len();
                place.insert(fresh)
            }
        }
    }

    /// Has a key looked at again, if its entry has become one that must stay.
    fn watch(&mut self, key: &Bytes, was_watched: bool) {
        if !was_watched && self.is_watched(key) {
            self.watched.push_back(key.clone());
        }
    }

    fn is_watched(&self, key: &[u8]) -> bool {
        self.entries.get(key).is_some_and(Entry::is_watched)
    }

    /// A version is to be stored. Whether the record of the key goes with it.
    pub(super) fn handle_write(&mut self, key: &Bytes, version: Version, update: UpdateId) -> bool {
        if let Some(rmwc) = version.rmwc.checked_sub(1) {
            let instance = (copied(key), Version { rmwc, ..version });
            self.closed.remember(instance, |closed| closed.winner = Some(update));
        }
        self.entries.get(key).is_some_and(|entry| entry.base < version && entry.accepted.is_some())
    }

    /// The newest durable version of a key was looked at: an instance below it is closed, for ever.
    pub(super) fn settle(&mut self, key: &Bytes, newest: &Glimpse) {
        let Some(entry) = self.entries.get_mut(key).filter(|_| newest.durable) else { return };
        if entry.base < newest.version {
            let made = Some(newest.update).filter(|_| entry.base.successor() == Some(newest.version));
            self.close(key, made);
        } else if entry.base == newest.version {
            entry.waits_for_base = false;
        }
    }

    /// Looks at some keys for which the disk may be through. `newest` knows the newest durable versions of some.
    pub(super) fn settle_some(&mut self, newest: impl Fn(&[u8]) -> Option<Glimpse>) {
        for _ in 0..SETTLED_AT_ONCE.min(self.watched.len()) {
            let Some(key) = self.watched.pop_front() else { break };
            if let Some(newest) = newest(&key) {
                self.settle(&key, &newest);
            }
            if self.is_watched(&key) {
                self.watched.push_back(key);
            }
        }
    }

    /// What is known of an instance at whose base this replica is closed: what it has accepted there, the winner, and who was told.
    pub(super) fn evidence(&self, key: &Bytes, base: Version) -> (AcceptedThere, Option<UpdateId>, Told) {
        self.closed.evidence(key, base)
    }

    fn close(&mut self, key: &Bytes, winner: Option<UpdateId>) {
        let Some((key, entry)) = self.entries.remove_entry(key) else { return };
        self.entry_key_bytes -= key.len();
        let Some(acceptance) = entry.accepted else { return };
        self.accepted -= 1;
        self.closed.remember((key, entry.base), |closed| {
            let (lowest, highest, told) = (entry.accepted_first, acceptance.ballot, entry.told);
            let update = acceptance.proposal.update;
            closed.accepted = Some(AcceptedUnder { update, lowest, highest, told });
            closed.winner = closed.winner.or(winner);
        });
    }

    /// Forgets promises of single keys that are too many. What was accepted stays.
    fn evict(&mut self) {
        while self.entries.len() - self.accepted > self.limits.promises
            || self.entry_key_bytes > self.limits.key_bytes
        {
            let is_bare = |(_, entry): &(&Bytes, &Entry)| !entry.is_watched();
            let after = (core::ops::Bound::Excluded(self.evicted.clone()), core::ops::Bound::Unbounded);
            let next = self.entries.range(after).find(is_bare).or_else(|| self.entries.iter().find(is_bare));
            let Some(key) = next.map(|(key, _)| key.clone()) else { break };
            if let Some(entry) = self.entries.remove(&key) {
                self.entry_key_bytes -= key.len();
                let promised = &mut self.forgotten[bucket_of(&key, self.limits)];
                *promised = (*promised).max(entry.promised);
            }
            self.evicted = key;
        }
    }
}
