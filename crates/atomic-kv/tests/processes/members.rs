//! Members that do what no node does: the others bear it.

use crate::support::client::Reply;
use crate::support::member::{Listening, Member, Wire};
use crate::support::{Cluster, Node, eventually};
use abd::wire::{get_reply, is_reply};
use abd::{Content, Request, StampedValue, Timestamp, Version};
use bytes::Bytes;

const KEY: Bytes = Bytes::from_static(b"large");
const VALUE_BYTES: usize = 64 << 10;
/// The answers are twenty times what a node keeps for a peer that does not read.
const QUESTIONS: u64 = 2_560;

/// Two nodes that hold a large value, and a third one, which is played, with its connections to and from the first.
fn played() -> (Cluster, Member, Wire, Wire) {
    let mut cluster = Cluster::new(3, &[]);
    let member = Member::play(&cluster.nodes[2]);
    cluster.nodes[0].start();
    cluster.nodes[1].start();
    let [(_, first), (_, second)] = {
        let mut both = [member.accepted(), member.accepted()];
        both.sort_by_key(|(from, _)| *from);
        both
    };
    // The second node is not asked anything: it only has to be heard.
    std::mem::forget(second.listen(false));
    let to_first = member.connect(&cluster.nodes[0]);
    cluster.nodes[0].wait_ready();
    cluster.nodes[1].wait_ready();
    let value = vec![b'v'; VALUE_BYTES];
    assert_eq!(cluster.nodes[0].connect().try_call(&[b"SET", &KEY, &value]).unwrap(), Reply::ok());
    (cluster, member, first, to_first)
}

/// Asks for the value again and again, and does not read a single answer; the node must not keep them all.
fn ask_without_reading(node: &Node, wire: &mut Wire) {
    let before = resident(node);
    for number in 0..QUESTIONS {
        wire.ask(number, &Request::LocalRead { key: KEY, have: Version::MIN });
    }
    // It serves others meanwhile.
    let mut client = node.connect();
    for _ in 0..100 {
        assert_eq!(client.call("SET k v"), Reply::ok());
        assert_eq!(client.call("GET k"), Reply::bulk("v"));
    }
    let grown = resident(node).saturating_sub(before);
    assert!(grown < QUESTIONS * VALUE_BYTES as u64 / 2, "{grown} bytes");
}

fn resident(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// The number of the question, and whether it is answered with the value. What the node itself asks is left alone.
fn answer(wire: &mut Wire) -> (u64, bool) {
    let reply = std::iter::repeat_with(|| wire.receive()).find(|body| is_reply(body)).unwrap();
    let (call, reply) = get_reply(reply).unwrap();
    let value = match reply {
        abd::Reply::Read { content: Some(Content::Value(value)), .. } => value.len() == VALUE_BYTES,
        abd::Reply::Read { .. } => panic!("an answer without the value"),
        _ => false,
    };
    (call.operation, value)
}

#[test]
fn one_that_connects_and_does_not_read_is_not_read_either() {
    let (cluster, _member, _from_first, mut to_first) = played();
    ask_without_reading(&cluster.nodes[0], &mut to_first);
    for number in 0..QUESTIONS {
        assert_eq!(answer(&mut to_first), (number, true), "nothing is lost");
    }
}

#[test]
fn one_that_was_connected_to_and_does_not_read_gets_no_more_values() {
    let (cluster, _member, mut from_first, _to_first) = played();
    ask_without_reading(&cluster.nodes[0], &mut from_first);
    let version = Version::of_write(Timestamp { time: 1, node: 3, boot: 1 });
    let stamped = StampedValue { version, content: Content::Value(KEY) };
    from_first.ask(QUESTIONS, &Request::LocalWrite { key: Bytes::from_static(b"k3"), stamped });
    let (mut answered, mut written) = (0, false);
    while !written {
        let (number, value) = answer(&mut from_first);
        written = number == QUESTIONS;
        answered += u64::from(value);
    }
    assert!(
        answered > 0 && answered < QUESTIONS,
        "{answered} of {QUESTIONS}: reads are forgotten, writes are not"
    );
    from_first.ask(QUESTIONS + 1, &Request::LocalRead { key: KEY, have: Version::MIN });
    assert_eq!(answer(&mut from_first), (QUESTIONS + 1, true), "there is room again");
}

/// A node between two that are played: the first has the lower id, and answers; the last says nothing. What the node has
/// opened to the first is listened to.
fn between() -> (Cluster, Member, Member, Listening) {
    let mut cluster = Cluster::new(3, &[]);
    let (first, last) = (Member::play(&cluster.nodes[0]), Member::play(&cluster.nodes[2]));
    cluster.nodes[1].start();
    std::mem::forget(last.accepted().1.listen(false));
    let own = first.accepted().1.listen(true);
    (cluster, first, last, own)
}

#[test]
fn requests_take_the_newest_connection_of_a_member() {
    let (cluster, first, _last, _own) = between();
    let old = first.connect(&cluster.nodes[1]).listen(true);
    cluster.nodes[1].wait_ready();
    let mut client = cluster.nodes[1].connect();
    assert_eq!(client.call("SET k 1"), Reply::ok());
    assert!(old.questions() > 0, "it asks over the connection of the lower id");
    let new = first.connect(&cluster.nodes[1]).listen(true);
    // Until the node has seen it: the greeting is answered before.
    eventually("the new connection is asked", || {
        assert_eq!(client.call("SET k 2"), Reply::ok());
        new.questions() > 0
    });
    let before = old.questions();
    for _ in 0..20 {
        assert_eq!(client.call("SET k 3"), Reply::ok());
    }
    assert_eq!(old.questions(), before);
}

#[test]
fn a_connection_that_is_silent_is_not_asked_until_it_speaks() {
    let (cluster, first, _last, own) = between();
    let shared = first.connect(&cluster.nodes[1]).listen(false);
    cluster.nodes[1].wait_ready();
    let mut client = cluster.nodes[1].connect();
    assert_eq!(client.call("SET k 1"), Reply::ok());
    assert!(shared.questions() > 0 && own.questions() > 0, "asked, and asked again where somebody answers");
    eventually("it is not asked any more", || {
        let before = shared.questions();
        assert_eq!(client.call("SET k 2"), Reply::ok());
        shared.questions() == before
    });
    eventually("it is asked again", || {
        shared.ping();
        let before = shared.questions();
        assert_eq!(client.call("SET k 3"), Reply::ok());
        shared.questions() > before
    });
}
