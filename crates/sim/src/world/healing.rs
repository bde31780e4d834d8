//! Heals: a node that has lost a part of what it acknowledged, or its database, comes back under another directory id (rule S3, and
//! PROTOCOL 7.5). Whether, when and as whom is the node's own affair ([`node::directory`], [`node::change::heal`]); here is what is lost.

use super::directories::random;
use super::running::About;
use super::{Node, World};
use crate::disk::Loss;
use crate::trace::What;
use ::node::configuration::{Configuration, DirectoryId};
use abd::NodeId;
use store::Database as _;

/// What an event loop knows of its node's directory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Who {
    /// The id of the directory.
    pub(crate) own: DirectoryId,
    /// That by which it greets.
    pub(crate) presented: DirectoryId,
    /// That as which it votes.
    pub(crate) voting: DirectoryId,
    /// That under which it wants to come back, and whether it has lost all.
    pub(crate) heal: Option<(DirectoryId, bool)>,
}

impl Node {
    /// Tells the event loop what is new of the directory.
    pub(super) fn tell_who(&self) {
        let Some(process) = &self.process else { return };
        process.around().who.set(self.who());
    }

    pub(super) fn who(&self) -> Who {
        let identity = &self.identity;
        let heal = identity.next_directory().map(|next| (next, identity.is_gone()));
        let (presented, voting) = (identity.presented(), identity.voting());
        Who { own: identity.disk, presented, voting, heal }
    }
}

impl World {
    /// Nobody knows what a node has left of all that it has acknowledged.
    pub(super) fn note_lost(&mut self, node: u32, why: &str) {
        let state = &mut self.nodes[node as usize];
        (state.rotten, state.damaged) = (false, true);
        self.monotone.borrow_mut().part(node, state.identity.disk);
        let text = format!("has lost what it acknowledged: {why}");
        self.trace.record(self.now, || What::Members { node, text });
    }

    /// What a node had lost is back, under the directory id that it has now. `has_lost`: it has lost something since.
    pub(super) fn note_healed(&mut self, node: u32, has_lost: bool) {
        let state = &mut self.nodes[node as usize];
        state.damaged = has_lost;
        self.trace.record(self.now, || What::Members { node, text: "is healed".into() });
    }

    /// Something of what a node has stored is lost: its process finds that at once, as when it looks for damage; or the next start does.
    pub(crate) fn lose_part(&mut self, node: u32, loss: &Loss) {
        let state = &mut self.nodes[node as usize];
        match &state.process {
            // It is memory that is written to.
            Some(process) => _ = process.database.lose(loss),
            None => {
                let Some(stored) = &mut state.directory.database else { return };
                stored.platter = std::mem::take(&mut stored.platter).without(loss);
            }
        }
        (state.damaged, state.meddled) = (true, true);
    }

    /// Whether the cluster can do without a node's answers about what it is to lose: everybody else is whole. With two who have lost
    /// different things there need not be a majority for each key, as a replica abstains for more than it has lost: for keys that it does
    /// not have, if all that it could find behind them is lost.
    pub(super) fn can_lose_part(&self, node: u32) -> bool {
        let newest = self.configurations.newest();
        let members = core::iter::once(newest.members.as_slice()).chain(newest.next()).flatten();
        let mut others = members.filter(|member| member.id.0 != node + 1);
        let is_whole = |state: &Node| Self::is_expected(state) && !state.is_gone();
        !self.shrinks && others.all(|member| self.nodes.get(member.id.0 as usize - 1).is_some_and(is_whole))
    }

    /// Whether a member votes, or will when it is healed.
    fn is_expected(state: &Node) -> bool {
        !state.lost && (state.identity.changed().is_some() || state.identity.admitted)
    }

    /// Once a second, as in the node: what is back is forgotten; and for what is lost there is an id.
    pub(super) fn look_after_losses(&mut self, node: u32) {
        if !self.plan.heals {
            return;
        }
        let next = random(&mut self.rng);
        let state = &mut self.nodes[node as usize];
        let Some(process) = &state.process else { return };
        if !process.store().has_lost() {
            return;
        }
        if self.lies.heals_in_place {
            // The mutant `heals-under-its-old-id`: what the others have now is taken for all that was lost.
            let own = state.identity.disk;
            if process.database.being_healed(own).is_none() {
                let around = process.around();
                let peers: Vec<NodeId> = process.lanes.keys().map(|key| key.peer).collect();
                let mut repair = around.repair.borrow_mut();
                peers.into_iter().for_each(|peer| repair.sync().want(peer, abd::Instant(self.now)));
                // The simulated disk can always write that down.
                let _ = process.store().begin_healing(own);
                return;
            }
        }
        match process.store().forget_lost(state.identity.disk) {
            Ok(true) => {
                let has_lost = process.store().has_lost();
                return self.note_healed(node, has_lost);
            }
            Ok(false) => {}
            // It is tried again.
            Err(_) => return,
        }
        if state.identity.next_directory().is_none() {
            // So is this.
            let _ = state.write_identity(|identity| _ = identity.heal_as(next));
        }
    }

    /// A configuration is to be installed: the directory knows of it first, and what is lost by now is what its sync brings.
    pub(super) fn expect(&mut self, node: u32, configuration: Configuration) {
        let state = &mut self.nodes[node as usize];
        if state.write_identity(|identity| _ = identity.expect(configuration.clone())).is_err() {
            return self.crash(node, false, "it cannot write its identity");
        }
        let Some(process) = &state.process else { return };
        if let Some(next) = state.identity.is_healed_by(&configuration) {
            // The simulated disk can always write that down.
            let _ = process.store().begin_healing(next);
        }
        let expected = &process.around().expected;
        expected.set(expected.get().max(configuration.epoch()));
        self.tell(node, About::Other, |shard, now| shard.meet_configuration(configuration, now));
    }

    /// Whether everybody is whole who is a member and starts at all.
    pub(super) fn healed(&self) -> Result<(), String> {
        // Nobody heals while nobody knows what a member can do that never starts again.
        if !self.plan.heals || self.nodes.iter().any(|state| state.lost) {
            return Ok(());
        }
        for (node, state) in
            (0u32..).zip(&self.nodes).filter(|(node, state)| self.is_member(*node) && !state.lost)
        {
            let Some(process) = &state.process else { continue };
            if process.store().has_lost() || state.identity.is_gone() {
                let waits = process.around().driver.borrow().waits_for(abd::Instant(self.now));
                return Err(format!("n{} is not healed; the change waits for: {waits}", node + 1));
            }
        }
        Ok(())
    }
}
