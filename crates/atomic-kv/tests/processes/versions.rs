//! Nodes of several releases in one cluster: the highest common version of the peer protocol is spoken, and who has none with
//! the others is told so.

use crate::support::client::Response;
use crate::support::privileged::skipped;
use crate::support::{Cluster, Node, eventually};

/// Starts three nodes that speak these versions; `None` where a build cannot be told to.
fn speaking(versions: [&str; 3]) -> Option<Cluster> {
    if !cfg!(debug_assertions) {
        skipped("nodes of several versions", "a release build speaks what it speaks");
        return None;
    }
    let mut cluster = Cluster::new(3, &[]);
    for (node, versions) in cluster.nodes.iter_mut().zip(versions) {
        node.environment = vec![("ATOMIC_KV_TEST_PEER_VERSIONS", versions.to_owned())];
        node.start();
    }
    Some(cluster)
}

#[track_caller]
fn serve(nodes: &[Node]) {
    for node in nodes {
        assert_eq!(node.connect().call(&format!("SET key {}", node.id)), Response::ok());
        for other in nodes {
            assert_eq!(other.connect().call("GET key"), Response::bulk(&node.id.to_string()));
        }
    }
}

#[test]
fn nodes_with_a_common_version_talk() {
    let Some(cluster) = speaking(["3..=4", "2..=3", "3..=7"]) else { return };
    cluster.wait_ready();
    serve(&cluster.nodes);
}

#[test]
fn a_node_without_a_common_version_is_told_so_and_the_others_go_on() {
    // All have to have met for a new cluster to begin.
    let Some(mut cluster) = speaking(["3..=3"; 3]) else { return };
    cluster.wait_ready();
    cluster.nodes[2].kill();
    cluster.nodes[2].environment = vec![("ATOMIC_KV_TEST_PEER_VERSIONS", "5..=6".to_owned())];
    cluster.nodes[2].start();
    cluster.nodes[2].wait_for_log(&["no common version", "it speaks version 3, this node versions 5 to 6"]);
    for node in &cluster.nodes[..2] {
        node.wait_for_log(&["no common version", "it speaks versions 5 to 6, this node version 3"]);
    }
    serve(&cluster.nodes[..2]);
    assert_eq!(cluster.nodes[2].info("ready"), "0");
    // The next release speaks both.
    cluster.nodes[2].kill();
    cluster.nodes[2].environment[0].1 = "3..=6".to_owned();
    cluster.nodes[2].start();
    cluster.wait_ready();
    eventually("all nodes serve", || cluster.nodes[2].connect().call("GET key") == Response::bulk("2"));
    serve(&cluster.nodes);
}
