//! What a client may conclude from an error.

use crate::support::client::Response;
use crate::support::{Cluster, eventually, http_get};

#[test]
fn without_a_majority_nothing_happens_and_the_client_is_told_so() {
    let mut cluster = Cluster::start(3, &["--op-timeout", "500ms"]);
    let mut client = cluster.nodes[0].connect();
    assert_eq!(client.call("SET k before"), Response::ok());
    cluster.nodes[1].kill();
    cluster.nodes[2].kill();
    for command in ["GET k", "SET k after", "DEL k", "MGET k l", "EXISTS k"] {
        let told = client.call(command).error();
        assert!(told.starts_with("NOQUORUM "), "{command}: {told}");
    }
    // The connection is as good as before, and so is the node once a majority is back.
    assert_eq!(client.call("PING"), Response::Status("PONG".to_owned()));
    cluster.nodes[1].start();
    cluster.nodes[0].wait_ready();
    eventually("the operation works again", || client.call("GET k") == Response::bulk("before"));
}

#[test]
fn a_write_that_may_have_left_the_node_is_never_called_without_effect() {
    let flags = ["--timestamps", "truetime", "--clock-error", "1ms", "--op-timeout", "500ms"];
    let mut cluster = Cluster::start(3, &flags);
    let mut client = cluster.nodes[0].connect();
    assert_eq!(client.call("SET k before"), Response::ok());
    // In this mode a Set writes at once, without asking first: paused peers may carry it out when they go on.
    cluster.nodes[1].pause();
    cluster.nodes[2].pause();
    let told = client.call("SET k after").error();
    assert!(told.starts_with("INDETERMINATE "), "{told}");
    let told = client.call("GET k").error();
    assert!(told.starts_with("NOQUORUM "), "{told}");
    cluster.nodes[1].resume();
    cluster.nodes[2].resume();
    let mut seen = Response::Bulk(None);
    eventually("the node answers again", || {
        seen = client.call("GET k");
        matches!(seen, Response::Bulk(_))
    });
    assert!(seen == Response::bulk("before") || seen == Response::bulk("after"), "{seen:?}");
    // Whatever it was, from now on it stays that way, also over restarts.
    cluster.kill_all();
    cluster.start_all();
    for node in &cluster.nodes {
        assert_eq!(node.connect().call("GET k"), seen);
    }
}

#[test]
fn a_first_start_waits_for_all_members_and_later_ones_do_not() {
    let mut cluster = Cluster::new(3, &["--op-timeout", "300ms"]);
    cluster.nodes[0].start();
    cluster.nodes[1].start();
    let mut client = cluster.nodes[0].connect();
    assert_eq!(client.call("PING"), Response::Status("PONG".to_owned()), "PING is answered at once");
    let told = client.call("SET k 1").error();
    assert!(told.starts_with("NOQUORUM ") && told.contains("every other member must be up once"), "{told}");
    // A pipeline waits once, not once for each request: that would take longer than the client's patience.
    let batch: String = (0..150).map(|number| format!("GET key-{number}\r\n")).collect();
    client.send(batch.as_bytes()).unwrap();
    assert!((0..150).all(|_| client.read().unwrap().error().starts_with("NOQUORUM ")));
    cluster.nodes[2].start();
    cluster.wait_ready();
    assert_eq!(client.call("SET k 1"), Response::ok());
    cluster.kill_all();
    cluster.nodes[0].start();
    cluster.nodes[1].start();
    cluster.nodes[0].wait_ready();
    assert_eq!(cluster.nodes[0].connect().call("GET k"), Response::bulk("1"));
}

/// Rule V1: a node that has met nobody since its start may be an old copy of itself, which would use timestamps again. So
/// it begins nothing, and says so; with TrueTime a Set would else write before anybody could object.
#[test]
fn a_node_begins_nothing_before_it_has_met_a_majority() {
    for mode in [&["--timestamps", "truetime", "--clock-error", "1ms"][..], &[]] {
        let mut cluster = Cluster::start(3, &[mode, &["--op-timeout", "500ms"]].concat());
        assert_eq!(cluster.nodes[0].connect().call("SET k before"), Response::ok());
        cluster.kill_all();
        cluster.nodes[0].start();
        let mut client = cluster.nodes[0].connect();
        for command in ["SET k after", "GET k", "DEL k"] {
            let told = client.call(command).error();
            assert!(told.starts_with("NOQUORUM ") && told.contains("has met 1 of 3 members"), "{told}");
        }
        // What was asked meanwhile is begun as soon as there is a majority.
        client.send(b"GET k\r\n").unwrap();
        cluster.nodes[1].start();
        assert_eq!(client.read().unwrap(), Response::bulk("before"));
        // A majority that is lost later is another matter: this one was met.
        cluster.nodes[1].kill();
        let told = client.call("GET k").error();
        assert!(told.starts_with("NOQUORUM ") && !told.contains("has met"), "{told}");
    }
}

/// One after the other, each with its syncs, they would take the longer the more there are.
#[test]
fn what_waited_for_a_majority_begins_together() {
    let mut cluster = Cluster::start(3, &[]);
    cluster.kill_all();
    cluster.nodes[0].start();
    let mut client = cluster.nodes[0].connect();
    let batch: String = (0..400).map(|number| format!("SET key-{number} {number}\r\n")).collect();
    client.send(batch.as_bytes()).unwrap();
    // So that they are there when the majority is.
    assert_eq!(cluster.nodes[0].connect().call("PING"), Response::Status("PONG".to_owned()));
    cluster.nodes[1].start();
    assert!((0..400).all(|_| client.read().unwrap() == Response::ok()));
    let metrics = http_get(&cluster.nodes[0].http_address(), "/metrics").1;
    let commits = metrics.lines().find_map(|line| line.strip_prefix("atomic_kv_commits_total ")).unwrap();
    assert!(commits.parse::<u32>().unwrap() < 200, "{commits} syncs for 400 writes");
}
