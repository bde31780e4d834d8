//! The commands, one file for each family. To add one: a row and a function in the file of its family.

mod client;
mod cluster;
mod configuration;
mod connection;
mod copies;
mod databases;
mod debug;
mod documentation;
mod durability;
mod expiry;
mod expiry_options;
mod flush;
mod increx;
mod keys;
mod keyspace;
mod kill;
mod lcs;
mod members;
mod memory;
mod numbers;
mod objects;
mod parts;
mod scan;
mod scripts;
mod sentinel;
mod server;
mod set;
mod set_options;
mod slowness;
mod strings;
mod subscriptions;
mod tracking;
mod transactions;
mod users;
mod versions;
mod waiting;

use super::command::{Arg, Call, Command, Planned, arg, syntax_error};
use super::response::Response;
use super::session::c_text;
use crate::functions::{FunctionError, parse_integer};
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use core::iter::once;
use core::str::FromStr;

const FAMILIES: &[&[Command]] = &[
    cluster::COMMANDS,
    configuration::COMMANDS,
    connection::COMMANDS,
    copies::COMMANDS,
    databases::COMMANDS,
    debug::COMMANDS,
    durability::COMMANDS,
    expiry::COMMANDS,
    flush::COMMANDS,
    increx::COMMANDS,
    keys::COMMANDS,
    keyspace::COMMANDS,
    lcs::COMMANDS,
    members::COMMANDS,
    memory::COMMANDS,
    numbers::COMMANDS,
    objects::COMMANDS,
    parts::COMMANDS,
    scan::COMMANDS,
    scripts::COMMANDS,
    sentinel::COMMANDS,
    server::COMMANDS,
    set::COMMANDS,
    slowness::COMMANDS,
    strings::COMMANDS,
    subscriptions::COMMANDS,
    transactions::COMMANDS,
    users::COMMANDS,
    versions::COMMANDS,
    waiting::COMMANDS,
];

pub(super) use subscriptions::Subscriptions;

/// How many there are.
pub(super) const COUNT: usize = {
    let (mut count, mut family) = (0, 0);
    while family < FAMILIES.len() {
        count += FAMILIES[family].len();
        family += 1;
    }
    count
};

/// Every command, by name.
pub(super) static COMMANDS: [Command; COUNT] = by_name();

const READ: &[&str] = &["readonly", "fast"];
const WRITE: &[&str] = &["write"];
/// Of what reads one key and then writes another: neither a transaction nor a script can have that.
const WRITE_ALONE: &[&str] = &["write", "denyoom", "noscript", "no_multi"];
const SESSION: &[&str] = &["noscript", "loading", "stale", "fast"];
const OPEN: &[&str] = &["noscript", "loading", "stale", "fast", "no_auth"];
const SERVER: &[&str] = &["loading", "stale"];

const CAT_READ: &[&str] = &["@read", "@string", "@fast"];
const CAT_READ_SLOW: &[&str] = &["@read", "@string", "@slow"];
const CAT_READ_KEY: &[&str] = &["@keyspace", "@read", "@fast"];
const CAT_WRITE: &[&str] = &["@write", "@string", "@slow"];
const CAT_WRITE_FAST: &[&str] = &["@write", "@string", "@fast"];
const CAT_WRITE_KEY: &[&str] = &["@keyspace", "@write", "@slow"];
const CAT_CONNECTION: &[&str] = &["@fast", "@connection"];
const CAT_PUBSUB: &[&str] = &["@pubsub", "@slow"];
const CAT_SLOW: &[&str] = &["@slow", "@connection"];
const CAT_ADMIN: &[&str] = &["@admin", "@slow", "@dangerous"];

/// Where the keys are: the first argument, the first two, or all.
const FIRST: (i32, i32, i32) = (1, 1, 1);
const FIRST_TWO: (i32, i32, i32) = (1, 2, 1);
const ALL: (i32, i32, i32) = (1, -1, 1);

const KEY: &[Arg] = &[arg("key", "key")];
const KEY_VALUE: &[Arg] = &[arg("key", "key"), arg("value", "string")];
const KEYS: &[Arg] = &[arg("key", "key").flags(&["multiple"])];

/// Sorts the families into one table, when this is compiled.
const fn by_name() -> [Command; COUNT] {
    let mut all = [FAMILIES[0][0]; COUNT];
    let (mut family, mut count) = (0, 0);
    while family < FAMILIES.len() {
        let mut row = 0;
        while row < FAMILIES[family].len() {
            let command = FAMILIES[family][row];
            let mut place = count;
            while place > 0 && is_before(command.name.as_bytes(), all[place - 1].name.as_bytes()) {
                all[place] = all[place - 1];
                place -= 1;
            }
            all[place] = command;
            count += 1;
            row += 1;
        }
        family += 1;
    }
    all
}

const fn is_before(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() {
        if one[at] != other[at] {
            return one[at] < other[at];
        }
        at += 1;
    }
    one.len() < other.len()
}

/// What an argument says, as far as a line should show it.
fn shown(argument: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&argument[..argument.len().min(128)])
}

/// The number that an argument is.
fn number<T: FromStr>(argument: &[u8]) -> Option<T> {
    core::str::from_utf8(argument).ok()?.parse().ok()
}

/// The integer that an argument of a command on keys is.
fn integer(argument: &[u8]) -> Result<i64, Response> {
    parse_integer(argument).ok_or_else(|| Response::error(FunctionError::NotAnInteger.to_string()))
}

/// Of a command that is always called with a subcommand.
fn needs_subcommand(_: Call<'_>) -> Planned {
    Err(syntax_error())
}

/// The reply to `HELP`, in Redis' form.
fn help(command: &str, lines: &[&'static str]) -> Response {
    let first = format!("{command} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:").into();
    let rest =
        lines.iter().chain(&["HELP", "    Prints this help."]).map(|&line| Response::Simple(line.into()));
    Response::Array(once(Response::Simple(first)).chain(rest).collect())
}
