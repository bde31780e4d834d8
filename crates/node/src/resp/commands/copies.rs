//! Values that get another key: `COPY`, and `RENAME`, which is a copy and a deletion.
//!
//! One key is read, then another one is written. Each step is atomic and the whole is not: others may write between them.

use super::{CAT_WRITE_KEY, FIRST_TWO, WRITE_ALONE, databases};
use crate::functions::{Condition, Expiry, Function, FunctionAnswer};
use crate::resp::command::{Arg, Call, Command, Plan, Planned, Run, arg, syntax_error};
use crate::resp::outcomes::{Outcomes, answer_to};
use crate::resp::policy::MultiKeys;
use crate::resp::response::Response;
use abd::{Operation, Outcome, StampedValue};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use bytes::Bytes;

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("generic", name, arity, run, summary)
        .flags(WRITE_ALONE, CAT_WRITE_KEY)
        .keys(FIRST_TWO, &["RW", "access", "update"])
}

const RENAME_ARGS: &[Arg] = &[arg("key", "key"), arg("newkey", "key")];

pub(super) const COMMANDS: &[Command] = &[
    row("copy", -3, copy, "Copies the value of a key and its deadline to another key.").since("6.2.0").args(
        &[
            arg("source", "key"),
            arg("destination", "key"),
            arg("destination-db", "integer").token("DB").flags(&["optional"]),
            arg("replace", "pure-token").token("REPLACE").flags(&["optional"]),
        ],
    ),
    row("rename", 3, rename, "Copies the value of a key to another key and deletes the first one.")
        .args(RENAME_ARGS),
    row("renamenx", 3, renamenx, "Renames a key if there is no key with the new name.").args(RENAME_ARGS),
];

/// What is to be done with two different keys.
struct Copying {
    source: Bytes,
    target: Bytes,
    /// Whether a value that the target has makes room.
    replaces: bool,
    /// Whether the source is deleted then, unless somebody has written it meanwhile.
    moves: bool,
}

/// How it has ended.
enum Copied {
    Done,
    NoSource,
    TargetExists,
    Failed(Response),
}

impl Copying {
    /// The target is read, too, and that is not used: so it counts among the keys that this request is about, and what comes behind on
    /// the connection sees what was written to it.
    fn plan(self, answer: fn(Copied) -> Response) -> Planned {
        let Self { source, target, replaces, moves } = self;
        let read = |key: &Bytes| Operation::Get { key: key.clone() };
        let mut operations = smallvec::smallvec![read(&source), read(&target)];
        if moves {
            operations.push(read(&source));
        }
        let (mut found, mut has_written) = (None, false);
        let then = move |place: usize, outcome: &Outcome| match (place, outcome, &found) {
            (0, Outcome::Read(stamped), _) => {
                found = stamped.content.is_value().then(|| stamped.clone());
                None
            }
            (1, Outcome::Read(_), Some(stamped)) => write(&target, stamped, replaces),
            (1, ended, _) => {
                has_written = matches!(answer_to(ended), Some(FunctionAnswer::Ok));
                None
            }
            (2, Outcome::Read(_), Some(stamped)) if has_written => {
                // What somebody has written to it meanwhile stays.
                let function =
                    Function::Delete { condition: Condition::Version(stamped.version), get: false };
                Some(Operation::Update { key: source.clone(), functions: vec![function.encode()] })
            }
            _ => None,
        };
        Ok(Plan::Run(Run {
            operations,
            needs_values: true,
            tells_version: false,
            answer: Box::new(move |outcomes, _| answer(copied(&outcomes))),
            then: Some(Box::new(then)),
        }))
    }
}

fn write(target: &Bytes, found: &StampedValue, replaces: bool) -> Option<Operation> {
    let value = found.content.value()?.clone();
    let condition = if replaces { Condition::Always } else { Condition::Absent };
    let expiry = Expiry::At(found.deadline);
    let function = Function::Set { value, expiry, condition, get: false, wants_version: false };
    Some(Operation::Update { key: target.clone(), functions: vec![function.encode()] })
}

/// What the second operation has come to tells all: it was a read only if the first one has found nothing.
fn copied(outcomes: &Outcomes) -> Copied {
    match outcomes.get(1).and_then(answer_to) {
        None => Copied::NoSource,
        Some(FunctionAnswer::Ok) => Copied::Done,
        Some(FunctionAnswer::Error(error)) => Copied::Failed(Response::error(error.to_string())),
        Some(_) => Copied::TargetExists,
    }
}

fn copy(mut call: Call<'_>) -> Planned {
    let mut replaces = false;
    let mut words = call.args[3..].iter();
    while let Some(word) = words.next() {
        match word.to_ascii_uppercase().as_slice() {
            b"REPLACE" => replaces = true,
            b"DB" => databases::check_index(words.next().ok_or_else(syntax_error)?)?,
            _ => return Err(syntax_error()),
        }
    }
    let (source, target) = (call.take(1), call.take(2));
    if source == target {
        return Err(databases::same_object());
    }
    Copying { source, target, replaces, moves: false }.plan(|copied| match copied {
        Copied::Done => Response::Integer(1),
        Copied::NoSource | Copied::TargetExists => Response::Integer(0),
        Copied::Failed(error) => error,
    })
}

fn rename(call: Call<'_>) -> Planned {
    renamed(call, true, |copied| match copied {
        Copied::Done | Copied::TargetExists => Response::OK,
        Copied::NoSource => no_such_key(),
        Copied::Failed(error) => error,
    })
}

fn renamenx(call: Call<'_>) -> Planned {
    renamed(call, false, |copied| match copied {
        Copied::Done => Response::Integer(1),
        Copied::TargetExists => Response::Integer(0),
        Copied::NoSource => no_such_key(),
        Copied::Failed(error) => error,
    })
}

/// A key that gets its own name is looked at and left alone, as in Redis.
fn renamed(mut call: Call<'_>, replaces: bool, answer: fn(Copied) -> Response) -> Planned {
    let (source, target) = (call.take(1), call.take(2));
    if source == target {
        return Plan::one(Operation::Get { key: source }, move |outcomes| {
            let exists = outcomes.iter().any(crate::resp::outcomes::has_value);
            answer(if exists { Copied::TargetExists } else { Copied::NoSource })
        });
    }
    if call.host.policy().multi_keys == MultiKeys::Refuse {
        let name = call.session.listed().last_command().to_ascii_uppercase();
        return Err(Response::error(format!(
            "ERR {name} is refused, as nothing here is atomic across keys: with --multi-keys per-key it is a copy and then a deletion"
        )));
    }
    Copying { source, target, replaces, moves: true }.plan(answer)
}

fn no_such_key() -> Response {
    Response::error("ERR no such key")
}
