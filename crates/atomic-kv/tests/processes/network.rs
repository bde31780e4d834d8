//! A bad network between the nodes: slow, cut one way, half-open, broken connections.

use crate::support::client::Reply;
use crate::support::proxy::Proxy;
use crate::support::{Background, Cluster, SEVERAL_LOOPS, eventually};
use std::time::Duration;

fn start(flags: &[&str]) -> (Cluster, Vec<Proxy>) {
    let (mut cluster, proxies) = Cluster::behind_proxies(3, flags);
    cluster.start_all();
    (cluster, proxies)
}

/// All is well in the end: every node answers and sees the same.
#[track_caller]
fn recovers(cluster: &Cluster) {
    cluster.wait_ready();
    assert_eq!(cluster.nodes[0].connect().call("SET probe 1"), Reply::ok());
    for node in &cluster.nodes {
        assert_eq!(node.connect().call("GET probe"), Reply::bulk("1"));
    }
}

#[test]
fn a_slow_network() {
    let (cluster, proxies) = start(&["--timestamps", "truetime", "--clock-error", "2ms"]);
    let load = Background::start(cluster.addresses());
    for (proxy, milliseconds) in proxies.iter().zip([0, 15, 40]) {
        proxy.delay(Duration::from_millis(milliseconds));
    }
    Background::for_a_moment();
    Background::for_a_moment();
    // A delay that shrinks while messages are under way.
    for proxy in &proxies {
        proxy.delay(Duration::from_millis(3));
    }
    Background::for_a_moment();
    load.judge();
    recovers(&cluster);
}

#[test]
fn cut_one_way_at_a_time() {
    let (cluster, proxies) = start(&[]);
    let load = Background::start(cluster.addresses());
    for (proxy, living) in proxies.iter().zip([1, 2, 0]) {
        proxy.cut_requests();
        assert_eq!(cluster.nodes[living].connect().call("SET probe 0"), Reply::ok());
        Background::for_a_moment();
        proxy.mend();
        proxy.cut_replies();
        assert_eq!(cluster.nodes[living].connect().call("SET probe 0"), Reply::ok());
        Background::for_a_moment();
        proxy.mend();
    }
    load.judge();
    recovers(&cluster);
}

/// Nobody hears from a node, and no connection says so: the links find out by themselves and are opened anew.
fn half_open_connections(flags: &[&str]) {
    let (cluster, proxies) = start(flags);
    let load = Background::start(cluster.addresses());
    proxies[1].cut_requests();
    proxies[1].cut_replies();
    for node in [&cluster.nodes[0], &cluster.nodes[2]] {
        node.wait_for_log(&["lost a peer", "peer=2", "no answer within"]);
        assert_eq!(node.connect().call("SET probe 0"), Reply::ok());
    }
    proxies[1].mend();
    recovers(&cluster);
    load.judge();
}

#[test]
fn half_open_connections_one_loop() {
    half_open_connections(&[]);
}

#[test]
fn half_open_connections_several_loops() {
    half_open_connections(SEVERAL_LOOPS);
}

fn connections_that_break_all_the_time(flags: &[&str]) {
    let (cluster, proxies) = start(flags);
    let load = Background::start(cluster.addresses());
    for round in 0..30 {
        proxies[round % 3].reset();
        std::thread::sleep(Duration::from_millis(60));
    }
    for proxy in &proxies {
        proxy.reset();
    }
    Background::for_a_moment();
    load.judge();
    recovers(&cluster);
}

#[test]
fn connections_that_break_all_the_time_one_loop() {
    connections_that_break_all_the_time(&[]);
}

#[test]
fn connections_that_break_all_the_time_several_loops() {
    connections_that_break_all_the_time(SEVERAL_LOOPS);
}

/// Of the two connections that two nodes have, both send their small requests over the one that the lower id has opened.
#[test]
fn one_connection_serves_both_nodes() {
    const WRITES: u64 = 300;
    let (cluster, proxies) = start(&[]);
    recovers(&cluster);
    // What nodes 2 and 3 have opened to node 1, and node 3 to node 2; what nodes 1 and 2 have opened to node 3.
    let passed = || (proxies[0].passed(), proxies[2].passed());
    let (before_first, before_last) = passed();
    let mut client = cluster.nodes[2].connect();
    for number in 0..WRITES {
        assert_eq!(client.call(&format!("SET k{number} {}", "v".repeat(1000))), Reply::ok());
    }
    let (first, last) = passed();
    assert!(last - before_last > WRITES * 1000, "{} bytes", last - before_last);
    assert!(first - before_first < WRITES * 1000 / 4, "{} bytes", first - before_first);
    // When nothing passes there any more, and nobody says so, the other one is there before an operation gives up.
    proxies[2].cut_requests();
    proxies[2].cut_replies();
    let (before_first, _) = passed();
    for number in 0..20 {
        assert_eq!(client.call(&format!("SET cut{number} {}", "v".repeat(1000))), Reply::ok());
    }
    eventually("requests take the other connection", || passed().0 - before_first > 10_000);
    // When it breaks, too.
    proxies[2].reset();
    assert_eq!(client.call("SET last 1"), Reply::ok());
    proxies[2].mend();
    recovers(&cluster);
}
