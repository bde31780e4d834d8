//! `ACL`: there is one user, `default`, who may do everything without a password.

use super::{COMMANDS as ALL, SERVER, help, needs_subcommand, shown};
use crate::resp::command::{Call, Command, Plan, Planned, arg};
use crate::resp::response::Response;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

/// As in Redis 7.0, and in its order.
const CATEGORIES: [&str; 21] = [
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

const ADMIN: &[&str] = &["admin", "noscript", "loading", "stale"];
const CAT_ADMIN: &[&str] = &["@admin", "@slow", "@dangerous"];

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("server", name, arity, run, summary).since("6.0.0").flags(ADMIN, CAT_ADMIN)
}

const ACL: &[Command] = &[
    row("cat", -2, cat, "Lists the categories, or the commands of one.")
        .flags(&["noscript", "loading", "stale"], &["@slow"])
        .args(&[arg("category", "string").flags(&["optional"])]),
    row("getuser", 3, getuser, "Returns what a user may do.").args(&[arg("username", "string")]),
    row("help", 2, acl_help, "Returns helpful text about the subcommands.").flags(SERVER, &["@slow"]),
    row("list", 2, list, "Returns the one user, as a configuration file has it."),
    row("users", 2, users, "Returns the name of the one user."),
    row("whoami", 2, whoami, "Returns the name of the one user.")
        .flags(&["noscript", "loading", "stale"], &["@slow"]),
];

pub(super) const COMMANDS: &[Command] =
    &[row("acl", -2, needs_subcommand, "A container for access control commands.")
        .flags(&[], &["@slow"])
        .subcommands(ACL)];

fn whoami(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(Response::text("default")))
}

fn users(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(Response::Array(vec![Response::text("default")])))
}

fn list(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(Response::Array(vec![Response::text("user default on nopass ~* &* +@all")])))
}

fn getuser(call: Call<'_>) -> Planned {
    if call.args[2] != "default" {
        return Ok(Plan::Reply(Response::Null));
    }
    let flags = ["on", "nopass"].map(Response::text);
    Ok(Plan::Reply(Response::map([
        ("flags", Response::Set(flags.into())),
        ("passwords", Response::Array(Vec::new())),
        ("commands", Response::text("+@all")),
        ("keys", Response::text("~*")),
        ("channels", Response::text("&*")),
        ("selectors", Response::Array(Vec::new())),
    ])))
}

fn cat(call: Call<'_>) -> Planned {
    let names = match &call.args[2..] {
        [] => CATEGORIES.iter().map(|&name| Response::text(name)).collect(),
        [wanted] if CATEGORIES.iter().any(|name| wanted.eq_ignore_ascii_case(name.as_bytes())) => {
            let is_in = |command: &Command| {
                command.categories.iter().any(|name| wanted.eq_ignore_ascii_case(&name.as_bytes()[1..]))
            };
            ALL.iter().flat_map(|command| in_category(command, &is_in)).collect()
        }
        [other] => return Err(Response::error(format!("ERR Unknown category '{}'", shown(other)))),
        _ => {
            return Err(Response::error(
                "ERR unknown subcommand or wrong number of arguments for 'CAT'. Try ACL HELP.",
            ));
        }
    };
    Ok(Plan::Reply(Response::Array(names)))
}

/// A command and those of its subcommands that are meant, by their names.
fn in_category(command: &Command, is_in: &dyn Fn(&Command) -> bool) -> Vec<Response> {
    let itself = is_in(command).then(|| Response::text(command.name));
    let subcommands = command.subcommands.iter().filter(|subcommand| is_in(subcommand));
    let subcommands = subcommands.map(|sub| Response::text(format!("{}|{}", command.name, sub.name)));
    itself.into_iter().chain(subcommands).collect()
}

fn acl_help(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(help(
        "ACL",
        &[
            "CAT [<category>]",
            "    List all commands that belong to <category>, or all command categories",
            "    when no category is specified.",
            "GETUSER <username>",
            "    Get the user's details.",
            "LIST",
            "    Show users details in config file format.",
            "USERS",
            "    List all the registered usernames.",
            "WHOAMI",
            "    Return the current connection username.",
        ],
    )))
}
