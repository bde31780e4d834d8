//! Databases, of which there is one: 0.

use super::{CAT_CONNECTION, CAT_WRITE_KEY, FIRST, integer};
use crate::resp::command::{Call, Command, Plan, Planned, arg};
use crate::resp::response::Response;

const fn row(
    group: &'static str,
    name: &'static str,
    run: fn(Call<'_>) -> Planned,
    summary: &'static str,
) -> Command {
    Command::new(group, name, 3, run, summary)
}

pub(super) const COMMANDS: &[Command] = &[
    row("generic", "move", move_key, "Moves a key to another database; there is none.")
        .flags(&["write", "fast"], CAT_WRITE_KEY)
        .keys(FIRST, &["RW", "access", "delete"])
        .args(&[arg("key", "key"), arg("db", "integer")]),
    Command::new("connection", "select", 2, select, "Selects the database; there is only 0.")
        .flags(&["loading", "stale", "fast"], CAT_CONNECTION)
        .args(&[arg("index", "integer")]),
    row("server", "swapdb", swapdb, "Swaps two databases; there is only 0.")
        .since("4.0.0")
        .flags(&["write", "fast"], &["@keyspace", "@write", "@fast", "@dangerous"])
        .args(&[arg("index1", "integer"), arg("index2", "integer")]),
];

/// Whether an argument names the database that there is.
pub(super) fn check_index(index: &[u8]) -> Result<(), Response> {
    match integer(index)? {
        0 => Ok(()),
        index if i32::try_from(index).is_ok() => Err(Response::error("ERR DB index is out of range")),
        _ => Err(Response::error("ERR value is out of range, value must between -2147483648 and 2147483647")),
    }
}

/// What would be put where it is.
pub(super) fn same_object() -> Response {
    Response::error("ERR source and destination objects are the same")
}

fn select(call: Call<'_>) -> Planned {
    check_index(&call.args[1]).map(|()| Plan::Reply(Response::OK))
}

/// Another database would be out of range.
fn move_key(call: Call<'_>) -> Planned {
    check_index(&call.args[2])?;
    Err(same_object())
}

/// To swap the only one with itself is done at once.
fn swapdb(call: Call<'_>) -> Planned {
    let indices = [(&call.args[1], "first"), (&call.args[2], "second")];
    for (index, which) in indices {
        if integer(index).ok().and_then(|index| i32::try_from(index).ok()).is_none() {
            return Err(Response::err(format_args!("invalid {which} DB index")));
        }
    }
    for (index, _) in indices {
        check_index(index)?;
    }
    Ok(Plan::Reply(Response::OK))
}
