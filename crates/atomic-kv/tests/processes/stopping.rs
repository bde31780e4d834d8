//! A graceful stop: nothing new begins, what has begun may end, and everybody is told.

use crate::support::client::Response;
use crate::support::member::Wire;
use crate::support::{Cluster, Connection, Node, eventually, http_get};
use abd::{Deadline, Operation};
use node::client::service::CallAnswer;

/// A cluster whose first node has a SET in flight that nobody else answers, and has been told to stop: the connection of the SET, and
/// another one.
fn stopping_with_a_write_in_flight() -> (Cluster, Connection, Connection, Wire) {
    let cluster = Cluster::start(3, &[]);
    let node = &cluster.nodes[0];
    let (mut writer, mut other, caller) = (node.connect(), node.connect(), Wire::of_client(node));
    assert_eq!(other.call("SET k before"), Response::ok());
    cluster.nodes[1].pause();
    cluster.nodes[2].pause();
    ask_for_a_set(node, &mut writer);
    node.tell_to_stop();
    eventually("the ports are closed", || {
        Connection::open(&node.address()).is_err() && Connection::open(node.peer_address(1)).is_err()
    });
    (cluster, writer, other, caller)
}

/// Asks for a SET, and waits until the node has read that: it has when it answers somebody who connected later.
fn ask_for_a_set(node: &Node, client: &mut Connection) {
    client.ask(&[b"SET", b"k", b"in-flight"]).unwrap();
    for _ in 0..3 {
        assert_eq!(node.connect().call("PING"), Response::Status("PONG".to_owned()));
    }
}

#[test]
fn a_stopping_node_refuses_what_is_new_and_ends_what_has_begun() {
    let (mut cluster, mut writer, mut other, mut caller) = stopping_with_a_write_in_flight();
    let refused = "this node is stopping";
    for command in ["SET k late", "GET k", "DEL k"] {
        let told = other.call(command).error();
        assert!(told.starts_with("NOQUORUM") && told.contains(refused), "{command}: {told}");
    }
    let CallAnswer::Refused(told) =
        caller.run(Operation::Set { key: "k".into(), value: "late".into(), deadline: Deadline::NONE })
    else {
        panic!("a stopping node carries out what it is asked for");
    };
    assert!(told.contains(refused), "{told}");
    let (code, told) = http_get(&cluster.nodes[0].http_address(), "/readyz");
    assert!(code == 503 && told.contains(refused), "{code} {told}");
    cluster.nodes[1].resume();
    cluster.nodes[2].resume();
    assert_eq!(writer.read().unwrap(), Response::ok());
    assert_eq!(cluster.nodes[0].wait().code(), Some(0));
    assert_eq!(cluster.nodes[1].connect().call("GET k"), Response::bulk("in-flight"));
}

#[test]
fn what_does_not_end_in_time_is_answered_before_a_node_stops() {
    let (mut cluster, mut writer, _, _) = stopping_with_a_write_in_flight();
    let told = writer.read().unwrap().error();
    // Of a SET that has only asked for timestamps it is certain.
    assert!(told.starts_with("NOQUORUM"), "{told}");
    assert_eq!(cluster.nodes[0].wait().code(), Some(0));
}

#[test]
fn a_node_that_is_told_twice_does_not_wait_for_what_is_in_flight() {
    let (mut cluster, _writer, _, _) = stopping_with_a_write_in_flight();
    cluster.nodes[0].tell_to_stop();
    assert_eq!(cluster.nodes[0].wait().code(), Some(1));
    let log = cluster.nodes[0].log();
    assert!(log.lines().last().unwrap().contains("without waiting for operations in flight"), "{log}");
}

/// What waits until the node may begin has not begun.
#[test]
fn what_waits_for_the_others_is_refused_when_a_node_stops() {
    let mut cluster = Cluster::new(3, &[]);
    let node = &mut cluster.nodes[0];
    node.start();
    let mut client = node.connect();
    ask_for_a_set(node, &mut client);
    node.tell_to_stop();
    let told = client.read().unwrap().error();
    assert!(told.starts_with("NOQUORUM") && told.contains("this node is stopping"), "{told}");
    assert_eq!(node.wait().code(), Some(0));
}
