//! Transactions through all nodes: optimistic ones lose no update, and those that kill -9 interrupts are done whole or not at all.

use crate::support::client::{Connection, Response};
use crate::support::{Background, Cluster};
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

const CLIENTS: usize = 6;

/// The reply to `EXEC`, after the commands before it have been queued. All of it is sent in one packet.
fn execute(client: &mut Connection, commands: &[&str]) -> io::Result<Response> {
    let mut packet = "MULTI\r\n".to_owned();
    commands.iter().for_each(|command| packet.extend([command, "\r\n"]));
    client.send((packet + "EXEC\r\n").as_bytes())?;
    assert_eq!(client.read()?, Response::ok());
    for command in commands {
        assert_eq!(client.read()?, Response::Status("QUEUED".to_owned()), "{command}");
    }
    client.read()
}

/// Redis' own example: what `INCR` does, out of `WATCH`, `GET` and `SET`.
#[test]
fn whoever_has_watched_a_key_writes_it_only_if_nobody_else_has() {
    let cluster = Cluster::start(3, &[]);
    let rounds = 25;
    let retries: usize = std::thread::scope(|scope| {
        let increment = |number: usize| {
            let mut client = cluster.nodes[number % 3].connect();
            let (mut done, mut retries) = (0, 0);
            while done < rounds {
                assert_eq!(client.call("WATCH counter"), Response::ok());
                let before = match client.call("GET counter") {
                    Response::Bulk(None) => 0,
                    Response::Bulk(Some(text)) => String::from_utf8(text).unwrap().parse::<u64>().unwrap(),
                    other => panic!("{other:?}"),
                };
                let after = before + 1;
                let reply = execute(&mut client, &[&format!("SET counter {after}"), "GET counter"]).unwrap();
                match reply {
                    Response::Array(items) if items.is_empty() => retries += 1,
                    reply => {
                        let expected = [Response::ok(), Response::bulk(&after.to_string())];
                        assert_eq!(reply, Response::Array(expected.into()));
                        done += 1;
                    }
                }
            }
            retries
        };
        let running: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || increment(number))).collect();
        running.into_iter().map(|running| running.join().unwrap()).sum()
    });
    let all = (rounds * CLIENTS).to_string();
    assert_eq!(cluster.nodes[0].connect().call("GET counter"), Response::bulk(&all));
    assert!(retries > 0, "nobody has come between, so nothing was tried");
}

/// What became of the transactions of one client, by their tokens.
#[derive(Default)]
struct Told {
    done: BTreeSet<String>,
    refused: BTreeSet<String>,
}

/// Appends a token of its own twice in one transaction, again and again, and goes on at the next node when one is gone.
fn append_twice(cluster: &[String], number: usize, ends: &AtomicBool) -> Told {
    let (mut told, mut node, mut client) = (Told::default(), number, None);
    for round in 0.. {
        if ends.load(Ordering::Relaxed) {
            return told;
        }
        let Some(connection) = &mut client else {
            node += 1;
            client = Connection::open(&cluster[node % cluster.len()]).ok();
            continue;
        };
        let token = format!("{number}-{round}");
        let append = format!("APPEND list {token};");
        match execute(connection, &[&append, "STRLEN list", &append]) {
            Ok(Response::Array(items)) => {
                assert_eq!(items.len(), 3);
                assert_eq!(items[0], items[1], "nobody comes between");
                told.done.insert(token);
            }
            Ok(Response::Error(text)) if text.starts_with("NOQUORUM") => {
                told.refused.insert(token);
            }
            Ok(Response::Error(text)) => assert!(text.starts_with("INDETERMINATE"), "{text}"),
            Ok(other) => panic!("{other:?}"),
            Err(_) => client = None,
        }
    }
    unreachable!("it goes on until it is told to end")
}

#[test]
fn a_transaction_that_is_interrupted_is_done_whole_or_not_at_all() {
    let mut cluster = Cluster::start(3, &[]);
    let (addresses, ends) = (cluster.addresses(), AtomicBool::new(false));
    let told: Vec<Told> = std::thread::scope(|scope| {
        let (addresses, ends) = (&addresses, &ends);
        let running: Vec<_> =
            (0..CLIENTS).map(|number| scope.spawn(move || append_twice(addresses, number, ends))).collect();
        for index in [0, 1, 2, 0] {
            Background::for_a_moment();
            cluster.nodes[index].kill();
            Background::for_a_moment();
            cluster.nodes[index].start();
            cluster.nodes[index].wait_ready();
        }
        cluster.kill_all();
        cluster.start_all();
        Background::for_a_moment();
        ends.store(true, Ordering::Relaxed);
        running.into_iter().map(|running| running.join().unwrap()).collect()
    });
    let Response::Bulk(Some(list)) = cluster.nodes[0].connect().call("GET list") else {
        panic!("nothing was done")
    };
    let list = String::from_utf8(list).unwrap();
    let tokens: Vec<&str> = list.split_terminator(';').collect();
    assert!(tokens.chunks(2).all(|pair| pair.len() == 2 && pair[0] == pair[1]), "a part was done: {list}");
    let there: BTreeSet<&str> = tokens.iter().copied().collect();
    assert_eq!(2 * there.len(), tokens.len(), "one was done again: {list}");
    for Told { done, refused } in &told {
        assert!(done.iter().all(|token| there.contains(token.as_str())), "{done:?} in {list}");
        assert!(refused.iter().all(|token| !there.contains(token.as_str())), "{refused:?} in {list}");
    }
    assert!(told.iter().all(|told| told.done.len() > 10), "hardly anything was done");
}

#[test]
fn several_keys_are_refused_unless_the_setting_says_otherwise() {
    let mut cluster = Cluster::start(3, &[]);
    let both = ["SET a 1", "INCR b"];
    let mut client = cluster.nodes[0].connect();
    let why = execute(&mut client, &both).unwrap().error();
    assert!(why.starts_with("EXECABORT ") && why.contains("--multi-keys per-key"), "{why}");
    assert_eq!(client.call("EXISTS a b"), Response::Integer(0));
    assert_eq!(cluster.nodes[0].info("multi_keys"), "refuse");
    let node = &mut cluster.nodes[0];
    node.terminate();
    node.flags.extend(["--multi-keys", "per-key"].map(str::to_owned));
    node.start();
    node.wait_ready();
    assert_eq!(node.info("multi_keys"), "per-key");
    let mut client = node.connect();
    assert_eq!(client.call("WATCH a w"), Response::ok());
    let done = Response::Array(vec![Response::ok(), Response::Integer(1)]);
    assert_eq!(execute(&mut client, &both).unwrap(), done);
    assert_eq!(client.call("WATCH a w"), Response::ok());
    assert_eq!(cluster.nodes[1].connect().call("SET w changed"), Response::ok());
    assert_eq!(execute(&mut client, &both).unwrap(), Response::Array(Vec::new()));
    assert_eq!(client.call("GET b"), Response::bulk("1"));
}
