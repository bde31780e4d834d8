//! Keys that get other names, what a node tells of requests that took long, and connections that sleep.

use crate::support::client::Response;
use crate::support::{Cluster, eventually};
use std::time::{Duration, Instant};

#[test]
fn a_key_gets_another_name_through_any_node_and_without_one() {
    let mut cluster = Cluster::start(3, &["--multi-keys", "per-key"]);
    let mut clients: Vec<_> = cluster.nodes.iter().map(|node| node.connect()).collect();
    assert_eq!(clients[0].info("multi_keys"), "per-key");
    assert_eq!(clients[0].call("SET name-0 value"), Response::ok());
    for round in 0..30 {
        let (from, to) = (format!("name-{round}"), format!("name-{}", round + 1));
        assert_eq!(clients[round % 3].call(&format!("RENAME {from} {to}")), Response::ok());
        let next = &mut clients[(round + 1) % 3];
        assert_eq!(
            next.call(&format!("MGET {from} {to}")),
            Response::Array(vec![Response::Bulk(None), Response::bulk("value")])
        );
    }
    cluster.nodes[2].kill();
    assert_eq!(clients[0].call("RENAMENX name-30 last"), Response::Integer(1));
    assert_eq!(clients[1].call("COPY last copy"), Response::Integer(1));
    assert_eq!(clients[0].call("GETDEL copy"), Response::bulk("value"));
    // What is asked behind it on a connection sees what it has done.
    let mut all = String::new();
    for round in 0..50 {
        let (from, to) = if round % 2 == 0 { ("last", "other") } else { ("other", "last") };
        all += &format!("RENAME {from} {to}\r\nEXISTS {from}\r\nGET {to}\r\n");
    }
    clients[1].send(all.as_bytes()).unwrap();
    clients[1].expect(&"+OK\r\n:0\r\n$5\r\nvalue\r\n".repeat(50));
}

#[test]
fn a_rename_is_refused_before_any_effect_unless_it_is_allowed() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.nodes[0].connect();
    assert_eq!(client.call("SET a 1"), Response::ok());
    assert!(client.call("RENAME a b").error().contains("--multi-keys per-key"));
    assert_eq!(client.call("GET a"), Response::bulk("1"));
    assert_eq!(client.call("EXISTS b"), Response::Integer(0));
}

#[test]
fn what_took_long_is_told_by_the_node_where_it_did() {
    let cluster = Cluster::start(3, &["--op-timeout", "25s"]);
    let mut client = cluster.nodes[0].connect();
    let set = client.call("CONFIG SET slowlog-log-slower-than 200000 latency-monitor-threshold 200");
    assert_eq!(set, Response::ok());
    assert_eq!(client.call("CLIENT SETNAME patient"), Response::ok());
    let others = &cluster.nodes[1..];
    others.iter().for_each(|node| node.pause());
    client.send(b"SET slow 1\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(400));
    others.iter().for_each(|node| node.resume());
    client.expect("+OK\r\n");
    let Response::Array(log) = client.call("SLOWLOG GET") else { panic!("a list") };
    let [Response::Array(entry)] = &log[..] else { panic!("one request took long: {log:?}") };
    assert_eq!(entry[3], Response::Array(vec![Response::bulk("SET"), Response::bulk("slow")]));
    assert_eq!(entry[5], Response::bulk("patient"));
    assert!(matches!(entry[2], Response::Integer(400_000..)), "{entry:?}");
    let Response::Array(latest) = client.call("LATENCY HISTORY command") else { panic!("a list") };
    assert_eq!(latest.len(), 1);
    assert_eq!(cluster.nodes[1].connect().call("SLOWLOG LEN"), Response::Integer(0));
}

#[test]
fn a_connection_that_sleeps_delays_no_other() {
    let cluster = Cluster::start(1, &["--enable-debug-command", "local"]);
    let connect = || cluster.nodes[0].connect();
    let (mut sleeper, mut other) = (connect(), connect());
    sleeper.send(b"SET a 1\r\nDEBUG SLEEP 3600\r\nSET a 2\r\n").unwrap();
    eventually("it has begun", || other.call("GET a") == Response::bulk("1"));
    for _ in 0..100 {
        assert_eq!(other.call("SET b 1"), Response::ok());
    }
    assert_eq!(other.call("GET a"), Response::bulk("1"), "what is behind it waits");
    let begun = Instant::now();
    other.send(b"DEBUG SLEEP 0.2\r\nGET a\r\n").unwrap();
    other.expect("+OK\r\n$1\r\n1\r\n");
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
}

#[test]
fn debug_is_refused_as_in_redis() {
    let cluster = Cluster::start(1, &[]);
    let told = cluster.nodes[0].connect().call("DEBUG SLEEP 0").error();
    assert!(
        told.starts_with("ERR DEBUG command not allowed. If the enable-debug-command option is set to"),
        "{told}"
    );
}
