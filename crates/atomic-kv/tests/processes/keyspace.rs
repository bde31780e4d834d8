//! All keys: listed, scanned, counted and deleted through any node, one of which may be dead.

use crate::support::client::{Connection, Response};
use crate::support::{Cluster, eventually};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

fn set(client: &mut Connection, keys: impl Iterator<Item = String>) {
    for key in keys {
        assert_eq!(client.call(&format!("SET {key} v")), Response::ok());
    }
}

fn text(response: &Response) -> String {
    match response {
        Response::Bulk(Some(bytes)) => String::from_utf8(bytes.clone()).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn texts(response: Response) -> Vec<String> {
    let Response::Array(items) = response else { panic!("{response:?}") };
    items.iter().map(text).collect()
}

/// One step of a scan: the next cursor, and keys.
fn scan(client: &mut Connection, cursor: &str, options: &str) -> (String, Vec<String>) {
    let reply = client.call(&format!("SCAN {cursor}{options}"));
    let Response::Array(mut parts) = reply else { panic!("{reply:?}") };
    assert_eq!(parts.len(), 2);
    let keys = texts(parts.pop().unwrap());
    (text(&parts[0]), keys)
}

#[test]
fn a_scan_goes_on_at_another_node_when_its_own_is_dead() {
    let mut cluster = Cluster::start(3, &[]);
    let mut clients: Vec<Connection> = cluster.nodes.iter().map(|node| node.connect()).collect();
    set(&mut clients[0], (0..300).map(|number| format!("user:{number:03}")));
    set(&mut clients[1], (0..50).map(|number| format!("other:{number:03}")));
    assert_eq!(clients[2].call("DEL user:007 other:001"), Response::Integer(2));
    assert_eq!(clients[1].call("DBSIZE"), Response::Integer(348));
    set(&mut clients[1], (0..5).map(|number| format!("{{tag}}{number}")));
    let Response::Integer(slot) = clients[0].call("CLUSTER KEYSLOT {tag}") else { panic!("a slot") };
    assert_eq!(clients[2].call(&format!("CLUSTER COUNTKEYSINSLOT {slot}")), Response::Integer(5));
    assert_eq!(texts(clients[0].call("KEYS user:00?")).len(), 9);
    assert_eq!(texts(clients[0].call("KEYS USER:*")), [""; 0]);
    let (mut cursor, mut found) = scan(&mut clients[0], "0", " MATCH user:* COUNT 20");
    assert!(!found.is_empty() && cursor != "0");
    cluster.nodes[0].kill();
    let mut turn = 0;
    while cursor != "0" {
        turn += 1;
        let (next, keys) = scan(&mut clients[1 + turn % 2], &cursor, " MATCH user:* COUNT 20");
        found.extend(keys);
        cursor = next;
    }
    let expected: Vec<String> =
        (0..300).filter(|number| *number != 7).map(|number| format!("user:{number:03}")).collect();
    assert_eq!(found, expected);
    assert_eq!(scan(&mut clients[1], "0", " TYPE hash"), ("0".to_owned(), Vec::new()));
    let unknown = clients[1].call("SCAN 12345").error();
    assert!(unknown.starts_with("ERR unknown cursor"), "{unknown}");
    for (command, error) in [
        ("SCAN x", "ERR invalid cursor"),
        ("SCAN 0 COUNT 0", "ERR syntax error"),
        ("SCAN 0 COUNT x", "ERR value is not an integer or out of range"),
        ("SCAN 0 FOO 1", "ERR syntax error"),
        ("FLUSHALL NOW", "ERR syntax error"),
        ("WAIT 0 -1", "ERR timeout is negative"),
    ] {
        assert_eq!(clients[1].call(command).error(), error);
    }
}

#[test]
fn what_was_there_before_and_throughout_is_found_while_others_write() {
    let cluster = Cluster::start(3, &[]);
    let mut client = cluster.nodes[0].connect();
    set(&mut client, (0..200).map(|number| format!("stays:{number:03}")));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (number, node) in cluster.nodes.iter().enumerate() {
            let (mut writer, stop) = (node.connect(), &stop);
            scope.spawn(move || {
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let key = format!("comes:{number}:{:02}", round % 40);
                    assert_eq!(writer.call(&format!("SET {key} v")), Response::ok());
                    writer.call(&format!("SET stays:{:03} {round}", round % 200));
                    writer.call(&format!("DEL {key}"));
                }
            });
        }
        for _ in 0..5 {
            let (mut cursor, mut found) = ("0".to_owned(), BTreeSet::new());
            loop {
                let (next, keys) = scan(&mut client, &cursor, " COUNT 7");
                for key in keys {
                    assert!(found.insert(key.clone()), "{key} comes twice");
                }
                cursor = next;
                if cursor == "0" {
                    break;
                }
            }
            let stays = found.iter().filter(|key| key.starts_with("stays:")).count();
            assert_eq!(stays, 200);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn all_keys_are_deleted_by_whoever_waits_and_in_the_background() {
    let cluster = Cluster::start(3, &[]);
    let mut clients: Vec<Connection> = cluster.nodes.iter().map(|node| node.connect()).collect();
    set(&mut clients[0], (0..600).map(|number| format!("k{number}")));
    let Response::Bulk(Some(_)) = clients[1].call("RANDOMKEY") else { panic!("there are keys") };
    assert_eq!(clients[1].call("FLUSHDB"), Response::ok());
    assert_eq!(clients[2].call("DBSIZE"), Response::Integer(0));
    assert_eq!(clients[2].call("RANDOMKEY"), Response::Bulk(None));
    assert_eq!(clients[1].info("flush_deleted_keys"), "600");
    set(&mut clients[0], (0..100).map(|number| format!("k{number}")));
    assert_eq!(clients[2].call("FLUSHALL ASYNC"), Response::ok());
    eventually("all keys are deleted", || clients[0].call("DBSIZE") == Response::Integer(0));
    eventually("it has ended", || clients[2].info("flush_running") == "0");
    assert_eq!(clients[2].info("flush_last_error"), "");
    assert_eq!(clients[2].info("flush_deleted_keys"), "100");
}

#[test]
fn a_client_waits_for_who_has_its_last_write() {
    let mut cluster = Cluster::start(3, &[]);
    let mut client = cluster.nodes[0].connect();
    assert_eq!(client.call("SET k v"), Response::ok());
    assert_eq!(client.call("WAIT 1 0"), Response::Integer(1));
    assert_eq!(client.call("WAIT 2 20000"), Response::Integer(2));
    cluster.nodes[2].kill();
    assert_eq!(client.call("INCR n"), Response::Integer(1));
    assert_eq!(client.call("WAIT 2 100"), Response::Integer(1));
    cluster.nodes[2].start();
    cluster.nodes[2].wait_ready();
    assert_eq!(client.call("WAIT 2 30000"), Response::Integer(2));
}
