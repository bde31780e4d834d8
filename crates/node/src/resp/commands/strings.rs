//! Values of keys: `GET`, `SET` and what reads them otherwise.

use super::{ALL, CAT_READ, CAT_WRITE, FIRST, KEY, KEYS, READ};
use crate::resp::command::{Arg, Call, Command, Plan, Planned, arg, syntax_error};
use crate::resp::outcomes::{length, reply_of};
use crate::resp::response::Response;
use abd::Operation;
use alloc::format;

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("string", name, arity, run, summary)
}

const KEY_VALUE: &[Arg] = &[arg("key", "key"), arg("value", "string")];

pub(super) const COMMANDS: &[Command] = &[
    row("get", 2, get, "Returns the value of a key.")
        .flags(READ, CAT_READ)
        .keys(FIRST, &["RO", "access"])
        .args(KEY),
    row("mget", -2, mget, "Returns the values of keys, each read by itself; up to 64 MiB of them.")
        .flags(READ, CAT_READ)
        .keys(ALL, &["RO", "access"])
        .linear()
        .args(KEYS),
    row("set", -3, set, "Sets the value of a key, creating it if it does not exist.")
        .flags(&["write", "denyoom"], CAT_WRITE)
        .keys(FIRST, &["OW", "update"])
        .args(KEY_VALUE),
    row("strlen", 2, strlen, "Returns the length of a value.")
        .since("2.2.0")
        .flags(READ, CAT_READ)
        .keys(FIRST, &["RO"])
        .args(KEY),
];

fn get(mut call: Call<'_>) -> Planned {
    Plan::one(Operation::Get { key: call.take(1) }, |outcomes| {
        outcomes.into_iter().next().map_or(Response::Null, reply_of)
    })
}

fn mget(call: Call<'_>) -> Planned {
    let reads = call.args.into_iter().skip(1).map(|key| Operation::Get { key });
    Plan::several(reads, true, |outcomes| Response::Array(outcomes.into_iter().map(reply_of).collect()))
}

fn strlen(mut call: Call<'_>) -> Planned {
    Plan::one(Operation::Get { key: call.take(1) }, |outcomes| {
        Response::count(outcomes.iter().map(length).sum())
    })
}

/// `SET`'s options in Redis and Valkey, none of which is supported yet.
const SET_OPTIONS: &[&str] =
    &["NX", "XX", "GET", "KEEPTTL", "EX", "PX", "EXAT", "PXAT", "IFEQ", "IFNE", "IFDEQ", "IFDNE"];
/// Those of them that a value follows.
const SET_OPTIONS_WITH_VALUE: &[&str] = &["EX", "PX", "EXAT", "PXAT", "IFEQ", "IFNE", "IFDEQ", "IFDNE"];

fn set(mut call: Call<'_>) -> Planned {
    let mut options = call.args[3..].iter();
    let mut first = None;
    while let Some(word) = options.next() {
        let known = SET_OPTIONS.iter().find(|option| word.eq_ignore_ascii_case(option.as_bytes()));
        let option = known.ok_or_else(syntax_error)?;
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
    let (key, value) = (call.take(1), call.take(2));
    call.session.limits.check_value(&value).map_err(Response::err)?;
    Plan::one(Operation::Set { key, value }, |_| Response::OK)
}
