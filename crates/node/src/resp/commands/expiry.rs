//! When keys expire: `EXPIRE`, `TTL`, `PERSIST`, `GETEX` and their relatives.

use super::expiry_options::{ExpiryOption, TIME_OR_PERSIST, Unit};
use super::{CAT_READ_KEY, CAT_WRITE_FAST, FIRST, KEY, READ, c_text};
use crate::clock::Clock;
use crate::functions::{Expiry, Function, Replaces};
use crate::resp::command::{Arg, Call, Command, Plan, Planned, Run, arg, syntax_error};
use crate::resp::outcomes::{answer_of, deadline_of, has_value, read_of};
use crate::resp::response::Response;
use abd::{Deadline, Operation};
use alloc::boxed::Box;
use alloc::format;
use bytes::Bytes;
use smallvec::smallvec;

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("generic", name, arity, run, summary)
}

const CAT_WRITE_KEY_FAST: &[&str] = &["@keyspace", "@write", "@fast"];
const WRITE_FAST: &[&str] = &["write", "fast"];

const WHEN: Arg = arg("condition", "oneof").flags(&["optional"]).of(&[
    arg("nx", "pure-token").token("NX"),
    arg("xx", "pure-token").token("XX"),
    arg("gt", "pure-token").token("GT"),
    arg("lt", "pure-token").token("LT"),
]);
const SECONDS: &[Arg] = &[arg("key", "key"), arg("seconds", "integer"), WHEN];
const MILLIS: &[Arg] = &[arg("key", "key"), arg("milliseconds", "integer"), WHEN];
const UNIX_SECONDS: &[Arg] = &[arg("key", "key"), arg("unix-time-seconds", "unix-time"), WHEN];
const UNIX_MILLIS: &[Arg] = &[arg("key", "key"), arg("unix-time-milliseconds", "unix-time"), WHEN];
const GETEX_ARGS: &[Arg] = &[arg("key", "key"), TIME_OR_PERSIST];

const fn expires(
    name: &'static str,
    run: fn(Call<'_>) -> Planned,
    args: &'static [Arg],
    summary: &'static str,
) -> Command {
    row(name, -3, run, summary)
        .flags(WRITE_FAST, CAT_WRITE_KEY_FAST)
        .keys(FIRST, &["RW", "update"])
        .args(args)
}

const fn tells(name: &'static str, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    row(name, 2, run, summary).flags(READ, CAT_READ_KEY).keys(FIRST, &["RO", "access"]).args(KEY)
}

pub(super) const COMMANDS: &[Command] = &[
    expires("expire", expire, SECONDS, "Sets the time of expiry of a key, in seconds from now."),
    expires("expireat", expireat, UNIX_SECONDS, "Sets the time of expiry of a key, a Unix time in seconds.")
        .since("1.2.0"),
    tells("expiretime", expiretime, "Returns the time of expiry of a key, a Unix time in seconds.")
        .since("7.0.0"),
    Command::new("string", "getex", -2, getex, "Returns the value of a key and sets its time of expiry.")
        .since("6.2.0")
        .flags(WRITE_FAST, CAT_WRITE_FAST)
        .keys(FIRST, &["RW", "access", "update"])
        .args(GETEX_ARGS),
    row("persist", 2, persist, "Takes away the time of expiry of a key.")
        .since("2.2.0")
        .flags(WRITE_FAST, CAT_WRITE_KEY_FAST)
        .keys(FIRST, &["RW", "update"])
        .args(KEY),
    expires("pexpire", pexpire, MILLIS, "Sets the time of expiry of a key, in milliseconds from now.")
        .since("2.6.0"),
    expires(
        "pexpireat",
        pexpireat,
        UNIX_MILLIS,
        "Sets the time of expiry of a key, a Unix time in milliseconds.",
    )
    .since("2.6.0"),
    tells("pexpiretime", pexpiretime, "Returns the time of expiry of a key, a Unix time in milliseconds.")
        .since("7.0.0"),
    tells("pttl", pttl, "Returns the time after which a key expires, in milliseconds.").since("2.6.0"),
    tells("ttl", ttl, "Returns the time after which a key expires, in seconds."),
];

fn expire(call: Call<'_>) -> Planned {
    expire_in(call, Unit::Seconds, "expire")
}

fn pexpire(call: Call<'_>) -> Planned {
    expire_in(call, Unit::Millis, "pexpire")
}

fn expireat(call: Call<'_>) -> Planned {
    expire_in(call, Unit::UnixSeconds, "expireat")
}

fn pexpireat(call: Call<'_>) -> Planned {
    expire_in(call, Unit::UnixMillis, "pexpireat")
}

fn expire_in(mut call: Call<'_>, unit: Unit, command: &str) -> Planned {
    let replaces = replaces(&call.args[3..])?;
    let deadline = unit.any_deadline(&call.args[2], command, call.host)?;
    Plan::update(call.take(1), &Function::Expire { deadline, replaces }, answer_of)
}

/// The options of `EXPIRE`, which say which deadlines it takes the place of.
fn replaces(words: &[Bytes]) -> Result<Replaces, Response> {
    let mut replaces = Replaces::default();
    for word in words {
        match word.to_ascii_uppercase().as_slice() {
            b"NX" => replaces.none = true,
            b"XX" => replaces.some = true,
            b"GT" => replaces.earlier = true,
            b"LT" => replaces.later = true,
            _ => {
                return Err(Response::error(format!("ERR Unsupported option {}", c_text(word, usize::MAX))));
            }
        }
    }
    let Replaces { none, some, earlier, later } = replaces;
    let problem = if none && (some || earlier || later) {
        "NX and XX, GT or LT"
    } else if earlier && later {
        "GT and LT"
    } else {
        return Ok(replaces);
    };
    Err(Response::error(format!("ERR {problem} options at the same time are not compatible")))
}

fn persist(mut call: Call<'_>) -> Planned {
    Plan::update(call.take(1), &Function::Persist, answer_of)
}

/// Without an option it is a Get. As in Redis a time that is none matters only if the key is there.
fn getex(mut call: Call<'_>) -> Planned {
    let mut option = ExpiryOption::None;
    let mut words = call.args[2..].iter();
    while let Some(word) = words.next() {
        let word = word.to_ascii_uppercase();
        match ExpiryOption::time(&word, &mut words)? {
            Some(time) => option.set(time)?,
            None if word == b"PERSIST" => option.set(ExpiryOption::Persist)?,
            None => return Err(syntax_error()),
        }
    }
    let expiry = option.expiry(Expiry::Keep, "getex", call.host);
    let key = call.take(1);
    match expiry {
        Ok(Expiry::Keep) => Plan::one(Operation::Get { key }, read_of),
        Ok(expiry) => Plan::update(key, &Function::GetExpire(expiry), answer_of),
        Err(error) => Plan::one(Operation::Get { key }, |outcomes| {
            if outcomes.iter().any(has_value) { error } else { Response::Null }
        }),
    }
}

fn ttl(call: Call<'_>) -> Planned {
    look(call, |deadline, clock| seconds(remaining(deadline, clock)))
}

fn pttl(call: Call<'_>) -> Planned {
    look(call, remaining)
}

fn expiretime(call: Call<'_>) -> Planned {
    look(call, |deadline, _| seconds(deadline.0))
}

fn pexpiretime(call: Call<'_>) -> Planned {
    look(call, |deadline, _| deadline.0)
}

/// What remains of a value's time, in milliseconds.
fn remaining(deadline: Deadline, clock: &dyn Clock) -> u64 {
    deadline.0.saturating_sub(clock.moments().latest.0)
}

/// Rounded as Redis does.
fn seconds(millis: u64) -> u64 {
    millis.saturating_add(500) / 1000
}

/// Reads a key, and tells something of its deadline: -2 if it is absent, -1 if it has none.
fn look(mut call: Call<'_>, told: fn(Deadline, &dyn Clock) -> u64) -> Planned {
    Ok(Plan::Run(Run {
        operations: smallvec![Operation::Get { key: call.take(1) }],
        needs_values: false,
        tells_version: false,
        hears_all: false,
        is_alone: false,
        answer: Box::new(move |outcomes, clock| {
            Response::Integer(match deadline_of(&outcomes) {
                None => -2,
                Some(Deadline::NONE) => -1,
                Some(deadline) => i64::try_from(told(deadline, clock)).unwrap_or(i64::MAX),
            })
        }),
        then: None,
    }))
}
