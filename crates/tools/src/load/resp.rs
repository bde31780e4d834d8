//! A link to a node's client port: just enough RESP to count answers, and nothing allocated for an operation.

use super::plan::Plan;
use super::recorder::Failure;
use super::report::Report;
use super::run::{Link, LoadAnswer, Progress, Target, run};
use super::shared::SharedResp;
use super::workload::{LoadRequest, Verb, Workload};
use crate::resp::{Decoded, ResponseRef, connect_to_any, decode, encode};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

/// Read and written at once.
const SCRATCH_BYTES: usize = 64 << 10;

/// Nodes that speak RESP; clients are spread over them round robin, each with a connection of its own.
#[derive(Clone)]
pub struct Resp {
    nodes: Vec<SocketAddr>,
    workload: Workload,
    scratch: Rc<Scratch>,
}

impl Resp {
    /// The nodes, of which there is at least one, and what is asked of them.
    pub fn new(nodes: Vec<SocketAddr>, workload: &Workload) -> Self {
        Self { nodes, workload: workload.clone(), scratch: Rc::default() }
    }
}

/// The nodes behind these addresses (`HOST:PORT`). Of a name with several addresses it is the first that can be reached.
///
/// # Errors
/// When one of them is no address, or there is none.
pub fn look_up(addresses: &[String]) -> io::Result<Vec<SocketAddr>> {
    let mut nodes = Vec::with_capacity(addresses.len());
    for address in addresses {
        let found = address.to_socket_addrs().map_err(|why| io::Error::other(format!("{address}: {why}")))?;
        let found: Vec<SocketAddr> = found.collect();
        let reached = match &found[..] {
            [] | [_] => None,
            several => connect_to_any(several).and_then(|stream| stream.peer_addr()).ok(),
        };
        // The node may come later.
        nodes.extend(reached.or(found.first().copied()));
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
pub fn run_resp(
    nodes: Vec<SocketAddr>,
    plan: Plan,
    progress: impl FnMut(Progress) -> ControlFlow<()>,
) -> io::Result<Report> {
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
        let commands = Commands::new(&self.workload, client);
        let input = Input { scratch: Rc::clone(&self.scratch), ..Input::default() };
        Ok(RespLink { stream, commands, input })
    }
}

/// A command as bytes, whose key can be written over.
struct Template {
    bytes: Vec<u8>,
    key_at: usize,
}

impl Template {
    fn new(verb: Verb, key: &[u8; Workload::KEY_BYTES], value: &[u8]) -> Self {
        let arguments: &[&[u8]] = match verb {
            Verb::Get => &[b"GET", key],
            Verb::Set => &[b"SET", key, value],
            Verb::SetIfAbsent => &[b"SET", key, value, b"NX"],
            Verb::DeleteIfEqual => &[b"DELIFEQ", key, value],
            Verb::Increment => &[b"INCR", key],
            Verb::Append => &[b"APPEND", key, value],
        };
        let mut bytes = Vec::new();
        encode(&arguments[..2], &mut bytes);
        let key_at = bytes.len() - 2 - Workload::KEY_BYTES;
        bytes.clear();
        encode(arguments, &mut bytes);
        Self { bytes, key_at }
    }

    fn append(&self, key: &[u8; Workload::KEY_BYTES], out: &mut Vec<u8>) {
        let at = out.len() + self.key_at;
        out.extend_from_slice(&self.bytes);
        out[at..at + Workload::KEY_BYTES].copy_from_slice(key);
    }
}

/// The commands of a client: what carries a value carries its value.
pub(super) struct Commands {
    workload: Workload,
    templates: Vec<(Verb, Template)>,
}

impl Commands {
    pub(super) fn new(workload: &Workload, client: usize) -> Self {
        let (key, value) = (workload.key(0), workload.value(client as u64));
        let template = |verb: &Verb| (*verb, Template::new(*verb, &key, &value));
        let templates = workload.mix.verbs().iter().map(template).collect();
        Self { workload: workload.clone(), templates }
    }

    pub(super) fn append(&self, batch: &[LoadRequest], out: &mut Vec<u8>) {
        for request in batch {
            let found = self.templates.iter().find(|(verb, _)| *verb == request.verb);
            let Some((_, template)) = found else { unreachable!("a verb that its mix does not have") };
            template.append(&self.workload.key(request.key), out);
        }
    }
}

/// What the links of one thread read into and write from. A buffer of its own for each would be in no cache of the processor
/// when its turn comes.
struct Scratch {
    input: RefCell<Box<[u8]>>,
    output: RefCell<Vec<u8>>,
}

impl Default for Scratch {
    fn default() -> Self {
        let input = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
        Self { input, output: RefCell::default() }
    }
}

/// Replies on their way in.
#[derive(Default)]
pub(super) struct Input {
    /// The part of a reply that has arrived.
    part: Vec<u8>,
    /// How long that reply is at least.
    needed: usize,
    scratch: Rc<Scratch>,
}

impl Input {
    /// Waits for more bytes, and tells the answers that are whole with them.
    pub(super) async fn receive(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        mut answered: impl FnMut(LoadAnswer),
    ) -> io::Result<()> {
        let scratch = Rc::clone(&self.scratch);
        poll_fn(|context| {
            let mut scratch = scratch.input.borrow_mut();
            let mut arrived = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut *from).poll_read(context, &mut arrived))?;
            Poll::Ready(match arrived.filled() {
                [] => Err(io::ErrorKind::UnexpectedEof.into()),
                arrived => self.take(arrived, &mut answered),
            })
        })
        .await
    }

    fn take(&mut self, arrived: &[u8], answered: &mut impl FnMut(LoadAnswer)) -> io::Result<()> {
        if self.part.is_empty() {
            let (used, needed) = tell(arrived, answered)?;
            self.part.extend_from_slice(&arrived[used..]);
            self.needed = needed;
            return Ok(());
        }
        self.part.extend_from_slice(arrived);
        if self.part.len() >= self.needed {
            let (used, needed) = tell(&self.part, answered)?;
            self.part.drain(..used);
            self.needed = needed;
        }
        if self.part.is_empty() && self.part.capacity() > SCRATCH_BYTES {
            self.part = Vec::new();
        }
        Ok(())
    }
}

/// Tells the answers that are whole. How many bytes they have, and how many the one behind them has at least.
fn tell(mut input: &[u8], answered: &mut impl FnMut(LoadAnswer)) -> io::Result<(usize, usize)> {
    let arrived = input.len();
    while !input.is_empty() {
        match decode(input)? {
            Decoded::Whole { reply, length } => {
                input = &input[length..];
                answered(answer(&reply));
            }
            Decoded::Part { at_least } => return Ok((arrived - input.len(), at_least)),
        }
    }
    Ok((arrived, 0))
}

fn answer(reply: &ResponseRef<'_>) -> LoadAnswer {
    match reply {
        ResponseRef::Error(line) if line.starts_with(b"NOQUORUM") => LoadAnswer::Failed(Failure::NoQuorum),
        ResponseRef::Error(line) if line.starts_with(b"INDETERMINATE") => {
            LoadAnswer::Failed(Failure::Indeterminate)
        }
        ResponseRef::Error(_) => LoadAnswer::Failed(Failure::Error),
        ResponseRef::Bulk(None) => LoadAnswer::Nothing,
        ResponseRef::Status(_) | ResponseRef::Integer(_) | ResponseRef::Bulk(_) | ResponseRef::Array(_) => {
            LoadAnswer::Done
        }
    }
}

/// A connection to a node.
pub struct RespLink {
    stream: TcpStream,
    commands: Commands,
    input: Input,
}

impl Link for RespLink {
    async fn exchange(
        &mut self,
        batch: &[LoadRequest],
        answered: &mut dyn FnMut(LoadAnswer),
    ) -> io::Result<()> {
        let rest = self.send_at_once(batch)?;
        self.stream.write_all(&rest).await?;
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

impl RespLink {
    /// Sends what the socket takes now, nearly always all. The rest is returned.
    fn send_at_once(&self, batch: &[LoadRequest]) -> io::Result<Vec<u8>> {
        let mut out = self.input.scratch.output.borrow_mut();
        out.clear();
        self.commands.append(batch, &mut out);
        let sent = match self.stream.try_write(&out) {
            Ok(sent) => sent,
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => 0,
            Err(why) => return Err(why),
        };
        let rest = out[sent..].to_vec();
        out.shrink_to(SCRATCH_BYTES);
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Mix;

    #[test]
    fn a_template_is_a_command_with_the_key_replaced() {
        let commands = |mix, requests: &[LoadRequest]| {
            let mut out = Vec::new();
            Commands::new(&Workload { keys: 1000, value_size: 0, mix, hot: false }, 0)
                .append(requests, &mut out);
            String::from_utf8(out).unwrap().replace("\r\n", " ")
        };
        let request = |verb, key| LoadRequest { verb, key };
        assert_eq!(
            commands(Mix::Register { reads: 1 }, &[request(Verb::Set, 12), request(Verb::Get, 345)]),
            "*3 $3 SET $16 bench:0000000012 $0  *2 $3 GET $16 bench:0000000345 "
        );
        assert_eq!(
            commands(Mix::Lock, &[request(Verb::SetIfAbsent, 1), request(Verb::DeleteIfEqual, 2)]),
            "*4 $3 SET $16 bench:l000000001 $0  $2 NX *3 $7 DELIFEQ $16 bench:l000000002 $0  "
        );
        assert_eq!(
            commands(Mix::Append, &[request(Verb::Append, 1)]),
            "*3 $6 APPEND $16 bench:a000000001 $0  "
        );
        assert_eq!(
            commands(Mix::Increment, &[request(Verb::Increment, 1)]),
            "*2 $4 INCR $16 bench:i000000001 "
        );
    }

    #[test]
    fn answers_arrive_in_pieces_of_any_size() {
        let replies = b"+OK\r\n$-1\r\n$5\r\na\r\nb\n\r\n-NOQUORUM x\r\n-INDETERMINATE x\r\n-ERR x\r\n";
        let expected = [
            LoadAnswer::Done,
            LoadAnswer::Nothing,
            LoadAnswer::Done,
            LoadAnswer::Failed(Failure::NoQuorum),
            LoadAnswer::Failed(Failure::Indeterminate),
            LoadAnswer::Failed(Failure::Error),
        ];
        for size in 1..=replies.len() {
            let (mut input, mut answers) = (Input::default(), Vec::new());
            for piece in replies.chunks(size) {
                input.take(piece, &mut |answer| answers.push(answer)).unwrap();
            }
            assert_eq!(answers, expected, "{size} bytes at a time");
            assert!(input.part.is_empty());
        }
        assert!(Input::default().take(b"nonsense\r\n", &mut |_| ()).is_err());
    }
}
