//! What a node does with its data directory while it runs, and what somebody may do to it meanwhile.

use super::{Node, World};
use crate::directory::Directory;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::trace::What;
use ::node::acquaintances::{Acquaintances, PeerRefusal};
use ::node::directory::Identity;
use ::node::introduction::Introduction;
use ::node::nonce::Challenges;

/// A number that nobody else has.
pub(super) fn random(rng: &mut Rng) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&rng.word().to_be_bytes());
    bytes
}

/// Of an empty directory.
pub(super) fn new_identity(rng: &mut Rng, id: u32, plan: &Plan) -> Identity {
    let (disk, database) = (random(rng), random(rng));
    Identity::new(id, (1..=plan.nodes).collect(), disk, database)
}

impl Node {
    /// The directory as it is at this moment, also while a process has it.
    pub(crate) fn image(&self) -> Directory {
        let mut image = self.directory.clone();
        if let Some(process) = &self.process {
            if let Some(watermark) = &mut image.watermark {
                watermark.batches = process.database.sequence() + 1;
            }
            if let Some(stored) = &mut image.database {
                stored.platter = process.database.image();
            }
        }
        image
    }

    /// Changes the identity, durably.
    ///
    /// # Errors
    /// When it cannot be written. Nothing has changed then.
    pub(super) fn write_identity(&mut self, change: impl FnOnce(&mut Identity)) -> Result<(), String> {
        if self.read_only {
            return Err("the file system is read-only".into());
        }
        change(&mut self.identity);
        self.directory.save(&mut self.identity);
        self.note_remembered();
        self.tell_who();
        Ok(())
    }

    /// Meets a member; what is new of it is written before anybody is told.
    pub(super) fn meet(
        &mut self,
        peer: &Introduction,
        challenges: Challenges,
        believing: bool,
    ) -> Result<(), PeerRefusal> {
        let mut changed = self.identity.clone();
        let mut met = changed.meet(peer, challenges);
        if believing && matches!(met, Err(PeerRefusal::Unproven(_) | PeerRefusal::Copy(..))) {
            // The mutant `believes-strangers`: as if nobody had been met before.
            changed.peers = Acquaintances::default();
            met = changed.meet(peer, challenges);
        }
        if met? {
            return self.write_identity(|identity| *identity = changed).map_err(PeerRefusal::CannotRemember);
        }
        self.identity = changed;
        Ok(())
    }

    fn note_remembered(&mut self) {
        for peer in self.identity.members.clone() {
            if let Some(known) = self.identity.peers.boot_and_batches(peer) {
                self.remembered.insert(peer, known);
            }
        }
    }
}

impl World {
    /// Once a second, as in the node: the watermark is synced, and what was heard of the members is written down.
    pub(super) fn look_after_directory(&mut self, node: u32) {
        let forgets = self.lies.forgets_counts;
        // Now and then somebody copies it.
        let copies = self.held.is_none() && self.rng.one_in(4);
        let state = &mut self.nodes[node as usize];
        let batches = state.sequence();
        if let Some(watermark) = &mut state.directory.watermark {
            watermark.synced = batches;
        }
        if forgets {
            state.note_remembered();
        } else {
            // The next time is soon.
            let _ = state.write_identity(|identity| _ = identity.set_batches(batches));
        }
        if copies {
            self.copy_directory(node);
        }
        self.look_after_losses(node);
    }

    /// Somebody copies a node's directory, whether a process has it or not.
    pub(crate) fn copy_directory(&mut self, node: u32) {
        let state = &mut self.nodes[node as usize];
        state.copy = Some(state.image());
        self.trace.record(self.now, || What::Copied { node });
    }
}
