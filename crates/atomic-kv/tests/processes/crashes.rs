//! Nodes that are killed, paused and restarted under load, in both timestamp modes, and with several event loops.

use crate::support::client::Response;
use crate::support::{Background, Cluster, SEVERAL_LOOPS};
use std::time::Duration;

const LOGICAL: &[&str] = &["--timestamps", "logical"];
const TRUETIME: &[&str] = &["--timestamps", "truetime", "--clock-error", "2ms"];

/// Clocks that differ, by less than the bound that the nodes were told.
fn skew(cluster: &mut Cluster) {
    for (node, offset) in cluster.nodes.iter_mut().zip([-1_500_000, 1_500_000, 0, 700_000, -900_000]) {
        node.flags.extend(["--clock-offset".to_owned(), offset.to_string()]);
    }
}

fn skewed(count: u32, flags: &[&str]) -> Cluster {
    let mut cluster = Cluster::new(count, flags);
    skew(&mut cluster);
    cluster.start_all();
    cluster
}

/// The living nodes answer while others are away.
#[track_caller]
fn serves(cluster: &Cluster, living: &[usize]) {
    for &index in living {
        let mut client = cluster.nodes[index].connect();
        assert_eq!(client.call("SET probe 1"), Response::ok(), "node {}", index + 1);
        assert_eq!(client.call("GET probe"), Response::bulk("1"), "node {}", index + 1);
    }
}

fn one_node_after_the_other_is_killed(flags: &[&str]) {
    let mut cluster = skewed(3, flags);
    let load = Background::start(cluster.addresses());
    for (index, living) in [(0, [1, 2]), (1, [0, 2]), (2, [0, 1])] {
        Background::for_a_moment();
        cluster.nodes[index].kill();
        serves(&cluster, &living);
        Background::for_a_moment();
        cluster.nodes[index].start();
        cluster.nodes[index].wait_ready();
    }
    Background::for_a_moment();
    load.judge();
    assert_eq!(cluster.nodes[0].info("boot"), "2");
}

#[test]
fn one_node_after_the_other_is_killed_logical() {
    one_node_after_the_other_is_killed(LOGICAL);
}

#[test]
fn one_node_after_the_other_is_killed_truetime() {
    one_node_after_the_other_is_killed(TRUETIME);
}

#[test]
fn one_node_after_the_other_is_killed_several_loops() {
    one_node_after_the_other_is_killed(SEVERAL_LOOPS);
}

fn all_nodes_are_killed_at_once(flags: &[&str]) {
    let mut cluster = skewed(3, flags);
    let load = Background::start(cluster.addresses());
    for _ in 0..3 {
        Background::for_a_moment();
        cluster.kill_all();
        cluster.start_all();
    }
    Background::for_a_moment();
    load.judge();
}

#[test]
fn all_nodes_are_killed_at_once_logical() {
    all_nodes_are_killed_at_once(LOGICAL);
}

#[test]
fn all_nodes_are_killed_at_once_truetime() {
    all_nodes_are_killed_at_once(TRUETIME);
}

#[test]
fn all_nodes_are_killed_at_once_several_loops() {
    all_nodes_are_killed_at_once(SEVERAL_LOOPS);
}

fn one_node_after_the_other_is_paused(flags: &[&str]) {
    let cluster = skewed(3, flags);
    let load = Background::start(cluster.addresses());
    for (index, living) in [(0, [1, 2]), (1, [0, 2]), (2, [0, 1])] {
        Background::for_a_moment();
        cluster.nodes[index].pause();
        serves(&cluster, &living);
        Background::for_a_moment();
        cluster.nodes[index].resume();
    }
    Background::for_a_moment();
    load.judge();
    cluster.wait_ready();
    serves(&cluster, &[0, 1, 2]);
}

#[test]
fn one_node_after_the_other_is_paused_logical() {
    one_node_after_the_other_is_paused(LOGICAL);
}

#[test]
fn one_node_after_the_other_is_paused_truetime() {
    one_node_after_the_other_is_paused(TRUETIME);
}

/// All are paused while operations are in flight; each goes on in the middle of what it was doing.
#[test]
fn a_pause_of_all_nodes_is_only_a_pause() {
    let cluster = skewed(3, LOGICAL);
    let load = Background::start(cluster.addresses());
    for _ in 0..3 {
        Background::for_a_moment();
        for node in &cluster.nodes {
            node.pause();
        }
        Background::for_a_moment();
        for node in &cluster.nodes {
            node.resume();
        }
    }
    Background::for_a_moment();
    load.judge();
}

fn five_nodes_survive_two(flags: &[&str]) {
    let mut cluster = skewed(5, flags);
    let load = Background::start(cluster.addresses());
    for (killed, paused, living) in [(0, 1, [2, 3, 4]), (4, 2, [0, 1, 3])] {
        Background::for_a_moment();
        cluster.nodes[killed].kill();
        cluster.nodes[paused].pause();
        serves(&cluster, &living);
        Background::for_a_moment();
        cluster.nodes[paused].resume();
        cluster.nodes[killed].start();
        cluster.nodes[killed].wait_ready();
    }
    load.judge();
}

#[test]
fn five_nodes_survive_two_logical() {
    five_nodes_survive_two(LOGICAL);
}

#[test]
fn five_nodes_survive_two_truetime() {
    five_nodes_survive_two(TRUETIME);
}

#[test]
fn what_was_acknowledged_is_there_after_all_nodes_were_killed() {
    let mut cluster = Cluster::start(3, &[]);
    let mut batch = Vec::new();
    for number in 0..300 {
        batch.extend_from_slice(format!("SET key-{number} {number}\r\n").as_bytes());
    }
    let mut clients: Vec<_> = cluster.nodes.iter().map(|node| node.connect()).collect();
    for client in &mut clients {
        // Three writers of the same keys and values: whichever version wins, the value is the same.
        client.send(&batch).unwrap();
    }
    for client in &mut clients {
        client.expect(&"+OK\r\n".repeat(300));
    }
    cluster.kill_all();
    cluster.start_all();
    for node in &cluster.nodes {
        let mut client = node.connect();
        for number in 0..300 {
            assert_eq!(client.call(&format!("GET key-{number}")), Response::bulk(&number.to_string()));
        }
    }
}

/// A node that was away while keys were written and deleted does not bring the old state back.
#[test]
fn a_node_that_was_away_does_not_bring_deleted_keys_back() {
    let mut cluster = Cluster::start(3, &[]);
    let mut client = cluster.nodes[0].connect();
    for number in 0..50 {
        assert_eq!(client.call(&format!("SET key-{number} old")), Response::ok());
    }
    cluster.nodes[2].kill();
    for number in 0..50 {
        assert_eq!(client.call(&format!("DEL key-{number}")), Response::Integer(1));
    }
    cluster.nodes[2].start();
    cluster.nodes[2].wait_ready();
    // Now the node that knows least is in every majority that is left.
    cluster.nodes[0].kill();
    let mut client = cluster.nodes[2].connect();
    for number in 0..50 {
        assert_eq!(client.call(&format!("GET key-{number}")), Response::Bulk(None));
    }
}

/// Crash loops: a node is killed while it starts, again and again, and comes back all the same.
#[test]
fn a_node_that_is_killed_while_it_starts_comes_back() {
    let mut cluster = Cluster::start(3, &[]);
    let load = Background::start(cluster.addresses());
    for round in 0..15 {
        cluster.nodes[1].kill();
        cluster.nodes[1].start();
        std::thread::sleep(Duration::from_millis(7 * round));
    }
    cluster.nodes[1].wait_ready();
    load.judge();
    serves(&cluster, &[0, 1, 2]);
}
