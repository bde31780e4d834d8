//! A node from its start to its end: its ports, its data and its threads.

use super::changes::Changes;
use super::client::Clients;
use super::clock::NodeClock;
use super::database::ReplicaStore;
use super::disk::Disk;
use super::event_loop::{Given, Loops};
use super::healing::Healing;
use super::membership::Membership;
use super::peer::peer_versions;
use super::repair::Repairs;
use super::report::Report;
use super::scripts::Scripts;
use super::stats::Stats;
use super::supervise::Supervisor;
use super::threads::Threads;
use super::{EPOCH, founding, listen, mode, now_instant, sockets};
use crate::config::{Heal, Settings, required};
use crate::fatal::Fatal;
use crate::identity::{DataDir, Found};
use ::node::configuration::Configuration;
use ::node::endpoint::Endpoint;
use ::node::hello::Limits;
use ::node::inquiry::notes::Notes;
use ::node::limits::{FRAME_BYTES_MAX, KEY_BYTES_MAX};
use ::node::peer::greeting::Own;
use abd::{Members, NodeId, TimestampIssuer};
use std::sync::{Arc, LazyLock, Mutex};
use store::DatabaseError;

/// Peers may have been told of so many batches, at the most, that were durable and not noted beside the database yet.
const TOLD_AHEAD: u64 = 1_000;

/// A running node.
pub struct RunningNode {
    pub(super) disk: Arc<Disk>,
    membership: Arc<Membership>,
    supervisor: Arc<Supervisor>,
    scripts: Arc<Scripts>,
    threads: Threads,
}

impl RunningNode {
    /// Starts a node: takes its ports, opens its data, and serves.
    ///
    /// # Errors
    /// Exit code 2 for a wrong configuration or a port in use, 1 for a damaged or failing disk, 4 for a node that is no member any
    /// more.
    pub fn start(mut settings: Settings) -> Result<Self, Fatal> {
        LazyLock::force(&EPOCH);
        let found = Found::open(&settings.data_dir)?;
        let (id, configuration) = founding::identify(&mut settings, &found)?;
        sockets::limit_clients(&mut settings, configuration.everybody().len())?;
        let clock = NodeClock::choose(&settings)?;
        let peer_address = founding::peer_address(id, &configuration).map(str::to_owned);
        let peer_address = settings.peer_listen.clone().or(peer_address);
        let peer_address = required(peer_address, "--peer-listen")?;
        let peer_ports = match &settings.peer_listen {
            Some(address) => listen::listen("--peer-listen", address)?,
            None => listen::listen("the peer address in --cluster", &peer_address)?,
        };
        let client_ports = listen::listen("--listen", &settings.listen)?;
        let http = settings.http_listen.as_deref();
        let http_ports = http.map_or(Ok(Vec::new()), |address| listen::listen("--http-listen", address))?;
        let heals = settings.heal == Heal::Auto;
        let identity = found.start(id, configuration, heals)?;
        let store = open(&identity, settings.cache_bytes, heals)?;
        identity.database_opened(store.database.sequence())?;
        let configuration = founding::newest(&settings, &identity, store.versions.configuration())?;
        // It may have ended between the switch and this.
        store.versions.forget_lost(identity.identity().disk).map_err(cannot_open)?;
        let members = Members::new(configuration.members.iter().map(|member| member.id).collect());
        mode::enter(&settings, &identity, &store, clock.source())?;
        let boot = identity.identity().boot;
        let told = listen::endpoint(&settings.listen, &client_ports, &peer_address);
        let own = own(&settings, id, members.clone(), &configuration, told);
        let membership = Membership::new(own, configuration, identity, Box::new(store.durable()));
        let issuer = TimestampIssuer::new(id, boot);
        // What was promised before is of no use any more.
        issuer.observe_round(store.versions.mark().round);
        let disk = Arc::new(
            Disk::new(store, boot, membership.configuration().epoch(), settings.threads)
                .map_err(cannot_open)?,
        );
        let repairs = Arc::new(Repairs::new(id, members.iter()));
        let (directory, configuration) = (membership.directory.identity().disk, membership.configuration());
        let changes = Arc::new(Changes::new(id, directory, (*configuration).clone(), heals, now_instant()));
        let healing = Healing::new(heals, disk.clone(), membership.clone(), changes.clone());
        let clients = Arc::new(Clients::new(settings.max_clients, settings.clients_memory));
        let (settings, clock) = (Arc::new(settings), Arc::new(clock));
        let stats = Arc::new(Stats::new(settings.threads));
        let notes: Arc<Mutex<Notes>> = Arc::default();
        let scripts = Arc::new(Scripts::new(&settings, own_random(boot, id)));
        let report = Arc::new(Report {
            settings: settings.clone(),
            clock: clock.clone(),
            disk: disk.clone(),
            membership: membership.clone(),
            repairs: repairs.clone(),
            healing: healing.clone(),
            flushing: Arc::default(),
            clients: clients.clone(),
            stats: stats.clone(),
            scripts: scripts.clone(),
            notes: notes.clone(),
        });
        let (loops, ends) = Loops::new(settings.threads);
        let supervisor = Supervisor::new(membership.clone());
        let given = Given {
            settings,
            clock,
            issuer: Arc::new(issuer),
            disk: disk.clone(),
            membership: membership.clone(),
            repairs,
            changes,
            healing,
            notes,
            clients,
            stats,
            report,
            scripts: scripts.clone(),
            supervisor: supervisor.clone(),
            loops: Arc::new(loops),
        };
        tracing::info!(
            node = id.0,
            boot,
            timestamps = given.settings.timestamps_name(),
            listen = listen::shown(&client_ports),
            peers = listen::shown(&peer_ports),
            http = listen::shown(&http_ports),
            admitted = membership.admission.is_admitted(),
            "started"
        );
        let threads = Threads::start(&given, ends, [peer_ports, client_ports, http_ports])?;
        Ok(Self { disk, membership, supervisor, scripts, threads })
    }

    /// Waits until the node cannot go on, and says why.
    pub fn failed(&self) -> impl Future<Output = Fatal> + use<> {
        self.supervisor.failed()
    }

    /// Takes nothing new any more, from clients or peers that are not connected yet. What those ask who are is refused as without
    /// effect; operations in flight go on, and requests of peers are served.
    pub fn begin_to_stop(&self) {
        self.membership.stop();
    }

    /// Stops gracefully: operations in flight may end, what is queued becomes durable.
    pub fn stop(self) {
        self.begin_to_stop();
        self.threads.end(&self.disk, &self.scripts);
        tracing::info!(node = self.membership.own.id.0, "stopped");
    }
}

/// `endpoint` is where clients reach it, for all that it can know itself.
fn own(
    settings: &Settings,
    id: NodeId,
    members: Members,
    configuration: &Configuration,
    endpoint: Option<Endpoint>,
) -> Own {
    let [key, value, frame] = [KEY_BYTES_MAX, settings.max_value_bytes, FRAME_BYTES_MAX].map(|n| n as u64);
    Own {
        id,
        members,
        cluster: configuration.text(),
        timestamps: settings.timestamps_name().to_owned(),
        limits: Limits { key, value, frame },
        loops: u16::try_from(settings.threads).unwrap_or(u16::MAX),
        endpoint: settings.announce.clone().or(endpoint),
        versions: peer_versions(),
    }
}

/// Where `math.random` of scripts begins: elsewhere at each start of each node.
fn own_random(boot: u32, id: NodeId) -> u64 {
    rapidhash::v3::rapidhash_v3(&[boot.to_be_bytes(), id.0.to_be_bytes()].concat())
}

/// Opens the database; or what is left of it, if not all is there that was acknowledged, and the node is to heal.
fn open(identity: &DataDir, cache_bytes: usize, heals: bool) -> Result<ReplicaStore, Fatal> {
    let (path, heals) = (identity.database_path(), heals && identity.can_heal());
    let open = |at_least| ReplicaStore::open(&path, identity.watermark(), cache_bytes, at_least);
    let lose = || {
        identity.lose().map_err(|why| Fatal::runtime(format!("cannot write to {}: {why}", path.display())))
    };
    if !identity.has_lost() {
        match open(None) {
            Ok(store) if heals && !identity.has_all(store.database.sequence()) => {
                tracing::error!(
                    "the database is older than what was acknowledged: this node does not vote until it is healed"
                );
            }
            Ok(store) => return Ok(store),
            Err(DatabaseError::Damaged(why)) if heals => {
                tracing::error!(%why, "the database is damaged: this node does not vote until it is healed");
            }
            Err(why) => return Err(cannot_open(why)),
        }
        lose()?;
    }
    let known = identity.identity().batches().max(identity.watermark().number());
    open(Some(known + TOLD_AHEAD)).map_err(cannot_open)
}

fn cannot_open(why: DatabaseError) -> Fatal {
    match why {
        DatabaseError::Full(_) => Fatal::runtime(format!("cannot open the database: {why}; make room")),
        _ => Fatal::runtime(format!("cannot open the database: {why}")),
    }
}
