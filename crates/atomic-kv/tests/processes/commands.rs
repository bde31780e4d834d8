//! What a Redis client can do, through any node.

use crate::support::Cluster;
use crate::support::client::{Connection, Response};
use std::collections::BTreeMap;
use std::time::Duration;

#[test]
fn commands_work_through_any_node() {
    let cluster = Cluster::start(3, &[]);
    let mut clients: Vec<_> = cluster.nodes.iter().map(|node| node.connect()).collect();
    let [one, two, three] = &mut clients[..] else { unreachable!() };

    assert_eq!(one.call("PING"), Response::Status("PONG".to_owned()));
    assert_eq!(one.call("SET a 1"), Response::ok());
    assert_eq!(two.call("GET a"), Response::bulk("1"));
    assert_eq!(three.call("SET a 2"), Response::ok());
    assert_eq!(one.call("GET a"), Response::bulk("2"));
    assert_eq!(one.call("STRLEN a"), Response::Integer(1));
    assert_eq!(one.call("GET b"), Response::Bulk(None));
    assert_eq!(two.call("SET b x"), Response::ok());
    assert_eq!(
        three.call("MGET a b c"),
        Response::Array(vec![Response::bulk("2"), Response::bulk("x"), Response::Bulk(None)])
    );
    assert_eq!(one.call("EXISTS a b c a"), Response::Integer(3));
    assert_eq!(two.call("DEL a b c"), Response::Integer(2));
    assert_eq!(three.call("EXISTS a b c"), Response::Integer(0));
    assert_eq!(one.call("UNLINK a"), Response::Integer(0));
    assert!(one.call("LPUSH a 1").error().starts_with("ERR unknown command 'LPUSH'"));
    assert_eq!(one.call("SET a 1 SOMEDAY").error(), "ERR syntax error");
    assert_eq!(one.call("GET a"), Response::Bulk(None), "a refused SET had an effect");

    // Any bytes are a key and a value.
    let odd: &[u8] = b"\x00\r\n\xff$*";
    assert_eq!(one.try_call(&[b"SET", odd, odd]).unwrap(), Response::ok());
    assert_eq!(two.try_call(&[b"GET", odd]).unwrap(), Response::Bulk(Some(odd.to_vec())));
    assert_eq!(two.try_call(&[b"SET", b"", b""]).unwrap(), Response::ok());
    assert_eq!(three.try_call(&[b"GET", b""]).unwrap(), Response::bulk(""));
}

#[test]
fn resp2_resp3_and_pipelines() {
    let cluster = Cluster::start(3, &[]);
    let mut client = cluster.nodes[0].connect();
    client.send(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nSET k v\r\nGET k\r\nDEL k\r\nGET k\r\n").unwrap();
    client.expect("$-1\r\n+OK\r\n$1\r\nv\r\n:1\r\n$-1\r\n");

    let mut client = cluster.nodes[1].connect();
    client.send(b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n").unwrap();
    client.expect("%7\r\n$6\r\nserver\r\n$9\r\natomic-kv\r\n");
    // The id differs, so the rest of the greeting is skipped up to what follows it.
    client.send(b"GET k\r\nMGET k k\r\nPING\r\n").unwrap();
    let mut seen = String::new();
    while !seen.ends_with("+PONG\r\n") {
        seen.push_str(&client.line());
    }
    assert!(seen.ends_with("*0\r\n_\r\n*2\r\n_\r\n_\r\n+PONG\r\n"), "{seen}");

    // A pipeline in which every request depends on the one before, and one across many keys.
    let mut batch = Vec::new();
    let mut expected = String::new();
    for round in 0..200 {
        batch.extend_from_slice(
            format!("SET same {round}\r\nGET same\r\nSET key-{round} {round}\r\n").as_bytes(),
        );
        let text = round.to_string();
        expected.push_str(&format!("+OK\r\n${}\r\n{text}\r\n+OK\r\n", text.len()));
    }
    let mut client = cluster.nodes[2].connect();
    client.send(&batch).unwrap();
    client.expect(&expected);
}

/// Several callers share a connection: the reply to one does not wait for what another asked later.
#[test]
fn a_reply_does_not_wait_for_later_requests() {
    let cluster = Cluster::start(3, &["--op-timeout", "25s"]);
    let mut client = cluster.nodes[0].connect();
    assert_eq!(client.call("SET a 1"), Response::ok());
    // Nobody answers the write for now.
    cluster.nodes[1].pause();
    cluster.nodes[2].pause();
    client.send(b"PING\r\nSET b 2\r\nGET b\r\n").unwrap();
    // More comes in meanwhile, in pieces of its own; only then the node knows that callers share the connection.
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(100));
        client.send(b"PING\r\n").unwrap();
    }
    client.expect("+PONG\r\n");
    cluster.nodes[1].resume();
    cluster.nodes[2].resume();
    client.expect("+OK\r\n$1\r\n2\r\n+PONG\r\n+PONG\r\n+PONG\r\n");
    // Whoever has sent everything still gets what is owed.
    client.send(b"SET a 3\r\nGET a\r\n").unwrap();
    client.finish_sending().unwrap();
    assert_eq!(client.rest().unwrap(), b"+OK\r\n$1\r\n3\r\n");
}

/// One connection alone sees its requests carried out one after another, however they are cut into pieces on their way.
#[test]
fn a_connection_sees_its_requests_in_order() {
    let cluster = Cluster::start(3, &[]);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).unwrap() % limit
    };
    let mut model: BTreeMap<usize, String> = BTreeMap::new();
    let (mut requests, mut expected) = (String::new(), String::new());
    let bulk = |value: Option<&String>| {
        value.map_or("$-1\r\n".to_owned(), |value| format!("${}\r\n{value}\r\n", value.len()))
    };
    for number in 0..3000 {
        let (key, other) = (below(6), below(6));
        match below(8) {
            0..3 => {
                requests += &format!("SET k{key} v{number}\r\n");
                model.insert(key, format!("v{number}"));
                expected += "+OK\r\n";
            }
            3..5 => {
                requests += &format!("GET k{key}\r\n");
                expected += &bulk(model.get(&key));
            }
            5 => {
                requests += &format!("DEL k{key} k{other}\r\n");
                let count = [key, other].iter().filter(|key| model.remove(key).is_some()).count();
                expected += &format!(":{count}\r\n");
            }
            6 => {
                requests += &format!("MGET k{key} k{other}\r\n");
                expected += &format!("*2\r\n{}{}", bulk(model.get(&key)), bulk(model.get(&other)));
            }
            _ => {
                requests += "PING\r\n";
                expected += "+PONG\r\n";
            }
        }
    }
    let mut client = cluster.nodes[1].connect();
    let mut writer = client.second_half();
    let mut pieces = Vec::new();
    let mut rest = requests.as_bytes();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(1 + below(300)));
        pieces.push((piece.to_vec(), below(4) == 0));
        rest = after;
    }
    let sender = std::thread::spawn(move || {
        for (piece, pauses) in pieces {
            writer.send(&piece).unwrap();
            if pauses {
                std::thread::sleep(Duration::from_micros(500));
            }
        }
        writer.finish_sending().unwrap();
    });
    client.expect(&expected);
    sender.join().unwrap();
    assert_eq!(client.rest().unwrap(), b"");
}

/// A deep pipeline of large values waits in the client's socket, not in the node's memory; and so do the values that a
/// client asks for and does not read, beyond what it is allowed.
#[test]
fn a_deep_pipeline_of_large_values_does_not_fill_the_memory() {
    const COUNT: usize = 200;
    let (cluster, mut client) = with_large_values(COUNT, &["--client-output-limit", "20000000"]);
    let node = &cluster.nodes[0];
    let mut writer = client.second_half();
    for number in 0..4 * COUNT {
        writer.ask(&[b"GET", large(number % COUNT).as_bytes()]).unwrap();
    }
    // The node serves others meanwhile.
    let mut other = node.connect();
    for _ in 0..100 {
        assert_eq!(other.call("SET k v"), Response::ok());
    }
    for number in 0..4 * COUNT {
        let Response::Bulk(Some(value)) = client.read().unwrap() else { panic!("no value {number}") };
        assert!(value == large_value(number % COUNT), "the value of another key in place of {number}");
    }
    assert!(node.memory("VmHWM") < 170 << 20, "{} bytes at the most", node.memory("VmHWM"));
}

/// One request can ask for more than a node should hold: a part of it is carried out at a time, and a reply that would be
/// too large is an error. The connection goes on.
#[test]
fn one_request_for_many_large_values_does_not_fill_the_memory() {
    const COUNT: usize = 150;
    let (cluster, mut client) = with_large_values(COUNT, &[]);
    let node = &cluster.nodes[0];
    let ask = |client: &mut Connection, command: &str, count: usize| {
        let keys: Vec<_> = (0..count).map(large).collect();
        let command = [command.as_bytes()].into_iter().chain(keys.iter().map(|key| key.as_bytes()));
        client.try_call(&command.collect::<Vec<_>>()).unwrap()
    };
    // More keys than there are values.
    assert_eq!(ask(&mut client, "EXISTS", COUNT + 5), Response::Integer(i64::try_from(COUNT).unwrap()));
    assert!(node.memory("VmHWM") < 150 << 20, "{} bytes at the most", node.memory("VmHWM"));
    let too_many = ask(&mut client, "MGET", COUNT).error();
    assert!(
        too_many.starts_with("ERR the values of these 150 keys are larger than 64 MiB together"),
        "{too_many}"
    );
    let Response::Array(values) = ask(&mut client, "MGET", 20) else { panic!("no values") };
    assert!(values.into_iter().eq((0..20).map(|number| Response::Bulk(Some(large_value(number))))));
    assert_eq!(
        client.call("MGET large-1000 large-1001"),
        Response::Array(vec![Response::Bulk(None), Response::Bulk(None)])
    );
    // Deletes go out in parts, too.
    assert_eq!(ask(&mut client, "DEL", 3000), Response::Integer(i64::try_from(COUNT).unwrap()));
    assert_eq!(ask(&mut client, "EXISTS", 3000), Response::Integer(0));
    assert!(node.memory("VmHWM") < 400 << 20, "{} bytes at the most", node.memory("VmHWM"));
}

/// A cluster that has values of 1 MiB, and a connection to its first node, by which they were written at once.
fn with_large_values(count: usize, flags: &[&str]) -> (Cluster, Connection) {
    let cluster = Cluster::start(3, flags);
    let mut client = cluster.nodes[0].connect();
    let mut writer = client.second_half();
    let sender = std::thread::spawn(move || {
        for number in 0..count {
            writer.ask(&[b"SET", large(number).as_bytes(), &large_value(number)]).unwrap();
        }
    });
    for _ in 0..count {
        assert_eq!(client.read().unwrap(), Response::ok());
    }
    sender.join().unwrap();
    (cluster, client)
}

fn large(number: usize) -> String {
    format!("large-{number}")
}

fn large_value(number: usize) -> Vec<u8> {
    vec![u8::try_from(number % 251).unwrap(); 1 << 20]
}
