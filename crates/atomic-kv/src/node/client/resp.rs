//! RESP, as Redis' clients speak it.

use super::account::{Client, Seat};
use super::{Ended, Front, Next, converse};
use crate::logging::limit::limited;
use crate::node::pipeline::{Operations, PipelineRequest, ReplyShape};
use crate::node::shard::Shard;
use crate::resp::{Action, Limits, Protocol, RequestParser, Response, Session};
use abd::{Instant, Operation};
use bytes::BytesMut;
use smallvec::smallvec;
use std::rc::Rc;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::Notify;

struct Resp {
    session: Session,
    parser: RequestParser,
}

/// Serves a client until it leaves.
pub(crate) async fn serve(shard: Rc<Shard>, mut stream: TcpStream, seat: Seat) {
    let id = shard.node.clients.next_id();
    let client = Client::enter(&shard, seat);
    let ended = serve_as(&shard, &mut stream, &client, id).await;
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

async fn serve_as(shard: &Rc<Shard>, stream: &mut TcpStream, client: &Client, id: u64) -> Result<(), Ended> {
    stream.set_nodelay(true)?;
    let settings = &shard.node.settings;
    let limits = Limits {
        max_key_bytes: settings.max_key_bytes,
        max_value_bytes: settings.max_value_bytes,
        ..Limits::default()
    };
    let (peer, local) = (stream.peer_addr()?.to_string(), stream.local_addr()?.to_string());
    let session = Session::new(id, peer, local, shard.node.uptime(), limits);
    let end = Arc::new(Notify::new());
    let _known = shard.node.connections.add(session.listed().clone(), end.clone());
    let mut front = Resp { session, parser: RequestParser::new(limits) };
    converse(shard, stream, &mut front, client, BytesMut::new(), end.notified()).await
}

impl Front for Resp {
    fn next(&mut self, input: &mut BytesMut, shard: &Shard) -> Result<Next, Ended> {
        let request = match self.parser.parse(input) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(Next::Incomplete),
            Err(why) => {
                let reply = Response::error(why.to_string());
                shard.stats().requests.reply(&reply);
                return Ok(Next::Last(PipelineRequest::ready(&reply, self.session.protocol())));
            }
        };
        let action = self.session.handle(request, shard);
        let is_last = matches!(action, Action::RespondAndClose(_) | Action::Close);
        Ok(match request_of(action, self.session.protocol()) {
            Some(request) if is_last => Next::Last(request),
            Some(request) => Next::Request(request),
            None => Next::Close,
        })
    }

    fn protocol(&self) -> Protocol {
        self.session.protocol()
    }

    fn held_bytes(&self) -> usize {
        self.parser.held_bytes()
    }

    fn arrived_bytes(&self, input: &BytesMut) -> usize {
        self.parser.arrived_bytes(input.len())
    }

    fn missing_bytes(&self, input: &BytesMut) -> usize {
        self.parser.missing_bytes(input.len())
    }

    fn heard(&mut self, now: Instant) {
        self.session.heard(now.since(Instant(0)));
    }
}

/// What a request leads to; `None` for one without an answer.
fn request_of(action: Action, protocol: Protocol) -> Option<PipelineRequest> {
    let (shape, operations): (ReplyShape, Operations) = match action {
        Action::Respond(reply) | Action::RespondAndClose(reply) => {
            return Some(PipelineRequest::ready(&reply, protocol));
        }
        Action::Close => return None,
        Action::Get(key) => (ReplyShape::Get, smallvec![Operation::Get { key }]),
        Action::StrLen(key) => (ReplyShape::StrLen, smallvec![Operation::Get { key }]),
        Action::Set { key, value } => (ReplyShape::Set, smallvec![Operation::Set { key, value }]),
        Action::Delete(mut keys) => {
            keys.sort();
            keys.dedup();
            (ReplyShape::Delete, keys.into_iter().map(|key| Operation::Delete { key }).collect())
        }
        Action::Exists(keys) => {
            (ReplyShape::Exists, keys.into_iter().map(|key| Operation::Get { key }).collect())
        }
        Action::MultiGet(keys) => {
            (ReplyShape::MultiGet, keys.into_iter().map(|key| Operation::Get { key }).collect())
        }
    };
    Some(PipelineRequest { shape, operations })
}
