//! What a node has lost comes back from the others, without an operator (rules S3 and C3).

use crate::damage::{KEYS, flip, get_all, set_all};
use crate::support::client::{Connection, Response};
use crate::support::{Background, Cluster, Node, copy_directory, eventually, http_get};

/// A cluster whose data is in tables, which is stopped.
fn stopped_with_tables() -> Cluster {
    let mut cluster = Cluster::start(3, &[]);
    set_all(&mut cluster.nodes[0].connect(), 0);
    cluster.nodes.iter_mut().for_each(|node| assert!(node.terminate().success()));
    // What is in the journal goes to a table.
    cluster.start_all();
    cluster.nodes.iter_mut().for_each(|node| assert!(node.terminate().success()));
    cluster
}

fn wait_healed(node: &Node) {
    eventually(&format!("node {} is healed", node.id), || {
        let healed = node.info("heals") != "0" && node.info("lost_ranges") == "0";
        healed && node.info("healing") == "no"
    });
    assert!(node.log().contains("what was lost here is back"), "{}", node.log());
}

/// Each pair of nodes has all of it: nobody abstains for anything any more.
fn each_two_have_all(cluster: &mut Cluster) {
    for away in 0..3 {
        cluster.nodes[away].kill();
        get_all(&mut cluster.nodes[(away + 1) % 3].connect(), 0);
        cluster.nodes[away].start();
        cluster.wait_ready();
    }
}

/// Many bits of one node's tables, under load: nobody notices, and all of it is back. The node has another directory id then, which the
/// others know after any restart.
#[test]
fn s3_what_one_node_has_lost_is_healed_under_load() {
    let mut cluster = stopped_with_tables();
    for hundredths in (0..100).step_by(2) {
        flip(&cluster.nodes[0], hundredths);
    }
    cluster.start_all();
    let load = Background::patient(tools::verify::Workload::Register, cluster.addresses());
    wait_healed(&cluster.nodes[0]);
    Background::for_a_moment();
    load.judge_unrefused();
    let (_, metrics) = http_get(&cluster.nodes[0].http_address(), "/metrics");
    for row in ["atomic_kv_lost_ranges 0", "atomic_kv_heals_total 1", "atomic_kv_healing_seconds 0"] {
        assert!(metrics.lines().any(|line| line == row), "{row}: {metrics}");
    }
    for node in &cluster.nodes {
        assert_eq!((node.info("stage"), node.info("members")), ("stable".to_owned(), "1,2,3".to_owned()));
    }
    each_two_have_all(&mut cluster);
    cluster.kill_all();
    cluster.start_all();
    get_all(&mut cluster.nodes[0].connect(), 0);
}

/// One bit in each of two nodes, of different keys: one is healed after the other.
#[test]
fn s3_two_nodes_that_have_lost_different_parts_are_healed_in_turn() {
    let mut cluster = stopped_with_tables();
    flip(&cluster.nodes[0], 30);
    flip(&cluster.nodes[1], 60);
    cluster.start_all();
    let load = Background::patient(tools::verify::Workload::Counter, cluster.addresses());
    wait_healed(&cluster.nodes[0]);
    wait_healed(&cluster.nodes[1]);
    load.judge_unrefused();
    assert_eq!(cluster.nodes[2].info("heals"), "0");
    each_two_have_all(&mut cluster);
    let mut client = cluster.nodes[1].connect();
    for number in 0..KEYS {
        assert_eq!(client.call(&format!("SET key-{number:04} new")), Response::ok());
    }
}

/// A database that is gone, as a whole: the directory says who this is, so the node comes back by itself. Until then it has no vote, and
/// nobody but the operator who takes the database away has to do anything.
#[test]
fn m1_a_node_without_its_database_is_healed() {
    let mut cluster = Cluster::start(3, &[]);
    set_all(&mut cluster.nodes[0].connect(), 0);
    cluster.nodes[2].kill();
    std::fs::remove_dir_all(cluster.nodes[2].data.join("db")).unwrap();
    let load = Background::patient(tools::verify::Workload::Counter, cluster.addresses()[..2].to_vec());
    cluster.nodes[2].start();
    wait_healed(&cluster.nodes[2]);
    assert!(cluster.nodes[2].log().contains("db is gone"), "{}", cluster.nodes[2].log());
    cluster.wait_ready();
    load.judge_unrefused();
    each_two_have_all(&mut cluster);
    // As soon as a second one has lost its own, too: the others of a majority have all of it.
    cluster.nodes[0].kill();
    std::fs::remove_dir_all(cluster.nodes[0].data.join("db")).unwrap();
    std::fs::create_dir(cluster.nodes[0].data.join("db")).unwrap();
    cluster.nodes[0].start();
    wait_healed(&cluster.nodes[0]);
    each_two_have_all(&mut cluster);
}

/// Starts a cluster until its node 3, which has lost something, is being healed: the change is joint, and node 3 has been killed.
fn killed_in_the_middle_of_its_heal(mut cluster: Cluster, lose: impl Fn(&Node)) -> Cluster {
    cluster.start_all();
    let epoch = |client: &mut Connection| client.info("epoch").parse::<u32>().unwrap();
    for _ in 0..5 {
        cluster.nodes[2].kill();
        lose(&cluster.nodes[2]);
        let mut client = cluster.nodes[0].connect();
        let before = epoch(&mut client);
        cluster.nodes[2].start();
        eventually("node 3 begins to heal", || {
            client.info("stage") == "joint" || epoch(&mut client) >= before + 2
        });
        cluster.nodes[2].kill();
        if client.info("stage") == "joint" {
            return cluster;
        }
        cluster.nodes[2].start();
        wait_whole(&cluster.nodes[2]);
    }
    panic!("each heal was over before it was noticed");
}

fn lose_database(node: &Node) {
    std::fs::remove_dir_all(node.data.join("db")).unwrap();
}

/// It may have been healed before its last start.
fn wait_whole(node: &Node) {
    node.wait_ready();
    eventually(&format!("node {} is whole", node.id), || {
        node.info("lost_ranges") == "0" && node.info("healing") == "no" && node.info("stage") == "stable"
    });
}

/// It is cut off over the switch of its own heal, longer than anybody waits for it. Then the others refuse the directory that it was, and say
/// which one it has become.
#[test]
fn m1_a_node_that_was_away_when_it_was_healed_learns_that_from_the_refusal() {
    let flip_many = |node: &Node| (0..100).step_by(2).for_each(|hundredths| flip(node, hundredths));
    let mut cluster = killed_in_the_middle_of_its_heal(stopped_with_tables(), flip_many);
    eventually("the others switch without it", || cluster.nodes[0].info("stage") == "stable");
    cluster.nodes[2].start();
    eventually("one of the others refuses the directory that it was", || {
        cluster.nodes[..2]
            .iter()
            .any(|node| node.log().contains("node 3 is no member with its data directory"))
    });
    wait_whole(&cluster.nodes[2]);
    each_two_have_all(&mut cluster);
}

/// Neither a database that is gone nor one that was brought back is lost once more because the process ends in the middle.
#[test]
fn m1_a_node_that_is_killed_while_it_is_healed_goes_on() {
    let copy = tempfile::tempdir().unwrap();
    let older = copy.path().join("db");
    let bring_back = |node: &Node| {
        lose_database(node);
        copy_directory(&older, &node.data.join("db"));
    };
    for lose in [&lose_database as &dyn Fn(&Node), &bring_back] {
        let stopped = stopped_with_tables();
        copy_directory(&stopped.nodes[2].data.join("db"), &older);
        let mut cluster = killed_in_the_middle_of_its_heal(stopped, lose);
        cluster.nodes[2].start();
        wait_whole(&cluster.nodes[2]);
        each_two_have_all(&mut cluster);
        std::fs::remove_dir_all(&older).unwrap();
    }
}

/// Its database is lost once more while it is healed. The others go on at once without what it had, and it is healed after that.
#[test]
fn m1_a_node_that_loses_its_database_again_while_it_is_healed_is_healed_after_that() {
    let mut cluster = killed_in_the_middle_of_its_heal(stopped_with_tables(), lose_database);
    lose_database(&cluster.nodes[2]);
    cluster.nodes[2].start();
    wait_healed(&cluster.nodes[2]);
    cluster.wait_ready();
    each_two_have_all(&mut cluster);
}

/// What was begun without an operator does not keep one from changing the members: not even from replacing the node that is being healed.
#[test]
fn an_operator_replaces_a_node_in_the_middle_of_its_heal() {
    let mut cluster = killed_in_the_middle_of_its_heal(stopped_with_tables(), lose_database);
    let asked = cluster.nodes[0].address();
    cluster.add_newcomer().start();
    let words = format!("replace 3 --with {}", cluster.nodes[3].peer_address(4));
    let ended = cluster.command_at(&words, &asked).end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("node 3 is healing") && ended.stderr.contains("abort-change"), "{ended:?}");
    cluster.command_at("abort-change", &asked).done();
    // It wants to heal again.
    cluster.nodes[2].start();
    cluster.command_at(&words, &asked).done();
    cluster.wait_for_members(&[1, 2, 4]);
    assert_eq!(cluster.nodes[2].wait().code(), Some(4), "{}", cluster.nodes[2].log());
    get_all(&mut cluster.nodes[3].connect(), 0);
}
