//! Whatever a node tells about itself: INFO ([`super::info`]), `/metrics` ([`super::metrics`]), `/readyz`.

use super::client::Clients;
use super::clock::NodeClock;
use super::disk::Disk;
use super::flush::Flushing;
use super::healing::Healing;
use super::membership::Membership;
use super::repair::Repairs;
use super::scripts::Scripts;
use super::stats::Stats;
use crate::config::Settings;
use ::node::inquiry::notes::Notes;
use ::node::topology::{Known, Topology};
use abd::{NodeId, Reason};
use std::sync::{Arc, Mutex};

/// From where a node knows what it tells. It is read here, and never changed.
pub(crate) struct Report {
    pub(super) settings: Arc<Settings>,
    pub(super) clock: Arc<NodeClock>,
    pub(super) disk: Arc<Disk>,
    pub(super) membership: Arc<Membership>,
    pub(super) repairs: Arc<Repairs>,
    pub(super) healing: Arc<Healing>,
    pub(super) flushing: Arc<Flushing>,
    pub(super) clients: Arc<Clients>,
    pub(super) stats: Arc<Stats>,
    pub(super) scripts: Arc<Scripts>,
    pub(super) notes: Arc<Mutex<Notes>>,
}

impl Report {
    /// Why no operation can be expected to succeed now. `None`: this node is ready.
    pub(crate) fn not_ready(&self) -> Option<Reason> {
        self.membership.admission.not_ready(self.clock.has_time())
    }

    /// What is known of the members now. Where clients reach this node is left to the connection of whoever asks, unless its
    /// settings say it.
    pub(super) fn topology(&self) -> Topology {
        let id = &self.membership.own.id;
        let configuration = self.membership.configuration();
        let everybody = configuration.everybody();
        let peer_port = |id: NodeId| {
            let member = everybody.iter().find(|member| member.id == id)?;
            member.address.rsplit_once(':')?.1.parse().ok()
        };
        let is_member = |id: NodeId| configuration.members.iter().any(|member| member.id == id);
        let mut listed: Vec<NodeId> = configuration.members.iter().map(|member| member.id).collect();
        if !is_member(*id) {
            listed.push(*id);
            listed.sort_unstable();
        }
        let admission = &self.membership.admission;
        let mut endpoints = self.membership.endpoints();
        let nodes = listed.into_iter().map(|node| {
            let is_own = node == *id;
            Known {
                id: node,
                endpoint: if is_own { self.settings.announce.clone() } else { endpoints.remove(&node) },
                peer_port: peer_port(node).unwrap_or(0),
                is_member: is_member(node),
                is_up: if is_own { !admission.is_stopping() } else { admission.is_up(node) },
            }
        });
        Topology::new(nodes.collect(), *id, self.not_ready().is_none())
    }

    /// The other nodes that the configuration names.
    pub(super) fn peers(&self) -> impl Iterator<Item = NodeId> {
        let (own, configuration) = (self.membership.own.id, self.membership.configuration());
        let everybody: Vec<NodeId> = configuration.everybody().iter().map(|member| member.id).collect();
        everybody.into_iter().filter(move |peer| *peer != own)
    }
}
