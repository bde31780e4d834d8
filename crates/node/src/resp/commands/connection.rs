//! What concerns a connection alone. The `CLIENT` family has a file of its own.

use super::{CAT_CONNECTION, CAT_SLOW, OPEN, client, needs_subcommand, number, shown};
use crate::resp::REDIS_VERSION;
use crate::resp::command::{Call, Command, Plan, Planned, arg, syntax_error};
use crate::resp::response::{Protocol, Response};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("connection", name, arity, run, summary).flags(OPEN, CAT_CONNECTION)
}

pub(super) const COMMANDS: &[Command] = &[
    row("auth", -2, auth, "Authenticates the connection.")
        .args(&[arg("username", "string").flags(&["optional"]), arg("password", "string")]),
    row("client", -2, needs_subcommand, "A container for client connection commands.")
        .since("2.4.0")
        .flags(&[], CAT_SLOW)
        .subcommands(client::SUBCOMMANDS),
    row("echo", 2, echo, "Returns the given string.")
        .flags(&["loading", "stale", "fast"], CAT_CONNECTION)
        .args(&[arg("message", "string")]),
    row("hello", -1, hello, "Handshakes with the server.").since("6.0.0").args(&[arg("arguments", "block")
        .flags(&["optional"])
        .of(&[
            arg("protover", "integer"),
            arg("auth", "block")
                .token("AUTH")
                .flags(&["optional"])
                .of(&[arg("username", "string"), arg("password", "string")]),
            arg("clientname", "string").token("SETNAME").flags(&["optional"]),
        ])]),
    row("ping", -1, ping, "Returns PONG, or the message.")
        .flags(&["fast"], CAT_CONNECTION)
        .args(&[arg("message", "string").flags(&["optional"])]),
    row("quit", -1, quit, "Closes the connection."),
    row("reset", 1, reset, "Resets the connection.").since("6.2.0"),
];

fn ping(mut call: Call<'_>) -> Planned {
    if call.session.listens_only() && call.args.len() <= 2 {
        let message = call.args.get_mut(1).map(core::mem::take).unwrap_or_default();
        return Ok(Plan::Reply(Response::Array(vec![Response::text("pong"), Response::Bulk(message)])));
    }
    Ok(Plan::Reply(match call.args.len() {
        1 => Response::Simple("PONG".into()),
        2 => Response::Bulk(call.take(1)),
        _ => return Err(call.wrong_arity()),
    }))
}

fn echo(mut call: Call<'_>) -> Planned {
    Ok(Plan::Reply(Response::Bulk(call.take(1))))
}

fn quit(_: Call<'_>) -> Planned {
    Ok(Plan::Last(Response::OK))
}

/// There is one user, `default`, without a password.
fn auth(call: Call<'_>) -> Planned {
    match &call.args[1..] {
        [_password] => Err(Response::error(
            "ERR AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?",
        )),
        [user, _password] => check_user(user).map(|()| Plan::Reply(Response::OK)),
        _ => Err(syntax_error()),
    }
}

/// As in Redis, a user without a password may give any.
fn check_user(user: &[u8]) -> Result<(), Response> {
    if user == b"default" {
        return Ok(());
    }
    Err(Response::error("WRONGPASS invalid username-password pair or user is disabled."))
}

fn hello(call: Call<'_>) -> Planned {
    let mut protocol = call.session.protocol();
    let mut name = None;
    if let [version, options @ ..] = &call.args[1..] {
        protocol = match number::<i64>(version) {
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return Err(Response::error("NOPROTO unsupported protocol version")),
            None => return Err(Response::error("ERR Protocol version is not an integer or out of range")),
        };
        let mut options = options;
        while let [option, after @ ..] = options {
            options = match after {
                [user, _password, after @ ..] if option.eq_ignore_ascii_case(b"auth") => {
                    check_user(user)?;
                    after
                }
                [value, after @ ..] if option.eq_ignore_ascii_case(b"setname") => {
                    name = Some(client::checked("Client names", value)?);
                    after
                }
                _ => {
                    let shown = shown(option);
                    return Err(Response::error(format!("ERR Syntax error in HELLO option '{shown}'")));
                }
            };
        }
    }
    call.session.speak(protocol);
    if let Some(name) = name {
        call.session.rename(call.host, |names| names.name = name);
    }
    let fields = [
        ("server", Response::text("atomic-kv")),
        ("version", Response::text(REDIS_VERSION)),
        ("proto", Response::Integer(protocol.number())),
        ("id", Response::Integer(i64::try_from(call.session.listed().id()).unwrap_or(i64::MAX))),
        ("mode", Response::text("standalone")),
        ("role", Response::text("master")),
        ("modules", Response::Array(Vec::new())),
    ];
    Ok(Plan::Reply(Response::map(fields)))
}

fn reset(call: Call<'_>) -> Planned {
    call.session.forget_transaction();
    call.session.speak(Protocol::Resp2);
    call.session.subscriptions.clear();
    call.session.rename(call.host, |names| names.name.clear());
    Ok(Plan::Reply(Response::Simple("RESET".into())))
}
