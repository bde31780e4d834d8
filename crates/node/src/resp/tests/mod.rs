//! Byte-level tests of the client port. The crate `redis-protocol` is the oracle for both directions.

mod cluster;
mod commands;
mod connection;
mod expiry;
mod keys;
mod members;
mod parsing;
mod replies;
mod scripts;
mod server;
mod transactions;
mod updates;

use super::{
    Args, ClientRequest, Counts, Host, Limits, Listed, Names, Operations, Plan, Policy, Protocol,
    ProtocolError, RequestParser, Response, Section, Session, SlowRequests, reply,
};
use crate::clock::{Clock, Moments};
use crate::inquiry::notes::Notes;
use crate::topology::Topology;
use abd::{Moment, Outcome};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use core::cell::{Cell, RefCell};
use core::time::Duration;

/// A node with two sections, and two other clients. Notes whom it was asked to close.
#[derive(Default)]
pub(super) struct Node {
    own: Option<Arc<Listed>>,
    counts: Counts,
    policy: Policy,
    slow: RefCell<SlowRequests>,
    notes: RefCell<Notes>,
    killed: RefCell<Vec<u64>>,
    flushes: Cell<usize>,
    flushed: Cell<usize>,
    renamed: RefCell<Option<(u64, Names)>>,
    now: Option<Moments>,
    topology: Option<Topology>,
    change: Option<RefCell<crate::change::Driver>>,
}

impl Clock for Node {
    fn moments(&self) -> Moments {
        self.now.unwrap_or(NOW)
    }
}

impl Host for Node {
    fn info(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<Section> {
        let section = |name, field: &'static str, value: &str| Section {
            name,
            rows: vec![(field.into(), value.to_owned())],
        };
        let all = [
            section("Server", "redis_version", "0.1.0"),
            section("Persistence", "loading", "0"),
            section("Commandstats", "cmdstat_get", "calls=1"),
        ];
        all.into_iter().filter(|section| wanted(&section.name.to_lowercase())).collect()
    }
    fn config(&self) -> Vec<(String, String)> {
        let pairs = [("save", ""), ("appendonly", "yes"), ("maxmemory", "0"), ("databases", "1")];
        let slow = self.slow.borrow().parameters();
        let slow = slow.into_iter().map(|(name, value)| (name.to_owned(), value.to_string()));
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).chain(slow).collect()
    }
    fn policy(&self) -> Policy {
        self.policy
    }
    fn key_near(&self, _: u64) -> Option<Bytes> {
        None
    }
    fn flush_in_background(&self) {
        self.flushes.set(self.flushes.get() + 1);
    }
    fn count_flushed(&self, keys: usize) {
        self.flushed.set(self.flushed.get() + keys);
    }
    fn slow(&self, look: &mut dyn FnMut(&mut SlowRequests)) {
        look(&mut self.slow.borrow_mut());
    }
    fn slow_after(&self) -> Duration {
        self.slow.borrow().threshold()
    }
    fn notes(&self, look: &mut dyn FnMut(&mut Notes)) {
        look(&mut self.notes.borrow_mut());
    }
    fn check_script(&self, source: &[u8]) -> Result<(), Response> {
        if source.starts_with(b"wrong") { Err(Response::error("ERR no script")) } else { Ok(()) }
    }
    fn end_scripts(&self) -> bool {
        false
    }
    fn give_memory_back(&self) {}
    fn uptime(&self) -> Duration {
        Duration::from_secs(70)
    }
    fn clients(&self) -> Vec<(Arc<Listed>, Names)> {
        let other = |id: u64, opened| {
            let peer = format!("127.0.0.1:{id}");
            Arc::new(Listed::new(id, peer, "127.0.0.1:6380".to_owned(), Duration::from_secs(opened)))
        };
        let all = [other(9, 60), other(3, 20)].into_iter().chain(self.own.clone());
        all.map(|listed| (listed, Names::default())).collect()
    }
    fn rename(&self, id: u64, names: &Names) {
        *self.renamed.borrow_mut() = Some((id, names.clone()));
    }
    fn kill(&self, id: u64) {
        self.killed.borrow_mut().push(id);
    }
    fn change(&self, look: &mut dyn FnMut(&crate::change::Driver, abd::Instant)) {
        if let Some(driver) = &self.change {
            look(&driver.borrow(), abd::Instant(0));
        }
    }
    fn meet_configuration(&self, configuration: &crate::configuration::Configuration) {
        if let Some(driver) = &self.change {
            driver.borrow_mut().handle_installed(configuration, abd::Instant(0));
        }
    }
    fn topology(&self) -> Topology {
        self.topology.clone().unwrap_or_else(|| cluster::topology(true))
    }
    fn sentinel_master(&self) -> &str {
        "mymaster"
    }
    fn command_counts(&self) -> Vec<crate::resp::CommandCounts> {
        crate::resp::by_command(core::iter::once(&self.counts))
    }
    fn counts(&self) -> &Counts {
        &self.counts
    }
}

/// What time it is at the node, but where a test moves it: so many milliseconds since the Unix epoch.
pub(super) const NOW: Moments =
    Moments { earliest: Moment(1_700_000_000_000), latest: Moment(1_700_000_000_000) };

const SMALL: Limits = Limits { max_key_bytes: 8, max_value_bytes: 32, max_args: 16 };

pub(super) fn session() -> Session {
    Session::new(7, "127.0.0.1:50000".to_owned(), "127.0.0.1:6380".to_owned(), Duration::from_secs(10), SMALL)
}

pub(super) fn args(line: &str) -> Args {
    line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
}

fn handle(session: &mut Session, line: &str) -> Plan {
    handle_at(session, line, NOW)
}

fn handle_at(session: &mut Session, line: &str, now: Moments) -> Plan {
    let node = Node { own: Some(session.listed().clone()), now: Some(now), ..Node::default() };
    session.heard(node.uptime());
    session.handle(ClientRequest::Command(args(line)), &node)
}

fn encoded(reply: &Response, protocol: Protocol) -> String {
    let mut out = BytesMut::new();
    reply.encode(protocol, &mut out);
    String::from_utf8(out.to_vec()).expect("the tests' replies are text")
}

/// The bytes a client sees in answer to a line of words.
fn ask(session: &mut Session, line: &str) -> String {
    match handle(session, line) {
        Plan::Reply(reply) | Plan::Last(reply) => encoded(&reply, session.protocol()),
        other => panic!("{line}: {other:?}"),
    }
}

fn ask_fresh(line: &str) -> String {
    ask(&mut session(), line)
}

/// The operations that a line of words leads to, and the bytes that a client sees once they have ended so.
fn run(line: &str, outcomes: impl IntoIterator<Item = Outcome>) -> (Operations, String) {
    match handle(&mut session(), line) {
        Plan::Run(run) => {
            let reply = reply(outcomes.into_iter().collect(), run.answer, &NOW);
            (run.operations, encoded(&reply, Protocol::Resp2))
        }
        other => panic!("{line}: {other:?}"),
    }
}

/// What a parser makes of chunks, each appended only after all before it were parsed.
fn parse_chunks<'a>(
    limits: Limits,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<ClientRequest>, Option<ProtocolError>) {
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
