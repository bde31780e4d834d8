//! A part of a node never dies alone, and a log that cannot be written costs nothing but its lines.

use crate::support::client::Response;
use crate::support::privileged::skipped;
use crate::support::{Cluster, Connection, Node, eventually, finish, http_get, program};
use rustix::fs::OFlags;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write, pipe};
use std::process::Stdio;

/// The parts of a node, as it tells them itself: so none is forgotten here.
fn parts() -> BTreeSet<String> {
    let mut cluster = Cluster::new(3, &[]);
    let log = cluster.directory().join("parts.log");
    let environment = [("ATOMIC_KV_LOG", "atomic_kv::node::supervise=debug")];
    cluster.nodes[0].start_with(File::create(&log).unwrap(), &environment);
    assert_eq!(cluster.nodes[0].connect().call("PING"), Response::Status("PONG".to_owned()));
    assert_eq!(cluster.nodes[0].terminate().code(), Some(0));
    let log = std::fs::read_to_string(log).unwrap();
    let names = log.lines().filter_map(|line| line.split_once("part=\"")?.1.split_once('"'));
    let parts: BTreeSet<String> = names.map(|(name, _)| name.to_owned()).collect();
    for some in ["committer", "reader", "shard", "timer", "accept clients", "http"] {
        assert!(parts.contains(some), "{some} is not in {parts:?}");
    }
    parts
}

/// A node of three whose part is to end like this; all that it logs.
fn ends_with(part: &str, how: &str) -> (Option<i32>, String) {
    let cluster = Cluster::new(3, &[]);
    let mut command = cluster.nodes[0].command();
    command.env("ATOMIC_KV_FAIL_AT", format!("{part}={how}"));
    let ended = finish(command);
    (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
}

#[test]
fn a_part_that_ends_ends_the_node() {
    if !cfg!(debug_assertions) {
        return skipped("parts that end", "a release build has no way to make one end");
    }
    for part in parts() {
        for how in ["panic", "return"] {
            let (code, log) = ends_with(&part, how);
            assert_eq!(code, Some(70), "{part}, {how}:\n{log}");
            let last = log.lines().last().unwrap();
            assert!(last.starts_with("atomic-kv: a fault in the program: "), "{part}, {how}:\n{log}");
            assert!(last.contains(&part), "{part}, {how}:\n{log}");
        }
    }
}

#[test]
fn a_part_that_ends_ends_a_whole_cluster_in_one_process() {
    if !cfg!(debug_assertions) {
        return skipped("parts that end", "a release build has no way to make one end");
    }
    for how in ["panic", "return"] {
        let run = || {
            let port = crate::support::ports::Port::free();
            let mut command = program();
            command.args(["dev", "--nodes", "1", "--port", &port.number().to_string()]);
            drop(port);
            command.env("ATOMIC_KV_FAIL_AT", format!("timer={how}"));
            finish(command)
        };
        // Another test may have one of its ports.
        let ended = std::iter::repeat_with(run).find(|ended| ended.status.code() != Some(2)).unwrap();
        let log = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(70), "{how}:\n{log}");
    }
}

fn lines_dropped(node: &Node) -> u64 {
    let metrics = http_get(&node.http_address(), "/metrics").1;
    let name = "atomic_kv_log_lines_dropped_total ";
    metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
}

/// A peer goes away and comes back, which the node tells, or tries to.
fn goes_on_without_its_log(cluster: &mut Cluster) {
    for _ in 0..2 {
        cluster.nodes[1].kill();
        eventually("the peer is seen to be gone", || cluster.nodes[0].info("peers").contains("2=down"));
        cluster.nodes[1].start();
        eventually("the peer is connected to again", || cluster.nodes[0].info("peers").contains("2=up"));
    }
    assert_eq!(cluster.nodes[0].connect().call("SET k v"), Response::ok());
    let dropped = lines_dropped(&cluster.nodes[0]);
    assert!(dropped > 0);
    assert_eq!(cluster.nodes[0].info("log_lines_dropped").parse::<u64>().unwrap(), dropped);
    assert_eq!(cluster.nodes[0].terminate().code(), Some(0));
}

#[test]
fn a_node_whose_log_nobody_reads_any_more_goes_on() {
    let mut cluster = Cluster::new(3, &[]);
    let (reader, writer) = pipe().unwrap();
    cluster.nodes[0].start_logging_to(writer);
    // As `2>&1 | head -n 1` does.
    let mut reader = BufReader::new(reader);
    reader.read_line(&mut String::new()).unwrap();
    drop(reader);
    cluster.nodes[1].start();
    cluster.nodes[2].start();
    cluster.wait_ready();
    goes_on_without_its_log(&mut cluster);
}

#[test]
fn a_node_whose_log_has_no_room_goes_on() {
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        return skipped("log without room", "there is no /dev/full");
    };
    let mut cluster = Cluster::new(3, &[]);
    cluster.nodes[0].start_logging_to(full);
    cluster.nodes[1].start();
    cluster.nodes[2].start();
    cluster.wait_ready();
    goes_on_without_its_log(&mut cluster);
}

/// A pipe that nobody reads and that has no room: whoever writes to it waits.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
    rustix::fs::fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(b".").is_ok() {}
    rustix::fs::fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

/// More strangers than there may be lines about them, and than a full pipe has room for.
const STRANGERS: usize = 365;

#[test]
fn a_log_that_nobody_reads_does_not_hold_up_an_event_loop() {
    let (reader, writer) = full_pipe();
    let mut cluster = Cluster::new(1, &[]);
    let node = &mut cluster.nodes[0];
    node.start_logging_to(writer);
    node.wait_ready();
    let mut client = node.connect();
    for number in 0..STRANGERS {
        let mut stranger = Connection::open(node.peer_address(1)).unwrap();
        let _ = stranger.send(b"GET / HTTP/1.1\r\n\r\n");
        assert!(stranger.rest().unwrap_or_default().is_empty());
        assert_eq!(client.call(&format!("SET k {number}")), Response::ok());
    }
    // Whoever reads at last finds a few lines about them, and how many more there were.
    let mut about_strangers = 0;
    let mut untold = None;
    let mut log = BufReader::new(reader);
    while untold.is_none() {
        let mut line = String::new();
        assert!(log.read_line(&mut line).unwrap() > 0, "the node has ended");
        let told = line.split_once("… and ").filter(|_| line.contains("\"closed a peer connection\""));
        untold = told.map(|(_, rest)| rest.split(' ').next().unwrap().parse::<usize>().unwrap());
        about_strangers += usize::from(untold.is_none() && line.contains("closed a peer connection"));
    }
    assert!(about_strangers < STRANGERS / 2, "{about_strangers}");
    // Anybody may have been slow enough for another window.
    assert!(untold.unwrap() + about_strangers <= STRANGERS);
    assert_eq!(node.terminate().code(), Some(0));
}

/// The end waits for nobody either.
#[test]
fn a_node_whose_log_nobody_reads_stops_when_it_is_told_to() {
    let (reader, writer) = full_pipe();
    let mut cluster = Cluster::new(1, &[]);
    cluster.nodes[0].start_logging_to(writer.try_clone().unwrap());
    cluster.nodes[0].wait_ready();
    assert_eq!(cluster.nodes[0].terminate().code(), Some(0));
    // And so does one that cannot even start, and one whose part panics.
    cluster.nodes[0].flags = vec!["--http-listen".to_owned(), "nowhere".to_owned()];
    cluster.nodes[0].start_logging_to(writer.try_clone().unwrap());
    assert_eq!(cluster.nodes[0].wait().code(), Some(2));
    if cfg!(debug_assertions) {
        cluster.nodes[0].flags.clear();
        cluster.nodes[0].start_with(Stdio::from(writer), &[("ATOMIC_KV_FAIL_AT", "committer=panic")]);
        assert_eq!(cluster.nodes[0].wait().code(), Some(70));
    }
    drop(reader);
}
