//! Frozen views: memtables over tables, the newest that knows a key decides.

use super::failure::engine_error;
use super::memtable::{Memtable, Seen};
use super::tables::{FIRST, Tables};
use crate::database::DatabaseError;
use bytes::Bytes;
use lsm_tree::{AbstractTree, Guard, IterGuardImpl};
use std::ops::Bound;
use std::sync::Arc;

/// Memtables, the newest first.
pub(super) type Memtables = Arc<[Arc<Memtable>]>;

type Entry = (Bytes, Bytes);
type TableEntries = Box<dyn DoubleEndedIterator<Item = IterGuardImpl> + Send>;

/// What was there at one moment, kept for as long as this lives.
pub(super) struct View {
    pub(super) tables: Arc<Tables>,
    pub(super) memtables: Memtables,
    /// Changes below this number are seen.
    pub(super) at: u64,
}

impl View {
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DatabaseError> {
        match self.memtables.iter().find_map(|memtable| memtable.get(key, self.at)) {
            Some(seen) => Ok(seen),
            None => Ok(self.tables.tree().get(key, self.at).map_err(engine_error)?.map(Bytes::from)),
        }
    }

    /// The entries within a bound, upwards.
    pub(super) fn up_from(&self, from: Bound<&[u8]>) -> Upwards {
        let ahead = |memtable: &Arc<Memtable>| Ahead::At(memtable.first(from, self.at));
        Upwards {
            memtables: self.memtables.iter().map(ahead).collect(),
            tables: self.table_entries(from, Bound::Unbounded),
            table: Ahead::Unknown,
        }
    }

    /// The last entry within a bound.
    pub(super) fn last_to(&self, to: Bound<&[u8]>) -> Result<Option<Entry>, DatabaseError> {
        let mut bound = to.map(Bytes::copy_from_slice);
        loop {
            let to = bound.as_ref().map(|to| &to[..]);
            // Below the first key of all there is nothing; the engine's ranges may not be upside down.
            if matches!(to, Bound::Excluded(to) if to <= FIRST) {
                return Ok(None);
            }
            let in_memory = |memtable: &Arc<Memtable>| memtable.last(FIRST, to, self.at);
            let mut candidates: Vec<Seen> = self.memtables.iter().filter_map(in_memory).collect();
            if let Some(guard) = self.table_entries(Bound::Included(FIRST), to).next_back() {
                candidates.push(read(guard)?);
            }
            // Of equal keys the first one, the newest.
            let last = candidates.into_iter().rev().max_by(|a, b| a.0.cmp(&b.0));
            match last {
                None => return Ok(None),
                Some((key, Some(value))) => return Ok(Some((key, value))),
                Some((key, None)) => bound = Bound::Excluded(key),
            }
        }
    }

    fn table_entries(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> TableEntries {
        self.tables.tree().range::<&[u8], _>((from, to), self.at, None)
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.tables.look_away(self.at);
    }
}

fn read(guard: IterGuardImpl) -> Result<Seen, DatabaseError> {
    let (key, value) = guard.into_inner().map_err(engine_error)?;
    Ok((Bytes::from(key), Some(Bytes::from(value))))
}

/// What a source has next.
enum Ahead {
    /// To be looked up: only when it is asked for, as it may be a large value.
    Unknown,
    At(Option<Seen>),
}

/// A walk upwards through a view.
pub(super) struct Upwards {
    memtables: Vec<Ahead>,
    tables: TableEntries,
    table: Ahead,
}

impl Upwards {
    /// The next entry. `view` is the one that this was made of; `after` the last entry's key.
    pub(super) fn next(
        &mut self,
        view: &View,
        after: Option<&Bytes>,
    ) -> Result<Option<Entry>, DatabaseError> {
        let mut after = after.cloned();
        loop {
            let from = after.as_ref().map_or(Bound::Unbounded, |key| Bound::Excluded(&key[..]));
            for (memtable, ahead) in view.memtables.iter().zip(&mut self.memtables) {
                if let Ahead::Unknown = ahead {
                    *ahead = Ahead::At(memtable.first(from, view.at));
                }
            }
            if let Ahead::Unknown = self.table {
                self.table = Ahead::At(self.tables.next().map(read).transpose()?);
            }
            // The newest source first.
            let sources = || self.memtables.iter().chain([&self.table]);
            let Some(key) = sources().filter_map(Ahead::key).min().cloned() else { return Ok(None) };
            // The first that has the key decides; all that have it move on.
            let mut decided = None;
            for ahead in self.memtables.iter_mut().chain([&mut self.table]) {
                if let Some(value) = ahead.take(&key) {
                    decided.get_or_insert(value);
                }
            }
            match decided.flatten() {
                Some(value) => return Ok(Some((key, value))),
                None => after = Some(key),
            }
        }
    }
}

impl Ahead {
    fn key(&self) -> Option<&Bytes> {
        match self {
            Self::At(Some((key, _))) => Some(key),
            _ => None,
        }
    }

    /// What is said of this key, if it is the next one; then the one after it is unknown.
    fn take(&mut self, key: &Bytes) -> Option<Option<Bytes>> {
        if self.key() != Some(key) {
            return None;
        }
        match std::mem::replace(self, Self::Unknown) {
            Self::At(seen) => seen.map(|(_, value)| value),
            Self::Unknown => None,
        }
    }
}
