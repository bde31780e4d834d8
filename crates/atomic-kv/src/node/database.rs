//! The node's store: the multi-version layer over the disk engine.

use crate::logging::limit::limited;
use ::node::commit::Tidied;
use abd::{Ballot, Glimpse, Newest, Version, VersionStore};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use store::{
    Database, DatabaseError, DatabaseIterator, DiskDatabase, DiskOptions, MultiVersionStore, Snapshot,
    Watermark,
};

/// What the replica reads and the committer writes.
pub(crate) struct ReplicaStore {
    pub(crate) database: Arc<DiskDatabase>,
    pub(crate) versions: MultiVersionStore<Arc<DiskDatabase>>,
    /// Housekeeping of the engine, while it runs: merging large tables takes seconds, and writes must not wait for it.
    maintaining: Mutex<Option<JoinHandle<Result<(), DatabaseError>>>>,
    /// Questions that were not answered because what they are about may be damaged.
    abstentions: AtomicU64,
}

impl ReplicaStore {
    /// Opens or creates the database under `directory`, which counts its batches in `watermark`. With `lost`: everything in it counts
    /// as lost, if there is anything, and batches are numbered from above that.
    pub(crate) fn open(
        directory: &Path,
        watermark: Arc<Watermark>,
        cache_bytes: usize,
        lost: Option<u64>,
    ) -> Result<Self, DatabaseError> {
        // One setting says what memory a node may take. There may be three memtables, and one that is about to be freed.
        let memtable_bytes_max = u64::try_from(cache_bytes / 8).unwrap_or(u64::MAX);
        // The same takes less in tables than in the cache, but a part of what tables have is old.
        let remembered_bytes = u64::try_from(cache_bytes / 3 * 2).unwrap_or(u64::MAX);
        let options = DiskOptions {
            memtable_bytes_max,
            remembered_bytes,
            watermark: Some(watermark),
            ..DiskOptions::default()
        };
        let database = Arc::new(match lost {
            None => DiskDatabase::open(directory, options)?,
            Some(acknowledged) => DiskDatabase::open_with_loss(directory, options, acknowledged)?,
        });
        let versions = MultiVersionStore::new(database.clone(), cache_bytes)?;
        Ok(Self { database, versions, maintaining: Mutex::default(), abstentions: AtomicU64::new(0) })
    }

    /// The largest time of a stored version. Looks at every key.
    pub(crate) fn largest_time(&self) -> Result<u64, DatabaseError> {
        let mut largest = 0;
        let mut iterator = self.database.snapshot()?.iterator();
        iterator.seek_to_first()?;
        while let Some(key) = iterator.key() {
            if let Some(version) = store::key::version_of(key) {
                largest = largest.max(version.time());
            }
            iterator.next()?;
        }
        Ok(largest)
    }

    /// Tells the number of the last durable batch to whoever has nothing to do with the rest.
    pub(crate) fn durable(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let database = self.database.clone();
        move || database.sequence()
    }

    /// Questions that were not answered because what they are about may be damaged.
    pub(crate) fn abstentions(&self) -> u64 {
        self.abstentions.load(Ordering::Relaxed)
    }

    fn abstain(&self, why: &DatabaseError) {
        if Self::is_damage(why) {
            self.abstentions.fetch_add(1, Ordering::Relaxed);
        }
        limited!(error, "a read failed: this replica abstains", %why);
    }

    /// Housekeeping of the engine, on a thread of its own, while nobody waits.
    pub(crate) fn tidy(&self) -> Result<Tidied, DatabaseError> {
        let mut maintaining = self.maintaining.lock().unwrap_or_else(PoisonError::into_inner);
        match maintaining.take() {
            Some(running) if !running.is_finished() => {
                *maintaining = Some(running);
                Ok(Tidied::Running)
            }
            Some(finished) => match finished.join() {
                Ok(outcome) => outcome.map(|()| Tidied::All),
                Err(_) => Err(DatabaseError::Fatal("the housekeeping of the database panicked".into())),
            },
            None => {
                let database = self.database.clone();
                let thread = std::thread::Builder::new().name("tidy".into());
                let spawned = thread.spawn(move || database.maintain());
                *maintaining = spawned.map_err(|why| tracing::warn!(%why, "cannot start housekeeping")).ok();
                Ok(Tidied::Running)
            }
        }
    }
}

impl Drop for ReplicaStore {
    fn drop(&mut self) {
        let maintaining = self.maintaining.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.database.stop_maintaining();
        if let Some(running) = maintaining.take() {
            let _ = running.join();
        }
    }
}

impl VersionStore for ReplicaStore {
    type Error = DatabaseError;

    fn newest(&self, key: &[u8]) -> Result<Newest, DatabaseError> {
        self.versions.newest(key).inspect_err(|why| self.abstain(why))
    }

    fn newest_above(&self, key: &[u8], have: Version) -> Result<Glimpse, DatabaseError> {
        self.versions.newest_above(key, have).inspect_err(|why| self.abstain(why))
    }

    fn remembered_above(&self, key: &[u8], have: Version) -> Option<Glimpse> {
        self.versions.remembered_above(key, have)
    }

    fn mark(&self) -> Ballot {
        self.versions.mark()
    }

    fn is_damage(why: &DatabaseError) -> bool {
        matches!(why, DatabaseError::Unreadable { .. })
    }
}
