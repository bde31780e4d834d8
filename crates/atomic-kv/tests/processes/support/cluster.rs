//! Several nodes that know each other.

use super::node::Node;
use super::ports::Port;
use super::proxy::Proxy;
use std::path::Path;
use tempfile::TempDir;

/// Nodes with ids from 1, their data in one temporary directory. All of it is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// The nodes; node 1 comes first.
    pub(crate) nodes: Vec<Node>,
    peer_ports: Vec<Port>,
    directory: TempDir,
}

impl Cluster {
    /// A cluster that is not started yet.
    pub(crate) fn new(count: u32, flags: &[&str]) -> Self {
        let ports: Vec<Port> = (0..count).map(|_| Port::free()).collect();
        let listed = ports.iter().map(Port::address).collect();
        Self::listed(listed, ports, flags)
    }

    /// A cluster with a proxy in front of each node's peer port. It is not started yet.
    pub(crate) fn behind_proxies(count: u32, flags: &[&str]) -> (Self, Vec<Proxy>) {
        let (outside, inside): (Vec<Port>, Vec<Port>) =
            (0..count).map(|_| (Port::free(), Port::free())).unzip();
        let addresses: Vec<String> = inside.iter().map(Port::address).collect();
        let mut cluster = Self::listed(outside.iter().map(Port::address).collect(), inside, flags);
        for (node, address) in cluster.nodes.iter_mut().zip(&addresses) {
            node.flags.extend(["--peer-listen".to_owned(), address.clone()]);
        }
        let proxies = outside.into_iter().zip(addresses).map(|(port, inside)| Proxy::start(port, inside));
        (cluster, proxies.collect())
    }

    /// A cluster that serves.
    pub(crate) fn start(count: u32, flags: &[&str]) -> Self {
        let mut cluster = Self::new(count, flags);
        cluster.start_all();
        cluster
    }

    fn listed(addresses: Vec<String>, peer_ports: Vec<Port>, flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let members: Vec<String> =
            addresses.iter().zip(1..).map(|(address, id)| format!("{id}={address}")).collect();
        let nodes = (1..).take(addresses.len()).map(|id| {
            let mut node = Node::new(id, members.join(","), directory.path());
            node.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
            node
        });
        Self { nodes: nodes.collect(), peer_ports, directory }
    }

    /// Starts every node and waits until all are ready.
    pub(crate) fn start_all(&mut self) {
        for node in &mut self.nodes {
            node.start();
        }
        self.wait_ready();
    }

    /// Waits until every node is ready.
    pub(crate) fn wait_ready(&self) {
        for node in &self.nodes {
            node.wait_ready();
        }
    }

    /// One more peer address.
    pub(crate) fn new_peer_port(&mut self) -> String {
        self.peer_ports.push(Port::free());
        self.peer_ports.last().unwrap().address()
    }

    /// kill -9 of all that run.
    pub(crate) fn kill_all(&mut self) {
        for node in self.nodes.iter_mut().filter(|node| node.runs()) {
            node.kill();
        }
    }

    /// The client addresses of all nodes.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(Node::address).collect()
    }

    /// The client addresses of all nodes, as the command line takes them.
    pub(crate) fn address_list(&self) -> String {
        self.addresses().join(",")
    }

    /// A place for a test's own files.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}
