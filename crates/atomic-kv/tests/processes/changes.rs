//! Members change while the cluster serves: what clients see, and what becomes of a change when nodes fail in the middle of it.

use crate::support::client::Response;
use crate::support::{Background, Cluster, Node};
use tools::verify::Workload;

/// Writes that were acknowledged, to be asked for later.
#[derive(Default)]
struct Acknowledged {
    count: u32,
}

impl Acknowledged {
    /// Some more, and the counter goes on.
    #[track_caller]
    fn add(&mut self, node: &Node) {
        let mut client = node.connect();
        for _ in 0..10 {
            self.count += 1;
            let number = self.count;
            assert_eq!(client.call(&format!("SET key-{number} value-{number}")), Response::ok());
            assert_eq!(client.call("INCR counter"), Response::Integer(number.into()));
        }
    }

    /// All are there, at each of these nodes.
    #[track_caller]
    fn check<'a>(&self, nodes: impl IntoIterator<Item = &'a Node>) {
        for node in nodes.into_iter().filter(|node| node.runs()) {
            let mut client = node.connect();
            for number in 1..=self.count {
                let value = Response::bulk(&format!("value-{number}"));
                assert_eq!(client.call(&format!("GET key-{number}")), value, "node {}", node.id);
            }
            assert_eq!(
                client.call("GET counter"),
                Response::bulk(&self.count.to_string()),
                "node {}",
                node.id
            );
        }
    }
}

/// Clients that wait as long as it takes, at these nodes.
fn clients_at(cluster: &mut Cluster, workload: Workload, ids: &[u32]) -> Background {
    let addresses = ids.iter().map(|id| cluster.node(*id).address()).collect();
    Background::patient(workload, addresses)
}

#[test]
fn c2_a_dead_node_of_three_is_replaced_with_one_command_and_no_request_is_refused() {
    let mut cluster = Cluster::acquainted(3);
    let mut acknowledged = Acknowledged::default();
    acknowledged.add(&cluster.nodes[2]);
    cluster.nodes[2].kill();
    let clients = clients_at(&mut cluster, Workload::Register, &[1, 2]);
    cluster.add_newcomer().start();
    let words = format!("replace 3 --with {}", cluster.nodes[3].peer_address(4));
    let ended = cluster.command_at(&words, &cluster.nodes[1].address()).done();
    assert!(ended.stdout.contains("the members are 1, 2, 4"), "{ended:?}");
    Background::for_a_moment();
    clients.judge_unrefused();
    cluster.wait_for_members(&[1, 2, 4]);
    acknowledged.add(&cluster.nodes[3]);
    // The new one takes the place of the old one in every respect.
    let clients = clients_at(&mut cluster, Workload::Append, &[1, 4]);
    Background::for_a_moment();
    cluster.nodes[1].kill();
    acknowledged.add(&cluster.nodes[0]);
    acknowledged.check(&cluster.nodes);
    clients.judge_unrefused();
}

#[test]
fn c3_from_three_to_five_and_back_with_old_and_new_members_killed_in_between() {
    let mut cluster = Cluster::acquainted(3);
    let mut acknowledged = Acknowledged::default();
    acknowledged.add(&cluster.nodes[0]);
    let clients = Background::start_with(Workload::Counter, cluster.addresses());
    cluster.add_newcomer().start();
    cluster.add_newcomer().start();
    let peers = [4, 5].map(|id| cluster.node(id).peer_address(id).to_owned());
    let mut growing = cluster.command(&format!("add {}", peers.join(" ")));
    growing.wait_for("begun");
    for id in [2, 4] {
        cluster.node(id).kill();
        acknowledged.add(&cluster.nodes[0]);
        cluster.node(id).start();
    }
    growing.done();
    cluster.wait_for_members(&[1, 2, 3, 4, 5]);
    // Five bear what three do not.
    cluster.node(1).kill();
    cluster.node(5).kill();
    acknowledged.add(&cluster.nodes[3]);
    cluster.node(1).start();
    cluster.node(5).start();
    cluster.wait_ready();
    let mut shrinking = cluster.command("remove 4 5");
    shrinking.wait_for("begun");
    cluster.node(3).kill();
    acknowledged.add(&cluster.nodes[1]);
    cluster.node(3).start();
    shrinking.done();
    for id in [4, 5] {
        assert_eq!(cluster.node(id).wait().code(), Some(4), "{}", cluster.node(id).log());
    }
    cluster.wait_for_members(&[1, 2, 3]);
    acknowledged.add(&cluster.nodes[2]);
    acknowledged.check(&cluster.nodes);
    clients.judge();
}

/// The machine is the same, only its disk is another one.
#[test]
fn a_new_node_takes_the_place_of_the_old_one_at_the_same_peer_address() {
    let mut cluster = Cluster::acquainted(3);
    let mut acknowledged = Acknowledged::default();
    acknowledged.add(&cluster.nodes[0]);
    cluster.nodes[2].kill();
    let address = cluster.nodes[2].peer_address(3).to_owned();
    let mut replacing = cluster.command(&format!("replace 3 --with {address}"));
    replacing.wait_for("node 4 is to come");
    cluster.add_newcomer_at(&address).start();
    replacing.done();
    cluster.wait_for_members(&[1, 2, 4]);
    acknowledged.add(&cluster.nodes[3]);
    acknowledged.check(&cluster.nodes);
}

/// Node 3 stands still, so nobody knows whether it is synced: the others wait for it, for some time, before they switch. Ends in the
/// joint stage of a change in which node 4 takes the place of node 2.
fn held_in_the_joint_stage() -> (Cluster, Acknowledged) {
    let mut cluster = Cluster::acquainted(3);
    let mut acknowledged = Acknowledged::default();
    acknowledged.add(&cluster.nodes[0]);
    cluster.nodes[2].pause();
    cluster.add_newcomer().start();
    let words = format!("replace 2 --with {}", cluster.nodes[3].peer_address(4));
    let mut replacing = cluster.command_at(&words, &cluster.nodes[0].address());
    replacing.wait_for("begun");
    cluster.wait_for_stage(1, "joint");
    (cluster, acknowledged)
}

#[test]
fn c2_a_change_is_given_up_while_a_node_is_awaited() {
    let mut cluster = Cluster::acquainted(3);
    let mut acknowledged = Acknowledged::default();
    cluster.add_newcomer();
    let words = format!("replace 3 --with {}", cluster.nodes[3].peer_address(4));
    let mut replacing = cluster.command(&words);
    replacing.wait_for("awaiting");
    acknowledged.add(&cluster.nodes[0]);
    cluster.command("abort-change").done();
    let ended = replacing.end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("the change was given up"), "{ended:?}");
    // Giving up what is given up is no mistake.
    cluster.command("abort-change").done();
    cluster.wait_for_members(&[1, 2, 3]);
    acknowledged.add(&cluster.nodes[2]);
    // It comes too late.
    cluster.nodes[3].start();
    cluster.nodes[3].wait_for_log(&["it awaits nobody at"]);
    // The next one has an id of its own.
    let mut ended = cluster.command(&words);
    ended.wait_for("node 5 is to come");
    ended.done();
    cluster.nodes[3].id = 5;
    cluster.wait_for_members(&[1, 2, 5]);
    acknowledged.check(cluster.nodes.iter().filter(|node| node.id != 3));
}

#[test]
fn c2_a_change_is_given_up_in_the_joint_stage() {
    let (mut cluster, mut acknowledged) = held_in_the_joint_stage();
    acknowledged.add(&cluster.nodes[0]);
    let asked = cluster.nodes[0].address();
    let ended = cluster.command_at("abort-change", &asked).done();
    assert!(ended.stdout.contains("the members are 1, 2, 3"), "{ended:?}");
    cluster.nodes[2].resume();
    cluster.wait_for_members(&[1, 2, 3]);
    assert_eq!(cluster.nodes[3].wait().code(), Some(4), "{}", cluster.nodes[3].log());
    acknowledged.add(&cluster.nodes[2]);
    acknowledged.check(&cluster.nodes);
}

#[test]
fn c1_all_nodes_are_killed_in_the_joint_stage_and_the_change_ends_when_they_are_back() {
    let (mut cluster, mut acknowledged) = held_in_the_joint_stage();
    acknowledged.add(&cluster.nodes[0]);
    cluster.kill_all();
    for node in &mut cluster.nodes {
        node.says_who_it_is = false;
        node.flags.clear();
        node.start();
    }
    cluster.wait_for_members(&[1, 3, 4]);
    assert_eq!(cluster.nodes[1].wait().code(), Some(4), "{}", cluster.nodes[1].log());
    acknowledged.add(&cluster.nodes[3]);
    acknowledged.check(&cluster.nodes);
}

#[test]
fn c2_others_finish_a_change_when_the_node_that_was_asked_is_killed() {
    let mut cluster = Cluster::acquainted(3);
    let mut acknowledged = Acknowledged::default();
    acknowledged.add(&cluster.nodes[0]);
    cluster.add_newcomer();
    let words = format!("replace 3 --with {}", cluster.nodes[3].peer_address(4));
    let mut replacing = cluster.command(&words);
    replacing.wait_for("begun");
    cluster.nodes[0].kill();
    cluster.nodes[3].start();
    // The command goes on at another node.
    replacing.done();
    assert_eq!(cluster.nodes[2].wait().code(), Some(4), "{}", cluster.nodes[2].log());
    acknowledged.add(&cluster.nodes[1]);
    cluster.nodes[0].start();
    cluster.wait_for_members(&[1, 2, 4]);
    // Whoever does not know how it has ended repeats it.
    cluster.command(&words).done();
    acknowledged.check(&cluster.nodes);
}
