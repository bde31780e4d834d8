//! What a Redis client can do, through any node.

use crate::support::Cluster;
use crate::support::client::Reply;

#[test]
fn commands_work_through_any_node() {
    let cluster = Cluster::start(3, &[]);
    let mut clients: Vec<_> = cluster.nodes.iter().map(|node| node.connect()).collect();
    let [one, two, three] = &mut clients[..] else { unreachable!() };

    assert_eq!(one.call("PING"), Reply::Status("PONG".to_owned()));
    assert_eq!(one.call("SET a 1"), Reply::ok());
    assert_eq!(two.call("GET a"), Reply::bulk("1"));
    assert_eq!(three.call("SET a 2"), Reply::ok());
    assert_eq!(one.call("GET a"), Reply::bulk("2"));
    assert_eq!(one.call("STRLEN a"), Reply::Integer(1));
    assert_eq!(one.call("GET b"), Reply::Bulk(None));
    assert_eq!(two.call("SET b x"), Reply::ok());
    assert_eq!(
        three.call("MGET a b c"),
        Reply::Array(vec![Reply::bulk("2"), Reply::bulk("x"), Reply::Bulk(None)])
    );
    assert_eq!(one.call("EXISTS a b c a"), Reply::Integer(3));
    assert_eq!(two.call("DEL a b c"), Reply::Integer(2));
    assert_eq!(three.call("EXISTS a b c"), Reply::Integer(0));
    assert_eq!(one.call("UNLINK a"), Reply::Integer(0));
    assert!(one.call("LPUSH a 1").error().starts_with("ERR unknown command 'LPUSH'"));
    assert!(one.call("SET a 1 NX").error().starts_with("ERR"));
    assert_eq!(one.call("GET a"), Reply::Bulk(None), "a refused SET had an effect");

    // Any bytes are a key and a value.
    let odd: &[u8] = b"\x00\r\n\xff$*";
    assert_eq!(one.try_call(&[b"SET", odd, odd]).unwrap(), Reply::ok());
    assert_eq!(two.try_call(&[b"GET", odd]).unwrap(), Reply::Bulk(Some(odd.to_vec())));
    assert_eq!(two.try_call(&[b"SET", b"", b""]).unwrap(), Reply::ok());
    assert_eq!(three.try_call(&[b"GET", b""]).unwrap(), Reply::bulk(""));
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
