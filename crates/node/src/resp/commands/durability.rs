//! What Redis does to keep its data. Here every write that was answered is on the disks of a majority, so there is nothing to do.

use super::CAT_ADMIN;
use crate::resp::command::{Call, Command, Plan, Planned, arg, syntax_error};
use crate::resp::response::Response;

const ADMIN: &[&str] = &["admin", "noscript"];

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("server", name, arity, run, summary).flags(ADMIN, CAT_ADMIN)
}

pub(super) const COMMANDS: &[Command] = &[
    row("bgrewriteaof", 1, bgrewriteaof, "Accepted without effect: logs are tidied all the time."),
    row("bgsave", -1, bgsave, "Accepted without effect: what is answered is durable.").args(&[arg(
        "schedule",
        "pure-token",
    )
    .token("SCHEDULE")
    .flags(&["optional"])]),
    row("lastsave", 1, lastsave, "Returns the Unix time now: what is answered is durable.")
        .flags(&["loading", "stale", "fast"], &["@admin", "@fast", "@dangerous"]),
    row("save", 1, save, "Accepted without effect: what is answered is durable.")
        .flags(&["admin", "noscript", "no_multi"], CAT_ADMIN),
    row("shutdown", -1, shutdown, "Not supported: returns an error.")
        .flags(&["admin", "noscript", "loading", "stale", "no_multi", "allow_busy"], CAT_ADMIN),
];

fn save(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(Response::OK))
}

fn bgsave(call: Call<'_>) -> Planned {
    match &call.args[1..] {
        [] => {}
        [word] if word.eq_ignore_ascii_case(b"schedule") => {}
        _ => return Err(syntax_error()),
    }
    Ok(Plan::Reply(Response::Simple("Background saving started".into())))
}

fn bgrewriteaof(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(Response::Simple("Background append only file rewriting started".into())))
}

fn lastsave(call: Call<'_>) -> Planned {
    let seconds = call.host.moments().latest.0 / 1000;
    Ok(Plan::Reply(Response::Integer(i64::try_from(seconds).unwrap_or(i64::MAX))))
}

/// A client that could end nodes could end all of them.
fn shutdown(_: Call<'_>) -> Planned {
    Err(Response::error(
        "ERR SHUTDOWN is not supported: stop the node itself, by SIGTERM or its service manager",
    ))
}
