//! A client connection: RESP in, operations, RESP out in the order of the requests.
//!
//! Pipelined requests on different keys run at the same time; those that touch a key in flight on this connection
//! wait for it. So one connection sees its own writes, and a deep pipeline is one big batch.

use super::answers::Answers;
use super::now_instant;
use super::shard::{Shard, Started};
use crate::resp::{Action, Limits, Protocol, Reply, RequestParser, Session};
use abd::{Content, Instant, Operation, Outcome};
use bytes::BytesMut;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};
use smallvec::{SmallVec, smallvec};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Operations that one connection may have in flight.
const PIPELINE_MAX: usize = 1024;
/// Replies gathered before they are written although more requests are at hand.
const OUT_BYTES: usize = 256 << 10;

/// What is owed to the client, in order.
struct Owed {
    kind: Kind,
    protocol: Protocol,
    /// With the hash of the key. Nearly always one.
    parts: SmallVec<[(u64, Started); 1]>,
}

/// What a request leads to; nearly always one operation.
type Operations = SmallVec<[Operation; 1]>;

enum Kind {
    Ready(Reply),
    Get,
    StrLen,
    Set,
    /// Repeated keys count once, as they are deleted once.
    Delete,
    Exists,
    MultiGet,
}

/// Serves a client until it leaves.
pub(crate) async fn serve(shard: Rc<Shard>, mut stream: TcpStream) {
    let counters = &shard.node.counters;
    let id = counters.connections.fetch_add(1, Ordering::Relaxed) + 1;
    counters.clients.fetch_add(1, Ordering::Relaxed);
    if let Err(why) = talk(&shard, &mut stream, id).await {
        tracing::debug!(id, %why, "a client connection broke");
    }
    counters.clients.fetch_sub(1, Ordering::Relaxed);
}

async fn talk(shard: &Rc<Shard>, stream: &mut TcpStream, id: u64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let settings = &shard.node.settings;
    let limits = Limits {
        max_key_bytes: settings.max_key_bytes,
        max_value_bytes: settings.max_value_bytes,
        ..Limits::default()
    };
    let (peer, local) = (stream.peer_addr()?.to_string(), stream.local_addr()?.to_string());
    let uptime = crate::resp::ServerInfo::uptime(&*shard.node);
    let mut session = Session::new(id, peer, local, uptime, limits);
    let mut parser = RequestParser::new(limits);
    let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
    let mut owed: VecDeque<Owed> = VecDeque::new();
    let answers = Rc::default();
    loop {
        let mut closing = false;
        // One look at the clock for all that arrived together.
        let mut now = now_instant();
        session.heard(now.since(Instant(0)));
        loop {
            let request = match parser.parse(&mut input) {
                Ok(Some(request)) => request,
                Ok(None) => break,
                Err(why) => {
                    owed.push_back(ready(Reply::error(why.to_string()), session.protocol()));
                    closing = true;
                    break;
                }
            };
            let action = session.handle(request, &*shard.node);
            let (kind, operations): (Kind, Operations) = match action {
                Action::Reply(reply) => (Kind::Ready(reply), Operations::new()),
                Action::ReplyAndClose(reply) => {
                    closing = true;
                    (Kind::Ready(reply), Operations::new())
                }
                Action::Close => {
                    closing = true;
                    break;
                }
                Action::Get(key) => (Kind::Get, smallvec![Operation::Get { key }]),
                Action::StrLen(key) => (Kind::StrLen, smallvec![Operation::Get { key }]),
                Action::Set { key, value } => (Kind::Set, smallvec![Operation::Set { key, value }]),
                Action::Delete(mut keys) => {
                    keys.sort();
                    keys.dedup();
                    (Kind::Delete, keys.into_iter().map(|key| Operation::Delete { key }).collect())
                }
                Action::Exists(keys) => {
                    (Kind::Exists, keys.into_iter().map(|key| Operation::Get { key }).collect())
                }
                Action::MultiGet(keys) => {
                    (Kind::MultiGet, keys.into_iter().map(|key| Operation::Get { key }).collect())
                }
            };
            let in_flight = |operation: &Operation| {
                let hash = hash(operation.key());
                owed.iter().any(|owed| owed.parts.iter().any(|(other, _)| *other == hash))
            };
            if owed.len() >= PIPELINE_MAX || (!owed.is_empty() && operations.iter().any(in_flight)) {
                settle_all(shard, &answers, &mut owed, &mut out).await;
                now = now_instant();
            }
            let mut next =
                Owed { kind, protocol: session.protocol(), parts: SmallVec::with_capacity(operations.len()) };
            for operation in operations {
                // A long list goes out in waves, so that one request cannot fill the node.
                if next.parts.len() % PIPELINE_MAX == PIPELINE_MAX - 1 {
                    tokio::task::yield_now().await;
                    now = now_instant();
                }
                next.parts.push((hash(operation.key()), shard.start(operation, now, &answers)));
            }
            owed.push_back(next);
            if closing {
                break;
            }
        }
        while let Some(next) = owed.pop_front() {
            settle(shard, &answers, next, &mut out).await;
            if out.len() > OUT_BYTES {
                stream.write_all(&out).await?;
                out.clear();
            }
        }
        if !out.is_empty() {
            stream.write_all(&out).await?;
            // Whoever asks for large values once does not keep the room for them for ever.
            if out.capacity() > OUT_BYTES {
                out = BytesMut::new();
            }
            out.clear();
        }
        if closing {
            return stream.shutdown().await;
        }
        input.reserve(16 << 10);
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}

fn ready(reply: Reply, protocol: Protocol) -> Owed {
    Owed { kind: Kind::Ready(reply), protocol, parts: SmallVec::new() }
}

/// Tells the keys in flight on one connection apart. That two keys share a hash makes the second wait, nothing else.
fn hash(key: &[u8]) -> u64 {
    const SECRETS: RapidSecrets = RapidSecrets::seed(0);
    rapidhash_v3_seeded(key, &SECRETS)
}

async fn settle_all(shard: &Shard, answers: &Rc<Answers>, owed: &mut VecDeque<Owed>, out: &mut BytesMut) {
    while let Some(next) = owed.pop_front() {
        settle(shard, answers, next, out).await;
    }
}

/// Waits for all parts and appends the reply.
async fn settle(shard: &Shard, answers: &Rc<Answers>, owed: Owed, out: &mut BytesMut) {
    let protocol = owed.protocol;
    let mut outcomes = Outcomes::with_capacity(owed.parts.len());
    for (_, started) in owed.parts {
        outcomes.push(started.wait(shard, answers).await);
    }
    combine(owed.kind, outcomes).encode(protocol, out);
}

type Outcomes = SmallVec<[Outcome; 1]>;

fn combine(kind: Kind, outcomes: Outcomes) -> Reply {
    // The worst news first: if any part may have had an effect, the whole may.
    for outcome in &outcomes {
        if let Outcome::Indeterminate(reason) = outcome {
            return Reply::error(format!("INDETERMINATE the write may or may not take effect: {reason}"));
        }
    }
    let several = outcomes.len() > 1;
    let some_took_effect = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Written { .. }));
    for outcome in &outcomes {
        if let Outcome::Refused(reason) = outcome {
            return Reply::error(if several && some_took_effect {
                format!("INDETERMINATE some of the keys were written, others certainly not: {reason}")
            } else {
                format!("NOQUORUM no effect: {reason}")
            });
        }
    }
    let count = |counted: fn(&Outcome) -> bool| {
        Reply::Integer(
            i64::try_from(outcomes.iter().filter(|outcome| counted(outcome)).count()).unwrap_or(i64::MAX),
        )
    };
    match kind {
        Kind::Ready(reply) => reply,
        Kind::Get => outcomes.into_iter().next().map_or(Reply::Null, value),
        Kind::StrLen => {
            let length = outcomes.first().map_or(0, |outcome| match outcome {
                Outcome::Read(stamped) => stamped.content.len(),
                _ => 0,
            });
            Reply::Integer(i64::try_from(length).unwrap_or(i64::MAX))
        }
        Kind::Set => Reply::OK,
        Kind::Delete => count(|outcome| matches!(outcome, Outcome::Written { existed: true, .. })),
        Kind::Exists => {
            count(|outcome| matches!(outcome, Outcome::Read(stamped) if stamped.content.is_value()))
        }
        Kind::MultiGet => Reply::Array(outcomes.into_iter().map(value).collect()),
    }
}

fn value(outcome: Outcome) -> Reply {
    match outcome {
        Outcome::Read(stamped) => match stamped.content {
            Content::Value(value) => Reply::Bulk(value),
            Content::Tombstone => Reply::Null,
        },
        _ => Reply::Null,
    }
}
