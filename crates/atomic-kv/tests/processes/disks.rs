//! Disks that lose power, fill up or fail. Root only; elsewhere these tests say that they did nothing.

use crate::support::client::Response;
use crate::support::privileged::{Mount, Tracer, skipped};
use crate::support::{Background, Cluster, Node, eventually};
use std::path::PathBuf;

/// A power cut of the whole cluster under load. kill -9 alone tests no fsync: the page cache survives it.
#[test]
fn a_power_cut_of_all_nodes_loses_nothing_that_was_acknowledged() {
    cut_power_under_load("loop");
}

/// What goes past the page cache there, this one takes into its own journal in memory unless it is told to make it durable.
#[test]
fn a_power_cut_loses_nothing_where_a_write_past_the_cache_is_one_through_it() {
    cut_power_under_load("loop,data=journal");
}

fn cut_power_under_load(options: &'static str) {
    let Some(disk) = Mount::disk(384, options) else {
        return skipped("power cut", "no permission to make and mount an ext4 on a loop device");
    };
    let mut cluster = Cluster::new(3, &[]);
    for node in &mut cluster.nodes {
        node.data = disk.path().join(format!("node-{}", node.id));
    }
    cluster.start_all();
    let load = Background::start(cluster.addresses());
    for round in 0..3 {
        let mut client = cluster.nodes[round].connect();
        let mut acknowledged = 0;
        // Every fourth value is large: it stays in the journal.
        let value = |number: usize| {
            number.to_string().repeat(if number % 4 == 3 { 16 << 10 } else { 1 }).into_bytes()
        };
        while acknowledged < 100 {
            let key = format!("round-{round}-{acknowledged}");
            let set = [&b"SET"[..], key.as_bytes(), &value(acknowledged)];
            assert_eq!(client.try_call(&set).unwrap(), Response::ok());
            acknowledged += 1;
        }
        // Stopped first, so that no answer leaves after the cut.
        cluster.nodes.iter().for_each(Node::pause);
        disk.cut_power();
        cluster.kill_all();
        disk.restore_power();
        cluster.start_all();
        let mut client = cluster.nodes[(round + 1) % 3].connect();
        for number in 0..acknowledged {
            let found = client.call(&format!("GET round-{round}-{number}"));
            assert!(found == Response::Bulk(Some(value(number))), "{number} in round {round}");
        }
    }
    load.judge();
    cluster.kill_all();
}

/// One of three disks is full: that node refuses writes and serves reads, the cluster goes on, and when there is room
/// it takes writes again by itself.
#[test]
fn a_full_disk_is_survived_and_recovers_by_itself() {
    let Some(disk) = Mount::small(160) else {
        return skipped("full disk", "no permission to mount a small file system");
    };
    let mut cluster = Cluster::new(3, &["--op-timeout", "10s"]);
    cluster.nodes[2].data = disk.path().join("node-3");
    cluster.start_all();
    let mut client = cluster.nodes[2].connect();
    assert_eq!(client.call("SET before 1"), Response::ok());
    assert_eq!(client.call("INCR counter"), Response::Integer(1));
    // It is due when the disk is full.
    assert_eq!(client.call("SET lock holder PX 20000"), Response::ok());
    assert_eq!(client.call("SET lease holder EX 1000"), Response::ok());
    let value = vec![b'x'; 64 << 10];
    for key in 1..=KEYS {
        let key = format!("old-{key}");
        assert_eq!(client.try_call(&[b"SET", key.as_bytes(), &value]).unwrap(), Response::ok());
    }
    let ballast = disk.path().join("ballast");
    fill(&ballast);
    // Writes find out.
    let mut number = 0;
    let mut write = |client: &mut crate::support::Connection| {
        number += 1;
        let key = format!("key-{number}");
        assert_eq!(client.try_call(&[b"SET", key.as_bytes(), &value]).unwrap(), Response::ok());
    };
    eventually("the node notices that its disk is full", || {
        // Through the node itself too: the other two are a majority.
        write(&mut client);
        client.info("writable") == "0"
    });
    cluster.nodes[2].wait_for_log(&["disk full", "refuses writes", "still serves reads"]);
    assert_eq!(client.call("GET before"), Response::bulk("1"));
    assert_eq!(client.call("GET key-1"), Response::Bulk(Some(value.clone())));
    let (code, text) = crate::support::http_get(&cluster.nodes[2].http_address(), "/readyz");
    assert!(code == 200 && text.contains("full"), "{code} {text}");

    // With another node away the full one is needed for a majority: writes are refused, reads go on.
    cluster.nodes[0].kill();
    let mut other = cluster.nodes[1].connect();
    // An update is refused before anybody has accepted anything of it. All at once: each waits for a node that is gone.
    let refused = ["SET refused 1", "INCR counter", "SET refused-nx 1 NX", "APPEND refused-append x"];
    for client in [&mut other, &mut client] {
        client.send(format!("{}\r\n", refused.join("\r\n")).as_bytes()).unwrap();
    }
    for command in refused {
        for client in [&mut other, &mut client] {
            let told = client.read().unwrap().error();
            let is_unknown = told.starts_with("INDETERMINATE") && command == refused[0];
            assert!(told.starts_with("NOQUORUM") || is_unknown, "{command}: {told}");
        }
    }
    // Nobody needs room for an expiry.
    assert_eq!(other.call("EXPIRE lease -1"), Response::Integer(1));
    assert_eq!(client.call("GET lease"), Response::Bulk(None));
    eventually("the lock has expired", || {
        let found = [&mut client, &mut other].map(|client| client.call("GET lock"));
        assert!(found.iter().all(|found| matches!(found, Response::Bulk(_))), "{found:?}");
        found[0] == Response::Bulk(None)
    });
    // One that changes nothing is answered.
    assert_eq!(other.call("SET before 2 NX"), Response::Bulk(None));
    assert_eq!(other.call("MGET before counter"), Response::Array(["1", "1"].map(Response::bulk).to_vec()));

    // Deletes go on even now, and give room back when there is a little to work with.
    for key in 1..=KEYS {
        assert_eq!(other.call(&format!("DEL old-{key}")), Response::Integer(1), "{key}");
    }
    assert_eq!(client.info("writable"), "0");
    let file = std::fs::File::options().write(true).open(&ballast).unwrap();
    file.set_len(file.metadata().unwrap().len() - (3 << 20)).unwrap();
    eventually("deletes have made room", || client.info("writable") == "1");
    assert_eq!(other.call("SET deletes-made-room 1"), Response::ok());
    assert_eq!(other.call("INCR counter"), Response::Integer(2));
    assert_eq!(other.call("SET deletes-made-room 1 NX"), Response::Bulk(None));
    std::fs::remove_file(ballast).unwrap();
    assert_eq!(client.call("SET after 1"), Response::ok());
    assert_eq!(other.call("GET after"), Response::bulk("1"));
    cluster.nodes[0].start();
    cluster.wait_ready();
    cluster.kill_all();
}

/// D1: the log is on the same disk. Neither that it cannot be written nor that the node starts while there is no room may keep it
/// from taking writes when there is some.
#[test]
fn d1_a_node_takes_writes_again_when_there_is_room_although_nobody_writes() {
    let Some(disk) = Mount::small(160) else {
        return skipped("full disk", "no permission to mount a small file system");
    };
    let mut cluster = Cluster::new(3, &["--op-timeout", "10s"]);
    cluster.nodes[2].data = disk.path().join("node-3");
    let log = disk.path().join("log");
    let log = || std::fs::File::options().create(true).append(true).open(&log).unwrap();
    cluster.nodes[2].start_logging_to(log());
    cluster.nodes[0].start();
    cluster.nodes[1].start();
    cluster.wait_ready();
    let ballast = disk.path().join("ballast");
    let becomes = |cluster: &Cluster, writable: &str| {
        eventually(&format!("writable is {writable}"), || cluster.nodes[2].info("writable") == writable);
    };
    fill(&ballast);
    // Nobody has written since.
    becomes(&cluster, "0");
    std::fs::remove_file(&ballast).unwrap();
    becomes(&cluster, "1");

    assert!(cluster.nodes[2].terminate().success());
    fill(&ballast);
    cluster.nodes[2].start_logging_to(log());
    cluster.nodes[2].wait_ready();
    assert_eq!(cluster.nodes[2].info("writable"), "0");
    std::fs::remove_file(&ballast).unwrap();
    becomes(&cluster, "1");
    // It is needed for a majority now.
    cluster.nodes[0].kill();
    eventually("a write succeeds", || {
        cluster.nodes[1].connect().try_call(&[b"SET", b"k", b"v"]).unwrap() == Response::ok()
    });
    assert_eq!(cluster.nodes[2].connect().call("GET k"), Response::bulk("v"));
    // It says so, and not only when it finds out later.
    assert!(cluster.nodes[2].terminate().success());
    fill(&ballast);
    cluster.nodes[2].start();
    cluster.nodes[2].wait_for_log(&["disk full", "refuses writes"]);
    // Before the file system goes.
    cluster.nodes[2].kill();
}

/// Without a majority that has room an update is refused before anybody has accepted anything of it. Those that take a value away go on.
#[test]
fn on_full_disks_updates_are_refused_and_deletes_count() {
    let Some(disk) = Mount::small(320) else {
        return skipped("full disks", "no permission to mount a small file system");
    };
    let mut cluster = Cluster::new(3, &["--op-timeout", "10s"]);
    for node in &mut cluster.nodes[1..] {
        node.data = disk.path().join(format!("node-{}", node.id));
    }
    cluster.start_all();
    let mut clients: Vec<_> = cluster.nodes.iter().map(Node::connect).collect();
    assert_eq!(clients[0].call("INCR counter"), Response::Integer(1));
    for number in 0..3 {
        assert_eq!(clients[0].call(&format!("SET there-{number} x NX")), Response::ok());
    }
    let ballast = disk.path().join("ballast");
    fill(&ballast);
    let becomes = |writable: &str| {
        eventually(&format!("writable is {writable}"), || {
            cluster.nodes[1..].iter().all(|node| node.info("writable") == writable)
        });
    };
    becomes("0");
    let seen = clients[0].call("GETVER counter");
    for (number, client) in clients.iter_mut().enumerate() {
        for command in ["INCR counter", "INCR new", "SET new x NX", "APPEND there-2 x", "SET there-2 y XX"] {
            let told = client.call(command).error();
            assert!(told.starts_with("NOQUORUM"), "{command}: {told}");
        }
        assert_eq!(client.call("SET there-2 y NX"), Response::Bulk(None), "nothing to be written");
        assert_eq!(client.call(&format!("DEL there-{number}")), Response::Integer(1));
        assert_eq!(client.call(&format!("DEL there-{number} new")), Response::Integer(0));
        assert_eq!(client.call("GETVER counter"), seen);
    }
    std::fs::remove_file(ballast).unwrap();
    becomes("1");
    for (number, client) in (2..).zip(&mut clients) {
        // Until it has heard so, a node takes the disks of others for full, and nothing comes of the update.
        let mut told = Response::Integer(0);
        eventually("an update is taken", || {
            told = client.call("INCR counter");
            matches!(told, Response::Integer(_))
        });
        assert_eq!(told, Response::Integer(number));
    }
    cluster.kill_all();
}

/// D1: one node is gone and the disk of another one is full, so nothing can be written. A new node is what helps: the full disk takes
/// what the cluster keeps of itself.
#[test]
fn d1_a_node_that_is_gone_is_replaced_while_another_disk_is_full() {
    let Some(disk) = Mount::small(160) else {
        return skipped("full disk", "no permission to mount a small file system");
    };
    let mut cluster = Cluster::new(3, &[]);
    cluster.nodes[1].data = disk.path().join("node-2");
    cluster.start_all();
    cluster.wait_acquainted();
    assert_eq!(cluster.nodes[0].connect().call("SET before 1"), Response::ok());
    let ballast = disk.path().join("ballast");
    fill(&ballast);
    eventually("the node notices that its disk is full", || cluster.nodes[1].info("writable") == "0");
    cluster.nodes[2].kill();
    let told = cluster.nodes[0].connect().call("SET refused 1 NX").error();
    assert!(told.starts_with("NOQUORUM"), "{told}");
    cluster.add_newcomer().start();
    let words = format!("replace 3 --with {}", cluster.nodes[3].peer_address(4));
    let replacing = cluster.command_at(&words, &cluster.nodes[0].address());
    // Two configurations later.
    for id in [1, 2, 4] {
        cluster.wait_for_stage(id, "joint");
    }
    assert_eq!(cluster.nodes[1].info("writable"), "0");
    // Whoever cannot store what it lacks is waited for, some time.
    std::fs::remove_file(ballast).unwrap();
    replacing.done();
    cluster.wait_for_members(&[1, 2, 4]);
    let mut client = cluster.nodes[3].connect();
    assert_eq!(client.call("SET after 1"), Response::ok());
    assert_eq!(client.call("GET before"), Response::bulk("1"));
    // Before the file system goes.
    cluster.kill_all();
}

/// Of 64 KiB each.
const KEYS: u32 = 200;

/// Takes all the room that is left.
fn fill(path: &std::path::Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    for size in [1 << 20, 4096] {
        let block = vec![1; size];
        while file.write_all(&block).is_ok() {}
    }
}

/// After a failed fsync nobody knows what is on the disk, and trying again proves nothing: the node stops.
#[test]
fn a_failing_fsync_stops_the_node_and_the_cluster_goes_on() {
    a_failure_of("fdatasync,fsync", |_| None, "");
}

/// The journal has nothing else: each write is to be durable when it returns.
#[test]
fn a_failing_write_to_the_journal_stops_the_node_and_the_cluster_goes_on() {
    let journal = |node: &Node| {
        let mut segments = std::fs::read_dir(node.data.join("db/journal")).unwrap();
        Some(segments.next().unwrap().unwrap().path())
    };
    a_failure_of("pwrite64", journal, "write to the journal");
}

/// Such system calls fail, and the node says why it stops.
fn a_failure_of(calls: &str, file: impl Fn(&Node) -> Option<PathBuf>, why: &str) {
    let mut cluster = Cluster::start(3, &[]);
    // Before there is any load: a node that syncs would be gone before the tracer is seen.
    let Some(tracer) = Tracer::fail(cluster.nodes[1].pid(), calls, file(&cluster.nodes[1]).as_deref()) else {
        return skipped("failing disk", "strace is missing or may not trace; apt-get install strace");
    };
    let load = Background::start(cluster.addresses());
    let status = cluster.nodes[1].wait();
    assert_eq!(status.code(), Some(1), "{}", cluster.nodes[1].log());
    drop(tracer);
    let told = cluster.nodes[1].log();
    assert!(told.lines().any(|line| line.contains("refuses to serve") && line.contains(why)), "{told}");
    assert!(told.lines().last().unwrap().starts_with("atomic-kv: "), "{told}");
    for index in [0, 2] {
        assert_eq!(cluster.nodes[index].connect().call("SET probe 1"), Response::ok());
    }
    // With a disk that works it comes back, with everything that it had acknowledged.
    cluster.nodes[1].start();
    cluster.nodes[1].wait_ready();
    Background::for_a_moment();
    load.judge();
}
