//! Data directories of each stable format, as nodes of that time have left them: nodes of this release serve what was in them.
//!
//! A fixture holds the directories of two of three nodes after a kill -9 ([`packed::pack`]): who they are and whom they have met, tables
//! and a log, and an update that one of them has accepted and nobody published. That of the format of this release is written anew by
//! `cargo test -p atomic-kv --test processes formats:: -- --ignored`, for a format that no release has had yet. Those of releases
//! stay what they are. What the database has in it alone is in the fixtures of `store`.

#[path = "../../../store/tests/formats/packed.rs"]
mod packed;

use crate::acceptances::{kill, last_is_played, promised, propose, start};
use crate::support::client::{Connection, Response};
use crate::support::{Cluster, Node, copy_directory};
use abd::Reply;
use packed::{pack, unpack};
use std::path::{Path, PathBuf};
use std::time::Duration;

const NAMES: [&str; 2] = ["node-1", "node-2"];
const LARGE: usize = 40 << 10;
/// Written before the nodes are started again, so that they are in a table.
const EARLY: u32 = 30;

fn fixture(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/format-{format}"))
}

/// Three nodes, two of which have the directories of a fixture.
fn with_directories(format: u32) -> Cluster {
    let cluster = Cluster::new(3, &[]);
    unpack(&std::fs::read(fixture(format)).unwrap(), cluster.directory());
    assert!(
        NAMES.iter().zip(&cluster.nodes).all(|(name, node)| node.data.ends_with(name) && node.data.exists())
    );
    cluster
}

/// What a node tells of a key's version.
fn version(client: &mut Connection, key: &str) -> String {
    let Response::Array(items) = client.call(&format!("GETVER {key}")) else { panic!("no version of {key}") };
    let Some(Response::Bulk(Some(version))) = items.into_iter().nth(1) else { panic!("no version of {key}") };
    String::from_utf8(version).unwrap()
}

fn write(client: &mut Connection, round: u32) {
    let large = [b'0' + u8::try_from(round).unwrap(); LARGE];
    assert_eq!(client.try_call(&[b"SET", b"large", &large]).unwrap(), Response::ok());
    assert_eq!(client.call(&format!("APPEND list {round};")), Response::Integer(2 * i64::from(round) + 2));
    assert_eq!(client.call("INCRBY counter 21"), Response::Integer(21 * i64::from(round + 1)));
    assert_eq!(client.call(&format!("SET gone {round}")), Response::ok());
    assert_eq!(client.call("DEL gone"), Response::Integer(1));
    assert_eq!(client.call(&format!("SET text round-{round}")), Response::ok());
}

/// What [`write`] has left behind after two rounds.
fn check(node: &Node) {
    let mut client = node.connect();
    assert_eq!(client.call("GET large"), Response::Bulk(Some(vec![b'1'; LARGE])));
    for (key, value) in [("list", "0;1;"), ("counter", "42"), ("text", "round-1")] {
        assert_eq!(client.call(&format!("GET {key}")), Response::bulk(value), "{key}");
    }
    for number in 0..EARLY {
        assert_eq!(client.call(&format!("GET early-{number}")), Response::bulk(&number.to_string()));
    }
    // Two updates of a key that nobody had set; and a tombstone is there.
    assert_eq!(version(&mut client, "counter"), format!("{:048x}", 2));
    assert_eq!(client.call("GET gone"), Response::Bulk(None));
    assert!(version(&mut client, "gone") > format!("{:048x}", u64::MAX), "it was set");
}

#[test]
fn format_1_is_served_and_goes_on() {
    let mut cluster = with_directories(1);
    // A start that is interrupted harms nothing.
    for round in 0..8 {
        cluster.nodes[..2].iter_mut().for_each(Node::start);
        std::thread::sleep(Duration::from_millis(10 * round));
        kill(&mut cluster);
    }
    start(&mut cluster);
    cluster.nodes[..2].iter().for_each(check);
    // The fixture has seen two starts.
    assert!(cluster.nodes[0].info("boot").parse::<u32>().unwrap() > 2);
    // What was accepted and not published counts, through the node that knows nothing of it.
    assert_eq!(cluster.nodes[1].connect().call("INCR begun"), Response::Integer(8));
    assert_eq!(cluster.nodes[0].connect().call("SET later 1"), Response::ok());
    kill(&mut cluster);
    start(&mut cluster);
    for node in &cluster.nodes[..2] {
        check(node);
        assert_eq!(
            node.connect().call("MGET begun later"),
            Response::Array(["8", "1"].map(Response::bulk).to_vec())
        );
    }
}

/// A directory of the development versions before the first stable format, and one of a release that is to come.
#[test]
fn directories_of_other_formats_are_refused_by_a_line_that_says_so() {
    let mut cluster = with_directories(1);
    let format = cluster.nodes[0].data.join("db/format");
    let written = std::fs::read(&format).unwrap();
    let mut is_refused = |parts: &[&str]| {
        let node = &mut cluster.nodes[0];
        node.start();
        assert_eq!(node.wait().code(), Some(1), "{}", node.log());
        let log = node.log();
        let last = log.lines().rev().find(|line| line.starts_with("atomic-kv: ")).unwrap();
        assert!(parts.iter().all(|part| last.contains(part)), "{last}");
    };
    std::fs::remove_file(&format).unwrap();
    is_refused(&["db/format is missing", "development version", "empty directory"]);
    let later = "Atomic KV database, format 2,";
    std::fs::write(&format, format!("{later} checksum {:08x}\n", crc32fast::hash(later.as_bytes()))).unwrap();
    is_refused(&["says that it is format 2", "a newer release wrote it"]);
    std::fs::write(&format, written).unwrap();
    start(&mut cluster);
    cluster.nodes[..2].iter().for_each(check);
}

#[test]
#[ignore = "it writes the fixture anew, and the one that is kept is what shows that earlier directories are read"]
fn write_the_fixture() {
    let (mut cluster, member) = last_is_played();
    let mut client = cluster.nodes[0].connect();
    for number in 0..EARLY {
        assert_eq!(client.call(&format!("SET early-{number} {number}")), Response::ok());
    }
    write(&mut client, 0);
    kill(&mut cluster);
    member.forget_accepted();
    start(&mut cluster);
    write(&mut cluster.nodes[1].connect(), 1);
    let [mut first, _] = member.accepted([1, 2]);
    let base = promised(&mut first, "begun", 10 << 20);
    assert_eq!(propose(&mut first, "begun", 10 << 20, base, "7"), Reply::Accepted);
    let directory = tempfile::tempdir().unwrap();
    kill(&mut cluster);
    for (name, node) in NAMES.iter().zip(&cluster.nodes) {
        copy_directory(&node.data, &directory.path().join(name));
    }
    std::fs::write(fixture(1), pack(directory.path())).unwrap();
}
