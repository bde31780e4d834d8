//! Who a node is comes from its data directory; and a node that is no member any more says so and ends.

use crate::support::client::Response;
use crate::support::member::Wire;
use crate::support::ports::Port;
use crate::support::{Cluster, Node, copy_directory, eventually, finish, program};
use abd::{NodeId, Scope, TimestampMode};
use atomic_kv::identity::Found;
use node::configuration::{Configuration, Member, Stage};
use node::hello::Refused;

fn serve(nodes: &[Node], value: &str) {
    assert_eq!(nodes[0].connect().call(&format!("SET key {value}")), Response::ok());
    for node in nodes {
        assert_eq!(node.connect().call("GET key"), Response::bulk(value));
    }
}

fn all_are_up(cluster: &Cluster) {
    eventually("everybody has found everybody", || {
        let peers = |index: usize| cluster.nodes[index].info("peers");
        peers(0) == "2=up,3=up" && peers(1) == "1=up,3=up" && peers(2) == "1=up,2=up"
    });
}

#[test]
fn after_its_first_start_a_node_needs_its_directory_and_no_word_about_the_cluster() {
    let truetime = ["--timestamps", "truetime", "--clock-error", "1ms"];
    let mut cluster = Cluster::start(3, &truetime);
    serve(&cluster.nodes, "first");
    cluster.kill_all();
    for node in &mut cluster.nodes {
        node.says_who_it_is = false;
        node.flags = truetime[2..].iter().map(|flag| (*flag).to_owned()).collect();
    }
    cluster.start_all();
    all_are_up(&cluster);
    serve(&cluster.nodes, "second");
    for node in &cluster.nodes {
        assert_eq!(
            (node.info("timestamps"), node.info("cluster")),
            ("truetime".into(), node.cluster.clone())
        );
        assert!(!node.log().contains("--cluster is read"), "{}", node.log());
    }
}

/// It has its own peer port, too, however it is told where that should be.
#[test]
fn another_text_of_cluster_is_a_warning_that_names_both() {
    let mut cluster = Cluster::start(3, &[]);
    let elsewhere = Port::free();
    let known = cluster.nodes[2].cluster.clone();
    let moved = known.replace(cluster.nodes[2].peer_address(3), &elsewhere.address());
    let grown = format!("{known},4=127.0.0.1:1");
    for given in [moved, grown] {
        cluster.nodes[2].kill();
        cluster.nodes[2].cluster.clone_from(&given);
        cluster.nodes[2].start();
        cluster.nodes[2].wait_for_log(&[
            "WARN",
            "--cluster is read at the first start alone",
            &given,
            &known,
        ]);
        cluster.wait_ready();
        all_are_up(&cluster);
        serve(&cluster.nodes, "as-before");
    }
    assert_eq!(cluster.nodes[2].info("cluster"), known);
}

/// The directory says who a node is: nobody joins with that of a member.
#[test]
fn to_join_with_the_directory_of_a_member_is_a_warning_that_names_it() {
    let mut cluster = Cluster::start(3, &[]);
    let elsewhere = Port::free().address();
    let node = &mut cluster.nodes[2];
    let (known, other) = (node.peer_address(3).to_owned(), node.peer_address(1).to_owned());
    for (listens, warns) in [(&known, false), (&elsewhere, true)] {
        node.kill();
        node.says_who_it_is = false;
        node.flags = ["--join", &other, "--peer-listen", listens].map(str::to_owned).to_vec();
        node.start();
        node.wait_ready();
        let log = node.log();
        let warned = log.lines().find(|line| line.contains("--join is read at the first start alone"));
        assert_eq!(
            warned.is_some_and(|line| line.contains(&known) && line.contains(listens)),
            warns,
            "{log}"
        );
    }
}

/// A configuration of nodes 1, 2 and 4.
fn without_node_3() -> Configuration {
    let member = |id: u8| Member {
        id: NodeId(id.into()),
        directory: Some([id; 16]),
        address: format!("127.0.0.1:{id}"),
    };
    Configuration {
        scope: Scope { epoch: 5, ..Scope::FIRST },
        timestamps: TimestampMode::Logical,
        level: 1,
        next_id: 5,
        members: [1, 2, 4].map(member).to_vec(),
        stage: Stage::Stable,
    }
}

#[test]
fn m1_a_node_that_is_no_member_any_more_ends_with_a_code_of_its_own_and_is_never_started_again() {
    let mut cluster = Cluster::new(3, &[]);
    let node = &mut cluster.nodes[2];
    node.start();
    let verdict = Refused::Retired(without_node_3().encoded(), Vec::new());
    node.wait_for_log(&["started"]);
    // It has met nobody yet, and believes its members.
    Wire::refuse_welcome(node, 1, &verdict);
    for start in 0..3 {
        if start > 0 {
            node.start();
        }
        assert_eq!(node.wait().code(), Some(4), "{}", node.log());
        let log = node.log();
        let told = log.lines().rev().find(|line| line.starts_with("atomic-kv: ")).unwrap();
        for part in ["node 3 is no member", "since epoch 5", "delete ", "atomic-kv add", "--join"] {
            assert!(told.contains(part), "{part} is not in: {told}");
        }
    }
    // Whoever has met its members knows them again.
    std::fs::remove_dir_all(&cluster.nodes[2].data).unwrap();
    cluster.start_all();
    Wire::refuse_welcome(&cluster.nodes[2], 1, &verdict);
    cluster.nodes[2].wait_for_log(&["closed a peer connection", "no member any more, it says"]);
    serve(&cluster.nodes, "on-it-goes");
}

/// Its members have installed this when they start again.
fn install(nodes: &[Node], configuration: &Configuration) {
    for node in nodes {
        let found = Found::open(&node.data).ok().unwrap();
        let known = found.identity().unwrap().configuration().unwrap().clone();
        let directory = found.start(NodeId(node.id), known, false).ok().unwrap();
        assert!(directory.install(configuration).unwrap());
    }
}

/// A stable configuration of these nodes with their directories.
fn stable(nodes: &[Node]) -> Configuration {
    let mut configuration = without_node_3();
    configuration.members.truncate(0);
    for node in nodes {
        let found = Found::open(&node.data).ok().unwrap();
        let directory = Some(found.identity().unwrap().disk);
        let address = node.peer_address(node.id).to_owned();
        configuration.members.push(Member { id: NodeId(node.id), directory, address });
    }
    configuration
}

/// It was away when they went on to a later epoch, and learns of that when it greets. It keeps it, in its directory and in its database.
#[test]
fn c1_a_member_that_lags_learns_the_configuration_and_goes_on() {
    let mut cluster = Cluster::start(3, &[]);
    serve(&cluster.nodes, "first");
    cluster.kill_all();
    let changed = stable(&cluster.nodes);
    install(&cluster.nodes[..2], &changed);
    cluster.start_all();
    eventually("it has learnt", || cluster.nodes[2].info("epoch") == "5");
    cluster.wait_ready();
    serve(&cluster.nodes, "second");
    cluster.nodes[2].kill();
    cluster.nodes[2].says_who_it_is = false;
    cluster.nodes[2].start();
    assert_eq!(cluster.nodes[2].info("epoch"), "5");
    cluster.wait_ready();
    serve(&cluster.nodes, "third");
}

/// It was away when the others replaced it, and it is its old disk that comes back, or a copy of that.
#[test]
fn m1_a_disk_that_was_replaced_and_its_copy_serve_nobody_when_they_come_back() {
    let mut cluster = Cluster::start(3, &[]);
    serve(&cluster.nodes, "first");
    cluster.kill_all();
    let (home, copy) = (cluster.nodes[2].data.clone(), cluster.directory().join("copy"));
    copy_directory(&home, &copy);
    // Nobody has seen node 4.
    let mut changed = stable(&cluster.nodes[..2]);
    let address = Port::free().address();
    changed.members.push(Member { id: NodeId(4), directory: Some([4; 16]), address });
    install(&cluster.nodes[..2], &changed);
    for node in &mut cluster.nodes[..2] {
        node.says_who_it_is = false;
        node.start();
    }
    cluster.nodes[..2].iter().for_each(Node::wait_ready);
    for data in [home, copy] {
        cluster.nodes[2].data = data;
        for _ in 0..2 {
            cluster.nodes[2].start();
            assert_eq!(cluster.nodes[2].wait().code(), Some(4), "{}", cluster.nodes[2].log());
        }
    }
    let refused_it = |index: usize| cluster.nodes[index].log().contains("node 3 is no member with its data");
    assert!(refused_it(0) || refused_it(1), "{}", cluster.nodes[0].log());
    serve(&cluster.nodes[..2], "second");
    for node in &cluster.nodes[..2] {
        assert_eq!((node.info("epoch"), node.info("members")), ("5".to_owned(), "1,2,4".to_owned()));
        assert_eq!(node.info("stage"), "stable");
    }
}

/// It may be stopped and started again while it waits. A directory that belongs to a node does not ask anybody.
#[test]
fn a_newcomer_says_for_what_it_waits() {
    let mut cluster = Cluster::start(3, &[]);
    let (peers, clients) = (Port::free(), Port::free());
    let members: Vec<String> = (1..=3).map(|id| cluster.nodes[0].peer_address(id).to_owned()).collect();
    let joining = |data: &std::path::Path| {
        let mut command = program();
        command.args(["serve", "--join", &members.join(","), "--listen", &clients.address()]);
        command.arg("--data-dir").arg(data);
        command
    };
    let data = cluster.directory().join("newcomer");
    let told = String::from_utf8(finish(joining(&data)).stderr).unwrap();
    assert!(told.contains("--peer-listen is missing"), "{told}");
    let log = cluster.directory().join("newcomer.log");
    for round in 1..=2 {
        let mut command = joining(&data);
        command.args(["--peer-listen", &peers.address()]);
        let mut child = command.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
        let awaits_nobody = format!("it awaits nobody at {} (epoch 1, members ", peers.address());
        eventually("everybody is asked", || {
            let told = std::fs::read_to_string(&log).unwrap();
            told.matches(&awaits_nobody).count() == 3 && told.contains("run atomic-kv add")
        });
        assert!(!data.join("identity").exists(), "round {round}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    cluster.nodes[2].kill();
    cluster.nodes[2].says_who_it_is = false;
    let elsewhere = ["--join".to_owned(), peers.address()];
    cluster.nodes[2].flags.extend(elsewhere);
    cluster.nodes[2].start();
    cluster.wait_ready();
    all_are_up(&cluster);
    serve(&cluster.nodes, "as-before");
}
