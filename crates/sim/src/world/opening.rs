//! A node opens its data directory, as the process does: whose it is, whether its parts belong together, and its database, or what is left
//! of that.

use super::World;
use super::directories::{new_identity, random};
use crate::disk::SimDatabase;
use crate::mutant::Lies;
use crate::trace::What;
use ::node::configuration::Configuration;
use ::node::nonce::Nonce;
use abd::{Acceptor, AcceptorLimits, Ballot, Scope};
use std::sync::Arc;
use store::{DatabaseError, MultiVersionStore};

/// Few, so that much is forgotten.
const FEW_INSTANCES: AcceptorLimits =
    AcceptorLimits { promises: 2, closed: 2, key_bytes: 1 << 10, buckets: 2 };
/// Peers may have been told of so many batches that were not noted beside the database yet.
const TOLD_AHEAD: u64 = 1_000;

/// What a process begins with.
pub(super) struct Opened {
    pub(super) database: Arc<SimDatabase>,
    pub(super) versions: MultiVersionStore<Arc<SimDatabase>>,
    pub(super) acceptor: Acceptor,
    /// The newest that the directory and the database know of.
    pub(super) configuration: Configuration,
}

/// What a run has accepted of updates.
fn acceptor_of(
    versions: &MultiVersionStore<Arc<SimDatabase>>,
    boot: u32,
    limits: AcceptorLimits,
    lies: Lies,
) -> Result<Acceptor, DatabaseError> {
    // The mutants `forgets-promises` and `joins-afresh`.
    let floor = if lies.forgets_promises { Ballot::MIN } else { versions.mark() };
    let mut acceptor = Acceptor::new(boot, Scope::FIRST.epoch, floor, limits);
    for (key, record) in versions.records()?.into_iter().filter(|_| !lies.joins_afresh) {
        acceptor.restore(key, record);
    }
    Ok(acceptor)
}

impl World {
    /// Opens a node's directory and counts the start. `None`: it does not start, and why is noted.
    pub(super) fn open(&mut self, node: u32) -> Option<Opened> {
        let before = self.nodes[node as usize].directory.clone();
        let database = match self.open_database(node) {
            Ok(database) => database,
            Err(why) => {
                self.nodes[node as usize].directory = before;
                self.lose(node, why);
                return None;
            }
        };
        let nonce = Nonce(random(&mut self.rng));
        let state = &mut self.nodes[node as usize];
        (state.backup, state.copy) = (Some(before), None);
        state.exchanged = false;
        database.set_mood(state.mood);
        let identity = &mut state.identity;
        // Before there are as many starts as numbers, the run is over.
        assert!(identity.start(nonce, false).is_ok(), "the boot counter is used up");
        state.directory.save(identity);
        identity.set_marked();
        state.directory.save(identity);
        match self.open_store(node, database.clone()) {
            Ok(opened) => Some(opened),
            Err(why @ DatabaseError::Damaged(_)) => {
                let state = &mut self.nodes[node as usize];
                state.directory = state.backup.clone().unwrap_or_default();
                self.lose(node, why.to_string());
                None
            }
            Err(why) => {
                // The process ends, and may be started again.
                self.nodes[node as usize].directory.keep(database.after_kill());
                self.trace.record(self.now, || What::Stopped { node, how: why.to_string() });
                None
            }
        }
    }

    /// The database, or what is left of it if the node is to heal; and the identity as it is then.
    fn open_database(&mut self, node: u32) -> Result<Arc<SimDatabase>, String> {
        let (trusting, heals, lie) = (self.lies.trusts_directory(), self.plan.heals, self.lies.disk);
        let (rng, plan) = (&mut self.rng, &self.plan);
        let state = &mut self.nodes[node as usize];
        let identified = state.directory.identify(|| new_identity(rng, node + 1, plan), trusting, heals);
        let (mut identity, unfit) = identified.map_err(|why| why.to_string())?;
        let acknowledged = state.directory.watermark.map(|watermark| watermark.batches);
        let platter = state.directory.database.take().map(|stored| stored.platter).unwrap_or_default();
        let heals = heals && !trusting && identity.can_heal();
        let (platter, why) = match (unfit, SimDatabase::open(platter, lie)) {
            (Some(why), Ok(database)) => (database.after_kill(), why.to_string()),
            (Some(why), Err((platter, _))) => (platter, why.to_string()),
            (None, Err((platter, why))) => (platter, why.to_string()),
            (None, Ok(database)) => match identity.check_batches(acknowledged, database.sequence() + 1) {
                Err(why) if !trusting => (database.after_kill(), why.to_string()),
                _ => {
                    state.identity = identity;
                    return Ok(database);
                }
            },
        };
        if !heals {
            return Err(why);
        }
        identity.lose(random(&mut self.rng));
        let known = identity.batches().max(acknowledged.unwrap_or(0));
        state.identity = identity;
        self.note_lost(node, &why);
        SimDatabase::open_with_loss(platter, known + TOLD_AHEAD, lie).map_err(|(_, why)| why.to_string())
    }

    fn open_store(&mut self, node: u32, database: Arc<SimDatabase>) -> Result<Opened, DatabaseError> {
        let cache_bytes = self.plan.cache_bytes;
        let versions = MultiVersionStore::with_seed(database.clone(), cache_bytes, u64::from(node))?;
        let limits = if self.plan.few_instances { FEW_INSTANCES } else { AcceptorLimits::default() };
        let state = &mut self.nodes[node as usize];
        let stored = versions.configuration().and_then(|stored| Configuration::decode(&stored).ok());
        if let Some(stored) = stored.filter(|stored| stored.epoch() > state.identity.epoch()) {
            // The same.
            let _ = state.write_identity(|identity| _ = identity.install(stored));
        }
        // It may have ended between the switch and this.
        if versions.forget_lost(state.identity.disk)? {
            self.note_healed(node, versions.has_lost());
        }
        let state = &self.nodes[node as usize];
        let configuration = state.identity.configuration().unwrap_or_else(|| self.configurations.first());
        let configuration = configuration.clone();
        let mut acceptor = acceptor_of(&versions, state.identity.boot, limits, self.lies)?;
        acceptor.install(configuration.epoch());
        Ok(Opened { database, versions, acceptor, configuration })
    }
}
