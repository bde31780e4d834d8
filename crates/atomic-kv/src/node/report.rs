//! Whatever a node tells about itself: INFO ([`super::info`]), `/metrics` ([`super::metrics`]), `/readyz`.

use super::client::Clients;
use super::clock::NodeClock;
use super::disk::Disk;
use super::membership::Membership;
use super::repair::Repairs;
use super::stats::Stats;
use crate::config::Settings;
use ::node::peer::greeting::Own;
use abd::{NodeId, Reason};
use std::sync::Arc;

/// From where a node knows what it tells. It is read here, and never changed.
pub(crate) struct Report {
    pub(super) settings: Arc<Settings>,
    pub(super) clock: Arc<NodeClock>,
    pub(super) disk: Arc<Disk>,
    pub(super) membership: Arc<Membership>,
    pub(super) repairs: Arc<Repairs>,
    pub(super) clients: Arc<Clients>,
    pub(super) stats: Arc<Stats>,
}

impl Report {
    /// Why no operation can be expected to succeed now. `None`: this node is ready.
    pub(crate) fn not_ready(&self) -> Option<Reason> {
        self.membership.admission.not_ready(self.clock.has_time())
    }

    /// The other members, with their indices.
    pub(super) fn peers(&self) -> impl Iterator<Item = (usize, NodeId)> {
        let Own { id, members, .. } = &self.membership.own;
        members.ids().iter().copied().enumerate().filter(move |(_, peer)| peer != id)
    }
}
