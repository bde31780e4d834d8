//! A bad network between the nodes: slow, cut one way, half-open, broken connections.

use crate::support::client::Response;
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
    assert_eq!(cluster.nodes[0].connect().call("SET probe 1"), Response::ok());
    for node in &cluster.nodes {
        assert_eq!(node.connect().call("GET probe"), Response::bulk("1"));
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
    // Nobody dials the first.
    for (proxy, living) in proxies[1..].iter().zip([2, 0]) {
        proxy.cut_requests();
        assert_eq!(cluster.nodes[living].connect().call("SET probe 0"), Response::ok());
        Background::for_a_moment();
        proxy.mend();
        proxy.cut_replies();
        assert_eq!(cluster.nodes[living].connect().call("SET probe 0"), Response::ok());
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
    // Both others dial the last one.
    proxies[2].cut_requests();
    proxies[2].cut_replies();
    for node in &cluster.nodes[..2] {
        node.wait_for_log(&["lost a peer", "peer=3", "no answer within"]);
        assert_eq!(node.connect().call("SET probe 0"), Response::ok());
    }
    for peer in ["peer=1", "peer=2"] {
        cluster.nodes[2].wait_for_log(&["lost a peer", peer, "no answer within"]);
    }
    proxies[2].mend();
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
        proxies[1 + round % 2].reset();
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

/// Both nodes of a pair ask and answer over the lanes that the one with the lower id has dialled.
#[test]
fn the_lower_id_dials_for_both() {
    const WRITES: u64 = 300;
    let (cluster, proxies) = start(&[]);
    // The other one dials, too, if it was not dialled for long; it is dialled at once.
    proxies[0].reset();
    recovers(&cluster);
    let passed = || (proxies[0].passed(), proxies[2].passed());
    let before = passed();
    let mut client = cluster.nodes[2].connect();
    for number in 0..WRITES {
        assert_eq!(client.call(&format!("SET k{number} {}", "v".repeat(1000))), Response::ok());
    }
    let after = passed();
    assert!(after.1 - before.1 > WRITES * 1000, "{before:?}, {after:?}");
    assert!(after.0 - before.0 < WRITES * 1000 / 4, "{before:?}, {after:?}");
    // When nothing passes there any more, and nobody says so, it dials by itself before an operation gives up.
    proxies[2].cut_requests();
    proxies[2].cut_replies();
    assert_eq!(client.call("SET cut 1"), Response::ok());
    eventually("the last node dials the first", || passed().0 > after.0);
    // When that breaks, too.
    proxies[0].reset();
    assert_eq!(client.call("SET last 1"), Response::ok());
    proxies[2].mend();
    recovers(&cluster);
}
