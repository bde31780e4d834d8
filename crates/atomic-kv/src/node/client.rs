//! A client connection: RESP in, operations, RESP out in the order of the requests.
//!
//! Pipelined requests on different keys run at the same time, and so do reads of one key. Others that touch a key in
//! flight on this connection wait for it, and so do those behind them. So one connection sees its own writes, and no
//! read sees a write that was asked for after it.
//!
//! Requests are read while others are being carried out. A client that sends a batch and waits for all of its answers
//! gets them in one piece. When more requests come in before that, the connection is one that several callers share, each
//! of whom waits for its own answer: then an answer goes out as soon as it is its turn.

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
use std::task::Poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Operations that one connection may have in flight.
const PIPELINE_MAX: usize = 1024;
/// Bytes of keys and values that they may have, unless one alone has more. The rest waits in the client's socket.
const PIPELINE_BYTES: usize = 1 << 20;
/// Room for requests that arrive together.
const INPUT_BYTES: usize = 16 << 10;
/// Replies gathered before they are written although more requests are at hand.
const OUT_BYTES: usize = 256 << 10;

/// What is owed to the client, in order.
struct Owed {
    kind: Kind,
    protocol: Protocol,
    /// What was started. Nearly always one.
    parts: SmallVec<[Part; 1]>,
    /// How the first of them have ended.
    outcomes: Outcomes,
    /// Of their keys and values.
    bytes: usize,
}

/// One operation of a request.
struct Part {
    key_hash: u64,
    is_read: bool,
    started: Started,
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
    // A request that waits for one before it, and whether requests come in while others are carried out.
    let mut held = None;
    let (mut shared, mut ended, mut closing) = (false, false, false);
    loop {
        // One look at the clock for all that arrived together.
        let mut now = now_instant();
        session.heard(now.since(Instant(0)));
        while !closing || held.is_some() {
            let (kind, operations) = match held.take() {
                Some(request) => request,
                None => match parser.parse(&mut input) {
                    Ok(Some(request)) => {
                        let action = session.handle(request, &*shard.node);
                        closing |= matches!(action, Action::ReplyAndClose(_) | Action::Close);
                        match operations_of(action) {
                            Some(request) => request,
                            None => break,
                        }
                    }
                    Ok(None) => {
                        closing |= ended;
                        break;
                    }
                    Err(why) => {
                        closing = true;
                        (Kind::Ready(Reply::error(why.to_string())), Operations::new())
                    }
                },
            };
            let bytes = operations.iter().map(Operation::size).sum();
            if has_to_wait(&operations, bytes, &owed) {
                held = Some((kind, operations));
                break;
            }
            let parts = SmallVec::with_capacity(operations.len());
            let mut next =
                Owed { kind, protocol: session.protocol(), parts, outcomes: Outcomes::new(), bytes };
            for operation in operations {
                // A long list goes out in waves, so that one request cannot fill the node.
                if next.parts.len() % PIPELINE_MAX == PIPELINE_MAX - 1 {
                    tokio::task::yield_now().await;
                    now = now_instant();
                }
                let (key_hash, is_read) = (hash(operation.key()), operation.is_read());
                let started = shard.start(operation, now, &answers);
                next.parts.push(Part { key_hash, is_read, started });
            }
            owed.push_back(next);
        }
        if owed.is_empty() {
            shared = false;
            if closing {
                stream.write_all(&out).await?;
                return stream.shutdown().await;
            }
        }
        input.reserve(INPUT_BYTES);
        let until = match (shared, &held) {
            (true, _) => Until::SomethingToSend,
            (false, Some(_)) => Until::OneMore,
            (false, None) => Until::All,
        };
        let reads = !closing && !ended && (held.is_none() || input.len() < INPUT_BYTES);
        tokio::select! {
            biased;
            () = settle(shard, &answers, &mut owed, &mut out, until), if !owed.is_empty() => {
                if until == Until::OneMore && out.len() <= OUT_BYTES {
                    continue;
                }
                stream.write_all(&out).await?;
                // Whoever asks for large values once does not keep the room for them for ever.
                if out.capacity() > OUT_BYTES {
                    out = BytesMut::new();
                }
                out.clear();
            }
            read = stream.read_buf(&mut input), if reads => {
                // Whoever has sent everything may still wait for answers.
                ended = read? == 0;
                shared = !owed.is_empty() && !ended;
            }
        }
    }
}

/// Whether a request may not begin before one that is being carried out has ended.
fn has_to_wait(operations: &Operations, bytes: usize, owed: &VecDeque<Owed>) -> bool {
    let in_flight = |operation: &Operation| {
        let (key_hash, is_read) = (hash(operation.key()), operation.is_read());
        let conflicts = |part: &Part| part.key_hash == key_hash && !(part.is_read && is_read);
        owed.iter().any(|owed| owed.parts.iter().any(conflicts))
    };
    let too_large = || owed.iter().map(|owed| owed.bytes).sum::<usize>() + bytes > PIPELINE_BYTES;
    !owed.is_empty() && (owed.len() >= PIPELINE_MAX || too_large() || operations.iter().any(in_flight))
}

/// How long to wait for what is owed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Until a reply can be sent: several callers share the connection, and one of them waits for it.
    SomethingToSend,
    /// Until one more operation has ended: the next request may depend on it.
    OneMore,
    /// Until nothing is owed: the client waits for all of its replies.
    All,
}

/// What a request leads to; `None` for one without an answer.
fn operations_of(action: Action) -> Option<(Kind, Operations)> {
    Some(match action {
        Action::Reply(reply) | Action::ReplyAndClose(reply) => (Kind::Ready(reply), Operations::new()),
        Action::Close => return None,
        Action::Get(key) => (Kind::Get, smallvec![Operation::Get { key }]),
        Action::StrLen(key) => (Kind::StrLen, smallvec![Operation::Get { key }]),
        Action::Set { key, value } => (Kind::Set, smallvec![Operation::Set { key, value }]),
        Action::Delete(mut keys) => {
            keys.sort();
            keys.dedup();
            (Kind::Delete, keys.into_iter().map(|key| Operation::Delete { key }).collect())
        }
        Action::Exists(keys) => (Kind::Exists, keys.into_iter().map(|key| Operation::Get { key }).collect()),
        Action::MultiGet(keys) => {
            (Kind::MultiGet, keys.into_iter().map(|key| Operation::Get { key }).collect())
        }
    })
}

/// Tells the keys in flight on one connection apart. That two keys share a hash makes the second wait, nothing else.
fn hash(key: &[u8]) -> u64 {
    const SECRETS: RapidSecrets = RapidSecrets::seed(0);
    rapidhash_v3_seeded(key, &SECRETS)
}

/// Appends replies that are owed, in order. What has been waited for is kept when the wait is given up.
async fn settle(
    shard: &Shard,
    answers: &Rc<Answers>,
    owed: &mut VecDeque<Owed>,
    out: &mut BytesMut,
    until: Until,
) {
    std::future::poll_fn(|context| {
        let before = owed.len();
        while let Some(next) = owed.front_mut() {
            while next.outcomes.len() < next.parts.len() {
                let part = &mut next.parts[next.outcomes.len()];
                let Poll::Ready(outcome) = part.started.poll(shard, answers, context) else {
                    let enough = match until {
                        Until::SomethingToSend => !out.is_empty(),
                        Until::OneMore => owed.len() < before,
                        Until::All => false,
                    };
                    return if enough { Poll::Ready(()) } else { Poll::Pending };
                };
                next.outcomes.push(outcome);
            }
            let Some(Owed { kind, protocol, outcomes, .. }) = owed.pop_front() else { break };
            combine(kind, outcomes).encode(protocol, out);
            if out.len() > OUT_BYTES {
                break;
            }
        }
        Poll::Ready(())
    })
    .await;
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
