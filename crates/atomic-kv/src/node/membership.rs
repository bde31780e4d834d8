//! What lets this node take part (rules M1 and V1): its data directory, who has confirmed that, and what the members say.

use super::admission::{SharedAdmission, SharedLimits};
use super::supervise;
use crate::identity::DataDir;
use crate::logging::limit::limited;
use ::node::admission::Admission;
use ::node::configuration::{Configuration, DirectoryId};
use ::node::endpoint::Endpoint;
use ::node::hello::Limits;
use ::node::limits::KnownLimits;
use ::node::peer::greeting::{Host, Own};
use abd::NodeId;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A node's membership in its cluster.
pub(crate) struct Membership {
    /// What it says of itself.
    pub(crate) own: Own,
    /// The last durable batch. It keeps the database open, and so it is dropped before the directory, which has the lock.
    sequence: Box<dyn Fn() -> u64 + Send + Sync>,
    pub(crate) directory: DataDir,
    pub(crate) admission: SharedAdmission,
    pub(crate) limits: SharedLimits,
    /// Where clients reach the members, as far as they have said so.
    endpoints: Mutex<BTreeMap<NodeId, Endpoint>>,
    /// The configuration that is installed here.
    installed: watch::Sender<Arc<Configuration>>,
    /// The newest one that somebody has told.
    learned: watch::Sender<Option<Arc<Configuration>>>,
    /// There is news for those who wait for a fact of the admission.
    news: watch::Sender<()>,
}

impl Membership {
    pub(crate) fn new(
        own: Own,
        configuration: Configuration,
        directory: DataDir,
        sequence: Box<dyn Fn() -> u64 + Send + Sync>,
    ) -> Arc<Self> {
        let (voting, admitted) = {
            let identity = directory.identity();
            (identity.voting(), identity.admitted && !identity.is_gone())
        };
        let admission = Admission::new(&configuration, own.id, voting, admitted);
        let admission = SharedAdmission::new(admission);
        let limits = SharedLimits::new(KnownLimits::new(&configuration));
        let endpoints = Mutex::default();
        let installed = watch::Sender::new(Arc::new(configuration));
        let learned = watch::Sender::new(None);
        let news = watch::Sender::new(());
        let membership =
            Self { own, directory, admission, limits, endpoints, sequence, installed, learned, news };
        membership.learn(membership.own.id, membership.own.limits, membership.own.endpoint.clone());
        Arc::new(membership)
    }

    /// Who greets others.
    pub(crate) fn host<T>(&self, act: impl FnOnce(Host<'_>) -> T) -> T {
        let sequence = (self.sequence)();
        act(Host { own: &self.own, identity: &self.directory.identity(), sequence })
    }

    /// The configuration that is installed here.
    pub(crate) fn configuration(&self) -> Arc<Configuration> {
        self.installed.borrow().clone()
    }

    /// Tells of each configuration that is installed.
    pub(crate) fn follow(&self) -> watch::Receiver<Arc<Configuration>> {
        self.installed.subscribe()
    }

    /// A configuration is durable in the database, and event loops are about to serve it: whoever has a vote in it votes. The directory
    /// need not have it yet.
    pub(crate) fn begin_to_serve(&self, configuration: &Configuration) {
        let mut identity = self.directory.identity().clone();
        identity.install(configuration.clone());
        self.let_vote(configuration, identity.voting());
    }

    fn let_vote(&self, configuration: &Configuration, voting: DirectoryId) {
        if self.admission.install(configuration, voting) {
            tracing::info!(epoch = configuration.epoch(), "this node votes from now on");
        }
        self.news.send_replace(());
    }

    /// A configuration is installed, and durably so in the database: from now on whom it names may connect, and nobody else. To be
    /// called on a thread that may wait for the disk.
    ///
    /// # Errors
    /// When the directory cannot be written: the node must not go on.
    pub(crate) fn install(&self, configuration: &Configuration) -> io::Result<()> {
        if self.directory.install(configuration)? {
            self.installed.send_replace(Arc::new(configuration.clone()));
            self.limits.install(configuration);
            self.locked_endpoints().retain(|id, _| configuration.names(*id));
            let voting = self.directory.identity().voting();
            self.let_vote(configuration, voting);
        }
        Ok(())
    }

    /// Tells of each configuration that was learned and is newer than those before it.
    pub(crate) fn news(&self) -> watch::Receiver<Option<Arc<Configuration>>> {
        self.learned.subscribe()
    }

    /// Whether a peer was met with a directory that the configuration has nothing against.
    pub(crate) fn knows(&self, peer: NodeId) -> bool {
        self.directory.identity().peers.directory_of(peer.0).is_some()
    }

    /// Somebody who can be believed has told a configuration. If it is newer than what is installed, it is to be installed.
    pub(crate) fn learn_configuration(&self, told: Configuration) {
        self.learned.send_if_modified(|learned| {
            let newest = learned.as_ref().map_or(self.configuration().epoch(), |known| known.epoch());
            let is_newer = told.epoch() > newest;
            if is_newer {
                *learned = Some(Arc::new(told));
            }
            is_newer
        });
    }

    /// By which directories this node remembers its peers.
    pub(crate) fn remembered(&self) -> Vec<(NodeId, DirectoryId)> {
        let (identity, configuration) = (self.directory.identity(), self.configuration());
        let everybody = configuration.everybody().into_iter().map(|member| member.id);
        everybody.filter_map(|id| Some((id, identity.peers.directory_of(id.0)?))).collect()
    }

    /// A member has said what it lets its clients write, and where they reach it.
    pub(crate) fn learn(&self, peer: NodeId, limits: Limits, endpoint: Option<Endpoint>) {
        self.limits.learn(peer, limits);
        let mut endpoints = self.locked_endpoints();
        match endpoint {
            Some(endpoint) => _ = endpoints.insert(peer, endpoint),
            None => _ = endpoints.remove(&peer),
        }
    }

    fn locked_endpoints(&self) -> MutexGuard<'_, BTreeMap<NodeId, Endpoint>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where clients reach the members, as far as they have said so.
    pub(crate) fn endpoints(&self) -> BTreeMap<NodeId, Endpoint> {
        self.locked_endpoints().clone()
    }

    async fn wait_until(&self, fact: impl Fn(&SharedAdmission) -> bool) {
        // The sender lives as long as this.
        let _ = self.news.subscribe().wait_for(|()| fact(&self.admission)).await;
    }

    pub(crate) async fn wait_to_begin(&self) {
        self.wait_until(SharedAdmission::may_begin).await;
    }

    pub(crate) async fn wait_to_stop(&self) {
        self.wait_until(SharedAdmission::is_stopping).await;
    }

    /// A configuration of this epoch names this node no more: nothing begins here, and clients are told why.
    pub(super) fn retire(&self, epoch: u32) {
        self.admission.retire(epoch);
        self.news.send_replace(());
    }

    pub(super) fn stop(&self) {
        self.admission.stop();
        self.news.send_replace(());
    }

    /// A member has durably remembered this node's directory (rule M1).
    ///
    /// # Errors
    /// When that it is admitted cannot be written down: the node must not go on.
    pub(crate) async fn confirmed_by(self: &Arc<Self>, peer: NodeId) -> io::Result<()> {
        let this = self.clone();
        if let Err(why) = supervise::blocking(move || this.directory.was_met_by(peer.0)).await {
            limited!(warn, "cannot write down who has met this node", %why);
        }
        if self.admission.confirmed_by(peer) && !self.directory.identity().is_gone() {
            let this = self.clone();
            supervise::blocking(move || this.directory.set_admitted()).await?;
            if self.admission.admit() {
                tracing::info!("every member has confirmed this data directory: this node votes from now on");
            }
        }
        self.news.send_replace(());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Found;
    use crate::node::peer::peer_versions;
    use ::node::configuration::{Member, Stage};
    use abd::{Members, TimestampMode};

    /// M1: an event loop that serves a configuration is asked at once, and the directory has that only later.
    #[test]
    fn m1_whoever_a_configuration_names_votes_as_soon_as_it_is_served() {
        let directory = tempfile::tempdir().unwrap();
        let member =
            |id: u8| Member { id: NodeId(id.into()), directory: Some([id; 16]), address: format!("n{id}:1") };
        let newcomer = Member { directory: None, ..member(2) };
        let first = Configuration::first([(NodeId(1), "n1:1".to_owned())], TimestampMode::Logical);
        let mut awaiting = Configuration { next_id: 3, ..first.successor().unwrap() };
        awaiting.stage = Stage::Awaiting(vec![member(1), newcomer.clone()]);
        let found = Found::open(directory.path()).ok().unwrap();
        let directory = found.start(NodeId(2), awaiting.clone(), false).ok().unwrap();
        let named = Member { directory: Some(directory.identity().disk), ..newcomer };
        let own = Own {
            id: NodeId(2),
            members: Members::new(vec![NodeId(1)]),
            cluster: awaiting.text(),
            timestamps: "logical".to_owned(),
            limits: Limits { key: 1, value: 1, frame: 1 },
            loops: 1,
            endpoint: None,
            versions: peer_versions(),
        };
        let membership = Membership::new(own, awaiting.clone(), directory, Box::new(|| 0));
        let votes = || membership.admission.is_admitted();
        assert!(!votes());
        let mut joint = awaiting.successor().unwrap();
        joint.members = vec![member(1)];
        joint.stage = Stage::Joint { next: vec![member(1), named], lost: Vec::new() };
        membership.begin_to_serve(&joint);
        assert_eq!((votes(), membership.configuration().epoch()), (true, 2));
        // Given up, before the directory has heard of the one before.
        let mut back = joint.successor().unwrap();
        back.stage = Stage::Stable;
        membership.begin_to_serve(&back);
        assert!(!votes());
        membership.install(&joint).unwrap();
        assert_eq!((votes(), membership.configuration().epoch()), (false, 3));
    }
}
