//! The tools as a new user meets them: they leave a cluster as they found it, save what they saw, take any bytes, and bear a
//! standard output that is closed or full.

use crate::support::client::Response;
use crate::support::{Cluster, Node, eventually, program, run};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output, Stdio};

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// How many keys there are, once a node has counted what was written last.
#[track_caller]
fn has_keys(node: &Node, expected: u64) {
    let mut keys = 0;
    eventually(&format!("there are {expected} keys"), || {
        keys = node.info("keys_estimate").parse().unwrap();
        keys == expected
    });
}

const QUICK: [&str; 6] = ["--seconds", "1", "--clients", "8", "--keys", "700"];

#[test]
fn bench_deletes_what_it_has_written() {
    let cluster = Cluster::start(3, &[]);
    let all = cluster.address_list();
    assert_eq!(cluster.nodes[0].connect().call("SET key:0000000000 mine"), Response::ok());
    let bench = |flags: &[&str]| {
        let output = run(&[&["bench", "--addr", &all], &QUICK[..], flags].concat());
        assert!(output.status.success(), "{output:?}");
    };
    bench(&["--keep"]);
    has_keys(&cluster.nodes[0], 701);
    bench(&[]);
    has_keys(&cluster.nodes[0], 1);
    bench(&["--hot"]);
    has_keys(&cluster.nodes[0], 1);
    assert_eq!(cluster.nodes[0].connect().call("GET key:0000000000"), Response::bulk("mine"));
}

/// How many of a workload's keys are there; the letter tells those of one workload from others.
#[track_caller]
fn keys_of_bench(node: &Node, letter: char) -> Response {
    let keys: Vec<String> = (0..700).map(|key| format!("bench:{letter}{key:09}")).collect();
    node.connect().call(&format!("EXISTS {}", keys.join(" ")))
}

#[test]
fn bench_deletes_what_it_has_updated() {
    let cluster = Cluster::start(3, &[]);
    let (all, node) = (cluster.address_list(), &cluster.nodes[0]);
    for (workload, letter) in [("incr", 'i'), ("setnx", '0'), ("append", 'a'), ("lock", 'l')] {
        let bench = |flags: &[&str]| {
            let output =
                run(&[&["bench", "--addr", &all, "--workload", workload], &QUICK[..], flags].concat());
            assert!(output.status.success(), "{output:?}");
        };
        // Locks come and go while it is measured.
        if workload != "lock" {
            bench(&["--keep"]);
            assert_eq!(keys_of_bench(node, letter), Response::Integer(700), "{workload}");
        }
        bench(&[]);
        assert_eq!(keys_of_bench(node, letter), Response::Integer(0), "{workload}");
        bench(&["--hot"]);
        assert_eq!(keys_of_bench(node, letter), Response::Integer(0), "{workload}");
    }
}

#[test]
fn what_is_interrupted_deletes_its_keys_too() {
    let cluster = Cluster::start(3, &[]);
    let all = cluster.address_list();
    for arguments in [&["bench", "--seconds", "3600", "--keys", "300"][..], &["verify", "--seconds", "3600"]]
    {
        for signal in [Signal::INT, Signal::TERM] {
            let mut command = program();
            command.args(arguments).args(["--addr", &all]);
            let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            eventually("it writes", || cluster.nodes[0].info("keys_estimate") != "0");
            kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
            let output = child.wait_with_output().unwrap();
            let expected = if arguments[0] == "bench" { 130 } else { 0 };
            assert_eq!(output.status.code(), Some(expected), "{output:?}");
            has_keys(&cluster.nodes[0], 0);
        }
    }
}

#[test]
fn verify_saves_what_check_judges() {
    let cluster = Cluster::start(3, &[]);
    let file = cluster.directory().join("history.jsonl");
    let (all, history) = (cluster.address_list(), file.to_str().unwrap());
    let output = run(&["verify", "--addr", &all, "--seconds", "1", "--clients", "4", "--save", history]);
    assert!(output.status.success(), "{output:?}");
    has_keys(&cluster.nodes[0], 0);
    let output = run(&["check", history]);
    assert!(output.status.success() && stdout(&output).contains("linearizable ("), "{output:?}");
    // It is what was seen, and not something that always passes.
    let seen = std::fs::read_to_string(&file).unwrap();
    let line = seen.lines().find(|line| line.contains("\"op\":\"read\",\"value\":\"")).unwrap();
    let (before, after) = line.split_once("\"value\":\"").unwrap();
    let wrong = format!("{before}\"value\":\"never-{after}");
    std::fs::write(&file, seen.replace(line, &wrong)).unwrap();
    assert_eq!(run(&["check", history]).status.code(), Some(1));
    let nowhere = cluster.directory().join("no/such/folder");
    for flag in ["--save", "--html"] {
        let output = run(&["verify", "--addr", &all, "--seconds", "1", flag, nowhere.to_str().unwrap()]);
        // Before anything is done that would be lost.
        assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{output:?}");
    }
}

#[test]
fn updates_are_saved_and_drawn() {
    let cluster = Cluster::start(3, &[]);
    let all = cluster.address_list();
    let place = |name: &str| cluster.directory().join(name).to_str().unwrap().to_owned();
    let (history, page) = (place("history.jsonl"), place("page.html"));
    for (workload, said) in
        [("append", "\"op\":\"append\""), ("counter", "\"add\":1"), ("lock", "\"set\":null")]
    {
        let verify = ["verify", "--addr", &all, "--workload", workload, "--seconds", "1", "--clients", "4"];
        let output = run(&[&verify[..], &["--save", &history]].concat());
        assert!(output.status.success(), "{output:?}");
        assert!(std::fs::read_to_string(&history).unwrap().contains(said), "{workload}");
        let output = run(&["check", &history, "--html", &page]);
        assert!(output.status.success() && stdout(&output).contains("register-with-updates"), "{output:?}");
        assert!(
            std::fs::read_to_string(&page).unwrap().contains("\"verdict\":\"linearizable\""),
            "{workload}"
        );
    }
}

#[test]
fn keys_and_values_are_any_bytes() {
    let cluster = Cluster::start(1, &[]);
    let all = cluster.address_list();
    let command = |arguments: &[&OsStr], input: Vec<u8>| {
        let mut command = program();
        command.args(arguments).arg("--addr").arg(&all);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writing = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        let _ = writing.join().unwrap();
        output
    };
    let key = OsString::from(OsStr::from_bytes(b"\xff\xfe key"));
    let small = OsString::from(OsStr::from_bytes(b"\xff value"));
    let (get, set, del, raw) = (OsStr::new("get"), OsStr::new("set"), OsStr::new("del"), OsStr::new("--raw"));
    let output = command(&[set, &key, &small], Vec::new());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(command(&[get, &key], Vec::new()).stdout, b"\xff value\n");
    // Larger than any command line, and no text.
    let large: Vec<u8> =
        (0..3_000_000_u32).map(|at| at.to_le_bytes()[usize::try_from(at % 3).unwrap()]).collect();
    let output = command(&[set, &key, OsStr::new("-")], large.clone());
    assert!(output.status.success() && stdout(&output) == "OK\n", "{output:?}");
    assert!(command(&[get, &key, raw], Vec::new()).stdout == large);
    assert_eq!(command(&[set, &key, OsStr::new("-")], Vec::new()).status.code(), Some(0));
    assert_eq!(command(&[get, raw, &key], Vec::new()).stdout, b"");
    assert_eq!(command(&[del, &key], Vec::new()).stdout, b"1\n");
    assert_eq!(command(&[get, &key], Vec::new()).status.code(), Some(1));
}

/// Runs all tools with this standard output; the exit codes, and what they said.
fn with_output(all: &str, history: &str, stdout: &dyn Fn() -> Stdio) -> Vec<(String, Option<i32>, String)> {
    let tools: [&[&str]; 6] = [
        &["set", "k", "v", "--addr", all],
        &["get", "k", "--addr", all],
        &["status", "--addr", all],
        &["bench", "--seconds", "1", "--keys", "10", "--addr", all],
        &["verify", "--seconds", "1", "--clients", "4", "--addr", all],
        &["check", history],
    ];
    tools
        .iter()
        .map(|arguments| {
            let mut command: Command = program();
            command.args(*arguments);
            let child = command.stdout(stdout()).stderr(Stdio::piped()).spawn().unwrap();
            let output = child.wait_with_output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            (arguments[0].to_owned(), output.status.code(), told)
        })
        .collect()
}

#[test]
fn a_standard_output_that_is_closed_or_full() {
    let cluster = Cluster::start(1, &[]);
    let file = cluster.directory().join("history.jsonl");
    std::fs::write(&file, "{\"op\":\"write\",\"value\":\"v\",\"invoke\":1,\"return\":2}\n").unwrap();
    let (all, history) = (cluster.address_list(), file.to_str().unwrap());
    // Nobody reads any more: that is the reader's choice.
    let closed = || Stdio::from(std::io::pipe().unwrap().1);
    for (tool, code, told) in with_output(&all, history, &closed) {
        assert_eq!((code, told.as_str()), (Some(0), ""), "{tool}");
    }
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    for (tool, code, told) in with_output(&all, history, &full) {
        let is_verdict = tool == "verify" || tool == "check";
        assert_eq!(code, Some(if is_verdict { 2 } else { 1 }), "{tool}: {told}");
        assert!(told.starts_with("atomic-kv: cannot print to the standard output: "), "{tool}: {told}");
        assert_eq!(told.lines().count(), 1, "{tool}: {told}");
    }
    has_keys(&cluster.nodes[0], 1);
    let mut help = program();
    help.arg("--help").stdout(closed());
    assert!(finish_closed(help));
}

/// Whether it ends without a panic.
fn finish_closed(mut command: Command) -> bool {
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    output.status.code().is_some_and(|code| code < 2) && output.stderr.is_empty()
}
