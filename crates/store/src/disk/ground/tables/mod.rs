//! The ordered map: a memtable, and sorted tables on disk ([`lsm`]).
//!
//! What is put here is durable already: the journal has it. So all that a snapshot shows is durable (rule S2), and a
//! full disk only puts the tables off.

pub(crate) mod head;
pub(crate) mod lsm;
pub(crate) mod stays;
pub(crate) mod writeback;

use super::failure::damaged;
use super::memtable::{Memtable, Size};
use super::values::{Files, LargeValues, Location, Stored};
use super::view::{Memtables, View};
use crate::damage::DamagedParts;
use crate::database::{Change, DatabaseError};
use crate::files::OpenFile;
use bytes::Bytes;
use head::FLUSHED_KEY;
use lsm::Tree;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Keys that begin with zero are the engine's own: iterators begin here.
pub(crate) const FIRST: &[u8] = &[1];

/// The tree and who looks at it.
pub(crate) struct Tables {
    /// Snapshots see what is below this. It moves when a batch is complete, so a batch appears whole.
    visible: AtomicU64,
    views: Mutex<Views>,
    /// Whether anything of the tables was lost.
    has_lost: AtomicBool,
    /// How many large values views have read.
    pub(crate) large_reads: AtomicU64,
}

/// What is looked at.
struct Views {
    tree: Arc<Tree>,
    /// Where the tree has gaps.
    damaged: Arc<DamagedParts>,
    /// How many snapshots look from which point.
    looking: BTreeMap<u64, usize>,
    /// The one that takes batches, then those that are full.
    memtables: Memtables,
    /// Where their large values are.
    files: Files,
}

/// A memtable that is full, and the last batch in it.
pub(crate) struct Full {
    pub(crate) memtable: Arc<Memtable>,
    pub(crate) last: u64,
}

impl Tables {
    /// Over a tree with these gaps.
    pub(crate) fn new(tree: Tree, damaged: DamagedParts) -> Self {
        let (visible, has_lost) = (AtomicU64::new(tree.end()), AtomicBool::new(!damaged.is_empty()));
        let views = Views {
            tree: Arc::new(tree),
            damaged: Arc::new(damaged),
            looking: BTreeMap::new(),
            memtables: [Arc::default()].into(),
            files: Files::default(),
        };
        Self { visible, views: Mutex::new(views), has_lost, large_reads: AtomicU64::new(0) }
    }

    /// The tables that there are now. Not while views are held.
    pub(crate) fn tree(&self) -> Arc<Tree> {
        self.views().tree.clone()
    }

    /// Has new views look at another tree, with these gaps.
    pub(crate) fn replace(&self, tree: Arc<Tree>, damaged: DamagedParts) {
        let mut views = self.views();
        self.has_lost.store(!damaged.is_empty(), Ordering::Release);
        (views.tree, views.damaged) = (tree, Arc::new(damaged));
    }

    /// Whether anything of the tables was lost.
    pub(crate) fn has_lost(&self) -> bool {
        self.has_lost.load(Ordering::Acquire)
    }

    /// The parts of the tables that were lost.
    pub(crate) fn damaged(&self) -> Arc<DamagedParts> {
        self.views().damaged.clone()
    }

    /// The last batch of which it is known that everything up to it is in synced tables.
    pub(crate) fn flushed(&self) -> Result<u64, DatabaseError> {
        let Some(bytes) = self.tree().get_newest(FLUSHED_KEY)? else { return Ok(0) };
        let last = bytes.first_chunk().map(|last| u64::from_be_bytes(*last));
        last.ok_or_else(|| damaged(format!("a batch number has {} bytes", bytes.len())))
    }

    /// Makes a durable batch visible. For one caller at a time, as [`Tables::seal`] and [`Tables::settle`].
    pub(crate) fn apply(&self, changes: Vec<Change>, large: &LargeValues) {
        // To its end: whoever begins to look meanwhile would miss what the batch hides, and not see the batch.
        let mut views = self.views();
        if let Some((segment, file)) = &large.segment {
            views.files.add(*segment, file);
        }
        let unseen = views.looking.is_empty();
        let hidden = views.memtables[0].insert(changes, large, views.tree.next_number(), unseen);
        self.visible.store(views.tree.end(), Ordering::Release);
        drop(views);
        drop(hidden);
    }

    /// Has new views know a segment that pointers lead to.
    pub(crate) fn add_file(&self, segment: u64, file: &Arc<dyn OpenFile>) {
        self.views().files.add(segment, file);
    }

    /// Has new views not know a segment any more.
    pub(crate) fn remove_file(&self, segment: u64) {
        self.views().files.remove(segment);
    }

    /// The size of the memtable that takes batches.
    pub(crate) fn memtable_size(&self) -> Size {
        self.active().size()
    }

    /// Closes the memtable, whose last batch is `last`; `None` if it is empty.
    pub(crate) fn seal(&self, last: u64) -> Option<Full> {
        if self.active().len() == 0 { None } else { Some(self.seal_any(last)) }
    }

    /// The same for a memtable that may be empty: the tables then say that they hold everything up to `last`.
    pub(crate) fn seal_any(&self, last: u64) -> Full {
        let memtable = self.active();
        let flushed =
            Change::Put(Bytes::from_static(FLUSHED_KEY), Bytes::copy_from_slice(&last.to_be_bytes()));
        memtable.insert(vec![flushed], &LargeValues::default(), self.tree().next_number(), false);
        let mut views = self.views();
        views.memtables = std::iter::once(Arc::default()).chain(views.memtables.iter().cloned()).collect();
        self.visible.store(views.tree.end(), Ordering::Release);
        Full { memtable, last }
    }

    /// Lets new snapshots see the newest set of tables in place of the memtables that are in it, and lets go of older sets
    /// that no snapshot uses. While no batch is being applied.
    pub(crate) fn settle(&self) {
        let mut views = self.views();
        // In this order: where a memtable is left out, the set of tables that has it must be visible.
        let left = views.memtables.iter().filter(|memtable| !memtable.is_flushed());
        views.memtables = left.cloned().collect();
        let tree = views.tree.clone();
        self.visible.store(tree.end(), Ordering::Release);
        drop(views);
        // The newest set below this is what the oldest snapshot looks at.
        if let Err(why) = tree.let_go(self.horizon() + 1) {
            log::warn!("cannot delete an old list of tables: {why}");
        }
    }

    /// Bytes of all tables.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.tree().disk_bytes()
    }

    /// How many user keys there are, about: those of each table and memtable, whether or not another one has them, too.
    pub(crate) fn keys_estimate(&self) -> u64 {
        let memtables = self.views().memtables.clone();
        // In this order: a memtable that becomes a table meanwhile counts twice in place of not at all.
        let in_memory = memtables.iter().filter(|memtable| !memtable.is_flushed());
        in_memory.map(|memtable| memtable.keys() as u64).sum::<u64>() + self.tree().versions()
    }

    fn views(&self) -> MutexGuard<'_, Views> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The memtable that takes batches.
    fn active(&self) -> Arc<Memtable> {
        self.views().memtables[0].clone()
    }

    /// Everything that a snapshot may look at is at or above this.
    pub(crate) fn horizon(&self) -> u64 {
        let views = self.views();
        let visible = self.visible.load(Ordering::Acquire);
        views.looking.keys().next().map_or(visible, |oldest| *oldest).saturating_sub(1)
    }

    /// A frozen view.
    pub(crate) fn look(self: &Arc<Self>) -> View {
        let mut views = self.views();
        // Under the lock: no memtable comes or goes between the two.
        let at = self.visible.load(Ordering::Acquire);
        *views.looking.entry(at).or_default() += 1;
        View {
            tables: self.clone(),
            tree: views.tree.clone(),
            damaged: views.damaged.clone(),
            memtables: views.memtables.clone(),
            files: views.files.clone(),
            at,
        }
    }

    /// Whether a key's newest value is the one at a location, and is known from a table.
    pub(crate) fn is_at(&self, key: &[u8], location: Location) -> Result<bool, DatabaseError> {
        let (tree, memtables, at) = {
            let views = self.views();
            (views.tree.clone(), views.memtables.clone(), self.visible.load(Ordering::Acquire))
        };
        if memtables.iter().any(|memtable| memtable.get(key, at).is_some()) {
            return Ok(false);
        }
        let Some(bytes) = tree.get(key, at)? else { return Ok(false) };
        Ok(matches!(Stored::read(bytes)?, Stored::At(pointer, _) if pointer.location == location))
    }

    /// The end of a view.
    pub(crate) fn look_away(&self, at: u64) {
        let mut views = self.views();
        if let Some(count) = views.looking.get_mut(&at) {
            *count -= 1;
            if *count == 0 {
                views.looking.remove(&at);
            }
        }
    }
}
