//! The `MEMBERS` family: who the members are, and changes of them. It is what the tools of an operator speak (`atomic-kv members`,
//! `replace`, `add`, `remove`, `move`, `abort-change`); answers are JSON objects. A command begins a change and does not wait for its
//! end: `MEMBERS LIST` tells how it goes on.

use super::{CAT_ADMIN, help, needs_subcommand, number, shown};
use crate::change::plan::{Plan as Planning, Request, check_given_up, plan};
use crate::change::report::Told;
use crate::change::{Decision, Proposal, Refusal, View};
use crate::resp::command::{Arg, Call, Command, Plan, Planned, Stage, Step, arg, syntax_error};
use crate::resp::outcomes::reply;
use crate::resp::response::Response;
use crate::resp::session::Host;
use abd::NodeId;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use smallvec::smallvec;

/// A command that finds another configuration than its node has installed plans again, so often.
const TRIES: u32 = 8;

const ADDRESSES: Arg = arg("address", "string").flags(&["multiple"]);
const IDS: Arg = arg("id", "integer").flags(&["multiple"]);
const EVEN: Arg = arg("even", "pure-token").token("EVEN").flags(&["optional"]);
const ID_ADDRESS: &[Arg] = &[arg("id", "integer"), arg("address", "string")];

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("server", name, arity, run, summary)
        .since("7.0.0")
        .flags(&["admin", "noscript", "no_multi", "stale"], CAT_ADMIN)
}

const SUBCOMMANDS: &[Command] = &[
    row("abort", 2, abort, "Gives up the change that is under way."),
    row("add", -3, add, "Begins a change that adds nodes, and may remove others.").args(&[
        ADDRESSES,
        arg("id", "integer").token("REMOVE").flags(&["optional", "multiple"]),
        EVEN,
    ]),
    row("deep", 2, deep, "Returns what this node has compared with other replicas."),
    row("help", 2, members_help, "Returns helpful text about the subcommands."),
    row("list", 2, list, "Returns the configuration, and how its members stand."),
    row("move", 4, relocate, "Begins a change of the peer address of a node.").args(ID_ADDRESS),
    row("remove", -3, remove, "Begins a change that removes nodes.").args(&[IDS, EVEN]),
    row("replace", 4, replace, "Begins a change in which a new node takes the place of a member.")
        .args(ID_ADDRESS),
];

pub(super) const COMMANDS: &[Command] =
    &[row("members", -2, needs_subcommand, "A container for commands on the members of the cluster.")
        .subcommands(SUBCOMMANDS)];

fn list(call: Call<'_>) -> Planned {
    let mut told = None;
    call.host.change(&mut |driver, now| told = Some(driver.report(now)));
    bulk(told.map(|report| report.with_clients(&call.host.topology()).json()))
}

fn deep(call: Call<'_>) -> Planned {
    let mut told = None;
    call.host.change(&mut |driver, _| told = Some(driver.compared().json()));
    bulk(told)
}

fn bulk(told: Option<String>) -> Planned {
    told.map(|text| Plan::Reply(Response::Bulk(text.into()))).ok_or_else(not_here)
}

fn not_here() -> Response {
    Response::error("ERR this is not where the members are known")
}

fn replace(call: Call<'_>) -> Planned {
    begin(&call, Request::Replace { old: id(&call.args[2])?, address: text(&call.args[3]) })
}

fn relocate(call: Call<'_>) -> Planned {
    begin(&call, Request::Move { id: id(&call.args[2])?, address: text(&call.args[3]) })
}

fn abort(call: Call<'_>) -> Planned {
    begin(&call, Request::Abort)
}

fn add(call: Call<'_>) -> Planned {
    let (words, even) = without_even(&call.args[2..]);
    let end = words.iter().position(|word| word.eq_ignore_ascii_case(b"remove"));
    let (addresses, removed) = words.split_at(end.unwrap_or(words.len()));
    let remove = removed.iter().skip(1).map(id).collect::<Result<_, _>>()?;
    if addresses.is_empty() || end.is_some() && removed.len() < 2 {
        return Err(syntax_error());
    }
    begin(&call, Request::Change { add: addresses.iter().map(text).collect(), remove, even })
}

fn remove(call: Call<'_>) -> Planned {
    let (words, even) = without_even(&call.args[2..]);
    let remove: Vec<NodeId> = words.iter().map(id).collect::<Result<_, _>>()?;
    if remove.is_empty() {
        return Err(syntax_error());
    }
    begin(&call, Request::Change { add: Vec::new(), remove, even })
}

/// The words before a last `EVEN`, and whether there is one.
fn without_even(words: &[Bytes]) -> (&[Bytes], bool) {
    match words.split_last() {
        Some((last, words)) if last.eq_ignore_ascii_case(b"even") => (words, true),
        _ => (words, false),
    }
}

/// Longer than an address may be is cut, and is none then.
fn text(word: &Bytes) -> String {
    shown(word).into_owned()
}

fn id(word: &Bytes) -> Result<NodeId, Response> {
    let id = number::<u32>(word).filter(|id| *id > 0).map(NodeId);
    id.ok_or_else(|| Response::error(format!("ERR '{}' is no id of a node", shown(word))))
}

fn begin(call: &Call<'_>, request: Request) -> Planned {
    let mut view = None;
    call.host.change(&mut |driver, now| view = Some(driver.view_at(now)));
    propose(request, view.ok_or_else(not_here)?, TRIES, call.host)
}

/// Plans the change, and has it decided. Whoever finds that another one was decided plans again.
fn propose(request: Request, view: View, tries: u32, host: &dyn Host) -> Planned {
    let to = match plan(&view, &request).map_err(refused)? {
        Planning::Begin(to) => to,
        Planning::UnderWay => return told("under way", &view, &request, host),
        Planning::Done => return told("done", &view, &request, host),
    };
    let proposal = Proposal { from: view.configuration.clone(), to };
    let operations = smallvec![proposal.operation()];
    let next = move |outcomes: crate::resp::outcomes::Outcomes, host: &dyn Host| {
        let strange =
            || Response::error("ERR the replicas hold a configuration that this node does not understand");
        let Some(decision) = outcomes.first().map(|outcome| proposal.decision(outcome)) else {
            return Err(strange());
        };
        match decision {
            Decision::Done(known) => {
                host.meet_configuration(&known);
                told("begun", &view.with(known), &request, host)
            }
            Decision::Other(known) => {
                host.meet_configuration(&known);
                if request == Request::Abort {
                    check_given_up(&proposal.from, &known).map_err(refused)?;
                }
                if tries <= 1 {
                    return Err(Response::error("REFUSED others change the members all the time"));
                }
                propose(request, view.with(known), tries - 1, host)
            }
            // The reply is this bad news.
            Decision::Refused(_) | Decision::Unknown(_) => {
                Ok(Plan::Reply(reply(outcomes, Box::new(|_, _| Response::Null), host)))
            }
            Decision::Strange => Err(strange()),
        }
    };
    Ok(Plan::First(Stage { step: Step::Run(operations, Box::new(next)), held: 0 }))
}

fn refused(why: Refusal) -> Response {
    Response::error(format!("REFUSED {why}"))
}

fn told(result: &'static str, view: &View, request: &Request, host: &dyn Host) -> Planned {
    let told = Told::new(result, &view.configuration, request, &host.topology());
    Ok(Plan::Reply(Response::Bulk(told.json().into())))
}

fn members_help(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(help(
        "MEMBERS",
        &[
            "ABORT",
            "    Give up the change that is under way.",
            "ADD <host:port> [<host:port> ...] [REMOVE <id> [<id> ...]] [EVEN]",
            "    Add nodes with these peer addresses, and remove others with the same change.",
            "DEEP",
            "    Return what this node has compared with other replicas.",
            "LIST",
            "    Return the configuration, and how its members stand.",
            "MOVE <id> <host:port>",
            "    Give a node another peer address.",
            "REMOVE <id> [<id> ...] [EVEN]",
            "    Remove nodes.",
            "REPLACE <id> <host:port>",
            "    Have a new node with this peer address take the place of a member.",
        ],
    )))
}
