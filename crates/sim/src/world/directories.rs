//! What a node does with its data directory while it runs, and what somebody may do to it meanwhile.

use super::{Node, World};
use crate::checks::strangers;
use crate::directory::Directory;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::trace::What;
use ::node::acquaintances::{Acquaintances, PeerRefusal};
use ::node::directory::Identity;
use ::node::introduction::Introduction;
use ::node::nonce::{Challenges, Nonce};

/// By so much a stranger's boot count is ahead of the real one.
const AHEAD: u32 = 3;

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

    /// Meets a member; what is new of it is written before anybody is told.
    pub(super) fn meet(
        &mut self,
        peer: &Introduction,
        challenges: Challenges,
        believing: bool,
    ) -> Result<(), PeerRefusal> {
        let mut met = self.identity.meet(peer, challenges);
        if believing && matches!(met, Err(PeerRefusal::Unproven(_) | PeerRefusal::Copy(..))) {
            // The mutant `believes-strangers`: as if nobody had been met before.
            self.identity.peers = Acquaintances::default();
            met = self.identity.meet(peer, challenges);
        }
        if met? {
            self.directory.save(&mut self.identity);
            self.note_remembered();
        }
        Ok(())
    }

    /// A member has met this node.
    pub(super) fn was_met_by(&mut self, peer: u32) {
        if self.identity.was_met_by(peer + 1) {
            self.directory.save(&mut self.identity);
        }
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
        state.note_remembered();
        if !forgets {
            state.identity.set_batches(batches);
            state.directory.save(&mut state.identity);
        }
        if copies {
            self.copy_directory(node);
        }
    }

    /// Somebody who knows all about a member but its nonces greets a node as that, with a boot count far ahead.
    pub(crate) fn greet_as_stranger(&mut self, node: u32, claimed: u32) {
        let real = &self.nodes[claimed as usize].identity;
        let (disk, boot) = (real.disk, real.boot);
        let knows = self.nodes[node as usize].identity.peers.boot_and_batches(claimed + 1).is_some();
        if self.nodes[node as usize].process.is_none() || !knows {
            // Whoever was never met is taken at his word.
            return;
        }
        self.trace.record(self.now, || What::Stranger { node, claimed });
        let mut stranger = Identity::new(claimed + 1, Vec::new(), disk, disk);
        for _ in 0..boot + AHEAD {
            assert!(stranger.start(Nonce(random(&mut self.rng)), false).is_ok(), "there are numbers left");
        }
        let challenges = Challenges { dialler: random(&mut self.rng), acceptor: random(&mut self.rng) };
        let said = stranger.introduce(node + 1, challenges, u64::MAX);
        let believing = self.lies.believes_strangers;
        let state = &mut self.nodes[node as usize];
        let before = state.identity.peers.clone();
        // Whatever he is told.
        let _ = state.meet(&said, challenges, believing);
        let unchanged = strangers::check(node, claimed, &before, &state.identity.peers);
        self.convict(unchanged);
    }

    /// Somebody copies a node's directory, whether a process has it or not.
    pub(crate) fn copy_directory(&mut self, node: u32) {
        let state = &mut self.nodes[node as usize];
        state.copy = Some(state.image());
        self.trace.record(self.now, || What::Copied { node });
    }
}
