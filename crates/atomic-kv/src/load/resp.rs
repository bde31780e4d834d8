//! A link to a node's client port: just enough RESP to count answers, and nothing allocated for an operation.

use super::plan::{Kind, Plan, Request, Workload};
use super::recorder::Failure;
use super::report::Report;
use super::run::{Answer, Link, Progress, Target, run};
use super::shared::SharedResp;
use crate::buffers::{Buffers, ROOM_BYTES};
use bytes::{Buf, BytesMut};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::net::TcpStream;

/// Nodes that speak RESP; clients are spread over them round robin, each with a connection of its own.
#[derive(Clone, Debug)]
pub struct Resp {
    nodes: Vec<SocketAddr>,
    workload: Workload,
    /// For all clients, which take turns.
    buffers: Rc<Buffers>,
}

impl Resp {
    /// The nodes, of which there is at least one, and what is asked of them.
    pub fn new(nodes: Vec<SocketAddr>, workload: &Workload) -> Self {
        Self { nodes, workload: workload.clone(), buffers: Rc::default() }
    }
}

/// The nodes behind these addresses (`HOST:PORT`).
///
/// # Errors
/// When one of them is no address, or there is none.
pub fn look_up(addresses: &[String]) -> io::Result<Vec<SocketAddr>> {
    let mut nodes = Vec::with_capacity(addresses.len());
    for address in addresses {
        let found = address.to_socket_addrs().map_err(|why| io::Error::other(format!("{address}: {why}")))?;
        nodes.extend(found.take(1));
    }
    if nodes.is_empty() {
        return Err(io::Error::other("no address to connect to"));
    }
    Ok(nodes)
}

/// Runs a plan against nodes that speak RESP and reports: with a connection for each client, or as many as the plan
/// says.
///
/// # Errors
/// As [`run`].
pub fn run_resp(nodes: Vec<SocketAddr>, plan: Plan, progress: impl FnMut(Progress)) -> io::Result<Report> {
    match plan.connections {
        None => run(Resp::new(nodes, &plan.workload), plan, progress),
        Some(count) => run(SharedResp::new(nodes, &plan.workload, count), plan, progress),
    }
}

impl Target for Resp {
    type Link = RespLink;

    async fn connect(&self, client: usize, attempt: usize) -> io::Result<RespLink> {
        let stream = TcpStream::connect(self.nodes[(client + attempt) % self.nodes.len()]).await?;
        stream.set_nodelay(true)?;
        Ok(RespLink::new(stream, &self.workload.value(client as u64), &self.buffers))
    }
}

/// A command as bytes, whose key can be written over.
struct Template {
    bytes: Vec<u8>,
    key_at: usize,
}

impl Template {
    fn new(command: &[u8], value: Option<&[u8]>) -> Self {
        let mut bytes = format!("*{}\r\n", 2 + usize::from(value.is_some())).into_bytes();
        let mut argument = |argument: &[u8]| {
            bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            bytes.extend_from_slice(argument);
            bytes.extend_from_slice(b"\r\n");
            bytes.len()
        };
        argument(command);
        let key_at = argument(&Workload::key(0)) - 2 - Workload::KEY_BYTES;
        if let Some(value) = value {
            argument(value);
        }
        Self { bytes, key_at }
    }

    fn append(&self, key: u64, out: &mut BytesMut) {
        let at = out.len() + self.key_at;
        out.extend_from_slice(&self.bytes);
        out[at..at + Workload::KEY_BYTES].copy_from_slice(&Workload::key(key));
    }
}

/// The commands of a client: every write carries its value.
pub(super) struct Commands {
    get: Template,
    set: Template,
}

impl Commands {
    pub(super) fn new(value: &[u8]) -> Self {
        Self { get: Template::new(b"GET", None), set: Template::new(b"SET", Some(value)) }
    }

    pub(super) fn append(&self, batch: &[Request], out: &mut BytesMut) {
        for request in batch {
            match request.kind {
                Kind::Read => self.get.append(request.key, out),
                Kind::Write => self.set.append(request.key, out),
            }
        }
    }
}

/// Answers on their way in.
pub(super) struct Input {
    bytes: BytesMut,
    buffers: Rc<Buffers>,
}

impl Input {
    pub(super) fn new(buffers: Rc<Buffers>) -> Self {
        Self { bytes: BytesMut::new(), buffers }
    }

    /// Waits for more bytes, and tells the answers that are whole with them.
    pub(super) async fn receive(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        mut answered: impl FnMut(Answer),
    ) -> io::Result<()> {
        if self.buffers.read(from, &mut self.bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let needed = loop {
            match scan(&self.bytes)? {
                Scan::Whole { length, answer } => {
                    self.bytes.advance(length);
                    answered(answer);
                }
                Scan::Part { at_least } => break at_least,
            }
        };
        if self.bytes.is_empty() {
            self.buffers.take_back(&mut self.bytes);
        } else {
            self.bytes.reserve(needed - self.bytes.len() + ROOM_BYTES);
        }
        Ok(())
    }
}

/// A connection to a node.
pub struct RespLink {
    stream: TcpStream,
    commands: Commands,
    input: Input,
    buffers: Rc<Buffers>,
}

impl RespLink {
    /// Uses a connection; every write carries this value.
    fn new(stream: TcpStream, value: &[u8], buffers: &Rc<Buffers>) -> Self {
        let (input, buffers) = (Input::new(Rc::clone(buffers)), Rc::clone(buffers));
        Self { stream, commands: Commands::new(value), input, buffers }
    }
}

impl Link for RespLink {
    async fn exchange(&mut self, batch: &[Request], answered: &mut dyn FnMut(Answer)) -> io::Result<()> {
        let mut out = BytesMut::new();
        self.buffers.lend(&mut out);
        self.commands.append(batch, &mut out);
        self.stream.write_all(&out).await?;
        out.clear();
        self.buffers.take_back(&mut out);
        let mut arrived = 0;
        while arrived < batch.len() {
            let one = |answer| {
                if arrived < batch.len() {
                    answered(answer);
                }
                arrived += 1;
            };
            self.input.receive(&mut self.stream, one).await?;
            if arrived > batch.len() {
                return Err(io::Error::other("more answers than requests"));
            }
        }
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Scan {
    /// An answer of so many bytes.
    Whole { length: usize, answer: Answer },
    /// More must arrive; the answer is at least so long.
    Part { at_least: usize },
}

/// Looks at the first answer: a status, an error, a number or a value.
fn scan(input: &[u8]) -> io::Result<Scan> {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
        return Ok(Scan::Part { at_least: input.len() + 1 });
    };
    let line = &input[..end];
    let answer = match line.first() {
        Some(b'+' | b':') => Answer::Done,
        Some(b'-') if line.starts_with(b"-NOQUORUM") => Answer::Failed(Failure::NoQuorum),
        Some(b'-') if line.starts_with(b"-INDETERMINATE") => Answer::Failed(Failure::Indeterminate),
        Some(b'-') => Answer::Failed(Failure::Error),
        Some(b'$') if line.starts_with(b"$-1") => Answer::Missing,
        Some(b'$') => {
            let strange = || io::Error::other("a length that is no number");
            let digits = std::str::from_utf8(line[1..].trim_ascii_end()).map_err(|_| strange())?;
            let value: usize = digits.parse().map_err(|_| strange())?;
            let length = end + 1 + value + 2;
            return Ok(match input.len() >= length {
                true => Scan::Whole { length, answer: Answer::Done },
                false => Scan::Part { at_least: length },
            });
        }
        _ => return Err(io::Error::other("an answer that is not RESP")),
    };
    Ok(Scan::Whole { length: end + 1, answer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_a_command_with_the_key_replaced() {
        let mut out = BytesMut::new();
        Template::new(b"SET", Some(b"v1")).append(12, &mut out);
        Template::new(b"GET", None).append(345, &mut out);
        let expected = "*3\r\n$3\r\nSET\r\n$14\r\nkey:0000000012\r\n$2\r\nv1\r\n\
                        *2\r\n$3\r\nGET\r\n$14\r\nkey:0000000345\r\n";
        assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
    }

    #[test]
    fn answers_are_told_apart_and_cut_at_every_byte() {
        for (bytes, answer) in [
            (&b"+OK\r\n"[..], Answer::Done),
            (b":12\r\n", Answer::Done),
            (b"$-1\r\n", Answer::Missing),
            (b"$5\r\na\r\nb\n\r\n", Answer::Done),
            (b"$0\r\n\r\n", Answer::Done),
            (b"-NOQUORUM no effect: x\r\n", Answer::Failed(Failure::NoQuorum)),
            (b"-INDETERMINATE x\r\n", Answer::Failed(Failure::Indeterminate)),
            (b"-ERR x\r\n", Answer::Failed(Failure::Error)),
        ] {
            let followed = [bytes, b"+OK\r\n"].concat();
            assert_eq!(scan(&followed).unwrap(), Scan::Whole { length: bytes.len(), answer });
            for cut in 0..bytes.len() {
                let Scan::Part { at_least } = scan(&bytes[..cut]).unwrap() else {
                    panic!("{cut} bytes of {bytes:?} are no answer")
                };
                assert!(at_least > cut && at_least <= bytes.len());
            }
        }
        assert!(scan(b"nonsense\r\n").is_err() && scan(b"$x\r\n").is_err());
    }
}
