//! One connection: what it has agreed on, and what each of its requests asks for.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::client_command;
use super::command::{self, position};
use super::counts::Counts;
use super::glob;
use super::listed::Listed;
use super::request::{Args, ClientRequest, Limits, Oversized};
use super::response::{Protocol, Response};
use super::table::{COMMANDS, Spec};

/// `SET`'s options in Redis and Valkey, none of which is supported yet.
const SET_OPTIONS: &[&str] =
    &["NX", "XX", "GET", "KEEPTTL", "EX", "PX", "EXAT", "PXAT", "IFEQ", "IFNE", "IFDEQ", "IFDNE"];
/// Those of them that a value follows.
const SET_OPTIONS_WITH_VALUE: &[&str] = &["EX", "PX", "EXAT", "PXAT", "IFEQ", "IFNE", "IFDEQ", "IFDNE"];

const CONFIG_HELP: &[&str] = &[
    "GET <pattern> [<pattern> ...]",
    "    Return parameters matching the glob-like <pattern> and their values.",
];

/// What a request asks of the node. Every key and value in it is within the limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send this; nothing else is to be done.
    Respond(Response),
    /// Send this and close the connection.
    RespondAndClose(Response),
    /// Close the connection without a word: the client is a browser that was tricked into talking to us.
    Close,
    /// Read a key; the reply is its value or [`Response::Null`].
    Get(Bytes),
    /// Read a key; the reply is the length of its value, 0 without one.
    StrLen(Bytes),
    /// Write a key; the reply is [`Response::OK`].
    Set {
        /// The key.
        key: Bytes,
        /// Its new value.
        value: Bytes,
    },
    /// Delete keys; the reply counts those seen present. At least one, perhaps repeated.
    Delete(Vec<Bytes>),
    /// Read keys; the reply counts those that exist, a repeated one as often as it is named.
    Exists(Vec<Bytes>),
    /// Read keys; the reply lists value or [`Response::Null`] for each, in order.
    MultiGet(Vec<Bytes>),
}

/// A section of `INFO`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name, capitalised.
    pub name: &'static str,
    /// Fields and values, in order.
    pub rows: Vec<(Cow<'static, str>, String)>,
}

/// What a session must know of the node around it.
pub trait ServerInfo {
    /// Those sections of `INFO` that are wanted by their names in lower case, in Redis' order.
    fn info(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<Section>;
    /// Names and values for `CONFIG GET`.
    fn config(&self) -> Vec<(String, String)>;
    /// The time since the process started, by which sessions measure their age.
    fn uptime(&self) -> Duration;
    /// All open connections of the node.
    fn clients(&self) -> Vec<Arc<Listed>>;
    /// Closes another connection.
    fn kill(&self, id: u64);
    /// Where requests are counted.
    fn counts(&self) -> &Counts;
}

/// The state of one connection.
#[derive(Debug)]
pub struct Session {
    pub(super) listed: Arc<Listed>,
    pub(super) protocol: Protocol,
    limits: Limits,
}

impl Session {
    /// A fresh connection. `opened` is [`ServerInfo::uptime`] now; `peer` and `local` are its addresses.
    pub fn new(id: u64, peer: String, local: String, opened: Duration, limits: Limits) -> Self {
        let listed = Arc::new(Listed::new(id, peer, local, opened));
        Self { listed, protocol: Protocol::Resp2, limits }
    }

    /// What others may see of the connection.
    pub fn listed(&self) -> &Arc<Listed> {
        &self.listed
    }

    /// The protocol for the reply to the request handled last. With pipelining, note it per request: a
    /// later `HELLO` does not change the form of earlier replies.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Notes when the client sent something; `now` is [`ServerInfo::uptime`]. Requests that arrive together need it once.
    pub fn heard(&self, now: Duration) {
        self.listed.heard(now);
    }

    /// Decides what a request asks for, and does what concerns the connection alone.
    pub fn handle(&mut self, request: ClientRequest, server: &dyn ServerInfo) -> Action {
        let args = match request {
            ClientRequest::Command(args) => args,
            ClientRequest::TooLarge { what, declared, limit } => {
                return Action::Respond(match what {
                    Oversized::Argument => too_large("value", declared, limit),
                    Oversized::Request => too_large("request", declared, limit),
                });
            }
        };
        let action = self.dispatch(args, server).unwrap_or_else(Action::Respond);
        if let Action::Respond(reply) = &action {
            server.counts().reply(reply);
        }
        action
    }

    fn dispatch(&mut self, args: Args, server: &dyn ServerInfo) -> Result<Action, Response> {
        let Some(name) = args.first() else {
            return Err(Response::error("ERR empty command"));
        };
        let Some(command) = position(COMMANDS, name) else {
            // These begin an HTTP request: a page may make a browser send them, with commands behind.
            if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
                return Ok(Action::Close);
            }
            if name.eq_ignore_ascii_case(b"cluster") {
                return Err(Response::error("ERR This instance has cluster support disabled"));
            }
            return Err(unknown_command(&args));
        };
        let spec = &COMMANDS[command];
        let checked = self.check_arguments(command, &args);
        match checked {
            Ok(_) => server.counts().call(command),
            Err(_) => server.counts().reject(command),
        }
        let subcommand = checked?;
        Ok(match spec.name {
            "get" => Action::Get(second(args)),
            "strlen" => Action::StrLen(second(args)),
            "set" => self.set(args)?,
            "del" | "unlink" => Action::Delete(rest(args)),
            "exists" => Action::Exists(rest(args)),
            "mget" => Action::MultiGet(rest(args)),
            "quit" => Action::RespondAndClose(Response::OK),
            "client" if subcommand.is_some_and(|sub| sub.name == "kill") => self.kill(&args[2..], server)?,
            _ => Action::Respond(self.reply(spec, subcommand, args, server)?),
        })
    }

    /// Whether a command's arguments are as many as it takes, and its keys no longer than they may be. Its subcommand.
    fn check_arguments(&self, command: usize, args: &Args) -> Result<Option<&'static Spec>, Response> {
        let spec = &COMMANDS[command];
        let place = subcommand(spec, args)?;
        let subcommand = place.map(|place| &spec.subcommands[place]);
        self.listed.note(command, place);
        if !subcommand.unwrap_or(spec).accepts(args.len()) {
            return Err(wrong_arity(&self.listed.last_command()));
        }
        for key in spec.keys_of(args) {
            self.check("key", key, self.limits.max_key_bytes)?;
        }
        Ok(subcommand)
    }

    /// Answers the commands that touch no key.
    fn reply(
        &mut self,
        spec: &Spec,
        subcommand: Option<&Spec>,
        args: Args,
        server: &dyn ServerInfo,
    ) -> Result<Response, Response> {
        Ok(match spec.name {
            "ping" => match args.len() {
                1 => Response::Simple("PONG".into()),
                2 => Response::Bulk(second(args)),
                _ => return Err(wrong_arity("ping")),
            },
            "echo" => Response::Bulk(second(args)),
            "auth" => client_command::auth(&args[1..])?,
            "hello" => self.hello(&args[1..])?,
            "reset" => self.reset(),
            "select" => select(&args[1])?,
            "info" => info(&args[1..], server),
            "command" => command::answer(subcommand, &args),
            "config" => config(subcommand, &args[2..], server)?,
            _ => self.client(subcommand, &args[2..], server)?,
        })
    }

    fn set(&self, args: Args) -> Result<Action, Response> {
        let mut options = args[3..].iter();
        let mut first = None;
        while let Some(word) = options.next() {
            let known = SET_OPTIONS.iter().find(|option| word.eq_ignore_ascii_case(option.as_bytes()));
            let option = known.ok_or_else(|| Response::error("ERR syntax error"))?;
            first.get_or_insert(option);
            if SET_OPTIONS_WITH_VALUE.contains(option) {
                options.next();
            }
        }
        if let Some(option) = first {
            return Err(Response::error(format!(
                "ERR SET option '{option}' is not supported yet; the value was not written"
            )));
        }
        let mut args = args.into_iter().skip(1);
        let (Some(key), Some(value)) = (args.next(), args.next()) else {
            return Err(wrong_arity("set"));
        };
        self.check("value", &value, self.limits.max_value_bytes)?;
        Ok(Action::Set { key, value })
    }

    fn check(&self, what: &str, bytes: &Bytes, limit: usize) -> Result<(), Response> {
        if bytes.len() > limit { Err(too_large(what, bytes.len() as u64, limit as u64)) } else { Ok(()) }
    }
}

fn second(args: Args) -> Bytes {
    args.into_iter().nth(1).unwrap_or_default()
}

fn rest(args: Args) -> Vec<Bytes> {
    args.into_iter().skip(1).collect()
}

/// The place of the subcommand that the arguments name, if the command has any.
fn subcommand(spec: &Spec, args: &Args) -> Result<Option<usize>, Response> {
    let Some(name) = args.get(1).filter(|_| !spec.subcommands.is_empty()) else {
        return Ok(None);
    };
    position(spec.subcommands, name).map(Some).ok_or_else(|| {
        Response::error(format!(
            "ERR unknown subcommand '{}'. Try {} HELP.",
            c_text(name, 128),
            spec.name.to_ascii_uppercase()
        ))
    })
}

/// A command's argument as C's `%.*s` prints it: up to a length, or the first zero byte.
fn c_text(bytes: &[u8], limit: usize) -> String {
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

fn wrong_arity(name: &str) -> Response {
    Response::error(format!("ERR wrong number of arguments for '{name}' command"))
}

fn too_large(what: &str, size: u64, limit: u64) -> Response {
    let adjective = if what == "key" { "long" } else { "large" };
    Response::error(format!("ERR {what} is too {adjective}: {size} bytes, the limit is {limit}"))
}

fn select(index: &[u8]) -> Result<Response, Response> {
    match std::str::from_utf8(index).ok().and_then(|index| index.parse::<i32>().ok()) {
        Some(0) => Ok(Response::OK),
        Some(_) => Err(Response::error("ERR DB index is out of range")),
        None => Err(Response::error("ERR value is not an integer or out of range")),
    }
}

/// Sections that only `INFO all` and `INFO everything` have, or who names them.
const EXTRA_SECTIONS: [&str; 1] = ["commandstats"];

fn info(sections: &[Bytes], server: &dyn ServerInfo) -> Response {
    let names: HashSet<String> =
        sections.iter().map(|name| String::from_utf8_lossy(name).to_ascii_lowercase()).collect();
    let everything = names.contains("all") || names.contains("everything");
    let default = names.is_empty() || names.contains("default");
    let wanted =
        |name: &str| everything || names.contains(name) || default && !EXTRA_SECTIONS.contains(&name);
    let sections = server.info(&wanted).into_iter().map(|Section { name, rows }| {
        let rows = rows.iter().map(|(field, value)| format!("{field}:{value}\r\n"));
        format!("# {name}\r\n{}", rows.collect::<String>())
    });
    Response::Verbatim(sections.collect::<Vec<_>>().join("\r\n").into())
}

fn config(subcommand: Option<&Spec>, args: &[Bytes], server: &dyn ServerInfo) -> Result<Response, Response> {
    match subcommand.map(|sub| sub.name) {
        Some("get") => {
            let mut wanted = server.config();
            wanted.retain(|(name, _)| args.iter().any(|pattern| glob::matches(pattern, name.as_bytes())));
            let pairs = wanted.into_iter().map(|(name, value)| (Response::text(name), Response::text(value)));
            Ok(Response::Map(pairs.collect()))
        }
        Some("set") => Err(Response::error(
            "ERR CONFIG SET is not supported: a node takes its settings from flags, environment and file at start",
        )),
        _ => Ok(command::help("CONFIG", CONFIG_HELP)),
    }
}
