//! What a source answers, from one bounded look at its store.
//!
//! What is accepted it knows from the memory of its acceptors, which is the authority while something waits for the disk. That is
//! looked at *before* the store: if an instance ends in between, the store shows the version that has closed it.

use super::coverage::cut;
use super::message::{Answer, Contents, Has, Question};
use super::{Entry, OwnPage, Told};
use crate::inquiry::listing::Lists;
use crate::repair::ranges::{ANSWER_BYTES, Digest, Order, PAGE_BYTES, PAGE_KEYS, Range, Ranges, digest_of};
use abd::{Acceptance, AcceptedRecord, Acceptor, Refusal, StampedValue, Version, VersionStore};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cmp::Ordering;
use sha2::{Digest as _, Sha256};

/// Keys that a page of contents has at the most.
pub const CONTENTS_KEYS: usize = 2048;
/// Bytes of a page of contents, about. What is accepted may make it larger if it is alone.
pub const CONTENTS_BYTES: usize = 256 << 10;
/// A longer content is asked for by itself.
pub const LARGE_BYTES: usize = 32 << 10;
/// Keys up to this length lie by their bytes in any store, in bytes.
const SHORT_BYTES: usize = 16 << 10;
/// Ranges that a page says it has lost, at the most.
pub const LOST_MAX: usize = 64;

/// What is accepted, as the own acceptors have it in memory.
pub type Records = Vec<(Bytes, AcceptedRecord)>;

/// Why a store cannot be read.
pub type Failed<S> = <S as Ranges>::Error;

/// The first keys of a range, each with something about its newest version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePage<T> {
    /// In the order of the store.
    pub entries: Vec<(Bytes, T)>,
    /// Of which parts of what was looked at something may have been lost; nothing is told of those.
    pub lost: Vec<Range>,
    /// The last key that was looked at; `None`: the page reaches to the end of its range.
    pub told_up_to: Option<Bytes>,
}

/// A store as a sync sees it: what is durable, each page of one moment.
pub trait Source: Lists + VersionStore<Error = Failed<Self>> {
    /// The first keys of a range with their newest versions and contents: `keys` at the most, and no more than `bytes`, unless a
    /// single one has more.
    ///
    /// # Errors
    /// When they cannot be read.
    fn contents(
        &self,
        range: &Range,
        keys: usize,
        bytes: usize,
    ) -> Result<SourcePage<StampedValue>, Failed<Self>>;

    /// The same without contents.
    ///
    /// # Errors
    /// When they cannot be read.
    fn versions(&self, range: &Range, keys: usize, bytes: usize)
    -> Result<SourcePage<Version>, Failed<Self>>;

    /// The same for the replica that pulls, of what is stored there: what may have been lost is no reason to leave out what has been
    /// pulled since.
    ///
    /// # Errors
    /// When they cannot be read.
    fn stored(&self, range: &Range, keys: usize, bytes: usize) -> Result<SourcePage<Version>, Failed<Self>>;

    /// The ranges of which something may have been lost, in the order of the store.
    fn lost(&self) -> Vec<Range>;
}

/// The digest of a key: of its newest version, and of the ballot under which something is accepted for that.
fn entry_digest(key: &[u8], version: Version, accepted: Option<&Acceptance>) -> Digest {
    let mut hash = Sha256::new();
    hash.update((key.len() as u64).to_be_bytes());
    hash.update(key);
    hash.update(version.to_bytes());
    if let Some(accepted) = accepted {
        hash.update(accepted.ballot.to_bytes());
    }
    let whole: [u8; 32] = hash.finalize().into();
    core::array::from_fn(|index| whole[index])
}

/// A key with its newest version, and what was accepted.
struct Joined {
    key: Bytes,
    version: Version,
    record: Option<AcceptedRecord>,
}

impl Joined {
    /// What is accepted for the newest version. For one below it nothing is any more.
    fn accepted(&self) -> Option<&Acceptance> {
        let is_alive = |record: &&AcceptedRecord| record.base == self.version;
        self.record.as_ref().filter(is_alive).map(|record| &record.acceptance)
    }

    /// What was accepted for a version that is not durable here yet has taken the place of what was before. That is told when it is
    /// durable, with its base.
    fn waits(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.base > self.version)
    }

    fn digest(&self) -> Digest {
        entry_digest(&self.key, self.version, self.accepted())
    }
}

/// Keys of a range with their versions, and the records of the same range: some may be of keys that were never written.
fn join(versions: Vec<(Bytes, Version)>, range: &Range, mut records: Records, order: Order) -> Vec<Joined> {
    records.retain(|(key, _)| range.has(key, order));
    records.sort_by(|(one, _), (other, _)| order(one, other));
    let mut records = records.into_iter().peekable();
    let mut joined = Vec::with_capacity(versions.len());
    let unwritten = |(key, record)| Joined { key, version: Version::MIN, record: Some(record) };
    for (key, version) in versions {
        while let Some(before) = records.next_if(|(of, _)| order(of, &key) == Ordering::Less) {
            joined.push(unwritten(before));
        }
        let record = records.next_if(|(of, _)| *of == key).map(|(_, record)| record);
        joined.push(Joined { key, version, record });
    }
    joined.extend(records.map(unwritten));
    joined
}

/// The records of keys that a page tells of. What is accepted of a key for which the store abstains would have to be told with a base
/// that the store does not tell.
fn told_of<T>(mut records: Records, page: &SourcePage<T>, order: Order) -> Records {
    let is_lost = |key: &Bytes| page.lost.iter().any(|range| range.has(key, order));
    records.retain(|(key, _)| !is_lost(key));
    records
}

/// What an acceptor has accepted of a range, and is alive. It remembers that others may have been told of it.
pub fn records_of(acceptor: &mut Acceptor, range: &Range, order: Order, into: &mut Records) {
    // Acceptors have keys by their bytes. So has a store, but for long ones, which come last.
    let is_short = |end: &Option<Bytes>| end.as_ref().is_none_or(|key| key.len() <= SHORT_BYTES);
    let by_bytes = range.up_to.is_some() && is_short(&range.after) && is_short(&range.up_to);
    let (after, up_to) = if by_bytes { (range.after.as_ref(), range.up_to.as_ref()) } else { (None, None) };
    let found = acceptor.accepted_between(after, up_to).filter(|(key, _)| range.has(key, order));
    into.extend(found.map(|(key, record)| (key.clone(), record)));
}

/// A page of the own store, for a question to a source. `accepted`: of a range, if that is a part of the digests.
///
/// # Errors
/// When it cannot be read.
pub fn own_page<S: Source>(
    store: &S,
    after: Option<Bytes>,
    accepted: impl FnOnce(&Range) -> Records,
) -> Result<OwnPage, Failed<S>> {
    let rest = Range { after, up_to: None };
    let page = store.stored(&rest, PAGE_KEYS, PAGE_BYTES)?;
    let mut range = cut(&rest, page.told_up_to.as_ref());
    // What is in memory may be lost on the disk: then it is pulled, and written again.
    let (mut records, lost) = (accepted(&range), store.lost());
    records.retain(|(key, _)| !lost.iter().any(|range| range.has(key, S::order)));
    let mut joined = join(page.entries, &range, records, S::order);
    if joined.len() > PAGE_KEYS {
        joined.truncate(PAGE_KEYS);
        range.up_to = joined.last().map(|last| last.key.clone());
    }
    Ok(OwnPage { range, digests: joined.iter().map(Joined::digest).collect() })
}

/// A source's answer, after it has installed the epoch of the question. `accepted`: what its acceptors have of a range in memory.
///
/// # Errors
/// When the store cannot be read.
pub fn answer<S: Source>(
    store: &S,
    question: &Question,
    accepted: impl FnOnce(&Range) -> Records,
) -> Result<Answer, Failed<S>> {
    let range = &question.range;
    // Before the store is looked at.
    let records = if question.records { accepted(range) } else { Records::new() };
    match &question.has {
        Has::Together { count, digest } => {
            let count = (*count as usize).min(PAGE_KEYS);
            // One more than there are is enough to tell that there are more.
            let page = store.versions(range, count + 1, ANSWER_BYTES)?;
            let is_whole = page.told_up_to.is_none() && page.lost.is_empty();
            let records = told_of(records, &page, S::order);
            let joined = join(page.entries, range, records, S::order);
            let digests: Vec<Digest> = joined.iter().map(Joined::digest).collect();
            let is_same = is_whole && digests.len() == count && digest_of(&digests) == *digest;
            Ok(if is_same && !joined.iter().any(Joined::waits) { Answer::Same } else { Answer::Differs })
        }
        Has::Each(digests) if digests.is_empty() => {
            // Whoever has nothing needs all contents.
            let page = store.contents(range, CONTENTS_KEYS, CONTENTS_BYTES)?;
            let records = told_of(records, &page, S::order);
            let versions = page.entries.iter().map(|(key, stamped)| (key.clone(), stamped.version)).collect();
            let mut at_hand = page.entries.into_iter().peekable();
            let joined = join(versions, &cut(range, page.told_up_to.as_ref()), records, S::order);
            let told = page.told_up_to;
            contents(digests, joined, page.lost, told, |joined| {
                Ok(at_hand.next_if(|(key, _)| *key == joined.key).map(|(_, stamped)| stamped))
            })
        }
        Has::Each(digests) => {
            // Few may do.
            let page = store.versions(range, CONTENTS_KEYS, ANSWER_BYTES)?;
            let records = told_of(records, &page, S::order);
            let joined = join(page.entries, &cut(range, page.told_up_to.as_ref()), records, S::order);
            contents(digests, joined, page.lost, page.told_up_to, |joined| {
                store.newest(&joined.key).map(|newest| Some(newest.stamped))
            })
        }
    }
}

/// What differs, of these keys.
fn contents<E>(
    digests: &[Digest],
    all: Vec<Joined>,
    mut lost: Vec<Range>,
    mut told_up_to: Option<Bytes>,
    mut find: impl FnMut(&Joined) -> Result<Option<StampedValue>, E>,
) -> Result<Answer, E> {
    let known: BTreeSet<&Digest> = digests.iter().collect();
    let (mut entries, mut bytes, mut before): (Vec<Entry>, usize, Option<Bytes>) = (Vec::new(), 0, None);
    for joined in all {
        if joined.waits() {
            let Some(before) = before else { return Ok(Answer::Refused(Refusal::Busy)) };
            told_up_to = Some(before);
            break;
        }
        // Whoever has nothing knows none, and making them is most of what a page of contents costs.
        if known.is_empty() || !known.contains(&joined.digest()) {
            let found = if joined.version == Version::MIN { None } else { find(&joined)? };
            let entry = entry(&joined, found.unwrap_or(StampedValue::NEVER));
            let size = entry.bytes();
            if !entries.is_empty() && (bytes + size > CONTENTS_BYTES || entries.len() >= CONTENTS_KEYS) {
                told_up_to = before;
                break;
            }
            bytes += size;
            entries.push(entry);
        }
        before = Some(joined.key);
    }
    if lost.len() > LOST_MAX {
        let last = lost.last().and_then(|last| last.up_to.clone());
        lost.truncate(1);
        lost[0].up_to = last;
    }
    Ok(Answer::Contents(Contents { entries, lost, told_up_to }))
}

/// What is told of a key. The store may have a newer version by now than the one that was walked over.
fn entry(joined: &Joined, stamped: StampedValue) -> Entry {
    let accepted = joined.accepted().filter(|_| stamped.version == joined.version).cloned().map(Box::new);
    let is_large = |length: usize| length > LARGE_BYTES;
    let proposed = accepted.as_ref().map_or(0, |accepted| accepted.proposal.content.len());
    // Of two large contents one goes by itself: a frame has room for one.
    let newest = if is_large(stamped.content.len()) || (is_large(proposed) && !stamped.content.is_empty()) {
        Told::Large(stamped.version)
    } else {
        Told::Whole(stamped)
    };
    Entry { key: joined.key.clone(), newest, accepted }
}
