//! Nodes with several event loops: connections of clients and peers are spread over them, and nobody can tell. What happens
//! when they crash, lose connections or stop is in the modules for that, beside nodes with one.

use crate::support::client::Response;
use crate::support::{Cluster, Connection, Node, SEVERAL_LOOPS};

#[test]
fn what_one_event_loop_wrote_all_others_read() {
    let cluster = Cluster::start(3, SEVERAL_LOOPS);
    // A node's event loops take connections in turns, so each has one at least.
    let four = |node: &Node| (0..4).map(|_| node.connect()).collect::<Vec<Connection>>();
    let mut clients: Vec<Connection> = cluster.nodes.iter().flat_map(four).collect();
    // Of all sizes: one that travels with others, one with frames of its own, one that stays in the journal.
    let values = ["a".repeat(10), "b".repeat(3_000), "c".repeat(100_000)];
    for (writer, value) in (0..clients.len()).zip(values.iter().cycle()) {
        assert_eq!(clients[writer].call(&format!("SET key {value}")), Response::ok());
        for reader in &mut clients {
            assert!(
                reader.call("GET key") == Response::bulk(value),
                "after a write over connection {writer}"
            );
        }
    }
    // All of them wait for the same group commits.
    let names: Vec<String> = (0..clients.len()).map(|writer| format!("own-{writer}")).collect();
    for (name, client) in names.iter().zip(&mut clients) {
        client.ask(&[b"SET", name.as_bytes(), b"1"]).unwrap();
    }
    for client in &mut clients {
        assert_eq!(client.read().unwrap(), Response::ok());
    }
    for client in &mut clients {
        assert_eq!(client.call(&format!("EXISTS {}", names.join(" "))), Response::Integer(12));
    }
}

/// Nodes with one, two and three event loops: every loop of each has a way to each other node, also after a node came back
/// with another number.
#[test]
fn nodes_with_different_numbers_of_event_loops() {
    let mut cluster = Cluster::new(3, &[]);
    for (node, threads) in cluster.nodes.iter_mut().zip(["1", "2", "3"]) {
        node.flags = vec!["--threads".to_owned(), threads.to_owned()];
    }
    cluster.start_all();
    let value = "v".repeat(100_000);
    let everybody_serves = |cluster: &Cluster, round: &str| {
        for node in &cluster.nodes {
            // One on each event loop.
            for number in 0..6 {
                let (mut client, key) = (node.connect(), format!("{round}-{}-{number}", node.id));
                assert_eq!(client.call(&format!("SET {key} {value}")), Response::ok());
                assert_eq!(client.call(&format!("SET {key} small")), Response::ok());
                assert_eq!(client.call(&format!("GET {key}")), Response::bulk("small"));
            }
        }
    };
    everybody_serves(&cluster, "first");
    cluster.nodes[0].kill();
    "4".clone_into(&mut cluster.nodes[0].flags[1]);
    cluster.nodes[0].start();
    cluster.nodes[0].wait_ready();
    everybody_serves(&cluster, "second");
    // Any two of the event loops reach each other: without the third node all operations need it.
    cluster.nodes[2].kill();
    for node in &cluster.nodes[..2] {
        for number in 0..8 {
            assert_eq!(node.connect().call(&format!("SET third-{number} {value}")), Response::ok());
        }
    }
}
