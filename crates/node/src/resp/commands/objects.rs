//! What a key holds, but for its value: `TYPE`, `TOUCH`, `OBJECT`.

use super::{ALL, CAT_READ_KEY, FIRST, KEY, KEYS, READ, SERVER, help, needs_subcommand};
use crate::functions::parse_integer;
use crate::resp::command::{Call, Command, Plan, Planned};
use crate::resp::outcomes::{count_values, has_value, read_of};
use crate::resp::response::Response;
use abd::Operation;

const CAT_OBJECT: &[&str] = &["@keyspace", "@read", "@slow"];

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("generic", name, arity, run, summary)
}

const fn of_key(name: &'static str, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    row(name, 3, run, summary)
        .since("2.2.3")
        .flags(&["readonly"], CAT_OBJECT)
        .keys((2, 2, 1), &["RO"])
        .args(KEY)
}

const OBJECT: &[Command] = &[
    of_key("encoding", encoding, "Returns how Redis would encode a value."),
    of_key("freq", freq, "Not tracked: returns an error.").since("4.0.0"),
    row("help", 2, object_help, "Returns helpful text about the subcommands.")
        .since("6.2.0")
        .flags(SERVER, &["@keyspace", "@slow"]),
    of_key("idletime", idletime, "Not tracked: returns an error."),
    of_key("refcount", refcount, "Returns 1 for a key that exists."),
];

pub(super) const COMMANDS: &[Command] = &[
    row("object", -2, needs_subcommand, "A container for object introspection commands.")
        .since("2.2.3")
        .flags(&[], &["@slow"])
        .subcommands(OBJECT),
    row("touch", -2, touch, "Counts those of the keys that exist, as EXISTS does.")
        .since("3.2.1")
        .flags(READ, CAT_READ_KEY)
        .keys(ALL, &["RO"])
        .linear()
        .args(KEYS),
    row("type", 2, type_of, "Returns the type of the value of a key.")
        .flags(READ, CAT_READ_KEY)
        .keys(FIRST, &["RO"])
        .args(KEY),
];

fn touch(call: Call<'_>) -> Planned {
    let reads = call.args.into_iter().skip(1).map(|key| Operation::Get { key });
    Plan::several(reads, false, |outcomes| count_values(&outcomes))
}

fn type_of(mut call: Call<'_>) -> Planned {
    Plan::one(Operation::Get { key: call.take(1) }, |outcomes| {
        Response::Simple(if outcomes.iter().any(has_value) { "string" } else { "none" }.into())
    })
}

/// Nothing if the key is absent, and else what is made of its value.
fn about(mut call: Call<'_>, answer: fn(&[u8]) -> Response) -> Planned {
    Plan::one(Operation::Get { key: call.take(2) }, move |outcomes| match read_of(outcomes) {
        Response::Bulk(value) => answer(&value),
        absent => absent,
    })
}

fn encoding(call: Call<'_>) -> Planned {
    about(call, |value| Response::text(encoding_of(value)))
}

/// What Redis chooses for a value that is set.
fn encoding_of(value: &[u8]) -> &'static str {
    /// The longest string that is in one piece with its header.
    const EMBEDDED_MAX_BYTES: usize = 44;
    match value.len() {
        _ if parse_integer(value).is_some() => "int",
        ..=EMBEDDED_MAX_BYTES => "embstr",
        _ => "raw",
    }
}

/// Redis says so unless its `maxmemory-policy` needs to know.
fn freq(call: Call<'_>) -> Planned {
    about(call, |_| {
        Response::error(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
             between policies at runtime LRU and LFU data will take some time to adjust.",
        )
    })
}

fn idletime(call: Call<'_>) -> Planned {
    about(call, |_| Response::error("ERR idle time not tracked: reads leave no trace on keys"))
}

fn refcount(call: Call<'_>) -> Planned {
    about(call, |_| Response::Integer(1))
}

fn object_help(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(help(
        "OBJECT",
        &[
            "ENCODING <key>",
            "    Return the kind of internal representation used in order to store the value",
            "    associated with a <key>.",
            "FREQ <key>",
            "    Return the access frequency index of the <key>. The returned integer is",
            "    proportional to the logarithm of the recent access frequency of the key.",
            "IDLETIME <key>",
            "    Return the idle time of the <key>, that is the approximated number of",
            "    seconds elapsed since the last access to the key.",
            "REFCOUNT <key>",
            "    Return the number of references of the value associated with the specified",
            "    <key>.",
        ],
    )))
}
