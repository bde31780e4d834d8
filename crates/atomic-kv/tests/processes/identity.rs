//! Rule M1 on real directories: who lost its memory must not vote. And who belongs to another cluster is not met.

use crate::support::client::Response;
use crate::support::privileged::{Unwritable, skipped};
use crate::support::{Background, Cluster, Node, copy_directory, eventually};
use std::path::{Path, PathBuf};
use std::time::Duration;

fn writes(cluster: &Cluster, index: usize, count: usize) {
    let mut client = cluster.nodes[index].connect();
    for number in 0..count {
        assert_eq!(client.call(&format!("SET key-{number} x")), Response::ok());
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

/// A copy of node 3's directory as it is at one moment.
fn snapshot_of_a_running_node(cluster: &Cluster) -> PathBuf {
    let snapshot = cluster.directory().join("snapshot");
    cluster.nodes[2].pause();
    copy_directory(&cluster.nodes[2].data, &snapshot);
    cluster.nodes[2].resume();
    snapshot
}

/// A snapshot of the disk under a running node, put back later: its boot count looks good, its memory is not.
#[test]
fn m1_a_snapshot_from_before_the_last_writes_is_refused() {
    let mut cluster = Cluster::start(3, &[]);
    let load = Background::start(cluster.addresses());
    Background::for_a_moment();
    let snapshot = snapshot_of_a_running_node(&cluster);
    // The others ask once a second how much it has made durable, however busy they are.
    std::thread::sleep(Duration::from_millis(2500));
    cluster.nodes[2].kill();
    cluster.nodes[2].data = snapshot;
    cluster.nodes[2].start();
    is_refused(&mut cluster, "older copy of its data directory");
    load.judge();
}

/// The last node ends by itself before it meets anybody, and names what is wrong.
#[track_caller]
fn refuses_itself(node: &mut Node, told: &[&str]) {
    node.start();
    let status = node.wait();
    assert_eq!(status.code(), Some(1), "{}", node.log());
    let log = node.log();
    let last = log.lines().rev().find(|line| line.starts_with("atomic-kv: ")).unwrap();
    assert!(told.iter().all(|part| last.contains(part)), "{last}");
    assert!(last.contains("Put the directory back") && last.contains("atomic-kv replace"), "{last}");
}

/// Nobody else has to be up for that: node 1 has missed the write, node 2, which knows better, stays down.
#[test]
fn m1_a_database_that_is_gone_is_noticed_by_the_node_alone() {
    let mut cluster = Cluster::start(3, &["--heal", "off"]);
    cluster.nodes[0].kill();
    let mut client = cluster.nodes[1].connect();
    assert_eq!(client.call("SET k v"), Response::ok());
    drop(client);
    cluster.nodes[1].kill();
    cluster.nodes[2].kill();
    let database = cluster.nodes[2].data.join("db");
    let aside = cluster.directory().join("db");
    std::fs::rename(&database, &aside).unwrap();
    cluster.nodes[0].start();
    refuses_itself(&mut cluster.nodes[2], &["db is gone"]);
    std::fs::create_dir(&database).unwrap();
    refuses_itself(&mut cluster.nodes[2], &["db is empty or damaged"]);
    // One that was made for somebody else.
    std::fs::remove_dir(&database).unwrap();
    copy_directory(&cluster.nodes[1].data.join("db"), &database);
    refuses_itself(&mut cluster.nodes[2], &["db belongs to another database"]);
    let told = cluster.nodes[0].connect().call("GET k").error();
    assert!(told.starts_with("NOQUORUM"), "{told}");
    // With its own it is what it was.
    std::fs::remove_dir_all(&database).unwrap();
    std::fs::rename(&aside, &database).unwrap();
    cluster.nodes[2].start();
    cluster.nodes[2].wait_ready();
    assert_eq!(cluster.nodes[0].connect().call("GET k"), Response::bulk("v"));
}

/// With a copy of the database from the same run, and with one from an earlier run.
#[test]
fn m1_an_older_copy_of_the_database_alone_is_noticed_by_the_node_alone() {
    let mut node = Cluster::new(1, &[]);
    node.nodes[0].start();
    node.nodes[0].wait_ready();
    writes(&node, 0, 10);
    let database = node.nodes[0].data.join("db");
    let (copy, home) = (node.directory().join("copy"), node.directory().join("home"));
    let back = |node: &mut Node, from: &Path| {
        std::fs::remove_dir_all(&database).unwrap();
        copy_directory(from, &database);
        node.start();
    };
    node.nodes[0].pause();
    copy_directory(&database, &copy);
    node.nodes[0].resume();
    writes(&node, 0, 1);
    node.nodes[0].kill();
    copy_directory(&database, &home);
    std::fs::remove_dir_all(&database).unwrap();
    copy_directory(&copy, &database);
    // The store itself says it here: it compares with the watermark, which lies beside it.
    node.nodes[0].start();
    assert_eq!(node.nodes[0].wait().code(), Some(1));
    node.nodes[0].wait_for_log(&["the database ends at batch", "was acknowledged"]);
    back(&mut node.nodes[0], &home);
    node.nodes[0].wait_ready();
    // Nothing is written now, so there are as many batches, but the copy is from before the last start.
    node.nodes[0].kill();
    std::fs::remove_dir_all(&database).unwrap();
    copy_directory(&home, &database);
    refuses_itself(&mut node.nodes[0], &["db is older than the rest of this directory", "start"]);
}

#[test]
fn m1_an_identity_or_a_watermark_that_is_gone_or_older_is_noticed_by_the_node_alone() {
    let mut node = Cluster::new(1, &[]);
    node.nodes[0].start();
    node.nodes[0].wait_ready();
    writes(&node, 0, 10);
    node.nodes[0].kill();
    let (data, copy) = (node.nodes[0].data.clone(), node.directory().join("copy"));
    copy_directory(&data, &copy);
    node.nodes[0].start();
    node.nodes[0].wait_ready();
    writes(&node, 0, 10);
    node.nodes[0].kill();
    for part in ["identity", "watermark"] {
        let path = data.join(part);
        let now = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        refuses_itself(&mut node.nodes[0], &[&format!("{part} is gone")]);
        std::fs::copy(copy.join(part), &path).unwrap();
        refuses_itself(&mut node.nodes[0], &[&format!("{part} is older than the rest of this directory")]);
        std::fs::write(&path, now).unwrap();
    }
    node.nodes[0].start();
    node.nodes[0].wait_ready();
    assert_eq!(node.nodes[0].connect().call("GET key-9"), Response::bulk("x"));
}

/// All nodes are restarted, those who knew better first: what they had heard of the other is on their disks.
#[test]
fn m1_what_was_heard_of_a_member_survives_a_restart_of_all() {
    let mut cluster = Cluster::start(3, &[]);
    let load = Background::start(cluster.addresses());
    Background::for_a_moment();
    let snapshot = snapshot_of_a_running_node(&cluster);
    // The others ask once a second how much it has made durable, and write it down a second later.
    std::thread::sleep(Duration::from_millis(3500));
    load.judge();
    cluster.kill_all();
    cluster.nodes[2].data = snapshot;
    cluster.nodes.iter_mut().for_each(Node::start);
    is_refused(&mut cluster, "older copy of its data directory");
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
    cluster.nodes[2].flags = [&flags[..], &["--timestamps", "logical"].map(str::to_owned)].concat();
    cluster.nodes[2].start();
    cluster.wait_ready();
    writes(&cluster, 2, 1);
}

/// A node that cannot write down whom it meets says nothing about whom it meets.
#[test]
fn m1_another_nodes_trouble_is_no_verdict_on_this_one() {
    let mut cluster = Cluster::start(3, &[]);
    let identity = cluster.nodes[1].data.join("identity");
    let Some(unwritable) = Unwritable::file(&identity) else {
        return skipped(
            "a disk that cannot be written",
            "no permission for chattr, or its file system has no such flag",
        );
    };
    cluster.nodes[0].kill();
    cluster.nodes[0].start();
    cluster.nodes[1].wait_for_log(&["refused a peer", "this node cannot write to its own disk"]);
    cluster.nodes[0].wait_for_log(&["it refuses to talk to this node", "cannot write to its own disk"]);
    // With the third one there is a majority.
    cluster.nodes[0].wait_ready();
    writes(&cluster, 0, 3);
    drop(unwritable);
    eventually("they meet", || cluster.nodes[0].info("peers") == "2=up,3=up");
    writes(&cluster, 1, 3);
}

/// What was written with a clock that was ahead is passed before TrueTime begins, also by a node that was killed while it
/// waited for that (PROTOCOL 3.7).
#[test]
fn a_node_that_is_killed_while_it_waits_for_a_change_of_mode_waits_again() {
    let mut cluster = Cluster::new(1, &[]);
    let truetime = ["--timestamps", "truetime", "--clock-error", "1ms"].map(str::to_owned);
    let node = &mut cluster.nodes[0];
    node.flags = [&truetime[..], &["--clock-offset".to_owned(), "5000000000".to_owned()]].concat();
    node.start();
    node.wait_ready();
    assert_eq!(node.connect().call("SET k ahead"), Response::ok());
    node.kill();
    node.flags = ["--timestamps", "logical"].map(str::to_owned).to_vec();
    node.start();
    node.wait_ready();
    node.kill();
    node.flags = truetime.to_vec();
    let waits =
        |node: &Node| node.log().lines().filter(|line| line.contains("waiting until it has passed")).count();
    for times in 1..=2 {
        node.start();
        eventually("it waits", || waits(node) == times);
        if times == 1 {
            node.kill();
        }
    }
    node.wait_ready();
    assert_eq!(node.connect().call("SET k later"), Response::ok());
    assert_eq!(node.connect().call("GET k"), Response::bulk("later"));
    node.kill();
    node.start();
    node.wait_ready();
    assert_eq!(waits(node), 2, "the mode has not changed");
}

#[test]
fn nobody_else_may_read_what_a_node_writes() {
    use std::os::unix::fs::PermissionsExt;
    let mut cluster = Cluster::new(1, &[]);
    let node = &mut cluster.nodes[0];
    std::fs::create_dir(&node.data).unwrap();
    std::fs::set_permissions(&node.data, std::fs::Permissions::from_mode(0o755)).unwrap();
    node.start();
    node.wait_ready();
    let mut client = node.connect();
    for number in 0..20 {
        let value = vec![b'x'; 100 << 10];
        let key = format!("key-{number}");
        assert_eq!(client.try_call(&[b"SET", key.as_bytes(), &value]).unwrap(), Response::ok());
    }
    drop(client);
    // The start after that writes tables.
    node.kill();
    node.start();
    node.wait_ready();
    let mut files = vec![node.data.clone()];
    let mut looked_at = 0;
    while let Some(path) = files.pop() {
        let found = path.symlink_metadata().unwrap();
        let mode = found.permissions().mode() & 0o777;
        assert_eq!(mode, if found.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
        if found.is_dir() {
            files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        looked_at += 1;
    }
    assert!(looked_at > 10, "{looked_at} files");
}

#[test]
fn no_link_in_a_data_directory_is_followed() {
    let mut cluster = Cluster::new(1, &[]);
    let target = cluster.directory().join("target");
    let node = &mut cluster.nodes[0];
    std::fs::create_dir(&node.data).unwrap();
    std::fs::write(&target, b"precious").unwrap();
    let link = node.data.join("identity.new");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    node.start();
    assert_eq!(node.wait().code(), Some(2));
    node.wait_for_log(&["identity.new is a symbolic link"]);
    assert_eq!(std::fs::read(&target).unwrap(), b"precious");
    std::fs::remove_file(link).unwrap();
    node.start();
    node.wait_ready();
}
