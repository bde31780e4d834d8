//! The node itself: `INFO`, and what time it is there. The `COMMAND` family has a file of its own.

use super::{CAT_SLOW, SERVER, documentation, integer};
use crate::resp::command::{Call, Command, Plan, Planned, arg};
use crate::resp::response::Response;
use crate::resp::session::Section;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("server", name, arity, run, summary)
}

pub(super) const COMMANDS: &[Command] = &[
    row("command", -1, documentation::command, "Returns detailed information about all commands.")
        .since("2.8.13")
        .flags(SERVER, CAT_SLOW)
        .linear()
        .subcommands(documentation::SUBCOMMANDS),
    row("info", -1, info, "Returns information and statistics about the node.")
        .flags(SERVER, &["@slow", "@dangerous"])
        .args(&[arg("section", "string").flags(&["optional", "multiple"])]),
    row("lolwut", -1, lolwut, "Returns a picture and the version.")
        .since("5.0.0")
        .flags(&["readonly", "fast"], &["@read", "@fast"])
        .args(&[arg("version", "integer").token("VERSION").flags(&["optional"])]),
    row("time", 1, time, "Returns the time of the node's clock.")
        .since("2.6.0")
        .flags(&["loading", "stale", "fast"], &["@fast"]),
];

/// Sections that only `INFO all` and `INFO everything` have, or who names them.
const EXTRA_SECTIONS: [&str; 1] = ["commandstats"];

fn info(call: Call<'_>) -> Planned {
    let names: BTreeSet<String> =
        call.args[1..].iter().map(|name| String::from_utf8_lossy(name).to_ascii_lowercase()).collect();
    let everything = names.contains("all") || names.contains("everything");
    let default = names.is_empty() || names.contains("default");
    let wanted =
        |name: &str| everything || names.contains(name) || default && !EXTRA_SECTIONS.contains(&name);
    let sections = call.host.info(&wanted).into_iter().map(|Section { name, rows }| {
        let rows = rows.iter().map(|(field, value)| format!("{field}:{value}\r\n"));
        format!("# {name}\r\n{}", rows.collect::<String>())
    });
    Ok(Plan::Reply(Response::Verbatim(sections.collect::<Vec<_>>().join("\r\n").into())))
}

/// Seconds and microseconds, of a clock that is read in milliseconds.
fn time(call: Call<'_>) -> Planned {
    let milliseconds = call.host.moments().latest.0;
    let parts = [milliseconds / 1000, milliseconds % 1000 * 1000];
    Ok(Plan::Reply(Response::Array(parts.map(|part| Response::text(part.to_string())).into())))
}

/// Three replicas, of which any two meet.
const PICTURE: &str = r"
          ( 1 )
          /   \
         /     \
      ( 2 )---( 3 )

   any two have one in common
";

fn lolwut(call: Call<'_>) -> Planned {
    if let [word, version, ..] = &call.args[1..]
        && word.eq_ignore_ascii_case(b"version")
    {
        integer(version)?;
    }
    let version = env!("CARGO_PKG_VERSION");
    Ok(Plan::Reply(Response::Verbatim(format!("{PICTURE}\nAtomic KV ver. {version}\n").into())))
}
