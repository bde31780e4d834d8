//! Expiring what nobody reads (rule E4): the node's own sweeper. A look at a store takes no time here.

use super::World;
use super::node::Stopping;
use super::running::About;
use crate::checks::swept;
use abd::Moment;
use node::client::operations::Operations;
use node::sweep::{Config, Deadlines};

/// Keys that the check looks at: more than a run has.
const ALL_KEYS: usize = 1 << 10;
/// And their bytes.
const ALL_BYTES: usize = 1 << 20;

impl World {
    /// Sweeps from when the node may begin operations until it stops.
    pub(super) fn keep_sweeping(&mut self, node: u32) {
        if !self.plan.sweeps {
            return;
        }
        let Some((process, now)) = self.enter(node, About::Other) else { return };
        if process.stopping != Stopping::No || !process.desk.may_begin() {
            return;
        }
        if !process.sweeps {
            process.sweeps = true;
            process.desk.shard.get_mut().begin_sweeping(Config::default(), now);
        }
        while let Some((process, now)) = self.enter(node, About::Other)
            && let Some(look) = process.desk.shard.get_mut().poll_look()
        {
            let found = look.carry_out(&process.around().store);
            process.desk.shard.get_mut().handle_swept(found, now);
        }
    }

    /// Whether what is due by the clocks of all nodes is gone. Of a node that cannot read its store nothing is expected, and it may be the one
    /// that would have to.
    pub(super) fn swept(&mut self) -> Result<(), String> {
        if !self.plan.sweeps
            || (0..self.count())
                .any(|node| self.nodes[node as usize].is_gone() || self.is_member(node) && !self.votes(node))
        {
            return Ok(());
        }
        let mut slowest: Option<Moment> = None;
        for node in (0..self.count()).filter(|node| self.votes(*node)).collect::<Vec<_>>() {
            let Some((_, now)) = self.enter(node, About::Other) else { return Ok(()) };
            if now.moment == Moment::UNKNOWN {
                return Ok(());
            }
            slowest = Some(slowest.map_or(now.moment, |slowest| slowest.min(now.moment)));
        }
        let Some(moment) = slowest else { return Ok(()) };
        for (node, state) in (0u32..).zip(&self.nodes) {
            let Some(process) = &state.process else { continue };
            let found = process.around().store.due(None, moment, ALL_KEYS, ALL_BYTES);
            swept::check(node, found.map_or_else(|_| Vec::new(), |found| found.due))?;
        }
        Ok(())
    }
}
