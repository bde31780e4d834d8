//! Changes of the members, as the parts of this process see them: the driver, which configuration is being installed, and the way of an
//! installed one to whoever goes by it.
//!
//! ```text
//! an event loop meets it ─► `coming` ─► the directory expects it, and what it heals is noted (`keep_preparing`)
//!                                                  │
//! an event loop has it made durable in the database, and serves it ─► `durable` ─► the other event loops (`follow`)
//!       (with the right to vote in it)                                        └─► `Membership::follow`: dialling
//! ```

use super::acceptors::Acceptors;
use super::healing::Healing;
use super::membership::Membership;
use super::shard::{Machine, Shard};
use super::{founding, now_instant, supervise};
use crate::logging::limit::limited;
use ::node::change::{Driver, Settings};
use ::node::configuration::{Configuration, DirectoryId};
use abd::{Instant, NodeId};
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// After this time a full disk is tried again.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What a node has of changes once, for all event loops.
pub(crate) struct Changes {
    driver: Mutex<Driver>,
    /// The newest configuration that the directory is to expect.
    coming: watch::Sender<Option<Arc<Configuration>>>,
    /// The newest epoch that it expects, or has installed.
    expected: AtomicU32,
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
        let [expected, newest, served] = [configuration.epoch(); 3].map(AtomicU32::new);
        let (taking, coming, durable) =
            (Mutex::default(), watch::Sender::new(None), watch::Sender::new(None));
        let settings = Settings { heals, order: store::versions::order };
        let driver = Mutex::new(Driver::new(own, directory, configuration, settings, now));
        Self { driver, coming, expected, newest, served, taking, durable }
    }

    pub(crate) fn driver(&self) -> MutexGuard<'_, Driver> {
        self.driver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`::node::shard::Environment::expect`].
    pub(super) fn expect(&self, configuration: &Configuration) -> bool {
        let is_expected = self.expected.load(Ordering::SeqCst) >= configuration.epoch();
        if !is_expected {
            send_newer(&self.coming, configuration);
        }
        is_expected
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
        send_newer(&self.durable, configuration);
    }
}

fn send_newer(to: &watch::Sender<Option<Arc<Configuration>>>, configuration: &Configuration) {
    to.send_if_modified(|newest| {
        let is_newer = newest.as_ref().is_none_or(|known| known.epoch() < configuration.epoch());
        if is_newer {
            *newest = Some(Arc::new(configuration.clone()));
        }
        is_newer
    });
}

/// Whether something could not be written for want of room: nothing is in doubt then.
fn is_full(why: &io::Error) -> bool {
    matches!(why.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Has the directory expect each configuration before it is installed, and notes what it heals here; then it is installed. Everything is
/// served meanwhile as before.
pub(super) async fn keep_preparing(shard: Rc<Shard>, changes: Arc<Changes>, healing: Arc<Healing>) {
    let mut coming = changes.coming.subscribe();
    loop {
        let configuration = coming.borrow_and_update().clone();
        if let Some(configuration) = configuration {
            let (membership, healing, expected) =
                (shard.membership.clone(), healing.clone(), configuration.clone());
            let written = supervise::blocking(move || {
                healing.begin(&expected);
                membership.directory.expect(&expected)
            });
            match written.await {
                Err(why) if is_full(&why) => {
                    limited!(warn, "cannot write down a new configuration; trying again", %why);
                    tokio::time::sleep(TRY_AGAIN_AFTER).await;
                    continue;
                }
                Err(why) => {
                    return shard.supervisor.fail(format!("cannot write down a new configuration: {why}"));
                }
                Ok(()) => {}
            }
            changes.expected.fetch_max(configuration.epoch(), Ordering::SeqCst);
            let now = shard.now();
            shard.with(|machine| machine.meet_configuration((*configuration).clone(), now));
        }
        if coming.changed().await.is_err() {
            return;
        }
    }
}

/// Has the whole node go by what is durable in the database: whom it talks to, and whether it votes; and ends it if it is no member any more.
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

/// Has an event loop serve what another one has made durable.
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
