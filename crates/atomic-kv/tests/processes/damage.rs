//! Bits that flip on disks (rule S3): they cost what they hit, and nothing else.

use crate::support::client::{Connection, Response};
use crate::support::privileged::{Tracer, skipped};
use crate::support::{Cluster, Node, eventually, http_get};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

pub(crate) const KEYS: usize = 1_000;

pub(crate) fn value(number: usize, round: usize) -> String {
    format!("{round}-{number}-").repeat(12)
}

/// All at once: what is not answered costs its time only once.
fn all(client: &mut Connection, command: impl Fn(usize) -> String) -> Vec<Response> {
    let commands: String = (0..KEYS).map(|number| command(number) + "\r\n").collect();
    client.send(commands.as_bytes()).unwrap();
    (0..KEYS).map(|_| client.read().unwrap()).collect()
}

pub(crate) fn set_all(client: &mut Connection, round: usize) {
    let set = |number| format!("SET key-{number:04} {}", value(number, round));
    assert!(all(client, set).iter().all(|reply| *reply == Response::ok()));
}

pub(crate) fn get_all(client: &mut Connection, round: usize) {
    let replies = all(client, |number| format!("GET key-{number:04}"));
    for (number, reply) in replies.iter().enumerate() {
        assert_eq!(*reply, Response::bulk(&value(number, round)), "key {number}");
    }
}

/// The tables of a node, the largest last.
pub(crate) fn tables(node: &Node) -> Vec<PathBuf> {
    let mut folders = vec![node.data.clone()];
    let mut tables: Vec<(u64, PathBuf)> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if folder.ends_with("tables/tables") {
                tables.push((path.metadata().unwrap().len(), path));
            }
        }
    }
    tables.sort();
    tables.into_iter().map(|(_, path)| path).collect()
}

/// Flips a bit of the node's largest table, that many hundredths behind its beginning.
pub(crate) fn flip(node: &Node, hundredths: u64) {
    let path = tables(node).pop().unwrap();
    let length = path.metadata().unwrap().len();
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let (at, mut byte) = (length * hundredths / 100, [0]);
    file.read_exact_at(&mut byte, at).unwrap();
    byte[0] ^= 4;
    file.write_all_at(&byte, at).unwrap();
}

fn damaged_parts(node: &Node) -> u64 {
    node.info("damaged_parts").parse().unwrap()
}

/// One bit in each of two nodes, at different keys: all data is whole somewhere, and all of it is served. The nodes live through
/// merges and restarts, and say what is wrong.
#[test]
fn s3_a_bit_in_each_of_two_nodes_costs_nobody_anything() {
    let mut cluster = Cluster::start(3, &["--heal", "off"]);
    set_all(&mut cluster.nodes[0].connect(), 0);
    cluster.nodes.iter_mut().for_each(|node| assert!(node.terminate().success()));
    // What is in the journal goes to a table.
    cluster.start_all();
    cluster.wait_ready();
    cluster.nodes.iter_mut().for_each(|node| assert!(node.terminate().success()));
    flip(&cluster.nodes[0], 30);
    flip(&cluster.nodes[1], 60);
    cluster.start_all();
    cluster.wait_ready();
    for node in &cluster.nodes {
        get_all(&mut node.connect(), 0);
    }
    for node in &cluster.nodes[..2] {
        eventually("the damage is known", || damaged_parts(node) == 1);
        let (_, metrics) = http_get(&node.http_address(), "/metrics");
        assert!(metrics.lines().any(|line| line == "atomic_kv_damaged_parts 1"), "{metrics}");
        assert_ne!(node.info("abstentions"), "0");
        assert!(node.log().contains("is damaged"), "{}", node.log());
        // Whoever reads may not fill the log: those lines have no limit.
        assert!(!node.log().contains("::table::block"), "{}", node.log());
    }
    assert_eq!(damaged_parts(&cluster.nodes[2]), 0);
    // Writes are taken by all, and tables are merged.
    for round in 1..4 {
        set_all(&mut cluster.nodes[round % 3].connect(), round);
    }
    for node in &cluster.nodes {
        get_all(&mut node.connect(), 3);
    }
    cluster.nodes.iter_mut().for_each(|node| assert!(node.terminate().success()));
    // For the end: what cannot be answered is waited for.
    cluster.nodes[0].flags = ["--heal", "off", "--op-timeout", "2s"].map(str::to_owned).into();
    cluster.start_all();
    cluster.wait_ready();
    for (node, parts) in cluster.nodes.iter().zip([1, 1, 0]) {
        assert_eq!(damaged_parts(node), parts, "node {}", node.id);
        let standing = ["lost_ranges", "heals", "epoch"].map(|field| node.info(field));
        assert_eq!(standing, [if parts == 0 { "0" } else { "1" }, "0", "1"], "node {}", node.id);
        get_all(&mut node.connect(), 3);
    }
    // Without the third, the keys that one of the two has lost have no majority: no answer, and why. All others have one.
    cluster.nodes[2].kill();
    let mut client = cluster.nodes[0].connect();
    let mut refused = 0;
    for number in 0..KEYS {
        let reply = client.call(&format!("GET key-{number:04}"));
        if reply == Response::bulk(&value(number, 3)) {
            continue;
        }
        let why = reply.error();
        assert!(why.starts_with("NOQUORUM") && why.contains("its copy of this key is damaged"), "{why}");
        refused += 1;
        if refused == 3 {
            break;
        }
    }
    assert_eq!(refused, 3, "all keys have a majority");
    for number in (0..KEYS).rev().take(KEYS / 10) {
        assert_eq!(
            client.call(&format!("GET key-{number:04}")),
            Response::bulk(&value(number, 3)),
            "{number}"
        );
    }
}

/// A list of tables says which tables there are: without it nothing is known, and the node says so.
#[test]
fn a_bit_of_the_list_of_tables_is_refused_with_a_clear_line() {
    let mut cluster = Cluster::start(1, &[]);
    assert_eq!(cluster.nodes[0].connect().call("SET k v"), Response::ok());
    assert!(cluster.nodes[0].terminate().success());
    let mut folders = vec![cluster.nodes[0].data.clone()];
    let mut lists = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if folder.ends_with("tables") && name.starts_with('v') {
                let mut bytes = std::fs::read(&path).unwrap();
                // The number of sections that it claims to have.
                let contents = bytes.windows(4).rposition(|window| window == b"TOC!").unwrap();
                bytes[contents + 7] ^= 0x80;
                std::fs::write(&path, bytes).unwrap();
                lists += 1;
            }
        }
    }
    assert_eq!(lists, 1);
    cluster.nodes[0].start();
    assert_eq!(cluster.nodes[0].wait().code(), Some(1));
    let log = cluster.nodes[0].log();
    assert!(log.contains("the list of tables is damaged"), "{log}");
}

/// A table that the disk does not read any more costs what is in it: the node goes on, and the others answer.
#[test]
fn s3_a_table_that_cannot_be_read_is_no_reason_to_end() {
    // More than the node has room for in memory, so that it has to read.
    const LARGE_KEYS: usize = 30_000;
    let value = |number: usize| format!("{number}-").repeat(1_000 / (number.to_string().len() + 1));
    let each_thousand =
        |client: &mut Connection, ask: &dyn Fn(usize) -> String, expect: &dyn Fn(usize) -> Response| {
            for first in (0..LARGE_KEYS).step_by(1_000) {
                let numbers = first..first + 1_000;
                let commands: String = numbers.clone().map(|number| ask(number) + "\r\n").collect();
                client.send(commands.as_bytes()).unwrap();
                for number in numbers {
                    assert_eq!(client.read().unwrap(), expect(number), "key {number}");
                }
            }
        };
    let mut cluster = Cluster::start(3, &["--heal", "off", "--cache-bytes", "1048576"]);
    let set = |number| format!("SET key-{number:05} {}", value(number));
    each_thousand(&mut cluster.nodes[0].connect(), &set, &|_| Response::ok());
    // What is in the journal goes to a table.
    cluster.nodes.iter_mut().for_each(|node| assert!(node.terminate().success()));
    cluster.start_all();
    cluster.wait_ready();
    let table = tables(&cluster.nodes[0]).pop().unwrap();
    let Some(_tracer) = Tracer::fail(cluster.nodes[0].pid(), "pread64", Some(&table)) else {
        return skipped("a table that cannot be read", "strace is missing or may not do this");
    };
    let mut client = cluster.nodes[0].connect();
    let get = |number| format!("GET key-{number:05}");
    each_thousand(&mut client, &get, &|number| Response::bulk(&value(number)));
    assert_ne!(cluster.nodes[0].info("abstentions"), "0", "it has read from the table");
    eventually("the damage is known", || damaged_parts(&cluster.nodes[0]) > 0);
    each_thousand(&mut client, &set, &|_| Response::ok());
    each_thousand(&mut client, &get, &|number| Response::bulk(&value(number)));
}
