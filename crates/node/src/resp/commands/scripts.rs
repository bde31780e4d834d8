//! Scripts: `EVAL` and its relatives, and `SCRIPT`.
//!
//! A script is a function of one key: the one that it touches first. It is tried on the first key that it was given; if it turns
//! out to be about another one it has done nothing, and begins anew there. One that names no key, or several, is alone on its
//! connection meanwhile, as nobody knows which requests it must not overtake. Where it runs is not known here.

use super::{CAT_ADMIN, SERVER, help, integer, needs_subcommand};
use crate::functions::{Function, FunctionAnswer, Script};
use crate::hex::hex;
use crate::inquiry::notes::{NOTE_BYTES_MAX, Note, NoteId, NoteKind};
use crate::inquiry::{Finding, Inquiry};
use crate::resp::command::{Arg, Call, Command, Plan, Planned, Run, Then, arg};
use crate::resp::outcomes::{answer_of, answer_to};
use crate::resp::response::{Protocol, Response};
use crate::resp::session::Host;
use abd::{Operation, Outcome};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use bytes::Bytes;
use sha1::{Digest, Sha1};
use smallvec::smallvec;

/// How often a script may turn out to be about yet another key.
const HOPS_MAX: u32 = 8;

/// It was not tried there.
const OTHER_KEY: &str = "ERR the script had no effect: it begins with a key that is not the first of its KEYS, and that is one of which \
     requests behind it on this connection are under way, or another one than that of its transaction, or another one each time that \
     it runs";
const NOSCRIPT: &str = "NOSCRIPT No matching script. Please use EVAL.";
const SCRIPTING: &[&str] = &["@slow", "@scripting"];
const RUN: &[&str] =
    &["noscript", "stale", "skip_monitor", "may_replicate", "no_mandatory_keys", "movablekeys"];
const RUN_READ: &[&str] =
    &["readonly", "noscript", "stale", "skip_monitor", "no_mandatory_keys", "movablekeys"];

const ARGS: &[Arg] = &[
    arg("numkeys", "integer"),
    arg("key", "key").flags(&["optional", "multiple"]),
    arg("arg", "string").flags(&["optional", "multiple"]),
];

const fn run(name: &'static str, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("scripting", name, -3, run, summary).since("2.6.0").flags(RUN, SCRIPTING).args(ARGS)
}

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("scripting", name, arity, run, summary).since("2.6.0").flags(&["noscript"], SCRIPTING)
}

const SCRIPT: &[Command] = &[
    row("debug", 3, debug, "Sets the debug mode of server-side Lua scripts.").since("3.2.0"),
    row("exists", -3, exists, "Determines whether server-side Lua scripts are known.")
        .linear()
        .args(&[arg("sha1", "string").flags(&["multiple"])]),
    row("flush", -2, flush, "Has a majority of nodes forget all server-side Lua scripts.").linear(),
    row("help", 2, script_help, "Returns helpful text about the subcommands.")
        .since("5.0.0")
        .flags(SERVER, SCRIPTING),
    row("kill", 2, kill, "Ends the server-side Lua scripts that run at this node.")
        .flags(&["noscript"], CAT_ADMIN),
    row("load", 3, load, "Has a majority of nodes remember a server-side Lua script.")
        .args(&[arg("script", "string")]),
];

pub(super) const COMMANDS: &[Command] = &[
    run("eval", |call| eval(call, false), "Executes a server-side Lua script."),
    run("eval_ro", |call| eval(call, true), "Executes a read-only server-side Lua script.")
        .since("7.0.0")
        .flags(RUN_READ, SCRIPTING),
    run("evalsha", |call| evalsha(call, false), "Executes a server-side Lua script by SHA1 digest."),
    run(
        "evalsha_ro",
        |call| evalsha(call, true),
        "Executes a read-only server-side Lua script by SHA1 digest.",
    )
    .since("7.0.0")
    .flags(RUN_READ, SCRIPTING),
    row("script", -2, needs_subcommand, "A container for Lua scripts management commands.")
        .subcommands(SCRIPT),
];

/// The name of a script.
fn name_of(source: &[u8]) -> NoteId {
    NoteId { kind: NoteKind::Script, name: Sha1::digest(source).into() }
}

/// The name that a client writes as 40 hexadecimal digits.
fn read_name(text: &[u8]) -> Option<NoteId> {
    let mut name = [0; 20];
    if text.len() != 2 * name.len() {
        return None;
    }
    for (byte, digits) in name.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |place: usize| char::from(digits[place]).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(NoteId { kind: NoteKind::Script, name })
}

fn text_of(id: NoteId) -> String {
    hex(&id.name)
}

fn known(host: &dyn Host, id: NoteId) -> Option<Bytes> {
    let mut source = None;
    host.notes(&mut |notes| source = notes.recall(id));
    source
}

fn keep(host: &dyn Host, id: NoteId, source: &Bytes) {
    host.notes(&mut |notes| notes.remember(Note { id, bytes: Bytes::copy_from_slice(source) }));
}

/// What a script is run with.
struct Request {
    keys: Vec<Bytes>,
    arguments: Vec<Bytes>,
    read_only: bool,
    resp3: bool,
}

impl Request {
    fn read(call: &Call<'_>, read_only: bool) -> Result<Self, Response> {
        let (count, rest) = (integer(&call.args[2])?, &call.args[3..]);
        let Ok(count) = usize::try_from(count) else {
            return Err(Response::error("ERR Number of keys can't be negative"));
        };
        let Some((keys, arguments)) = rest.split_at_checked(count) else {
            return Err(Response::error("ERR Number of keys can't be greater than number of args"));
        };
        for key in keys {
            call.session.limits.check_key(key).map_err(Response::err)?;
        }
        let resp3 = call.session.protocol() == Protocol::Resp3;
        Ok(Self { keys: keys.to_vec(), arguments: arguments.to_vec(), read_only, resp3 })
    }

    /// Has the script carried out.
    fn plan(self, source: Bytes) -> Planned {
        // A script without keys may be about none.
        let key = self.keys.first().cloned().unwrap_or_default();
        let is_alone = self.keys.len() != 1;
        let Self { keys, arguments, read_only, resp3 } = self;
        let function = Function::Script(Script { source, keys, arguments, read_only, resp3 }).encode();
        let update = move |key: Bytes| Operation::Update { key, functions: vec![function.clone()] };
        let mut hops = 0;
        let again = update.clone();
        let then: Then = Box::new(move |_, outcome: &Outcome| match answer_to(outcome) {
            Some(FunctionAnswer::OtherKey(key)) if hops < HOPS_MAX => {
                hops += 1;
                Some(again(key))
            }
            _ => None,
        });
        Ok(Plan::Run(Run {
            operations: smallvec![update(key)],
            needs_values: true,
            tells_version: false,
            hears_all: false,
            is_alone,
            answer: Box::new(|outcomes, _| match outcomes.first().and_then(answer_to) {
                Some(FunctionAnswer::OtherKey(_)) => Response::error(OTHER_KEY),
                _ => answer_of(outcomes),
            }),
            then: Some(then),
        }))
    }
}

fn eval(mut call: Call<'_>, read_only: bool) -> Planned {
    let request = Request::read(&call, read_only)?;
    let source = call.take(1);
    let id = name_of(&source);
    if known(call.host, id).is_none() && source.len() <= NOTE_BYTES_MAX {
        keep(call.host, id, &source);
    }
    request.plan(source)
}

fn evalsha(call: Call<'_>, read_only: bool) -> Planned {
    let request = Request::read(&call, read_only)?;
    let id = read_name(&call.args[1]).ok_or_else(|| Response::error(NOSCRIPT))?;
    if let Some(source) = known(call.host, id) {
        return request.plan(source);
    }
    let held = call.args.iter().map(Bytes::len).sum();
    Plan::inquire(Inquiry::Recall(id), held, move |finding, host| match finding {
        Finding::Note(Some(source)) => {
            keep(host, id, &source);
            request.plan(source)
        }
        _ => Err(Response::error(NOSCRIPT)),
    })
}

fn load(mut call: Call<'_>) -> Planned {
    let source = call.take(2);
    if source.len() > NOTE_BYTES_MAX {
        let length = source.len();
        return Err(Response::error(format!(
            "ERR the script is too long: {length} bytes, the limit is {NOTE_BYTES_MAX}"
        )));
    }
    call.host.check_script(&source)?;
    let id = name_of(&source);
    let held = source.len();
    Plan::inquire(Inquiry::Remember(Note { id, bytes: source }), held, move |_, _| {
        Ok(Plan::Reply(Response::text(text_of(id))))
    })
}

fn exists(call: Call<'_>) -> Planned {
    let ids = call.args[2..].iter().map(|text| read_name(text)).collect();
    next_exists(ids, Vec::new(), call.host)
}

/// Asks for the scripts one by one, from the first that is not known yet.
fn next_exists(ids: Vec<Option<NoteId>>, mut found: Vec<Response>, host: &dyn Host) -> Planned {
    while let Some(id) = ids.get(found.len()) {
        match *id {
            Some(id) if known(host, id).is_none() => {
                let held = ids.len() * size_of::<NoteId>();
                return Plan::inquire(Inquiry::Recall(id), held, move |finding, host| {
                    let is_known = matches!(finding, Finding::Note(Some(_)));
                    found.push(Response::Integer(is_known.into()));
                    next_exists(ids, found, host)
                });
            }
            id => found.push(Response::Integer(id.is_some().into())),
        }
    }
    Ok(Plan::Reply(Response::Array(found)))
}

fn flush(call: Call<'_>) -> Planned {
    let is_mode = |mode: &Bytes| mode.eq_ignore_ascii_case(b"sync") || mode.eq_ignore_ascii_case(b"async");
    match &call.args[2..] {
        [] => {}
        [mode] if is_mode(mode) => {}
        _ => return Err(Response::error("ERR SCRIPT FLUSH only support SYNC|ASYNC option")),
    }
    Plan::inquire(Inquiry::Forget(NoteKind::Script), 0, |_, _| Ok(Plan::Reply(Response::OK)))
}

fn kill(call: Call<'_>) -> Planned {
    match call.host.end_scripts() {
        true => Ok(Plan::Reply(Response::OK)),
        false => Err(Response::error("NOTBUSY No scripts in execution right now.")),
    }
}

fn debug(call: Call<'_>) -> Planned {
    let is = |mode: &[u8]| call.args[2].eq_ignore_ascii_case(mode);
    if is(b"no") {
        return Ok(Plan::Reply(Response::OK));
    }
    if is(b"yes") || is(b"sync") {
        return Err(Response::error("ERR scripts cannot be debugged here"));
    }
    Err(Response::error("ERR Use SCRIPT DEBUG YES/SYNC/NO"))
}

fn script_help(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(help(
        "SCRIPT",
        &[
            "DEBUG NO",
            "    Scripts cannot be debugged here.",
            "EXISTS <sha1> [<sha1> ...]",
            "    Return information about the existence of the scripts in the script cache.",
            "FLUSH [ASYNC|SYNC]",
            "    Have a majority of nodes forget the scripts.",
            "KILL",
            "    End the scripts that run at this node. They have no effect.",
            "LOAD <script>",
            "    Have a majority of nodes remember a script without executing it.",
        ],
    )))
}
