//! What monitoring tools and client libraries read: INFO, CLIENT LIST; and CLIENT KILL.

use crate::support::client::Response;
use crate::support::{Cluster, Connection, SEVERAL_LOOPS, eventually};
use std::collections::HashMap;

/// The fields that redis-cli, the tests of redis-py, redis_exporter and RedisInsight read.
const READ_BY_TOOLS: [&str; 47] = [
    "redis_version",
    "redis_mode",
    "os",
    "arch_bits",
    "multiplexing_api",
    "process_id",
    "run_id",
    "tcp_port",
    "uptime_in_seconds",
    "uptime_in_days",
    "executable",
    "connected_clients",
    "blocked_clients",
    "used_memory",
    "used_memory_human",
    "used_memory_rss",
    "used_memory_peak",
    "used_memory_peak_human",
    "used_memory_lua",
    "total_system_memory",
    "maxmemory",
    "maxmemory_policy",
    "mem_fragmentation_ratio",
    "mem_allocator",
    "loading",
    "rdb_bgsave_in_progress",
    "rdb_last_bgsave_status",
    "aof_enabled",
    "aof_rewrite_in_progress",
    "aof_last_write_status",
    "total_connections_received",
    "total_commands_processed",
    "instantaneous_ops_per_sec",
    "instantaneous_input_kbps",
    "instantaneous_output_kbps",
    "total_net_input_bytes",
    "total_net_output_bytes",
    "expired_keys",
    "evicted_keys",
    "keyspace_hits",
    "keyspace_misses",
    "total_error_replies",
    "role",
    "connected_slaves",
    "used_cpu_sys",
    "used_cpu_user",
    "cluster_enabled",
];

fn info(client: &mut Connection, sections: &str) -> HashMap<String, String> {
    let Response::Bulk(Some(text)) = client.call(&format!("INFO {sections}")) else { panic!("no text") };
    let text = String::from_utf8(text).unwrap();
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.map(|(field, value)| (field.to_owned(), value.to_owned())).collect()
}

#[test]
fn info_has_what_tools_read_and_it_is_true() {
    let cluster = Cluster::start(3, SEVERAL_LOOPS);
    let node = &cluster.nodes[0];
    let mut clients: Vec<Connection> = (0..5).map(|_| node.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.call("SET k 1234567890"), Response::ok());
        assert_eq!(client.call("GET k"), Response::bulk("1234567890"));
        assert_eq!(
            client.call("MGET k none"),
            Response::Array(vec![Response::bulk("1234567890"), Response::Bulk(None)])
        );
        client.call("GET").error();
        client.call("FLY").error();
    }
    let all = info(&mut clients[0], "");
    for field in READ_BY_TOOLS {
        assert!(all.get(field).is_some_and(|value| !value.is_empty()), "{field} is missing in {all:?}");
    }
    let number =
        |field: &str| all[field].parse::<u64>().unwrap_or_else(|_| panic!("{field}: {}", all[field]));
    assert_eq!(number("process_id"), u64::from(node.pid()));
    assert_eq!(format!("127.0.0.1:{}", all["tcp_port"]), node.address());
    assert_eq!(number("arch_bits"), u64::from(usize::BITS));
    assert!(number("used_memory_rss") > 1 << 20 && number("used_memory_rss") <= number("used_memory_peak"));
    // Others may have looked whether the node is ready.
    assert!(number("connected_clients") >= 5 && number("total_connections_received") >= 5);
    assert_eq!((number("keyspace_hits"), number("keyspace_misses")), (10, 5));
    assert_eq!(number("total_error_replies"), 10);
    assert!(number("total_commands_processed") >= 15);
    assert!(number("total_net_input_bytes") > 5 * 50 && number("total_net_output_bytes") > 5 * 40);
    assert!(!all.contains_key("cmdstat_get"));
    let counted = info(&mut clients[0], "commandstats errorstats");
    for (command, rejected) in [("get", 5), ("mget", 0)] {
        let counts = &counted[&format!("cmdstat_{command}")];
        assert!(counts.starts_with("calls=5,usec=") && counts.contains(",usec_per_call="), "{counts}");
        assert!(counts.ends_with(&format!(",rejected_calls={rejected}")), "{counts}");
    }
    assert_eq!(counted["errorstat_ERR"], "count=10");
    assert!(!counted.contains_key("redis_version"));
    eventually("the rate of the last second is told", || {
        (0..200).for_each(|_| assert_eq!(clients[1].call("PING"), Response::Status("PONG".to_owned())));
        info(&mut clients[0], "stats")["instantaneous_ops_per_sec"].parse::<u64>().unwrap() > 10
    });
}

#[test]
fn clients_of_all_event_loops_are_listed_and_can_be_closed() {
    let cluster = Cluster::start(1, SEVERAL_LOOPS);
    let mut clients: Vec<Connection> = (0..6).map(|_| cluster.nodes[0].connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.call(&format!("CLIENT SETNAME c{number}")), Response::ok());
    }
    let list = |client: &mut Connection| {
        let Response::Bulk(Some(text)) = client.call("CLIENT LIST") else { panic!("no list") };
        String::from_utf8(text).unwrap()
    };
    let lines = list(&mut clients[0]);
    for number in 0..6 {
        let command = if number == 0 { "client|list" } else { "client|setname" };
        let mut named = lines.lines().filter(|line| line.contains(&format!(" name=c{number} ")));
        assert!(named.next().is_some_and(|line| line.contains(&format!(" cmd={command} "))), "{lines}");
        assert!(named.next().is_none(), "{lines}");
    }
    let id = |client: &mut Connection| match client.call("CLIENT ID") {
        Response::Integer(id) => id,
        other => panic!("{other:?}"),
    };
    // Whichever event loop it belongs to, and also one that waits for nothing.
    for victim in 1..5 {
        let number = id(&mut clients[victim]);
        assert_eq!(clients[0].call(&format!("CLIENT KILL ID {number}")), Response::Integer(1));
        assert_eq!(clients[victim].rest().unwrap(), b"", "it is closed");
    }
    eventually("they are gone from the list", || {
        let lines = list(&mut clients[0]);
        lines.contains(" name=c5 ") && (1..5).all(|victim| !lines.contains(&format!(" name=c{victim} ")))
    });
    // Its own connection is closed after the reply.
    clients[0].send(b"CLIENT KILL TYPE normal SKIPME no\r\nPING\r\n").unwrap();
    assert!(matches!(clients[0].read().unwrap(), Response::Integer(2..)));
    assert_eq!(clients[0].rest().unwrap(), b"");
    assert_eq!(clients[5].rest().unwrap(), b"");
}
