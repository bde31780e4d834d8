//! Members that do what no node does: the others bear it.

use crate::support::client::Response;
use crate::support::member::{Lanes, Listening, Manner, Member, Wire};
use crate::support::{Cluster, Node, eventually};
use abd::wire::{get_reply, is_reply, put_request};
use abd::{CallId, Content, Refusal, Request, Scope, StampedValue, Timestamp, Version};
use bytes::{Bytes, BytesMut};
use node::hello::LaneKind;
use node::limits::FRAME_BYTES_MAX;
use std::time::{Duration, Instant};

const KEY: Bytes = Bytes::from_static(b"large");
const VALUE_BYTES: usize = 64 << 10;
/// Their answers are 160 MiB, in which a node may keep 8 MiB, about, twice: what waits and what is being sent.
const QUESTIONS: u64 = 2_560;
const KEPT_BYTES_MAX: u64 = 64 << 20;

fn set_large(node: &Node) {
    let value = vec![b'v'; VALUE_BYTES];
    assert_eq!(node.connect().try_call(&[b"SET", &KEY, &value]).unwrap(), Response::ok());
}

/// Two nodes that hold a large value, and a third one that is played: both dial it.
fn last_is_played() -> (Cluster, Member, Lanes) {
    let mut cluster = Cluster::new(3, &[]);
    let member = Member::play(&cluster.nodes[2]);
    cluster.nodes[0].start();
    cluster.nodes[1].start();
    let [first, second] = member.accepted([1, 2]);
    second.listen(Manner::Answers);
    cluster.nodes[0].wait_ready();
    cluster.nodes[1].wait_ready();
    set_large(&cluster.nodes[0]);
    (cluster, member, first)
}

/// The same, and the first is played: it dials the others.
fn first_is_played() -> (Cluster, Member, Lanes) {
    let mut cluster = Cluster::new(3, &[]);
    let member = Member::play(&cluster.nodes[0]);
    cluster.nodes[1].start();
    cluster.nodes[2].start();
    let (second, third) = (member.connect(&cluster.nodes[1]), member.connect(&cluster.nodes[2]));
    third.listen(Manner::Answers);
    cluster.nodes[1].wait_ready();
    cluster.nodes[2].wait_ready();
    set_large(&cluster.nodes[1]);
    (cluster, member, second)
}

/// The next answer: the number of the question, and the reply. What the node itself asks is left alone.
fn answer(wire: &mut Wire) -> (u64, abd::Reply) {
    let reply = std::iter::repeat_with(|| wire.receive()).find(|body| is_reply(body)).unwrap();
    let (call, reply) = get_reply(reply).unwrap();
    (call.operation, reply)
}

fn is_value(reply: &abd::Reply) -> bool {
    matches!(reply, abd::Reply::Read(found) if found.content.as_ref().is_some_and(|content| content.len() == VALUE_BYTES))
}

/// Asks for the large value again and again over the small lane, and does not read a single answer on the bulk lane; the node
/// must not keep them all, and says so.
#[track_caller]
fn ask_without_reading(node: &Node, mut lanes: Lanes) {
    let before = node.memory("VmRSS");
    lanes.small.ask(0..QUESTIONS, &Request::LocalRead { key: KEY, have: Version::MIN });
    // It serves others meanwhile.
    let (mut client, start) = (node.connect(), Instant::now());
    for _ in 0..20 {
        assert_eq!(client.call("SET k v"), Response::ok());
        assert_eq!(client.call("GET k"), Response::bulk("v"));
        lanes.small.ping().unwrap();
        lanes.bulk.ping().unwrap();
        if start.elapsed() > Duration::from_secs(2) {
            break;
        }
    }
    let grown = node.memory("VmRSS").saturating_sub(before);
    assert!(grown < KEPT_BYTES_MAX, "{grown} bytes");
    // A write is answered all the same, and on the small lane: the values that nobody reads do not delay it.
    let version = Version::of_write(Timestamp { time: 1, node: 3, boot: 1 });
    let stamped = StampedValue::plain(version, Content::Value(KEY));
    let write = Request::LocalWrite { key: Bytes::from_static(b"k3"), stamped };
    lanes.small.ask(QUESTIONS..QUESTIONS + 1, &write);
    let mut refused = 0;
    loop {
        match answer(&mut lanes.small) {
            (QUESTIONS, abd::Reply::Written { .. }) => break,
            (_, abd::Reply::Refused(Refusal::Overloaded)) => refused += 1,
            (number, reply) => panic!("{number}: {reply:?}"),
        }
    }
    assert!(refused > 0 && refused < QUESTIONS, "{refused} of {QUESTIONS}");
    for _ in refused..QUESTIONS {
        assert!(is_value(&answer(&mut lanes.bulk).1), "what was not refused is there");
    }
    let again = QUESTIONS + 1;
    lanes.small.ask(again..again + 1, &Request::LocalRead { key: KEY, have: Version::MIN });
    let (number, reply) = answer(&mut lanes.bulk);
    assert!(number == again && is_value(&reply), "there is room again");
}

#[test]
fn one_that_was_dialled_and_does_not_read_gets_no_more_values() {
    let (cluster, _member, lanes) = last_is_played();
    ask_without_reading(&cluster.nodes[0], lanes);
}

#[test]
fn one_that_dials_and_does_not_read_gets_no_more_values() {
    let (cluster, _member, lanes) = first_is_played();
    ask_without_reading(&cluster.nodes[1], lanes);
}

/// A member that takes no large value, as its bulk lane is not read, still gets every small message.
#[test]
fn a_large_value_delays_no_small_message() {
    let (cluster, _member, lanes) = last_is_played();
    let Lanes { small, mut bulk } = lanes;
    let small = small.listen(Manner::Answers);
    let mut client = cluster.nodes[0].connect();
    let value = vec![b'v'; 16 << 20];
    // More than all buffers on the way take.
    for number in 0..3 {
        let key = format!("huge-{number}");
        assert_eq!(client.try_call(&[b"SET", key.as_bytes(), &value]).unwrap(), Response::ok());
        bulk.ping().unwrap();
    }
    assert_eq!(client.call("SET tiny 1"), Response::ok());
    eventually("the small value arrives", || {
        bulk.ping().unwrap();
        small.any(|request| matches!(request, Request::LocalWrite { key, .. } if key == "tiny"))
    });
    assert!(!small.any(|request| request.bytes() > VALUE_BYTES), "large values take the other lane");
}

#[test]
fn the_newest_lane_takes_the_place_of_the_older() {
    let (cluster, member, lanes) = first_is_played();
    let node = &cluster.nodes[1];
    let mut client = node.connect();
    let _bulk = lanes.bulk.listen(Manner::Answers);
    let asked = |listening: &Listening, client: &mut crate::support::Connection| {
        let before = listening.count();
        assert_eq!(client.call("SET k v"), Response::ok());
        listening.count() > before
    };
    let old = lanes.small.listen(Manner::Answers);
    eventually("the lane is asked", || asked(&old, &mut client));
    let new = member.open(node, LaneKind::Small).listen(Manner::Answers);
    eventually("the new lane is asked", || asked(&new, &mut client));
    let before = old.count();
    for _ in 0..20 {
        assert_eq!(client.call("SET k v"), Response::ok());
    }
    assert_eq!(old.count(), before, "the old one is closed");
}

/// Writes that a member took and never acknowledged are lost with the connection: they come again.
#[test]
fn what_was_not_acknowledged_when_a_lane_broke_comes_again() {
    const KEYS: usize = 200;
    let (cluster, member, lanes) = last_is_played();
    let lanes = lanes.listen(Manner::Forgets);
    let mut client = cluster.nodes[0].connect();
    for number in 0..KEYS {
        assert_eq!(client.call(&format!("SET lost-{number} v")), Response::ok());
    }
    // While one lane is down the other takes all.
    let got = |lanes: &[Listening; 2]| {
        (0..KEYS).all(|number| {
            let name = format!("lost-{number}");
            let is_it =
                |request: &Request| matches!(request, Request::LocalWrite { key, .. } if *key == name);
            lanes.iter().any(|lane| lane.any(is_it))
        })
    };
    eventually("all have arrived", || got(&lanes));
    // Its connections break: the new ones take their place.
    lanes.iter().for_each(Listening::end);
    let [lanes] = member.accepted([1]);
    let lanes = lanes.listen(Manner::Answers);
    eventually("all arrive again", || got(&lanes));
}

/// The member takes frames of 32 MiB; the nodes allow larger values, and they are a majority.
#[test]
fn what_a_member_cannot_take_is_not_sent_to_it() {
    let mut cluster = Cluster::new(3, &["--max-value-bytes", "67108864"]);
    let member = Member::play(&cluster.nodes[2]);
    cluster.nodes[0].start();
    cluster.nodes[1].start();
    let lanes = member.accepted([1, 2]).map(|lanes| lanes.listen(Manner::Answers));
    cluster.nodes[0].wait_ready();
    let mut client = cluster.nodes[0].connect();
    let value = vec![b'v'; 40 << 20];
    assert_eq!(client.try_call(&[b"SET", b"huge", &value]).unwrap(), Response::ok());
    assert_eq!(client.call("SET tiny 1"), Response::ok());
    let got = |name: &str| {
        let is_it = |request: &Request| matches!(request, Request::LocalWrite { key, .. } if key == name);
        lanes.iter().flatten().any(|lane| lane.any(is_it))
    };
    eventually("the small value arrives", || got("tiny"));
    assert!(!got("huge"));
    assert!(cluster.nodes[1].connect().try_call(&[b"GET", b"huge"]).unwrap() == Response::Bulk(Some(value)));
    assert!(!cluster.nodes[0].log().contains("lost"), "{}", cluster.nodes[0].log());
}

#[test]
fn a_message_that_is_too_long_is_refused_by_itself() {
    let (cluster, _member, mut lanes) = last_is_played();
    let node = &cluster.nodes[0];
    let mut head = BytesMut::new();
    let call = CallId { operation: 77, phase: 3 };
    put_request(&mut head, call, 1000, Scope::FIRST, &Request::LocalReadTimestamp { key: KEY });
    let before = node.memory("VmHWM");
    let length = u32::try_from(FRAME_BYTES_MAX + 1).unwrap();
    lanes.bulk.send_oversized(&head, length).unwrap();
    assert_eq!(answer(&mut lanes.small), (77, abd::Reply::Refused(Refusal::TooLarge)));
    let grown = node.memory("VmHWM") - before;
    assert!(grown < KEPT_BYTES_MAX, "{grown} bytes");
    // The lane goes on.
    lanes.bulk.ask(78..79, &Request::LocalReadTimestamp { key: KEY });
    assert!(matches!(answer(&mut lanes.small), (78, abd::Reply::Timestamp { present: true, .. })));
    assert!(!node.log().contains("lost"), "{}", node.log());
}
