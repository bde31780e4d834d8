//! The node itself: `INFO` and `CONFIG`. The `COMMAND` family has a file of its own.

use super::{CAT_ADMIN, CAT_SLOW, SERVER, documentation, help, needs_subcommand};
use crate::resp::command::{Call, Command, Plan, Planned, arg};
use crate::resp::glob;
use crate::resp::response::Response;
use crate::resp::session::Section;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("server", name, arity, run, summary)
}

const CONFIG_FLAGS: &[&str] = &["admin", "noscript", "loading", "stale"];

const CONFIG: &[Command] = &[
    row("get", -3, config_get, "Returns the effective values of configuration parameters.")
        .since("2.0.0")
        .flags(CONFIG_FLAGS, CAT_ADMIN)
        .linear()
        .args(&[arg("parameter", "string").flags(&["multiple"])]),
    row("help", 2, config_help, "Returns helpful text about the subcommands.")
        .since("5.0.0")
        .flags(SERVER, CAT_SLOW),
    row("set", -4, config_set, "Not supported: returns an error.")
        .since("2.0.0")
        .flags(CONFIG_FLAGS, CAT_ADMIN)
        .args(&[arg("data", "block")
            .flags(&["multiple"])
            .of(&[arg("parameter", "string"), arg("value", "string")])]),
];

pub(super) const COMMANDS: &[Command] = &[
    row("command", -1, documentation::command, "Returns detailed information about all commands.")
        .since("2.8.13")
        .flags(SERVER, CAT_SLOW)
        .linear()
        .subcommands(documentation::SUBCOMMANDS),
    row("config", -2, needs_subcommand, "A container for server configuration commands.")
        .since("2.0.0")
        .flags(&[], CAT_ADMIN)
        .subcommands(CONFIG),
    row("info", -1, info, "Returns information and statistics about the node.")
        .flags(SERVER, &["@slow", "@dangerous"])
        .args(&[arg("section", "string").flags(&["optional", "multiple"])]),
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

fn config_get(call: Call<'_>) -> Planned {
    let mut wanted = call.host.config();
    wanted.retain(|(name, _)| call.args[2..].iter().any(|pattern| glob::matches(pattern, name.as_bytes())));
    let pairs = wanted.into_iter().map(|(name, value)| (Response::text(name), Response::text(value)));
    Ok(Plan::Reply(Response::Map(pairs.collect())))
}

fn config_set(_: Call<'_>) -> Planned {
    Err(Response::error(
        "ERR CONFIG SET is not supported: a node takes its settings from flags, environment and file at start",
    ))
}

fn config_help(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(help(
        "CONFIG",
        &[
            "GET <pattern> [<pattern> ...]",
            "    Return parameters matching the glob-like <pattern> and their values.",
        ],
    )))
}
