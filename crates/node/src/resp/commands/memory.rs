//! `MEMORY`: what takes memory.

use super::{SERVER, help, integer, needs_subcommand};
use crate::resp::command::{Call, Command, Plan, Planned, arg, syntax_error};
use crate::resp::outcomes::reply_of;
use crate::resp::response::Response;
use crate::resp::session::Host;
use abd::{Operation, Version};
use alloc::format;
use alloc::string::String;

/// What a version of a key takes in the cache of a node beside its key and value: the version itself, its deadline and place, and a
/// share of the table.
const ENTRY_BYTES: usize = Version::LEN + 104;

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("server", name, arity, run, summary).since("4.0.0").flags(&[], &["@slow"])
}

const MEMORY: &[Command] = &[
    row("doctor", 2, doctor, "Returns what takes memory, and its bounds."),
    row("help", 2, memory_help, "Returns helpful text about the subcommands.").flags(SERVER, &["@slow"]),
    row("malloc-stats", 2, malloc_stats, "Not told by the allocator: says so."),
    row("purge", 2, purge, "Gives memory that is free back to the system."),
    row("stats", 2, stats, "Returns what the node's memory is used for."),
    row("usage", -3, usage, "Estimates the memory of a key and its value.")
        .flags(&["readonly"], &["@read", "@slow"])
        .keys((2, 2, 1), &["RO"])
        .args(&[arg("key", "key"), arg("count", "integer").token("SAMPLES").flags(&["optional"])]),
];

pub(super) const COMMANDS: &[Command] =
    &[row("memory", -2, needs_subcommand, "A container for memory diagnostics commands.")
        .subcommands(MEMORY)];

fn usage(mut call: Call<'_>) -> Planned {
    let mut words = call.args[3..].iter();
    while let Some(word) = words.next() {
        match words.next() {
            Some(count) if word.eq_ignore_ascii_case(b"samples") && integer(count)? >= 0 => {}
            _ => return Err(syntax_error()),
        }
    }
    let key = call.take(2);
    let key_bytes = key.len();
    Plan::one(Operation::Get { key }, move |outcomes| match outcomes.into_iter().next().map(reply_of) {
        Some(Response::Bulk(value)) => Response::count(key_bytes + value.len() + ENTRY_BYTES),
        _ => Response::Null,
    })
}

/// The number that a field of `INFO` is.
fn field(host: &dyn Host, section: &str, name: &str) -> i64 {
    let sections = host.info(&|wanted| wanted == section);
    let rows = sections.iter().flat_map(|section| &section.rows);
    rows.into_iter().find(|(field, _)| field == name).and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

fn stats(call: Call<'_>) -> Planned {
    let field = |section, name| Response::Integer(field(call.host, section, name));
    Ok(Plan::Reply(Response::map([
        ("peak.allocated", field("memory", "used_memory_peak")),
        ("total.allocated", field("memory", "used_memory")),
        ("clients.normal", field("clients", "clients_memory")),
        ("keys.count", field("node", "keys_estimate")),
    ])))
}

fn doctor(call: Call<'_>) -> Planned {
    let field = |section, name| field(call.host, section, name);
    let report: String = format!(
        "Sam, whatever others can make this node hold has a bound (docs/OPERATING.md). The process has {} bytes of the machine and had \
         {} at the most; clients hold {} of the {} bytes that they may.\n",
        field("memory", "used_memory_rss"),
        field("memory", "used_memory_peak"),
        field("clients", "clients_memory"),
        field("clients", "clients_memory_limit"),
    );
    Ok(Plan::Reply(Response::Verbatim(report.into())))
}

fn malloc_stats(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(Response::text("Stats not supported for the current allocator")))
}

fn purge(call: Call<'_>) -> Planned {
    call.host.give_memory_back();
    Ok(Plan::Reply(Response::OK))
}

fn memory_help(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(help(
        "MEMORY",
        &[
            "DOCTOR",
            "    Return memory problems reports.",
            "MALLOC-STATS",
            "    Return internal statistics report from the memory allocator.",
            "PURGE",
            "    Attempt to purge dirty pages for reclamation by the allocator.",
            "STATS",
            "    Return information about the memory usage of the server.",
            "USAGE <key> [SAMPLES <count>]",
            "    Return memory in bytes used by <key> and its value. Nested values are",
            "    sampled up to <count> times (default: 5, 0 means sample all).",
        ],
    )))
}
