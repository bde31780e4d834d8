//! The release before this one and this one in one cluster: upgraded node by node, and back, while it serves. The program of that release
//! is built from the commit below.

use crate::support::client::Response;
use crate::support::privileged::skipped;
use crate::support::{Cluster, Node, eventually};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The last commit whose nodes know nothing of configurations: peer protocol 5, identities without one.
const PREVIOUS: &str = "0109fd4";

/// The program of that release, built beside this one; `None` where its sources or what it is built of cannot be had.
fn previous_release() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // Beside `deps`, where this test is.
    let place = std::env::current_exe().unwrap().parent().unwrap().join(format!("../release-{PREVIOUS}"));
    let program = place.join("target/debug/atomic-kv");
    if program.exists() {
        return Some(program);
    }
    let sources = place.join("sources");
    std::fs::create_dir_all(&sources).unwrap();
    let archive = place.join("sources.tar");
    let archive = archive.to_str().unwrap();
    let quietly = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let is_built = quietly(Command::new("git").current_dir(&root).args(["archive", "-o", archive, PREVIOUS]))
        && quietly(Command::new("tar").current_dir(&sources).args(["-xf", archive]))
        && quietly(
            Command::new(env!("CARGO"))
                .current_dir(&sources)
                // As soon as possible: how fast it is does not matter.
                .envs([("CARGO_PROFILE_DEV_OPT_LEVEL", "0"), ("CARGO_PROFILE_DEV_DEBUG", "0")])
                .arg("build")
                .args(["'*'", "abd", "node", "store", "script"].iter().flat_map(|package| {
                    ["--config".to_owned(), format!("profile.dev.package.{package}.opt-level=0")]
                }))
                .args(["--locked", "--offline", "-p", "atomic-kv", "--target-dir"])
                .arg(place.join("target")),
        );
    is_built.then_some(program)
}

fn restart(cluster: &mut Cluster, index: usize, program: Option<&Path>) {
    let node = &mut cluster.nodes[index];
    assert_eq!(node.terminate().code(), Some(0), "{}", node.log());
    node.program = program.map(Path::to_path_buf);
    node.start();
    cluster.wait_ready();
}

fn serve(nodes: &[Node]) {
    for node in nodes {
        assert_eq!(node.connect().call(&format!("SET key {}", node.id)), Response::ok());
        assert_eq!(node.connect().call("INCR counter"), node.connect().call("INCRBY counter 0"));
        for other in nodes {
            assert_eq!(other.connect().call("GET key"), Response::bulk(&node.id.to_string()));
        }
    }
}

#[test]
fn a_cluster_is_upgraded_node_by_node_and_back() {
    let Some(previous) = previous_release() else {
        return skipped(
            "the release before this one",
            "it cannot be built here: no history, or no sources of what it uses",
        );
    };
    let mut cluster = Cluster::new(3, &[]);
    for node in &mut cluster.nodes {
        node.program = Some(previous.clone());
    }
    cluster.start_all();
    serve(&cluster.nodes);
    for index in [1, 0, 2] {
        restart(&mut cluster, index, None);
        serve(&cluster.nodes);
    }
    // Nothing has been written that the earlier release could not read.
    restart(&mut cluster, 2, Some(&previous));
    serve(&cluster.nodes);
    restart(&mut cluster, 2, None);
    // From then on it knows by itself who it is.
    cluster.nodes[2].says_who_it_is = false;
    restart(&mut cluster, 2, None);
    serve(&cluster.nodes);
    let counter = cluster.nodes[0].connect().call("GET counter");
    eventually("everybody counts alike", || {
        cluster.nodes.iter().all(|node| node.connect().call("GET counter") == counter)
    });
}
