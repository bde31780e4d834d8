//! Values that get another key: `COPY`, and `RENAME`, which is a copy and a deletion.
//!
//! One key is read, then another one is written. Each step is atomic and the whole is not: others may write between them.

use super::{CAT_WRITE_KEY, FIRST_TWO, WRITE_ALONE, databases};
use crate::functions::{Condition, Expiry, Function, FunctionAnswer};
use crate::resp::command::{Arg, Call, Command, Plan, Planned, Stage, Step, arg, syntax_error};
use crate::resp::outcomes::{Outcomes, answer_to, has_value, reply};
use crate::resp::policy::MultiKeys;
use crate::resp::response::Response;
use crate::resp::session::Host;
use abd::{Operation, Outcome, StampedValue, Version};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use bytes::Bytes;
use smallvec::smallvec;

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
    /// Whether the source is deleted then.
    moves: bool,
    /// What is answered.
    answer: fn(Copied) -> Response,
}

/// How it has ended.
enum Copied {
    Done,
    NoSource,
    TargetExists,
    Failed(Response),
}

/// Carries out one operation, and then what follows from its outcome. Meanwhile so many bytes are held.
fn step(
    operation: Operation,
    held: usize,
    next: impl FnOnce(Outcomes, &dyn Host) -> Planned + 'static,
) -> Planned {
    Ok(Plan::First(Stage { step: Step::Run(smallvec![operation], Box::new(next)), held }))
}

impl Copying {
    fn plan(self) -> Planned {
        let held = self.source.len() + self.target.len();
        step(Operation::Get { key: self.source.clone() }, held, move |outcomes, host| match &outcomes[..] {
            [Outcome::Read(found)] => match self.write(found) {
                Some(write) => self.write_then(write, found.version),
                None => Err((self.answer)(Copied::NoSource)),
            },
            _ => Err(reply(outcomes, Box::new(|_, _| unreachable!("a Get reads or fails")), host)),
        })
    }

    /// What gives the target the value that was found, if one was.
    fn write(&self, found: &StampedValue) -> Option<Operation> {
        let value = found.content.value()?.clone();
        let condition = if self.replaces { Condition::Always } else { Condition::Absent };
        let expiry = Expiry::At(found.deadline);
        let function = Function::Set { value, expiry, condition, get: false, wants_version: false };
        Some(Operation::Update { key: self.target.clone(), functions: vec![function.encode()] })
    }

    fn write_then(self, write: Operation, found: Version) -> Planned {
        let Self { source, moves, answer, .. } = self;
        if !moves {
            return Plan::one(write, move |outcomes| answer(copied(&outcomes)));
        }
        step(write, source.len(), move |mut outcomes, host| {
            if !matches!(outcomes.first().and_then(answer_to), Some(FunctionAnswer::Ok)) {
                return Err(reply(outcomes, Box::new(move |outcomes, _| answer(copied(&outcomes))), host));
            }
            // What somebody has written to it meanwhile stays.
            let function = Function::Delete { condition: Condition::Version(found), get: false };
            let delete = Operation::Update { key: source, functions: vec![function.encode()] };
            step(delete, 0, move |deleted, host| {
                outcomes.extend(deleted);
                Err(reply(outcomes, Box::new(move |_, _| answer(Copied::Done)), host))
            })
        })
    }
}

/// What the write has come to.
fn copied(outcomes: &Outcomes) -> Copied {
    match outcomes.first().and_then(answer_to) {
        Some(FunctionAnswer::Ok) => Copied::Done,
        Some(FunctionAnswer::Error(error)) => Copied::Failed(Response::error(error.to_string())),
        _ => Copied::TargetExists,
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
    let answer = |copied| match copied {
        Copied::Done => Response::Integer(1),
        Copied::NoSource | Copied::TargetExists => Response::Integer(0),
        Copied::Failed(error) => error,
    };
    Copying { source, target, replaces, moves: false, answer }.plan()
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
            let exists = outcomes.iter().any(has_value);
            answer(if exists { Copied::TargetExists } else { Copied::NoSource })
        });
    }
    if call.host.policy().multi_keys == MultiKeys::Refuse {
        let name = call.session.listed().last_command().to_ascii_uppercase();
        return Err(Response::error(format!(
            "ERR {name} is refused, as nothing here is atomic across keys: with --multi-keys per-key it is a copy and then a deletion"
        )));
    }
    Copying { source, target, replaces, moves: true, answer }.plan()
}

fn no_such_key() -> Response {
    Response::error("ERR no such key")
}
