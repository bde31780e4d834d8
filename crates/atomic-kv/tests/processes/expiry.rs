//! Keys that expire, on real clocks: what is absent stays absent at every node, clocks that differ harm nobody but those who rely on
//! them, and what nobody reads is swept.

use crate::support::client::Response;
use crate::support::{Cluster, Connection, eventually};
use std::time::Duration;

const NOTHING: Response = Response::Bulk(None);
const LOGICAL: &[&str] = &["--timestamps", "logical"];
const TRUETIME: &[&str] = &["--timestamps", "truetime", "--clock-error", "30ms"];

fn connect(cluster: &Cluster) -> Vec<Connection> {
    cluster.nodes.iter().map(|node| node.connect()).collect()
}

/// A number in INFO, added up over nodes.
fn total<'a>(nodes: impl IntoIterator<Item = &'a mut Connection>, field: &str) -> u64 {
    nodes.into_iter().map(|client| client.info(field).parse::<u64>().unwrap()).sum()
}

/// Everybody looks at a key around its deadline, at each node in turn: once one has seen it absent, nobody who asks later sees it
/// again. The nodes' clocks differ by more than it takes to go round (`offsets` in milliseconds).
fn absent_is_for_ever(flags: &[&str], offsets: [i64; 3]) {
    let mut cluster = Cluster::new(3, flags);
    for (node, offset) in cluster.nodes.iter_mut().zip(offsets) {
        node.flags.extend(["--clock-offset".to_owned(), (offset * 1_000_000).to_string()]);
    }
    cluster.start_all();
    let mut clients = connect(&cluster);
    for round in 0..6 {
        let key = format!("lock-{round}");
        assert_eq!(clients[round % 3].call(&format!("SET {key} holder NX PX 300")), Response::ok());
        let (mut gone_at, mut looks_since, mut turn) = (None, 0, 0);
        while looks_since < 30 {
            let node = turn % 3;
            turn += 1;
            let found = clients[node].call(&format!("GET {key}"));
            if found == NOTHING {
                gone_at.get_or_insert(node);
            } else {
                assert_eq!(found, Response::bulk("holder"));
                assert_eq!(gone_at, None, "node {node} sees {key} again");
            }
            looks_since += usize::from(gone_at.is_some());
            std::thread::sleep(Duration::from_millis(5));
        }
        // One gets it next, whatever the clocks say.
        let mut won = 0;
        for client in &mut clients {
            won += usize::from(client.call(&format!("SET {key} next NX")) == Response::ok());
        }
        assert_eq!(won, 1);
        assert_eq!(clients[2].call(&format!("TTL {key}")), Response::Integer(-1));
    }
    cluster.kill_all();
}

#[test]
fn what_is_absent_once_is_absent_at_every_node() {
    absent_is_for_ever(LOGICAL, [0, 150, -150]);
}

#[test]
fn what_is_absent_once_is_absent_at_every_node_with_truetime() {
    absent_is_for_ever(TRUETIME, [0, 25, -25]);
}

/// A node dies, another one comes back, and deadlines pass meanwhile: what was due is absent, what was not is there with what is left of
/// its time.
#[test]
fn deadlines_pass_while_nodes_are_down() {
    let mut cluster = Cluster::start(3, LOGICAL);
    let mut client = cluster.nodes[0].connect();
    assert_eq!(client.call("SET short 1 PX 1500"), Response::ok());
    assert_eq!(client.call("SET long 2 EX 1000"), Response::ok());
    assert_eq!(client.call("SET kept 3 EX 1000"), Response::ok());
    assert_eq!(client.call("PERSIST kept"), Response::Integer(1));
    cluster.kill_all();
    std::thread::sleep(Duration::from_millis(1600));
    cluster.start_all();
    cluster.nodes[1].kill();
    let mut client = cluster.nodes[2].connect();
    assert_eq!(client.call("GET short"), NOTHING);
    assert_eq!(client.call("GET kept"), Response::bulk("3"));
    assert_eq!(client.call("SET short 2 NX PX 100"), Response::ok());
    let Response::Integer(left) = client.call("TTL long") else { panic!("a number") };
    assert!((800..1000).contains(&left), "{left}");
    cluster.nodes[0].kill();
    cluster.nodes[1].start();
    cluster.nodes[1].wait_ready();
    let mut client = cluster.nodes[1].connect();
    eventually("the new lock has expired", || client.call("EXISTS short") == Response::Integer(0));
    assert_eq!(client.call("MGET long kept"), Response::Array(["2", "3"].map(Response::bulk).to_vec()));
    cluster.kill_all();
}

/// Nobody reads them, and they go: also those that another node was preferred for, which is dead.
#[test]
fn what_nobody_reads_is_swept_also_for_a_node_that_is_down() {
    const KEYS: u64 = 300;
    let mut cluster = Cluster::start(3, LOGICAL);
    let mut clients = connect(&cluster);
    for key in 0..KEYS {
        assert_eq!(clients[0].call(&format!("SET a-{key} v PX 100")), Response::ok());
        assert_eq!(clients[0].call(&format!("SET stays-{key} v")), Response::ok());
    }
    eventually("all are swept", || total(&mut clients, "swept_keys") >= KEYS);
    // Each node has done its part.
    for client in &mut clients {
        let part = total([client], "swept_keys");
        assert!((KEYS / 6..KEYS).contains(&part), "{part} of {KEYS}");
    }
    cluster.nodes[2].kill();
    let (alive, _) = clients.split_at_mut(2);
    for key in 0..KEYS {
        assert_eq!(alive[0].call(&format!("SET b-{key} v PX 100")), Response::ok());
    }
    eventually("those of the node that is down, too", || {
        total(&mut *alive, "swept_keys") + KEYS / 2 >= 2 * KEYS
            && (0..KEYS).all(|key| alive[1].call(&format!("EXISTS b-{key}")) == Response::Integer(0))
    });
    assert_eq!(alive[1].call(&format!("EXISTS stays-0 stays-{}", KEYS - 1)), Response::Integer(2));
    cluster.kill_all();
}
