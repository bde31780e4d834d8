//! Rule M1 on real directories: who lost its memory must not vote. And who belongs to another cluster is not met.

use crate::support::client::Reply;
use crate::support::{Background, Cluster, copy_directory, eventually};
use std::time::Duration;

fn writes(cluster: &Cluster, index: usize, count: usize) {
    let mut client = cluster.nodes[index].connect();
    for number in 0..count {
        assert_eq!(client.call(&format!("SET key-{number} x")), Reply::ok());
    }
}

/// The last node ends by itself, and everybody says why; the rest goes on.
#[track_caller]
fn is_refused(cluster: &mut Cluster, why: &str) {
    let last = cluster.nodes.last_mut().unwrap();
    let status = last.wait();
    assert_eq!(status.code(), Some(1), "{}", last.log());
    last.wait_for_log(&["refuses this node", why]);
    let told = last.log();
    // Other threads may still have a word after it.
    assert!(told.lines().any(|line| line.starts_with("atomic-kv: ")), "{told}");
    writes(cluster, 0, 1);
}

#[test]
fn m1_an_empty_directory_is_refused() {
    let mut cluster = Cluster::start(3, &[]);
    writes(&cluster, 0, 10);
    cluster.nodes[2].kill();
    std::fs::remove_dir_all(&cluster.nodes[2].data).unwrap();
    cluster.nodes[2].start();
    is_refused(&mut cluster, "another data directory");
    let refused_it = |index: usize| cluster.nodes[index].log().contains("refused a peer");
    eventually("a member logs the refusal", || refused_it(0) || refused_it(1));
}

#[test]
fn m1_an_older_copy_and_a_clone_are_refused() {
    let mut cluster = Cluster::start(3, &[]);
    writes(&cluster, 0, 10);
    let home = cluster.nodes[2].data.clone();
    let (backup, clone) = (cluster.directory().join("backup"), cluster.directory().join("clone"));
    cluster.nodes[2].kill();
    copy_directory(&home, &backup);
    copy_directory(&home, &clone);
    cluster.nodes[2].start();
    cluster.nodes[2].wait_ready();
    writes(&cluster, 2, 100);
    // The others hear of its writes.
    let peers_have_heard = || cluster.nodes[0].info("peers") == "2=up,3=up";
    eventually("everybody is connected", peers_have_heard);
    std::thread::sleep(Duration::from_millis(2500));
    cluster.nodes[2].kill();

    // Both count up to the boot count that was just seen, in another run.
    cluster.nodes[2].data = clone;
    cluster.nodes[2].start();
    is_refused(&mut cluster, "copy of its data directory");
    cluster.nodes[2].data = backup;
    cluster.nodes[2].start();
    is_refused(&mut cluster, "copy of its data directory");
    // However often it is started after that: it remembers another second start than the others do.
    cluster.nodes[2].start();
    is_refused(&mut cluster, "copy of its data directory: boot 2 was seen before");

    cluster.nodes[2].data = home;
    cluster.nodes[2].start();
    cluster.nodes[2].wait_ready();
    writes(&cluster, 2, 1);
}

/// A snapshot of the disk under a running node, put back later: its boot count looks good, its memory is not.
#[test]
fn m1_a_snapshot_from_before_the_last_writes_is_refused() {
    let mut cluster = Cluster::start(3, &[]);
    let load = Background::start(cluster.addresses());
    Background::for_a_moment();
    let snapshot = cluster.directory().join("snapshot");
    cluster.nodes[2].pause();
    copy_directory(&cluster.nodes[2].data, &snapshot);
    cluster.nodes[2].resume();
    // The others ask once a second how much it has made durable, however busy they are.
    std::thread::sleep(Duration::from_millis(2500));
    cluster.nodes[2].kill();
    cluster.nodes[2].data = snapshot;
    cluster.nodes[2].start();
    is_refused(&mut cluster, "older copy of its data directory");
    load.judge();
}

#[test]
fn m1_two_processes_on_copies_of_one_directory() {
    let (mut cluster, _proxies) = Cluster::behind_proxies(3, &[]);
    cluster.start_all();
    cluster.nodes[2].kill();
    let twin = cluster.directory().join("twin");
    copy_directory(&cluster.nodes[2].data, &twin);
    cluster.nodes[2].start();
    cluster.nodes[2].wait_ready();
    // The twin listens elsewhere, so both run at the same time.
    let home = std::mem::replace(&mut cluster.nodes[2].data, twin);
    let elsewhere = crate::support::ports::Port::free().address();
    let client = crate::support::ports::Port::free().address();
    let mut command = crate::support::program();
    command.args(["serve", "--node-id", "3", "--cluster", &cluster.nodes[2].cluster]);
    command.args(["--listen", &client, "--peer-listen", &elsewhere]).arg("--data-dir");
    command.arg(&cluster.nodes[2].data);
    let output = crate::support::finish(command);
    cluster.nodes[2].data = home;
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("copy of its data directory"), "{told}");
    writes(&cluster, 2, 1);
}

#[test]
fn a_node_of_another_cluster_or_mode_is_not_talked_to() {
    let mut cluster = Cluster::start(3, &[]);
    let members = cluster.nodes[2].cluster.clone();
    let flags = cluster.nodes[2].flags.clone();
    for mistake in ["cluster", "timestamps"] {
        cluster.nodes[2].kill();
        if mistake == "cluster" {
            cluster.nodes[2].cluster = format!("{members},4=127.0.0.1:1");
        } else {
            cluster.nodes[2].cluster.clone_from(&members);
            let truetime = ["--timestamps", "truetime", "--clock-error", "1ms"];
            cluster.nodes[2].flags.extend(truetime.map(str::to_owned));
        }
        if mistake == "cluster" {
            // A directory remembers whom it was made for; one without memory gets as far as the others.
            std::fs::rename(&cluster.nodes[2].data, cluster.directory().join("aside")).unwrap();
        }
        cluster.nodes[2].start();
        let part = format!("its --{mistake} is");
        cluster.nodes[2].wait_for_log(&["it refuses to talk to this node", &part]);
        for node in &cluster.nodes[..2] {
            node.wait_for_log(&["refused a peer", &part]);
        }
        assert_eq!(cluster.nodes[2].info("ready"), "0");
        writes(&cluster, 0, 1);
        if mistake == "cluster" {
            cluster.nodes[2].kill();
            std::fs::remove_dir_all(&cluster.nodes[2].data).unwrap();
            std::fs::rename(cluster.directory().join("aside"), &cluster.nodes[2].data).unwrap();
            cluster.nodes[2].start();
        }
    }
    cluster.nodes[2].kill();
    cluster.nodes[2].flags = flags;
    cluster.nodes[2].start();
    cluster.wait_ready();
    writes(&cluster, 2, 1);
}

/// Lists of members are compared by their ids: a new address is made known to one node after the other, and there is a
/// majority all the time.
#[test]
fn a_changed_address_needs_no_restart_of_all_nodes_at_once() {
    let mut cluster = Cluster::start(3, &[]);
    writes(&cluster, 0, 1);
    let moved = crate::support::ports::Port::free();
    let old = cluster.nodes[2].cluster.clone();
    let new = old.replace(cluster.nodes[2].peer_address(3), &moved.address());
    assert_ne!(old, new);
    for index in [2, 0, 1] {
        cluster.nodes[index].kill();
        cluster.nodes[index].cluster.clone_from(&new);
        cluster.nodes[index].start();
        for node in &cluster.nodes {
            node.wait_ready();
        }
        writes(&cluster, 0, 1);
    }
    eventually("everybody has found everybody", || {
        let peers = |index: usize| cluster.nodes[index].info("peers");
        peers(0) == "2=up,3=up" && peers(1) == "1=up,3=up" && peers(2) == "1=up,2=up"
    });
}
