//! Frozen views: memtables over tables, the newest that knows a key decides.

use super::failure::unreadable;
use super::memtable::{Memtable, Seen};
use super::tables::lsm::{Entries, Tree};
use super::tables::{FIRST, Tables};
use super::values::{Files, Pointer, PointerTarget, Stored};
use crate::damage::DamagedParts;
use crate::database::DatabaseError;
use crate::encoding::dominated::is_version;
use crate::encoding::key;
use bytes::Bytes;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Memtables, the newest first.
pub(crate) type Memtables = Arc<[Arc<Memtable>]>;

type Entry = (Bytes, Stored);

/// What was there at one moment, kept for as long as this lives.
pub(crate) struct View {
    pub(crate) tables: Arc<Tables>,
    pub(crate) tree: Arc<Tree>,
    /// Where the tree has gaps (rule S3).
    pub(crate) damaged: Arc<DamagedParts>,
    pub(crate) memtables: Memtables,
    pub(crate) files: Files,
    /// Changes below this number are seen.
    pub(crate) at: u64,
}

impl View {
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DatabaseError> {
        self.damaged.check(key)?;
        if let Some(seen) = self.memtables.iter().find_map(|memtable| memtable.get(key, self.at)) {
            return Ok(seen);
        }
        match self.tree.get(key, self.at)? {
            Some(bytes) => self.value(key, Stored::read(bytes)?),
            None => Ok(None),
        }
    }

    /// The entries within a bound, upwards.
    pub(crate) fn up_from(&self, from: Bound<&[u8]>) -> Upwards {
        let ahead = |memtable: &Arc<Memtable>| Some(memtable.first(from, self.at).map(stored));
        Upwards {
            memtables: self.memtables.iter().map(ahead).collect(),
            tables: self.table_entries(from, Bound::Unbounded),
            table: None,
        }
    }

    /// The last entry within a bound.
    pub(crate) fn last_to(&self, to: Bound<&[u8]>) -> Result<Option<Entry>, DatabaseError> {
        let mut bound = to.map(Bytes::copy_from_slice);
        loop {
            let to = bound.as_ref().map(|to| &to[..]);
            // Below the first key of all there is nothing; the engine's ranges may not be upside down.
            if matches!(to, Bound::Excluded(to) if to <= FIRST) {
                return Ok(None);
            }
            let in_memory = |memtable: &Arc<Memtable>| memtable.last(FIRST, to, self.at).map(stored);
            let mut candidates: Vec<StoredEntry> = self.memtables.iter().filter_map(in_memory).collect();
            if let Some(entry) = self.table_entries(Bound::Included(FIRST), to).next_back() {
                candidates.push(read(entry?)?);
            }
            // Of equal keys the first one, the newest.
            let Some((key, last)) = candidates.into_iter().rev().max_by(|a, b| a.0.cmp(&b.0)) else {
                return Ok(None);
            };
            if let Some(last) = last
                && self.is_there(&key, &last)?
            {
                return Ok(Some((key, last)));
            }
            bound = Bound::Excluded(key);
        }
    }

    /// What is in the tables alone, by key; the newest of each key.
    pub(crate) fn in_tables(&self) -> impl Iterator<Item = Result<(Bytes, Stored), DatabaseError>> {
        self.table_entries(Bound::Included(FIRST), Bound::Unbounded).map(|entry| {
            let (key, bytes) = entry?;
            Ok((key, Stored::read(bytes)?))
        })
    }

    /// The value that a table has for a key; `None` if it is garbage whose segment is gone.
    pub(crate) fn value(&self, key: &[u8], stored: Stored) -> Result<Option<Bytes>, DatabaseError> {
        match stored {
            Stored::Value(value) => Ok(Some(value)),
            Stored::At(pointer, _) => {
                self.tables.large_reads.fetch_add(1, Ordering::Relaxed);
                match self.files.read(&pointer) {
                    Ok(PointerTarget::Value(value)) => Ok(Some(value)),
                    Ok(PointerTarget::Gone) | Err(DatabaseError::Unreadable { .. })
                        if self.is_dominated(key)? =>
                    {
                        Ok(None)
                    }
                    Ok(PointerTarget::Gone) => Err(is_gone(&pointer)),
                    Err(why) => Err(why),
                }
            }
        }
    }

    /// The first bytes of a value, without the rest of it.
    pub(crate) fn head(&self, stored: &Stored, length: usize) -> Result<Bytes, DatabaseError> {
        match stored {
            Stored::Value(value) => Ok(value.slice(..length.min(value.len()))),
            Stored::At(_, head) if length <= head.len() => Ok(head.slice(..length)),
            Stored::At(pointer, _) => match self.files.read_head(pointer, length)? {
                PointerTarget::Value(head) => Ok(head),
                PointerTarget::Gone => Err(is_gone(pointer)),
            },
        }
    }

    /// Whether a key is there; not, if it is garbage whose segment is gone. If its segment is gone and it is not garbage, it is
    /// there without its value: that is lost, and the key and its version are not (rule S3).
    fn is_there(&self, key: &[u8], stored: &Stored) -> Result<bool, DatabaseError> {
        match stored {
            Stored::At(pointer, _) if !self.files.have(pointer) => Ok(!self.is_dominated(key)?),
            _ => Ok(true),
        }
    }

    /// Whether this view has a newer version of the key that this data key is of (rule G1).
    fn is_dominated(&self, data_key: &[u8]) -> Result<bool, DatabaseError> {
        if !is_version(data_key) {
            return Ok(false);
        }
        let newest = self.up_from(Bound::Included(key::prefix_of(data_key))).next_stored(self, None)?;
        Ok(newest.is_some_and(|(newest, _)| &newest[..] < data_key))
    }

    fn table_entries(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Entries {
        self.tree.range(from, to, self.at)
    }
}

fn is_gone(pointer: &Pointer) -> DatabaseError {
    unreadable(format!("the journal segment of {pointer:?} is gone"))
}

impl Drop for View {
    fn drop(&mut self) {
        self.tables.look_away(self.at);
    }
}

/// A key and what a source has for it; `None`: its end.
type StoredEntry = (Bytes, Option<Stored>);

fn read((key, bytes): (Bytes, Bytes)) -> Result<StoredEntry, DatabaseError> {
    Ok((key, Some(Stored::read(bytes)?)))
}

fn stored((key, value): Seen) -> StoredEntry {
    (key, value.map(Stored::Value))
}

/// What a source has next; `None`: to be looked up, when it is asked for.
type Ahead = Option<Option<StoredEntry>>;

/// A walk upwards through a view.
pub(crate) struct Upwards {
    memtables: Vec<Ahead>,
    tables: Entries,
    table: Ahead,
}

impl Upwards {
    /// The next entry. `view` is the one that this was made of; `after` the last entry's key.
    pub(crate) fn next(
        &mut self,
        view: &View,
        after: Option<&Bytes>,
    ) -> Result<Option<Entry>, DatabaseError> {
        let mut after = after.cloned();
        while let Some((key, stored)) = self.next_stored(view, after.as_ref())? {
            if view.is_there(&key, &stored)? {
                return Ok(Some((key, stored)));
            }
            after = Some(key);
        }
        Ok(None)
    }

    /// The same, with what is garbage and gone.
    fn next_stored(
        &mut self,
        view: &View,
        after: Option<&Bytes>,
    ) -> Result<Option<(Bytes, Stored)>, DatabaseError> {
        let mut after = after.cloned();
        loop {
            let from = after.as_ref().map_or(Bound::Unbounded, |key| Bound::Excluded(&key[..]));
            for (memtable, ahead) in view.memtables.iter().zip(&mut self.memtables) {
                ahead.get_or_insert_with(|| memtable.first(from, view.at).map(stored));
            }
            if self.table.is_none() {
                self.table = Some(self.tables.next().transpose()?.map(read).transpose()?);
            }
            // The newest source first.
            let ahead = self.memtables.iter().chain([&self.table]).flatten().flatten();
            let Some(key) = ahead.map(|(key, _)| key).min().cloned() else { return Ok(None) };
            // The first that has the key decides; all that have it move on.
            let mut decided = None;
            for ahead in self.memtables.iter_mut().chain([&mut self.table]) {
                let is_it = |next: &mut Option<StoredEntry>| next.as_ref().is_some_and(|next| next.0 == key);
                if let Some((_, stored)) = ahead.take_if(is_it).flatten() {
                    decided.get_or_insert(stored);
                }
            }
            match decided.flatten() {
                Some(stored) => return Ok(Some((key, stored))),
                None => after = Some(key),
            }
        }
    }
}
