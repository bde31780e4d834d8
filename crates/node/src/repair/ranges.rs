//! Comparing two replicas range by range: digests of what they have between two keys, and lists where those differ.
//!
//! The idea is that of Merkle trees between replicas (Demers et al., *Epidemic Algorithms for Replicated Database Maintenance*,
//! PODC 1987; DeCandia et al., *Dynamo*, SOSP 2007, section 4.7), but no tree is kept: a digest is made when it is needed, from
//! a walk over keys and versions in the order of the store, which is the same in every replica. One digest stands for a page
//! of a thousand keys, so two equal stores are compared with some tens of bytes a page.

use super::message::{Answer, KeyVersion, LIST_BYTES_MAX, Question, fit};
use abd::{Refusal, Version};
use alloc::{collections::BTreeMap, vec::Vec};
use bytes::Bytes;
use core::cmp::Ordering;
use sha2::{Digest as _, Sha256};

/// Keys that one digest is made of at most.
pub const PAGE_KEYS: usize = 1024;
/// Bytes of the keys and versions of a page; one more than fits may be in it.
pub const PAGE_BYTES: usize = 256 << 10;
/// A replica reads no more to answer. It is more than any page of the same keys has.
pub const ANSWER_BYTES: usize = 2 * PAGE_BYTES;
/// Keys whose versions are listed in one message at most.
pub const CHUNK_KEYS: usize = 64;
/// Bytes of a digest.
pub const DIGEST_LEN: usize = 16;
/// What a replica has in a range: the beginning of a SHA-256. Half as many bits as the hash has are far more than what
/// chance could make equal, and nobody lies (docs/PROTOCOL.md, the setting).
pub type Digest = [u8; DIGEST_LEN];

/// The order of keys in a store, which is the same in every replica.
pub type Order = fn(&[u8], &[u8]) -> Ordering;

/// All keys behind one and up to another, in the order of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The first key is the next one; `None`: the first of all.
    pub after: Option<Bytes>,
    /// The last key; `None`: the last of all.
    pub up_to: Option<Bytes>,
}

impl Range {
    /// Whether a key is in it.
    pub fn has(&self, key: &[u8], order: Order) -> bool {
        self.after.as_ref().is_none_or(|after| order(after, key) == Ordering::Less)
            && self.up_to.as_ref().is_none_or(|up_to| order(key, up_to) != Ordering::Greater)
    }
}

/// A walk's next keys, with their newest versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order of the store.
    pub entries: Vec<KeyVersion>,
    /// Whether the range has no further key.
    pub is_last: bool,
}

/// A store as a comparison sees it: durable versions, no contents.
pub trait Ranges {
    /// Why it cannot answer. A replica that cannot read abstains; it never says "absent".
    type Error;

    /// The first keys of a range with their newest versions: `at_most` so many, and no more once they have `bytes_max` bytes.
    /// Keys for which the replica abstains are left out.
    ///
    /// # Errors
    /// When they cannot be read.
    fn walk(&self, range: &Range, at_most: usize, bytes_max: usize) -> Result<Page, Self::Error>;

    /// The newest version of a key, [`Version::MIN`] if it was never written; `None` if the replica abstains for this key
    /// (rule S3).
    ///
    /// # Errors
    /// When nothing can be read.
    fn version(&self, key: &[u8]) -> Result<Option<Version>, Self::Error>;
}

/// The digest of keys and versions, in this order.
pub fn digest(entries: &[KeyVersion]) -> Digest {
    let mut hash = Sha256::new();
    for (key, version) in entries {
        hash.update((key.len() as u64).to_be_bytes());
        hash.update(key);
        hash.update(version.to_bytes());
    }
    let whole: [u8; 32] = hash.finalize().into();
    core::array::from_fn(|index| whole[index])
}

/// The digest of digests, in this order.
pub fn digest_of(digests: &[Digest]) -> Digest {
    let whole: [u8; 32] = Sha256::digest(digests.as_flattened()).into();
    core::array::from_fn(|index| whole[index])
}

/// A replica's answer, from one bounded look at its store. `admitted`: rule M1, as for every other request.
///
/// # Errors
/// When the store cannot be read. Then the replica abstains ([`Refusal::StoreFailed`] or what says it better).
pub fn answer<S: Ranges>(store: &S, question: &Question, admitted: bool) -> Result<Answer, S::Error> {
    if !admitted {
        return Ok(Answer::Refused(Refusal::NotAdmitted));
    }
    match question {
        Question::Digest { range, count, digest: theirs } => {
            let count = (*count as usize).min(PAGE_KEYS);
            // One more than they have is enough to tell that there are more.
            let page = store.walk(range, count + 1, ANSWER_BYTES)?;
            Ok(Answer::Same(page.is_last && page.entries.len() == count && digest(&page.entries) == *theirs))
        }
        Question::Versions { listed, range } => {
            // What others have of a key can be stored although this replica abstains for it. No quorum counts what is told
            // here.
            let told = |(key, _): &KeyVersion| Ok(store.version(key)?.unwrap_or(Version::MIN));
            let versions = listed.iter().map(told).collect::<Result<Vec<_>, _>>()?;
            let Some(range) = range else {
                return Ok(Answer::Versions { versions, others: Vec::new(), told_up_to: None });
            };
            let page = store.walk(range, 2 * CHUNK_KEYS, ANSWER_BYTES)?;
            let known: BTreeMap<&Bytes, &Version> =
                listed.iter().map(|(key, version)| (key, version)).collect();
            let is_other = |entry: &&KeyVersion| !known.contains_key(&entry.0);
            let others: Vec<&KeyVersion> = page.entries.iter().filter(is_other).collect();
            let told = fit(others.iter().map(|(key, _)| key));
            // Everything up to the last one that is told, or up to the end of the walk.
            let told_up_to = if told < others.len() {
                others[..told].last().map(|(key, _)| key.clone())
            } else if page.is_last {
                None
            } else {
                page.entries.last().map(|(key, _)| key.clone())
            };
            let others = others[..told].iter().map(|entry| (*entry).clone()).collect();
            Ok(Answer::Versions { versions, others, told_up_to })
        }
    }
}

/// A part of a page that is compared as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Where its keys are.
    pub range: Range,
    /// They and their newest versions here.
    pub entries: Vec<KeyVersion>,
}

impl Chunk {
    /// A page of the walk that goes on behind `after`.
    pub fn of_page(after: Option<Bytes>, page: Page) -> Self {
        let up_to = if page.is_last { None } else { page.entries.last().map(|(key, _)| key.clone()) };
        Self { range: Range { after, up_to }, entries: page.entries }
    }

    /// Whether its keys can be listed in one message.
    pub fn is_small(&self) -> bool {
        fit(self.entries.iter().map(|(key, _)| key)) == self.entries.len()
    }

    /// Parts that can be listed, in order. They cover the same range.
    pub fn split(self) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut after = self.range.after;
        let mut rest = self.entries;
        loop {
            let behind = rest.split_off(fit(rest.iter().map(|(key, _)| key)));
            let is_last = behind.is_empty();
            let up_to =
                if is_last { self.range.up_to.clone() } else { rest.last().map(|(key, _)| key.clone()) };
            parts.push(Self { range: Range { after, up_to: up_to.clone() }, entries: rest });
            if is_last {
                return parts;
            }
            (after, rest) = (up_to, behind);
        }
    }

    /// What to ask a peer first.
    pub fn question(&self) -> Question {
        let count = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        Question::Digest { range: self.range.clone(), count, digest: digest(&self.entries) }
    }

    /// What to ask it when the digests differ.
    pub fn listing(&self) -> Question {
        Question::Versions { listed: self.entries.clone(), range: Some(self.range.clone()) }
    }
}

/// Longest keys leave room for nothing else in a list; then it has one.
const _: () = assert!(LIST_BYTES_MAX > CHUNK_KEYS * (4 + Version::LEN), "short keys fill a chunk");
