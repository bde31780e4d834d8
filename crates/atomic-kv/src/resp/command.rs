//! Look-up in the table of commands, and the `COMMAND` family that shows it to clients.

use bytes::Bytes;

use super::glob;
use super::response::Response;
use super::table::{Arg, COMMANDS, Spec};

/// The most names that one `COMMAND INFO` or `COMMAND DOCS` may ask for: a reply is far larger than a name.
const MAX_NAMES: usize = 1024;

const HELP: &[&str] = &[
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
];

/// The place of a name in a table, without regard to case.
pub(super) fn position(table: &[Spec], name: &[u8]) -> Option<usize> {
    table.iter().position(|spec| name.eq_ignore_ascii_case(spec.name.as_bytes()))
}

fn find(table: &'static [Spec], name: &[u8]) -> Option<&'static Spec> {
    position(table, name).map(|place| &table[place])
}

impl Spec {
    /// Whether so many arguments, name included, are right.
    pub(super) fn accepts(&self, count: usize) -> bool {
        let wanted = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { count >= wanted } else { count == wanted }
    }

    /// The keys among a command's arguments.
    pub(super) fn keys_of<'a>(&self, args: &'a [Bytes]) -> &'a [Bytes] {
        match self.keys {
            (0, ..) => &[],
            (_, last, _) if last < 0 => &args[1..],
            _ => &args[1..2],
        }
    }
}

/// Answers `COMMAND` with arguments that fit the table.
pub(super) fn answer(subcommand: Option<&Spec>, args: &[Bytes]) -> Response {
    let Some(subcommand) = subcommand else {
        return Response::Array(COMMANDS.iter().map(|spec| info(spec, None)).collect());
    };
    let names = &args[2..];
    match subcommand.name {
        "count" => Response::Integer(i64::try_from(COMMANDS.len()).unwrap_or(i64::MAX)),
        "docs" | "info" if names.len() > MAX_NAMES => {
            Response::error(format!("ERR too many command names: {}, the limit is {MAX_NAMES}", names.len()))
        }
        "docs" if names.is_empty() => docs(COMMANDS.iter().map(|spec| (spec, None))),
        "docs" => docs(names.iter().filter_map(|name| qualified(name))),
        "info" if names.is_empty() => Response::Array(COMMANDS.iter().map(|spec| info(spec, None)).collect()),
        "info" => Response::Array(
            names
                .iter()
                .map(|name| qualified(name).map_or(Response::NullArray, |(spec, parent)| info(spec, parent)))
                .collect(),
        ),
        "getkeys" => keys(names),
        "list" => names_of(names),
        _ => help("COMMAND", HELP),
    }
}

/// The reply to `HELP`, in Redis' form.
pub(super) fn help(command: &str, lines: &[&'static str]) -> Response {
    let first = format!("{command} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:").into();
    let rest =
        lines.iter().chain(&["HELP", "    Print this help."]).map(|&line| Response::Simple(line.into()));
    Response::Array(std::iter::once(Response::Simple(first)).chain(rest).collect())
}

type Qualified = (&'static Spec, Option<&'static str>);

/// Finds `name` or `name|subcommand`; the second part of the answer is the parent's name.
fn qualified(name: &[u8]) -> Option<Qualified> {
    let mut parts = name.splitn(2, |&byte| byte == b'|');
    let parent = find(COMMANDS, parts.next()?)?;
    match parts.next() {
        None => Some((parent, None)),
        Some(sub) => Some((find(parent.subcommands, sub)?, Some(parent.name))),
    }
}

fn full_name(spec: &Spec, parent: Option<&str>) -> Response {
    Response::text(parent.map_or_else(|| spec.name.to_owned(), |parent| format!("{parent}|{}", spec.name)))
}

fn words(words: &'static [&'static str]) -> Vec<Response> {
    words.iter().map(|&word| Response::Simple(word.into())).collect()
}

fn number(number: i32) -> Response {
    Response::Integer(number.into())
}

/// The ten fields of `COMMAND INFO`.
fn info(spec: &Spec, parent: Option<&str>) -> Response {
    let (first, last, step) = spec.keys;
    let subcommands = spec.subcommands.iter().map(|sub| info(sub, Some(spec.name))).collect();
    Response::Array(vec![
        full_name(spec, parent),
        number(spec.arity),
        Response::Set(words(spec.flags)),
        number(first),
        number(last),
        number(step),
        Response::Set(words(spec.categories)),
        Response::Array(Vec::new()),
        Response::Array(if first == 0 { Vec::new() } else { vec![key_spec(spec)] }),
        Response::Array(subcommands),
    ])
}

fn map(pairs: Vec<(&'static str, Response)>) -> Response {
    Response::Map(pairs.into_iter().map(|(name, value)| (Response::text(name), value)).collect())
}

fn key_spec(spec: &Spec) -> Response {
    let (first, last, step) = spec.keys;
    let last = if last < 0 { last } else { last - first };
    let begin = map(vec![("type", Response::text("index")), ("spec", map(vec![("index", number(first))]))]);
    let range = map(vec![("lastkey", number(last)), ("keystep", number(step)), ("limit", number(0))]);
    let find = map(vec![("type", Response::text("range")), ("spec", range)]);
    map(vec![("flags", Response::Set(words(spec.key_use))), ("begin_search", begin), ("find_keys", find)])
}

fn docs(specs: impl Iterator<Item = Qualified>) -> Response {
    Response::Map(specs.map(|(spec, parent)| (full_name(spec, parent), doc(spec))).collect())
}

fn doc(spec: &'static Spec) -> Response {
    let mut fields = vec![
        ("summary", Response::text(spec.summary)),
        ("since", Response::text(spec.since)),
        ("group", Response::text(spec.group)),
        ("complexity", Response::text(spec.complexity)),
    ];
    if !spec.args.is_empty() {
        fields.push(("arguments", arguments(spec.args)));
    }
    if !spec.subcommands.is_empty() {
        fields.push(("subcommands", docs(spec.subcommands.iter().map(|sub| (sub, Some(spec.name))))));
    }
    map(fields)
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
    map(fields)
}

fn keys(command: &[Bytes]) -> Response {
    let Some(spec) = find(COMMANDS, &command[0]) else {
        return Response::error("ERR Invalid command specified");
    };
    if spec.keys.0 == 0 {
        return Response::error("ERR The command has no key arguments");
    }
    if !spec.accepts(command.len()) {
        return Response::error("ERR Invalid number of arguments specified for command");
    }
    Response::Array(spec.keys_of(command).iter().cloned().map(Response::Bulk).collect())
}

fn names_of(filter: &[Bytes]) -> Response {
    let wanted: Box<dyn Fn(&Spec) -> bool> = match filter {
        [] => Box::new(|_| true),
        [word, kind, value] if word.eq_ignore_ascii_case(b"filterby") => {
            match kind.to_ascii_lowercase().as_slice() {
                b"module" => Box::new(|_| false),
                b"aclcat" => Box::new(|spec| {
                    spec.categories
                        .iter()
                        .any(|category| value.eq_ignore_ascii_case(&category.as_bytes()[1..]))
                }),
                b"pattern" => Box::new(|spec| glob::matches(value, spec.name.as_bytes())),
                _ => return Response::error("ERR syntax error"),
            }
        }
        _ => return Response::error("ERR syntax error"),
    };
    Response::Array(
        COMMANDS.iter().filter(|spec| wanted(spec)).map(|spec| Response::text(spec.name)).collect(),
    )
}
