//! One connection: what it has agreed on, and what each of its requests asks for.

use super::command::{Call, Command, Plan, Planned, position, wrong_arity};
use super::commands::{COMMANDS, Subscriptions};
use super::counts::{CommandCounts, Counts};
use super::listed::{CommandPlace, Listed, Names};
use super::policy::Policy;
use super::request::{Args, ClientRequest, Limits, Oversized, too_large};
use super::response::{Protocol, Response};
use super::slow::{SlowRequest, SlowRequests};
use super::transaction::{Queued, Transaction};
use crate::change::Driver;
use crate::clock::Clock;
use crate::configuration::Configuration;
use crate::endpoint::Endpoint;
use crate::inquiry::notes::Notes;
use crate::topology::Topology;
use abd::Instant;
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// A section of `INFO`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name, capitalised.
    pub name: &'static str,
    /// Fields and values, in order.
    pub rows: Vec<(Cow<'static, str>, String)>,
}

/// The commands of a client that [listens only](Session::listens_only).
const LISTENING: [&str; 7] =
    ["ping", "psubscribe", "punsubscribe", "quit", "reset", "subscribe", "unsubscribe"];

/// The node around a session.
pub trait Host: Clock {
    /// Those sections of `INFO` that are wanted by their names in lower case, in Redis' order.
    fn info(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<Section>;
    /// Names and values for `CONFIG GET`.
    fn config(&self) -> Vec<(String, String)>;
    /// What its settings say about commands.
    fn policy(&self) -> Policy;
    /// A key that this node has or had, as a number leads to it; for whoever wants any.
    fn key_near(&self, number: u64) -> Option<Bytes>;
    /// Deletes all keys, with nobody waiting for it.
    fn flush_in_background(&self);
    /// So many keys were deleted for somebody who wants all deleted.
    fn count_flushed(&self, keys: usize);
    /// What took long there. It is looked at, and whatever is done to it stays.
    fn slow(&self, look: &mut dyn FnMut(&mut SlowRequests));
    /// Its [threshold](SlowRequests::threshold): each request is compared with it.
    fn slow_after(&self) -> Duration;
    /// What the node remembers for a while; sources of scripts among it.
    fn notes(&self, look: &mut dyn FnMut(&mut Notes));
    /// Whether a source is a script.
    ///
    /// # Errors
    /// It is not; this is the reply.
    fn check_script(&self, source: &[u8]) -> Result<(), Response>;
    /// Ends the scripts that run. Answers whether there was one.
    fn end_scripts(&self) -> bool;
    /// Gives memory that is free back to the system.
    fn give_memory_back(&self);
    /// The time since the process started, by which sessions measure their age.
    fn uptime(&self) -> Duration;
    /// All open connections of the node, and what they call themselves.
    fn clients(&self) -> Vec<(Arc<Listed>, Names)>;
    /// A connection has other names now.
    fn rename(&self, id: u64, names: &Names);
    /// Closes another connection.
    fn kill(&self, id: u64);
    /// Who changes the members, and the present time as it counts it. Where that is not for clients nothing is looked at.
    fn change(&self, _look: &mut dyn FnMut(&Driver, Instant)) {}
    /// A client has met a configuration, which may be newer than that which the node has installed.
    fn meet_configuration(&self, _configuration: &Configuration) {}
    /// What the node knows of the members now.
    fn topology(&self) -> Topology;
    /// The name of the master that `SENTINEL MASTERS` tells.
    fn sentinel_master(&self) -> &str;
    /// What was counted of the commands at the node.
    fn command_counts(&self) -> Vec<CommandCounts>;
    /// Where requests are counted.
    fn counts(&self) -> &Counts;
}

/// The state of one connection.
#[derive(Debug)]
pub struct Session {
    listed: Arc<Listed>,
    names: Names,
    protocol: Protocol,
    pub(super) limits: Limits,
    pub(super) subscriptions: Subscriptions,
    /// What it has queued and what it watches; nothing nearly always.
    transaction: Option<Box<Transaction>>,
}

impl Session {
    /// A fresh connection. `opened` is [`Host::uptime`] now; `peer` and `local` are its addresses.
    pub fn new(id: u64, peer: String, local: String, opened: Duration, limits: Limits) -> Self {
        let listed = Arc::new(Listed::new(id, peer, local, opened));
        Self {
            listed,
            names: Names::default(),
            protocol: Protocol::Resp2,
            limits,
            subscriptions: Subscriptions::default(),
            transaction: None,
        }
    }

    /// What others may see of the connection.
    pub fn listed(&self) -> &Arc<Listed> {
        &self.listed
    }

    /// The members, as this client is to be told of them: the node is where the client has reached it, unless its settings say
    /// where else.
    pub(super) fn topology(&self, host: &dyn Host) -> Topology {
        let mut topology = host.topology();
        topology.reached_at(Endpoint::parse(&self.listed.local));
        topology
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// Changes what the connection calls itself.
    pub(super) fn rename(&mut self, host: &dyn Host, change: impl FnOnce(&mut Names)) {
        change(&mut self.names);
        host.rename(self.listed.id(), &self.names);
    }

    /// The protocol for the reply to the request handled last. With pipelining, note it per request: a
    /// later `HELLO` does not change the form of earlier replies.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(super) fn speak(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        self.listed.speaks(protocol);
    }

    pub(super) fn transaction(&mut self) -> &mut Transaction {
        self.transaction.get_or_insert_default()
    }

    /// Forgets what is queued and watched.
    pub(super) fn forget_transaction(&mut self) {
        self.transaction = None;
    }

    /// Whether no request may be handled before those so far are answered.
    pub fn waits(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| transaction.waits())
    }

    /// Bytes of memory that it keeps between requests, about.
    pub fn held_bytes(&self) -> usize {
        self.transaction.as_ref().map_or(0, |transaction| transaction.held_bytes())
    }

    /// A request was refused before it was carried out.
    fn refuse(&mut self, place: Option<usize>, why: Response) -> Response {
        if let Response::Error(text) = &why
            && place.is_some_and(|place| COMMANDS[place].name == "exec")
        {
            return self.transaction().abort(text);
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.refuse();
        }
        why
    }

    /// Notes when the client sent something; `now` is [`Host::uptime`]. Requests that arrive together need it once.
    pub fn heard(&self, now: Duration) {
        self.listed.heard(now);
    }

    /// A request of this connection took long; of its keys some are here.
    pub(crate) fn took(
        &self,
        command: CommandPlace,
        keys: &[Bytes],
        key_count: usize,
        took: Duration,
        host: &dyn Host,
    ) {
        let names = command.both().map(|command| Bytes::from(command.name.to_ascii_uppercase()));
        let words: Vec<Bytes> = names.chain(keys.iter().cloned()).collect();
        let more = key_count - keys.len();
        let is_fast = command.both().last().is_some_and(|command| command.flags.contains(&"fast"));
        let request = SlowRequest {
            id: 0,
            time: host.moments().latest.0 / 1000,
            took,
            words,
            client: self.listed.peer.clone(),
            client_name: self.names.name.clone(),
        };
        let mut request = Some(request);
        host.slow(&mut |slow| {
            if let Some(request) = request.take() {
                slow.add(request, more, is_fast);
            }
        });
    }

    /// Whether a client could not tell replies from what it listens to: RESP2 has one form for both.
    pub(super) fn listens_only(&self) -> bool {
        self.protocol == Protocol::Resp2 && !self.subscriptions.is_empty()
    }

    /// Decides what a request asks for, and does what concerns the connection alone.
    pub fn handle(&mut self, request: ClientRequest, host: &dyn Host) -> Plan {
        let args = match request {
            ClientRequest::Command(args) => args,
            ClientRequest::TooLarge { what, declared, limit } => {
                let what = match what {
                    Oversized::Argument => "value",
                    Oversized::Request => "request",
                };
                let why = Response::err(too_large(what, declared, limit));
                return Plan::Reply(self.refuse(None, why));
            }
        };
        let plan = self.plan(args, host).unwrap_or_else(Plan::Reply);
        if let Plan::Reply(reply) = &plan {
            host.counts().reply(reply);
        }
        plan
    }

    fn plan(&mut self, args: Args, host: &dyn Host) -> Planned {
        let Some(name) = args.first() else {
            return Err(Response::error("ERR empty command"));
        };
        let Some(place) = position(&COMMANDS, name) else {
            // These begin an HTTP request: a page may make a browser send them, with commands behind.
            if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
                return Ok(Plan::Close);
            }
            return Err(self.refuse(None, unknown_command(&args)));
        };
        let subcommand = match self.check_arguments(place, &args) {
            Ok(subcommand) => subcommand,
            Err(why) => {
                host.counts().reject(place);
                return Err(self.refuse(Some(place), why));
            }
        };
        let queued = Queued { place, subcommand, args };
        if let Some(transaction) = &mut self.transaction
            && transaction.takes(&queued)
        {
            return transaction.queue(queued, &self.limits).map(Plan::Reply);
        }
        host.counts().call(place);
        (queued.command().run)(Call { args: queued.args, session: self, host })
    }

    /// The place of the subcommand that the arguments name, if they are as many as it or the command takes and the keys no longer than
    /// they may be.
    fn check_arguments(&self, place: usize, args: &Args) -> Result<Option<usize>, Response> {
        let command = &COMMANDS[place];
        let subcommand = subcommand(command, args)?;
        self.listed.note(place, subcommand);
        let meant = subcommand.map_or(command, |place| &command.subcommands[place]);
        if !meant.accepts(args.len()) {
            return Err(wrong_arity(&self.listed.last_command()));
        }
        if self.listens_only() && !LISTENING.contains(&command.name) {
            return Err(Response::error(format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
                 context",
                self.listed.last_command()
            )));
        }
        for key in meant.keys_of(args) {
            self.limits.check_key(key).map_err(Response::err)?;
        }
        Ok(subcommand)
    }
}

/// The place of the subcommand that the arguments name, if the command has any.
fn subcommand(command: &Command, args: &Args) -> Result<Option<usize>, Response> {
    let Some(name) = args.get(1).filter(|_| !command.subcommands.is_empty()) else {
        return Ok(None);
    };
    position(command.subcommands, name).map(Some).ok_or_else(|| {
        Response::error(format!(
            "ERR unknown subcommand '{}'. Try {} HELP.",
            c_text(name, 128),
            command.name.to_ascii_uppercase()
        ))
    })
}

/// A command's argument as C's `%.*s` prints it: up to a length, or the first zero byte.
pub(super) fn c_text(bytes: &[u8], limit: usize) -> String {
    let bytes = &bytes[..bytes.len().min(limit)];
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn unknown_command(args: &Args) -> Response {
    let mut shown = String::new();
    for arg in &args[1..] {
        if shown.len() >= 128 {
            break;
        }
        let text = c_text(arg, 128 - shown.len());
        shown.push_str(&format!("'{text}' "));
    }
    let name = c_text(&args[0], 128);
    Response::error(format!("ERR unknown command '{name}', with args beginning with: {shown}"))
}
