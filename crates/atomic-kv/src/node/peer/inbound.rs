//! The accepting side: greets, checks who it is, and serves one of the two services.

use super::exchange::{Exchange, Side};
use super::greet::{self, Greeted, GreetingError, Visitor};
use super::{ConnectionError, Link, Outbox, PING_EVERY, SILENCE_LIMIT, frame_limit, read_frame, service};
use crate::logging::limit::limited;
use crate::node::now_instant;
use crate::node::shard::Shard;
use abd::NodeId;
use bytes::BytesMut;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

/// A Replica connection on which nothing has come for this long is closed: the side that connected asks every now and
/// then. Longer than its own patience, for it knows better what to do.
const ABANDONED: Duration = SILENCE_LIMIT.saturating_add(PING_EVERY.saturating_mul(2));

/// After this long it does not take this node's requests, until something comes.
const DOUBTFUL: Duration = PING_EVERY.saturating_mul(2);

/// Serves one accepted peer connection until it ends. Whatever arrives, only this connection suffers.
pub(crate) async fn serve_connection(shard: Rc<Shard>, stream: TcpStream) {
    let from = stream.peer_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string());
    let ended = match greet::accepted(&shard.node, stream).await {
        Ok(Visitor::Member(peer, Greeted { stream, input })) => {
            serve_replica(&shard, peer, stream, input).await
        }
        Ok(Visitor::Caller(Greeted { stream, input })) => {
            service::serve_coordinator(&shard, stream, input).await
        }
        Err(GreetingError::Refused { peer, why }) => {
            limited!(warn, "refused a peer", from, peer, why);
            return;
        }
        Err(GreetingError::Silent) => return,
        Err(GreetingError::Connection(why)) => Err(why),
    };
    if let Err(why) = ended {
        limited!(info, "closed a peer connection", from, %why);
    }
}

async fn serve_replica(
    shard: &Rc<Shard>,
    peer: NodeId,
    stream: TcpStream,
    input: BytesMut,
) -> Result<(), ConnectionError> {
    let (reader, writer) = stream.into_split();
    let outbox = Rc::new(Outbox::default());
    // Of the two connections that two nodes have, one is enough for both most of the time: that of the lower id.
    let link = (peer < shard.node.id).then(|| shard.link(peer)).flatten();
    let shared = link.map(|link| (link, outbox.clone()));
    if let Some((link, outbox)) = &shared {
        link.share(shard, outbox);
    }
    let exchange = Exchange::new(shard, peer, Side::Accepted, outbox.clone());
    let ended = tokio::select! {
        biased;
        ended = read(shard, &exchange, shared.as_ref(), reader, input) => ended,
        ended = outbox.drain_into(writer, || {}) => ended,
    };
    drop(exchange);
    if let Some((link, outbox)) = &shared {
        link.share_no_more(shard, outbox);
    }
    ended
}

async fn read(
    shard: &Shard,
    exchange: &Exchange<'_>,
    shared: Option<&(Rc<Link>, Rc<Outbox>)>,
    mut reader: OwnedReadHalf,
    mut input: BytesMut,
) -> Result<(), ConnectionError> {
    let limit = frame_limit(shard.node.settings.max_key_bytes, shard.node.settings.max_value_bytes);
    let mut last_heard = now_instant();
    let mut quiet = pin!(tokio::time::sleep(PING_EVERY));
    loop {
        let frame = tokio::select! {
            biased;
            frame = read_frame(&mut reader, &mut input, limit) => frame?,
            () = &mut quiet => {
                quiet.as_mut().reset(tokio::time::Instant::now() + PING_EVERY);
                let silent = now_instant().since(last_heard);
                if silent > ABANDONED {
                    return Err(ConnectionError::Silence(ABANDONED));
                }
                match shared {
                    Some((link, outbox)) if silent > DOUBTFUL => link.share_no_more(shard, outbox),
                    Some((link, outbox)) => link.offer(outbox),
                    None => {}
                }
                continue;
            }
        };
        let Some(body) = frame else { return Ok(()) };
        let now = shard.now();
        last_heard = now.instant;
        exchange.take_all(body, &mut input, limit, now)?;
        if exchange.is_full() && tokio::time::timeout(ABANDONED, exchange.has_room()).await.is_err() {
            return Err(ConnectionError::Silence(ABANDONED));
        }
    }
}
