//! A connection of a client: requests in, operations, replies out in the order of the requests. RESP and the Coordinator
//! service differ in their [`Front`] alone.
//!
//! Pipelined requests on different keys run at the same time, and so do reads of one key. Others that touch a key in
//! flight on this connection wait for it, and so do those behind them. So one connection sees its own writes, and no
//! read sees a write that was asked for after it.
//!
//! Requests are read while others are being carried out, and while replies wait to be read: a client may write everything
//! before it reads anything. Replies wait up to a limit; beyond it no more is done for the connection until it reads, and if
//! it reads nothing for a while it is closed.
//!
//! A client that sends a batch and waits for all of its answers gets them in one piece, if the batch came in one. When more
//! requests come in before that, the connection is taken for one that several callers share, each of whom waits for its own
//! answer: then an answer goes out as soon as it is its turn.

mod account;
mod calls;
mod output;
mod resp;

pub(crate) use account::{Client, Clients, Seat, admit, keep_patience};
pub(crate) use calls::serve_calls;
pub(crate) use resp::serve;

use super::now_instant;
use super::pipeline::{OUT_BYTES, Pipeline, PipelineRequest, Until};
use super::shard::Shard;
use super::stats::LoopStats;
use ::node::resp::Protocol;
use abd::wire::WireError;
use bytes::BytesMut;
use output::Output;
use std::io;
use std::pin::pin;
use std::task::Poll;
use tokio::net::TcpStream;

/// While a request waits for one before it, no more is read once there is this much.
const INPUT_BYTES: usize = 16 << 10;
/// After so many requests it is the turn of other connections.
const TURN_REQUESTS: usize = 128;

/// What comes next on a connection.
enum Next {
    Request(PipelineRequest),
    /// The last one: the connection is closed after its reply.
    Last(PipelineRequest),
    /// The caller of an earlier request no longer wants its answer.
    Cancel(u64),
    /// The connection is to be closed, when all replies are sent.
    Close,
    /// More bytes are needed.
    Incomplete,
}

/// From bytes to requests.
trait Front {
    /// Takes the next request out of what has come.
    fn next(&mut self, input: &mut BytesMut, shard: &Shard) -> Result<Next, Ended>;

    /// How the replies are encoded.
    fn protocol(&self) -> Protocol {
        Protocol::Resp2
    }

    /// Bytes that a half-sent request holds beside what is in `input`.
    fn held_bytes(&self) -> usize {
        0
    }

    /// How many bytes of a half-sent request have come.
    fn arrived_bytes(&self, input: &BytesMut) -> usize {
        input.len()
    }

    /// Bytes that must come before the next request can be complete, if that is known.
    fn missing_bytes(&self, input: &BytesMut) -> usize;

    /// Something was heard at this time.
    fn heard(&mut self, _now: abd::Instant) {}
}

/// Why a connection ended before its client left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("another client has closed it")]
    Killed,
    /// This node has closed it.
    #[error("{0}")]
    Closed(String),
}

/// Serves one connection until it ends, or somebody else ends it; whatever is in flight then ends, too.
async fn converse(
    shard: &Shard,
    stream: &mut TcpStream,
    front: &mut impl Front,
    client: &Client,
    input: BytesMut,
    end: impl Future<Output = ()>,
) -> Result<(), Ended> {
    let mut pipeline = Pipeline::default();
    let ended = tokio::select! {
        biased;
        ended = talk(shard, stream, front, client, &mut pipeline, input) => ended,
        () = end => Err(Ended::Killed),
    };
    pipeline.abandon(shard);
    ended
}

async fn talk(
    shard: &Shard,
    stream: &mut TcpStream,
    front: &mut impl Front,
    client: &Client,
    pipeline: &mut Pipeline,
    mut input: BytesMut,
) -> Result<(), Ended> {
    let output_limit = shard.node.settings.client_output_limit;
    let (mut reader, mut writer) = stream.split();
    // Replies that are gathered, and those that wait for the client to read.
    let (mut out, mut output) = (BytesMut::new(), Output::default());
    // A request that waits for one before it.
    let mut held: Option<PipelineRequest> = None;
    // Whether requests come in while others are carried out; whether no more will; whether no more are wanted.
    let (mut shared, mut ended, mut closing) = (false, false, false);
    // One look at the clock for all that arrived together.
    let mut now = now_instant();
    loop {
        let is_full = output.len() >= output_limit;
        let mut begun = 0;
        while !is_full && (!closing || held.is_some()) && begun < TURN_REQUESTS {
            let request = match held.take() {
                Some(request) => request,
                None => match front.next(&mut input, shard)? {
                    Next::Request(request) => request,
                    Next::Last(request) => {
                        closing = true;
                        request
                    }
                    Next::Cancel(number) => {
                        pipeline.cancel(shard, number);
                        continue;
                    }
                    Next::Close => {
                        closing = true;
                        break;
                    }
                    Next::Incomplete => {
                        closing |= ended;
                        break;
                    }
                },
            };
            if pipeline.has_to_wait(shard, &request) {
                held = Some(request);
                break;
            }
            pipeline.push(shard, request, front.protocol(), now);
            begun += 1;
        }
        if pipeline.is_empty() {
            shared = false;
            if closing && output.is_empty() {
                use tokio::io::AsyncWriteExt;
                return Ok(writer.shutdown().await?);
            }
        }
        let until = match (shared, &held) {
            (true, _) => Until::SomethingToSend,
            (false, Some(_)) => Until::OneMore,
            (false, None) => Until::All,
        };
        let reads = !is_full && !closing && !ended && (held.is_none() || input.len() < INPUT_BYTES);
        shard.buffers.take_back(&mut input);
        let half_sent = input.capacity() + front.held_bytes();
        let requests = half_sent + held.as_ref().map_or(0, PipelineRequest::bytes) + pipeline.memory();
        client.hold(shard, requests + output.memory() + out.capacity());
        let waits_for_more = reads && held.is_none() && half_sent > 0;
        client.wait_for_request(waits_for_more, begun > 0, front.arrived_bytes(&input), now);
        client.wait_for_reader((is_full || closing) && !output.is_empty());
        if begun == TURN_REQUESTS {
            tokio::task::yield_now().await;
            continue;
        }
        let missing = front.missing_bytes(&input);
        tokio::select! {
            biased;
            why = client.told_to_leave() => return Err(Ended::Closed(why)),
            () = in_bounds(shard, pipeline.settle(shard, &mut out, until)), if !pipeline.is_empty() => {
                if held.is_some() {
                    // It may have waited for long.
                    now = now_instant();
                }
                let is_part = until == Until::OneMore || until == Until::All && !pipeline.is_empty();
                if is_part && out.len() <= OUT_BYTES {
                    continue;
                }
                let count = output.send(&writer, &mut out)?;
                LoopStats::add(&shard.stats().output_bytes, count);
                shard.buffers.take_back(&mut out);
            }
            written = output.write(&mut writer), if !output.is_empty() => {
                LoopStats::add(&shard.stats().output_bytes, written?);
                client.has_read();
            }
            read = in_bounds(shard, shard.buffers.read(&mut reader, &mut input, missing)), if reads => {
                // Whoever has sent everything may still wait for answers.
                let count = read?;
                LoopStats::add(&shard.stats().input_bytes, count);
                ended = count == 0;
                shared |= !ended && !pipeline.is_empty();
                now = now_instant();
                front.heard(now);
            }
        }
    }
}

/// Does what takes memory, but while clients hold too much lets those go first that have to leave: each of a thousand others
/// that are ready would else take some more before it is their turn.
async fn in_bounds<T>(shard: &Shard, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        if shard.node.clients.hold_too_much() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        work.as_mut().poll(context)
    })
    .await
}
