//! Keys, whatever they hold.

use super::{ALL, CAT_READ_KEY, CAT_WRITE_KEY, KEYS, READ, WRITE};
use crate::resp::command::{Call, Command, Plan, Planned};
use crate::resp::outcomes::{has_taken_away, has_value};
use crate::resp::response::Response;
use abd::Operation;
use alloc::vec::Vec;
use bytes::Bytes;

const fn row(name: &'static str, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("generic", name, -2, run, summary).linear().args(KEYS)
}

pub(super) const COMMANDS: &[Command] = &[
    row("del", del, "Deletes keys, each by itself, and counts those seen present.")
        .flags(WRITE, CAT_WRITE_KEY)
        .keys(ALL, &["RM", "delete"]),
    row("exists", exists, "Counts those of the keys that exist, each looked at by itself.")
        .flags(READ, CAT_READ_KEY)
        .keys(ALL, &["RO"]),
    row("unlink", del, "Deletes keys, as DEL does.")
        .since("4.0.0")
        .flags(&["write", "fast"], &["@keyspace", "@write", "@fast"])
        .keys(ALL, &["RM", "delete"]),
];

/// Repeated keys count once, as they are deleted once.
fn del(call: Call<'_>) -> Planned {
    let mut keys: Vec<Bytes> = call.args.into_iter().skip(1).collect();
    keys.sort();
    keys.dedup();
    let deletes = keys.into_iter().map(|key| Operation::Delete { key });
    Plan::several(deletes, false, |outcomes| {
        Response::count(outcomes.iter().filter(|outcome| has_taken_away(outcome)).count())
    })
}

/// A repeated key counts as often as it is named.
fn exists(call: Call<'_>) -> Planned {
    let reads = call.args.into_iter().skip(1).map(|key| Operation::Get { key });
    Plan::several(reads, false, |outcomes| {
        Response::count(outcomes.iter().filter(|outcome| has_value(outcome)).count())
    })
}
