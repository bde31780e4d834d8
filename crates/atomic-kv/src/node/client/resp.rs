//! RESP, as Redis' clients speak it.

use super::account::{Client, Seat};
use super::{Ended, Front, Next, converse};
use crate::logging::limit::limited;
use crate::node::pipeline::{PipelineRequest, ReplyShape};
use crate::node::shard::Shard;
use ::node::resp::{Limits, Plan, Protocol, RequestParser, Response, Run, Session};
use abd::Instant;
use bytes::BytesMut;
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
        let plan = self.session.handle(request, shard);
        let ready = |reply: Response| PipelineRequest::ready(&reply, self.session.protocol());
        Ok(match plan {
            Plan::Reply(reply) => Next::Request(ready(reply)),
            Plan::Last(reply) => Next::Last(ready(reply)),
            Plan::Close => Next::Close,
            Plan::Run(Run { operations, needs_values, answer }) => {
                let shape = ReplyShape::Answer { needs_values, answer };
                Next::Request(PipelineRequest { shape, operations })
            }
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
