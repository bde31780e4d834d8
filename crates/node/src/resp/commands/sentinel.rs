//! The `SENTINEL` family and `ROLE`. Every node answers as a Sentinel whose master is that node itself, so a client with Sentinel
//! support goes on at another node when its own dies: there is nobody to elect, and nothing to wait for.
//!
//! A node that cannot serve, as it does not reach a majority or is about to stop, knows of no master: clients ask the next one.

use super::{CAT_ADMIN, SERVER, help, needs_subcommand};
use crate::resp::command::{Arg, Call, Command, Plan, Planned, arg};
use crate::resp::response::Response;
use crate::topology::{Known, Topology};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("sentinel", name, arity, run, summary).since("2.8.4").flags(&["admin"], CAT_ADMIN)
}

const MASTER: &[Arg] = &[arg("master-name", "string")];

const SUBCOMMANDS: &[Command] = &[
    row("ckquorum", 3, ckquorum, "Says whether a majority of the nodes answers.").args(MASTER),
    row("get-master-addr-by-name", 3, get_master, "Returns the address of this node, whatever the name is.")
        .args(MASTER),
    row("help", 2, sentinel_help, "Returns helpful text about the subcommands.")
        .since("6.2.0")
        .flags(SERVER, &["@slow"]),
    row("master", 3, master, "Returns the state of this node, whatever the name is.").args(MASTER),
    row("masters", 2, masters, "Returns the state of this node, as a list of one."),
    row("myid", 2, myid, "Returns the name of the node.").since("6.2.0"),
    row("replicas", 3, replicas, "Returns nothing: every node is a master.").since("5.0.0").args(MASTER),
    row("sentinels", 3, sentinels, "Returns the other nodes.").linear().args(MASTER),
    row("slaves", 3, replicas, "Returns nothing: every node is a master.").since("2.8.0").args(MASTER),
];

pub(super) const COMMANDS: &[Command] = &[
    Command::new("server", "role", 1, role, "Returns the role of the node: always master, without replicas.")
        .since("2.8.12")
        .flags(&["noscript", "loading", "stale", "fast"], &["@admin", "@fast", "@dangerous"]),
    row("sentinel", -2, needs_subcommand, "A container for commands of Redis Sentinel.")
        .subcommands(SUBCOMMANDS),
];

/// What a Sentinel tells of others is text, numbers too.
type Fields = Vec<(&'static str, String)>;

fn told(fields: Fields) -> Response {
    Response::map(fields.into_iter().map(|(name, value)| (name, Response::text(value))))
}

fn role(_: Call<'_>) -> Planned {
    let nobody = Response::Array(Vec::new());
    Ok(Plan::Reply(Response::Array(vec![Response::text("master"), Response::Integer(0), nobody])))
}

fn topology(call: &Call<'_>) -> Topology {
    call.session.topology(call.host)
}

fn myid(call: Call<'_>) -> Planned {
    Ok(Plan::Reply(Response::text(call.host.topology().own().name())))
}

fn get_master(call: Call<'_>) -> Planned {
    let topology = topology(&call);
    let endpoint = topology.own().endpoint.as_ref().filter(|_| topology.is_ready());
    Ok(Plan::Reply(endpoint.map_or(Response::NullArray, |endpoint| {
        Response::Array(vec![Response::text(endpoint.host()), Response::text(endpoint.port().to_string())])
    })))
}

fn masters(call: Call<'_>) -> Planned {
    let name = call.host.sentinel_master().to_string();
    Ok(Plan::Reply(Response::Array(vec![told(as_master(&topology(&call), name))])))
}

fn master(call: Call<'_>) -> Planned {
    let name = String::from_utf8_lossy(&call.args[2]).into_owned();
    Ok(Plan::Reply(told(as_master(&topology(&call), name))))
}

fn replicas(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(Response::Array(Vec::new())))
}

fn sentinels(call: Call<'_>) -> Planned {
    let topology = topology(&call);
    // Nobody can be sent to a node that has not said where it is.
    let met = topology.others().filter(|node| node.endpoint.is_some());
    Ok(Plan::Reply(Response::Array(met.map(|node| told(as_sentinel(node))).collect())))
}

/// What is told of any instance. Clients read where it is and what is up; the rest has no meaning here.
fn as_instance(node: &Known, name: String, flags: &str) -> Fields {
    let (host, port) = node.endpoint.as_ref().map_or(("", 0), |endpoint| (endpoint.host(), endpoint.port()));
    vec![
        ("name", name),
        ("ip", host.to_string()),
        ("port", port.to_string()),
        ("runid", node.name()),
        ("flags", flags.to_string()),
        ("link-pending-commands", "0".to_string()),
        ("link-refcount", "1".to_string()),
        ("last-ping-sent", "0".to_string()),
        ("last-ok-ping-reply", "0".to_string()),
        ("last-ping-reply", "0".to_string()),
        ("down-after-milliseconds", "0".to_string()),
    ]
}

fn as_master(topology: &Topology, name: String) -> Fields {
    let others = topology.others().filter(|node| node.is_up).count();
    let majority = topology.members().count() / 2 + 1;
    let flags = if topology.is_ready() { "master" } else { "s_down,o_down,master" };
    let mut fields = as_instance(topology.own(), name, flags);
    fields.extend([
        ("info-refresh", "0".to_string()),
        ("role-reported", "master".to_string()),
        ("role-reported-time", "0".to_string()),
        ("config-epoch", "0".to_string()),
        ("num-slaves", "0".to_string()),
        ("num-other-sentinels", others.to_string()),
        ("quorum", majority.to_string()),
        ("failover-timeout", "0".to_string()),
        ("parallel-syncs", "1".to_string()),
    ]);
    fields
}

fn as_sentinel(node: &Known) -> Fields {
    let flags = if node.is_up { "sentinel" } else { "s_down,sentinel,disconnected" };
    let mut fields = as_instance(node, node.name(), flags);
    fields.extend([
        ("last-hello-message", "0".to_string()),
        ("voted-leader", "?".to_string()),
        ("voted-leader-epoch", "0".to_string()),
    ]);
    fields
}

fn ckquorum(call: Call<'_>) -> Planned {
    let topology = call.host.topology();
    let own = topology.own().id;
    let usable = topology.members().filter(|node| node.id == own || node.is_up).count();
    if usable > topology.members().count() / 2 {
        let text = format!("OK {usable} usable Sentinels. Quorum and failover authorization can be reached");
        return Ok(Plan::Reply(Response::Simple(text.into())));
    }
    Err(Response::error(format!(
        "NOQUORUM {usable} usable Sentinels. Not enough available Sentinels to reach the specified quorum for this \
         master. Not enough available Sentinels to reach the majority and authorize a failover"
    )))
}

fn sentinel_help(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(help(
        "SENTINEL",
        &[
            "CKQUORUM <master-name>",
            "    Check if a majority of the nodes answers.",
            "GET-MASTER-ADDR-BY-NAME <master-name>",
            "    Return the ip and port number of this node.",
            "MASTER <master-name>",
            "    Show the state and info of this node.",
            "MASTERS",
            "    Show a list of this node alone.",
            "MYID",
            "    Return the ID of the Sentinel instance.",
            "REPLICAS <master-name>",
            "    Show a list of replicas: there are none.",
            "SENTINELS <master-name>",
            "    Show a list of the other nodes.",
        ],
    )))
}
