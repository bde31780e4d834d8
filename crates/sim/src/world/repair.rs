//! Repair: the node's own state machine. A page of a store, or a look at it, takes no time here.

use super::running::About;
use super::{Event, World};
use crate::mutant::Lies;
use crate::plan::Plan;
use abd::Instant;
use node::repair::{Action, Config};
use node::sync;
use std::time::Duration;

/// What a list may take here: some keys of the plan, so that now and then one overflows.
const LIST_BYTES: usize = 3 * 136;

/// As in the node, but for its sizes and its day.
pub(super) fn config(plan: &Plan, lies: Lies) -> Config {
    let honest = Config::default();
    Config {
        list_bytes: if plan.short_lists { LIST_BYTES } else { 1 << 20 },
        compare_every: plan.compare_every.map(Duration::from_nanos),
        // The mutant `repair-stops`: only a new connection makes it go on.
        retry: if lies.repair_stops { (FOR_GOOD, FOR_GOOD) } else { honest.retry },
        sync: sync::Config {
            retry: if lies.repair_stops { (FOR_GOOD, FOR_GOOD) } else { honest.sync.retry },
            ..honest.sync
        },
        ..honest
    }
}

/// Longer than any run.
const FOR_GOOD: Duration = Duration::from_secs(3600);

impl World {
    /// A timer of repair's.
    pub(super) fn wake_repair(&mut self, node: u32, incarnation: u64, at: u64) {
        let Some(process) = self.process_of(node, incarnation) else { return };
        if process.repair_armed == at {
            process.repair_armed = u64::MAX;
            self.follow_up(node);
        }
    }

    /// Carries out what repair wants done.
    pub(super) fn keep_repairing(&mut self, node: u32) {
        if !self.plan.repairs {
            return;
        }
        let lies = self.lies;
        while let Some((process, now)) = self.enter(node, About::Other) {
            let action = process.around().repair.borrow_mut().poll(now.instant);
            let Some(action) = action else { break };
            if lies.compares_nothing && matches!(action, Action::Walk { .. } | Action::CatchUp { .. }) {
                // The mutant of this name: the walk never comes to anything.
                continue;
            }
            if lies.claims_synced && matches!(action, Action::Sync(sync::Action::Look { records: true, .. }))
            {
                // The mutant `switches-unsynced`: nothing is pulled.
                continue;
            }
            if let Some(look) = process.desk.shard.get_mut().carry_out_repair(action, now) {
                let around = process.around();
                let looked = look.carry_out(&around.store, |range| around.accepted(range));
                process.desk.shard.get_mut().handle_looked(looked, now);
            }
            self.send_what_waits(node);
        }
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
        let wake_at: Option<Instant> = process.around().repair.borrow().wake_at();
        if let Some(due) = wake_at
            && due.0 < process.repair_armed
        {
            let at = due.0.max(self.now + 1);
            process.repair_armed = at;
            let incarnation = process.incarnation;
            self.queue.push(at, Event::RepairDue { node, incarnation, at });
        }
    }
}
