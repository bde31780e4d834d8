//! `MULTI` and its relatives: what they mean is in [`transaction`](crate::resp::transaction) and [`execution`].

use super::{ALL, KEYS};
use crate::resp::command::{Call, Command, Plan, Planned};
use crate::resp::execution;
use crate::resp::outcomes::version_of_one;
use crate::resp::response::Response;
use abd::Operation;

const FLAGS: &[&str] = &["noscript", "loading", "stale", "fast", "allow_busy"];
const CATEGORIES: &[&str] = &["@fast", "@transaction"];

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("transactions", name, arity, run, summary).flags(FLAGS, CATEGORIES)
}

pub(super) const COMMANDS: &[Command] = &[
    row("discard", 1, discard, "Forgets the commands that are queued, and the keys that are watched.")
        .since("2.0.0"),
    row("exec", 1, exec, "Carries out the commands that are queued, unless a watched key has changed.")
        .since("1.2.0")
        .flags(&["noscript", "loading", "stale", "skip_slowlog"], &["@slow", "@transaction"]),
    row("multi", 1, multi, "Begins a transaction: the commands that follow are queued.").since("1.2.0"),
    row("unwatch", 1, unwatch, "Forgets the keys that are watched.").since("2.2.0"),
    row("watch", -2, watch, "Watches keys: EXEC does nothing once one of them has changed.")
        .since("2.2.0")
        .keys(ALL, &["RO"])
        .linear()
        .args(KEYS),
];

fn multi(call: Call<'_>) -> Planned {
    call.session.transaction().open()?;
    Ok(Plan::Reply(Response::OK))
}

fn discard(call: Call<'_>) -> Planned {
    call.session.transaction().discard()?;
    Ok(Plan::Reply(Response::OK))
}

fn unwatch(call: Call<'_>) -> Planned {
    call.session.transaction().unwatch();
    Ok(Plan::Reply(Response::OK))
}

/// A key is watched from the moment at which it is read.
fn watch(call: Call<'_>) -> Planned {
    let (keys, watched) = call.session.transaction().watch(call.args)?;
    if keys.is_empty() {
        return Ok(Plan::Reply(Response::OK));
    }
    let reads = keys.into_iter().map(|key| Operation::Get { key });
    Plan::several(reads, false, move |outcomes| {
        watched.found(outcomes.iter().map(version_of_one));
        Response::OK
    })
}

fn exec(call: Call<'_>) -> Planned {
    let executed = call.session.transaction().execute()?;
    execution::plan(executed, call.session, call.host)
}
