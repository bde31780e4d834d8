//! A node from its start to its end: its ports, its data and its threads.

use super::client::Clients;
use super::clock::{FixedBound, KernelBound};
use super::committer::Committer;
use super::completions::Completions;
use super::connections::Connections;
use super::database::ReplicaStore;
use super::membership::Membership;
use super::peer::peer_versions;
use super::readers::Readers;
use super::stats::{LoopStats, Rates};
use super::{EPOCH, Node, event_loop, listen, mode, repair, sockets, supervise};
use crate::config::Settings;
use crate::fatal::Fatal;
use crate::identity::DataDir;
use crate::logging::limit::limited;
use ::node::hello::Limits;
use ::node::limits::FRAME_BYTES_MAX;
use ::node::lookups::READERS;
use ::node::peer::greeting::Own;
use abd::{ClockError, IntervalClock, Members, NodeId, TimestampIssuer, TimestampMode};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::Duration;
use store::DatabaseError;
use tokio::sync::{mpsc, watch};

/// What was heard of a member is durable after this time.
const REMEMBER_EVERY: Duration = Duration::from_secs(1);

/// A running node.
pub struct RunningNode {
    pub(super) node: Arc<Node>,
    shards: Vec<JoinHandle<()>>,
    committer: JoinHandle<()>,
    readers: Vec<JoinHandle<()>>,
    /// Writes down what is heard of the members.
    remembering: JoinHandle<()>,
}

impl RunningNode {
    /// Starts a node: takes its ports, opens its data, and serves.
    ///
    /// # Errors
    /// Exit code 2 for a wrong configuration or a port in use, 1 for a damaged or failing disk.
    pub fn start(mut settings: Settings) -> Result<Self, Fatal> {
        LazyLock::force(&EPOCH);
        sockets::limit_clients(&mut settings)?;
        let id = NodeId(settings.node_id);
        let members = Members::new(settings.cluster.iter().map(|(id, _)| NodeId(*id)).collect());
        let Some((_, peer_address)) = settings.cluster.iter().find(|(node, _)| *node == id.0) else {
            return Err(Fatal::usage(format!("node {id} is not in --cluster")));
        };
        let clock = choose_clock(&settings)?;
        let peers = match &settings.peer_listen {
            Some(address) => listen::listen("--peer-listen", address)?,
            None => listen::listen("the peer address in --cluster", peer_address)?,
        };
        let clients = listen::listen("--listen", &settings.listen)?;
        let http = settings.http_listen.as_deref();
        let http = http.map_or(Ok(Vec::new()), |address| listen::listen("--http-listen", address))?;
        let ids: Vec<u32> = members.ids().iter().map(|id| id.0).collect();
        let identity = DataDir::open(&settings.data_dir, id.0, &ids)?;
        let path = identity.database_path();
        let store =
            ReplicaStore::open(&path, identity.watermark(), settings.cache_bytes).map_err(cannot_open)?;
        identity.database_opened(store.sequence())?;
        mode::enter(&settings, &identity, &store, clock.as_deref())?;
        let (loops, receivers): (Vec<_>, Vec<_>) =
            (0..settings.threads).map(|_| mpsc::unbounded_channel()).unzip();
        let completions = Completions::of_all(settings.threads);
        let boot = identity.identity().boot;
        let own_index = members.index_of(id).unwrap_or_default();
        let own = own(&settings, id, members.clone());
        let membership = Membership::new(own, identity, Box::new(store.durable()));
        let node = Arc::new(Node {
            loops,
            issuer: TimestampIssuer::new(id, boot),
            committer: Committer::new(completions.clone(), store.accepts_writes()),
            completions,
            readers: Readers::default(),
            membership,
            repairs: repair::Repairs::new(members.count(), own_index),
            id,
            members,
            store,
            clock,
            failure: watch::Sender::new(None),
            clients: Clients::new(settings.max_clients, settings.clients_memory),
            stats: (0..settings.threads).map(|_| LoopStats::default()).collect(),
            rates: Rates::default(),
            connections: Connections::default(),
            settings,
        });
        tracing::info!(
            node = id.0,
            boot,
            timestamps = node.settings.timestamps_name(),
            listen = listen::shown(&clients),
            peers = listen::shown(&peers),
            http = listen::shown(&http),
            admitted = node.membership.admission.is_admitted(),
            "started"
        );
        let committer = supervise::thread(&node, "committer", |node| {
            if let Err(why) = node.committer.run(&node.store) {
                node.fail(why.to_string());
            }
        })?;
        let readers = (0..READERS).map(|_| supervise::thread(&node, "reader", |node| node.readers.run(node)));
        let readers = readers.collect::<Result<Vec<_>, Fatal>>()?;
        let mut listeners = Some([peers, clients, http]);
        let mut shards = Vec::new();
        for (index, receiver) in receivers.into_iter().enumerate() {
            let listeners = listeners.take();
            shards.push(supervise::thread(&node, "shard", move |node| {
                event_loop::run(node, index, receiver, listeners);
            })?);
        }
        let remembering = supervise::thread(&node, "identity", |node| keep_remembering(node))?;
        Ok(Self { node, shards, committer, readers, remembering })
    }

    /// Waits until the node cannot go on, and says why.
    pub fn failed(&self) -> impl Future<Output = Fatal> + use<> {
        let mut failure = self.node.failure.subscribe();
        async move {
            match failure.wait_for(Option::is_some).await {
                Ok(failure) => failure.clone().unwrap_or_else(|| Fatal::runtime("failed")),
                // It has stopped.
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// Takes nothing new any more, from clients or peers that are not connected yet. What those ask who are is refused as without
    /// effect; operations in flight go on, and requests of peers are served.
    pub fn begin_to_stop(&self) {
        self.node.membership.stop();
    }

    /// Stops gracefully: operations in flight may end, what is queued becomes durable.
    pub fn stop(self) {
        self.begin_to_stop();
        for shard in self.shards {
            let _ = shard.join();
        }
        self.node.readers.close();
        for reader in self.readers {
            let _ = reader.join();
        }
        self.node.committer.close();
        let _ = self.committer.join();
        self.remembering.thread().unpark();
        let _ = self.remembering.join();
        tracing::info!(node = self.node.id.0, "stopped");
    }
}

/// Writes down what was heard of the members and how much is durable here, for as long as there is news (rule M1).
fn keep_remembering(node: &Node) {
    loop {
        std::thread::park_timeout(REMEMBER_EVERY);
        // Before the last time: what is durable after that is nobody's business any more.
        let last = node.membership.admission.is_stopping();
        if let Err(why) = node.membership.directory.remember() {
            limited!(warn, "cannot write down what was heard of the members", %why);
        }
        if last {
            return;
        }
    }
}

fn own(settings: &Settings, id: NodeId, members: Members) -> Own {
    let Settings { max_key_bytes, max_value_bytes, .. } = *settings;
    let limits =
        Limits { key: max_key_bytes as u64, value: max_value_bytes as u64, frame: FRAME_BYTES_MAX as u64 };
    Own {
        id,
        members,
        cluster: settings.cluster_text(),
        timestamps: settings.timestamps_name().to_owned(),
        limits,
        loops: u16::try_from(settings.threads).unwrap_or(u16::MAX),
        versions: peer_versions(),
    }
}

fn choose_clock(settings: &Settings) -> Result<Option<Box<dyn IntervalClock + Send + Sync>>, Fatal> {
    if settings.timestamps == TimestampMode::Logical {
        return Ok(None);
    }
    let clock: Box<dyn IntervalClock + Send + Sync> = match settings.clock_error {
        Some(error) => Box::new(FixedBound::new(error, settings.clock_offset)),
        None => Box::new(KernelBound::new(settings.max_clock_width)),
    };
    match clock.now() {
        Ok(_) => Ok(Some(clock)),
        Err(why) => {
            let remedy = match why {
                ClockError::TooWide { .. } => {
                    "; synchronise this machine's clock better, or raise --max-clock-width"
                }
                // Whoever does not know the bound says what to do about it.
                ClockError::Unknown(_) => "",
            };
            Err(Fatal::usage(format!("--timestamps truetime is not possible: {why}{remedy}")))
        }
    }
}

fn cannot_open(why: DatabaseError) -> Fatal {
    match why {
        DatabaseError::Full(_) => Fatal::runtime(format!("cannot open the database: {why}; make room")),
        _ => Fatal::runtime(format!("cannot open the database: {why}")),
    }
}
