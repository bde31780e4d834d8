//! The accepting side: greets, checks who it is, and serves one of the two services.

use super::hello::{Hello, HelloError, Service, Welcome};
use super::{ConnectionError, GREETING_LIMIT, Outbox, PING, frame_limit, put_pong, read_frame, service};
use crate::node::shard::Shard;
use abd::wire::{get_request, put_frame, take_frame};
use bytes::BytesMut;
use std::rc::Rc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

/// Serves one accepted peer connection until it ends. Whatever arrives, only this connection suffers.
pub(crate) async fn serve_connection(shard: Rc<Shard>, mut stream: TcpStream) {
    let from = stream.peer_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string());
    let mut input = BytesMut::new();
    let greeted = tokio::time::timeout(GREETING_LIMIT, greet(&shard, &mut stream, &mut input)).await;
    let ended = match greeted {
        Err(_) => Err(ConnectionError::Silence(GREETING_LIMIT)),
        Ok(Err(why)) => Err(why),
        Ok(Ok(None)) => Ok(()),
        Ok(Ok(Some(Service::Replica))) => serve_replica(&shard, stream, input).await,
        Ok(Ok(Some(Service::Coordinator))) => service::serve_coordinator(&shard, stream, input).await,
    };
    if let Err(why) = ended {
        tracing::info!(from, %why, "closed a peer connection");
    }
}

async fn greet(
    shard: &Rc<Shard>,
    stream: &mut TcpStream,
    input: &mut BytesMut,
) -> Result<Option<Service>, ConnectionError> {
    stream.set_nodelay(true)?;
    let Some(body) = read_frame(stream, input, 64 << 10).await? else { return Ok(None) };
    let (welcome, service) = match Hello::get(body) {
        Ok(hello) => {
            let welcome = judge(shard, &hello).await;
            (welcome, Some(hello.service))
        }
        Err(why @ HelloError::Version { .. }) => {
            tracing::warn!(%why, "refused a peer");
            (Welcome::Mismatch(format!("{}", super::hello::PROTOCOL_VERSION)), None)
        }
        Err(why) => return Err(why.into()),
    };
    let accepted = matches!(welcome, Welcome::Accepted(_));
    let mut out = BytesMut::new();
    put_frame(&mut out, |body| welcome.put(body));
    stream.write_all(&out).await?;
    Ok(service.filter(|_| accepted))
}

async fn judge(shard: &Rc<Shard>, hello: &Hello) -> Welcome {
    let node = &shard.node;
    let verdict = match (&hello.member, hello.service) {
        (None, Service::Coordinator) => Ok(()),
        (None, Service::Replica) => Err(Welcome::Mismatch("the Replica service is for members only".into())),
        (Some(member), _) => match node.check_cluster(hello) {
            Err(why) => Err(Welcome::Mismatch(why)),
            Ok(()) if member.node == node.id.0 => {
                Err(Welcome::Mismatch(format!("this is node {}, too: two nodes have one id", member.node)))
            }
            Ok(()) => node.meet(member.clone()).await.map_err(Welcome::Impostor),
        },
    };
    match verdict {
        Ok(()) => Welcome::Accepted(node.hello(hello.service)),
        Err(refusal) => {
            let (Welcome::Mismatch(why) | Welcome::Impostor(why)) = &refusal else {
                unreachable!("a refusal is not an acceptance");
            };
            tracing::warn!(peer = hello.member.as_ref().map(|member| member.node), why, "refused a peer");
            refusal
        }
    }
}

async fn serve_replica(shard: &Rc<Shard>, stream: TcpStream, input: BytesMut) -> Result<(), ConnectionError> {
    let (reader, writer) = stream.into_split();
    let outbox = Rc::new(Outbox::default());
    let number = shard.open_outbox(outbox.clone());
    let ended = tokio::select! {
        biased;
        ended = read_requests(shard, reader, input, &outbox, number) => ended,
        ended = outbox.drain_into(writer, || {}) => ended,
    };
    shard.close_outbox(number);
    ended
}

async fn read_requests(
    shard: &Rc<Shard>,
    mut reader: OwnedReadHalf,
    mut input: BytesMut,
    outbox: &Outbox,
    number: u64,
) -> Result<(), ConnectionError> {
    let limit = frame_limit(shard.node.settings.max_key_bytes, shard.node.settings.max_value_bytes);
    loop {
        let Some(body) = read_frame(&mut reader, &mut input, limit).await? else { return Ok(()) };
        let mut next = Some(body);
        while let Some(body) = next {
            if body[..] == [PING] {
                let node = &shard.node;
                outbox.frame(|body| put_pong(body, node.committer.writable(), node.store.sequence()));
            } else {
                let (call, _remaining, request) = get_request(body)?;
                if let Some(reply) = shard.serve(request, call, number) {
                    outbox.reply(call, &reply);
                }
            }
            next = take_frame(&mut input, limit)?;
        }
        outbox.has_room().await;
    }
}
