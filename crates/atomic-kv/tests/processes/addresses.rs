//! Names with several addresses: a node listens at all of them, and tries all of a peer's.

use crate::support::client::{Connection, Response};
use crate::support::privileged::{may_change_names, skipped};
use crate::support::{Cluster, http_get};
use socket2::{Domain, Socket, Type};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Listens, and has no room for anybody: whoever connects hears nothing.
struct BlackHole {
    _socket: Socket,
    _waiting: Vec<TcpStream>,
}

impl BlackHole {
    fn at(address: &str) -> Self {
        let address: SocketAddr = address.parse().unwrap();
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&address.into()).unwrap();
        socket.listen(0).unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            waiting.push(stream);
        }
        Self { _socket: socket, _waiting: waiting }
    }
}

/// `there.test` has two addresses. Node 3 listens for its peers at the second alone, and the first swallows what comes; node 1
/// listens for its clients at both.
#[test]
fn all_addresses_of_a_name_are_listened_at_and_tried() {
    if !may_change_names() {
        return skipped("names with several addresses", "no permission to give processes names of their own");
    }
    let mut cluster = Cluster::new(3, &[]);
    let names = cluster.directory().join("hosts");
    std::fs::write(&names, "127.0.0.1 localhost there.test\n127.0.0.2 there.test\n").unwrap();
    let listed = cluster.nodes[0].peer_address(3).to_owned();
    let (_, port) = listed.rsplit_once(':').unwrap();
    let hole = BlackHole::at(&listed);
    let members = cluster.nodes[0].cluster.replace(&format!("3={listed}"), &format!("3=there.test:{port}"));
    for node in &mut cluster.nodes {
        node.cluster.clone_from(&members);
        node.names = Some(names.clone());
    }
    // It cannot dial them either.
    cluster.nodes[2].cluster = format!("1=127.0.0.1:1,2=127.0.0.1:2,3=there.test:{port}");
    cluster.nodes[2].flags.extend(["--peer-listen".to_owned(), format!("127.0.0.2:{port}")]);
    cluster.nodes[0].host = "there.test";
    cluster.start_all();
    for address in [cluster.nodes[0].address(), cluster.nodes[0].http_address()] {
        let second = address.replace("127.0.0.1", "127.0.0.2");
        cluster.nodes[0].wait_for_log(&["started", &address, &second]);
    }
    for node in &cluster.nodes {
        let mut client = Connection::open(&node.address().replace("127.0.0.1", "127.0.0.2"));
        assert_eq!(client.is_ok(), node.id == 1, "node {}", node.id);
        if let Ok(client) = &mut client {
            assert_eq!(client.call("SET k v"), Response::ok());
        }
    }
    let elsewhere = cluster.nodes[0].http_address().replace("127.0.0.1", "127.0.0.2");
    assert_eq!(http_get(&elsewhere, "/livez").0, 200);
    drop(hole);
}
