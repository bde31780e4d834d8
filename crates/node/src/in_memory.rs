//! A store in memory, for the tests of those who ask one.

use crate::inquiry::listing::{ListLimits, ListedKey, Listing, Lists};
use crate::repair::ranges::{Page, Range, Ranges};
use crate::sweep::{Deadlines, Found};
use crate::sync::coverage::cut;
use crate::sync::source::{Source, SourcePage};
use abd::{AcceptedRecord, Ballot, Deadline, Glimpse, Moment, Newest, StampedValue, Version, VersionStore};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cmp::Ordering;
use core::convert::Infallible;
use core::ops::Bound;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Store {
    pub(crate) versions: BTreeMap<Bytes, StampedValue>,
    pub(crate) records: BTreeMap<Bytes, AcceptedRecord>,
    /// For keys of these ranges it abstains (rule S3).
    pub(crate) lost: Vec<Range>,
    pub(crate) mark: Ballot,
    /// Whether everything has to be looked up on the disk.
    pub(crate) is_cold: bool,
}

impl Default for Store {
    fn default() -> Self {
        let (versions, records) = (BTreeMap::new(), BTreeMap::new());
        Self { versions, records, lost: Vec::new(), mark: Ballot::MIN, is_cold: false }
    }
}

impl Store {
    pub(crate) fn is_lost(&self, key: &[u8]) -> bool {
        self.lost.iter().any(|range| range.has(key, <[u8]>::cmp))
    }

    pub(crate) fn range(&self, range: &Range) -> impl Iterator<Item = (&Bytes, &StampedValue)> {
        let after = range.after.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let up_to = range.up_to.clone();
        self.versions
            .range((after, Bound::Unbounded))
            .take_while(move |(key, _)| up_to.as_ref().is_none_or(|up_to| *key <= up_to))
            .filter(|(key, _)| !self.is_lost(key))
    }
}

impl VersionStore for Store {
    type Error = Infallible;

    fn newest(&self, key: &[u8]) -> Result<Newest, Infallible> {
        let stamped = self.versions.get(key).cloned().unwrap_or(StampedValue::NEVER);
        Ok(Newest { stamped, durable: true })
    }

    fn remembered_above(&self, key: &[u8], have: Version) -> Option<Glimpse> {
        (!self.is_cold).then(|| self.newest_above(key, have).ok()).flatten()
    }

    fn mark(&self) -> Ballot {
        self.mark
    }
}

impl Ranges for Store {
    type Error = Infallible;

    fn walk(&self, range: &Range, at_most: usize, _: usize) -> Result<Page, Infallible> {
        let entries: Vec<_> =
            self.range(range).map(|(key, stamped)| (key.clone(), stamped.version)).take(at_most).collect();
        Ok(Page { is_last: entries.len() == self.range(range).count(), entries })
    }

    fn version(&self, key: &[u8]) -> Result<Option<Version>, Infallible> {
        Ok(Some(self.newest(key)?.stamped.version))
    }
}

impl Lists for Store {
    fn list(
        &self,
        after: Option<&[u8]>,
        beginning: &[u8],
        limits: ListLimits,
        mut wanted: impl FnMut(&[u8]) -> bool,
    ) -> Result<Listing, Infallible> {
        let is_next = |key: &&Bytes| after.is_none_or(|after| &key[..] > after) && key.starts_with(beginning);
        let all: Vec<&Bytes> = self.versions.keys().filter(is_next).filter(|key| wanted(key)).collect();
        let entry = |key: &&Bytes| {
            let StampedValue { version, content, deadline, .. } = &self.versions[*key];
            let (present, deadline) = (content.is_value(), *deadline);
            ListedKey { key: (*key).clone(), version: *version, present, deadline }
        };
        let entries: Vec<ListedKey> = all.iter().take(limits.present).map(entry).collect();
        let told_up_to = (entries.len() < all.len()).then(|| all[entries.len() - 1].clone());
        Ok(Listing { entries, told_up_to })
    }

    fn order(one: &[u8], other: &[u8]) -> Ordering {
        one.cmp(other)
    }
}

impl Source for Store {
    fn contents(
        &self,
        range: &Range,
        keys: usize,
        bytes_max: usize,
    ) -> Result<SourcePage<StampedValue>, Infallible> {
        let (mut entries, mut bytes, mut told_up_to): (Vec<_>, _, _) = (Vec::new(), 0, None);
        for (key, stamped) in self.range(range) {
            let size = key.len() + stamped.content.len();
            if entries.len() == keys || (!entries.is_empty() && bytes + size > bytes_max) {
                told_up_to = entries.last().map(|(last, _): &(Bytes, _)| last.clone());
                break;
            }
            bytes += size;
            entries.push((key.clone(), stamped.clone()));
        }
        let told = cut(range, told_up_to.as_ref());
        let lost = self.lost.iter().filter(|lost| meets(lost, &told)).cloned().collect();
        Ok(SourcePage { entries, lost, told_up_to })
    }

    fn versions(&self, range: &Range, keys: usize, bytes: usize) -> Result<SourcePage<Version>, Infallible> {
        let SourcePage { entries, lost, told_up_to } = self.contents(range, keys, bytes)?;
        let entries = entries.into_iter().map(|(key, stamped)| (key, stamped.version)).collect();
        Ok(SourcePage { entries, lost, told_up_to })
    }

    fn stored(&self, range: &Range, keys: usize, bytes: usize) -> Result<SourcePage<Version>, Infallible> {
        Self { lost: Vec::new(), ..self.clone() }.versions(range, keys, bytes)
    }

    fn lost(&self) -> Vec<Range> {
        self.lost.clone()
    }
}

pub(crate) fn meets(one: &Range, other: &Range) -> bool {
    let ends_before = |one: &Range, other: &Range| match (&one.up_to, &other.after) {
        (Some(up_to), Some(after)) => up_to <= after,
        _ => false,
    };
    !ends_before(one, other) && !ends_before(other, one)
}

impl Deadlines for Store {
    type Error = Infallible;

    fn soonest(&self) -> Deadline {
        self.versions.values().fold(Deadline::NONE, |soonest, stamped| soonest.or_sooner(stamped.deadline))
    }

    fn forget(&self) {}

    fn due(&self, _: Option<&[u8]>, moment: Moment, _: usize, _: usize) -> Result<Found, Infallible> {
        let due = self.versions.iter().filter(|(_, stamped)| stamped.is_due(moment));
        let due = due.map(|(key, stamped)| (key.clone(), stamped.content.len())).collect();
        Ok(Found { due, soonest: self.soonest(), last: None, keys: self.versions.len() })
    }
}
