//! `dev`: a whole cluster in one process.

use super::lifetime::{HangUp, run};
use crate::config::{DEFAULT_MAX_CLIENTS, DevArgs, ServeArgs, Settings};
use crate::fatal::Fatal;
use crate::logging;
use crate::node::{RunningNode, descriptor_limit};
use crate::private;
use ::node::client::descriptors;
use abd::quorum::MEMBERS_MAX;
use std::fmt::Write;
use std::net::TcpListener;
use std::path::Path;

/// How far the peer ports are above the client ports.
const TO_PEERS: u16 = 10_000;
/// How far the HTTP ports are above the client ports.
const TO_HTTP: u16 = 2_000;

/// Ports of the first node; the others follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ports {
    clients: u16,
    peers: u16,
    http: u16,
    nodes: u16,
}

impl Ports {
    fn choose(args: &DevArgs) -> Result<Self, Fatal> {
        let nodes =
            u16::try_from(args.nodes).ok().filter(|nodes| (1..=MEMBERS_MAX).contains(&usize::from(*nodes)));
        let nodes = nodes.ok_or_else(|| {
            Fatal::usage(format!("--nodes {} is not between 1 and {MEMBERS_MAX}", args.nodes))
        })?;
        if args.port == 0 {
            return Err(Fatal::usage(
                "--port 0 is not possible: clients must know the ports; choose one such as 6380",
            ));
        }
        if args.port.checked_add(nodes - 1).is_none() {
            return Err(Fatal::usage(format!("--port {} leaves no room for {nodes} nodes", args.port)));
        }
        // Below it where there is no room above.
        let near = |distance: u16| match args.port.checked_add(distance + nodes) {
            Some(_) => args.port + distance,
            None => args.port - distance,
        };
        Ok(Self { clients: args.port, peers: near(TO_PEERS), http: near(TO_HTTP), nodes })
    }

    /// The address of a node's port; `first` is that of the first node.
    fn address(first: u16, id: u16) -> String {
        format!("127.0.0.1:{}", first + id - 1)
    }

    /// Whether all of them are free, and if not, what to do: `dev` has one flag for all ports.
    fn check(&self) -> Result<(), Fatal> {
        for id in 1..=self.nodes {
            for (first, whom) in
                [(self.clients, "its clients"), (self.peers, "its peers"), (self.http, "HTTP")]
            {
                let address = Self::address(first, id);
                TcpListener::bind(&address).map_err(|why| {
                    let (clients, port) = (self.clients, first + id - 1);
                    Fatal::usage(format!(
                        "node {id} cannot listen for {whom} on {address}: {why}; port {port} goes with --port {clients}: \
                         choose another --port, or stop what uses it"
                    ))
                })?;
            }
        }
        Ok(())
    }
}

/// Runs a whole cluster in this process until it is told to stop.
///
/// # Errors
/// As [`serve`](super::serve).
pub fn dev(args: DevArgs) -> Result<(), Fatal> {
    private::set_umask();
    logging::start(&format!("warn,{}", store::LOG_FILTER))?;
    let ports = Ports::choose(&args)?;
    ports.check()?;
    let temporary = match &args.data_dir {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("atomic-kv-dev-").tempdir().map_err(|why| {
            Fatal::runtime(format!("cannot make a temporary directory: {why}; say where with --data-dir"))
        })?),
    };
    let given = args.data_dir.as_deref();
    let directory = given.or(temporary.as_ref().map(tempfile::TempDir::path)).unwrap_or(Path::new("."));
    let ids = 1..=ports.nodes;
    let members: Vec<String> =
        ids.clone().map(|id| format!("{id}={}", Ports::address(ports.peers, id))).collect();
    let serve = |id: u16| {
        let args = ServeArgs {
            node_id: Some(id.into()),
            cluster: Some(members.join(",")),
            listen: Some(Ports::address(ports.clients, id)),
            http_listen: Some(Ports::address(ports.http, id)),
            data_dir: Some(directory.join(format!("node-{id}"))),
            timestamps: Some(args.timestamps.clone()),
            clock_error: args.clock_error.clone(),
            multi_keys: Some(args.multi_keys.clone()),
            enable_debug_command: Some(args.enable_debug_command.clone()),
            max_clients: Some(share_of_clients(ports.nodes)),
            ..ServeArgs::default()
        };
        args.settle()
    };
    let all: Vec<Settings> = ids.map(serve).collect::<Result<_, _>>()?;
    let told = introduction(ports, directory, given.is_some());
    run(HangUp::Stops, move || {
        let nodes = all.into_iter().map(RunningNode::start).collect::<Result<_, _>>()?;
        tools::print(told)?;
        Ok(nodes)
    })
}

/// How many clients each of so many nodes may have, which share what one process may have open.
fn share_of_clients(nodes: u16) -> usize {
    let limit = descriptor_limit() / u64::from(nodes);
    // With too few even for that, each node says so itself.
    descriptors::clients(DEFAULT_MAX_CLIENTS, limit, nodes.into(), 1).unwrap_or(1)
}

/// What there is, and what to try.
fn introduction(ports: Ports, directory: &Path, is_kept: bool) -> String {
    let Ports { clients, http, nodes, .. } = ports;
    let last = clients + nodes - 1;
    let addresses: Vec<String> = (1..=nodes).map(|id| Ports::address(clients, id)).collect();
    // The tools find the default ports by themselves.
    let addr = match (clients, nodes) {
        (6380, 3) => String::new(),
        _ => format!(" --addr {}", addresses.join(",")),
    };
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ =
        writeln!(text, "{nodes} nodes for Redis clients on {}. In another terminal:\n", addresses.join(", "));
    for (command, what) in [
        (format!("redis-cli -p {clients} set greeting hello"), "write through one node"),
        (format!("redis-cli -p {last} get greeting"), "read through another"),
        (format!("redis-cli -p {clients} --stat"), "what a node does"),
        (format!("atomic-kv get greeting{addr}"), "without redis-cli"),
        (format!("atomic-kv status{addr}"), "all nodes"),
        (
            format!("curl http://{}/metrics", Ports::address(http, 1)),
            "for Prometheus; node 2 is one port above",
        ),
        (format!("curl http://{}/readyz", Ports::address(http, 1)), "whether it serves"),
    ] {
        let _ = writeln!(text, "  {command:<44}  # {what}");
    }
    let fate = if is_kept {
        "stays there when you stop with Ctrl-C"
    } else {
        "is deleted when you stop with Ctrl-C; with --data-dir DIR it stays"
    };
    let _ = writeln!(text, "\nThe data, in {}, {fate}.", directory.display());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(nodes: u32, port: u16) -> DevArgs {
        DevArgs {
            nodes,
            port,
            data_dir: None,
            timestamps: "logical".to_owned(),
            clock_error: None,
            multi_keys: "refuse".to_owned(),
            enable_debug_command: "no".to_owned(),
        }
    }

    #[test]
    fn ports_are_chosen_with_room_for_all() {
        let usual = Ports::choose(&args(3, 6380)).unwrap();
        assert_eq!(usual, Ports { clients: 6380, peers: 16_380, http: 8380, nodes: 3 });
        let high = Ports::choose(&args(7, 65_529)).unwrap();
        assert_eq!(high, Ports { clients: 65_529, peers: 55_529, http: 63_529, nodes: 7 });
        for (nodes, port, part) in
            [(8, 1000, "between 1 and 7"), (0, 1000, "between"), (3, 0, "--port 0"), (3, 65_534, "no room")]
        {
            let wrong = Ports::choose(&args(nodes, port)).unwrap_err();
            assert!(wrong.code == 2 && wrong.message.contains(part), "{wrong}");
        }
    }

    #[test]
    fn what_to_try_names_the_ports_and_what_happens_to_the_data() {
        let usual = introduction(Ports::choose(&args(3, 6380)).unwrap(), Path::new("/d"), false);
        for part in [
            "redis-cli -p 6380 set",
            "redis-cli -p 6382 get",
            "atomic-kv status ",
            "curl http://127.0.0.1:8380/metrics",
            "in /d, is deleted when you stop",
        ] {
            assert!(usual.contains(part), "{part} is not in\n{usual}");
        }
        let other = introduction(Ports::choose(&args(1, 7000)).unwrap(), Path::new("/d"), true);
        assert!(other.contains("status --addr 127.0.0.1:7000") && other.contains("stays there"), "{other}");
    }
}
