//! The disk side of a node: what the replica reads, and who writes and looks up for all event loops.

use super::acceptors::Acceptors;
use super::admission::SharedAdmission;
use super::committer::Committer;
use super::completions::Completions;
use super::database::ReplicaStore;
use super::readers::Readers;
use abd::Standing;
use std::sync::Arc;
use store::DatabaseError;

/// The replica's store, what is decided about it in memory, and the queues in front of it.
pub(crate) struct Disk {
    pub(crate) store: ReplicaStore,
    pub(crate) acceptors: Acceptors,
    pub(crate) committer: Committer,
    pub(crate) readers: Readers,
    /// What has waited for the disk, for each event loop.
    pub(crate) completions: Arc<[Completions]>,
}

impl Disk {
    /// Of the run `boot` of a node with so many event loops, in a configuration.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn new(
        store: ReplicaStore,
        boot: u32,
        epoch: u32,
        loops: usize,
    ) -> Result<Self, DatabaseError> {
        let acceptors = Acceptors::open(&store, boot, epoch)?;
        let completions = Completions::of_all(loops);
        let committer = Committer::new(completions.clone(), store.database.accepts_writes());
        Ok(Self { store, acceptors, committer, readers: Readers::default(), completions })
    }

    /// How the replica stands.
    pub(crate) fn standing(&self, admission: &SharedAdmission) -> Standing {
        admission.standing(self.committer.writable())
    }
}
