//! Numbers in keys: `INCR` and its relatives.

use super::{CAT_WRITE_FAST, FIRST, KEY, integer};
use crate::functions::{Extended, Function, FunctionError};
use crate::resp::command::{Arg, Call, Command, Plan, Planned, arg};
use crate::resp::outcomes::answer_of;
use crate::resp::response::Response;
use alloc::string::ToString;

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("string", name, arity, run, summary)
        .flags(&["write", "denyoom", "fast"], CAT_WRITE_FAST)
        .keys(FIRST, &["RW", "access", "update"])
        .args(KEY)
}

const KEY_INCREMENT: &[Arg] = &[arg("key", "key"), arg("increment", "integer")];
const KEY_DECREMENT: &[Arg] = &[arg("key", "key"), arg("decrement", "integer")];
const KEY_FLOAT: &[Arg] = &[arg("key", "key"), arg("increment", "double")];

pub(super) const COMMANDS: &[Command] = &[
    row("decr", 2, decr, "Subtracts one from the integer of a key."),
    row("decrby", 3, decrby, "Subtracts from the integer of a key.").args(KEY_DECREMENT),
    row("incr", 2, incr, "Adds one to the integer of a key."),
    row("incrby", 3, incrby, "Adds to the integer of a key.").args(KEY_INCREMENT),
    row("incrbyfloat", 3, incrbyfloat, "Adds to the floating-point number of a key.")
        .since("2.6.0")
        .args(KEY_FLOAT),
];

fn increment(mut call: Call<'_>, by: i64) -> Planned {
    Plan::update(call.take(1), &Function::Increment(by), answer_of)
}

fn incr(call: Call<'_>) -> Planned {
    increment(call, 1)
}

fn decr(call: Call<'_>) -> Planned {
    increment(call, -1)
}

fn incrby(call: Call<'_>) -> Planned {
    let by = integer(&call.args[2])?;
    increment(call, by)
}

fn decrby(call: Call<'_>) -> Planned {
    let by = integer(&call.args[2])?.checked_neg();
    // As in Redis the smallest number cannot be subtracted, whatever the key holds.
    increment(call, by.ok_or_else(|| Response::error("ERR decrement would overflow"))?)
}

fn incrbyfloat(mut call: Call<'_>) -> Planned {
    let by = Extended::parse(&call.args[2]);
    let by = by.ok_or_else(|| Response::error(FunctionError::NotAFloat.to_string()))?;
    Plan::update(call.take(1), &Function::IncrementFloat(by), answer_of)
}
