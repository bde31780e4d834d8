//! The `COMMAND` family, which shows the table of commands to clients.

use super::{CAT_SLOW, COMMANDS, COUNT, SERVER, help};
use crate::glob;
use crate::resp::command::{Arg, Call, Command, Plan, Planned, arg, find, syntax_error};
use crate::resp::response::Response;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// The most names that one `COMMAND INFO` or `COMMAND DOCS` may ask for: a reply is far larger than a name.
const MAX_NAMES: usize = 1024;

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("server", name, arity, run, summary).flags(SERVER, CAT_SLOW)
}

const NAMES: &[Arg] = &[arg("command-name", "string").flags(&["optional", "multiple"])];

pub(super) const SUBCOMMANDS: &[Command] = &[
    row("count", 2, count, "Returns a count of commands.").since("2.8.13"),
    row("docs", -2, docs, "Returns documentary information about commands.")
        .since("7.0.0")
        .linear()
        .args(NAMES),
    row("getkeys", -3, getkeys, "Extracts the key names from an arbitrary command.")
        .since("2.8.13")
        .linear()
        .args(&[arg("command", "string"), arg("arg", "string").flags(&["optional", "multiple"])]),
    row("help", 2, command_help, "Returns helpful text about the subcommands.").since("5.0.0"),
    row("info", -2, info, "Returns information about commands.").since("2.8.13").linear().args(NAMES),
    row("list", -2, list, "Returns a list of command names.").since("7.0.0").linear().args(&[arg(
        "filterby", "oneof",
    )
    .token("FILTERBY")
    .flags(&["optional"])
    .of(&[
        arg("module-name", "string").token("MODULE"),
        arg("category", "string").token("ACLCAT"),
        arg("pattern", "pattern").token("PATTERN"),
    ])]),
];

pub(super) fn command(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(Response::Array(COMMANDS.iter().map(|command| described(command, None)).collect())))
}

fn count(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(Response::count(COUNT)))
}

fn docs(call: Call<'_>) -> Planned {
    Ok(Plan::Reply(match names(&call)? {
        [] => docs_of(COMMANDS.iter().map(|command| (command, None))),
        names => docs_of(names.iter().filter_map(|name| qualified(name))),
    }))
}

fn info(call: Call<'_>) -> Planned {
    let names = names(&call)?;
    if names.is_empty() {
        return command(call);
    }
    let infos = names.iter().map(|name| {
        qualified(name).map_or(Response::NullArray, |(command, parent)| described(command, parent))
    });
    Ok(Plan::Reply(Response::Array(infos.collect())))
}

fn names<'a>(call: &'a Call<'_>) -> Result<&'a [Bytes], Response> {
    let names = &call.args[2..];
    if names.len() > MAX_NAMES {
        let count = names.len();
        return Err(Response::error(format!(
            "ERR too many command names: {count}, the limit is {MAX_NAMES}"
        )));
    }
    Ok(names)
}

fn getkeys(call: Call<'_>) -> Planned {
    let about = &call.args[2..];
    let Some(command) = meant(about) else {
        return Err(Response::error("ERR Invalid command specified"));
    };
    if command.keys.0 == 0 {
        return Err(Response::error("ERR The command has no key arguments"));
    }
    if !command.accepts(about.len()) {
        return Err(Response::error("ERR Invalid number of arguments specified for command"));
    }
    Ok(Plan::Reply(Response::Array(command.keys_of(about).cloned().map(Response::Bulk).collect())))
}

/// The command or subcommand that words begin with.
fn meant(words: &[Bytes]) -> Option<&'static Command> {
    let command = find(&COMMANDS, words.first()?)?;
    match words.get(1) {
        Some(name) if !command.subcommands.is_empty() => find(command.subcommands, name),
        _ => Some(command),
    }
}

fn list(call: Call<'_>) -> Planned {
    let wanted: Box<dyn Fn(&Command) -> bool + '_> = match &call.args[2..] {
        [] => Box::new(|_| true),
        [word, kind, value] if word.eq_ignore_ascii_case(b"filterby") => {
            match kind.to_ascii_lowercase().as_slice() {
                b"module" => Box::new(|_| false),
                b"aclcat" => Box::new(move |command| {
                    let mut categories = command.categories.iter();
                    categories.any(|category| value.eq_ignore_ascii_case(&category.as_bytes()[1..]))
                }),
                b"pattern" => Box::new(move |command| glob::matches(value, command.name.as_bytes())),
                _ => return Err(syntax_error()),
            }
        }
        _ => return Err(syntax_error()),
    };
    let names = COMMANDS.iter().filter(|command| wanted(command)).map(|command| Response::text(command.name));
    Ok(Plan::Reply(Response::Array(names.collect())))
}

fn command_help(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(help(
        "COMMAND",
        &[
            "(no subcommand)",
            "    Return details about all commands.",
            "COUNT",
            "    Return the total number of commands.",
            "LIST [FILTERBY (MODULE|ACLCAT|PATTERN) <name>]",
            "    Return a list of all commands.",
            "INFO [<command-name> ...]",
            "    Return details about multiple commands.",
            "DOCS [<command-name> ...]",
            "    Return documentation details about multiple commands.",
            "GETKEYS <full-command>",
            "    Return the keys from a full command.",
        ],
    )))
}

type Qualified = (&'static Command, Option<&'static str>);

/// Finds `name` or `name|subcommand`; the second part of the answer is the parent's name.
fn qualified(name: &[u8]) -> Option<Qualified> {
    let mut parts = name.splitn(2, |&byte| byte == b'|');
    let parent = find(&COMMANDS, parts.next()?)?;
    match parts.next() {
        None => Some((parent, None)),
        Some(sub) => Some((find(parent.subcommands, sub)?, Some(parent.name))),
    }
}

fn full_name(command: &Command, parent: Option<&str>) -> Response {
    let name = command.name;
    Response::text(parent.map_or_else(|| name.to_owned(), |parent| format!("{parent}|{name}")))
}

fn words(words: &'static [&'static str]) -> Vec<Response> {
    words.iter().map(|&word| Response::Simple(word.into())).collect()
}

fn number(number: i32) -> Response {
    Response::Integer(number.into())
}

/// The ten fields of `COMMAND INFO`.
fn described(command: &Command, parent: Option<&str>) -> Response {
    let (first, last, step) = command.keys;
    let subcommands = command.subcommands.iter().map(|sub| described(sub, Some(command.name))).collect();
    Response::Array(vec![
        full_name(command, parent),
        number(command.arity),
        Response::Set(words(command.flags)),
        number(first),
        number(last),
        number(step),
        Response::Set(words(command.categories)),
        Response::Array(Vec::new()),
        Response::Array(if first == 0 { Vec::new() } else { vec![key_spec(command)] }),
        Response::Array(subcommands),
    ])
}

fn key_spec(command: &Command) -> Response {
    let (first, last, step) = command.keys;
    let last = if last < 0 { last } else { last - first };
    let at = Response::map([("index", number(first))]);
    let begin = Response::map([("type", Response::text("index")), ("spec", at)]);
    let range = Response::map([("lastkey", number(last)), ("keystep", number(step)), ("limit", number(0))]);
    let find = Response::map([("type", Response::text("range")), ("spec", range)]);
    let flags = Response::Set(words(command.key_use));
    Response::map([("flags", flags), ("begin_search", begin), ("find_keys", find)])
}

fn docs_of(commands: impl Iterator<Item = Qualified>) -> Response {
    Response::Map(commands.map(|(command, parent)| (full_name(command, parent), doc(command))).collect())
}

fn doc(command: &'static Command) -> Response {
    let mut fields = vec![
        ("summary", Response::text(command.summary)),
        ("since", Response::text(command.since)),
        ("group", Response::text(command.group)),
        ("complexity", Response::text(command.complexity)),
    ];
    if !command.args.is_empty() {
        fields.push(("arguments", arguments(command.args)));
    }
    if !command.subcommands.is_empty() {
        let subcommands = command.subcommands.iter().map(|sub| (sub, Some(command.name)));
        fields.push(("subcommands", docs_of(subcommands)));
    }
    Response::map(fields)
}

fn arguments(args: &'static [Arg]) -> Response {
    Response::Array(args.iter().map(argument).collect())
}

fn argument(arg: &'static Arg) -> Response {
    let mut fields = vec![("name", Response::text(arg.name)), ("type", Response::text(arg.kind))];
    if arg.args.is_empty() {
        fields.push(("display_text", Response::text(arg.name)));
    }
    if arg.kind == "key" {
        fields.push(("key_spec_index", Response::Integer(0)));
    }
    if let Some(token) = arg.token {
        fields.push(("token", Response::text(token)));
    }
    if !arg.flags.is_empty() {
        fields.push(("flags", Response::Array(words(arg.flags))));
    }
    if !arg.args.is_empty() {
        fields.push(("arguments", arguments(arg.args)));
    }
    Response::map(fields)
}
