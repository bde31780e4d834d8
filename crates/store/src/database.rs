//! What the multi-version layer asks of an ordered map. Above this interface nobody knows the engine.

use crate::damage::{DamagedParts, Part};
use bytes::Bytes;
use std::sync::Arc;

/// The random id of a data directory: a person, with the id of its node (rule M1).
pub type DirectoryId = [u8; 16];

/// Why the database did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// No room on the disk, or no more files may be open. Nothing was acknowledged; reads go on, and writes do when there is
    /// room again.
    #[error("no room: {0}")]
    Full(String),
    /// The engine failed, a sync above all. It is never retried: after a failed fsync the kernel may report success
    /// for data that it has dropped (Rebello et al., *Can Applications Recover from fsync Failures?*, 2020).
    #[error("the disk failed: {0}; this node must stop, acknowledged data may not be safe on it")]
    Fatal(String),
    /// Acknowledged data is gone or damaged (rule M1): the node must not vote.
    #[error("acknowledged data is damaged or gone: {0}")]
    Damaged(String),
    /// The directory is of a format that this release does not read.
    #[error("the database cannot be read: {0}")]
    Format(String),
    /// A part of what is stored is damaged, and what was asked for may have been in it (rule S3). All else can be read
    /// and written.
    #[error("a part of the database is damaged: {why}")]
    Unreadable {
        /// What was seen.
        why: String,
        /// From this key on an iterator can go on upwards; `None` while it is not known how far the damage goes.
        behind: Option<Bytes>,
    },
}

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// Gives a key a value.
    Put(Bytes, Bytes),
    /// Takes a key away.
    Delete(Bytes),
}

impl Change {
    /// The key that it is about.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }
}

/// Changes that become visible and durable together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WriteBatch {
    /// In order; of two changes to one key the later one counts.
    pub changes: Vec<Change>,
    /// What it hides or takes away gives back more than it takes, or the cluster cannot do without it: it may have a part of the room
    /// that a full disk keeps free.
    pub makes_room: bool,
}

impl WriteBatch {
    /// Adds a put.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.changes.push(Change::Put(key.into(), value.into()));
    }

    /// Adds a delete.
    pub fn delete(&mut self, key: impl Into<Bytes>) {
        self.changes.push(Change::Delete(key.into()));
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> u64 {
        let size = |change: &Change| match change {
            Change::Put(key, value) => key.len() + value.len(),
            Change::Delete(key) => key.len(),
        };
        self.changes.iter().map(size).sum::<usize>() as u64
    }
}

/// An ordered map from bytes to bytes, one value per key.
///
/// Keys have 1 to 65,535 bytes and do not begin with zero: those are an engine's own. Of the spaces of keys
/// ([`crate::encoding::space::Space`]) one is that of versions; an engine leaves dominated ones out when it rewrites what it holds (see
/// [`crate::encoding::dominated::DominatedFilter`]), and counts them alone as keys.
pub trait Database: Send + Sync + 'static {
    /// A frozen view.
    type Snapshot: Snapshot;

    /// Applies a batch atomically. On `Ok` it is visible and survives a power cut; until then no snapshot shows any
    /// of it. So what a snapshot shows is durable (rule S2).
    ///
    /// # Errors
    /// [`DatabaseError`]; on any error the batch may or may not be found after a restart.
    fn write(&self, batch: WriteBatch) -> Result<(), DatabaseError>;

    /// The present state, frozen.
    fn snapshot(&self) -> Result<Self::Snapshot, DatabaseError>;

    /// What damage has taken (rule S3), as far as that is known. Nothing, for an engine that does not notice any.
    fn lost(&self) -> Arc<DamagedParts> {
        Arc::default()
    }

    /// Whether that is anything; for whoever asks often.
    fn has_lost(&self) -> bool {
        !self.lost().is_empty()
    }

    /// Notes durably that all that is lost by now is being brought back from others, for a directory that is to have this id.
    ///
    /// # Errors
    /// As [`Database::write`].
    fn begin_healing(&self, _: DirectoryId) -> Result<(), DatabaseError> {
        Ok(())
    }

    /// What was being healed for a directory with this id; `None` if nothing was.
    fn being_healed(&self, _: DirectoryId) -> Option<Vec<Part>> {
        None
    }

    /// Forgets durably what was being healed for a directory with this id.
    ///
    /// # Errors
    /// As [`Database::write`]. Then it may be tried again.
    fn forget_healed(&self, _: DirectoryId) -> Result<(), DatabaseError> {
        Ok(())
    }

    /// How many user keys there are, about, as far as that can be told at once: keys that were written again or deleted
    /// count several times until what was written first is dropped as dominated, and deleted ones count once after that.
    fn keys_estimate(&self) -> u64;

    /// The value of a key now.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DatabaseError> {
        self.snapshot()?.get(key)
    }

    /// A batch of one put.
    fn put(&self, key: Bytes, value: Bytes) -> Result<(), DatabaseError> {
        self.write(WriteBatch { changes: vec![Change::Put(key, value)], ..WriteBatch::default() })
    }

    /// A batch of one delete.
    fn delete(&self, key: Bytes) -> Result<(), DatabaseError> {
        self.write(WriteBatch { changes: vec![Change::Delete(key)], ..WriteBatch::default() })
    }
}

/// An immutable view of a database.
pub trait Snapshot {
    /// Walks it in key order.
    type Iterator: DatabaseIterator;

    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DatabaseError>;

    /// An iterator that stands nowhere yet: seek first.
    fn iterator(&self) -> Self::Iterator;

    /// What damage has taken of it. Whoever asks across one of these parts gets [`DatabaseError::Unreadable`].
    fn lost(&self) -> Arc<DamagedParts>;

    /// An iterator over what is stored, which passes over these parts: for whoever looks at them himself.
    fn stored(&self) -> Self::Iterator;
}

/// So many bytes at the beginning of a value come with its key: whoever wants to know no more than they say, such as whether a
/// record is a tombstone, when it expires and which update wrote it, never waits for a large value.
pub const HEAD_BYTES: usize = 26;

/// A position in a snapshot. Every move may fail, and after a failure the iterator stands nowhere.
///
/// Values are lazy: neither a move nor a look at a key, a length or a head loads a value that the engine keeps apart from its key.
pub trait DatabaseIterator {
    /// Moves to the first key that is not below `key`.
    fn seek(&mut self, key: &[u8]) -> Result<(), DatabaseError>;

    /// Moves to the first key of all.
    fn seek_to_first(&mut self) -> Result<(), DatabaseError>;

    /// Moves to the last key of all.
    fn seek_to_last(&mut self) -> Result<(), DatabaseError>;

    /// Moves one key up.
    fn next(&mut self) -> Result<(), DatabaseError>;

    /// Moves one key down.
    fn prev(&mut self) -> Result<(), DatabaseError>;

    /// The key at the position, or `None` when it is past either end.
    fn key(&self) -> Option<&Bytes>;

    /// How many bytes the value at the position has; `None` past either end.
    fn value_length(&self) -> Option<usize>;

    /// The first bytes of the value at the position: `length` of them, or all that it has. Up to [`HEAD_BYTES`] are here already;
    /// more are read alone. `None` past either end.
    ///
    /// The engine's checksum of a value covers all of it: whoever reads a part beyond [`HEAD_BYTES`] must have another one.
    fn head(&self, length: usize) -> Result<Option<Bytes>, DatabaseError>;

    /// The value at the position, all of it. `None` past either end, and for a dominated version (rule G1) whose value is gone
    /// although the key is still there.
    fn value(&self) -> Result<Option<Bytes>, DatabaseError>;

    /// Whether the iterator stands on an entry.
    fn valid(&self) -> bool {
        self.key().is_some()
    }
}

impl<D: Database> Database for Arc<D> {
    type Snapshot = D::Snapshot;

    fn write(&self, batch: WriteBatch) -> Result<(), DatabaseError> {
        (**self).write(batch)
    }

    fn snapshot(&self) -> Result<Self::Snapshot, DatabaseError> {
        (**self).snapshot()
    }

    fn lost(&self) -> Arc<DamagedParts> {
        (**self).lost()
    }

    fn has_lost(&self) -> bool {
        (**self).has_lost()
    }

    fn begin_healing(&self, directory: DirectoryId) -> Result<(), DatabaseError> {
        (**self).begin_healing(directory)
    }

    fn being_healed(&self, directory: DirectoryId) -> Option<Vec<Part>> {
        (**self).being_healed(directory)
    }

    fn forget_healed(&self, directory: DirectoryId) -> Result<(), DatabaseError> {
        (**self).forget_healed(directory)
    }

    fn keys_estimate(&self) -> u64 {
        (**self).keys_estimate()
    }
}
