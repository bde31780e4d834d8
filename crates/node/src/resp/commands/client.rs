//! The `CLIENT` family: what a connection says about itself, and what it learns of others.

use super::{CAT_SLOW, SERVER, SESSION, help, kill, number, shown, tracking};
use crate::resp::command::{Arg, Call, Command, Plan, Planned, arg, syntax_error};
use crate::resp::response::Response;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

/// The longest name that a connection may give itself; it is kept as long as the connection lives.
const MAX_NAME_BYTES: usize = 1024;

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("connection", name, arity, run, summary).flags(SESSION, CAT_SLOW)
}

const SWITCH: &[Arg] =
    &[arg("enabled", "oneof")
        .of(&[arg("on", "pure-token").token("ON"), arg("off", "pure-token").token("OFF")])];

pub(super) const SUBCOMMANDS: &[Command] = &[
    row("caching", 3, tracking::caching, "Returns an error: no keys are tracked.")
        .since("6.0.0")
        .args(&[arg("mode", "oneof")
            .of(&[arg("yes", "pure-token").token("YES"), arg("no", "pure-token").token("NO")])]),
    row("getname", 2, getname, "Returns the name of the connection.").since("2.6.9"),
    row("getredir", 2, tracking::getredir, "Returns -1: no keys are tracked.").since("6.0.0"),
    row("help", 2, client_help, "Returns helpful text about the subcommands.")
        .since("5.0.0")
        .flags(SERVER, CAT_SLOW),
    row("id", 2, id, "Returns the unique ID of the connection.").since("5.0.0"),
    row("info", 2, info, "Returns information about the connection.").since("6.2.0"),
    row("kill", -3, kill::kill, "Closes connections.").since("2.4.0").linear().args(&[
        arg("ip:port", "string").flags(&["optional"]),
        arg("filter", "block")
            .flags(&["optional", "multiple"])
            .of(&[arg("name", "string"), arg("value", "string")]),
    ]),
    row("list", -2, list, "Lists open connections.").since("2.4.0").linear().args(&[
        arg("client-type", "oneof")
            .token("TYPE")
            .flags(&["optional"])
            .of(&[arg("normal", "pure-token").token("normal")]),
        arg("client-id", "integer").token("ID").flags(&["optional", "multiple"]),
    ]),
    row("no-evict", 3, switch, "Accepted without effect: no client is ever evicted.")
        .since("7.0.0")
        .args(SWITCH),
    row("no-touch", 3, switch, "Accepted without effect: reads leave no trace on keys.")
        .since("7.2.0")
        .args(SWITCH),
    row("reply", 3, tracking::reply, "Accepts ON: every request is answered.")
        .since("3.2.0")
        .args(&[arg("enabled", "oneof").of(&[arg("on", "pure-token").token("ON")])]),
    row("setinfo", 4, setinfo, "Sets the name or version of the client library.")
        .since("7.2.0")
        .args(&[arg("attr", "oneof")
            .of(&[arg("libname", "string").token("LIB-NAME"), arg("libver", "string").token("LIB-VER")])]),
    row("setname", 3, setname, "Sets the name of the connection.")
        .since("2.6.9")
        .args(&[arg("connection-name", "string")]),
    row("tracking", -3, tracking::tracking, "Accepts OFF: no keys are tracked.")
        .since("6.0.0")
        .args(&[arg("status", "oneof").of(&[arg("off", "pure-token").token("OFF")])]),
    row("trackinginfo", 2, tracking::trackinginfo, "Says that no keys are tracked.").since("6.2.0"),
    row("unblock", -3, tracking::unblock, "Returns 0: no client is blocked.").since("5.0.0").args(&[
        arg("client-id", "integer"),
        arg("unblock-type", "oneof")
            .flags(&["optional"])
            .of(&[arg("timeout", "pure-token").token("TIMEOUT"), arg("error", "pure-token").token("ERROR")]),
    ]),
];

fn id(call: Call<'_>) -> Planned {
    let id = i64::try_from(call.session.listed().id()).unwrap_or(i64::MAX);
    Ok(Plan::Reply(Response::Integer(id)))
}

fn getname(call: Call<'_>) -> Planned {
    Ok(Plan::Reply(match call.session.names().name.as_str() {
        "" => Response::Null,
        name => Response::text(name),
    }))
}

fn setname(call: Call<'_>) -> Planned {
    let name = checked("Client names", &call.args[2])?;
    call.session.rename(call.host, |names| names.name = name);
    Ok(Plan::Reply(Response::OK))
}

fn setinfo(call: Call<'_>) -> Planned {
    let (attribute, value) = (&call.args[2], &call.args[3]);
    if attribute.eq_ignore_ascii_case(b"lib-name") {
        let library = checked("lib-name", value)?;
        call.session.rename(call.host, |names| names.library = library);
    } else if attribute.eq_ignore_ascii_case(b"lib-ver") {
        let version = checked("lib-ver", value)?;
        call.session.rename(call.host, |names| names.library_version = version);
    } else {
        return Err(Response::error(format!("ERR Unrecognized option '{}'", shown(attribute))));
    }
    Ok(Plan::Reply(Response::OK))
}

fn switch(call: Call<'_>) -> Planned {
    match call.args[2].to_ascii_lowercase().as_slice() {
        b"on" | b"off" => Ok(Plan::Reply(Response::OK)),
        _ => Err(syntax_error()),
    }
}

fn info(call: Call<'_>) -> Planned {
    let line = call.session.listed().describe(call.session.names(), call.host.uptime());
    Ok(Plan::Reply(Response::Verbatim((line + "\n").into())))
}

fn list(call: Call<'_>) -> Planned {
    let mut clients = call.host.clients();
    clients.sort_unstable_by_key(|(client, _)| client.id());
    match &call.args[2..] {
        [] => {}
        [word, kind] if word.eq_ignore_ascii_case(b"type") => {
            if !is_normal(kind)? {
                clients.clear();
            }
        }
        [word, ids @ ..] if word.eq_ignore_ascii_case(b"id") && !ids.is_empty() => {
            let wanted: Option<BTreeSet<u64>> = ids.iter().map(|id| number(id)).collect();
            let wanted = wanted.ok_or_else(|| Response::error("ERR Invalid client ID"))?;
            clients.retain(|(client, _)| wanted.contains(&client.id()));
        }
        _ => return Err(syntax_error()),
    }
    let now = call.host.uptime();
    let lines = clients.iter().map(|(client, names)| client.describe(names, now) + "\n");
    Ok(Plan::Reply(Response::Verbatim(lines.collect::<String>().into())))
}

fn client_help(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(help(
        "CLIENT",
        &[
            "CACHING (YES|NO), GETREDIR, TRACKING OFF, TRACKINGINFO",
            "    Say that no keys are tracked.",
            "GETNAME",
            "    Return the name of the current connection.",
            "ID",
            "    Return the ID of the current connection.",
            "INFO",
            "    Return information about the current client connection.",
            "KILL <ip:port>",
            "    Close the connection with this address.",
            "KILL <filter> <value> [<filter> <value> ...]",
            "    Close the connections that all filters fit. They are: ID <id>, ADDR <ip:port>,",
            "    LADDR <ip:port>, TYPE <type>, USER <user>, MAXAGE <seconds>, SKIPME (YES|NO).",
            "LIST [TYPE normal | ID <id> ...]",
            "    Return information about client connections.",
            "NO-EVICT (ON|OFF), NO-TOUCH (ON|OFF)",
            "    Accepted without effect.",
            "REPLY ON, UNBLOCK <clientid> [TIMEOUT|ERROR]",
            "    Accepted without effect.",
            "SETINFO (LIB-NAME|LIB-VER) <value>",
            "    Set the name or version of the client library.",
            "SETNAME <name>",
            "    Assign the name <name> to the current connection.",
        ],
    )))
}

/// Whether a type of client in `CLIENT LIST` and `CLIENT KILL` is the only one that there is here.
pub(super) fn is_normal(kind: &[u8]) -> Result<bool, Response> {
    match kind.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(true),
        b"master" | b"replica" | b"slave" | b"pubsub" => Ok(false),
        _ => Err(Response::error(format!("ERR Unknown client type '{}'", shown(kind)))),
    }
}

/// A name that fits into a line of `CLIENT LIST`.
pub(super) fn checked(what: &str, name: &[u8]) -> Result<String, Response> {
    if name.len() > MAX_NAME_BYTES {
        return Err(Response::error(format!("ERR {what} cannot be longer than {MAX_NAME_BYTES} bytes")));
    }
    if !name.iter().all(u8::is_ascii_graphic) {
        return Err(Response::error(format!(
            "ERR {what} cannot contain spaces, newlines or special characters."
        )));
    }
    Ok(String::from_utf8_lossy(name).into_owned())
}
