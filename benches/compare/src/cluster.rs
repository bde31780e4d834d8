//! Clusters on loopback, each in a fresh directory on the disk that is measured.

use crate::Result;
use crate::args::Args;
use crate::catalog::Load;
use crate::delay::Delay;
use crate::etcd;
use crate::process::{Process, Usage};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a cluster may take until it serves.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked meanwhile.
const ASK: Duration = Duration::from_millis(5);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum System {
    /// Three nodes with their default settings.
    AtomicKv,
    /// Three nodes of an earlier version, where one was given.
    Before,
    /// Three nodes of etcd.
    Etcd,
    /// Three nodes with TrueTime timestamps.
    TrueTime,
    /// Five nodes with their default settings.
    FiveNodes,
    /// Three nodes of which the third is [`FAR`] from the others, and has no clients.
    OneFar,
    /// Three nodes, each [`APART`] from the others.
    Apart,
    /// The same with TrueTime timestamps.
    ApartTrueTime,
    /// Three nodes of etcd, each as far from the others.
    EtcdApart,
}

/// One way to a node that is far away.
const FAR: Duration = Duration::from_millis(1);
/// One way between nodes that are apart from each other.
const APART: Duration = Duration::from_micros(500);

impl System {
    /// In the order in which a pair measures them: those that are compared next to each other.
    pub(crate) const ALL: [Self; 9] = [
        Self::Before,
        Self::AtomicKv,
        Self::Etcd,
        Self::TrueTime,
        Self::FiveNodes,
        Self::OneFar,
        Self::Apart,
        Self::ApartTrueTime,
        Self::EtcdApart,
    ];

    /// How many nodes it has.
    pub(crate) fn nodes(self) -> usize {
        if self == Self::FiveNodes { 5 } else { 3 }
    }

    /// Whether it is etcd.
    pub(crate) fn is_etcd(self) -> bool {
        matches!(self, Self::Etcd | Self::EtcdApart)
    }

    /// How much later what others send to a node arrives, and its answers. Two nodes of Atomic KV share the connection that the
    /// one with the lower id has made: the node that is far is the last one.
    fn one_way(self, node: usize) -> Option<Duration> {
        match self {
            Self::OneFar => (node == 2).then_some(FAR),
            Self::Apart | Self::ApartTrueTime | Self::EtcdApart => Some(APART),
            _ => None,
        }
    }
}

/// The programs and the disk.
pub(crate) struct Lab {
    node: PathBuf,
    before: Option<PathBuf>,
    node_flags: Vec<String>,
    etcd: PathBuf,
    data: PathBuf,
}

impl Lab {
    /// Builds the node, looks for etcd, and refuses a disk that is none.
    pub(crate) fn new(args: &Args, loads: &[&Load]) -> Result<Self> {
        let node = match &args.node {
            Some(path) => path.clone(),
            None => build_node()?,
        };
        let needs_etcd = loads.iter().any(|load| load.on.iter().any(|system| system.is_etcd()));
        if needs_etcd && Command::new(&args.etcd).arg("--version").output().is_err() {
            return Err(
                "there is no etcd: apt-get install etcd-server, or say where it is with --etcd".into()
            );
        }
        std::fs::create_dir_all(&args.data_dir)?;
        let data = args.data_dir.canonicalize()?;
        /// From linux/magic.h.
        const TMPFS: u32 = 0x0102_1994;
        if u32::try_from(rustix::fs::statfs(&data)?.f_type).is_ok_and(|kind| kind == TMPFS) {
            return Err(format!("{} is in memory; choose a real disk with --data-dir", data.display()).into());
        }
        let node_flags = args.node_flags.split_whitespace().map(str::to_owned).collect();
        Ok(Self { node, before: args.before.clone(), node_flags, etcd: args.etcd.clone(), data })
    }

    /// What a node of this system runs.
    fn program(&self, system: System) -> &Path {
        match system {
            System::Etcd | System::EtcdApart => &self.etcd,
            System::Before => self.before.as_ref().unwrap_or(&self.node),
            _ => &self.node,
        }
    }

    /// Where the data is.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }
}

fn build_node() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args([
            "build",
            "--release",
            "--package",
            "atomic-kv",
            "--bin",
            "atomic-kv",
            "--target-dir",
            "target",
        ])
        .current_dir(&root)
        .status()?;
    if !built.success() {
        return Err("the node does not build".into());
    }
    Ok(root.join("target/release/atomic-kv").canonicalize()?)
}

/// A running cluster; dropping it stops its nodes and deletes its data.
pub(crate) struct Cluster {
    system: System,
    program: PathBuf,
    nodes: Vec<Node>,
    /// Between the nodes.
    _network: Vec<Delay>,
    directory: tempfile::TempDir,
}

/// Where a node listens for others, and where they find it.
#[derive(Clone, Copy)]
struct Peer {
    listens: SocketAddr,
    is_at: SocketAddr,
}

struct Node {
    process: Process,
    arguments: Vec<String>,
    /// Where clients connect.
    client: SocketAddr,
}

impl Cluster {
    /// Starts it and waits until every node serves.
    pub(crate) fn start(lab: &Lab, system: System) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("cluster-").tempdir_in(&lab.data)?;
        let count = system.nodes();
        let held = free_ports(2 * count)?;
        let ports: Vec<SocketAddr> =
            held.iter().map(TcpListener::local_addr).collect::<std::io::Result<_>>()?;
        let (clients, peers) = ports.split_at(count);
        let mut network = Vec::new();
        let mut members = Vec::new();
        for (index, &listens) in peers.iter().enumerate() {
            let mut peer = Peer { listens, is_at: listens };
            if let Some(one_way) = system.one_way(index) {
                let delay = Delay::before(listens, one_way)?;
                peer.is_at = delay.address();
                network.push(delay);
            }
            members.push(peer);
        }
        drop(held);
        let program = lab.program(system);
        let arguments = if system.is_etcd() {
            etcd_arguments(clients, &members, directory.path())
        } else {
            node_arguments(lab, system, clients, &members, directory.path())
        };
        let mut nodes = Vec::new();
        for (index, arguments) in arguments.into_iter().enumerate() {
            let process =
                Process::start(program, &arguments, &directory.path().join(format!("{index}.log")))?;
            nodes.push(Node { process, arguments, client: clients[index] });
        }
        let mut cluster = Self { system, program: program.to_owned(), nodes, _network: network, directory };
        for index in 0..count {
            cluster.await_serving(index)?;
        }
        Ok(cluster)
    }

    /// Where clients connect.
    pub(crate) fn clients(&self) -> Vec<SocketAddr> {
        let count = if self.system == System::OneFar { 2 } else { self.nodes.len() };
        self.nodes[..count].iter().map(|node| node.client).collect()
    }

    /// Where its data is.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What all nodes have used so far.
    pub(crate) fn usage(&self) -> Result<Usage> {
        self.nodes.iter().map(|node| node.process.usage()).sum()
    }

    /// The node whose loss hurts most: etcd's leader, and any (another each time) where there is none.
    pub(crate) fn victim(&self, turn: usize) -> Result<usize> {
        if self.system.is_etcd() { self.leader() } else { Ok(turn % self.nodes.len()) }
    }

    /// Waits for a leader of etcd.
    pub(crate) fn leader(&self) -> Result<usize> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(leader) = etcd::leader(&self.clients())? {
                return Ok(leader);
            }
            std::thread::sleep(ASK);
        }
        Err("etcd has no leader".into())
    }

    /// Kills a node with SIGKILL.
    pub(crate) fn kill(&mut self, index: usize) {
        self.nodes[index].process.kill();
    }

    /// Starts a killed node again and waits until it serves; returns how long that took.
    pub(crate) fn restart(&mut self, index: usize) -> Result<Duration> {
        let began = Instant::now();
        let log = self.directory.path().join(format!("{index}.log"));
        self.nodes[index].process = Process::start(&self.program, &self.nodes[index].arguments, &log)?;
        self.await_serving(index)?;
        Ok(began.elapsed())
    }

    /// Serving means that a key can be read through this very node.
    fn await_serving(&mut self, index: usize) -> Result<()> {
        let began = Instant::now();
        let log = self.directory.path().join(format!("{index}.log"));
        while began.elapsed() < PATIENCE {
            let client = self.nodes[index].client;
            let serves = if self.system.is_etcd() {
                etcd::leader(&self.clients())?.is_some()
            } else {
                reads(client).is_ok_and(|serves| serves)
            };
            if serves {
                return Ok(());
            }
            if !self.nodes[index].process.runs() {
                break;
            }
            std::thread::sleep(ASK);
        }
        let log = std::fs::read_to_string(log).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(3).collect();
        Err(format!("node {} of {:?} does not serve; its last words: {last:?}", index + 1, self.system)
            .into())
    }
}

/// Whether a node answers a GET with anything but an error.
fn reads(node: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&node, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"*2\r\n$3\r\nGET\r\n$5\r\nready\r\n")?;
    let mut first = [0];
    stream.read_exact(&mut first)?;
    Ok(first == *b"$")
}

/// Ports that are free as soon as they are given back; all are bound before that, so they differ.
fn free_ports(count: usize) -> std::io::Result<Vec<TcpListener>> {
    (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect()
}

fn node_arguments(
    lab: &Lab,
    system: System,
    clients: &[SocketAddr],
    peers: &[Peer],
    directory: &Path,
) -> Vec<Vec<String>> {
    let members: Vec<String> =
        peers.iter().enumerate().map(|(index, peer)| format!("{}={}", index + 1, peer.is_at)).collect();
    let arguments = |(index, client): (usize, &SocketAddr)| {
        let mut arguments = vec!["serve".to_owned()];
        let mut flag = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
        flag("node-id", (index + 1).to_string());
        flag("cluster", members.join(","));
        flag("listen", client.to_string());
        flag("peer-listen", peers[index].listens.to_string());
        flag("data-dir", directory.join((index + 1).to_string()).display().to_string());
        if matches!(system, System::TrueTime | System::ApartTrueTime) {
            flag("timestamps", "truetime".to_owned());
            flag("clock-error", "0.1ms".to_owned());
        }
        arguments.extend(lab.node_flags.iter().cloned());
        arguments
    };
    clients.iter().enumerate().map(arguments).collect()
}

/// etcd's defaults, which fsync every entry of the log on a majority before a put is answered.
fn etcd_arguments(clients: &[SocketAddr], peers: &[Peer], directory: &Path) -> Vec<Vec<String>> {
    let members: Vec<String> = peers
        .iter()
        .enumerate()
        .map(|(index, peer)| format!("n{}=http://{}", index + 1, peer.is_at))
        .collect();
    let arguments = |(index, client): (usize, &SocketAddr)| {
        let mut arguments = Vec::new();
        let mut flag = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
        let Peer { listens, is_at } = peers[index];
        flag("name", format!("n{}", index + 1));
        flag("data-dir", directory.join((index + 1).to_string()).display().to_string());
        flag("listen-client-urls", format!("http://{client}"));
        flag("advertise-client-urls", format!("http://{client}"));
        flag("listen-peer-urls", format!("http://{listens}"));
        flag("initial-advertise-peer-urls", format!("http://{is_at}"));
        flag("initial-cluster", members.join(","));
        flag("log-level", "error".to_owned());
        // Room for every version that the loads write: etcd keeps them until somebody compacts.
        flag("quota-backend-bytes", (8u64 << 30).to_string());
        arguments
    };
    clients.iter().enumerate().map(arguments).collect()
}
