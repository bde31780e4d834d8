//! What clients of Redis Cluster and of Redis Sentinel are told. The forms are those of Redis 7.0.15, read off its wire.

use super::*;
use crate::endpoint::Endpoint;
use crate::topology::Known;
use abd::NodeId;

/// Node 1 tells; node 2 answers, node 3 does not.
pub(super) fn topology(is_ready: bool) -> Topology {
    let node = |id, endpoint: Option<&str>, is_up| Known {
        id: NodeId(id),
        endpoint: endpoint.and_then(Endpoint::parse),
        peer_port: 7000,
        is_member: true,
        is_up,
    };
    let nodes =
        [node(1, None, true), node(2, Some("b.example:6382"), true), node(3, Some("10.0.0.3:6383"), false)];
    Topology::new(nodes.to_vec(), NodeId(1), is_ready)
}

fn told(topology: Topology, protocol: u8, line: &str) -> String {
    let (mut session, node) = (session(), Node { topology: Some(topology), ..Node::default() });
    session.handle(ClientRequest::Command(args(&format!("HELLO {protocol}"))), &node);
    match session.handle(ClientRequest::Command(args(line)), &node) {
        Plan::Reply(reply) => encoded(&reply, session.protocol()),
        other => panic!("{line}: {other:?}"),
    }
}

fn names() -> [String; 3] {
    let nodes = topology(true);
    [0, 1, 2].map(|index| nodes.nodes()[index].name())
}

#[test]
fn slots_are_told_with_the_nodes_that_answer() {
    let [one, two, _] = names();
    for (protocol, nothing) in [(2, "*0"), (3, "%0")] {
        let range = |start, end, host: &str, port, name: &str| {
            let length = host.len();
            format!(
                "*3\r\n:{start}\r\n:{end}\r\n*4\r\n${length}\r\n{host}\r\n:{port}\r\n$40\r\n{name}\r\n{nothing}\r\n"
            )
        };
        let expected = [
            "*4\r\n".to_owned(),
            range(0, 5461, "127.0.0.1", 6380, &one),
            range(5462, 10_922, "b.example", 6382, &two),
            range(10_923, 13_653, "127.0.0.1", 6380, &one),
            range(13_654, 16_383, "b.example", 6382, &two),
        ];
        assert_eq!(told(topology(true), protocol, "CLUSTER SLOTS"), expected.concat());
    }
    let elsewhere = told(topology(false), 2, "CLUSTER SLOTS");
    assert!(elsewhere.contains("b.example") && elsewhere.contains("10.0.0.3"), "{elsewhere}");
    assert!(!elsewhere.contains("127.0.0.1"), "{elsewhere}");
}

#[test]
fn shards_have_all_nodes_and_the_slots_of_those_that_answer() {
    let [_, two, three] = names();
    let shards = told(topology(true), 3, "cluster shards");
    let shard = |slots: &str, name: &str, port: u16, host: &str, health: &str| {
        let (length, healthy) = (host.len(), health.len());
        format!(
            "%2\r\n$5\r\nslots\r\n{slots}$5\r\nnodes\r\n*1\r\n%7\r\n$2\r\nid\r\n$40\r\n{name}\r\n$4\r\nport\r\n:{port}\r\n\
             $2\r\nip\r\n${length}\r\n{host}\r\n$8\r\nendpoint\r\n${length}\r\n{host}\r\n$4\r\nrole\r\n$6\r\nmaster\r\n\
             $18\r\nreplication-offset\r\n:0\r\n$6\r\nhealth\r\n${healthy}\r\n{health}\r\n"
        )
    };
    let second = shard("*4\r\n:5462\r\n:10922\r\n:13654\r\n:16383\r\n", &two, 6382, "b.example", "online");
    let third = shard("*0\r\n", &three, 6383, "10.0.0.3", "fail");
    assert!(shards.starts_with("*3\r\n%2\r\n") && shards.ends_with(&(second + &third)), "{shards}");
    assert!(
        told(topology(true), 2, "cluster shards")
            .starts_with("*3\r\n*4\r\n$5\r\nslots\r\n*4\r\n:0\r\n:5461\r\n")
    );
}

#[test]
fn nodes_are_told_as_text() {
    let [one, two, three] = names();
    let mut unknown = topology(true).nodes().to_vec();
    unknown[2].endpoint = None;
    let lines = |third: &str| {
        format!(
            "{one} 127.0.0.1:6380@7000 myself,master - 0 0 0 connected 0-5461 10923-13653\n\
             {two} b.example:6382@7000 master - 0 0 0 connected 5462-10922 13654-16383\n\
             {three} {third} - 0 0 0 disconnected\n"
        )
    };
    for (topology, third) in [
        (topology(true), "10.0.0.3:6383@7000 master,fail"),
        (Topology::new(unknown, NodeId(1), true), ":0@7000 master,fail,noaddr"),
    ] {
        let text = lines(third);
        let expected = format!("={}\r\ntxt:{text}\r\n", text.len() + 4);
        assert_eq!(told(topology, 3, "CLUSTER NODES"), expected);
    }
}

#[test]
fn what_else_is_told_of_the_cluster() {
    let [one, two, _] = names();
    for (is_ready, state, size) in [(true, "ok", 2), (false, "fail", 2)] {
        let info = told(topology(is_ready), 2, "CLUSTER INFO");
        assert!(
            info.contains(&format!("\r\ncluster_state:{state}\r\ncluster_slots_assigned:16384\r\n")),
            "{info}"
        );
        assert!(info.contains(&format!("\r\ncluster_known_nodes:3\r\ncluster_size:{size}\r\n")), "{info}");
    }
    for (line, reply) in [
        ("CLUSTER MYID", format!("$40\r\n{one}\r\n")),
        ("CLUSTER KEYSLOT foo{hash_tag}", ":2515\r\n".to_owned()),
        (&format!("CLUSTER REPLICAS {two}"), "*0\r\n".to_owned()),
        (&format!("CLUSTER COUNT-FAILURE-REPORTS {two}"), ":0\r\n".to_owned()),
        ("CLUSTER COUNTKEYSINSLOT 16384", "-ERR Invalid slot\r\n".to_owned()),
        ("CLUSTER COUNTKEYSINSLOT -1", "-ERR Invalid slot\r\n".to_owned()),
        ("CLUSTER COUNTKEYSINSLOT a", "-ERR value is not an integer or out of range\r\n".to_owned()),
        ("CLUSTER SLAVES a", "-ERR Unknown node a\r\n".to_owned()),
        ("CLUSTER MEET", "-ERR unknown subcommand 'MEET'. Try CLUSTER HELP.\r\n".to_owned()),
        ("CLUSTER", "-ERR wrong number of arguments for 'cluster' command\r\n".to_owned()),
        ("CLUSTER KEYSLOT", "-ERR wrong number of arguments for 'cluster|keyslot' command\r\n".to_owned()),
        ("READONLY", "+OK\r\n".to_owned()),
        ("READWRITE", "+OK\r\n".to_owned()),
        ("ASKING", "+OK\r\n".to_owned()),
    ] {
        assert_eq!(ask_fresh(line), reply, "{line}");
    }
    assert!(
        ask_fresh("CLUSTER HELP").starts_with("*23\r\n+CLUSTER <subcommand> "),
        "{}",
        ask_fresh("CLUSTER HELP")
    );
}

#[test]
fn a_sentinel_names_this_node_as_the_master_while_it_can_serve() {
    let here = "*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6380\r\n";
    for name in ["mymaster", "any"] {
        let line = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {name}");
        assert_eq!(told(topology(true), 2, &line), here);
        assert_eq!(told(topology(false), 2, &line), "*-1\r\n");
        assert_eq!(told(topology(false), 3, &line), "_\r\n");
    }
    let mut settings = topology(true).nodes().to_vec();
    settings[0].endpoint = Endpoint::parse("db.example:7");
    let announced = told(Topology::new(settings, NodeId(1), true), 2, "sentinel get-master-addr-by-name m");
    assert_eq!(announced, "*2\r\n$10\r\ndb.example\r\n$1\r\n7\r\n");
    for (is_ready, flags) in [(true, "$6\r\nmaster"), (false, "$20\r\ns_down,o_down,master")] {
        let master = told(topology(is_ready), 3, "SENTINEL MASTER any");
        let head = "%20\r\n$4\r\nname\r\n$3\r\nany\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n$4\r\nport\r\n$4\r\n6380\r\n$5\r\nrunid\r\n";
        assert!(
            master.starts_with(head) && master.contains(&format!("$5\r\nflags\r\n{flags}\r\n")),
            "{master}"
        );
        assert!(
            master.contains("$19\r\nnum-other-sentinels\r\n$1\r\n1\r\n$6\r\nquorum\r\n$1\r\n2\r\n"),
            "{master}"
        );
        let masters = told(topology(is_ready), 3, "SENTINEL MASTERS");
        assert_eq!(masters, format!("*1\r\n{}", master.replace("$3\r\nany", "$8\r\nmymaster")));
    }
}

#[test]
fn clients_of_a_sentinel_listen_to_its_channels_and_to_nothing_else() {
    for (protocol, push) in [("2", '*'), ("3", '>')] {
        let mut session = session();
        ask(&mut session, &format!("HELLO {protocol}"));
        let told = |word: &str, name: &str, count| {
            let (length, named) = (word.len(), name.len());
            format!("{push}3\r\n${length}\r\n{word}\r\n${named}\r\n{name}\r\n:{count}\r\n")
        };
        let both = told("subscribe", "+switch-master", 1) + &told("subscribe", "+sdown", 2);
        assert_eq!(ask(&mut session, "SUBSCRIBE +switch-master +sdown"), both);
        assert_eq!(ask(&mut session, "subscribe +sdown"), told("subscribe", "+sdown", 2));
        assert_eq!(ask(&mut session, "PSUBSCRIBE [-+]odown"), told("psubscribe", "[-+]odown", 3));
        let refused = ask(&mut session, "SUBSCRIBE +sdown news");
        assert!(refused.starts_with("-ERR there is no publish and subscribe here"), "{refused}");
        let (ping, get) = (ask(&mut session, "PING"), handle(&mut session, "GET k"));
        if protocol == "2" {
            assert_eq!(ping, "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
            let Plan::Reply(refused) = get else { panic!("{get:?}") };
            let context =
                "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
            assert_eq!(refused, Response::error(format!("ERR Can't execute 'get': {context}")));
        } else {
            assert_eq!(ping, "+PONG\r\n");
            assert!(matches!(get, Plan::Run(_)));
        }
        assert_eq!(ask(&mut session, "PUNSUBSCRIBE none"), told("punsubscribe", "none", 3));
        assert_eq!(ask(&mut session, "PUNSUBSCRIBE"), told("punsubscribe", "[-+]odown", 2));
        let nobody = if protocol == "2" { "$-1" } else { "_" };
        let none = format!("{push}3\r\n$12\r\npunsubscribe\r\n{nobody}\r\n:2\r\n");
        assert_eq!(ask(&mut session, "PUNSUBSCRIBE"), none);
        ask(&mut session, "RESET");
        assert_eq!(ask(&mut session, "PING"), "+PONG\r\n");
    }
}

#[test]
fn subscriptions_are_bounded() {
    let mut session = session();
    for number in 0..8 {
        let names: Vec<String> = (0..15).map(|name| format!("+{number}-{name}")).collect();
        assert!(ask(&mut session, &format!("SUBSCRIBE {}", names.join(" "))).starts_with("*3"));
    }
    let names = vec!["+x"; 15].join(" ");
    assert!(ask(&mut session, &format!("SUBSCRIBE {names}")).contains("128 subscriptions at the most"));
}

#[test]
fn a_sentinel_names_the_other_nodes_as_sentinels() {
    let [one, two, three] = names();
    let others = told(topology(true), 3, "SENTINEL SENTINELS mymaster");
    let node = |name: &str, host: &str, port: u16, flags: &str| {
        let (length, flagged) = (host.len(), flags.len());
        format!(
            "%14\r\n$4\r\nname\r\n$40\r\n{name}\r\n$2\r\nip\r\n${length}\r\n{host}\r\n$4\r\nport\r\n$4\r\n{port}\r\n$5\r\nrunid\r\n\
             $40\r\n{name}\r\n$5\r\nflags\r\n${flagged}\r\n{flags}\r\n"
        )
    };
    assert!(others.starts_with(&format!("*2\r\n{}", node(&two, "b.example", 6382, "sentinel"))), "{others}");
    assert!(others.contains(&node(&three, "10.0.0.3", 6383, "s_down,sentinel,disconnected")), "{others}");
    for (line, reply) in [
        ("SENTINEL REPLICAS m", "*0\r\n".to_owned()),
        ("SENTINEL SLAVES m", "*0\r\n".to_owned()),
        ("SENTINEL MYID", format!("$40\r\n{one}\r\n")),
        (
            "SENTINEL CKQUORUM m",
            "+OK 2 usable Sentinels. Quorum and failover authorization can be reached\r\n".to_owned(),
        ),
        ("SENTINEL FAILOVER m", "-ERR unknown subcommand 'FAILOVER'. Try SENTINEL HELP.\r\n".to_owned()),
        ("ROLE", "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n".to_owned()),
    ] {
        assert_eq!(ask_fresh(line), reply, "{line}");
    }
    let mut alone = topology(false).nodes().to_vec();
    alone[1].is_up = false;
    let refused = told(Topology::new(alone, NodeId(1), false), 2, "SENTINEL CKQUORUM m");
    assert!(refused.starts_with("-NOQUORUM 1 usable Sentinels. "), "{refused}");
    assert!(ask_fresh("SENTINEL HELP").starts_with("*17\r\n+SENTINEL <subcommand> "));
}
