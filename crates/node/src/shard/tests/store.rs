//! A store in memory.

use crate::inquiry::listing::{ListLimits, ListedKey, Listing, Lists};
use crate::repair::ranges::{Page, Range, Ranges};
use crate::sweep::{Deadlines, Found};
use crate::sync::source::{Source, SourcePage};
use abd::{Ballot, Deadline, Glimpse, Moment, Newest, StampedValue, Version, VersionStore};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cmp::Ordering;
use core::convert::Infallible;

/// Versions, the mark, and whether nothing is in memory.
#[derive(Default)]
pub(super) struct Store(pub(super) BTreeMap<Bytes, StampedValue>, pub(super) Option<Ballot>, pub(super) bool);

impl VersionStore for Store {
    type Error = Infallible;

    fn newest(&self, key: &[u8]) -> Result<Newest, Infallible> {
        let stamped = self.0.get(key).cloned().unwrap_or(StampedValue::NEVER);
        Ok(Newest { stamped, durable: true })
    }

    fn remembered_above(&self, key: &[u8], have: Version) -> Option<Glimpse> {
        (!self.2).then(|| self.newest_above(key, have).ok()).flatten()
    }

    fn mark(&self) -> Ballot {
        self.1.unwrap_or(Ballot::MIN)
    }
}

impl Ranges for Store {
    type Error = Infallible;

    fn walk(&self, range: &Range, at_most: usize, _: usize) -> Result<Page, Infallible> {
        let is_in = |key: &&Bytes| {
            range.after.as_ref().is_none_or(|after| *key > after)
                && range.up_to.as_ref().is_none_or(|last| *key <= last)
        };
        let all: Vec<_> = self.0.keys().filter(is_in).map(|key| (key.clone(), self.0[key].version)).collect();
        let entries: Vec<_> = all.iter().take(at_most).cloned().collect();
        Ok(Page { is_last: entries.len() == all.len(), entries })
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
        let all: Vec<&Bytes> = self.0.keys().filter(is_next).filter(|key| wanted(key)).collect();
        let entry = |key: &&Bytes| {
            let StampedValue { version, content, deadline, .. } = &self.0[*key];
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
        bytes: usize,
    ) -> Result<SourcePage<StampedValue>, Infallible> {
        let SourcePage { entries, lost, told_up_to } = self.versions(range, keys, bytes)?;
        let entries = entries.into_iter().map(|(key, _)| (key.clone(), self.0[&key].clone())).collect();
        Ok(SourcePage { entries, lost, told_up_to })
    }

    fn versions(&self, range: &Range, keys: usize, bytes: usize) -> Result<SourcePage<Version>, Infallible> {
        let Page { entries, is_last } = self.walk(range, keys, bytes)?;
        let told_up_to = entries.last().map(|(key, _)| key.clone()).filter(|_| !is_last);
        Ok(SourcePage { entries, lost: Vec::new(), told_up_to })
    }

    fn stored(&self, range: &Range, keys: usize, bytes: usize) -> Result<SourcePage<Version>, Infallible> {
        self.versions(range, keys, bytes)
    }

    fn lost(&self) -> Vec<Range> {
        Vec::new()
    }
}

impl Deadlines for Store {
    type Error = Infallible;

    fn soonest(&self) -> Deadline {
        self.0.values().fold(Deadline::NONE, |soonest, stamped| soonest.or_sooner(stamped.deadline))
    }

    fn forget(&self) {}

    fn due(&self, _: Option<&[u8]>, moment: Moment, _: usize, _: usize) -> Result<Found, Infallible> {
        let due = self.0.iter().filter(|(_, stamped)| stamped.is_due(moment));
        let due = due.map(|(key, stamped)| (key.clone(), stamped.content.len())).collect();
        Ok(Found { due, soonest: self.soonest(), last: None, keys: self.0.len() })
    }
}
