//! `atomic-kv verify` against good clusters, and against a server that lies.

use crate::support::{Cluster, run};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

#[test]
fn a_good_cluster_passes() {
    let cluster = Cluster::start(3, &[]);
    let all = cluster.address_list();
    let output = run(&["verify", "--addr", &all, "--seconds", "2", "--clients", "6", "--keys", "2"]);
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{report}\n{}", String::from_utf8_lossy(&output.stderr));
    for part in [
        "GET",
        "SET",
        "DEL",
        "p99",
        "longest time without any answer",
        "verdict: linearizable",
        "errors: none",
    ] {
        assert!(report.contains(part), "{part} is not in:\n{report}");
    }
    assert_eq!(cluster.nodes[0].info("keys_estimate"), "0", "the keys are deleted at the end");
}

/// A server that gives the same answer to every command of a kind.
fn server(get: &'static str, set: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            std::thread::spawn(move || {
                let mut writer = stream.try_clone().unwrap();
                for line in BufReader::new(stream).lines() {
                    let answer = match line.as_deref() {
                        Ok("GET") => get,
                        Ok("SET" | "DEL") => set,
                        Ok(_) => continue,
                        Err(_) => return,
                    };
                    if writer.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn a_server_that_forgets_is_convicted() {
    // It answers OK to every write, and no read ever finds anything.
    let address = server("$-1\r\n", "+OK\r\n");
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("picture.html");
    let mut arguments = vec!["verify", "--addr", &address, "--seconds", "1", "--clients", "2", "--keys", "1"];
    arguments.extend(["--html", page.to_str().unwrap()]);
    let output = run(&arguments);
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(std::fs::read_to_string(page).unwrap().starts_with("<!doctype html>"));
    assert!(report.contains("not linearizable") && report.contains("write"), "{report}");
}

#[test]
fn a_server_that_refuses_everything_shows_nothing() {
    let address = server("-NOQUORUM alone\r\n", "-NOQUORUM alone\r\n");
    let output = run(&["verify", "--addr", &address, "--seconds", "1", "--clients", "2", "--keys", "1"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("NOQUORUM"));
}
