//! The node's store: the multi-version layer over the disk engine.

use abd::{Glimpse, Newest, Version, VersionStore};
use std::path::Path;
use std::sync::Arc;
use store::{DatabaseError, DiskDatabase, DiskOptions, MultiVersionStore};

/// What the replica reads and the committer writes.
pub(crate) struct ReplicaStore {
    database: Arc<DiskDatabase>,
    versions: MultiVersionStore<Arc<DiskDatabase>>,
}

impl ReplicaStore {
    /// Opens or creates the database under `directory`.
    pub(crate) fn open(directory: &Path, cache_bytes: usize) -> Result<Self, DatabaseError> {
        let database = Arc::new(DiskDatabase::open(directory, DiskOptions::default())?);
        let versions = MultiVersionStore::new(database.clone(), cache_bytes);
        Ok(Self { database, versions })
    }

    pub(crate) fn versions(&self) -> &MultiVersionStore<Arc<DiskDatabase>> {
        &self.versions
    }

    /// Number of the last durable batch.
    pub(crate) fn sequence(&self) -> u64 {
        self.database.sequence()
    }

    pub(crate) fn accepts_writes(&self) -> bool {
        self.database.accepts_writes()
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        self.database.disk_bytes()
    }

    /// Housekeeping while nobody waits; whether there is more to do.
    pub(crate) fn tidy(&self) -> Result<bool, DatabaseError> {
        if self.versions.collect_garbage(4096)? > 0 {
            return Ok(true);
        }
        self.database.maintain()?;
        Ok(false)
    }
}

impl VersionStore for ReplicaStore {
    type Error = DatabaseError;

    fn newest(&self, key: &[u8]) -> Result<Newest, DatabaseError> {
        self.versions.newest(key).inspect_err(abstain)
    }

    fn newest_above(&self, key: &[u8], have: Version) -> Result<Glimpse, DatabaseError> {
        self.versions.newest_above(key, have).inspect_err(abstain)
    }
}

fn abstain(why: &DatabaseError) {
    tracing::error!(%why, "a read failed: this replica abstains");
}
