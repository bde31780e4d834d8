//! Healing: a node that has lost a part of what it acknowledged comes back under another directory id (rule S3, and C3 of
//! docs/PROTOCOL.md).
//!
//! ```text
//! something is lost ─► the directory draws its next id ─► the peers and the driver are told (`wanted`)
//!                                                           │ joint{C, C with that id}
//!              what is lost now is what the sync brings (`begin`) ─► the sync ─► the switch
//!                                                           │
//!              the directory has that id ─► what was lost before the joint epoch is forgotten (`look`)
//! ```
//!
//! Who else is to be healed first, and whether enough members are whole, is for [`::node::change::heal`].

use super::changes::Changes;
use super::disk::Disk;
use super::membership::Membership;
use super::now_instant;
use crate::logging::limit::limited;
use ::node::change::HealWanted;
use ::node::configuration::Configuration;
use ::node::repair::ranges::Range;
use ::node::sync::source::Source as _;
use abd::Instant;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use store::Database as _;

/// What a node does about what it has lost.
pub(crate) struct Healing {
    /// `--heal auto`.
    is_on: bool,
    disk: Arc<Disk>,
    membership: Arc<Membership>,
    changes: Arc<Changes>,
    state: Mutex<State>,
    /// How often it was healed since the start.
    healed: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Since when it is known that something is lost.
    since: Option<Instant>,
    /// What it waited for when that was looked at last.
    waits_for: String,
}

impl Healing {
    pub(super) fn new(
        is_on: bool,
        disk: Arc<Disk>,
        membership: Arc<Membership>,
        changes: Arc<Changes>,
    ) -> Arc<Self> {
        let (state, healed) = (Mutex::default(), AtomicU64::new(0));
        Arc::new(Self { is_on, disk, membership, changes, state, healed })
    }

    /// What may be lost, as ranges of keys.
    pub(super) fn lost(&self) -> Vec<Range> {
        let store = &self.disk.store;
        if store.versions.has_lost() { store.lost() } else { Vec::new() }
    }

    /// Under which directory this node wants to come back, while it lacks something.
    pub(super) fn wanted(&self) -> Option<HealWanted> {
        let store = &self.disk.store;
        let (own, wanted) = {
            let identity = self.membership.directory.identity();
            (identity.disk, identity.heal_wanted(store.versions.has_lost()))
        };
        // After a switch it is whole, and about to write that down.
        wanted.filter(|_| self.is_on && store.database.being_healed(own).is_none())
    }

    /// A configuration is to be installed, and nothing of it is served yet. If this node heals in it, what is lost by now is what the sync
    /// brings. What is lost later may have been acknowledged in it: that is for another change. To be called on a thread that may wait for
    /// the disk.
    pub(super) fn begin(&self, configuration: &Configuration) {
        let healed = self.membership.directory.identity().is_healed_by(configuration);
        let Some(next) = healed else { return };
        if let Err(why) = self.disk.store.versions.begin_healing(next) {
            // Then nothing is forgotten after the switch, and it begins anew.
            limited!(warn, "cannot write down what is to be healed", %why);
        }
    }

    /// Does what there is to write down. To be called about once a second, on a thread that may wait for the disk.
    pub(super) fn look(&self) {
        let (versions, directory) = (&self.disk.store.versions, &self.membership.directory);
        if !versions.has_lost() {
            return;
        }
        let (disk, epoch) = {
            let identity = directory.identity();
            (identity.disk, identity.epoch())
        };
        match versions.forget_lost(disk) {
            Ok(true) => {
                self.healed.fetch_add(1, Ordering::Relaxed);
                let took = self.state().since.map_or(0, |since| now_instant().since(since).as_secs());
                tracing::info!(epoch, took, "healed: what was lost here is back");
            }
            Ok(false) => {}
            Err(why) => return limited!(warn, "cannot write down that this node is healed", %why),
        }
        if !versions.has_lost() {
            *self.state() = State::default();
            return;
        }
        self.tell();
        if self.is_on
            && let Err(why) = directory.heal()
        {
            limited!(warn, "cannot write down that this node is to be healed", %why);
        }
    }

    /// Tells the log when something is lost, and what its healing waits for when that is something else than before.
    fn tell(&self) {
        let waits_for = self.waits_for();
        let mut state = self.state();
        if state.since.is_none() {
            state.since = Some(now_instant());
            let ranges = self.lost().len();
            let heal = if self.is_on { "auto" } else { "off" };
            tracing::warn!(
                ranges,
                heal,
                "a part of what this node has acknowledged is lost: it abstains for these ranges of keys until it is healed"
            );
        }
        if self.is_on && state.waits_for != waits_for {
            tracing::info!(waits_for, "healing");
            state.waits_for = waits_for;
        }
    }

    /// What the next step of the change waits for that heals this node, or another one first.
    fn waits_for(&self) -> String {
        if self.is_on { self.changes.driver().waits_for(now_instant()) } else { "--heal auto".to_owned() }
    }

    /// How it stands, for people: `no`, or since when and what it waits for.
    pub(super) fn text(&self) -> String {
        match self.since() {
            None => "no".to_owned(),
            Some(since) => {
                format!("for {} s, waits for: {}", now_instant().since(since).as_secs(), self.waits_for())
            }
        }
    }

    /// Since when something is known to be lost.
    pub(super) fn since(&self) -> Option<Instant> {
        self.state().since
    }

    /// How often it was healed since the start.
    pub(super) fn healed(&self) -> u64 {
        self.healed.load(Ordering::Relaxed)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
