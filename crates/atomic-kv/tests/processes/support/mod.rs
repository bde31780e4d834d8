//! Clusters of real processes on loopback ports, and clients that talk to them.

pub(crate) mod change;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod load;
pub(crate) mod member;
pub(crate) mod node;
pub(crate) mod ports;
pub(crate) mod privileged;
pub(crate) mod proxy;

pub(crate) use client::Connection;
pub(crate) use cluster::Cluster;
pub(crate) use load::Background;
pub(crate) use node::Node;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a test waits for what must happen sooner or later. Far above what it takes: a machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Flags of nodes with several event loops.
pub(crate) const SEVERAL_LOOPS: &[&str] = &["--threads", "3"];

/// The program under test.
pub(crate) fn program() -> Command {
    program_at(Path::new(env!("CARGO_BIN_EXE_atomic-kv")))
}

/// The program of another build.
pub(crate) fn program_at(path: &Path) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ATOMIC_KV_"))
    {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    let mut command = program();
    command.args(arguments);
    finish(command)
}

/// Runs a command to its end; one that does not end by itself is killed and fails the test.
pub(crate) fn finish(mut command: Command) -> Output {
    let shown = format!("{command:?}");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    // What these commands print fits into a pipe, so they never wait for a reader.
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            panic!("{shown} does not end by itself:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

/// Asks for a page over HTTP; the status code and the body.
pub(crate) fn http_get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Copies a directory with all that is in it.
pub(crate) fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
