//! Keys, whatever they hold: whether they exist, and what takes them away.

use super::versions::parse_version;
use super::{ALL, CAT_READ_KEY, CAT_WRITE_FAST, CAT_WRITE_KEY, FIRST, KEY, KEY_VALUE, KEYS, READ, WRITE};
use crate::functions::{Condition, Function};
use crate::resp::command::{Arg, Call, Command, Plan, Planned, Run, arg};
use crate::resp::outcomes::{answer_of, count_values, has_taken_away, lacks_room};
use crate::resp::response::Response;
use abd::Operation;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

const fn row(name: &'static str, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("generic", name, -2, run, summary).linear().args(KEYS)
}

const fn one(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("string", name, arity, run, summary).flags(&["write", "fast"], CAT_WRITE_FAST)
}

const DELEX_ARGS: &[Arg] = &[
    arg("key", "key"),
    arg("condition", "oneof").flags(&["optional"]).of(&[
        arg("ifeq-value", "string").token("IFEQ"),
        arg("ifne-value", "string").token("IFNE"),
        arg("version", "string").token("IFVER"),
    ]),
];

pub(super) const COMMANDS: &[Command] = &[
    row("del", del, "Deletes keys, each by itself, and counts them.")
        .flags(WRITE, CAT_WRITE_KEY)
        .keys(ALL, &["RM", "delete"]),
    one("delex", -2, delex, "Deletes a key that has a value or a version, and counts it.")
        .since("8.4.0")
        .keys(FIRST, &["RW", "delete", "variable_flags"])
        .args(DELEX_ARGS),
    one("delifeq", 3, delifeq, "Deletes a key that has a value, and counts it.")
        .since("9.0.0")
        .keys(FIRST, &["RM", "delete"])
        .args(KEY_VALUE),
    row("exists", exists, "Counts those of the keys that exist, each looked at by itself.")
        .flags(READ, CAT_READ_KEY)
        .keys(ALL, &["RO"]),
    one("getdel", 2, getdel, "Deletes a key and returns its value.")
        .since("6.2.0")
        .keys(FIRST, &["RW", "access", "delete"])
        .args(KEY),
    row("unlink", del, "Deletes keys, as DEL does.")
        .since("4.0.0")
        .flags(&["write", "fast"], &["@keyspace", "@write", "@fast"])
        .keys(ALL, &["RM", "delete"]),
];

/// Repeated keys count once, as they are deleted once.
fn del(call: Call<'_>) -> Planned {
    let mut keys: Vec<Bytes> = call.args.into_iter().skip(1).collect();
    keys.sort();
    keys.dedup();
    delete(keys)
}

/// A disk that is full takes no update, as its record needs room. A Delete makes room in the end: it is what is done then, and it
/// counts what was seen.
fn delete(keys: Vec<Bytes>) -> Planned {
    let function = Function::Delete { condition: Condition::Always, get: false }.encode();
    let update = |key: &Bytes| Operation::Update { key: key.clone(), functions: vec![function.clone()] };
    Ok(Plan::Run(Run {
        operations: keys.iter().map(update).collect(),
        needs_values: false,
        tells_version: false,
        hears_all: false,
        is_alone: false,
        answer: Box::new(|outcomes, _| {
            Response::count(outcomes.iter().filter(|outcome| has_taken_away(outcome)).count())
        }),
        then: Some(Box::new(move |place, outcome| {
            lacks_room(outcome).then(|| Operation::Delete { key: keys[place].clone() })
        })),
    }))
}

fn delete_if(key: Bytes, condition: Condition) -> Planned {
    Plan::update(key, &Function::Delete { condition, get: false }, answer_of)
}

fn delex(mut call: Call<'_>) -> Planned {
    let condition = match call.args.len() {
        2 => return delete(vec![call.take(1)]),
        4 => {
            let operand = call.take(3);
            match call.args[2].to_ascii_uppercase().as_slice() {
                b"IFEQ" => Condition::Equals(operand),
                b"IFNE" => Condition::Differs(operand),
                b"IFVER" => Condition::Version(parse_version(&operand)?),
                _ => return Err(Response::error("ERR Invalid condition. Use IFEQ, IFNE, or IFVER")),
            }
        }
        _ => return Err(call.wrong_arity()),
    };
    delete_if(call.take(1), condition)
}

fn delifeq(mut call: Call<'_>) -> Planned {
    let value = call.take(2);
    delete_if(call.take(1), Condition::Equals(value))
}

fn getdel(mut call: Call<'_>) -> Planned {
    let function = Function::Delete { condition: Condition::Always, get: true };
    Plan::update(call.take(1), &function, answer_of)
}

/// A repeated key counts as often as it is named.
fn exists(call: Call<'_>) -> Planned {
    let reads = call.args.into_iter().skip(1).map(|key| Operation::Get { key });
    Plan::several(reads, false, |outcomes| count_values(&outcomes))
}
