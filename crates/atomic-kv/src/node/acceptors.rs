//! What the own replica has promised and accepted for updates, for all event loops: each lock has a part of the keys.

use super::database::ReplicaStore;
use ::node::repair::ranges::Range;
use ::node::sync::source::{Records, records_of};
use abd::{Acceptor, AcceptorLimits};
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard};
use store::DatabaseError;

/// More than there are event loops: two of them seldom want the same one.
const STRIPES: usize = 64;

/// The acceptors of a run of a replica.
pub(crate) struct Acceptors {
    stripes: Box<[Mutex<Acceptor>]>,
    /// Which keys share a lock: from a secret, so that nobody can crowd one.
    secrets: RapidSecrets,
}

impl Acceptors {
    /// Those that the run `boot` begins with, in a configuration: what was accepted is accepted still, and nothing up to the durable
    /// mark is promised or accepted any more (rule P5).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn open(store: &ReplicaStore, boot: u32, epoch: u32) -> Result<Self, DatabaseError> {
        let (floor, limits) = (store.versions.mark(), AcceptorLimits::default());
        let acceptor = |_| Mutex::new(Acceptor::new(boot, epoch, floor, limits));
        let stripes = (0..STRIPES).map(acceptor).collect();
        let acceptors = Self { stripes, secrets: RapidSecrets::seed(RandomState::new().hash_one(0)) };
        for (key, record) in store.versions.records()? {
            acceptors.stripe(&key).restore(key, record);
        }
        Ok(acceptors)
    }

    /// Runs something with the acceptor of a key, which nobody else has meanwhile.
    pub(super) fn with<T>(&self, key: &[u8], run: impl FnOnce(&mut Acceptor) -> T) -> T {
        run(&mut self.stripe(key))
    }

    /// What is accepted of a range, and alive.
    pub(super) fn accepted(&self, range: &Range) -> Records {
        let mut records = Records::new();
        for stripe in &self.stripes {
            records_of(&mut locked(stripe), range, store::versions::order, &mut records);
        }
        records
    }

    fn stripe(&self, key: &[u8]) -> MutexGuard<'_, Acceptor> {
        let hash = rapidhash_v3_seeded(key, &self.secrets);
        locked(&self.stripes[usize::try_from(hash >> 32).unwrap_or_default() % STRIPES])
    }

    /// From now on all of them take part in this configuration (rule C1).
    pub(super) fn install(&self, epoch: u32) {
        self.stripes.iter().for_each(|stripe| locked(stripe).install(epoch));
    }

    /// Keys with an acceptance, and those with nothing but a promise.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let counts = self.stripes.iter().map(|stripe| locked(stripe).counts());
        counts.fold((0, 0), |sum, counts| (sum.0 + counts.0, sum.1 + counts.1))
    }
}

/// What somebody has left in the middle of a decision nobody may go on with: this ends the process as well.
fn locked(stripe: &Mutex<Acceptor>) -> MutexGuard<'_, Acceptor> {
    let Ok(acceptor) = stripe.lock() else { panic!("a decision about an update was left undone") };
    acceptor
}
