//! Values that keys are given: `SET` and its relatives.

use super::expiry_options::{TIME_OR_KEEPTTL, Unit};
use super::set_options::Options;
use super::versions::with_version;
use super::{CAT_WRITE, CAT_WRITE_FAST, FIRST, KEY_VALUE};
use crate::functions::{Condition, Expiry, Function};
use crate::resp::command::{Arg, Call, Command, Plan, Planned, arg};
use crate::resp::outcomes::{Outcomes, answer_of};
use crate::resp::response::Response;
use abd::{Deadline, Operation};
use alloc::collections::BTreeMap;

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("string", name, arity, run, summary)
}

const WRITE: &[&str] = &["write", "denyoom"];
const WRITE_FAST: &[&str] = &["write", "denyoom", "fast"];
const PAIRS: (i32, i32, i32) = (1, -1, 2);
const PAIR_ARGS: &[Arg] = &[arg("data", "block").flags(&["multiple"]).of(KEY_VALUE)];

const SET_ARGS: &[Arg] = &[
    arg("key", "key"),
    arg("value", "string"),
    arg("condition", "oneof").flags(&["optional"]).of(&[
        arg("nx", "pure-token").token("NX"),
        arg("xx", "pure-token").token("XX"),
        arg("ifeq-value", "string").token("IFEQ"),
        arg("ifne-value", "string").token("IFNE"),
        arg("version", "string").token("IFVER"),
    ]),
    arg("get", "pure-token").token("GET").flags(&["optional"]),
    arg("withver", "pure-token").token("WITHVER").flags(&["optional"]),
    TIME_OR_KEEPTTL,
];
const SETEX_ARGS: &[Arg] = &[arg("key", "key"), arg("seconds", "integer"), arg("value", "string")];
const PSETEX_ARGS: &[Arg] = &[arg("key", "key"), arg("milliseconds", "integer"), arg("value", "string")];

pub(super) const COMMANDS: &[Command] = &[
    row("getset", 3, getset, "Sets the value of a key and returns the one before.")
        .flags(WRITE_FAST, CAT_WRITE_FAST)
        .keys(FIRST, &["RW", "access", "update"])
        .args(KEY_VALUE),
    row("mset", -3, mset, "Sets the values of keys, each by itself.")
        .since("1.0.1")
        .flags(WRITE, CAT_WRITE)
        .keys(PAIRS, &["OW", "update"])
        .linear()
        .args(PAIR_ARGS),
    row("msetnx", -3, msetnx, "Sets the value of a key that does not exist; of one key alone.")
        .since("1.0.1")
        .flags(WRITE, CAT_WRITE)
        .keys(PAIRS, &["OW", "insert"])
        .linear()
        .args(PAIR_ARGS),
    row("psetex", 4, psetex, "Sets the value of a key and its time of expiry, in milliseconds from now.")
        .since("2.6.0")
        .flags(WRITE, CAT_WRITE)
        .keys(FIRST, &["OW", "update"])
        .args(PSETEX_ARGS),
    row("set", -3, set, "Sets the value of a key, creating it if it does not exist.")
        .flags(WRITE, CAT_WRITE)
        .keys(FIRST, &["RW", "access", "update", "variable_flags"])
        .args(SET_ARGS),
    row("setex", 4, setex, "Sets the value of a key and its time of expiry, in seconds from now.")
        .since("2.0.0")
        .flags(WRITE, CAT_WRITE)
        .keys(FIRST, &["OW", "update"])
        .args(SETEX_ARGS),
    row("setnx", 3, setnx, "Sets the value of a key that does not exist.")
        .flags(WRITE_FAST, CAT_WRITE_FAST)
        .keys(FIRST, &["OW", "insert"])
        .args(KEY_VALUE),
];

/// Without a condition and without a look at what was there it is a plain Set, which needs no consensus.
fn set(mut call: Call<'_>) -> Planned {
    let Options { condition, expiry, get, with_version: wants_version } = Options::parse(&call.args[3..])?;
    let expiry = expiry.expiry(Expiry::Never, "set", call.host)?;
    let (key, value) = call.take_pair(1)?;
    let deadline = match expiry {
        Expiry::Never => Some(Deadline::NONE),
        Expiry::At(deadline) => Some(deadline),
        Expiry::Keep => None,
    };
    if let Some(deadline) = deadline
        && condition == Condition::Always
        && !get
    {
        let set = Operation::Set { key, value, deadline };
        return match wants_version {
            true => Plan::one(set, |outcomes| with_version(outcomes, ok)).map(Plan::tell_version),
            false => Plan::one(set, ok),
        };
    }
    let function = Function::Set { value, expiry, condition, get, wants_version };
    let answer = if wants_version { |outcomes| with_version(outcomes, answer_of) } else { answer_of };
    Plan::update(key, &function, answer)
}

fn ok(_: Outcomes) -> Response {
    Response::OK
}

fn getset(mut call: Call<'_>) -> Planned {
    let (key, value) = call.take_pair(1)?;
    let (expiry, condition) = (Expiry::Never, Condition::Always);
    let function = Function::Set { value, expiry, condition, get: true, wants_version: false };
    Plan::update(key, &function, answer_of)
}

/// Whether it was set, as a number.
fn setnx(mut call: Call<'_>) -> Planned {
    let (key, value) = call.take_pair(1)?;
    let (expiry, condition) = (Expiry::Never, Condition::Absent);
    let function = Function::Set { value, expiry, condition, get: false, wants_version: false };
    Plan::update(key, &function, |outcomes| match answer_of(outcomes) {
        Response::Null => Response::Integer(0),
        Response::Error(text) => Response::Error(text),
        _ => Response::Integer(1),
    })
}

fn setex(call: Call<'_>) -> Planned {
    set_for(call, Unit::Seconds, "setex")
}

fn psetex(call: Call<'_>) -> Planned {
    set_for(call, Unit::Millis, "psetex")
}

/// The time stands before the value.
fn set_for(mut call: Call<'_>, unit: Unit, command: &str) -> Planned {
    let deadline = unit.deadline(&call.args[2], command, call.host)?;
    let value = call.take_value(3)?;
    Plan::one(Operation::Set { key: call.take(1), value, deadline }, ok)
}

/// Of a key that is named more than once the last value counts.
fn mset(mut call: Call<'_>) -> Planned {
    if call.args.len().is_multiple_of(2) {
        return Err(call.wrong_arity());
    }
    let mut pairs = BTreeMap::new();
    for place in (1..call.args.len()).step_by(2) {
        let (key, value) = call.take_pair(place)?;
        pairs.insert(key, value);
    }
    let sets = pairs.into_iter().map(|(key, value)| Operation::Set { key, value, deadline: Deadline::NONE });
    Plan::several(sets, false, ok)
}

fn msetnx(call: Call<'_>) -> Planned {
    match call.args.len() {
        3 => setnx(call),
        count if count.is_multiple_of(2) => Err(call.wrong_arity()),
        _ => Err(Response::error(
            "ERR MSETNX of several keys is not supported: nothing here is atomic across keys; use SETNX for each",
        )),
    }
}
