//! Values of keys, read whole: `GET` and its relatives.

use super::{ALL, CAT_READ, FIRST, KEY, KEYS, READ};
use crate::resp::command::{Call, Command, Plan, Planned};
use crate::resp::outcomes::{length, read_of, reply_of};
use crate::resp::response::Response;
use abd::Operation;

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("string", name, arity, run, summary)
}

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
    row("strlen", 2, strlen, "Returns the length of a value.")
        .since("2.2.0")
        .flags(READ, CAT_READ)
        .keys(FIRST, &["RO"])
        .args(KEY),
];

fn get(mut call: Call<'_>) -> Planned {
    Plan::one(Operation::Get { key: call.take(1) }, read_of)
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
