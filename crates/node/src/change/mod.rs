//! Who changes the members, and when (rules C2 and C3 of docs/PROTOCOL.md).
//!
//! A change is begun by an operator ([`plan`]) or by a node that heals ([`heal`]), and is a sequence of configurations, each decided by an
//! update of the reserved key that is pinned to the one before ([`Proposal`]). Whoever began it may be gone a moment later, so every
//! member has this machine: it knows the configuration that its node has installed, whom the node has met, who answers and who is
//! synced, and says which configuration is to be proposed next (`step`).
//!
//! That two drivers propose at the same time does no harm: of two proposals pinned to one configuration one wins. It only costs a
//! contended update, so by way of a hint the driver with the lowest id among the voters that answer goes first, and each of the others
//! waits a pause longer than the one before it. A driver that dies is continued by the next one.
//!
//! It does no I/O: `handle_*` are what the node has seen, [`Driver::poll_proposal`] is what is to be carried out, and
//! [`Driver::poll_timeout`] when it wants to be asked again.

pub mod heal;
pub mod plan;
mod proposal;
pub mod refusal;
pub mod report;
mod step;
#[cfg(test)]
mod tests;
mod view;

pub use proposal::{Decision, Proposal};
pub use refusal::Refusal;
pub use view::{Behind, HealWanted, Seen, View};

use crate::configuration::{Configuration, DirectoryId};
use crate::repair::ranges::{Order, Range};
use abd::{Instant, NodeId, Outcome};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use step::{Step, step};

/// Each driver waits so much longer than the one with the next lower id: longer than an update takes, so that the others see its
/// outcome and need not try.
pub const RANK_PAUSE: Duration = Duration::from_secs(1);
/// A proposal that came to nothing is made again after this.
pub const RETRY: Duration = Duration::from_secs(1);
/// A new member that has not answered for so long is not waited for: the others switch when a majority of them is synced. It is longer
/// than a restart takes.
pub const SILENCE: Duration = Duration::from_secs(15);
/// Once a majority of the new members is synced, the others are not waited for when nobody has become synced and nobody has pulled a
/// page for so long: such a one cannot be synced now (its disk is full, or it restarts all the time), and may hold up the replacement
/// of a dead one. It is longer than a retry takes, and than a source is waited for that cannot read something.
pub const STALLED: Duration = Duration::from_secs(60);
/// When a change was given up nobody heals for so long: whoever gave up a heal wants to begin something else. For as long after a change that
/// is through an operator who wants to give it up is told that it is too late; later there is nothing to be given up.
pub const HELD_OFF: Duration = Duration::from_secs(60);
/// Ranges that are kept of what a member has lost. What is between them counts as lost when there are more.
pub const LOST_RANGES_MAX: usize = 256;

/// What of the machine is the node's settings.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Whether members that have lost something are healed without an operator (`--heal auto`).
    pub heals: bool,
    /// The order of keys in the store.
    pub order: Order,
}

/// The driver of one node. See the module.
#[derive(Clone, Debug)]
pub struct Driver {
    settings: Settings,
    view: View,
    /// When the configuration was installed.
    installed: Instant,
    /// What is to be proposed, and since when.
    possible: Option<(Configuration, Instant)>,
    /// Not before this.
    retry: Instant,
    in_flight: Option<Proposal>,
    /// Pairs of replicas that were compared, this node being one of each.
    compared: BTreeMap<NodeId, report::Compared>,
}

impl Driver {
    /// Of node `own`, whose directory is this one and which has installed `configuration`.
    pub fn new(
        own: NodeId,
        directory: DirectoryId,
        configuration: Configuration,
        settings: Settings,
        now: Instant,
    ) -> Self {
        let mut driver = Self {
            settings,
            view: View::new(own, configuration, now),
            installed: now,
            possible: None,
            retry: now,
            in_flight: None,
            compared: BTreeMap::new(),
        };
        driver.handle_met(own, directory, crate::configuration::LEVEL);
        driver.handle_up(own, true, now);
        driver
    }

    /// What it goes by.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The same for an operator who asks at this moment.
    pub fn view_at(&self, now: Instant) -> View {
        self.view.at(now)
    }

    /// The node has installed a configuration. One that is no newer changes nothing.
    pub fn handle_installed(&mut self, configuration: &Configuration, now: Instant) {
        if configuration.epoch() <= self.view.configuration.epoch() {
            return;
        }
        self.view.install(configuration.clone(), now);
        let is_named = |id: &NodeId| self.view.configuration.names(*id);
        self.compared.retain(|id, _| is_named(id));
        self.installed = now;
        self.possible = None;
        self.retry = now;
    }

    /// A node has shown its directory in a greeting, and what its release can do ([`crate::configuration::LEVEL`]). Whoever is named by
    /// nobody is not kept.
    pub fn handle_met(&mut self, node: NodeId, directory: DirectoryId, level: u32) {
        if let Some(seen) = self.view.seen_mut(node) {
            (seen.directory, seen.level) = (Some(directory), Some(level));
        }
    }

    /// The directory by which this node remembers another one, durably. It says nothing of its release.
    pub fn handle_remembered(&mut self, node: NodeId, directory: DirectoryId) {
        if let Some(seen) = self.view.seen_mut(node) {
            seen.remembered = Some(directory);
        }
    }

    /// A node answers now, or does not any more.
    pub fn handle_up(&mut self, node: NodeId, is_up: bool, now: Instant) {
        if let Some(seen) = self.view.seen_mut(node)
            && seen.is_up != is_up
        {
            (seen.is_up, seen.since) = (is_up, now);
        }
    }

    /// A node has merged what a majority of the members holds, all of it read in this epoch (rule C3).
    pub fn handle_synced(&mut self, node: NodeId, epoch: u32, now: Instant) {
        if let Some(seen) = self.view.seen_mut(node)
            && seen.synced_in < epoch
        {
            seen.synced_in = epoch;
            self.view.progressed = now;
        }
    }

    /// A node has pulled so many pages in the sync that is under way; it begins again with none when it restarts.
    pub fn handle_pulled(&mut self, node: NodeId, pages: u64, now: Instant) {
        if let Some(seen) = self.view.seen_mut(node)
            && seen.pulled < pages
        {
            seen.pulled = pages;
            self.view.progressed = now;
        }
    }

    /// How much a node lacks, about, of what this node has.
    pub fn handle_behind(&mut self, node: NodeId, behind: Behind) {
        if let Some(seen) = self.view.seen_mut(node) {
            seen.behind = Some(behind);
        }
    }

    /// What a node may have lost: ranges in the order of the store, which do not overlap. None: it is whole.
    pub fn handle_lost(&mut self, node: NodeId, lost: Vec<Range>) {
        if let Some(seen) = self.view.seen_mut(node) {
            seen.lost = Some(heal::bounded(lost));
        }
    }

    /// A node wants to heal, or does not any more.
    pub fn handle_heal_wanted(&mut self, node: NodeId, wanted: Option<HealWanted>) {
        if let Some(seen) = self.view.seen_mut(node) {
            seen.heal = wanted;
        }
    }

    /// What this node has compared with another replica.
    pub fn handle_compared(&mut self, other: NodeId, compared: report::Compared) {
        if self.view.configuration.names(other) {
            self.compared.insert(other, compared);
        }
    }

    /// How the proposal has ended. Returns the configuration that is in force, if that is known now and is a newer one than that
    /// which this node has installed: the node has met it.
    pub fn handle_outcome(&mut self, outcome: &Outcome, now: Instant) -> Option<Configuration> {
        let proposal = self.in_flight.take()?;
        self.retry = now + RETRY;
        proposal.decision(outcome).known().filter(|known| known.epoch() > self.view.configuration.epoch())
    }

    /// What is to be carried out now: an update of the reserved key. Its outcome is to be handed in.
    pub fn poll_proposal(&mut self, now: Instant) -> Option<Proposal> {
        let due = self.due(now)?;
        if due > now {
            return None;
        }
        let (to, _) = self.possible.clone()?;
        let proposal = Proposal { from: self.view.configuration.clone(), to };
        self.in_flight = Some(proposal.clone());
        Some(proposal)
    }

    /// When [`poll_proposal`](Self::poll_proposal) is to be called again, if nothing is handed in before.
    pub fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        let is_joint = self.view.configuration.is_joint();
        let silent = self.view.next().iter().filter_map(|member| self.view.silent_since(member.id));
        let ends =
            silent.map(|since| since.max(self.installed) + SILENCE).filter(|end| is_joint && *end > now);
        let given_up = ends.min();
        let stalls = Some(self.view.progressed + STALLED).filter(|end| is_joint && *end > now);
        let heals = Some(self.view.heals_from).filter(|from| !is_joint && *from > now);
        [self.due(now), given_up, stalls, heals].into_iter().flatten().min()
    }

    /// When the next proposal is due, if there is one and none is in flight.
    fn due(&mut self, now: Instant) -> Option<Instant> {
        if self.in_flight.is_some() {
            return None;
        }
        let Step::Propose(to) = self.step(now) else {
            self.possible = None;
            return None;
        };
        let rank = self.view.rank()?;
        let since = match &self.possible {
            Some((same, since)) if *same == to => *since,
            _ => now,
        };
        self.possible = Some((to, since));
        Some((since + RANK_PAUSE * rank).max(self.retry))
    }

    fn step(&self, now: Instant) -> Step {
        step(&self.view, &self.settings, self.installed, now)
    }

    /// What the change waits for, in words; nothing is under way, if empty.
    pub fn waits_for(&self, now: Instant) -> String {
        self.step(now).told()
    }

    /// For `MEMBERS LIST`.
    pub fn report(&self, now: Instant) -> report::Report {
        report::Report::new(&self.view, self.waits_for(now))
    }

    /// For `MEMBERS DEEP`.
    pub fn compared(&self) -> report::Comparisons {
        report::Comparisons::new(self.view.own, &self.compared)
    }
}
