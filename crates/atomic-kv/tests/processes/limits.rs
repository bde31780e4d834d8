//! Nodes with different limits, and with limits that were lowered: what is too large is refused by itself, and what is stored
//! stays readable.

use crate::support::client::Response;
use crate::support::{Cluster, Node, eventually};

const LARGE: usize = 20 << 20;

fn allow(node: &mut Node, mebibytes: usize) {
    node.flags = vec!["--max-value-bytes".to_owned(), (mebibytes << 20).to_string()];
}

/// Three nodes that allow values of so many MiB, and know it of each other.
fn allowing(mebibytes: [usize; 3]) -> Cluster {
    let mut cluster = Cluster::new(3, &[]);
    for (node, mebibytes) in cluster.nodes.iter_mut().zip(mebibytes) {
        allow(node, mebibytes);
    }
    cluster.start_all();
    for (node, peers) in cluster.nodes.iter().zip(["2=up,3=up", "1=up,3=up", "1=up,2=up"]) {
        eventually("everybody is connected", || node.info("peers") == peers);
    }
    cluster
}

fn set(node: &Node, key: &str, value: &[u8]) -> Response {
    node.connect().try_call(&[b"SET", key.as_bytes(), value]).unwrap()
}

#[track_caller]
fn everybody_reads(cluster: &Cluster, key: &str, value: &[u8]) {
    for node in &cluster.nodes {
        let read = node.connect().try_call(&[b"GET", key.as_bytes()]).unwrap();
        assert!(read == Response::Bulk(Some(value.to_vec())), "node {} reads something else", node.id);
    }
}

#[test]
fn a_value_that_too_many_nodes_refuse_is_not_written_anywhere() {
    let cluster = allowing([64, 16, 16]);
    let (value, small) = (vec![b'v'; LARGE], b"small");
    let told = set(&cluster.nodes[0], "large", &value).error();
    assert!(told.starts_with("NOQUORUM") && told.contains("2 of 3 replicas refused"), "{told}");
    assert!(told.contains("--max-value-bytes"), "{told}");
    assert_eq!(set(&cluster.nodes[0], "small", small), Response::ok());
    everybody_reads(&cluster, "small", small);
    for node in &cluster.nodes {
        assert_eq!(node.connect().call("GET large"), Response::Bulk(None));
        assert!(!node.log().contains("lost"), "{}", node.log());
    }
}

#[test]
fn what_a_majority_allows_is_written_and_everybody_reads_it() {
    let mut cluster = allowing([64, 64, 16]);
    let value = vec![b'v'; LARGE];
    assert_eq!(set(&cluster.nodes[0], "large", &value), Response::ok());
    everybody_reads(&cluster, "large", &value);
    assert!(set(&cluster.nodes[2], "large", &value).error().starts_with("ERR "), "its own limit is smaller");
    // One more, that the last node does not get now. Then nobody allows it any more.
    cluster.nodes[2].kill();
    assert_eq!(set(&cluster.nodes[0], "later", &value), Response::ok());
    for node in &mut cluster.nodes[..2] {
        node.kill();
    }
    for node in &mut cluster.nodes {
        allow(node, 1);
    }
    cluster.start_all();
    for key in ["large", "later"] {
        everybody_reads(&cluster, key, &value);
    }
    // A replica that lacked it has it now.
    cluster.nodes[0].kill();
    for key in ["large", "later"] {
        let read = cluster.nodes[2].connect().try_call(&[b"GET", key.as_bytes()]).unwrap();
        assert!(read == Response::Bulk(Some(value.clone())), "{key}");
    }
    for node in &cluster.nodes[1..] {
        assert!(!node.log().contains("too long"), "{}", node.log());
    }
}
