//! Operators who change the members: two at once, in a hurry, by mistake. And the nodes that they start.

use crate::support::change::Ended;
use crate::support::client::Response;
use crate::support::{Cluster, copy_directory, eventually, run};

#[track_caller]
fn refused(ended: &Ended, reason: &str) {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.starts_with("atomic-kv: ") && ended.stderr.contains(reason), "{ended:?}");
    assert!(ended.stdout.is_empty(), "{ended:?}");
}

#[test]
fn of_two_changes_at_once_one_is_refused() {
    let mut cluster = Cluster::acquainted(3);
    cluster.add_newcomer();
    let other = cluster.new_peer_port();
    let address = cluster.nodes[3].peer_address(4).to_owned();
    let wanted = [format!("replace 2 --with {address}"), format!("replace 3 --with {other}")];
    let mut both = [
        cluster.command_at(&wanted[0], &cluster.nodes[0].address()),
        cluster.command_at(&wanted[1], &cluster.nodes[1].address()),
    ];
    // Nobody comes, so whichever has begun goes on.
    eventually("one has ended", || both.iter_mut().any(crate::support::change::Running::has_ended));
    let winner = usize::from(both[0].has_ended());
    let [first, second] = both;
    let (winning, losing) = if winner == 0 { (first, second) } else { (second, first) };
    refused(&losing.end(), "another change is under way (epoch 2, awaiting: 1, 2, 3 -> 1, ");
    // The same one, asked for at another node, is not begun a second time.
    let mut again = cluster.command_at(&wanted[winner], &cluster.nodes[2 - winner].address());
    again.wait_for("under way in epoch 2 (awaiting)");
    if winner == 1 {
        let node = cluster.node(4);
        node.flags.extend(["--peer-listen".to_owned(), other]);
        node.flags.drain(2..4);
    }
    cluster.nodes[3].start();
    for ended in [winning.done(), again.done()] {
        assert!(ended.stdout.contains("done in epoch 4: the members are 1, "), "{ended:?}");
    }
    let members = if winner == 0 { [1, 3, 4] } else { [1, 2, 4] };
    cluster.wait_for_members(&members);
}

#[test]
fn commands_say_how_they_have_ended() {
    let mut cluster = Cluster::acquainted(3);
    cluster.add_newcomer();
    let address = cluster.nodes[3].peer_address(4).to_owned();
    let own = cluster.nodes[0].peer_address(1).to_owned();
    refused(&cluster.command("remove 3").end(), "there would be 2 members, and an even number survives");
    refused(&cluster.command("remove 9").end(), "there is no node 9: the members are 1, 2, 3");
    refused(
        &cluster.command(&format!("replace 3 --with {own}")).end(),
        "is the address of node 1, which stays",
    );
    for wrong in [
        "replace",
        "replace 3",
        "replace 0 --with 127.0.0.1:1",
        "add",
        "add here",
        "remove",
        "remove x",
        "move 1",
    ] {
        let ended = cluster.command(wrong).end();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{wrong}: {ended:?}");
    }
    // Nobody is there.
    let nobody = cluster.new_peer_port();
    let ended = cluster.command_at("members", &nobody).end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""), "{ended:?}");
    let ended = cluster.command_at("members --json", &nobody).end();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stdout.starts_with(r#"{"command":"members","result":"undecided","reason":"#), "{ended:?}");
    cluster.nodes[2].kill();
    eventually("it is missed", || cluster.nodes[0].info("peers") == "2=up,3=down");
    refused(
        &cluster.command("remove 1 2").end(),
        "of the new members 3 there would answer nobody = 0 of 1, and 1 are needed",
    );
    let object = |ended: &Ended, parts: &[&str]| {
        assert_eq!(ended.stdout.lines().count(), 1, "{ended:?}");
        assert!(ended.stdout.starts_with('{') && ended.stdout.ends_with("}\n"), "{ended:?}");
        assert!(parts.iter().all(|part| ended.stdout.contains(part)), "{ended:?}");
    };
    let ended = cluster.command("remove 1 2 --json").end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    object(&ended, &["\"result\":\"refused\"", "0 of 1"]);
    assert_eq!(cluster.nodes[0].info("epoch"), "1", "nothing was begun");
    // Whoever is interrupted may repeat it.
    let words = format!("replace 3 --with {address} --json");
    let mut waiting = cluster.command(&words);
    waiting.wait_for("node 4 is to come");
    waiting.interrupt();
    let ended = waiting.end();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    object(
        &ended,
        &["\"result\":\"interrupted\"", "repeat the command", &format!("\"address\":\"{address}\"")],
    );
    cluster.nodes[3].start();
    let ended = cluster.command(&words).done();
    object(&ended, &["\"result\":\"done\"", "\"members\":[1,2,4]", "\"epoch\":4"]);
    let ended = cluster.command(&words).done();
    object(&ended, &["\"result\":\"done\"", "\"members\":[1,2,4]"]);
    object(&cluster.command("members --json").done(), &["\"stage\":\"stable\"", "\"next_id\":5"]);
    let help = run(&["replace", "--help"]);
    assert!(String::from_utf8_lossy(&help.stdout).contains("Exit codes: 0 done, 1 refused"));
}

#[test]
fn m1_a_removed_node_refuses_its_clients_and_is_never_a_member_again() {
    let mut cluster = Cluster::acquainted(3);
    // A copy of its disk, from before.
    cluster.nodes[2].kill();
    let copy = cluster.directory().join("copy");
    copy_directory(&cluster.nodes[2].data, &copy);
    cluster.nodes[2].start();
    cluster.wait_ready();
    let mut client = cluster.nodes[2].connect();
    let removing = cluster.command_at("remove 3 --even", &cluster.nodes[0].address());
    // What it said of its last requests.
    let (mut acknowledged, mut errors) = (0, Vec::new());
    for number in 1.. {
        match client.try_call(&[b"SET", b"last", number.to_string().as_bytes()]) {
            Ok(Response::Error(told)) => errors.push(told),
            Ok(_) => acknowledged = number,
            Err(_) => break,
        }
    }
    removing.done();
    // What had begun before the switch may have been done; what came after it was not.
    let begun = errors.iter().position(|told| told.starts_with("INDETERMINATE"));
    assert!(begun.is_none_or(|place| place == 0), "{errors:?}");
    let is_none = |told: &String| told.starts_with("NOQUORUM no effect") && told.contains("is no member of");
    assert!(errors.iter().skip(1).all(is_none), "{errors:?}");
    for start in 0..2 {
        if start > 0 {
            cluster.nodes[2].start();
        }
        assert_eq!(cluster.nodes[2].wait().code(), Some(4), "{}", cluster.nodes[2].log());
        assert!(cluster.nodes[2].log().contains("node 3 is no member of its cluster any more"));
    }
    // The one that was lost with the connection may have been written, too.
    let Response::Bulk(Some(found)) = cluster.nodes[0].connect().call("GET last") else {
        panic!("it is there")
    };
    let found: u64 = String::from_utf8(found).unwrap().parse().unwrap();
    let lost = acknowledged + u64::try_from(errors.len()).unwrap() + 1;
    let may_be_there = [Some(acknowledged), begun.map(|_| acknowledged + 1), Some(lost)];
    assert!(may_be_there.contains(&Some(found)), "{found} of {may_be_there:?}");
    // Two changes later.
    cluster.add_newcomer().start();
    let address = cluster.nodes[3].peer_address(4).to_owned();
    cluster.command_at(&format!("add {address}"), &cluster.nodes[0].address()).done();
    cluster.command_at("remove 2 --even", &cluster.nodes[0].address()).done();
    assert_eq!(cluster.nodes[1].wait().code(), Some(4), "{}", cluster.nodes[1].log());
    cluster.nodes[2].data = copy;
    for _ in 0..2 {
        cluster.nodes[2].start();
        assert_eq!(cluster.nodes[2].wait().code(), Some(4), "{}", cluster.nodes[2].log());
    }
    cluster.wait_for_members(&[1, 4]);
    assert_eq!(cluster.nodes[3].connect().call("GET last"), Response::bulk(&found.to_string()));
}

/// What is in flight at a node that is no member any more can come to nothing: it is told so at once, and not at its deadline.
#[test]
fn m1_what_a_removed_node_cannot_do_any_more_ends_at_once() {
    let mut cluster = Cluster::acquainted(3);
    let mut client = cluster.nodes[2].connect();
    cluster.nodes[2].pause();
    cluster.command_at("remove 3 --even", &cluster.nodes[0].address()).done();
    // Until nobody speaks with it any more.
    for node in &cluster.nodes[..2] {
        node.wait_for_log(&["lost a peer", "peer=3"]);
    }
    client.send(b"SET last 1\r\n").unwrap();
    cluster.nodes[2].resume();
    let resumed = std::time::Instant::now();
    let told = client.read().unwrap().error();
    assert!(told.starts_with("NOQUORUM no effect"), "{told}");
    assert!(resumed.elapsed() < std::time::Duration::from_secs(2), "{:?}", resumed.elapsed());
    assert_eq!(cluster.nodes[2].wait().code(), Some(4), "{}", cluster.nodes[2].log());
}

/// Whoever asks the node that goes, and nobody else, hears from the others how it has ended.
#[test]
fn c2_a_change_that_was_asked_for_at_the_node_that_goes_is_done() {
    let mut cluster = Cluster::acquainted(3);
    let ended = cluster.command_at("remove 3 --even", &cluster.nodes[2].address()).done();
    assert!(ended.stdout.contains("the members are 1, 2"), "{ended:?}");
    assert_eq!(cluster.nodes[2].wait().code(), Some(4), "{}", cluster.nodes[2].log());
    cluster.add_newcomer().start();
    let words = format!("replace 2 --with {}", cluster.nodes[3].peer_address(4));
    let ended = cluster.command_at(&words, &cluster.nodes[1].address()).done();
    assert!(ended.stdout.contains("the members are 1, 4"), "{ended:?}");
    assert_eq!(cluster.nodes[1].wait().code(), Some(4), "{}", cluster.nodes[1].log());
    // What the cluster keeps of itself is no key of anybody's.
    assert_eq!(cluster.nodes[0].info("keys_estimate"), "0");
    let elsewhere = cluster.new_peer_port();
    let ended = cluster.command_at(&format!("move 4 {elsewhere}"), &cluster.nodes[3].address()).done();
    assert!(ended.stdout.contains("the members are 1, 4"), "{ended:?}");
}

#[test]
fn a_node_that_joins_is_interrupted_and_started_again() {
    let mut cluster = Cluster::acquainted(3);
    let nobody = cluster.new_peer_port();
    let client_address = cluster.nodes[0].address();
    let node = cluster.add_newcomer();
    let right = node.flags[1].clone();
    // Nobody is there; and where clients connect nobody knows who joins.
    for (wrong, told) in [(nobody, "refused"), (client_address, "")] {
        node.flags[1] = wrong.clone();
        node.start();
        node.wait_for_log(&["waiting until the cluster awaits a node at this address", &wrong, told]);
        node.kill();
        assert!(!node.data.join("identity").exists());
    }
    node.flags[1] = right;
    node.start();
    node.wait_for_log(&["it awaits nobody at"]);
    node.kill();
    let words = format!("replace 3 --with {}", cluster.nodes[3].peer_address(4));
    let mut replacing = cluster.command(&words);
    replacing.wait_for("node 4 is to come");
    let mut count = 0;
    for said in ["the cluster awaits this node: it starts", "started", "this node votes from now on"] {
        cluster.nodes[3].start();
        cluster.nodes[3].wait_for_log(&[said]);
        cluster.nodes[3].kill();
        count += 1;
        assert_eq!(cluster.nodes[0].connect().call("INCR counter"), Response::Integer(count));
    }
    cluster.nodes[3].start();
    replacing.done();
    cluster.wait_for_members(&[1, 2, 4]);
    assert_eq!(cluster.nodes[3].connect().call("GET counter"), Response::bulk(&count.to_string()));
}
