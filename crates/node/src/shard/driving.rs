//! Changes of the members: one event loop of a node proposes what its [`Driver`] says, and tells the peers how this node stands.

use super::{Environment, Return, Shard};
use crate::change::{Behind, Driver};
use crate::hello::WITH_CONFIGURATIONS;
use crate::lanes::lane::LaneKey;
use crate::news::News;
use abd::{Instant, NodeId, Now, OperationId, Outcome};
use alloc::vec::Vec;
use core::time::Duration;

/// The driver is asked this often while members change.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// And this often otherwise; the peers hear news as often.
const ASK_SELDOM: Duration = Duration::from_secs(1);

/// What an event loop knows that drives changes.
#[derive(Debug)]
pub(super) struct Driving {
    /// The update of the configuration that is in flight.
    proposal: Option<OperationId>,
    due: Instant,
}

impl News {
    /// Hands them to the driver.
    pub(super) fn tell(self, from: NodeId, driver: &mut Driver, now: Instant) {
        let Self { directory, level, synced_in, lost, heal, pulled } = self;
        driver.handle_met(from, directory, level);
        driver.handle_synced(from, synced_in, now);
        driver.handle_pulled(from, pulled, now);
        driver.handle_lost(from, lost);
        driver.handle_heal_wanted(from, heal);
    }
}

impl<E: Environment, R: Return> Shard<E, R> {
    /// From now on this event loop proposes what the driver of this node says. One of a node's event loops does.
    pub fn begin_driving(&mut self, now: Instant) {
        self.driving = Some(Driving { proposal: None, due: now });
    }

    /// When it looks what to do.
    pub(super) fn drive_at(&self) -> Option<Instant> {
        self.driving.as_ref().map(|driving| driving.due)
    }

    /// The configuration has changed: the driver is asked at once.
    pub(super) fn drive_soon(&mut self, now: Instant) {
        if let Some(driving) = &mut self.driving {
            driving.due = now;
        }
    }

    /// Tells the peers how this node stands and proposes what is to be proposed, if it is time; whether it has proposed anything.
    pub(super) fn drive(&mut self, now: Now) -> bool {
        let Some(driving) = self.driving.as_mut().filter(|driving| driving.due <= now.instant) else {
            return false;
        };
        let is_changing = self.configuring.installed().next().is_some();
        driving.due = now.instant + if is_changing { ASK_EVERY } else { ASK_SELDOM };
        let may_propose = driving.proposal.is_none();
        self.tell_news(now.instant);
        if !may_propose {
            return false;
        }
        let proposal = self.environment.driver(|driver| {
            let proposal = driver.poll_proposal(now.instant);
            (proposal, driver.poll_timeout(now.instant))
        });
        let (Some(proposal), _) = proposal else {
            if let (Some(driving), (_, Some(next))) = (&mut self.driving, proposal) {
                driving.due = driving.due.min(next.max(now.instant + ASK_EVERY / 10));
            }
            return false;
        };
        let deadline = now.instant + self.op_timeout;
        let id = self.coordinator.submit(proposal.operation(), deadline, now, &self.environment.issuer());
        if let Some(driving) = &mut self.driving {
            driving.proposal = Some(id);
        }
        true
    }

    /// What has become of an operation that nobody waits for; `false` if it is no proposal of this event loop.
    pub(super) fn end_proposal(&mut self, id: OperationId, outcome: &Outcome, now: Now) -> bool {
        let proposed = self.driving.as_mut().and_then(|driving| driving.proposal.take_if(|own| *own == id));
        if proposed.is_none() {
            return false;
        }
        let known = self.environment.driver(|driver| driver.handle_outcome(outcome, now.instant));
        self.drive_soon(now.instant);
        if let Some(configuration) = known {
            self.meet_configuration(configuration, now);
        }
        true
    }

    fn tell_news(&mut self, now: Instant) {
        let (news, local) = (self.environment.news(), self.local);
        for peer in self.lanes.up().collect::<Vec<_>>() {
            // A peer that does not read hears them when it does: they are told again and again.
            if self.speaks(peer, WITH_CONFIGURATIONS) && self.takes_contents(peer) {
                self.frame_to(peer, 0, |body| news.put(body));
            }
        }
        let remembered = self.environment.remembered();
        let (mut compared, mut behind) = (Vec::new(), Vec::new());
        self.environment.repair(|repair, now| {
            compared = repair.compared(now);
            behind = repair.statuses(now).map(|(peer, status)| (peer, Behind::from(status))).collect();
        });
        self.environment.driver(|driver| {
            for (node, compared) in compared {
                driver.handle_compared(node, compared);
            }
            for (node, behind) in behind {
                driver.handle_behind(node, behind);
            }
            for (node, directory) in remembered {
                driver.handle_remembered(node, directory);
            }
            news.tell(local, driver, now);
        });
    }

    /// A peer has told how it stands.
    pub(super) fn handle_news(&mut self, key: LaneKey, news: News, now: Instant) {
        self.environment.driver(|driver| news.tell(key.peer, driver, now));
    }
}
