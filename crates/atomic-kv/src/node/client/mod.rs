//! The sockets of clients: bytes in, bytes out. What is said over them is [`::node::client`]'s business.

mod account;
mod operations;

pub(crate) use account::{Client, Clients, Notice, Seat, admit, keep_patience};

use super::info::uptime;
use super::now_instant;
use super::shard::Shard;
use super::stats::LoopStats;
use crate::logging::limit::limited;
use ::node::client::conversation::{Advance, Conversation};
use ::node::client::front::{Calls, Front, Resp};
use ::node::resp::{Limits, Session};
use abd::wire::WireError;
use bytes::BytesMut;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

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

/// Serves a client over RESP until it leaves.
pub(crate) async fn serve(shard: Rc<Shard>, mut stream: TcpStream, seat: Seat) {
    let id = shard.all_clients.next_id();
    let client = Client::enter(&shard, seat);
    let ended = serve_resp(&shard, &mut stream, &client, id).await;
    client.leave(&shard);
    match ended {
        Ok(()) => {}
        Err(Ended::Closed(why)) => {
            let from = stream.peer_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string());
            limited!(warn, "closed a client connection", id, from, why);
        }
        Err(why) => tracing::debug!(id, %why, "a client connection broke"),
    }
}

async fn serve_resp(shard: &Shard, stream: &mut TcpStream, client: &Client, id: u64) -> Result<(), Ended> {
    stream.set_nodelay(true)?;
    let limits = limits(shard);
    let (peer, local) = (stream.peer_addr()?.to_string(), stream.local_addr()?.to_string());
    let session = Session::new(id, peer, local, uptime(), limits);
    let _known = shard.all_clients.connections.add(session.listed().clone(), client.notice.clone());
    converse(shard, stream, Resp::new(session, limits), client, BytesMut::new()).await
}

/// Serves the Coordinator service on a greeted connection until it ends.
pub(crate) async fn serve_calls(shard: &Shard, mut stream: TcpStream, input: BytesMut) -> Result<(), Ended> {
    let Some(seat) = Seat::take(&shard.all_clients) else {
        return Err(Ended::Closed("there are as many clients as --max-clients allows".to_owned()));
    };
    let client = Client::enter(shard, seat);
    let ended = converse(shard, &mut stream, Calls::new(limits(shard)), &client, input).await;
    client.leave(shard);
    ended
}

fn limits(shard: &Shard) -> Limits {
    Limits { max_value_bytes: shard.settings.max_value_bytes, ..Limits::default() }
}

/// Serves one connection until it ends; whatever is in flight then ends, too.
async fn converse(
    shard: &Shard,
    stream: &mut TcpStream,
    front: impl Front,
    client: &Client,
    input: BytesMut,
) -> Result<(), Ended> {
    let limit = shard.settings.client_output_limit;
    let mut conversation = Conversation::new(front, input, limit, client.patience.clone(), now_instant());
    let ended = talk(shard, stream, &mut conversation, client).await;
    conversation.abandon(shard);
    ended
}

async fn talk(
    shard: &Shard,
    stream: &mut TcpStream,
    conversation: &mut Conversation<impl Front>,
    client: &Client,
) -> Result<(), Ended> {
    let (mut reader, mut writer) = stream.split();
    loop {
        let next = conversation.advance(shard)?;
        client.hold(shard, conversation.memory());
        match next {
            Advance::Done => return Ok(writer.shutdown().await?),
            Advance::OthersTurn => tokio::task::yield_now().await,
            Advance::Waits => {
                poll_fn(|context| {
                    if let Poll::Ready(why) = client.poll_told(context) {
                        return Poll::Ready(Err(why));
                    }
                    poll_input(shard, conversation, &mut reader, &mut writer, context).map_err(Ended::from)
                })
                .await?;
            }
        }
    }
}

/// Gives a conversation something to advance for.
fn poll_input(
    shard: &Shard,
    conversation: &mut Conversation<impl Front>,
    reader: &mut ReadHalf<'_>,
    writer: &mut WriteHalf<'_>,
    context: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    // What takes memory waits while clients hold too much, until those are gone that have to leave: each of a thousand others that
    // are ready would else take some more before it is their turn.
    let may_grow = !shard.all_clients.hold_too_much();
    if !may_grow && (conversation.is_owed() || conversation.reads()) {
        context.waker().wake_by_ref();
    }
    if may_grow && conversation.is_owed() && conversation.poll_settle(shard, context).is_ready() {
        // As much as the socket takes at once.
        while !conversation.output().is_empty() {
            match writer.try_write(conversation.output()) {
                Ok(count) => written(shard, conversation, count)?,
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => break,
                Err(why) => return Poll::Ready(Err(why)),
            }
        }
        return Poll::Ready(Ok(()));
    }
    if !conversation.output().is_empty()
        && let Poll::Ready(count) = Pin::new(writer).poll_write(context, conversation.output())
    {
        return Poll::Ready(written(shard, conversation, count?));
    }
    if may_grow && conversation.reads() {
        let (input, missing) = conversation.input();
        let count = ready!(shard.buffers.poll_read(reader, input, missing, context))?;
        LoopStats::add(&shard.stats().input_bytes, count);
        conversation.handle_read(count, now_instant());
        return Poll::Ready(Ok(()));
    }
    Poll::Pending
}

fn written(shard: &Shard, conversation: &mut Conversation<impl Front>, count: usize) -> io::Result<()> {
    if count == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    LoopStats::add(&shard.stats().output_bytes, count);
    conversation.handle_written(count);
    Ok(())
}
