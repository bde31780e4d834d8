//! Pages of keys: what a replica lists, and what a majority of lists comes to.

use super::message::Answer;
use crate::configuration::RESERVED;
use crate::glob;
use crate::repair::ranges::{Order, Ranges};
use abd::{Deadline, Moment, Refusal, Version};
use alloc::vec::Vec;
use bytes::Bytes;
use core::cmp::Ordering;

/// Keys that a replica lists at most as present in one page.
pub const PAGE_KEYS: u32 = 8192;
/// Bytes of the keys and versions of a page; one more than fits may be in it.
pub const PAGE_BYTES: u32 = 256 << 10;
/// Bytes of keys that a replica looks at for one page, tombstones and keys that are not wanted included.
const LOOKED_AT_BYTES: usize = 512 << 10;
/// What comparing these with a pattern may take: bytes of keys times bytes of the pattern.
const MATCHED_BYTES: usize = 64 << 20;
/// Longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = glob::PATTERN_BYTES_MAX;

/// Which keys are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Those behind this one; `None`: from the first of all.
    pub after: Option<Bytes>,
    /// Those that match this pattern; `None`: any.
    pub pattern: Option<Bytes>,
    /// A page ends when it has so many present keys, or so many bytes of keys and versions.
    pub keys: u32,
    /// The same in bytes.
    pub bytes: u32,
}

/// A key as a replica has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKey {
    /// The key.
    pub key: Bytes,
    /// Its newest version.
    pub version: Version,
    /// Whether that is a value and not a tombstone.
    pub present: bool,
    /// When the value expires.
    pub deadline: Deadline,
}

/// The first keys of a range, as one replica has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Those that are wanted, in the order of the store. Tombstones are told: another replica may have an older value.
    pub entries: Vec<ListedKey>,
    /// Up to which key everything is told; `None`: there is nothing behind.
    pub told_up_to: Option<Bytes>,
}

/// Where a list ends before its range does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListLimits {
    /// So many listed keys that are present.
    pub present: usize,
    /// So many bytes of keys that were looked at, each with its versions.
    pub looked_at: usize,
    /// So many bytes of listed keys and their versions.
    pub bytes: usize,
}

/// What a majority has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys that are present, with their newest versions, in the order of the store.
    pub keys: Vec<(Bytes, Version)>,
    /// Up to which key everything is told; `None`: there is nothing behind.
    pub told_up_to: Option<Bytes>,
}

/// A store as an inquiry sees it: keys and durable versions, no contents.
pub trait Lists: Ranges {
    /// The first keys behind `after` (of all, if `None`) that begin with `beginning` and are `wanted`.
    ///
    /// # Errors
    /// When they cannot be read, or one of them may have been lost: unlike a walk a list is counted on.
    fn list(
        &self,
        after: Option<&[u8]>,
        beginning: &[u8],
        limits: ListLimits,
        wanted: impl FnMut(&[u8]) -> bool,
    ) -> Result<Listing, Self::Error>;

    /// The order of keys, the same in every replica.
    fn order(one: &[u8], other: &[u8]) -> Ordering;
}

/// A replica's answer, from one bounded look at its store.
///
/// # Errors
/// When the store cannot be read. Then the replica abstains.
pub(super) fn list<S: Lists>(store: &S, wanted: &Wanted) -> Result<Answer, S::Error> {
    let pattern = wanted.pattern.as_deref().unwrap_or(b"*");
    if pattern.len() > PATTERN_BYTES_MAX {
        return Ok(Answer::Refused(Refusal::TooLarge));
    }
    let limits = ListLimits {
        present: wanted.keys.clamp(1, PAGE_KEYS) as usize,
        looked_at: LOOKED_AT_BYTES.min(MATCHED_BYTES / pattern.len().max(1)),
        bytes: wanted.bytes.clamp(1, PAGE_BYTES) as usize,
    };
    let matches = |key: &[u8]| pattern == b"*" || glob::matches_exactly(pattern, key);
    let beginning = glob::beginning(pattern);
    Ok(Answer::Keys(store.list(wanted.after.as_deref(), &beginning, limits, matches)?))
}

/// Whether a client finds this key. What is due is not found, whether its expiry is decided yet or not; nor is what the cluster keeps
/// for itself.
fn is_found(entry: &ListedKey, moment: Moment) -> bool {
    entry.present && !entry.deadline.has_passed(moment) && !entry.key.starts_with(RESERVED)
}

/// What the lists of a majority come to: of each key its newest version counts. A replica whose list ends knows nothing of what
/// comes behind, so the page ends where the first of them does.
pub(super) fn merge(listings: Vec<Listing>, order: Order, moment: Moment) -> Page {
    let ends = listings.iter().filter_map(|listing| listing.told_up_to.clone());
    let told_up_to = ends.min_by(|one, other| order(one, other));
    let is_told =
        |entry: &ListedKey| told_up_to.as_ref().is_none_or(|end| order(&entry.key, end) != Ordering::Greater);
    let mut entries: Vec<ListedKey> =
        listings.into_iter().flat_map(|listing| listing.entries).filter(is_told).collect();
    // The newest version of a key comes first, and the others go.
    entries.sort_by(|one, other| order(&one.key, &other.key).then(other.version.cmp(&one.version)));
    entries.dedup_by(|later, first| later.key == first.key);
    let found = entries.into_iter().filter(|entry| is_found(entry, moment));
    Page { keys: found.map(|entry| (entry.key, entry.version)).collect(), told_up_to }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abd::Timestamp;
    use alloc::vec;

    fn version(time: u64) -> Version {
        Version::of_write(Timestamp { time, node: 1, boot: 1 })
    }

    fn entry(key: &'static str, time: u64, present: bool) -> ListedKey {
        ListedKey { key: key.into(), version: version(time), present, deadline: Deadline::NONE }
    }

    fn listing(entries: Vec<ListedKey>, told_up_to: Option<&'static str>) -> Listing {
        Listing { entries, told_up_to: told_up_to.map(Bytes::from) }
    }

    fn merged(listings: Vec<Listing>, now: u64) -> (Vec<Bytes>, Option<Bytes>) {
        let page = merge(listings, <[u8]>::cmp, Moment(now));
        (page.keys.into_iter().map(|(key, _)| key).collect(), page.told_up_to)
    }

    #[test]
    fn the_newest_version_decides_whether_a_key_is_there() {
        let one = listing(vec![entry("a", 1, true), entry("b", 5, false), entry("c", 1, true)], None);
        let other = listing(vec![entry("b", 4, true), entry("c", 2, true), entry("d", 1, false)], None);
        assert_eq!(merged(vec![one, other], 0), (vec!["a".into(), "c".into()], None));
    }

    #[test]
    fn nothing_is_told_behind_the_end_of_the_shortest_list() {
        // The second one may have a tombstone of "c", or "bb".
        let one = listing(vec![entry("a", 1, true), entry("b", 1, true), entry("c", 1, true)], Some("c"));
        let other = listing(vec![entry("a", 1, true)], Some("b"));
        assert_eq!(merged(vec![one, other], 0), (vec!["a".into(), "b".into()], Some("b".into())));
    }

    #[test]
    fn what_has_expired_is_not_found() {
        let expires = |key, at| ListedKey { deadline: Deadline(at), ..entry(key, 1, true) };
        let one = listing(vec![expires("a", 10), expires("b", 11)], None);
        assert_eq!(merged(vec![one], 10), (vec!["b".into()], None));
    }

    #[test]
    fn what_the_cluster_keeps_for_itself_is_not_found() {
        let own = ListedKey { key: crate::configuration::KEY.into(), ..entry("", 1, true) };
        let one = listing(vec![entry("\0atomic", 1, true), own, entry("a", 1, true)], None);
        assert_eq!(merged(vec![one], 0), (vec!["\0atomic".into(), "a".into()], None));
    }
}
