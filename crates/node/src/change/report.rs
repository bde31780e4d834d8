//! What operators and their tools are told.

use super::plan::{Request, newcomers};
use super::view::{Seen, View};
use crate::configuration::{Configuration, DirectoryId, Member, Stage};
use crate::hex::hex;
use crate::topology::Topology;
use abd::NodeId;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::Serialize;

/// The configuration, and how everybody stands. Fields may be added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The id of the node that tells this.
    pub node: u32,
    /// Which configuration.
    pub epoch: u32,
    /// `stable`, `awaiting` or `joint`.
    pub stage: &'static str,
    /// What all members can do.
    pub level: u32,
    /// The id of the next node that joins.
    pub next_id: u32,
    /// The members, by id.
    pub members: Vec<MemberReport>,
    /// Those to come, while the members change; those who stay are among them.
    pub next: Option<Vec<MemberReport>>,
    /// What the change waits for; empty if there is none, or nothing.
    pub waits_for: String,
    /// What is to be started.
    pub to_start: Vec<ToStart>,
}

/// A member, or one to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberReport {
    /// Its id.
    pub id: u32,
    /// Its peer address.
    pub address: String,
    /// The first digits of the id of its directory, in hexadecimal; `None` if the configuration does not name one. The whole id is
    /// told to members alone: by it a node knows whom it may believe.
    pub directory: Option<String>,
    /// Where clients reach it, HOST:PORT, as far as it has said so.
    pub client: Option<String>,
    /// Whether it answers the node that tells this.
    pub up: bool,
    /// Whether it votes in this epoch.
    pub votes: bool,
    /// Whether it is synced in this epoch (rule C3); outside of a change nobody has to be.
    pub synced: bool,
    /// Keys that it lacks, about; `None` if that is not known.
    pub behind_keys: Option<u64>,
    /// For how long it lacks the oldest of them.
    pub behind_seconds: Option<u64>,
    /// In how many ranges of keys it may have lost something; `None` if it has not told.
    pub lost_ranges: Option<usize>,
    /// Whether it wants to heal.
    pub heals: bool,
}

/// A node that is awaited, and how it is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToStart {
    /// Its id.
    pub id: u32,
    /// Its peer address.
    pub address: String,
    /// The command line; words in capitals are to be filled in.
    pub command: String,
}

/// What has become of a request of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// `begun`, `under way` or `done`.
    pub result: &'static str,
    /// The epoch that it is in.
    pub epoch: u32,
    /// `stable`, `awaiting` or `joint`.
    pub stage: &'static str,
    /// The nodes that come, or have come, with it.
    pub nodes: Vec<ToStart>,
    /// Where clients reach the nodes, HOST:PORT, as far as they have said so. The one that tells this may be gone before the change is
    /// through.
    pub clients: Vec<String>,
}

/// What was compared of two replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Ranges that were compared in the last pass that is through.
    pub ranges: u64,
    /// Ranges of them that differed.
    pub differing: u64,
    /// Passes over all keys that are through.
    pub passes: u64,
    /// Seconds since the last one ended.
    pub seconds_ago: u64,
}

/// What one node has compared with others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparisons {
    /// Which node.
    pub node: u32,
    /// By the id of the other one.
    pub pairs: Vec<Pair>,
}

/// A pair of replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// The other one.
    pub with: u32,
    /// What was compared.
    #[serde(flatten)]
    pub compared: Compared,
}

impl Report {
    pub(super) fn new(view: &View, waits_for: String) -> Self {
        let configuration = &view.configuration;
        let report = |member| MemberReport::new(view, member);
        Self {
            node: view.own.0,
            epoch: configuration.epoch(),
            stage: configuration.stage.name(),
            level: configuration.level,
            next_id: configuration.next_id,
            members: configuration.members.iter().map(report).collect(),
            next: configuration.next().map(|next| next.iter().map(report).collect()),
            waits_for,
            to_start: configuration.awaited().map(|member| ToStart::new(configuration, member)).collect(),
        }
    }

    /// The same with where clients reach the members: whoever follows a change goes on there when the node that he asks leaves.
    #[must_use]
    pub fn with_clients(mut self, topology: &Topology) -> Self {
        for member in self.members.iter_mut().chain(self.next.iter_mut().flatten()) {
            let known = topology.nodes().iter().find(|known| known.id.0 == member.id);
            member.client = known.and_then(|known| Some(known.endpoint.as_ref()?.to_string()));
        }
        self
    }

    /// As one JSON object.
    pub fn json(&self) -> String {
        json(self)
    }
}

impl MemberReport {
    fn new(view: &View, member: &Member) -> Self {
        let unknown = Seen::default();
        let seen = view.seen(member.id).unwrap_or(&unknown);
        // Nobody has a list of what a node lacks that pulls everything.
        let is_new = !view.configuration.members.iter().any(|old| old.id == member.id);
        let behind = seen.behind.filter(|_| !is_new || view.is_synced(member.id));
        Self {
            id: member.id.0,
            address: member.address.clone(),
            directory: member.directory.map(beginning),
            client: None,
            up: seen.is_up,
            votes: votes(&view.configuration, member),
            synced: view.is_synced(member.id),
            behind_keys: behind.map(|behind| behind.keys),
            behind_seconds: behind.map(|behind| behind.time.as_secs()),
            lost_ranges: seen.lost.as_ref().map(Vec::len),
            heals: seen.heal.is_some_and(|heal| member.directory != Some(heal.directory)),
        }
    }
}

/// Whether this pair votes: as a member, or as one to come once quorums are joint.
fn votes(configuration: &Configuration, member: &Member) -> bool {
    let is_in = |members: &[Member]| members.contains(member);
    match &configuration.stage {
        Stage::Stable | Stage::Awaiting(_) => is_in(&configuration.members),
        Stage::Joint { next, lost } => {
            is_in(next) || is_in(&configuration.members) && !lost.contains(&member.id)
        }
    }
}

/// Enough to tell two of them apart.
fn beginning(directory: DirectoryId) -> String {
    hex(&directory[..4])
}

impl ToStart {
    /// How `member`, which is to come, is started: it asks those who stay who it is.
    pub fn new(configuration: &Configuration, member: &Member) -> Self {
        let coming = configuration.next().unwrap_or(&configuration.members);
        let stays = |other: &&Member| other.id != member.id && coming.iter().any(|one| one.id == other.id);
        let stays: Vec<&str> =
            configuration.members.iter().filter(stays).map(|other| other.address.as_str()).collect();
        let all = || configuration.members.iter().map(|other| other.address.as_str()).collect();
        let join = if stays.is_empty() { all() } else { stays }.join(",");
        let address = member.address.clone();
        let command = format!(
            "atomic-kv serve --join {join} --peer-listen {address} --listen CLIENT-ADDRESS --data-dir EMPTY-DIRECTORY"
        );
        Self { id: member.id.0, address, command }
    }
}

impl Told {
    /// With this result, in this configuration.
    pub fn new(
        result: &'static str,
        configuration: &Configuration,
        request: &Request,
        topology: &Topology,
    ) -> Self {
        let nodes = newcomers(configuration, request);
        let clients = topology.nodes().iter().filter_map(|known| known.endpoint.as_ref());
        Self {
            result,
            epoch: configuration.epoch(),
            stage: configuration.stage.name(),
            nodes: nodes.into_iter().map(|member| ToStart::new(configuration, member)).collect(),
            clients: clients.map(ToString::to_string).collect(),
        }
    }

    /// As one JSON object.
    pub fn json(&self) -> String {
        json(self)
    }
}

impl Comparisons {
    pub(super) fn new(own: NodeId, compared: &BTreeMap<NodeId, Compared>) -> Self {
        let pair = |(with, compared): (&NodeId, &Compared)| Pair { with: with.0, compared: *compared };
        Self { node: own.0, pairs: compared.iter().map(pair).collect() }
    }

    /// As one JSON object.
    pub fn json(&self) -> String {
        json(self)
    }
}

/// A value as JSON.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts, numbers and lists of them are always JSON")
}
