//! Frozen views of the disk engine, and positions in them.

use super::failure::engine_error;
use super::tables::{Entries, FIRST, View};
use crate::database::{DatabaseError, DatabaseIterator, Snapshot};
use bytes::Bytes;
use lsm_tree::{Guard, IterGuardImpl};
use std::ops::Bound;
use std::sync::Arc;

/// A frozen view of a [`DiskDatabase`](super::disk::DiskDatabase).
pub struct DiskSnapshot {
    pub(super) view: Arc<View>,
}

impl Snapshot for DiskSnapshot {
    type Iterator = DiskIterator;

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DatabaseError> {
        self.view.get(key)
    }

    fn iterator(&self) -> DiskIterator {
        DiskIterator { ahead: None, at: None, view: self.view.clone() }
    }
}

/// A position in a [`DiskSnapshot`]. Going up uses one engine iterator; every other move opens a new one.
pub struct DiskIterator {
    ahead: Option<Entries>,
    at: Option<(Bytes, Bytes)>,
    view: Arc<View>,
}

impl DiskIterator {
    fn stand(&mut self, guard: Option<IterGuardImpl>) -> Result<(), DatabaseError> {
        self.at = None;
        if let Some(guard) = guard {
            let (key, value) = guard.into_inner().map_err(engine_error)?;
            self.at = Some((Bytes::from(key), Bytes::from(value)));
        }
        Ok(())
    }

    fn up_from(&mut self, from: Bound<&[u8]>) -> Result<(), DatabaseError> {
        let mut ahead = self.view.range(from, Bound::Unbounded);
        let first = ahead.next();
        self.ahead = Some(ahead);
        self.stand(first)
    }

    fn down_from(&mut self, to: Bound<&[u8]>) -> Result<(), DatabaseError> {
        // Below the first key of all there is nothing; the engine's ranges may not be upside down.
        if matches!(to, Bound::Excluded(to) if to <= FIRST) {
            self.ahead = None;
            return self.stand(None);
        }
        let last = self.view.range(Bound::Included(FIRST), to).next_back();
        self.ahead = None;
        self.stand(last)
    }
}

impl DatabaseIterator for DiskIterator {
    fn seek(&mut self, key: &[u8]) -> Result<(), DatabaseError> {
        self.up_from(Bound::Included(key.max(FIRST)))
    }

    fn seek_to_first(&mut self) -> Result<(), DatabaseError> {
        self.up_from(Bound::Included(FIRST))
    }

    fn seek_to_last(&mut self) -> Result<(), DatabaseError> {
        self.down_from(Bound::Unbounded)
    }

    fn next(&mut self) -> Result<(), DatabaseError> {
        if self.at.is_none() {
            return Ok(());
        }
        if let Some(ahead) = &mut self.ahead {
            let next = ahead.next();
            return self.stand(next);
        }
        let Some((key, _)) = self.at.take() else { return Ok(()) };
        self.up_from(Bound::Excluded(&key))
    }

    fn prev(&mut self) -> Result<(), DatabaseError> {
        let Some((key, _)) = self.at.take() else { return Ok(()) };
        self.down_from(Bound::Excluded(&key))
    }

    fn entry(&self) -> Option<(&Bytes, &Bytes)> {
        self.at.as_ref().map(|(key, value)| (key, value))
    }
}
