//! `atomic-kv verify` against good clusters, and against a server that lies.

use crate::support::{Cluster, run};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

#[test]
fn a_good_cluster_passes() {
    let cluster = Cluster::start(3, &[]);
    let all = cluster.address_list();
    for (workload, commands) in [
        ("register", &["SET", "DEL"][..]),
        ("append", &["SET", "APPEND"]),
        ("counter", &["INCR"]),
        (
            "lock",
            &[
                "SET NX",
                "DELIFEQ",
                "two holders of a lock at the same time: never",
                "fencing tokens out of order: none",
                "locks that never expire: none",
            ],
        ),
    ] {
        let arguments = ["verify", "--addr", &all, "--workload", workload, "--seconds", "2"];
        let output = run(&[&arguments[..], &["--clients", "6", "--keys", "2"]].concat());
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{report}\n{}", String::from_utf8_lossy(&output.stderr));
        let common =
            ["GET", "p99", "longest time without any answer", "verdict: linearizable", "errors: none"];
        for part in commands.iter().chain(&common) {
            assert!(report.contains(part), "{part} is not in:\n{report}");
        }
        // Later the estimate counts what was deleted and flushed.
        if workload == "register" {
            assert_eq!(cluster.nodes[0].info("keys_estimate"), "0", "the keys are deleted at the end");
        }
    }
}

/// A server that gives the same answer to every command of a kind.
fn server(answers: &'static [(&'static str, &'static str)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            std::thread::spawn(move || {
                let mut writer = stream.try_clone().unwrap();
                for line in BufReader::new(stream).lines() {
                    let Ok(line) = line else { return };
                    let Some((_, answer)) = answers.iter().find(|(command, _)| *command == line) else {
                        continue;
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

/// Runs a workload for a second with two clients on one key; the exit code, and what was printed.
fn verify(address: &str, workload: &str, more: &[&str]) -> (Option<i32>, String) {
    let arguments = ["verify", "--addr", address, "--workload", workload, "--seconds", "1", "--clients", "2"];
    let output = run(&[&arguments[..], &["--keys", "1"], more].concat());
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_server_that_forgets_is_convicted() {
    // It answers OK to every write, and no read ever finds anything.
    let address = server(&[("GET", "$-1\r\n"), ("SET", "+OK\r\n"), ("DEL", ":0\r\n")]);
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("picture.html");
    let (code, report) = verify(&address, "register", &["--html", page.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{report}");
    assert!(std::fs::read_to_string(page).unwrap().starts_with("<!doctype html>"));
    assert!(report.contains("not linearizable") && report.contains("write"), "{report}");
}

#[test]
fn a_counter_that_stands_still_is_convicted() {
    let address = server(&[("GET", "$1\r\n1\r\n"), ("INCR", ":1\r\n"), ("DEL", ":1\r\n")]);
    let (code, report) = verify(&address, "counter", &[]);
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("INCR") && report.contains("not linearizable"), "{report}");
}

#[test]
fn a_list_that_loses_what_was_appended_is_convicted() {
    let answers = &[("GET", "$4\r\n0-1;\r\n"), ("APPEND", ":4\r\n"), ("SET", "+OK\r\n"), ("DEL", ":1\r\n")];
    let (code, report) = verify(&server(answers), "append", &[]);
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("APPEND") && report.contains("not linearizable"), "{report}");
}

#[test]
fn a_lock_that_everybody_gets_is_convicted() {
    const GOT: &str = "*2\r\n+OK\r\n$2\r\n01\r\n";
    let answers = &[("GET", "$-1\r\n"), ("SET", GOT), ("DELIFEQ", ":1\r\n"), ("DEL", ":1\r\n")];
    let (code, report) = verify(&server(answers), "lock", &[]);
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("DELIFEQ") && report.contains("not linearizable"), "{report}");
    assert!(report.contains("two holders of a lock at the same time: of verify:"), "{report}");
    assert!(report.contains("fencing tokens out of order: of verify:"), "{report}");
}

#[test]
fn a_server_that_refuses_everything_shows_nothing() {
    const REFUSED: &str = "-NOQUORUM alone\r\n";
    let address = server(&[("GET", REFUSED), ("SET", REFUSED), ("DEL", REFUSED)]);
    let (code, report) = verify(&address, "register", &[]);
    assert_eq!(code, Some(3), "{report}");
    assert!(report.contains("NOQUORUM"), "{report}");
}
