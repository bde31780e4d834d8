//! The nodes of the cluster, as this one tells its clients of them: who answers, where, and whose the slots are.

use crate::endpoint::Endpoint;
use crate::hex::hex;
use crate::slots;
use abd::{NodeId, NodeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use sha2::{Digest, Sha256};

/// What is known of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Which one.
    pub id: NodeId,
    /// Where its clients reach it, if it has said so.
    pub endpoint: Option<Endpoint>,
    /// The port of its peer address.
    pub peer_port: u16,
    /// Whether it is a member. A node that joins or leaves lists itself, too.
    pub is_member: bool,
    /// Whether it answers now.
    pub is_up: bool,
}

impl Known {
    /// As clients know it in Redis Cluster: 40 hexadecimal digits, the same at every node and in every start.
    pub fn name(&self) -> String {
        let digest =
            Sha256::new().chain_update(b"atomic-kv node ").chain_update(self.id.0.to_be_bytes()).finalize();
        hex(&digest[..20])
    }

    /// Whether clients may be sent there.
    fn can_take(&self) -> bool {
        self.is_up && self.endpoint.is_some()
    }
}

/// What a node knows of the members at this moment, itself included.
#[derive(Clone, Debug)]
pub struct Topology {
    /// In ascending order of id.
    nodes: Vec<Known>,
    /// Where this node is among them.
    own: usize,
    /// Whether operations can be expected to succeed at this node.
    is_ready: bool,
}

impl Topology {
    /// All members and this node in ascending order of id, which of them it is, and whether operations can be expected to succeed
    /// here.
    ///
    /// # Panics
    /// When this node is not among them.
    pub fn new(nodes: Vec<Known>, own: NodeId, is_ready: bool) -> Self {
        let Some(own) = nodes.iter().position(|node| node.id == own) else {
            panic!("a node that does not list itself")
        };
        Self { nodes, own, is_ready }
    }

    /// All members and this node, in ascending order of id.
    pub fn nodes(&self) -> &[Known] {
        &self.nodes
    }

    /// This node.
    pub fn own(&self) -> &Known {
        &self.nodes[self.own]
    }

    /// All of them but this one.
    pub fn others(&self) -> impl Iterator<Item = &Known> {
        self.nodes.iter().filter(|node| node.id != self.own().id)
    }

    /// The members.
    pub fn members(&self) -> impl Iterator<Item = &Known> {
        self.nodes.iter().filter(|node| node.is_member)
    }

    /// Whether operations can be expected to succeed at this node.
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// This node is reached at `endpoint`, unless it has another one by its settings.
    pub fn reached_at(&mut self, endpoint: Option<Endpoint>) {
        let own = &mut self.nodes[self.own].endpoint;
        *own = own.take().or(endpoint);
    }

    /// The members that slots are dealt to: those that answer. A node that is not ready, as it does not reach a majority, sends
    /// clients to all the others that it ever knew: it does not know better, and they may be well.
    pub fn takers(&self) -> NodeSet {
        let own = self.own().id;
        let those = |holds: &dyn Fn(&Known) -> bool| -> NodeSet {
            self.members().filter(|node| holds(node)).map(|node| node.id).collect()
        };
        let takers = match self.is_ready {
            true => those(&|node| node.id == own || node.can_take()),
            false => those(&|node| node.id != own && node.endpoint.is_some()),
        };
        if takers.is_empty() { those(&|node| node.id == own) } else { takers }
    }

    /// All slots in ascending ranges, each with the member that it is dealt to.
    pub fn slots(&self) -> Vec<(RangeInclusive<u16>, &Known)> {
        let members: Vec<NodeId> = self.members().map(|node| node.id).collect();
        let known = |id| self.nodes.iter().find(|node| node.id == id);
        let ranges = slots::deal(&members, self.takers()).into_iter();
        ranges.filter_map(|(range, owner)| Some((range, known(owner)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    fn known(id: u32, is_up: bool) -> Known {
        Known {
            id: NodeId(id),
            endpoint: Endpoint::new("n", 6379 + u16::try_from(id).unwrap()),
            peer_port: 7000,
            is_member: true,
            is_up,
        }
    }

    fn owners(topology: &Topology) -> BTreeSet<u32> {
        topology.slots().iter().map(|(_, node)| node.id.0).collect()
    }

    #[test]
    fn a_name_is_forty_digits_and_that_of_one_node() {
        // It does not change from one release to the next.
        assert_eq!(known(1, true).name(), known(1, false).name());
        let names: BTreeSet<String> = (1..=7).map(|id| known(id, true).name()).collect();
        assert!(names.len() == 7 && names.iter().all(|name| name.len() == 40));
    }

    #[test]
    fn slots_are_dealt_to_those_that_answer_and_have_said_where() {
        let nodes = [known(1, true), known(2, false), known(3, true)];
        assert_eq!(owners(&Topology::new(nodes.to_vec(), NodeId(1), true)), [1, 3].into());
        let mut silent = nodes.clone();
        silent[2].endpoint = None;
        assert_eq!(owners(&Topology::new(silent.to_vec(), NodeId(1), true)), [1].into());
    }

    #[test]
    fn a_node_that_is_not_ready_sends_clients_to_the_others() {
        let nodes = [known(1, true), known(2, false), known(3, false)];
        assert_eq!(owners(&Topology::new(nodes.to_vec(), NodeId(1), false)), [2, 3].into());
        // Nobody else was ever heard of.
        let alone = nodes.map(|node| Known { endpoint: None, ..node });
        assert_eq!(owners(&Topology::new(alone.to_vec(), NodeId(1), false)), [1].into());
    }

    #[test]
    fn a_node_is_where_its_settings_say_or_else_where_the_client_came_to() {
        let here = Endpoint::new("10.0.0.1", 1);
        let mut topology = Topology::new([known(1, true)].to_vec(), NodeId(1), true);
        topology.reached_at(here.clone());
        assert_eq!(topology.own().endpoint, Endpoint::new("n", 6380));
        let mut topology =
            Topology::new([Known { endpoint: None, ..known(1, true) }].to_vec(), NodeId(1), true);
        topology.reached_at(here.clone());
        assert_eq!(topology.own().endpoint, here);
    }

    /// A node that is none yet, or none any more, tells where the members are, and takes nothing itself.
    #[test]
    fn a_node_that_is_no_member_takes_no_slots() {
        let newcomer = Known { is_member: false, ..known(4, true) };
        let nodes = [known(1, true), known(2, true), known(3, false), newcomer.clone()];
        assert_eq!(owners(&Topology::new(nodes.to_vec(), NodeId(4), true)), [1, 2].into());
        assert_eq!(owners(&Topology::new(nodes.to_vec(), NodeId(4), false)), [1, 2, 3].into());
        let silent = nodes.map(|node| Known { endpoint: None, ..node });
        assert_eq!(owners(&Topology::new(silent.to_vec(), NodeId(4), false)), [].into());
    }
}
