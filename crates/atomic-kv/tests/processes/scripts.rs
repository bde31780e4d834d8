//! Scripts as client libraries use them: known at all nodes, whole while nodes die, and ended when they take too much.

use crate::support::client::Response;
use crate::support::{Cluster, Connection, Node};
use std::time::{Duration, Instant};

/// The scripts of redis-py's lock.
const RELEASE: &str = "local token = redis.call('get', KEYS[1]) if not token or token ~= ARGV[1] then return 0 end \
                       redis.call('del', KEYS[1]) return 1";
const EXTEND: &str = "local token = redis.call('get', KEYS[1]) if not token or token ~= ARGV[1] then return 0 end \
                      local expiration = redis.call('pttl', KEYS[1]) if not expiration then expiration = 0 end \
                      redis.call('pexpire', KEYS[1], expiration + ARGV[2]) return 1";

fn call(node: &Node, arguments: &[&str]) -> Response {
    let arguments: Vec<_> = arguments.iter().map(|argument| argument.as_bytes()).collect();
    node.connect().try_call(&arguments).unwrap()
}

#[test]
fn a_lock_is_taken_at_one_node_and_released_at_another_while_a_third_is_dead() {
    let mut cluster = Cluster::start(3, &[]);
    let [release, extend] = [RELEASE, EXTEND].map(|source| {
        let Response::Bulk(Some(sha)) = call(&cluster.nodes[0], &["SCRIPT", "LOAD", source]) else {
            panic!("it is a script")
        };
        String::from_utf8(sha.to_vec()).unwrap()
    });
    cluster.nodes[0].kill();
    let [one, other] = [&cluster.nodes[1], &cluster.nodes[2]];
    for round in 0..20 {
        let token = round.to_string();
        assert_eq!(call(one, &["SET", "lock", &token, "NX", "PX", "60000"]), Response::ok());
        assert_eq!(call(other, &["EVALSHA", &release, "1", "lock", "another"]), Response::Integer(0));
        assert_eq!(call(other, &["EVALSHA", &extend, "1", "lock", &token, "60000"]), Response::Integer(1));
        assert_eq!(call(one, &["EVALSHA", &release, "1", "lock", &token]), Response::Integer(1));
    }
}

#[test]
fn a_script_counts_once_whoever_runs_it() {
    let cluster = Cluster::start(3, &[]);
    let source = "return redis.call('incr', KEYS[1])";
    let threads: Vec<_> = cluster
        .addresses()
        .into_iter()
        .map(|address| {
            std::thread::spawn(move || {
                let mut client = Connection::open(&address).unwrap();
                for _ in 0..50 {
                    let reply = client.try_call(&[b"EVAL", source.as_bytes(), b"1", b"count"]).unwrap();
                    assert!(matches!(reply, Response::Integer(_)), "{reply:?}");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(call(&cluster.nodes[0], &["GET", "count"]), Response::bulk("150"));
}

#[test]
fn a_script_that_takes_too_much_has_no_effect_and_the_node_goes_on() {
    let cluster = Cluster::start(1, &["--script-time-limit", "100ms", "--script-memory", "8388608"]);
    let node = &cluster.nodes[0];
    let endless = "redis.call('set', KEYS[1], 'x') while true do end";
    let text = call(node, &["EVAL", endless, "1", "k"]).error();
    assert!(text.contains("--script-time-limit"), "{text}");
    let greedy = "redis.call('set', KEYS[1], 'x') return ('x'):rep(1e8)";
    let text = call(node, &["EVAL", greedy, "1", "k"]).error();
    assert!(text.contains("--script-memory"), "{text}");
    let second = "redis.call('set', 'k', 'x') redis.call('set', 'other', 'x')";
    let text = call(node, &["EVAL", second, "0"]).error();
    assert!(text.contains("'k' and then 'other'"), "{text}");
    assert_eq!(call(node, &["EXISTS", "k", "other"]), Response::Integer(0));
    assert_eq!(call(node, &["EVAL", "return redis.call('set', 'k', ARGV[1])", "0", "v"]), Response::ok());
    assert_eq!(call(node, &["GET", "k"]), Response::bulk("v"));
}

#[test]
fn scripts_that_nobody_waits_for_stop_no_others() {
    let limits = ["--threads", "1", "--op-timeout", "2s", "--script-time-limit", "300ms"];
    let cluster = Cluster::start(1, &limits);
    let node = &cluster.nodes[0];
    let mut gone = node.connect();
    for number in 0..100 {
        let key = format!("endless{number}");
        gone.ask(&[b"EVAL", b"while true do end", b"1", key.as_bytes()]).unwrap();
    }
    let begun = Instant::now();
    let mut errors: Vec<_> = (0..10).map(|_| gone.read().unwrap().error()).collect();
    errors.sort();
    assert!(errors[0].starts_with("BUSY "), "{errors:?}");
    drop(gone);
    while call(node, &["EVAL", "return 1", "1", "k"]) != Response::Integer(1) {
        assert!(begun.elapsed() < Duration::from_secs(20), "100 scripts of 300 ms are not run to their ends");
    }
}
