//! Instructions of one operation in the protocol core, and of its messages as bytes.
#![allow(missing_docs, unused_qualifications, reason = "the harness's macros write such code")]

use abd::coordinator::{Config, Coordinator, TimestampMode};
use abd::loopback::MapStore;
use abd::{
    Acceptor, AcceptorLimits, CallId, Content, Deadline, Instant, Members, Moment, NodeId, Now, Operation,
    Outcome, PAUSE, QuorumSystem, Reaction, Replica, Request, Scope, StampedValue, Standing, Timestamp,
    TimestampIssuer, Version, wire,
};
use bytes::{Bytes, BytesMut};
use gungraun::{library_benchmark, library_benchmark_group, main};
use std::hint::black_box;
use std::num::NonZeroU64;
use std::time::Duration;

/// Three replicas in memory and the coordinator of the first. Unlike `abd::loopback` it copies nothing for an
/// operation, so that only the protocol is counted.
struct Cluster {
    coordinator: Coordinator,
    issuer: TimestampIssuer,
    replicas: Vec<(MapStore, Acceptor)>,
}

const NOW: Now = Now { instant: Instant(0), interval: None, moment: Moment::UNKNOWN };

impl Cluster {
    fn run(&mut self, operation: Operation) -> Outcome {
        let replica = Replica { scope: Scope::FIRST, configuration: bytes::Bytes::new(), max_future: None };
        let standing = Standing { admitted: true, writable: true };
        self.coordinator.submit(operation, Instant(1), NOW, &self.issuer);
        while let Some(transmit) = self.coordinator.poll_transmit() {
            let (store, acceptor) = &mut self.replicas[transmit.to.0 as usize - 1];
            let reply = match replica.handle(store, acceptor, transmit.request, standing, 0) {
                Reaction::Reply(reply) => reply,
                Reaction::Commit { unit, reply } => {
                    store.commit(unit);
                    reply.committed()
                }
            };
            self.coordinator.handle_reply(transmit.to, transmit.call, reply, NOW, &self.issuer);
        }
        self.coordinator.poll_outcome().expect("every message was delivered").1
    }
}

fn value() -> Bytes {
    Bytes::from(vec![7; 100])
}

fn replica() -> (MapStore, Acceptor) {
    let store = MapStore::default();
    let acceptor = store.acceptor(1, AcceptorLimits::default());
    (store, acceptor)
}

/// A cluster that has served before: what is allocated once is allocated.
fn warm() -> Cluster {
    let config = Config {
        local: NodeId(1),
        quorums: QuorumSystem::of(Members::new((1..=3).map(NodeId).collect()), Scope::FIRST),
        mode: TimestampMode::Logical,
        hedge_after: Duration::from_millis(10),
        rotate_after: NonZeroU64::new(256).unwrap(),
        probe_after: Some(Duration::from_millis(50)),
        resend_after: Duration::from_millis(100),
        pause: PAUSE,
    };
    let mut cluster = Cluster {
        coordinator: Coordinator::new(config),
        issuer: TimestampIssuer::new(NodeId(1), 1),
        replicas: (0..3).map(|_| replica()).collect(),
    };
    for key in 0..100u8 {
        cluster.run(Operation::Set {
            key: Bytes::from(vec![key; 14]),
            value: value(),
            deadline: Deadline::NONE,
        });
    }
    cluster
}

const KEY: Bytes = Bytes::from_static(&[42; 14]);

#[library_benchmark]
#[bench::three_nodes(warm())]
fn set(mut cluster: Cluster) -> (Cluster, Outcome) {
    let outcome =
        cluster.run(black_box(Operation::Set { key: KEY, value: value(), deadline: Deadline::NONE }));
    (cluster, outcome)
}

#[library_benchmark]
#[bench::three_nodes(warm())]
fn get(mut cluster: Cluster) -> (Cluster, Outcome) {
    let outcome = cluster.run(black_box(Operation::Get { key: KEY }));
    (cluster, outcome)
}

fn write() -> (BytesMut, Request) {
    let version = Version::of_write(Timestamp { time: 12, node: 1, boot: 1 });
    let stamped = StampedValue::plain(version, Content::Value(value()));
    (BytesMut::with_capacity(4096), Request::LocalWrite { key: KEY, stamped })
}

fn encode_into(out: &mut BytesMut, request: &Request) {
    let call = CallId { operation: 9, phase: 1 };
    wire::put_frame(out, |body| wire::put_request(body, call, 5000, Scope::FIRST, request));
}

#[library_benchmark]
#[bench::write(write())]
fn encode((mut out, request): (BytesMut, Request)) -> (BytesMut, Request) {
    encode_into(&mut out, black_box(&request));
    (out, request)
}

fn encoded() -> BytesMut {
    let (mut out, request) = write();
    encode_into(&mut out, &request);
    out
}

#[library_benchmark]
#[bench::write(encoded())]
fn decode(mut input: BytesMut) -> Request {
    let body = wire::take_frame(black_box(&mut input), 1 << 20).expect("a frame").expect("whole");
    wire::get_request(body).expect("a request").request
}

library_benchmark_group!(name = operations, benchmarks = [set, get]);
library_benchmark_group!(name = frames, benchmarks = [encode, decode]);
main!(library_benchmark_groups = [operations, frames]);
