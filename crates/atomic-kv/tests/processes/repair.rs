//! Rule R2: a node that was away gets everything, without anybody reading it.

use crate::support::{Cluster, Node, eventually, http_get};
use abd::NodeId;
use atomic_kv::identity::Found;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use store::{DiskDatabase, DiskOptions, MultiVersionStore};

/// A metric of a node about its third peer.
fn of_third(node: &Node, metric: &str) -> u64 {
    let metrics = http_get(&node.http_address(), "/metrics").1;
    let name = format!("atomic_kv_repair_{metric}{{peer=\"3\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

fn key(number: usize) -> String {
    format!("key-{number:05}")
}

/// Writes keys through a node, many at a time.
fn write(node: &Node, keys: std::ops::Range<usize>, bytes: usize) {
    let mut client = node.connect();
    let value = "v".repeat(bytes);
    let keys: Vec<usize> = keys.collect();
    for some in keys.chunks(100) {
        let sets = some
            .iter()
            .map(|number| format!("*3\r\n$3\r\nSET\r\n$9\r\n{}\r\n${bytes}\r\n{value}\r\n", key(*number)));
        client.send(sets.collect::<String>().as_bytes()).unwrap();
        client.expect(&"+OK\r\n".repeat(some.len()));
    }
}

/// Clients that write large values to one key, until this is dropped.
struct HotKey {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl HotKey {
    fn start(nodes: &[Node], clients: usize) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let value = "h".repeat(64 << 10);
        let set = format!("*3\r\n$3\r\nSET\r\n$3\r\nhot\r\n${}\r\n{value}\r\n", value.len());
        let clients = (0..clients).map(|number| {
            let (stop, set, mut client) = (stop.clone(), set.clone(), nodes[number % nodes.len()].connect());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    client.send(set.as_bytes()).unwrap();
                    client.expect("+OK\r\n");
                }
            })
        });
        Self { clients: clients.collect(), stop }
    }

    fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.drain(..).for_each(|client| client.join().unwrap());
    }
}

/// Waits until the first two nodes know of nothing that the third lacks, and have compared what they had to.
fn wait_until_the_third_has_everything(cluster: &Cluster) {
    for node in &cluster.nodes[..2] {
        eventually(&format!("node {} has nothing left for node 3", node.id), || {
            ["keys", "comparing", "behind_seconds"].iter().all(|metric| of_third(node, metric) == 0)
        });
        assert!(node.info("repair").contains("3=has everything"), "{}", node.info("repair"));
    }
}

/// What is on the disk of the third node, with all processes gone: no question could bring anything there.
fn keys_of_the_third(cluster: &mut Cluster) -> BTreeSet<String> {
    cluster.kill_all();
    let found = Found::open(&cluster.nodes[2].data).ok().unwrap();
    let configuration = found.identity().unwrap().configuration().unwrap().clone();
    let directory = found.start(NodeId(3), configuration, false).ok().unwrap();
    let options = DiskOptions { watermark: Some(directory.watermark()), ..DiskOptions::default() };
    let store =
        MultiVersionStore::new(DiskDatabase::open(directory.database_path(), options).unwrap(), 1 << 20)
            .unwrap();
    let walked = store.walk(None, None, usize::MAX, usize::MAX).unwrap();
    walked.entries.iter().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect()
}

fn assert_the_third_has(cluster: &mut Cluster, keys: usize) {
    let held = keys_of_the_third(cluster);
    let lacking: Vec<String> = (0..keys).map(key).filter(|key| !held.contains(key)).collect();
    assert!(lacking.is_empty(), "it lacks {} keys, {} among them", lacking.len(), lacking[0]);
}

#[test]
fn r2_a_node_that_was_away_gets_all_keys_also_while_others_write_large_values() {
    let mut cluster = Cluster::start(3, &[]);
    cluster.nodes[2].kill();
    write(&cluster.nodes[0], 0..2000, 1000);
    write(&cluster.nodes[1], 2000..4000, 1000);
    eventually("node 1 remembers what it could not send", || of_third(&cluster.nodes[0], "keys") >= 2000);
    let hot = HotKey::start(&cluster.nodes[..2], 16);
    cluster.nodes[2].start();
    cluster.nodes[2].wait_ready();
    // The links of the others to it are full of large values for a while.
    std::thread::sleep(std::time::Duration::from_secs(2));
    hot.stop();
    wait_until_the_third_has_everything(&cluster);
    assert_the_third_has(&mut cluster, 4000);
}

/// It is the same process all the time, so nobody compares anything: the lists alone must suffice.
#[test]
fn r2_what_was_under_way_to_a_node_that_stood_still_reaches_it() {
    let mut cluster = Cluster::start(3, &[]);
    for node in &cluster.nodes[..2] {
        eventually("the comparison after the start has ended", || of_third(node, "comparing") == 0);
    }
    cluster.nodes[2].pause();
    // More than the connections and the backlogs hold; the rest is dropped, or lost with the connections.
    write(&cluster.nodes[0], 0..2000, 30_000);
    cluster.nodes[0].wait_for_log(&["lost a peer", "peer=3"]);
    write(&cluster.nodes[0], 2000..2100, 100);
    cluster.nodes[2].resume();
    eventually("node 3 is back", || cluster.nodes[0].info("peers").contains("3=up"));
    wait_until_the_third_has_everything(&cluster);
    assert_the_third_has(&mut cluster, 2100);
}

#[test]
fn r2_a_node_that_has_missed_more_than_the_list_holds_is_compared_with() {
    let mut cluster = Cluster::new(3, &[]);
    for node in &mut cluster.nodes {
        node.environment.push(("ATOMIC_KV_TEST_REPAIR_LIST_BYTES", "20000".to_owned()));
    }
    cluster.start_all();
    for node in &cluster.nodes[..2] {
        eventually("the comparison after the start has ended", || of_third(node, "comparing") == 0);
    }
    cluster.nodes[2].kill();
    write(&cluster.nodes[0], 0..3000, 100);
    eventually("the list has overflowed", || of_third(&cluster.nodes[0], "comparing") == 1);
    assert!(of_third(&cluster.nodes[0], "keys") < 200);
    let told = cluster.nodes[0].info("repair");
    assert!(
        told.contains("3=") && told.contains("comparing ranges 0%") && told.contains("behind for"),
        "{told}"
    );
    cluster.nodes[2].start();
    cluster.nodes[2].wait_ready();
    wait_until_the_third_has_everything(&cluster);
    assert_the_third_has(&mut cluster, 3000);
}

/// Its list is gone with it.
#[test]
fn r2_what_a_killed_node_had_to_send_is_found_by_comparing() {
    let mut cluster = Cluster::start(3, &[]);
    cluster.nodes[2].kill();
    write(&cluster.nodes[0], 0..2000, 100);
    cluster.nodes[0].kill();
    cluster.nodes[0].start();
    cluster.nodes[2].start();
    cluster.wait_ready();
    wait_until_the_third_has_everything(&cluster);
    assert_the_third_has(&mut cluster, 2000);
}
