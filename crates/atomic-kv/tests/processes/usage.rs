//! What is wrong with a command line or its surroundings is said in one line, with exit code 2.

use crate::support::ports::Port;
use crate::support::{Cluster, finish, privileged, program, run};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

#[track_caller]
fn is_told(output: &Output, parts: &[&str]) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.starts_with("atomic-kv: "), "{told}");
    for part in parts {
        assert!(told.contains(part), "{part} is not in: {told}");
    }
}

/// A command line of `serve` that would work.
fn good(data: &Path) -> Command {
    let (peer, client) = (Port::free().address(), Port::free().address());
    let mut command = program();
    command.args(["serve", "--node-id", "1", "--cluster", &format!("1={peer}")]);
    command.args(["--listen", &client]).arg("--data-dir").arg(data);
    command
}

#[test]
fn wrong_and_missing_flags() {
    for (arguments, parts) in [
        (&["serve"][..], &["--listen is missing"][..]),
        (&["serve", "--listen", "127.0.0.1:0"], &["--data-dir is missing"]),
        (&["serve", "--node-id", "x"], &["invalid value 'x'", "--node-id"]),
        (&["serve", "--nod-id", "1"], &["unexpected argument '--nod-id'", "'--node-id'"]),
        (&["serve", "--node-id", "4", "--cluster", "1=a:1"], &["--node-id 4 is not in --cluster"]),
        (&["serve", "--node-id", "1", "--cluster", "1=a"], &["\"a\" is not HOST:PORT"]),
        (&["serve", "--config", "/does/not/exist"], &["cannot read the configuration file"]),
        (&["dev", "--nodes", "8"], &["between 1 and 7"]),
        (&["dev", "--port", "65535"], &["leaves no room"]),
        (&["get"], &["required", "<KEY>"]),
        (&["put", "k", "v"], &["unrecognized subcommand 'put'"]),
        (&["verify", "--clients", "0"], &["--clients 0"]),
        (&["verify", "--addr", "127.0.0.1:1"], &["no node is in reach", "--addr"]),
        (&["bench", "--addr", "127.0.0.1:1"], &["no node is in reach", "--addr"]),
    ] {
        is_told(&run(arguments), parts);
    }
    for arguments in [&["--help"][..], &["--version"], &["serve", "--help"], &["verify", "--help"]] {
        let output = run(arguments);
        assert!(output.status.success() && output.stderr.is_empty() && !output.stdout.is_empty());
    }
}

#[test]
fn a_port_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = good(&directory.path().join("data"));
    command.args(["--http-listen", &address]);
    is_told(&finish(command), &["cannot listen on", &address, "--http-listen", "another port"]);
    let mut command = good(&directory.path().join("data"));
    command.args(["--peer-listen", &address]);
    is_told(&finish(command), &["cannot listen on", &address, "--peer-listen", "another port"]);
}

#[test]
fn a_data_directory_that_cannot_be_used() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("data"), "a file").unwrap();
    is_told(&finish(good(&directory.path().join("data"))), &["cannot use the data directory", "--data-dir"]);

    // Without permission. Root has every permission, so root lets somebody else try.
    let closed = tempfile::tempdir().unwrap();
    let mut command = good(&closed.path().join("data"));
    std::fs::create_dir(closed.path().join("data")).unwrap();
    if privileged::is_root() {
        std::fs::set_permissions(closed.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::set_permissions(closed.path().join("data"), PermissionsExt::from_mode(0o700)).unwrap();
        let copy = closed.path().join("program");
        std::fs::copy(program().get_program(), &copy).unwrap();
        let mut other = Command::new(copy);
        other.args(command.get_args()).uid(65_534).current_dir("/");
        command = other;
    } else {
        std::fs::set_permissions(closed.path().join("data"), PermissionsExt::from_mode(0o000)).unwrap();
    }
    is_told(&finish(command), &["data directory", "ermission denied"]);
}

#[test]
fn a_data_directory_of_somebody_else() {
    let mut cluster = Cluster::start(3, &[]);
    let data = cluster.nodes[0].data.clone();
    is_told(&finish(good(&data)), &["in use by another process", "--data-dir"]);
    cluster.kill_all();
    cluster.nodes[1].data.clone_from(&data);
    is_told(&finish(cluster.nodes[1].command()), &["belongs to node 1, not to node 2", "--node-id"]);
}

#[test]
fn truetime_without_a_clock_bound() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = good(&directory.path().join("data"));
    // An interval of no width is narrower than any that the kernel vouches for.
    command.args(["--timestamps", "truetime", "--max-clock-width", "1ns"]);
    let output = finish(command);
    is_told(&output, &["--timestamps truetime is not possible", "clock"]);
    // What to do depends on what this machine's kernel knows.
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("--clock-error") || told.contains("--max-clock-width"), "{told}");
}

#[test]
fn settings_come_from_flags_the_environment_and_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let (peer, client) = (Port::free(), Port::free());
    let file = directory.path().join("node.toml");
    let text = format!(
        "node-id = 9\ncluster = \"1={}\"\ndata-dir = \"{}\"\nmax-value-bytes = 10\nop-timeout = \"3s\"\n",
        peer.address(),
        directory.path().join("data").display()
    );
    std::fs::write(&file, text).unwrap();
    let mut command = program();
    command.arg("serve").arg("--config").arg(&file);
    command.env("ATOMIC_KV_NODE_ID", "1").env("ATOMIC_KV_LISTEN", client.address());
    let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut told = String::new();
    crate::support::eventually("the node answers", || {
        let connection = crate::support::Connection::open(&client.address());
        told =
            connection.map_or_else(|_| String::new(), |mut client| client.call("SET k 01234567890").error());
        !told.is_empty()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(told.contains("limit is 10"), "{told}");
}
