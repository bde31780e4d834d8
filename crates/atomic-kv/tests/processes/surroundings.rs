//! What a program finds around it: variables, signals, its standard output, the clock.

use crate::support::client::Response;
use crate::support::ports::Port;
use crate::support::privileged::skipped;
use crate::support::{Cluster, Node, finish, program};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_variable_that_is_empty_counts_as_not_set() {
    let mut cluster = Cluster::new(1, &[]);
    let node = &mut cluster.nodes[0];
    let empty = ["TIMESTAMPS", "THREADS", "PEER_LISTEN", "CONFIG", "LOG", "MAX_VALUE_BYTES"];
    let empty: Vec<String> = empty.iter().map(|name| format!("ATOMIC_KV_{name}")).collect();
    let empty: Vec<(&str, &str)> = empty.iter().map(|name| (name.as_str(), "")).collect();
    node.start_with(Stdio::null(), &empty);
    node.wait_ready();
    assert_eq!(node.info("timestamps"), "logical");
    let mut command = program();
    let directory = cluster.directory().join("nobody");
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(directory)
        .env("ATOMIC_KV_NODE_ID", "");
    let told = stderr(&finish(command));
    assert!(
        told.contains("--node-id is missing") && told.contains("ATOMIC_KV_NODE_ID is set, but empty"),
        "{told}"
    );
}

#[test]
fn what_is_wrong_with_a_variable_is_said_of_it() {
    let all = [
        ("NODE_ID", "1"),
        ("CLUSTER", "1=127.0.0.1:1"),
        ("LISTEN", "127.0.0.1:1"),
        ("DATA_DIR", "/does/not/exist"),
    ];
    for (name, value, flag) in [
        ("NODE_ID", "x", "--node-id"),
        ("NODE_ID", "2", "--node-id"),
        ("CLUSTER", "1=a", "--cluster"),
        ("LISTEN", "nowhere", "--listen"),
        ("TIMESTAMPS", "guess", "--timestamps"),
        ("THREADS", "0", "--threads"),
        ("OP_TIMEOUT", "5", "--op-timeout"),
        ("LOG", "a=b=c", "--"),
    ] {
        let mut command = program();
        command.arg("serve");
        for (name, value) in all.into_iter().chain([(name, value)]) {
            command.env(format!("ATOMIC_KV_{name}"), value);
        }
        let output = finish(command);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(&format!("ATOMIC_KV_{name}")), "{told}");
        assert!(!told.replace("--help", "").contains(flag), "{told}");
    }
    // The flag wins over the variable, and so does its name.
    let mut command = program();
    command.args(["serve", "--node-id", "x"]).env("ATOMIC_KV_NODE_ID", "y");
    let told = stderr(&finish(command));
    assert!(told.contains("'x' for '--node-id") && !told.contains("ATOMIC_KV_NODE_ID"), "{told}");
}

#[test]
fn signals_that_mean_nothing_to_a_node_are_told_and_do_nothing() {
    let mut cluster = Cluster::start(1, &[]);
    for (signal, name) in [(Signal::HUP, "SIGHUP"), (Signal::USR1, "SIGUSR1"), (Signal::USR2, "SIGUSR2")] {
        cluster.nodes[0].signal(signal);
        cluster.nodes[0].wait_for_log(&["a signal that does nothing", name]);
    }
    assert_eq!(cluster.nodes[0].connect().call("SET k v"), Response::ok());
    assert_eq!(cluster.nodes[0].terminate().code(), Some(0));
}

#[test]
fn a_node_that_is_told_to_stop_while_it_starts_says_so() {
    let mut cluster = Cluster::new(1, &[]);
    let node = &mut cluster.nodes[0];
    // With a clock an hour ahead, then without any, then with one that has to pass the hour first.
    let truetime = ["--timestamps", "truetime", "--clock-error", "1ms"].map(str::to_owned);
    let ahead = ["--clock-offset", "3600000000000"].map(str::to_owned);
    node.flags = [&truetime[..], &ahead[..]].concat();
    node.start();
    node.wait_ready();
    assert_eq!(node.connect().call("SET k v"), Response::ok());
    assert_eq!(node.terminate().code(), Some(0));
    node.flags = ["--timestamps", "logical"].map(str::to_owned).to_vec();
    node.start();
    node.wait_ready();
    assert_eq!(node.terminate().code(), Some(0));
    node.flags = truetime.to_vec();
    node.start();
    node.wait_for_log(&["waiting until it has passed all that is stored"]);
    assert_eq!(node.terminate().code(), Some(0));
    let log = node.log();
    assert!(log.lines().last().unwrap().contains("stopped during the start"), "{log}");
}

/// Whoever closes the terminal in which he tries things out leaves nothing behind.
#[test]
fn a_cluster_for_trying_out_stops_when_its_terminal_is_closed() {
    let run = || {
        let mut command = program();
        command.args(["dev", "--nodes", "1", "--port", &Port::free().number().to_string()]);
        let (reader, writer) = std::io::pipe().unwrap();
        let mut child = command.stdout(writer).stderr(Stdio::null()).spawn().unwrap();
        drop(command);
        let told = BufReader::new(reader).lines().next();
        if told.is_some() {
            let process = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
            kill_process(process, Signal::HUP).unwrap();
        }
        (told, child.wait().unwrap())
    };
    // Another test may have one of its ports.
    let ended = std::iter::repeat_with(run).find(|(told, _)| told.is_some());
    assert_eq!(ended.unwrap().1.code(), Some(0));
}

/// Every tool with something to print, and what it needs for that.
fn tools(cluster: &Cluster) -> Vec<Command> {
    let (addr, node) = (cluster.address_list(), cluster.nodes[0].address());
    let history = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lincheck/tests");
    let history = recorded(&history).unwrap();
    let all: [&[&str]; 9] = [
        &["--help"],
        &["serve", "--help"],
        &["set", "k", "v", "--addr", &addr],
        &["get", "k", "--addr", &addr],
        &["del", "k", "--addr", &addr],
        &["status", "--addr", &addr],
        &["bench", "--addr", &addr, "--seconds", "1", "--clients", "1", "--keys", "10"],
        &["verify", "--addr", &node, "--seconds", "1", "--clients", "1"],
        &["check", history.to_str().unwrap()],
    ];
    let command = |arguments: &[&str]| {
        let mut command = program();
        command.args(arguments);
        command
    };
    all.into_iter().map(command).collect()
}

/// A history that is linearizable, in whatever folder.
fn recorded(folder: &Path) -> Option<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).ok()?.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries.into_iter().find_map(|path| match path.extension().and_then(|ending| ending.to_str()) {
        Some("jsonl" | "edn" | "json") => Some(path),
        _ if path.is_dir() => recorded(&path),
        _ => None,
    })
}

#[test]
fn a_tool_whose_output_nobody_reads_ends_quietly() {
    let cluster = Cluster::start(1, &[]);
    for mut command in tools(&cluster) {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let shown = format!("{command:?}");
        let output = command.stdout(writer).output().unwrap();
        let told = stderr(&output);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{shown}: {:?} {told}", output.status);
        assert!(!told.contains("panicked") && !told.contains("pipe"), "{shown}: {told}");
    }
}

#[test]
fn a_tool_whose_output_has_no_room_says_so() {
    if File::options().write(true).open("/dev/full").is_err() {
        return skipped("output without room", "there is no /dev/full");
    }
    let cluster = Cluster::start(1, &[]);
    for mut command in tools(&cluster) {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let shown = format!("{command:?}");
        let output = command.stdout(full).output().unwrap();
        let told = stderr(&output);
        // 1 is a verdict of these two.
        let expected = if shown.contains("\"verify\"") || shown.contains("\"check\"") { 2 } else { 1 };
        assert_eq!(output.status.code(), Some(expected), "{shown}: {told}");
        assert!(told.contains("standard output") && !told.contains("panicked"), "{shown}: {told}");
    }
}

/// Takes this from the wall clock of a program, as far as that asks the C library.
const SHIM: &str = "#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *time) {
    int (*real)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, \"clock_gettime\");
    int result = real(id, time);
    if (id == CLOCK_REALTIME) time->tv_sec -= 4000000000L;
    return result;
}
";

fn shim(folder: &Path) -> Option<String> {
    let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
    std::fs::write(&source, SHIM).unwrap();
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).arg("-ldl").output();
    compiled.is_ok_and(|output| output.status.success()).then(|| library.to_str().unwrap().to_owned())
}

/// Of 1,000 bytes each.
const FILLERS: usize = 6000;

/// Needs no clock at all: it starts, starts again, and overwrites what was written when the clock was right.
#[test]
fn a_clock_before_1970_does_not_concern_logical_mode() {
    let mut cluster = Cluster::new(1, &[]);
    let Some(shim) = shim(cluster.directory()).filter(|_| cfg!(target_os = "linux")) else {
        return skipped("clock before 1970", "there is no C compiler, or not this system");
    };
    let truetime = ["--timestamps", "truetime", "--clock-error", "1ms"].map(str::to_owned);
    cluster.nodes[0].flags = truetime.to_vec();
    cluster.nodes[0].start();
    cluster.nodes[0].wait_ready();
    assert_eq!(cluster.nodes[0].connect().call("SET k today"), Response::ok());
    assert_eq!(cluster.nodes[0].terminate().code(), Some(0));

    let environment = [("LD_PRELOAD", shim.as_str())];
    let start = |node: &mut Node| node.start_with(Stdio::null(), &environment);
    cluster.nodes[0].flags = ["--timestamps", "logical"].map(str::to_owned).to_vec();
    for round in 0..3 {
        start(&mut cluster.nodes[0]);
        cluster.nodes[0].wait_ready();
        let mut client = cluster.nodes[0].connect();
        let before = if round == 0 { "today".to_owned() } else { format!("round-{}", round - 1) };
        assert_eq!(client.call("GET k"), Response::bulk(&before));
        assert_eq!(client.call(&format!("SET k round-{round}")), Response::ok());
        if round == 0 {
            // More than one memtable takes.
            for number in 0..FILLERS {
                client.ask(&[b"SET", format!("filler-{number}").as_bytes(), &[b'x'; 1000]]).unwrap();
            }
            for _ in 0..FILLERS {
                assert_eq!(client.read().unwrap(), Response::ok());
            }
        }
        assert_eq!(client.call(&format!("STRLEN filler-{}", FILLERS - 1)), Response::Integer(1000));
        assert_eq!(cluster.nodes[0].terminate().code(), Some(0));
    }
    // With a clock that is right it writes the tables that it owes.
    cluster.nodes[0].start();
    cluster.nodes[0].wait_ready();
    let mut client = cluster.nodes[0].connect();
    for number in (0..FILLERS).step_by(100) {
        assert_eq!(client.call(&format!("STRLEN filler-{number}")), Response::Integer(1000));
    }
    assert_eq!(cluster.nodes[0].terminate().code(), Some(0));

    // A bound on the clock's error cannot hold then.
    cluster.nodes[0].flags = truetime.to_vec();
    let mut command = cluster.nodes[0].command();
    command.envs(environment);
    let output = finish(command);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("before 1970"), "{}", stderr(&output));
}
