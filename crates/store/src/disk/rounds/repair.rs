//! What becomes of damaged tables: a new table of what is left of each, and the memory of what is not (rule S3).
//!
//! A read that meets damage raises a suspicion and abstains. The thread that merges tables then looks into all of them, as it does
//! when a merge meets damage; so what was found once is found once. What was lost is remembered durably before the tables have no
//! gap any more, and from then on views know it from there.

use super::upkeep::Upkeep;
use crate::damage::Part;
use crate::database::DatabaseError;
use crate::disk::ground::failure::damaged;
use crate::disk::ground::lost::Lost;
use crate::disk::ground::tables::head::FLUSHED_KEY;
use crate::disk::ground::tables::lsm::{Depth, Row, Salvaged, Suspicion, Tree, first_free_number};
use crate::files::System;
use bytes::{Buf, Bytes};
use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// When all tables were read and none was damaged, the next suspicion waits this long: to read them all is much work.
const LOOK_INTO_AFTER: Duration = Duration::from_secs(60);

/// Under this key, which no user has, tables say how many parts were lost, so that it is noticed when the file is gone that
/// says which.
const LOST_KEY: &[u8] = b"\x00lost";

/// What tables say of how many parts were lost.
fn known(tree: &Tree) -> Result<usize, DatabaseError> {
    let Some(mut bytes) = tree.get_newest(LOST_KEY)? else { return Ok(0) };
    let count = bytes.try_get_u32().map_err(|_| damaged("a count of lost parts has too few bytes"))?;
    Ok(count as usize)
}

/// Has tables say how many parts were lost. While nobody writes tables.
pub(super) fn tell(tree: &Tree, lost: &Lost, horizon: impl FnOnce() -> u64) -> Result<(), DatabaseError> {
    let count = u32::try_from(lost.count()).unwrap_or(u32::MAX);
    let value = Some(Bytes::copy_from_slice(&count.to_be_bytes()));
    let row = Row { key: Bytes::from_static(LOST_KEY), value, number: tree.next_number() };
    tree.flush(std::iter::once(row), horizon)
}

/// Opens the tables in `path`, after those were replaced that cannot be opened.
/// Fails with [`DatabaseError::Damaged`] when it is not known which tables there are, or which of their keys were lost.
pub(crate) fn open(path: &Path, cache_bytes: u64) -> Result<(Tree, Lost), DatabaseError> {
    let mut lost = Lost::read(&System, path)?;
    if Tree::missing_part(path).is_ok_and(|missing| missing.is_none()) {
        salvage(path, Depth::Opens, &mut lost)?;
    }
    let mut tree = Tree::open(path, cache_bytes)?;
    // What has to be read before anything else.
    let own = tree.get_newest(FLUSHED_KEY).and_then(|_| known(&tree));
    if let Err(DatabaseError::Unreadable { why, .. }) = own {
        drop(tree);
        if !salvage(path, Depth::All, &mut lost)? {
            return Err(damaged(format!("{} cannot be read: {why}", path.display())));
        }
        tree = Tree::open(path, cache_bytes)?;
    }
    let known = known(&tree)?;
    if lost.count() < known && !lost.is_everything() {
        return Err(damaged(format!(
            "{known} parts of the tables were lost, and the file that says which is gone from {}",
            path.display()
        )));
    }
    if lost.count() != known {
        // No snapshot looks at anything yet.
        tell(&tree, &lost, || 0)?;
    }
    Ok((tree, lost))
}

/// Replaces damaged tables that nobody has opened.
fn salvage(path: &Path, depth: Depth, lost: &mut Lost) -> Result<bool, DatabaseError> {
    let mut free = first_free_number(path)?;
    let next_number = || {
        free += 1;
        free - 1
    };
    Tree::salvage(path, depth, None, next_number, |salvaged| remember(path, lost, salvaged))
}

fn remember(path: &Path, lost: &mut Lost, salvaged: &Salvaged) -> Result<(), DatabaseError> {
    let mut more = lost.clone();
    salvaged.lost.iter().for_each(|part| more.add(part.clone()));
    more.flushed |= salvaged.lost_own;
    if more != *lost {
        more.write(&System, path)?;
        *lost = more;
    }
    Ok(())
}

impl Upkeep {
    /// Who hears of reads that find damage.
    pub(crate) fn suspicion(&self) -> Arc<Suspicion> {
        self.tables.tree().suspicion().clone()
    }

    /// Whether the tables may hold more than they say (`Tables::flushed`).
    pub(crate) fn flushed_is_lost(&self) -> bool {
        self.lost().flushed
    }

    /// The tables say what they hold again.
    pub(crate) fn flushed_is_known(&self) -> Result<(), DatabaseError> {
        let mut lost = self.lost();
        if lost.flushed {
            let mut known = lost.clone();
            known.flushed = false;
            known.write(&System, self.tables.tree().path())?;
            *lost = known;
        }
        Ok(())
    }

    /// Looks into what reads have found, if they have.
    pub(crate) fn look_into_suspicion(&self) -> Result<(), DatabaseError> {
        if !self.suspicion().is_raised() {
            return Ok(());
        }
        self.unless_in_doubt(|| {
            let merging = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
            self.repair(&merging, false).map(drop)
        })
    }

    /// Reads all tables, and replaces those that are damaged; whether there were any. Nobody merges tables meanwhile. Unless it is
    /// to be at once, not soon after it was in vain.
    pub(crate) fn repair(&self, _: &MutexGuard<'_, ()>, at_once: bool) -> Result<bool, DatabaseError> {
        let mut looked_into = self.looked_into.lock().unwrap_or_else(PoisonError::into_inner);
        if !at_once && looked_into.is_some_and(|looked| looked.elapsed() < LOOK_INTO_AFTER) {
            return Ok(false);
        }
        let _flushing = self.flushing();
        self.check_current()?;
        // What is found from here on is looked into again.
        self.suspicion().settle();
        // In vain, unless something was found and replaced.
        *looked_into = Some(Instant::now());
        // What costs most keys for the time being is found first.
        let mut found = false;
        for depth in [Depth::Finds, Depth::All] {
            found |= self.replace_damaged(depth, None)?;
        }
        if found {
            *looked_into = None;
        }
        Ok(found)
    }

    /// Reads one table, and replaces it if it is damaged; whether it was.
    pub(crate) fn repair_table(&self, number: u64) -> Result<bool, DatabaseError> {
        let mut found = false;
        self.unless_in_doubt(|| {
            let _merging = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
            let _flushing = self.flushing();
            self.check_current()?;
            found = self.replace_damaged(Depth::All, Some(number))?;
            Ok(())
        })?;
        Ok(found)
    }

    /// Remembers that something is lost which no table lacks.
    pub(crate) fn lose(&self, parts: Vec<Part>) -> Result<(), DatabaseError> {
        self.unless_in_doubt(|| {
            let _flushing = self.flushing();
            let (tree, mut lost) = (self.tables.tree(), self.lost());
            remember(tree.path(), &mut lost, &Salvaged { lost: parts, lost_own: false })?;
            self.tables.replace(tree.clone(), lost.parts());
            self.tell_or_later(&tree, &lost)
        })
    }

    /// Has tables say how many parts were lost; if there is no room, the next start does.
    fn tell_or_later(&self, tree: &Tree, lost: &Lost) -> Result<(), DatabaseError> {
        match tell(tree, lost, || self.tables.horizon()) {
            Err(DatabaseError::Full(why)) => {
                log::warn!("no room to say what was lost: {why}");
                Ok(())
            }
            told => told,
        }
    }

    /// Replaces damaged tables, or one of them; whether there were any. While nobody writes or merges tables.
    fn replace_damaged(&self, depth: Depth, only: Option<u64>) -> Result<bool, DatabaseError> {
        let old = self.tables.tree();
        let mut lost = self.lost();
        let remember = |salvaged: &Salvaged| remember(old.path(), &mut lost, salvaged);
        let salvaged = Tree::salvage(old.path(), depth, only, || old.take_number(), remember);
        let in_doubt = |why: DatabaseError| self.in_doubt(format!("tables were replaced: {why}"));
        let salvaged = salvaged.map_err(|why| match why {
            // The disk may have another list of tables by now.
            DatabaseError::Fatal(_) => in_doubt(why),
            other => other,
        })?;
        if !salvaged {
            return Ok(false);
        }
        let opened = Arc::new(old.opened_anew().map_err(in_doubt)?);
        self.tables.replace(opened.clone(), lost.parts());
        self.tell_or_later(&opened, &lost)?;
        Ok(true)
    }
}
