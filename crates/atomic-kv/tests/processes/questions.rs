//! What questions and writes cost after a restart, when nothing is in memory: no more than their answers.

use crate::support::client::Response;
use crate::support::{Cluster, http_get};

fn large_values_read(cluster: &Cluster) -> u64 {
    let (_, metrics) = http_get(&cluster.nodes[0].http_address(), "/metrics");
    let name = "atomic_kv_large_values_read_total ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.parse().unwrap()
}

#[test]
fn a_restarted_node_reads_values_for_gets_and_updates_alone() {
    for flags in [&["--timestamps", "truetime", "--clock-error", "1ms"][..], &[]] {
        let mut cluster = Cluster::start(1, flags);
        let mut client = cluster.nodes[0].connect();
        let value = "v".repeat(64 << 10);
        for number in 0..20 {
            assert_eq!(client.call(&format!("SET {number} {value}")), Response::ok());
        }
        assert!(cluster.nodes[0].terminate().success());
        cluster.start_all();
        cluster.wait_ready();
        let mut client = cluster.nodes[0].connect();
        assert_eq!(client.info("keys_estimate"), "20", "before any write");
        for number in 0..10 {
            assert_eq!(client.call(&format!("SET {number} small")), Response::ok());
        }
        assert_eq!(large_values_read(&cluster), 0, "{flags:?}");
        for (number, there) in [(10, 1), (11, 1), (10, 0), (99, 0)] {
            assert_eq!(client.call(&format!("DEL {number}")), Response::Integer(there), "{flags:?} {number}");
        }
        // An update reads what it changes: the two that a DEL has found.
        assert_eq!(large_values_read(&cluster), 2, "{flags:?}");
        assert_eq!(client.call("GET 12"), Response::bulk(&value));
        assert_eq!(large_values_read(&cluster), 3, "{flags:?}");
    }
}
