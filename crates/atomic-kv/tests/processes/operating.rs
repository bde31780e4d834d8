//! What an operator uses: HTTP, signals, and the other subcommands.

use crate::support::client::Response;
use crate::support::ports::Port;
use crate::support::{Background, Cluster, Connection, SEVERAL_LOOPS, eventually, http_get, program, run};
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Output, Stdio};

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn health_and_metrics_over_http() {
    let mut cluster = Cluster::start(3, &[]);
    assert_eq!(cluster.nodes[0].connect().call("SET k v"), Response::ok());
    let address = cluster.nodes[0].http_address();
    assert_eq!(http_get(&address, "/livez").0, 200);
    assert_eq!(http_get(&address, "/readyz").0, 200);
    assert_eq!(http_get(&address, "/nowhere").0, 404);
    let (code, metrics) = http_get(&address, "/metrics");
    assert_eq!(code, 200);
    for line in [
        "atomic_kv_writes_total 1",
        "atomic_kv_ready 1",
        "atomic_kv_boot 1",
        "atomic_kv_peer_up{peer=\"2\"} 1",
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line} is not in:\n{metrics}");
    }
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        value.parse::<f64>().unwrap();
    }
    cluster.nodes[1].kill();
    eventually("one peer is down", || http_get(&address, "/metrics").1.contains("peer_up{peer=\"2\"} 0"));
    assert_eq!(http_get(&address, "/readyz").0, 200, "a majority is enough");
    cluster.nodes[2].kill();
    eventually("no majority", || http_get(&address, "/readyz").0 == 503);
    let told = http_get(&address, "/readyz").1;
    assert_eq!(told, "1 of 3 replicas answered in time, 2 are needed\n", "as the errors say");
    assert_eq!(http_get(&address, "/livez").0, 200);
}

fn a_graceful_stop_under_load(flags: &[&str]) {
    let mut cluster = Cluster::start(3, flags);
    let load = Background::start(cluster.addresses());
    for node in &mut cluster.nodes {
        Background::for_a_moment();
        assert!(node.terminate().success());
        assert!(node.log().lines().last().unwrap().contains("stopped"), "{}", node.log());
        node.start();
        node.wait_ready();
    }
    load.judge();
}

#[test]
fn a_graceful_stop_under_load_one_loop() {
    a_graceful_stop_under_load(&[]);
}

#[test]
fn a_graceful_stop_under_load_several_loops() {
    a_graceful_stop_under_load(SEVERAL_LOOPS);
}

#[test]
fn get_set_del_and_status() {
    let mut cluster = Cluster::start(3, &[]);
    let all = cluster.address_list();
    let nobody = Port::free();
    let first_is_down = format!("{},{all}", nobody.address());
    let output = run(&["set", "greeting", "hello world", "--addr", &first_is_down]);
    assert!(output.status.success() && stdout(&output) == "OK\n", "{output:?}");
    let output = run(&["get", "greeting", "--addr", &first_is_down]);
    assert!(output.status.success() && stdout(&output) == "hello world\n", "{output:?}");
    let output = run(&["del", "greeting", "--addr", &first_is_down]);
    assert!(output.status.success() && stdout(&output) == "1\n", "{output:?}");
    let output = run(&["get", "greeting", "--addr", &first_is_down]);
    assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{output:?}");

    let output = run(&["status", "--addr", &all]);
    assert!(output.status.success(), "{output:?}");
    let table = stdout(&output);
    for (node, peers) in cluster.nodes.iter().zip(["2=up,3=up", "1=up,3=up", "1=up,2=up"]) {
        let row = table.lines().find(|line| line.contains(&node.address())).unwrap();
        assert!(row.contains("yes") && row.contains(peers) && row.contains("logical"), "{table}");
    }
    cluster.nodes[2].kill();
    let output = run(&["status", "--addr", &all]);
    assert_eq!(output.status.code(), Some(1));
    let down = cluster.nodes[2].address();
    assert!(stdout(&output).lines().any(|line| line.contains(&down) && line.contains("no: ")), "{output:?}");
    // All can be reached, and one is not ready.
    let two = format!("{},{}", cluster.nodes[0].address(), cluster.nodes[1].address());
    assert_eq!(run(&["status", "--addr", &two]).status.code(), Some(0));
    let mut alone = Cluster::new(3, &["--op-timeout", "300ms"]);
    alone.nodes[0].start();
    let told = alone.nodes[0].connect().call("GET k").error();
    let why = told.strip_prefix("NOQUORUM no effect: ").unwrap();
    let output = run(&["status", "--addr", &format!("{two},{}", alone.nodes[0].address())]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(stdout(&output).contains(&format!("is not ready: {why}\n")), "{output:?}");
    assert_eq!(http_get(&alone.nodes[0].http_address(), "/readyz"), (503, format!("{why}\n")));
    // The node that is down is passed over here too.
    let output = run(&["set", "k", "v", "--addr", &format!("{down},{}", cluster.nodes[0].address())]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_whole_cluster_in_one_process() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let port = Port::free();
        // It takes three ports and, 10,000 above, three more: all of them below those that other tests reserve.
        let first = 6_000 + port.number() % 1_300 * 3;
        let mut command = program();
        command.args(["dev", "--port", &first.to_string(), "--data-dir"]).arg(directory.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let address = |node: u16| format!("127.0.0.1:{}", first + node);
        let mut ended = false;
        eventually("all three ports answer, or one was taken", || {
            ended = child.try_wait().unwrap().is_some();
            ended
                || (0..3).all(|node| {
                    Connection::open(&address(node))
                        .and_then(|mut client| client.try_info("ready"))
                        .is_ok_and(|ready| ready == "1")
                })
        });
        if ended {
            continue;
        }
        assert_eq!(Connection::open(&address(0)).unwrap().call("SET greeting hello"), Response::ok());
        assert_eq!(Connection::open(&address(2)).unwrap().call("GET greeting"), Response::bulk("hello"));
        assert_eq!(http_get(&format!("127.0.0.1:{}", first + 2_000), "/readyz"), (200, "ok\n".to_owned()));
        // A second one, whose peer port alone is taken.
        let taken = run(&["dev", "--nodes", "1", "--port", &(first + 10_000).to_string()]);
        let told = String::from_utf8_lossy(&taken.stderr).into_owned();
        assert!(taken.status.code() == Some(2) && told.contains("choose another --port"), "{told}");
        // The command lines that it prints are true.
        kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(stdout(&output).contains(&format!("redis-cli -p {first} set greeting hello")), "{output:?}");
        assert!(stdout(&output).contains("stays there"), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "nothing to warn of");
        assert!(directory.path().join("node-3").exists());
        return;
    }
    panic!("dev did not start");
}
