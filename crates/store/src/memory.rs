//! An ordered map in memory. Snapshots share it and a write copies it when somebody still looks: simple, and meant
//! for tests and simulations.

use crate::damage::DamagedParts;
use crate::database::{Change, Database, DatabaseError, DatabaseIterator, Snapshot, WriteBatch};
use crate::encoding::dominated::DominatedFilter;
use crate::encoding::space::Space;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

type Map = BTreeMap<Bytes, Bytes>;

/// A database that forgets everything when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryDatabase {
    map: Mutex<Arc<Map>>,
}

impl MemoryDatabase {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies a batch, which always succeeds.
    pub fn apply(&self, batch: WriteBatch) {
        let mut map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        let map = Arc::make_mut(&mut map);
        for change in batch.changes {
            match change {
                Change::Put(key, value) => map.insert(key, value),
                Change::Delete(key) => map.remove(&key),
            };
        }
    }

    /// Leaves dominated versions out, as an engine does that merges its tables.
    pub fn merge(&self) {
        let mut map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        let mut filter = DominatedFilter::new();
        Arc::make_mut(&mut map).retain(|key, _| !filter.is_dominated(key));
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.map.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Database for MemoryDatabase {
    type Snapshot = MemorySnapshot;

    fn write(&self, batch: WriteBatch) -> Result<(), DatabaseError> {
        self.apply(batch);
        Ok(())
    }

    fn keys_estimate(&self) -> u64 {
        let map = self.map.lock().unwrap_or_else(PoisonError::into_inner).clone();
        map.keys().filter(|key| Space::of(key) == Space::Versions).count() as u64
    }

    fn snapshot(&self) -> Result<MemorySnapshot, DatabaseError> {
        Ok(MemorySnapshot { map: self.map.lock().unwrap_or_else(PoisonError::into_inner).clone() })
    }
}

/// A frozen map.
#[derive(Clone, Debug)]
pub struct MemorySnapshot {
    map: Arc<Map>,
}

impl Snapshot for MemorySnapshot {
    type Iterator = MemoryIterator;

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DatabaseError> {
        Ok(self.map.get(key).cloned())
    }

    fn iterator(&self) -> MemoryIterator {
        MemoryIterator { map: self.map.clone(), at: None }
    }

    fn lost(&self) -> Arc<DamagedParts> {
        Arc::default()
    }

    fn stored(&self) -> MemoryIterator {
        self.iterator()
    }
}

/// A position in a frozen map.
#[derive(Clone, Debug)]
pub struct MemoryIterator {
    map: Arc<Map>,
    at: Option<(Bytes, Bytes)>,
}

fn owned((key, value): (&Bytes, &Bytes)) -> (Bytes, Bytes) {
    (key.clone(), value.clone())
}

impl DatabaseIterator for MemoryIterator {
    fn seek(&mut self, key: &[u8]) -> Result<(), DatabaseError> {
        self.at = self.map.range::<[u8], _>((Bound::Included(key), Bound::Unbounded)).next().map(owned);
        Ok(())
    }

    fn seek_to_first(&mut self) -> Result<(), DatabaseError> {
        self.at = self.map.first_key_value().map(owned);
        Ok(())
    }

    fn seek_to_last(&mut self) -> Result<(), DatabaseError> {
        self.at = self.map.last_key_value().map(owned);
        Ok(())
    }

    fn next(&mut self) -> Result<(), DatabaseError> {
        let behind = self.at.take().map(|(key, _)| (Bound::Excluded(key), Bound::Unbounded));
        self.at = behind.and_then(|behind| self.map.range(behind).next().map(owned));
        Ok(())
    }

    fn prev(&mut self) -> Result<(), DatabaseError> {
        let before = self.at.take().map(|(key, _)| (Bound::Unbounded, Bound::Excluded(key)));
        self.at = before.and_then(|before| self.map.range(before).next_back().map(owned));
        Ok(())
    }

    fn key(&self) -> Option<&Bytes> {
        self.at.as_ref().map(|(key, _)| key)
    }

    fn value_length(&self) -> Option<usize> {
        self.at.as_ref().map(|(_, value)| value.len())
    }

    fn head(&self, length: usize) -> Result<Option<Bytes>, DatabaseError> {
        Ok(self.at.as_ref().map(|(_, value)| value.slice(..length.min(value.len()))))
    }

    fn value(&self) -> Result<Option<Bytes>, DatabaseError> {
        Ok(self.at.as_ref().map(|(_, value)| value.clone()))
    }
}
