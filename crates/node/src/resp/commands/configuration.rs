//! `CONFIG`: what a node was started with, and the few parameters that may change while it runs.

use super::{CAT_ADMIN, SERVER, help, needs_subcommand, shown};
use crate::glob;
use crate::resp::command::{Call, Command, Plan, Planned, arg, syntax_error};
use crate::resp::response::Response;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

const FLAGS: &[&str] = &["admin", "noscript", "loading", "stale"];

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("server", name, arity, run, summary).since("2.0.0").flags(FLAGS, CAT_ADMIN)
}

const CONFIG: &[Command] =
    &[
        row("get", -3, get, "Returns the effective values of configuration parameters.")
            .linear()
            .args(&[arg("parameter", "string").flags(&["multiple"])]),
        row("help", 2, config_help, "Returns helpful text about the subcommands.")
            .since("5.0.0")
            .flags(SERVER, &["@slow"]),
        row("set", -4, set, "Sets those configuration parameters that may change while the node runs.")
            .linear()
            .args(&[arg("data", "block")
                .flags(&["multiple"])
                .of(&[arg("parameter", "string"), arg("value", "string")])]),
    ];

pub(super) const COMMANDS: &[Command] =
    &[row("config", -2, needs_subcommand, "A container for server configuration commands.")
        .flags(&[], CAT_ADMIN)
        .subcommands(CONFIG)];

fn get(call: Call<'_>) -> Planned {
    let mut wanted = call.host.config();
    wanted.retain(|(name, _)| call.args[2..].iter().any(|pattern| glob::matches(pattern, name.as_bytes())));
    let pairs = wanted.into_iter().map(|(name, value)| (Response::text(name), Response::text(value)));
    Ok(Plan::Reply(Response::Map(pairs.collect())))
}

/// All of them or none. A value that a parameter has already may be set again, whatever it is.
fn set(call: Call<'_>) -> Planned {
    let words = &call.args[2..];
    if !words.len().is_multiple_of(2) {
        return Err(syntax_error());
    }
    let current = call.host.config();
    let mut changes: Vec<(String, &[u8])> = Vec::new();
    let mut names = BTreeSet::new();
    for pair in words.chunks_exact(2) {
        let name = String::from_utf8_lossy(&pair[0]).to_ascii_lowercase();
        let Some((_, value)) = current.iter().find(|(known, _)| *known == name) else {
            let name = shown(&pair[0]);
            return Err(Response::error(format!(
                "ERR Unknown option or number of arguments for CONFIG SET - '{name}'"
            )));
        };
        if !names.insert(name.clone()) {
            return Err(not_set(&name, "duplicate parameter"));
        }
        if value.as_bytes() != &pair[1][..] {
            changes.push((name, &pair[1]));
        }
    }
    let mut refused = None;
    call.host.slow(&mut |slow| {
        let refusal =
            |(name, value): &(String, &[u8])| Some((name.to_owned(), slow.set(name, value, true).err()?));
        refused = changes.iter().find_map(refusal);
        if refused.is_none() {
            for (name, value) in &changes {
                assert_eq!(slow.set(name, value, false), Ok(()), "it was tried before");
            }
        }
    });
    match refused {
        Some((name, why)) => Err(not_set(&name, why)),
        None => Ok(Plan::Reply(Response::OK)),
    }
}

fn not_set(name: &str, why: impl core::fmt::Display) -> Response {
    Response::error(format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}"))
}

fn config_help(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(help(
        "CONFIG",
        &[
            "GET <pattern>",
            "    Return parameters matching the glob-like <pattern> and their values.",
            "SET <directive> <value>",
            "    Set the configuration <directive> to <value>.",
        ],
    )))
}
