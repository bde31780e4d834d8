//! The accepting side: greets, checks who it is, and serves one of the two services.

use super::exchange::{Exchange, Side};
use super::{
    ConnectionError, GREETING_LIMIT, Link, Outbox, PING_EVERY, SILENCE_LIMIT, frame_limit, peer_versions,
    read_frame, service,
};
use crate::logging::limit::limited;
use crate::node::now_instant;
use crate::node::shard::Shard;
use ::node::hello::{HANDSHAKE_BYTES_MAX, Hello, HelloError, Service, Welcome};
use abd::NodeId;
use abd::wire::put_frame;
use bytes::BytesMut;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

/// A Replica connection on which nothing has come for this long is closed: the side that connected asks every now and
/// then. Longer than its own patience, for it knows better what to do.
const ABANDONED: Duration = SILENCE_LIMIT.saturating_add(PING_EVERY.saturating_mul(2));

/// After this long it does not take this node's requests, until something comes.
const DOUBTFUL: Duration = PING_EVERY.saturating_mul(2);

/// What a connection was accepted for.
enum Accepted {
    Replica(NodeId),
    Coordinator,
}

/// Serves one accepted peer connection until it ends. Whatever arrives, only this connection suffers.
pub(crate) async fn serve_connection(shard: Rc<Shard>, mut stream: TcpStream) {
    let from = stream.peer_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string());
    let mut input = BytesMut::new();
    let greeted = tokio::time::timeout(GREETING_LIMIT, greet(&shard, &from, &mut stream, &mut input)).await;
    let ended = match greeted {
        Err(_) => Err(ConnectionError::Silence(GREETING_LIMIT)),
        Ok(Err(why)) => Err(why),
        Ok(Ok(None)) => Ok(()),
        Ok(Ok(Some(Accepted::Replica(peer)))) => serve_replica(&shard, peer, stream, input).await,
        Ok(Ok(Some(Accepted::Coordinator))) => service::serve_coordinator(&shard, stream, input).await,
    };
    if let Err(why) = ended {
        limited!(info, "closed a peer connection", from, %why);
    }
}

async fn greet(
    shard: &Rc<Shard>,
    from: &str,
    stream: &mut TcpStream,
    input: &mut BytesMut,
) -> Result<Option<Accepted>, ConnectionError> {
    stream.set_nodelay(true)?;
    let Some(body) = read_frame(stream, input, HANDSHAKE_BYTES_MAX).await? else { return Ok(None) };
    let (welcome, accepted) = match Hello::get(body, peer_versions()) {
        Ok(hello) => {
            let welcome = judge(shard, &hello).await;
            let accepted = match (hello.service, &hello.about.member) {
                (Service::Coordinator, _) => Some(Accepted::Coordinator),
                (Service::Replica, Some(member)) => Some(Accepted::Replica(NodeId(member.node))),
                (Service::Replica, None) => None,
            };
            let welcomed = matches!(welcome, Welcome::Accepted { .. });
            (welcome, accepted.filter(|_| welcomed))
        }
        Err(why @ HelloError::Version { theirs, ours }) => {
            limited!(warn, "refused a peer", from, %why);
            // In the other side's words.
            let told = HelloError::Version { theirs: ours, ours: theirs };
            (Welcome::Mismatch(told.to_string()), None)
        }
        Err(why) => return Err(why.into()),
    };
    let mut out = BytesMut::new();
    put_frame(&mut out, |body| welcome.put(body));
    stream.write_all(&out).await?;
    Ok(accepted)
}

async fn judge(shard: &Rc<Shard>, hello: &Hello) -> Welcome {
    let node = &shard.node;
    let verdict = match (&hello.about.member, hello.service) {
        (None, Service::Coordinator) => Ok(()),
        (None, Service::Replica) => Err(Welcome::Mismatch("the Replica service is for members only".into())),
        (Some(member), _) => match node.check_cluster(&hello.about) {
            Err(why) => Err(Welcome::Mismatch(why)),
            Ok(()) if member.node == node.id.0 => {
                Err(Welcome::Mismatch(format!("this is node {}, too: two nodes have one id", member.node)))
            }
            Ok(()) => node.meet(member.clone()).await.map_err(Welcome::Impostor),
        },
    };
    match verdict {
        Ok(()) => match hello.versions.common(peer_versions()) {
            Some(version) => Welcome::Accepted { version, about: node.about() },
            None => unreachable!("a hello without a common version is an error"),
        },
        Err(refusal) => {
            let (Welcome::Mismatch(why) | Welcome::Impostor(why)) = &refusal else {
                unreachable!("a refusal is not an acceptance");
            };
            limited!(
                warn,
                "refused a peer",
                peer = hello.about.member.as_ref().map(|member| member.node),
                why
            );
            refusal
        }
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
