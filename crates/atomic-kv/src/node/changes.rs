//! Changes of the members, as the parts of this process see them: the driver, which configuration is being installed, and the way of an
//! installed one to whoever goes by it.
//!
//! ```text
//! an event loop has it made durable in the database ─► `durable` ─► the directory remembers it ─► `Membership::follow`
//!     and serves it                                                                               ─► the other event loops, dialling
//! ```

use super::acceptors::Acceptors;
use super::membership::Membership;
use super::shard::{Machine, Shard};
use super::{founding, now_instant, supervise};
use ::node::change::{Driver, Settings};
use ::node::configuration::{Configuration, DirectoryId};
use abd::{Instant, NodeId};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What a node has of changes once, for all event loops.
pub(crate) struct Changes {
    driver: Mutex<Driver>,
    /// The newest epoch that is installed or about to be.
    newest: AtomicU32,
    /// The newest one that an event loop serves.
    served: AtomicU32,
    /// Held while the acceptors take an epoch and its configuration is queued for the disk, so that an older one does not come behind.
    taking: Mutex<()>,
    /// The last one that has become durable in the database.
    durable: watch::Sender<Option<Arc<Configuration>>>,
}

impl Changes {
    pub(super) fn new(
        own: NodeId,
        directory: DirectoryId,
        configuration: Configuration,
        heals: bool,
        now: Instant,
    ) -> Self {
        let [newest, served] = [configuration.epoch(); 2].map(AtomicU32::new);
        let taking = Mutex::default();
        let settings = Settings { heals, order: store::versions::order };
        let driver = Mutex::new(Driver::new(own, directory, configuration, settings, now));
        Self { driver, newest, served, taking, durable: watch::Sender::new(None) }
    }

    pub(crate) fn driver(&self) -> MutexGuard<'_, Driver> {
        self.driver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`::node::shard::Environment::begin_installing`].
    pub(super) fn begin_installing<T>(
        &self,
        epoch: u32,
        acceptors: &Acceptors,
        queue: impl FnOnce() -> T,
    ) -> Option<T> {
        let _taking = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        if epoch < self.newest.fetch_max(epoch, Ordering::SeqCst) {
            return None;
        }
        acceptors.install(epoch);
        Some(queue())
    }

    /// The newest epoch that an event loop of this node serves.
    pub(super) fn served_epoch(&self) -> u32 {
        self.served.load(Ordering::SeqCst)
    }

    pub(super) fn newest_epoch(&self) -> u32 {
        self.newest.load(Ordering::SeqCst)
    }

    /// A configuration is durable in the database. Two event loops may say so in either order.
    pub(super) fn installed(&self, configuration: &Configuration) {
        // Before anybody serves it.
        self.served.fetch_max(configuration.epoch(), Ordering::SeqCst);
        self.durable.send_if_modified(|durable| {
            let is_newer = durable.as_ref().is_none_or(|known| known.epoch() < configuration.epoch());
            if is_newer {
                *durable = Some(Arc::new(configuration.clone()));
            }
            is_newer
        });
    }
}

/// Has the directory remember what is durable in the database, for the whole node; and ends it if it is no member any more.
pub(super) async fn keep_remembering(shard: Rc<Shard>, changes: Arc<Changes>) {
    let mut durable = changes.durable.subscribe();
    let (own, mut before) = (shard.membership.own.id, shard.membership.configuration());
    let listens = shard.settings.peer_listen.clone();
    let listens =
        listens.or_else(|| founding::peer_address(own, &before).map(str::to_owned)).unwrap_or_default();
    while durable.changed().await.is_ok() {
        let Some(configuration) = durable.borrow_and_update().clone() else { continue };
        let membership: Arc<Membership> = shard.membership.clone();
        let installed = {
            let configuration = configuration.clone();
            supervise::blocking(move || membership.install(&configuration)).await
        };
        if let Err(why) = installed {
            return shard.supervisor.fail(format!("cannot write down a new configuration: {why}"));
        }
        if !shard.membership.directory.identity().is_named_by(&configuration) {
            return shard.supervisor.retire(&configuration);
        }
        if let Some(address) = founding::new_address(own, &listens, &before, &configuration) {
            tracing::warn!(
                address,
                listens,
                epoch = configuration.epoch(),
                "the members reach this node at another address from now on: start it again with --peer-listen {address}"
            );
        }
        before = configuration;
    }
}

/// Has an event loop serve what another one has made durable. The directory need not remember it yet.
pub(super) async fn follow(shard: Rc<Shard>) {
    let mut durable = shard.changes.durable.subscribe();
    while durable.changed().await.is_ok() {
        let Some(configuration) = durable.borrow_and_update().clone() else { continue };
        let now = shard.now();
        shard.with(|machine| machine.install((*configuration).clone(), now));
    }
}

/// Drives changes of the members, and installs what peers have told when they greeted.
pub(super) async fn keep_driving(shard: Rc<Shard>) {
    shard.with(|machine: &mut Machine| machine.begin_driving(now_instant()));
    let mut learned = shard.membership.news();
    while learned.changed().await.is_ok() {
        if let Some(told) = learned.borrow_and_update().clone() {
            let now = shard.now();
            shard.with(|machine| machine.meet_configuration((*told).clone(), now));
        }
    }
}
