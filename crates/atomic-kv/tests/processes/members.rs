//! Members that do what no node does: the others bear it.

use crate::support::client::Reply;
use crate::support::member::{Listening, Manner, Member, Wire};
use crate::support::{Cluster, Connection, Node, eventually};
use abd::wire::{get_reply, is_reply};
use abd::{Content, Request, StampedValue, Timestamp, Version};
use bytes::Bytes;
use std::time::{Duration, Instant};

const KEY: Bytes = Bytes::from_static(b"large");
const VALUE_BYTES: usize = 64 << 10;
/// Their answers are 160 MiB, in which a node may keep 8 MiB, about, twice: what waits and what is being sent.
const QUESTIONS: u64 = 2_560;
const KEPT_BYTES_MAX: u64 = 64 << 20;

/// Two nodes that hold a large value, and a third one that is played.
struct Played {
    cluster: Cluster,
    /// What the first node has opened to the third.
    from_first: Wire,
    /// What the third has opened to the first.
    to_first: Wire,
    _member: Member,
}

impl Played {
    fn start() -> Self {
        let mut cluster = Cluster::new(3, &[]);
        let member = Member::play(&cluster.nodes[2]);
        cluster.nodes[0].start();
        cluster.nodes[1].start();
        let [mut from_first, second] = member.accepted([1, 2]);
        second.listen(Manner::Answers);
        cluster.nodes[0].wait_ready();
        cluster.nodes[1].wait_ready();
        let value = vec![b'v'; VALUE_BYTES];
        assert_eq!(cluster.nodes[0].connect().try_call(&[b"SET", &KEY, &value]).unwrap(), Reply::ok());
        let to_first = member.connect(&cluster.nodes[0]);
        // Or it is taken for a connection that is dead.
        from_first.ping().unwrap();
        Self { cluster, from_first, to_first, _member: member }
    }
}

/// Asks for the value again and again, and does not read a single answer; the node must not keep them all.
fn ask_without_reading(node: &Node, wire: &mut Wire) {
    let before = node.memory("VmRSS");
    wire.ask(0..QUESTIONS, &Request::LocalRead { key: KEY, have: Version::MIN });
    // It serves others meanwhile. Who does not read for too long is cut off.
    let (mut client, start) = (node.connect(), Instant::now());
    for _ in 0..20 {
        assert_eq!(client.call("SET k v"), Reply::ok());
        assert_eq!(client.call("GET k"), Reply::bulk("v"));
        wire.ping().unwrap();
        if start.elapsed() > Duration::from_secs(2) {
            break;
        }
    }
    let grown = node.memory("VmRSS").saturating_sub(before);
    assert!(grown < KEPT_BYTES_MAX, "{grown} bytes");
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
    let Played { cluster, to_first, .. } = &mut Played::start();
    ask_without_reading(&cluster.nodes[0], to_first);
    for number in 0..QUESTIONS {
        assert_eq!(answer(to_first), (number, true), "nothing is lost");
    }
}

#[test]
fn one_that_was_connected_to_and_does_not_read_gets_no_more_values() {
    let Played { cluster, from_first, .. } = &mut Played::start();
    ask_without_reading(&cluster.nodes[0], from_first);
    let version = Version::of_write(Timestamp { time: 1, node: 3, boot: 1 });
    let stamped = StampedValue { version, content: Content::Value(KEY) };
    let write = Request::LocalWrite { key: Bytes::from_static(b"k3"), stamped };
    from_first.ask(QUESTIONS..QUESTIONS + 1, &write);
    let (mut answered, mut written) = (0, false);
    while !written {
        let (number, value) = answer(from_first);
        written = number == QUESTIONS;
        answered += u64::from(value);
    }
    assert!(
        answered > 0 && answered < QUESTIONS,
        "{answered} of {QUESTIONS}: reads are forgotten, writes are not"
    );
    let again = QUESTIONS + 1;
    from_first.ask(again..again + 1, &Request::LocalRead { key: KEY, have: Version::MIN });
    assert_eq!(answer(from_first), (again, true), "there is room again");
}

/// A node between two that are played: the first has the lower id, and answers; the last says nothing.
struct Between {
    cluster: Cluster,
    first: Member,
    /// What the node has opened to the first.
    own: Listening,
    _last: Member,
}

impl Between {
    fn start() -> Self {
        let mut cluster = Cluster::new(3, &[]);
        let (first, last) = (Member::play(&cluster.nodes[0]), Member::play(&cluster.nodes[2]));
        cluster.nodes[1].start();
        let ([own], [silent]) = (first.accepted([2]), last.accepted([2]));
        let own = own.listen(Manner::Answers);
        silent.listen(Manner::Silent);
        cluster.nodes[1].wait_ready();
        Self { cluster, first, own, _last: last }
    }
}

#[test]
fn requests_take_the_newest_connection_of_a_member() {
    let Between { cluster, first, .. } = &Between::start();
    let mut client = cluster.nodes[1].connect();
    let old = first.connect(&cluster.nodes[1]).listen(Manner::Answers);
    eventually("it asks over the connection of the lower id", || {
        assert_eq!(client.call("SET k 1"), Reply::ok());
        old.questions() > 0
    });
    let new = first.connect(&cluster.nodes[1]).listen(Manner::Answers);
    // Until the node has seen it: the greeting is answered before.
    eventually("the new connection is asked", || {
        assert_eq!(client.call("SET k 2"), Reply::ok());
        new.questions() > 0
    });
    eventually("the old one is not", || {
        let before = old.questions();
        for _ in 0..20 {
            assert_eq!(client.call("SET k 3"), Reply::ok());
        }
        old.questions() == before
    });
}

#[test]
fn a_connection_that_is_silent_is_not_asked_until_it_speaks() {
    let Between { cluster, first, own, .. } = &Between::start();
    let mut client = cluster.nodes[1].connect();
    let shared = first.connect(&cluster.nodes[1]).listen(Manner::Silent);
    let is_asked = |client: &mut Connection| {
        let before = shared.questions();
        assert_eq!(client.call("SET k v"), Reply::ok());
        shared.questions() > before
    };
    eventually("it is asked", || is_asked(&mut client));
    assert!(own.questions() > 0, "and asked again where somebody answers");
    eventually("it is not asked any more", || !is_asked(&mut client));
    eventually("it is asked again", || {
        shared.ping();
        is_asked(&mut client)
    });
}
