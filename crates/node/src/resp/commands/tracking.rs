//! Subcommands of `CLIENT` that libraries send about what this node does not do: it tracks no keys for its clients, blocks none, and
//! answers every request.

use super::integer;
use crate::resp::command::{Call, Plan, Planned, syntax_error};
use crate::resp::response::Response;
use alloc::vec::Vec;

pub(super) fn tracking(call: Call<'_>) -> Planned {
    let mut words = call.args[3..].iter();
    while let Some(word) = words.next() {
        match word.to_ascii_lowercase().as_slice() {
            b"bcast" | b"optin" | b"optout" | b"noloop" => {}
            b"redirect" | b"prefix" if words.next().is_some() => {}
            _ => return Err(syntax_error()),
        }
    }
    match call.args[2].to_ascii_lowercase().as_slice() {
        b"off" => Ok(Plan::Reply(Response::OK)),
        b"on" => Err(Response::error(
            "ERR CLIENT TRACKING ON is not supported: nobody would tell which keys have changed",
        )),
        _ => Err(syntax_error()),
    }
}

pub(super) fn trackinginfo(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(Response::map([
        ("flags", Response::Set([Response::text("off")].into())),
        ("redirect", Response::Integer(-1)),
        ("prefixes", Response::Array(Vec::new())),
    ])))
}

pub(super) fn getredir(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(Response::Integer(-1)))
}

pub(super) fn caching(_: Call<'_>) -> Planned {
    Err(Response::error(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
    ))
}

pub(super) fn reply(call: Call<'_>) -> Planned {
    match call.args[2].to_ascii_lowercase().as_slice() {
        b"on" => Ok(Plan::Reply(Response::OK)),
        b"off" | b"skip" => {
            Err(Response::error("ERR CLIENT REPLY is not supported but for ON: every request is answered"))
        }
        _ => Err(syntax_error()),
    }
}

/// Nobody is blocked.
pub(super) fn unblock(call: Call<'_>) -> Planned {
    match &call.args[3..] {
        [] => {}
        [reason] if reason.eq_ignore_ascii_case(b"timeout") || reason.eq_ignore_ascii_case(b"error") => {}
        [_] => return Err(Response::error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
        _ => {
            return Err(Response::error(
                "ERR unknown subcommand or wrong number of arguments for 'UNBLOCK'. Try CLIENT HELP.",
            ));
        }
    }
    integer(&call.args[2])?;
    Ok(Plan::Reply(Response::Integer(0)))
}
