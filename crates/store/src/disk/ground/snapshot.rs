//! Frozen views of the disk engine, and positions in them.

use super::tables::FIRST;
use super::values::Stored;
use super::view::{Upwards, View};
use crate::damage::{DamagedParts, Guarded};
use crate::database::{DatabaseError, DatabaseIterator, Snapshot};
use bytes::Bytes;
use std::ops::Bound;
use std::sync::Arc;

/// A frozen view of a [`DiskDatabase`](crate::DiskDatabase).
pub struct DiskSnapshot {
    pub(crate) view: Arc<View>,
}

impl DiskSnapshot {
    fn guarded(&self, parts: Arc<DamagedParts>) -> Guarded<DiskIterator> {
        Guarded::new(DiskIterator { ahead: None, at: None, view: self.view.clone() }, parts)
    }
}

impl Snapshot for DiskSnapshot {
    type Iterator = Guarded<DiskIterator>;

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DatabaseError> {
        self.view.get(key)
    }

    fn iterator(&self) -> Guarded<DiskIterator> {
        self.guarded(self.view.damaged.clone())
    }

    fn lost(&self) -> Arc<DamagedParts> {
        self.view.damaged.clone()
    }

    fn stored(&self) -> Guarded<DiskIterator> {
        self.guarded(Arc::default())
    }
}

/// A position in a [`DiskSnapshot`]. Going up uses one walk; every other move begins anew.
pub struct DiskIterator {
    ahead: Option<Upwards>,
    at: Option<(Bytes, Stored)>,
    view: Arc<View>,
}

impl DiskIterator {
    fn up_from(&mut self, from: Bound<&[u8]>) -> Result<(), DatabaseError> {
        (self.at, self.ahead) = (None, None);
        let mut ahead = self.view.up_from(from);
        self.at = ahead.next(&self.view, None)?;
        self.ahead = Some(ahead);
        Ok(())
    }

    fn down_from(&mut self, to: Bound<&[u8]>) -> Result<(), DatabaseError> {
        (self.at, self.ahead) = (None, None);
        self.at = self.view.last_to(to)?;
        Ok(())
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
        let Some((key, _)) = self.at.take() else { return Ok(()) };
        if let Some(ahead) = &mut self.ahead {
            self.at = ahead.next(&self.view, Some(&key))?;
            return Ok(());
        }
        self.up_from(Bound::Excluded(&key))
    }

    fn prev(&mut self) -> Result<(), DatabaseError> {
        let Some((key, _)) = self.at.take() else { return Ok(()) };
        self.down_from(Bound::Excluded(&key))
    }

    fn key(&self) -> Option<&Bytes> {
        self.at.as_ref().map(|(key, _)| key)
    }

    fn value_length(&self) -> Option<usize> {
        self.at.as_ref().map(|(_, stored)| stored.length())
    }

    fn head(&self, length: usize) -> Result<Option<Bytes>, DatabaseError> {
        let Some((_, stored)) = &self.at else { return Ok(None) };
        self.view.head(stored, length).map(Some)
    }

    fn value(&self) -> Result<Option<Bytes>, DatabaseError> {
        let Some((key, stored)) = &self.at else { return Ok(None) };
        self.view.value(key, stored.clone())
    }
}
