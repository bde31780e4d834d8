//! Each script of `scripts.lua` answers what it answers in the Redis of the distribution, byte by byte.

mod common;

use common::{Bench, encoded, with_stack};
use node::resp::Protocol;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that ends with the test.
struct Redis(Child, u16);

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Redis {
    #[expect(clippy::disallowed_methods, reason = "a test may wait")]
    fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0")
            .expect("a port is free")
            .local_addr()
            .expect("it has a number")
            .port();
        let arguments = ["--port", &port.to_string(), "--save", "", "--enable-debug-command", "yes"];
        let child = Command::new("redis-server").args(arguments).stdout(Stdio::null()).spawn().ok()?;
        let server = Self(child, port);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "redis-server does not begin");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(server)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.1)).expect("redis-server answers");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
        stream
    }
}

fn request(arguments: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend(format!("${}\r\n", argument.len()).bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The bytes that the server answers to a request.
fn ask(stream: &mut TcpStream, arguments: &[&[u8]]) -> Vec<u8> {
    const END: &[u8] = b"$11\r\nend of this\r\n";
    let mut bytes = request(arguments);
    bytes.extend(request(&[b"ECHO", b"end of this"]));
    stream.write_all(&bytes).expect("redis-server reads");
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while !answer.ends_with(END) {
        let read = stream.read(&mut buffer).expect("redis-server answers");
        assert!(read > 0, "redis-server has ended: {}", arguments[1].escape_ascii());
        answer.extend_from_slice(&buffer[..read]);
    }
    answer.truncate(answer.len() - END.len());
    answer
}

/// Runs each script on both.
fn compare(protocol: Protocol) {
    let Some(redis) = Redis::start() else {
        eprintln!("SKIPPED: there is no redis-server to compare with");
        return;
    };
    let mut stream = redis.connect();
    if protocol == Protocol::Resp3 {
        ask(&mut stream, &[b"HELLO", b"3"]);
    }
    let mut bench = Bench::new();
    let mut differences = Vec::new();
    let scripts: Vec<&str> = include_str!("scripts.lua").split("\n--\n").collect();
    assert!(scripts.len() > 600, "the file has its scripts");
    for source in scripts {
        let source = source.strip_suffix('\n').unwrap_or(source);
        let theirs =
            ask(&mut stream, &[b"EVAL", source.as_bytes(), b"2", b"{k}1", b"{k}2", b"a1", b"22", b""]);
        let time = Duration::from_secs(20);
        let response = bench.run_for(source.as_bytes(), &["{k}1", "{k}2"], &["a1", "22", ""], time);
        let ours = encoded(&response, protocol);
        if theirs != ours {
            differences.push(format!(
                "{source}\n   Redis: {}\n   here:  {}",
                theirs.escape_ascii(),
                ours.escape_ascii()
            ));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn scripts_answer_what_they_answer_in_redis() {
    with_stack(|| compare(Protocol::Resp2));
}

#[test]
fn scripts_answer_clients_of_resp3_what_they_answer_in_redis() {
    with_stack(|| compare(Protocol::Resp3));
}
