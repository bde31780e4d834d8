//! A node's store, as its replica and its repair see it. What it says is durable it is held to.

use crate::checks::Conviction;
use crate::checks::monotone::Monotone;
use crate::disk::SimDatabase;
use abd::{Ballot, Deadline, Glimpse, Moment, Newest, StampedValue, UpdateId, Version, VersionStore};
use bytes::Bytes;
use node::inquiry::listing::{ListLimits, ListedKey, Listing, Lists};
use node::repair::ranges::{Page, Range, Ranges};
use node::sweep::{Deadlines, Found};
use node::sync::source::{Source, SourcePage};
use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::rc::Rc;
use std::sync::Arc;
use store::{DatabaseError, Due, KeyRange, MultiVersionStore, Trust, WalkLimits, WalkedPage};

/// What is shown instead of a value that is hidden.
const HIDDEN: Newest = Newest { stamped: StampedValue::NEVER, durable: true };

/// The store of a running process.
pub(crate) struct View {
    pub(crate) versions: MultiVersionStore<Arc<SimDatabase>>,
    pub(crate) database: Arc<SimDatabase>,
    /// What is on its way to the disk and shown already.
    pub(crate) early: RefCell<Vec<(Bytes, StampedValue)>>,
    /// What is said about it.
    pub(crate) early_is_durable: bool,
    pub(crate) node: u32,
    pub(crate) monotone: Rc<RefCell<Monotone>>,
    /// Nothing is expected of its node.
    pub(crate) is_replaced: Cell<bool>,
    pub(crate) conviction: RefCell<Option<Conviction>>,
    /// The mutant `serves-closed-base`: the key, and what is shown as its newest version.
    pub(crate) shown: RefCell<Option<(Bytes, Version)>>,
    /// The mutant `hides-expired`: what is due at this moment is not shown.
    pub(crate) hides_due_at: Cell<Moment>,
}

impl View {
    /// Keeps the first thing that must never have happened.
    pub(super) fn convict(&self, result: Result<(), Conviction>) {
        if let Err(conviction) = result {
            self.conviction.borrow_mut().get_or_insert(conviction);
        }
    }

    /// What a lie shows instead of a version.
    fn shown_below(&self, key: &[u8], newest: Version) -> Option<Glimpse> {
        let shown = self.shown.borrow();
        let (_, version) = shown.as_ref().filter(|(of, version)| of == key && *version < newest)?;
        let (version, deadline, update) = (*version, Deadline::NONE, UpdateId::NONE);
        Some(Glimpse { version, present: true, deadline, update, content: None, durable: true })
    }

    /// Whether it is not shown, as it has expired.
    fn hides(&self, present: bool, deadline: Deadline) -> bool {
        present && deadline.has_passed(self.hides_due_at.get())
    }

    /// The newest of what is shown early, if it is above `have`.
    fn early_above(&self, key: &[u8], have: Version) -> Option<Newest> {
        let early = self.early.borrow();
        let above = early.iter().filter(|(early, stamped)| early == key && stamped.version > have);
        let (_, stamped) = above.max_by_key(|(_, stamped)| stamped.version)?;
        Some(Newest { stamped: stamped.clone(), durable: self.early_is_durable })
    }

    /// Holds the node to what its replica is about to say.
    fn note(&self, key: &[u8], version: Version, durable: bool) {
        if self.is_replaced.get() {
            return;
        }
        let mut monotone = self.monotone.borrow_mut();
        self.convict(monotone.reports(self.node, key, version));
        if durable {
            monotone.promises(self.node, key, version);
        }
    }
}

impl VersionStore for View {
    type Error = DatabaseError;

    fn newest(&self, key: &[u8]) -> Result<Newest, DatabaseError> {
        let newest = self.versions.newest(key)?;
        let newest = self.early_above(key, newest.stamped.version).unwrap_or(newest);
        if self.hides(newest.stamped.content.is_value(), newest.stamped.deadline) {
            return Ok(HIDDEN);
        }
        self.note(key, newest.stamped.version, newest.durable);
        Ok(newest)
    }

    fn newest_above(&self, key: &[u8], have: Version) -> Result<Glimpse, DatabaseError> {
        let glimpse = self.versions.newest_above(key, have)?;
        if let Some(shown) = self.shown_below(key, glimpse.version) {
            return Ok(shown);
        }
        let early = self.early_above(key, glimpse.version);
        let glimpse = early.map_or(glimpse, |newest| newest.glimpse(have));
        if self.hides(glimpse.present, glimpse.deadline) {
            return Ok(HIDDEN.glimpse(have));
        }
        self.note(key, glimpse.version, glimpse.durable);
        Ok(glimpse)
    }

    fn remembered_above(&self, key: &[u8], have: Version) -> Option<Glimpse> {
        // What is shown early says nothing about what is on the disk.
        let known = self.versions.remembered_above(key, have)?;
        if let Some(shown) = self.shown_below(key, known.version) {
            return Some(shown);
        }
        let early = self.early_above(key, known.version);
        let glimpse = early.map_or(known, |newest| newest.glimpse(have));
        if self.hides(glimpse.present, glimpse.deadline) {
            return Some(HIDDEN.glimpse(have));
        }
        self.note(key, glimpse.version, glimpse.durable);
        Some(glimpse)
    }

    fn mark(&self) -> Ballot {
        self.versions.mark()
    }

    fn is_damage(why: &DatabaseError) -> bool {
        matches!(why, DatabaseError::Unreadable { .. })
    }
}

impl Ranges for View {
    type Error = DatabaseError;

    fn walk(&self, range: &Range, at_most: usize, bytes_max: usize) -> Result<Page, DatabaseError> {
        let walked =
            self.versions.walk(range.after.as_deref(), range.up_to.as_deref(), at_most, bytes_max)?;
        Ok(Page { entries: walked.entries, is_last: walked.is_last })
    }

    fn version(&self, key: &[u8]) -> Result<Option<Version>, DatabaseError> {
        match self.versions.newest_above(key, Version::MAX) {
            Ok(glimpse) => Ok(Some(glimpse.version)),
            Err(why) if Self::is_damage(&why) => Ok(None),
            Err(why) => Err(why),
        }
    }
}

impl Lists for View {
    fn list(
        &self,
        after: Option<&[u8]>,
        beginning: &[u8],
        limits: ListLimits,
        wanted: impl FnMut(&[u8]) -> bool,
    ) -> Result<Listing, DatabaseError> {
        let ListLimits { present, looked_at, bytes } = limits;
        let limits = store::ListLimits { present, looked_at, bytes };
        let store::Listing { entries, told_up_to } = self.versions.list(after, beginning, limits, wanted)?;
        let entry = |store::ListedKey { key, version, present, deadline }| ListedKey {
            key,
            version,
            present,
            deadline,
        };
        Ok(Listing { entries: entries.into_iter().map(entry).collect(), told_up_to })
    }

    fn order(one: &[u8], other: &[u8]) -> Ordering {
        store::versions::order(one, other)
    }
}

impl Source for View {
    fn contents(
        &self,
        range: &Range,
        keys: usize,
        bytes: usize,
    ) -> Result<SourcePage<StampedValue>, DatabaseError> {
        let (after, up_to) = (range.after.as_deref(), range.up_to.as_deref());
        let limits = WalkLimits { keys, bytes };
        self.versions.walk_contents(after, up_to, limits, Trust::Whole).map(source_page)
    }

    fn versions(
        &self,
        range: &Range,
        keys: usize,
        bytes: usize,
    ) -> Result<SourcePage<Version>, DatabaseError> {
        let (after, up_to) = (range.after.as_deref(), range.up_to.as_deref());
        let limits = WalkLimits { keys, bytes };
        self.versions.walk_versions(after, up_to, limits, Trust::Whole).map(source_page)
    }

    fn stored(&self, range: &Range, keys: usize, bytes: usize) -> Result<SourcePage<Version>, DatabaseError> {
        let (after, up_to) = (range.after.as_deref(), range.up_to.as_deref());
        let limits = WalkLimits { keys, bytes };
        self.versions.walk_versions(after, up_to, limits, Trust::Stored).map(source_page)
    }

    fn lost(&self) -> Vec<Range> {
        self.versions.lost_ranges().into_iter().map(of_keys).collect()
    }
}

fn source_page<T>(page: WalkedPage<T>) -> SourcePage<T> {
    let WalkedPage { entries, abstains, told_up_to } = page;
    SourcePage { entries, lost: abstains.into_iter().map(of_keys).collect(), told_up_to }
}

fn of_keys(KeyRange { after, up_to }: KeyRange) -> Range {
    Range { after, up_to }
}

impl Deadlines for View {
    type Error = DatabaseError;

    fn soonest(&self) -> Deadline {
        self.versions.soonest_deadline()
    }

    fn forget(&self) {
        self.versions.forget_deadlines();
    }

    fn due(
        &self,
        after: Option<&[u8]>,
        moment: Moment,
        at_most: usize,
        bytes_max: usize,
    ) -> Result<Found, DatabaseError> {
        let Due { due, soonest, last, keys } = self.versions.due(after, moment, at_most, bytes_max)?;
        Ok(Found { due, soonest, last, keys })
    }
}
