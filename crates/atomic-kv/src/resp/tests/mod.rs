//! Byte-level tests of the client port. The crate `redis-protocol` is the oracle for both directions.

mod commands;
mod connection;
mod parsing;
mod replies;

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::{
    Action, Args, Limits, Protocol, ProtocolError, Reply, Request, RequestParser, ServerInfo, Session,
};

struct Node;

impl ServerInfo for Node {
    fn info(&self, section: Option<&str>) -> String {
        match section {
            None => "# Server\r\nredis_version:0.1.0\r\n\r\n# Persistence\r\nloading:0\r\n".to_owned(),
            Some("server") => "# Server\r\nredis_version:0.1.0\r\n".to_owned(),
            Some("persistence") => "# Persistence\r\nloading:0\r\n".to_owned(),
            Some(_) => String::new(),
        }
    }
    fn config(&self) -> Vec<(String, String)> {
        let pairs = [("save", ""), ("appendonly", "yes"), ("maxmemory", "0"), ("databases", "1")];
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
    fn uptime(&self) -> Duration {
        Duration::from_secs(70)
    }
    fn clients(&self) -> Vec<(u64, String)> {
        vec![(3, "id=3 other".to_owned()), (7, "id=7 stale".to_owned())]
    }
}

const SMALL: Limits = Limits { max_key_bytes: 8, max_value_bytes: 32, max_args: 16 };

fn session() -> Session {
    Session::new(7, "127.0.0.1:50000".to_owned(), "127.0.0.1:6380".to_owned(), Duration::from_secs(10), SMALL)
}

fn args(line: &str) -> Args {
    line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
}

fn handle(session: &mut Session, line: &str) -> Action {
    session.heard(Node.uptime());
    session.handle(Request::Command(args(line)), &Node)
}

fn encoded(reply: &Reply, protocol: Protocol) -> String {
    let mut out = BytesMut::new();
    reply.encode(protocol, &mut out);
    String::from_utf8(out.to_vec()).expect("the tests' replies are text")
}

/// The bytes a client sees in answer to a line of words.
fn ask(session: &mut Session, line: &str) -> String {
    match handle(session, line) {
        Action::Reply(reply) | Action::ReplyAndClose(reply) => encoded(&reply, session.protocol()),
        other => panic!("{line}: {other:?}"),
    }
}

fn ask_fresh(line: &str) -> String {
    ask(&mut session(), line)
}

/// What a parser makes of chunks, each appended only after all before it were parsed.
fn parse_chunks<'a>(
    limits: Limits,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Request>, Option<ProtocolError>) {
    let mut parser = RequestParser::new(limits);
    let mut buf = BytesMut::new();
    let mut requests = Vec::new();
    for chunk in chunks {
        buf.extend_from_slice(chunk);
        loop {
            match parser.parse(&mut buf) {
                Ok(Some(request)) => requests.push(request),
                Ok(None) => break,
                Err(error) => return (requests, Some(error)),
            }
        }
    }
    (requests, None)
}
