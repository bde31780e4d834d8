//! `FLUSHDB` and `FLUSHALL`: every key is deleted by itself, page by page. What is written meanwhile stays, as each key is deleted
//! at the version at which it was found. Whoever is interrupted repeats it, and it goes on with what is left.

use super::keyspace::page;
use crate::functions::{Condition, Function};
use crate::inquiry::listing::{PAGE_BYTES, Wanted};
use crate::resp::command::{Arg, Call, Command, Operations, Plan, Planned, Stage, Step, arg, syntax_error};
use crate::resp::outcomes::{Outcomes, has_taken_away, lacks_room};
use crate::resp::response::Response;
use crate::resp::session::Host;
use abd::{Operation, Outcome, Reason, Version};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// Keys that are deleted at a time.
const AT_A_TIME: u32 = 256;

const FLUSH_ARGS: &[Arg] = &[arg("flush-type", "oneof")
    .flags(&["optional"])
    .of(&[arg("async", "pure-token").token("ASYNC"), arg("sync", "pure-token").token("SYNC")])];

const fn row(name: &'static str) -> Command {
    Command::new("server", name, -1, flush, "Deletes all keys, each by itself.")
        .flags(&["write", "noscript", "no_multi"], &["@keyspace", "@write", "@slow", "@dangerous"])
        .linear()
        .args(FLUSH_ARGS)
}

pub(super) const COMMANDS: &[Command] = &[row("flushall"), row("flushdb")];

fn flush(call: Call<'_>) -> Planned {
    match &call.args[1..] {
        [] => {}
        [how] if how.eq_ignore_ascii_case(b"sync") => {}
        [how] if how.eq_ignore_ascii_case(b"async") => {
            call.host.flush_in_background();
            return Ok(Plan::Reply(Response::OK));
        }
        _ => return Err(syntax_error()),
    }
    delete_behind(None)
}

/// Deletes all keys behind this one.
fn delete_behind(after: Option<Bytes>) -> Planned {
    let wanted = Wanted { after, pattern: None, keys: AT_A_TIME, bytes: PAGE_BYTES };
    page(wanted, 0, move |page| {
        let next = page.told_up_to;
        if page.keys.is_empty() {
            return go_on(next);
        }
        let operations = page.keys.iter().map(|(key, version)| delete(key, *version)).collect();
        let keys: Vec<Bytes> = page.keys.into_iter().map(|(key, _)| key).collect();
        Ok(run(operations, move |outcomes, host| {
            let left = left_over(&outcomes, keys, host)?;
            if left.is_empty() {
                return go_on(next);
            }
            Ok(run(left, move |outcomes, host| {
                if let Some(bad) = outcomes.iter().find_map(bad_news) {
                    return Err(interrupted(bad));
                }
                count(&outcomes, host);
                go_on(next)
            }))
        }))
    })
}

fn go_on(next: Option<Bytes>) -> Planned {
    match next {
        None => Ok(Plan::Reply(Response::OK)),
        next => delete_behind(next),
    }
}

fn delete(key: &Bytes, version: Version) -> Operation {
    let function = Function::Delete { condition: Condition::Version(version), get: false };
    Operation::Update { key: key.clone(), functions: vec![function.encode()] }
}

fn run(operations: Operations, next: impl FnOnce(Outcomes, &dyn Host) -> Planned + 'static) -> Plan {
    Plan::First(Stage { step: Step::Run(operations, Box::new(next)), held: 0 })
}

/// A disk that is full takes no update. A Delete makes room in the end, so that is what is done then: the deletions that are left.
fn left_over(outcomes: &Outcomes, keys: Vec<Bytes>, host: &dyn Host) -> Result<Operations, Response> {
    count(outcomes, host);
    let bad = outcomes.iter().filter(|outcome| !lacks_room(outcome)).find_map(bad_news);
    if let Some(bad) = bad {
        return Err(interrupted(bad));
    }
    let full = outcomes.iter().zip(keys).filter(|(outcome, _)| lacks_room(outcome));
    Ok(full.map(|(_, key)| Operation::Delete { key }).collect())
}

fn count(outcomes: &Outcomes, host: &dyn Host) {
    host.count_flushed(outcomes.iter().filter(|outcome| has_taken_away(outcome)).count());
}

fn bad_news(outcome: &Outcome) -> Option<Reason> {
    match outcome {
        Outcome::Refused(reason) | Outcome::Indeterminate(reason) => Some(*reason),
        _ => None,
    }
}

fn interrupted(reason: Reason) -> Response {
    Response::error(format!(
        "INDETERMINATE some of the keys were deleted, others not; repeat it to go on: {reason}"
    ))
}
