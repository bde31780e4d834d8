//! The `CLUSTER` family, for clients of Redis Cluster: they learn all nodes, spread their keys over them, and go on without one
//! that fails. Every node takes every key, so nobody is ever sent away with `MOVED` or `ASK`.

use super::keyspace::{self, READ_ALL};
use super::{CAT_CONNECTION, SERVER, help, integer, needs_subcommand, shown};
use crate::resp::command::{Arg, Call, Command, Plan, Planned, arg};
use crate::resp::response::Response;
use crate::slots::{SLOTS, slot_of};
use crate::topology::{Known, Topology};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::iter::once;
use core::ops::RangeInclusive;

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("cluster", name, arity, run, summary).flags(&["stale"], &["@slow"])
}

/// Of a subcommand about one node.
const fn admin(name: &'static str, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    row(name, 3, run, summary).flags(&["admin", "stale"], &["@admin", "@slow", "@dangerous"]).args(NODE)
}

const NODE: &[Arg] = &[arg("node-id", "string")];

const SUBCOMMANDS: &[Command] = &[
    admin("count-failure-reports", failure_reports, "Returns 0: nodes do not report each other's failures.")
        .since("3.0.0"),
    row("countkeysinslot", 3, count_keys_in_slot, "Returns the number of keys in a hash slot.")
        .since("3.0.0")
        .flags(READ_ALL, &["@slow"])
        .linear()
        .args(&[arg("slot", "integer")]),
    row("help", 2, cluster_help, "Returns helpful text about the subcommands.")
        .since("5.0.0")
        .flags(SERVER, &["@slow"]),
    row("info", 2, info, "Returns information about the state of the cluster.").since("3.0.0"),
    row("keyslot", 3, keyslot, "Returns the hash slot of a key.")
        .since("3.0.0")
        .args(&[arg("key", "string")]),
    row("myid", 2, myid, "Returns the name of the node.").since("3.0.0"),
    row("nodes", 2, nodes, "Returns the nodes and their slots, as text.").since("3.0.0").linear(),
    admin("replicas", replicas, "Returns nothing: every node is a master.").since("5.0.0"),
    row("shards", 2, shards, "Returns the nodes and their slots.").since("7.0.0").linear(),
    admin("slaves", replicas, "Returns nothing: every node is a master.").since("3.0.0"),
    row("slots", 2, slots, "Returns the ranges of slots and their nodes.").since("3.0.0").linear(),
];

/// Of a command that changes how a client reads from replicas.
const fn mode(name: &'static str, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    row(name, 1, run, summary).since("3.0.0").flags(&["loading", "stale", "fast"], CAT_CONNECTION)
}

pub(super) const COMMANDS: &[Command] = &[
    mode("asking", accept, "Accepted without effect: nobody is sent here with ASK.")
        .flags(&["fast"], CAT_CONNECTION),
    row("cluster", -2, needs_subcommand, "A container for commands of Redis Cluster.")
        .since("3.0.0")
        .flags(&[], &["@slow"])
        .subcommands(SUBCOMMANDS),
    mode("readonly", accept, "Accepted without effect: every node serves every read."),
    mode("readwrite", accept, "Accepted without effect: every node serves every read."),
];

fn accept(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(Response::OK))
}

fn keyslot(call: Call<'_>) -> Planned {
    Ok(Plan::Reply(Response::Integer(slot_of(&call.args[2]).into())))
}

/// Of all keys: every node has every slot.
fn count_keys_in_slot(call: Call<'_>) -> Planned {
    let slot = u16::try_from(integer(&call.args[2])?).ok().filter(|slot| *slot < SLOTS);
    let slot = slot.ok_or_else(|| Response::error("ERR Invalid slot"))?;
    keyspace::count(move |key| slot_of(key) == slot)
}

fn myid(call: Call<'_>) -> Planned {
    Ok(Plan::Reply(Response::text(call.host.topology().own().name())))
}

fn topology(call: &Call<'_>) -> Topology {
    call.session.topology(call.host)
}

/// Its host and its port. Where clients reach it is unknown of a node that this one has not met since its start.
fn address(node: &Known) -> (&str, u16) {
    node.endpoint.as_ref().map_or(("", 0), |endpoint| (endpoint.host(), endpoint.port()))
}

/// The ranges of a node.
fn ranges_of<'a>(
    slots: &'a [(RangeInclusive<u16>, &Known)],
    node: &'a Known,
) -> impl Iterator<Item = &'a RangeInclusive<u16>> {
    slots.iter().filter(move |(_, owner)| owner.id == node.id).map(|(range, _)| range)
}

fn slots(call: Call<'_>) -> Planned {
    let topology = topology(&call);
    let range = |(range, node): (RangeInclusive<u16>, &Known)| {
        let (host, port) = address(node);
        let metadata = Response::Map(Vec::new());
        let owner =
            vec![Response::text(host), Response::Integer(port.into()), Response::text(node.name()), metadata];
        let [start, end] = [*range.start(), *range.end()].map(|slot| Response::Integer(slot.into()));
        Response::Array(vec![start, end, Response::Array(owner)])
    };
    Ok(Plan::Reply(Response::Array(topology.slots().into_iter().map(range).collect())))
}

fn shards(call: Call<'_>) -> Planned {
    let topology = topology(&call);
    let slots = topology.slots();
    let shard = |node: &Known| {
        let ends = ranges_of(&slots, node).flat_map(|range| [*range.start(), *range.end()]);
        let (host, port) = address(node);
        let health = if is_online(&topology, node) { "online" } else { "fail" };
        let node = Response::map([
            ("id", Response::text(node.name())),
            ("port", Response::Integer(port.into())),
            ("ip", Response::text(host)),
            ("endpoint", Response::text(host)),
            ("role", Response::text("master")),
            ("replication-offset", Response::Integer(0)),
            ("health", Response::text(health)),
        ]);
        let ends = ends.map(|slot| Response::Integer(slot.into())).collect();
        Response::map([("slots", Response::Array(ends)), ("nodes", Response::Array(vec![node]))])
    };
    Ok(Plan::Reply(Response::Array(topology.nodes().iter().map(shard).collect())))
}

fn is_online(topology: &Topology, node: &Known) -> bool {
    node.is_up || node.id == topology.own().id
}

fn nodes(call: Call<'_>) -> Planned {
    let topology = topology(&call);
    let slots = topology.slots();
    let lines = topology.nodes().iter().map(|node| line(&topology, &slots, node));
    Ok(Plan::Reply(Response::Verbatim(lines.collect::<String>().into())))
}

/// What `CLUSTER NODES` tells of a node.
fn line(topology: &Topology, slots: &[(RangeInclusive<u16>, &Known)], node: &Known) -> String {
    let is_online = is_online(topology, node);
    let flags = [
        (node.id == topology.own().id, "myself,"),
        (true, "master"),
        (!is_online, ",fail"),
        (node.endpoint.is_none(), ",noaddr"),
    ];
    let flags: String = flags.iter().filter(|(holds, _)| *holds).map(|(_, flag)| *flag).collect();
    let (host, port) = address(node);
    let link = if is_online { "connected" } else { "disconnected" };
    let (name, peers) = (node.name(), node.peer_port);
    let ranges = ranges_of(slots, node).map(|range| match (range.start(), range.end()) {
        (start, end) if start == end => start.to_string(),
        (start, end) => format!("{start}-{end}"),
    });
    // When it was last pinged and heard, and its epoch, have no meaning here.
    let words = once(format!("{name} {host}:{port}@{peers} {flags} - 0 0 0 {link}")).chain(ranges);
    words.collect::<Vec<_>>().join(" ") + "\n"
}

fn info(call: Call<'_>) -> Planned {
    let topology = topology(&call);
    let state = if topology.is_ready() { "ok" } else { "fail" };
    let rows = [
        ("cluster_state", state.to_string()),
        ("cluster_slots_assigned", SLOTS.to_string()),
        ("cluster_slots_ok", SLOTS.to_string()),
        ("cluster_slots_pfail", "0".to_string()),
        ("cluster_slots_fail", "0".to_string()),
        ("cluster_known_nodes", topology.nodes().len().to_string()),
        ("cluster_size", topology.takers().len().to_string()),
        ("cluster_current_epoch", "0".to_string()),
        ("cluster_my_epoch", "0".to_string()),
        ("cluster_stats_messages_sent", "0".to_string()),
        ("cluster_stats_messages_received", "0".to_string()),
        ("total_cluster_links_buffer_limit_exceeded", "0".to_string()),
    ];
    let text = rows.map(|(field, value)| format!("{field}:{value}\r\n")).concat();
    Ok(Plan::Reply(Response::Verbatim(text.into())))
}

/// A member's name has to be there.
fn check_name(call: &Call<'_>, name: &Bytes) -> Result<(), Response> {
    if call.host.topology().nodes().iter().any(|node| node.name().as_bytes() == &name[..]) {
        return Ok(());
    }
    Err(Response::error(format!("ERR Unknown node {}", shown(name))))
}

fn replicas(call: Call<'_>) -> Planned {
    check_name(&call, &call.args[2])?;
    Ok(Plan::Reply(Response::Array(Vec::new())))
}

fn failure_reports(call: Call<'_>) -> Planned {
    check_name(&call, &call.args[2])?;
    Ok(Plan::Reply(Response::Integer(0)))
}

fn cluster_help(_: Call<'_>) -> Planned {
    Ok(Plan::Reply(help(
        "CLUSTER",
        &[
            "COUNT-FAILURE-REPORTS <node-id>",
            "    Return 0: nodes do not report each other's failures.",
            "COUNTKEYSINSLOT <slot>",
            "    Return the number of keys in <slot>.",
            "INFO",
            "    Return information about the cluster.",
            "KEYSLOT <key>",
            "    Return the hash slot for <key>.",
            "MYID",
            "    Return the node id.",
            "NODES",
            "    Return cluster configuration seen by node. Output format:",
            "    <id> <ip:port> <flags> <master> <pings> <pongs> <epoch> <link> <slot> ...",
            "REPLICAS <node-id>",
            "    Return <node-id> replicas: there are none.",
            "SHARDS",
            "    Return information about slot range mappings and the nodes associated with them.",
            "SLOTS",
            "    Return information about slots range mappings. Each range is made of:",
            "    start, end, master and replicas IP addresses, ports and ids",
        ],
    )))
}
