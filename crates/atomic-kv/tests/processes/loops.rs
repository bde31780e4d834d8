//! Nodes with several event loops: connections of clients and peers are spread over them, and nobody can tell.

use crate::support::client::Reply;
use crate::support::{Background, Cluster, Connection};
use std::time::Duration;

const THREADS: &[&str] = &["--threads", "3"];

/// More connections than a node has event loops: some are served by each.
fn connections(cluster: &Cluster) -> Vec<Connection> {
    cluster.nodes.iter().flat_map(|node| (0..4).map(|_| node.connect())).collect()
}

#[test]
fn what_one_event_loop_wrote_all_others_read() {
    let cluster = Cluster::start(3, THREADS);
    let mut clients = connections(&cluster);
    // Of all sizes: one that travels with others, one with frames of its own, one that stays in the journal.
    let values = ["a".repeat(10), "b".repeat(3_000), "c".repeat(100_000)];
    for (writer, value) in (0..clients.len()).zip(values.iter().cycle()) {
        assert_eq!(clients[writer].call(&format!("SET key {value}")), Reply::ok());
        for reader in &mut clients {
            assert!(reader.call("GET key") == Reply::bulk(value), "after a write over connection {writer}");
        }
    }
    // All of them wait for the same group commits.
    for (writer, client) in clients.iter_mut().enumerate() {
        client.ask(&[b"SET", format!("own-{writer}").as_bytes(), b"1"]).unwrap();
    }
    for client in &mut clients {
        assert_eq!(client.read().unwrap(), Reply::ok());
    }
    let names: Vec<String> = (0..clients.len()).map(|writer| format!("own-{writer}")).collect();
    for client in &mut clients {
        assert_eq!(client.call(&format!("EXISTS {}", names.join(" "))), Reply::Integer(12));
    }
}

#[test]
fn nodes_with_several_event_loops_are_killed() {
    let mut cluster = Cluster::start(3, THREADS);
    let load = Background::start(cluster.addresses());
    for index in 0..3 {
        Background::for_a_moment();
        cluster.nodes[index].kill();
        let mut client = cluster.nodes[(index + 1) % 3].connect();
        assert_eq!(client.call("SET probe 1"), Reply::ok());
        cluster.nodes[index].start();
        cluster.nodes[index].wait_ready();
    }
    Background::for_a_moment();
    cluster.kill_all();
    cluster.start_all();
    Background::for_a_moment();
    load.judge();
}

#[test]
fn connections_between_several_event_loops_break() {
    let (mut cluster, proxies) = Cluster::behind_proxies(3, THREADS);
    cluster.start_all();
    let load = Background::start(cluster.addresses());
    for round in 0..20 {
        proxies[round % 3].reset();
        std::thread::sleep(Duration::from_millis(60));
    }
    // And one that nobody says is broken.
    proxies[1].cut_requests();
    proxies[1].cut_replies();
    Background::for_a_moment();
    proxies[1].mend();
    Background::for_a_moment();
    load.judge();
    cluster.wait_ready();
    for mut client in connections(&cluster) {
        assert_eq!(client.call("SET last 1"), Reply::ok());
        assert_eq!(client.call("GET last"), Reply::bulk("1"));
    }
}

#[test]
fn a_node_with_several_event_loops_stops_gracefully() {
    let mut cluster = Cluster::start(3, THREADS);
    let load = Background::start(cluster.addresses());
    for node in &mut cluster.nodes {
        Background::for_a_moment();
        assert!(node.terminate().success());
        assert!(node.log().lines().last().unwrap().contains("stopped"), "{}", node.log());
        node.start();
        node.wait_ready();
    }
    load.judge();
}
