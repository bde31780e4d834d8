//! A client connection: RESP in, operations, RESP out in the order of the requests.
//!
//! Pipelined requests on different keys run at the same time, and so do reads of one key. Others that touch a key in
//! flight on this connection wait for it, and so do those behind them. So one connection sees its own writes, and no
//! read sees a write that was asked for after it.
//!
//! Requests are read while others are being carried out. A client that sends a batch and waits for all of its answers
//! gets them in one piece, if the batch came in one. When more requests come in before that, the connection is taken
//! for one that several callers share, each of whom waits for its own answer: then an answer goes out as soon as it is
//! its turn.

use super::now_instant;
use super::pipeline::{Kind, OUT_BYTES, Operations, Pipeline, Request, Until};
use super::shard::Shard;
use super::stats::LoopStats;
use crate::resp::{Action, Limits, Protocol, Reply, RequestParser, Session};
use abd::{Instant, Operation};
use bytes::BytesMut;
use smallvec::smallvec;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// While a request waits for one before it, no more is read once there is this much.
const INPUT_BYTES: usize = 16 << 10;

/// Serves a client until it leaves.
pub(crate) async fn serve(shard: Rc<Shard>, mut stream: TcpStream) {
    let counters = &shard.node.counters;
    let id = counters.connections.fetch_add(1, Ordering::Relaxed) + 1;
    counters.clients.fetch_add(1, Ordering::Relaxed);
    let end = Arc::new(Notify::new());
    tokio::select! {
        biased;
        ended = talk(&shard, &mut stream, id, &end) => if let Err(why) = ended {
            tracing::debug!(id, %why, "a client connection broke");
        },
        () = end.notified() => tracing::debug!(id, "a client connection was closed by another client"),
    }
    counters.clients.fetch_sub(1, Ordering::Relaxed);
}

async fn talk(shard: &Rc<Shard>, stream: &mut TcpStream, id: u64, end: &Arc<Notify>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let settings = &shard.node.settings;
    let limits = Limits {
        max_key_bytes: settings.max_key_bytes,
        max_value_bytes: settings.max_value_bytes,
        ..Limits::default()
    };
    let (peer, local) = (stream.peer_addr()?.to_string(), stream.local_addr()?.to_string());
    let uptime = shard.node.uptime();
    let mut session = Session::new(id, peer, local, uptime, limits);
    let _known = shard.node.connections.add(session.listed().clone(), end.clone());
    let mut parser = RequestParser::new(limits);
    let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
    let mut pipeline = Pipeline::default();
    // A request that waits for one before it.
    let mut held: Option<Request> = None;
    // Whether requests come in while others are carried out; whether no more will; whether no more are wanted.
    let (mut shared, mut ended, mut closing) = (false, false, false);
    // One look at the clock for all that arrived together.
    let mut now = now_instant();
    loop {
        while !closing || held.is_some() {
            let request = match held.take() {
                Some(request) => request,
                None => match parser.parse(&mut input) {
                    Ok(Some(request)) => {
                        let action = session.handle(request, &**shard);
                        closing |= matches!(action, Action::ReplyAndClose(_) | Action::Close);
                        match request_of(action, session.protocol()) {
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
                        let reply = Reply::error(why.to_string());
                        shard.stats().requests.reply(&reply);
                        Request::ready(&reply, session.protocol())
                    }
                },
            };
            if pipeline.has_to_wait(shard, &request) {
                held = Some(request);
                break;
            }
            pipeline.push(shard, request, session.protocol(), now);
        }
        if pipeline.is_empty() {
            shared = false;
            if closing {
                return stream.shutdown().await;
            }
        }
        let until = match (shared, &held) {
            (true, _) => Until::SomethingToSend,
            (false, Some(_)) => Until::OneMore,
            (false, None) => Until::All,
        };
        let reads = !closing && !ended && (held.is_none() || input.len() < INPUT_BYTES);
        shard.buffers.take_back(&mut input);
        tokio::select! {
            biased;
            () = pipeline.settle(shard, &mut out, until), if !pipeline.is_empty() => {
                if held.is_some() {
                    // It may have waited for long.
                    now = now_instant();
                }
                if until == Until::OneMore && out.len() <= OUT_BYTES {
                    continue;
                }
                stream.write_all(&out).await?;
                LoopStats::add(&shard.stats().output_bytes, out.len());
                out.clear();
                shard.buffers.take_back(&mut out);
            }
            read = shard.buffers.read(stream, &mut input), if reads => {
                // Whoever has sent everything may still wait for answers.
                let count = read?;
                LoopStats::add(&shard.stats().input_bytes, count);
                ended = count == 0;
                shared |= !ended && !pipeline.is_empty();
                now = now_instant();
                session.heard(now.since(Instant(0)));
            }
        }
    }
}

/// What a request leads to; `None` for one without an answer.
fn request_of(action: Action, protocol: Protocol) -> Option<Request> {
    let (kind, operations): (Kind, Operations) = match action {
        Action::Reply(reply) | Action::ReplyAndClose(reply) => return Some(Request::ready(&reply, protocol)),
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
    };
    Some(Request { kind, operations })
}
