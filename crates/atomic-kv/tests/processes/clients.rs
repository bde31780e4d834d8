//! Clients that write without reading, ask without taking, begin without ending, or come in crowds: they cost a bounded part
//! of the node, and others do not notice.

use crate::support::client::Response;
use crate::support::{Cluster, Connection, Node, eventually, http_get};
use ::node::hello::{About, Hello, Service, Versions};
use abd::Operation;
use abd::wire::put_frame;
use bytes::BytesMut;
use node::client::service::{Call, put_call};
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// A connection that never waits: what the node does not take at once is not sent.
fn push(address: &str, bytes: &[u8]) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_nonblocking(true).unwrap();
    let mut rest = bytes;
    for _ in 0..500 {
        match stream.write(rest) {
            Ok(0) => return None,
            Ok(count) => rest = &rest[count..],
            Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(1));
            }
            // The node has closed it.
            Err(_) => return None,
        }
        if rest.is_empty() {
            break;
        }
    }
    Some(stream)
}

fn set(key: &str, value: &[u8]) -> Vec<u8> {
    let mut out = format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n", key.len(), value.len()).into_bytes();
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
    out
}

/// As redis-py's `pipeline(transaction=False)` does: all requests, then all replies.
#[test]
fn whoever_writes_everything_before_reading_is_served() {
    let cluster = Cluster::start(3, &[]);
    let mut client = cluster.nodes[0].connect();
    client.set_write_timeout(Duration::from_secs(60));
    for (count, size) in [(1_000, 10_000), (64, 1 << 20)] {
        let value = vec![b'v'; size];
        let mut batch = Vec::new();
        for number in 0..count {
            batch.extend(set(&format!("k{number}"), &value));
            batch.extend(format!("GET k{number}\r\n").into_bytes());
        }
        client.send(&batch).unwrap();
        for number in 0..count {
            assert_eq!(client.read().unwrap(), Response::ok(), "{number}");
            assert!(client.read().unwrap() == Response::Bulk(Some(value.clone())), "{number}");
        }
    }
    assert_eq!(cluster.nodes[0].info("evicted_clients"), "0");
}

/// Four anonymous callers of the Coordinator service that ask and never read.
fn silent_callers(node: &Node, key: &str) -> Vec<TcpStream> {
    let mut bytes = BytesMut::new();
    let about = About::of_a_stranger();
    let (versions, service) = (Versions::OURS, Service::Coordinator);
    let hello = Hello { versions, service, lane: None, about, address: None };
    put_frame(&mut bytes, |body| hello.put(body));
    for number in 0..2_000 {
        let call = Call::Run(Operation::Get { key: key.to_owned().into() });
        put_frame(&mut bytes, |body| put_call(body, number, &call));
    }
    (0..4).filter_map(|_| push(node.peer_address(node.id), &bytes)).collect()
}

/// All at once: requests that are sent but for their last bytes, replies that nobody reads, calls that nobody waits for.
#[test]
fn what_clients_hold_is_bounded_and_given_back() {
    const CLIENTS: u64 = 96 * MIB;
    let flags =
        ["--clients-memory", "100663296", "--client-output-limit", "33554432", "--cache-bytes", "33554432"];
    let cluster = Cluster::start(3, &flags);
    let node = &cluster.nodes[0];
    let value = vec![b'v'; 16 << 20];
    let mut good = node.connect();
    let before = node.memory("VmRSS");
    assert_eq!(good.try_call(&[b"SET", b"large", &value]).unwrap(), Response::ok());

    let mut connections = Vec::new();
    let half_sent = &set("never", &value)[..(16 << 20) - 1];
    for _ in 0..40 {
        connections.extend(push(&node.address(), half_sent));
        assert_eq!(good.call("GET nothing"), Response::Bulk(None));
    }
    for _ in 0..40 {
        connections.extend(push(&node.address(), b"GET large\r\n"));
        assert_eq!(good.call("SET k v"), Response::ok());
    }
    connections.extend(silent_callers(node, "large"));
    for _ in 0..20 {
        assert_eq!(good.call("SET k v"), Response::ok());
        std::thread::sleep(Duration::from_millis(20));
    }
    // What clients may hold; beside it the cache, four lookups, and with each of two peers a message in either direction on two
    // connections: all of 16 MiB. The half of that again is the allocator's.
    let most = node.memory("VmHWM");
    assert!(most < before + CLIENTS + 360 * MIB, "{before} bytes before, {most} at the most");
    let counted: u64 = good.info("clients_memory").parse().unwrap();
    assert!(counted <= CLIENTS + 32 * MIB, "{counted}");
    assert!(good.info("evicted_clients").parse::<u64>().unwrap() > 0);
    node.wait_for_log(&["closed a client connection", "--clients-memory", "holds most"]);
    let metrics = http_get(&node.http_address(), "/metrics").1;
    assert!(metrics.contains("\natomic_kv_clients_memory_limit_bytes 100663296\n"), "{metrics}");

    drop(connections);
    eventually("what the clients held is free", || good.info("clients_memory").parse::<u64>().unwrap() < MIB);
    eventually("what the clients held is given back to the system", || {
        node.memory("VmRSS") < before + 200 * MIB
    });
}

/// A connection with nothing in flight waits for a share of what others have asked for, not for all of it.
#[test]
fn a_flood_costs_others_their_share() {
    const FLOODS: u64 = 100;
    const EACH: u64 = 600;
    let cluster = Cluster::start(3, &[]);
    let node = &cluster.nodes[0];
    let writes = |client: &mut Connection| client.info("writes").parse::<u64>().unwrap();
    let mut good = node.connect();
    let before = writes(&mut good);
    let floods: Vec<TcpStream> = (0..FLOODS)
        .map(|flood| {
            let requests: String =
                (0..EACH).map(|number| format!("SET flood-{flood}-{number} v\r\n")).collect();
            let mut stream = TcpStream::connect(node.address()).unwrap();
            stream.write_all(requests.as_bytes()).unwrap();
            stream
        })
        .collect();
    for _ in 0..4 {
        assert_eq!(good.call("SET k v"), Response::ok());
    }
    let done = writes(&mut good) - before;
    // Each of the four waits for what is in flight at most, which is some thousands.
    assert!(done < FLOODS * EACH / 2, "{done} writes of {} were done first", FLOODS * EACH);
    eventually("the floods are carried out", || writes(&mut good) - before == FLOODS * EACH + 4);
    drop(floods);
}

/// What is asked for by somebody who is gone is not waited for.
#[test]
fn operations_of_a_client_that_is_gone_end() {
    let mut cluster = Cluster::start(3, &["--op-timeout", "600s"]);
    cluster.nodes[1].kill();
    cluster.nodes[2].kill();
    let node = &cluster.nodes[0];
    let client = TcpStream::connect(node.address()).unwrap();
    let requests: String = (0..100).map(|number| format!("SET k{number} v\r\nGET g{number}\r\n")).collect();
    (&client).write_all(requests.as_bytes()).unwrap();
    let memory = || node.info("clients_memory").parse::<u64>().unwrap();
    eventually("the requests are in flight", || memory() > 100_000);
    // Closed at once, without a word.
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    let ended = || {
        let mut client = node.connect();
        ["refused", "indeterminate"]
            .map(|field| client.info(field).parse::<u64>().unwrap())
            .iter()
            .sum::<u64>()
    };
    eventually("they end", || ended() == 200);
    eventually("nothing is held for them", || memory() < 100_000);
}

/// Three nodes that may have so many files open.
fn with_open_files(limit: u64) -> Cluster {
    let mut cluster = Cluster::new(3, &[]);
    for node in &mut cluster.nodes {
        node.open_files = Some(limit);
    }
    cluster.start_all();
    cluster
}

/// More clients than a process may have open files: the others are told so, and the node lives on.
#[test]
fn clients_leave_descriptors_for_everything_else() {
    let cluster = with_open_files(160);
    let node = &cluster.nodes[0];
    let mut good = node.connect();
    let limit: usize = good.info("maxclients").parse().unwrap();
    assert!((20..100).contains(&limit), "{limit}");
    node.wait_for_log(&["fewer clients than --max-clients"]);
    let mut idle: Vec<Connection> = (0..180).map(|_| Connection::open(&node.address()).unwrap()).collect();
    // Those who were let in stay silent, and it is told the last.
    assert_eq!(idle.pop().unwrap().rest().unwrap(), b"-ERR max number of clients reached\r\n");
    assert_eq!(good.info("connected_clients"), limit.to_string());
    assert!(good.info("rejected_connections").parse::<usize>().unwrap() >= 180 - limit);
    // Peers, HTTP and the database have what they need.
    for number in 0..200 {
        assert_eq!(
            good.try_call(&[b"SET", format!("k{number}").as_bytes(), &[b'v'; 100_000]]).unwrap(),
            Response::ok()
        );
    }
    assert_eq!(http_get(&node.http_address(), "/readyz").0, 200);
    assert_eq!(
        good.call("CONFIG GET maxclients"),
        Response::Array(vec![Response::bulk("maxclients"), Response::bulk(&limit.to_string())])
    );
    assert_eq!(
        good.call("CONFIG GET tcp-keepalive"),
        Response::Array(vec![Response::bulk("tcp-keepalive"), Response::bulk("300")])
    );
    drop(idle);
    eventually("there is room again", || {
        Connection::open(&node.address()).is_ok_and(|mut client| client.try_call(&[b"PING"]).is_ok())
    });
    assert!(cluster.nodes.iter().all(|node| !node.log().contains("the disk failed")));
}

/// No more files can be opened for a while: no disk is broken by that, and nobody ends.
#[test]
fn too_many_open_files_are_no_broken_disk() {
    let cluster = Cluster::start(3, &["--cache-bytes", "1000000"]);
    let node = &cluster.nodes[0];
    let mut good = node.connect();
    assert_eq!(good.call("SET k v"), Response::ok());
    node.limit_open_files(Some(8));
    let value = vec![b'v'; 1 << 20];
    // More than the journal's segments and its memory take: for the rest files would have to be opened.
    for number in 0..200 {
        assert_eq!(
            good.try_call(&[b"SET", format!("k{number}").as_bytes(), &value]).unwrap(),
            Response::ok()
        );
    }
    assert!(good.try_call(&[b"GET", b"k7"]).unwrap() == Response::Bulk(Some(value.clone())));
    node.wait_for_log(&["cannot prepare a journal segment", "Too many open files"]);
    node.limit_open_files(None);
    eventually("the node takes writes again", || good.info("writable") == "1");
    for number in 0..20 {
        assert_eq!(good.try_call(&[b"SET", format!("k{number}").as_bytes(), b"w"]).unwrap(), Response::ok());
    }
    for node in &cluster.nodes {
        assert_eq!(node.info("ready"), "1");
    }
}

/// Requests that are half sent, and replies that are not read by whom nothing more is done for, are not waited for for ever.
#[test]
fn whoever_is_waited_for_in_vain_is_closed() {
    let cluster = Cluster::start(1, &["--client-output-limit", "16777216"]);
    let node = &cluster.nodes[0];
    let mut good = node.connect();
    let value = vec![b'v'; 4 << 20];
    assert_eq!(good.try_call(&[b"SET", b"large", &value]).unwrap(), Response::ok());
    let mut half_sent = node.connect();
    half_sent.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000\r\nabc").unwrap();
    let unread = push(&node.address(), "GET large\r\n".repeat(20).as_bytes());
    let mut head = TcpStream::connect(node.http_address()).unwrap();
    head.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ").unwrap();
    // Beyond the places that there are the oldest makes room.
    let crowd: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(node.http_address()).unwrap()).collect();
    assert_eq!(http_get(&node.http_address(), "/livez").0, 200);
    let strangers: Vec<TcpStream> =
        (0..100).map(|_| TcpStream::connect(node.peer_address(node.id)).unwrap()).collect();
    head.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let told = std::io::read_to_string(&mut head).unwrap_or_default();
    assert!(told.is_empty() || told.starts_with("HTTP/1.1 408"), "{told}");
    node.wait_for_log(&["closed a client connection", "half sent"]);
    assert_eq!(half_sent.rest().unwrap_or_default(), b"");
    node.wait_for_log(&["closed a client connection", "--client-output-limit"]);
    assert_eq!(good.info("client_output_buffer_limit_disconnections"), "1");
    assert_eq!(good.info("connected_clients"), "1");
    drop((unread, crowd, strangers));
}
