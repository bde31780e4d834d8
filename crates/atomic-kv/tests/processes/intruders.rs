//! Garbage on a port closes that connection and nothing else; what is too large is refused and nothing is lost.

use crate::support::client::Response;
use crate::support::member::Wire;
use crate::support::{Cluster, Connection, Node, eventually};
use node::directory::Identity;
use node::hello::{Refused, Versions, Welcome};
use node::nonce::Nonce;
use store::slots::Slots;

/// Bytes that somebody may send by mistake or on purpose.
fn garbage() -> Vec<Vec<u8>> {
    let noise: Vec<u8> = (0..5000u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    vec![
        noise,
        vec![0; 4096],
        vec![0xff; 64],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n".to_vec(),
    ]
}

#[test]
fn garbage_on_the_peer_port_closes_that_connection_only() {
    let cluster = Cluster::start(3, &[]);
    let mut good = cluster.nodes[0].connect();
    assert_eq!(good.call("SET k v"), Response::ok());
    for bytes in garbage() {
        let mut intruder = Connection::open(cluster.nodes[0].peer_address(1)).unwrap();
        // The node may close it before all is written.
        let _ = intruder.send(&bytes);
        let _ = intruder.finish_sending();
        let answer = intruder.rest().unwrap_or_default();
        assert!(answer.is_empty(), "a stranger was answered: {answer:?}");
        assert_eq!(good.call("GET k"), Response::bulk("v"));
    }
    for node in &cluster.nodes {
        assert!(!node.log().contains("lost a peer"), "{}", node.log());
        assert_eq!(node.info("ready"), "1");
    }
    assert!(cluster.nodes[0].log().contains("closed a peer connection"));
}

#[test]
fn garbage_on_the_client_port_closes_that_connection_only() {
    let cluster = Cluster::start(3, &[]);
    let mut good = cluster.nodes[0].connect();
    assert_eq!(good.call("SET k v"), Response::ok());
    for (bytes, told) in [
        (&b"*x\r\n"[..], "-ERR Protocol error"),
        (b"*1\r\n$-7\r\n", "-ERR Protocol error"),
        (b"*1\r\n!3\r\n", "-ERR Protocol error"),
        (b"*99999999\r\n", "-ERR Protocol error"),
        (b"*1\r\n$99999999999999999999\r\n", "-ERR Protocol error"),
    ] {
        let mut intruder = cluster.nodes[0].connect();
        intruder.send(bytes).unwrap();
        let answer = String::from_utf8_lossy(&intruder.rest().unwrap()).into_owned();
        assert!(answer.starts_with(told), "{bytes:?}: {answer}");
    }
    for bytes in garbage() {
        let mut intruder = cluster.nodes[0].connect();
        let _ = intruder.send(&bytes);
        let _ = intruder.finish_sending();
        let _ = intruder.rest();
        assert_eq!(good.call("PING"), Response::Status("PONG".to_owned()));
    }
    assert_eq!(good.call("GET k"), Response::bulk("v"));
}

#[test]
fn what_is_too_large_is_refused_and_the_connection_stays_usable() {
    let cluster = Cluster::start(3, &[]);
    let mut client = cluster.nodes[0].connect();
    let largest = vec![b'x'; 16 << 20];
    let key = vec![b'k'; 64 << 10];
    assert_eq!(client.try_call(&[b"SET", &key, &largest]).unwrap(), Response::ok());
    let mut reader = cluster.nodes[1].connect();
    assert_eq!(reader.try_call(&[b"STRLEN", &key]).unwrap(), Response::Integer(16 << 20));
    assert!(reader.try_call(&[b"GET", &key]).unwrap() == Response::Bulk(Some(largest.clone())));

    let too_large = [&largest[..], b"!"].concat();
    let told = client.try_call(&[b"SET", b"k", &too_large]).unwrap().error();
    assert!(told.starts_with("ERR ") && told.contains("16777216"), "{told}");
    let too_long = [&key[..], b"!"].concat();
    for command in [&[b"SET", &too_long[..], b"v"][..], &[b"GET", &too_long], &[b"DEL", &too_long]] {
        let told = client.try_call(command).unwrap().error();
        assert!(told.starts_with("ERR ") && told.contains("65536"), "{told}");
    }
    assert_eq!(client.call("SET k v"), Response::ok());
    assert_eq!(client.call("GET k"), Response::bulk("v"));
}

/// What stands in the identity of a node that is down.
fn identity_of(node: &Node) -> Identity {
    let opened = Slots::open(&store::files::System, &node.data.join("identity"), 16 << 10).unwrap();
    let mut record: toml::Table =
        toml::from_str(std::str::from_utf8(&opened.newest.unwrap()).unwrap()).unwrap();
    record.remove("identity").unwrap().try_into().unwrap()
}

/// Two anonymous connections could retire a member for good: one that reads who it is, and one that says to be it, with a boot
/// count far ahead.
#[test]
fn v1_a_stranger_learns_nothing_and_changes_nothing() {
    let mut cluster = Cluster::start(3, &[]);
    assert_eq!(cluster.nodes[0].connect().call("SET k v"), Response::ok());
    let welcome = Wire::welcome(&cluster.nodes[0]);
    cluster.nodes[0].kill();
    let real = identity_of(&cluster.nodes[0]);
    let said = |bytes: &[u8]| welcome.windows(bytes.len()).any(|window| window == bytes);
    assert!(!said(&real.disk), "a stranger is told the id of the directory");
    assert_eq!(Welcome::get(welcome.clone(), Versions::OURS).unwrap().about.member, None);

    // Whatever he has found out but for what only those know who have met the node.
    let mut stranger = Identity::new(1, vec![1, 2, 3], real.disk, [5; 16]);
    for boot in 1..=real.boot + 1000 {
        stranger.start(Nonce([boot.to_be_bytes()[3] | 1; 16]), false).unwrap();
    }
    for node in &cluster.nodes[1..] {
        let refused = Wire::present(node, &stranger).unwrap_err();
        assert!(refused.to_string().contains("does not show that he knows"), "{refused}");
        node.wait_for_log(&["refused a peer", "does not show that he knows"]);
    }
    // One who counts on from what is known is told what a copy is told, and that is all.
    let mut copy = Identity::new(1, vec![1, 2, 3], real.disk, [5; 16]);
    for boot in 1..=real.boot + 1 {
        copy.start(Nonce([boot.to_be_bytes()[3] | 1; 16]), false).unwrap();
    }
    for node in &cluster.nodes[1..] {
        let refused = Wire::present(node, &copy).unwrap_err();
        assert!(refused.to_string().contains("copy of its data directory"), "{refused}");
    }
    for round in 0..2 {
        cluster.nodes[0].start();
        cluster.nodes[0].wait_ready();
        eventually("both have met it", || cluster.nodes[0].info("peers") == "2=up,3=up");
        assert_eq!(cluster.nodes[0].connect().call("GET k"), Response::bulk("v"), "round {round}");
        cluster.nodes[0].kill();
    }
}

/// Whoever listens where a peer should be may say what he likes: this node does not end itself for it.
#[test]
fn a_strangers_verdict_is_not_believed() {
    let mut cluster = Cluster::start(3, &[]);
    cluster.nodes[0].kill();
    cluster.nodes[2].kill();
    let address = cluster.nodes[2].peer_address(3).to_owned();
    let listener = std::net::TcpListener::bind(&address).unwrap();
    cluster.nodes[0].start();
    // Node 2 dials it, too, and of the two lanes of node 1 the small one tells of it.
    for _ in 0..8 {
        let (stream, _) = listener.accept().unwrap();
        Wire::refuse(stream, &Refused::Impostor("go away".to_owned(), Vec::new()));
    }
    drop(listener);
    cluster.nodes[0].wait_for_log(&["go away"]);
    cluster.nodes[0].wait_ready();
    cluster.nodes[2].start();
    cluster.nodes[2].wait_ready();
    assert_eq!(cluster.nodes[0].connect().call("SET k v"), Response::ok());
}

/// Somebody may give a reason with more lines, which look like those of the node.
#[test]
fn a_stranger_writes_no_lines_of_the_log() {
    let cluster = Cluster::start(3, &[]);
    let forged = "2026-01-01T00:00:00Z ERROR forged";
    Wire::refuse_welcome(&cluster.nodes[0], 2, &Refused::Mismatch(format!("bad\n{forged} \u{1b}[31m")));
    cluster.nodes[0].wait_for_log(&["closed a peer connection", forged]);
    let log = cluster.nodes[0].log();
    assert!(!log.lines().any(|line| line.starts_with(forged)) && !log.contains('\u{1b}'), "{log}");
}
