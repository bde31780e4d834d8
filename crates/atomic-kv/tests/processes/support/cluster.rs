//! Several nodes that know each other.

use super::node::Node;
use super::ports::Port;
use tempfile::TempDir;

/// Nodes with ids from 1, their data in one temporary directory. All of it is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// The nodes; node 1 comes first.
    pub(crate) nodes: Vec<Node>,
    _peer_ports: Vec<Port>,
    directory: TempDir,
}

impl Cluster {
    /// A cluster that is not started yet.
    pub(crate) fn new(count: u32, flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ports: Vec<Port> = (0..count).map(|_| Port::free()).collect();
        let members: Vec<String> =
            ports.iter().zip(1..).map(|(port, id)| format!("{id}={}", port.address())).collect();
        let nodes = (1..=count).map(|id| {
            let mut node = Node::new(id, members.join(","), directory.path());
            node.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
            node
        });
        Self { nodes: nodes.collect(), _peer_ports: ports, directory }
    }

    /// A cluster that serves.
    pub(crate) fn start(count: u32, flags: &[&str]) -> Self {
        let mut cluster = Self::new(count, flags);
        cluster.start_all();
        cluster
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

    /// kill -9 of all.
    pub(crate) fn kill_all(&mut self) {
        for node in &mut self.nodes {
            node.kill();
        }
    }

    /// The client addresses of all nodes.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(Node::address).collect()
    }

    /// A place for a test's own files.
    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }
}
