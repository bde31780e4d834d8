//! What is measured, and what is wanted of it.

use crate::cluster::System::{
    self, Apart, ApartTrueTime, AtomicKv, Before, Etcd, EtcdApart, FiveNodes, OneFar, TrueTime,
};
use std::time::Duration;
use tools::load::Mix;

/// What a load does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A closed loop.
    Run(ClosedLoop),
    /// A closed loop of 64 clients in whose middle a node (etcd: the leader) is killed.
    Kill(Mix),
    /// The memory that the nodes hold after what ran before.
    Memory,
    /// A million keys: rates, then the restart of a node.
    Million,
    /// A million overwrites of ten thousand keys: what is left on disk once quiet.
    Overwrite,
}

/// What the clients of a closed loop do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClosedLoop {
    pub(crate) clients: usize,
    /// Connections that the clients of Atomic KV share; `None`: each has its own.
    pub(crate) connections: Option<usize>,
    pub(crate) mix: Mix,
    pub(crate) value_size: usize,
    pub(crate) hot: bool,
    pub(crate) pipeline: usize,
}

impl ClosedLoop {
    const fn of(clients: usize, reads: u32) -> Self {
        Self::mixed(clients, Mix::Register { reads })
    }

    const fn mixed(clients: usize, mix: Mix) -> Self {
        Self { clients, connections: None, mix, value_size: VALUE_SIZE, hot: false, pipeline: 1 }
    }
}

/// A load and the systems that carry it.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) on: &'static [System],
    pub(crate) action: Action,
}

impl Load {
    /// Whether this system carries it. An earlier version carries all that GETs and SETs.
    pub(crate) fn is_on(&self, system: System) -> bool {
        match system {
            Before => {
                let registers =
                    matches!(self.action, Action::Run(ClosedLoop { mix: Mix::Register { .. }, .. }));
                registers && self.on.contains(&AtomicKv)
            }
            _ => self.on.contains(&system),
        }
    }

    /// Whether it takes minutes and its own cluster.
    pub(crate) fn is_growth(&self) -> bool {
        matches!(self.action, Action::Million | Action::Overwrite)
    }
}

/// Keys of every load that does not say otherwise.
pub(crate) const KEYS: u64 = 10_000;
/// Bytes of every value that no load makes larger.
pub(crate) const VALUE_SIZE: usize = 100;

/// A node is killed so long after the measurement has begun.
pub(crate) const KILL_AFTER: Duration = Duration::from_secs(2);

const BOTH: &[System] = &[AtomicKv, Etcd];
const ALL_BUT_ETCD: &[System] = &[AtomicKv, FiveNodes];
const THREE: &[System] = &[AtomicKv, Etcd, FiveNodes];

const fn load(
    name: &'static str,
    title: &'static str,
    on: &'static [System],
    clients: usize,
    reads: u32,
) -> Load {
    Load { name, title, on, action: Action::Run(ClosedLoop::of(clients, reads)) }
}

const fn updates(
    name: &'static str,
    title: &'static str,
    on: &'static [System],
    clients: usize,
    mix: Mix,
) -> Load {
    Load { name, title, on, action: Action::Run(ClosedLoop::mixed(clients, mix)) }
}

/// 64 clients that share three connections, as those of etcd do in its best mode.
const fn shared(name: &'static str, title: &'static str, reads: u32) -> Load {
    let action = Action::Run(ClosedLoop { connections: Some(3), ..ClosedLoop::of(64, reads) });
    Load { name, title, on: &[AtomicKv], action }
}

const fn special(name: &'static str, title: &'static str, on: &'static [System], action: Action) -> Load {
    Load { name, title, on, action }
}

/// All loads, in the order in which they run: memory after what fills it, large values after memory, and last what
/// takes a node away.
pub(crate) const LOADS: &[Load] = &[
    load("set64", "SET, 64 clients", THREE, 64, 0),
    load("get64", "GET, 64 clients", THREE, 64, 100),
    // Right after GET, with whose rate it is compared.
    updates("setnx64", "SET NX on a present key, 64 clients", &[AtomicKv], 64, Mix::SetIfAbsent),
    load("mixed64", "50/50, 64 clients", BOTH, 64, 50),
    special(
        "hot64",
        "50/50 on one hot key, 64 clients",
        BOTH,
        Action::Run(ClosedLoop { hot: true, ..ClosedLoop::of(64, 50) }),
    ),
    updates("incr64", "INCR, 64 clients", BOTH, 64, Mix::Increment),
    special(
        "incrhot64",
        "INCR of one key, 64 clients",
        BOTH,
        Action::Run(ClosedLoop { hot: true, ..ClosedLoop::mixed(64, Mix::Increment) }),
    ),
    special("memory", "memory after the load", BOTH, Action::Memory),
    shared("shared-set64", "SET, 64 clients on three connections", 0),
    shared("shared-get64", "GET, 64 clients on three connections", 100),
    shared("shared-mixed64", "50/50, 64 clients on three connections", 50),
    load("set1", "SET, 1 client", &[AtomicKv, Etcd, TrueTime, Apart, ApartTrueTime, EtcdApart], 1, 0),
    updates("update1", "INCR, 1 client", BOTH, 1, Mix::Increment),
    load("get1", "GET, 1 client", &[AtomicKv, Etcd, Apart, EtcdApart], 1, 100),
    load("set4", "SET, 4 clients", BOTH, 4, 0),
    load("get4", "GET, 4 clients", BOTH, 4, 100),
    load("set16", "SET, 16 clients", &[AtomicKv, Etcd, OneFar], 16, 0),
    load("get16", "GET, 16 clients", &[AtomicKv, Etcd, OneFar], 16, 100),
    load("set256", "SET, 256 clients", BOTH, 256, 0),
    load("get256", "GET, 256 clients", BOTH, 256, 100),
    load("set1024", "SET, 1024 clients", BOTH, 1024, 0),
    load("get1024", "GET, 1024 clients", BOTH, 1024, 100),
    special(
        "pipeline16",
        "50/50, 64 clients, 16 requests at a time",
        ALL_BUT_ETCD,
        Action::Run(ClosedLoop { pipeline: 16, ..ClosedLoop::of(64, 50) }),
    ),
    special(
        "set16k",
        "SET of 16 KiB, 16 clients",
        BOTH,
        Action::Run(ClosedLoop { value_size: 16 << 10, ..ClosedLoop::of(16, 0) }),
    ),
    special("updatekill", "a node is killed (-9) under INCR, 64 clients", BOTH, Action::Kill(Mix::Increment)),
    special(
        "kill",
        "a node is killed (-9) under 50/50, 64 clients",
        BOTH,
        Action::Kill(Mix::Register { reads: 50 }),
    ),
    special("million", "a million keys", &[AtomicKv], Action::Million),
    special("overwrite", "a million overwrites of 10,000 keys", &[AtomicKv], Action::Overwrite),
];

/// What a figure is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// At least so many times the baseline.
    AtLeast(f64),
    /// At most so many times the baseline.
    AtMost(f64),
    /// At most this, whatever the baseline.
    Below(f64),
    /// At least this, whatever the baseline.
    Above(f64),
    /// Reported.
    None,
}

/// A line of the table: a number of a load, beside that of a baseline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) title: &'static str,
    /// The number's name in a sample, and its unit.
    pub(crate) number: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) subject: (&'static str, System),
    pub(crate) baseline: Option<(&'static str, System)>,
    pub(crate) target: Target,
}

const fn figure(
    title: &'static str,
    number: &'static str,
    unit: &'static str,
    subject: (&'static str, System),
    baseline: (&'static str, System),
    target: Target,
) -> Figure {
    Figure { title, number, unit, subject, baseline: Some(baseline), target }
}

const fn against_etcd(
    title: &'static str,
    number: &'static str,
    unit: &'static str,
    load: &'static str,
    target: Target,
) -> Figure {
    figure(title, number, unit, (load, AtomicKv), (load, Etcd), target)
}

/// Like for like: etcd's clients always share three connections.
const fn shared_against_etcd(title: &'static str, load: &'static str, etcd: &'static str) -> Figure {
    figure(title, "rate", "op/s", (load, AtomicKv), (etcd, Etcd), Target::None)
}

const fn alone(
    title: &'static str,
    number: &'static str,
    unit: &'static str,
    load: &'static str,
    target: Target,
) -> Figure {
    Figure { title, number, unit, subject: (load, AtomicKv), baseline: None, target }
}

/// Beside etcd.
pub(crate) const COMPARED: &[Figure] = &[
    against_etcd("SET, 64 clients", "rate", "op/s", "set64", Target::AtLeast(4.0)),
    against_etcd("GET, 64 clients", "rate", "op/s", "get64", Target::AtLeast(6.0)),
    against_etcd("50/50, 64 clients", "rate", "op/s", "mixed64", Target::AtLeast(5.0)),
    against_etcd("50/50 on one hot key, 64 clients", "rate", "op/s", "hot64", Target::AtLeast(5.0)),
    shared_against_etcd("SET, 64 clients on three connections", "shared-set64", "set64"),
    shared_against_etcd("GET, 64 clients on three connections", "shared-get64", "get64"),
    shared_against_etcd("50/50, 64 clients on three connections", "shared-mixed64", "mixed64"),
    against_etcd("SET of 16 KiB, 16 clients", "rate", "op/s", "set16k", Target::AtLeast(4.0)),
    against_etcd("SET, 1 client, median latency", "write_p50_us", "µs", "set1", Target::AtMost(0.55)),
    against_etcd("GET, 1 client, median latency", "read_p50_us", "µs", "get1", Target::AtMost(0.3)),
    figure(
        "TrueTime SET (error bound 0.1 ms), 1 client, median latency",
        "write_p50_us",
        "µs",
        ("set1", TrueTime),
        ("set1", Etcd),
        Target::AtMost(0.4),
    ),
    against_etcd("server CPU per SET, 64 clients", "server_cpu_us", "µs", "set64", Target::AtMost(0.25)),
    against_etcd("server CPU per GET, 64 clients", "server_cpu_us", "µs", "get64", Target::AtMost(0.125)),
    against_etcd(
        "resident memory of all nodes after the load",
        "rss_mib",
        "MiB",
        "memory",
        Target::AtMost(0.334),
    ),
    against_etcd(
        "longest time without an answer, a node killed",
        "gap_ms",
        "ms",
        "kill",
        Target::Below(110.0),
    ),
    figure(
        "16 requests at a time, against one",
        "rate",
        "op/s",
        ("pipeline16", AtomicKv),
        ("mixed64", AtomicKv),
        Target::AtLeast(3.0),
    ),
];

/// Updates: read, changed and written with nobody in between.
pub(crate) const UPDATES: &[Figure] = &[
    against_etcd("INCR, 64 clients, 10,000 keys", "rate", "op/s", "incr64", Target::AtLeast(2.0)),
    against_etcd("INCR, 64 clients, one key", "rate", "op/s", "incrhot64", Target::AtLeast(10.0)),
    // No ratio: of etcd's clients some get nothing at all.
    alone(
        "the slowest client's share of the fastest one's, INCR of one key",
        "slowest_of_fastest",
        "",
        "incrhot64",
        Target::Above(0.25),
    ),
    figure(
        "SET NX on a present key, against GET, 64 clients",
        "rate",
        "op/s",
        ("setnx64", AtomicKv),
        ("get64", AtomicKv),
        Target::AtLeast(0.8),
    ),
    figure(
        "INCR against SET, 1 client, median latency",
        "p50_us",
        "µs",
        ("update1", AtomicKv),
        ("set1", AtomicKv),
        Target::AtMost(2.2),
    ),
    against_etcd("INCR, 1 client, median latency", "p50_us", "µs", "update1", Target::None),
    alone("INDETERMINATE, INCR, 10,000 keys", "indeterminate", "", "incr64", Target::Below(0.0)),
    alone("INDETERMINATE, INCR, one key", "indeterminate", "", "incrhot64", Target::Below(0.0)),
    against_etcd(
        "longest time without an answer, INCR, a node killed",
        "gap_ms",
        "ms",
        "updatekill",
        Target::Below(110.0),
    ),
    alone("INDETERMINATE, INCR, a node killed", "indeterminate", "", "updatekill", Target::None),
];

const fn against_before(
    title: &'static str,
    number: &'static str,
    unit: &'static str,
    load: &'static str,
    target: Target,
) -> Figure {
    figure(title, number, unit, (load, AtomicKv), (load, Before), target)
}

/// Beside an earlier version.
pub(crate) const BEFORE: &[Figure] = &[
    against_before("SET, 64 clients", "rate", "op/s", "set64", Target::AtLeast(0.95)),
    against_before("GET, 64 clients", "rate", "op/s", "get64", Target::AtLeast(0.95)),
    against_before("50/50, 64 clients", "rate", "op/s", "mixed64", Target::AtLeast(0.95)),
    against_before("50/50 on one hot key, 64 clients", "rate", "op/s", "hot64", Target::AtLeast(0.95)),
    against_before("SET of 16 KiB, 16 clients", "rate", "op/s", "set16k", Target::AtLeast(0.95)),
    against_before("SET, 1 client, median latency", "p50_us", "µs", "set1", Target::AtMost(1.053)),
    against_before("GET, 1 client, median latency", "p50_us", "µs", "get1", Target::AtMost(1.053)),
];

/// How cost grows.
pub(crate) const GROWTH: &[Figure] = &[
    figure(
        "SET rate at 1,000,000 keys, against 10,000",
        "set_rate",
        "op/s",
        ("million", AtomicKv),
        ("set64", AtomicKv),
        Target::AtLeast(0.7),
    ),
    figure(
        "GET rate at 1,000,000 keys, against 10,000",
        "get_rate",
        "op/s",
        ("million", AtomicKv),
        ("get64", AtomicKv),
        Target::AtLeast(0.7),
    ),
    alone("restart with 1,000,000 keys, to serving", "restart_s", "s", "million", Target::Below(5.0)),
    alone(
        "disk after 1,000,000 overwrites, per live byte",
        "disk_ratio",
        "×",
        "overwrite",
        Target::Below(2.0),
    ),
    alone(
        "written to a node's disk per SET, per byte of key and value",
        "written_ratio",
        "×",
        "set64",
        Target::Below(10.0),
    ),
    figure("5 nodes against 3: SET", "rate", "op/s", ("set64", FiveNodes), ("set64", AtomicKv), Target::None),
    figure("5 nodes against 3: GET", "rate", "op/s", ("get64", FiveNodes), ("get64", AtomicKv), Target::None),
    figure(
        "SET: 256 clients against 64",
        "rate",
        "op/s",
        ("set256", AtomicKv),
        ("set64", AtomicKv),
        Target::AtLeast(0.9),
    ),
    figure(
        "GET: 256 clients against 64",
        "rate",
        "op/s",
        ("get256", AtomicKv),
        ("get64", AtomicKv),
        Target::AtLeast(0.9),
    ),
    figure(
        "SET: 1024 clients against 64",
        "rate",
        "op/s",
        ("set1024", AtomicKv),
        ("set64", AtomicKv),
        Target::AtLeast(0.9),
    ),
    figure(
        "GET: 1024 clients against 64",
        "rate",
        "op/s",
        ("get1024", AtomicKv),
        ("get64", AtomicKv),
        Target::AtLeast(0.9),
    ),
    alone("slowest client's share of the mean, SET, 1024 clients", "fairness", "×", "set1024", Target::None),
    alone("slowest client's share of the mean, GET, 1024 clients", "fairness", "×", "get1024", Target::None),
];

/// With a network between the nodes.
pub(crate) const APART: &[Figure] = &[
    figure(
        "SET, 1 client, median latency, 1 ms for a round trip between nodes",
        "write_p50_us",
        "µs",
        ("set1", Apart),
        ("set1", EtcdApart),
        Target::None,
    ),
    figure(
        "TrueTime SET, 1 client, median latency, 1 ms for a round trip between nodes",
        "write_p50_us",
        "µs",
        ("set1", ApartTrueTime),
        ("set1", EtcdApart),
        Target::None,
    ),
    figure(
        "GET, 1 client, median latency, 1 ms for a round trip between nodes",
        "read_p50_us",
        "µs",
        ("get1", Apart),
        ("get1", EtcdApart),
        Target::None,
    ),
    figure(
        "SET, 16 clients, one node 2 ms away",
        "rate",
        "op/s",
        ("set16", OneFar),
        ("set16", AtomicKv),
        Target::None,
    ),
    figure(
        "GET, 16 clients, one node 2 ms away",
        "rate",
        "op/s",
        ("get16", OneFar),
        ("get16", AtomicKv),
        Target::None,
    ),
];
