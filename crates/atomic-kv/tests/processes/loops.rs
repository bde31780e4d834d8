//! Nodes with several event loops: connections of clients and peers are spread over them, and nobody can tell. What happens
//! when they crash, lose connections or stop is in the modules for that, beside nodes with one.

use crate::support::client::Reply;
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
        assert_eq!(clients[writer].call(&format!("SET key {value}")), Reply::ok());
        for reader in &mut clients {
            assert!(reader.call("GET key") == Reply::bulk(value), "after a write over connection {writer}");
        }
    }
    // All of them wait for the same group commits.
    let names: Vec<String> = (0..clients.len()).map(|writer| format!("own-{writer}")).collect();
    for (name, client) in names.iter().zip(&mut clients) {
        client.ask(&[b"SET", name.as_bytes(), b"1"]).unwrap();
    }
    for client in &mut clients {
        assert_eq!(client.read().unwrap(), Reply::ok());
    }
    for client in &mut clients {
        assert_eq!(client.call(&format!("EXISTS {}", names.join(" "))), Reply::Integer(12));
    }
}
