//! Parts of values: `APPEND`, `GETRANGE`, `SETRANGE`.

use super::{CAT_READ_SLOW, CAT_WRITE, CAT_WRITE_FAST, FIRST, KEY_VALUE, integer};
use crate::functions::Function;
use crate::resp::command::{Arg, Call, Command, Plan, Planned, arg};
use crate::resp::outcomes::{answer_of, read_of};
use crate::resp::response::Response;
use abd::Operation;
use bytes::Bytes;

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("string", name, arity, run, summary)
}

const RANGE_ARGS: &[Arg] = &[arg("key", "key"), arg("start", "integer"), arg("end", "integer")];
const SETRANGE_ARGS: &[Arg] = &[arg("key", "key"), arg("offset", "integer"), arg("value", "string")];

pub(super) const COMMANDS: &[Command] = &[
    row("append", 3, append, "Appends to the value of a key, creating it if it does not exist.")
        .since("2.0.0")
        .flags(&["write", "denyoom", "fast"], CAT_WRITE_FAST)
        .keys(FIRST, &["RW", "insert"])
        .args(KEY_VALUE),
    row("getrange", 4, getrange, "Returns a part of the value of a key.")
        .since("2.4.0")
        .flags(&["readonly"], CAT_READ_SLOW)
        .keys(FIRST, &["RO", "access"])
        .linear()
        .args(RANGE_ARGS),
    row(
        "setrange",
        4,
        setrange,
        "Overwrites a part of the value of a key, creating it if it does not exist.",
    )
    .since("2.2.0")
    .flags(&["write", "denyoom"], CAT_WRITE)
    .keys(FIRST, &["RW", "update"])
    .linear()
    .args(SETRANGE_ARGS),
    row("substr", 4, getrange, "Returns a part of the value of a key, as GETRANGE does.")
        .flags(&["readonly"], CAT_READ_SLOW)
        .keys(FIRST, &["RO", "access"])
        .linear()
        .args(RANGE_ARGS),
];

fn append(mut call: Call<'_>) -> Planned {
    let (key, value) = call.take_pair(1)?;
    Plan::update(key, &Function::Append(value), answer_of)
}

fn setrange(mut call: Call<'_>) -> Planned {
    let offset = u64::try_from(integer(&call.args[2])?);
    let offset = offset.map_err(|_| Response::error("ERR offset is out of range"))?;
    let function = Function::SetRange { offset, value: call.take(3) };
    Plan::update(call.take(1), &function, answer_of)
}

fn getrange(mut call: Call<'_>) -> Planned {
    let (start, end) = (integer(&call.args[2])?, integer(&call.args[3])?);
    Plan::one(Operation::Get { key: call.take(1) }, move |outcomes| match read_of(outcomes) {
        Response::Bulk(value) => Response::Bulk(part(&value, start, end)),
        _ => Response::Bulk(Bytes::new()),
    })
}

/// From one place to another, both included; negative ones are counted from the end.
fn part(value: &Bytes, start: i64, end: i64) -> Bytes {
    let length = i64::try_from(value.len()).unwrap_or(i64::MAX);
    let place = |at: i64| if at < 0 { at.saturating_add(length).max(0) } else { at };
    // Two places before the front are both the front, but only in their order.
    let is_backward = start < 0 && end < 0 && start > end;
    let (start, end) = (place(start), place(end).min(length - 1));
    if is_backward || start > end {
        return Bytes::new();
    }
    let place = |at: i64| usize::try_from(at).unwrap_or(0);
    value.slice(place(start)..=place(end))
}
