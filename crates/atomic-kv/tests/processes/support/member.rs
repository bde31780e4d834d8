//! A member of the cluster that a test plays, to do what no node does: ask and not read, or hear and not answer.

use super::node::Node;
use super::{PATIENCE, eventually};
use abd::wire::{get_request, put_frame, put_reply, put_request, take_frame};
use abd::{CallId, Reply, Request, Version};
use atomic_kv::identity::Introduction;
use atomic_kv::node::peer::hello::{Hello, Service, Welcome};
use bytes::{BufMut, Bytes, BytesMut};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// "Are you there?" and its answer.
const PING: u8 = 132;
const PONG: u8 = 133;
/// How often a thread looks whether it is to end.
const TICK: Duration = Duration::from_millis(20);

/// A member; what it has accepted stays open when it is dropped.
#[derive(Debug)]
pub(crate) struct Member {
    hello: Hello,
    accepted: mpsc::Receiver<(u32, Wire)>,
    ended: Arc<AtomicBool>,
}

impl Member {
    /// Plays a node that is not started, and never was: listens at its address and greets whoever connects.
    pub(crate) fn play(node: &Node) -> Self {
        let listener = TcpListener::bind(node.peer_address(node.id)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let member = Introduction {
            node: node.id,
            disk: [node.id.to_be_bytes()[3]; 16],
            boot: 1,
            nonce: u64::from(node.id),
            ancestry: Vec::new(),
            sequence: 0,
        };
        let hello = Hello {
            service: Service::Replica,
            cluster: node.cluster.clone(),
            timestamps: "logical".to_owned(),
            member: Some(member),
            admitted: true,
        };
        let (sender, accepted) = mpsc::channel();
        let ended = Arc::<AtomicBool>::default();
        std::thread::spawn({
            let (hello, ended) = (hello.clone(), ended.clone());
            move || {
                while !ended.load(Ordering::Relaxed) {
                    match listener.accept() {
                        Ok((stream, _)) => drop(sender.send(greeted(stream, &hello))),
                        Err(_) => std::thread::sleep(TICK),
                    }
                }
            }
        });
        Self { hello, accepted, ended }
    }

    /// The next connection that a node has opened for its requests, and that node's id.
    pub(crate) fn accepted(&self) -> (u32, Wire) {
        self.accepted.recv_timeout(PATIENCE).unwrap()
    }

    /// Opens a connection to a node, as a member does for its requests.
    pub(crate) fn connect(&self, node: &Node) -> Wire {
        let mut stream = None;
        eventually(&format!("node {} listens to members", node.id), || {
            stream = TcpStream::connect(node.peer_address(node.id)).ok();
            stream.is_some()
        });
        let mut wire = Wire::new(stream.unwrap());
        wire.send(|body| self.hello.put(body));
        match Welcome::get(wire.receive()).unwrap() {
            Welcome::Accepted(_) => wire,
            refusal => panic!("{refusal:?}"),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn greeted(stream: TcpStream, hello: &Hello) -> (u32, Wire) {
    stream.set_nonblocking(false).unwrap();
    let mut wire = Wire::new(stream);
    let theirs = Hello::get(wire.receive()).unwrap();
    wire.send(|body| Welcome::Accepted(hello.clone()).put(body));
    (theirs.member.unwrap().node, wire)
}

/// A greeted connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    input: BytesMut,
}

impl Wire {
    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, input: BytesMut::new() }
    }

    fn send(&mut self, body: impl FnOnce(&mut BytesMut)) {
        let mut out = BytesMut::new();
        put_frame(&mut out, body);
        self.stream.write_all(&out).unwrap();
    }

    /// Sends a request with this number.
    pub(crate) fn ask(&mut self, number: u64, request: &Request) {
        let call = CallId { operation: number, phase: 0 };
        self.send(|body| put_request(body, call, 60_000, request));
    }

    /// Asks whether the node is there.
    pub(crate) fn ping(&mut self) {
        self.send(|body| body.put_u8(PING));
    }

    /// The next message but for questions whether this member is there, which are answered.
    pub(crate) fn receive(&mut self) -> Bytes {
        self.receive_within(PATIENCE).expect("nothing came, or the connection was closed")
    }

    fn receive_within(&mut self, patience: Duration) -> Option<Bytes> {
        self.stream.set_read_timeout(Some(patience)).unwrap();
        let mut chunk = vec![0; 64 << 10];
        loop {
            if let Some(body) = take_frame(&mut self.input, 32 << 20).unwrap() {
                if body[..] != [PING] {
                    return Some(body);
                }
                self.send(|body| {
                    body.put_u8(PONG);
                    body.put_u8(1);
                    body.put_u64(0);
                });
                continue;
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.input.extend_from_slice(&chunk[..count]),
                Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return None,
                Err(why) => panic!("{why}"),
            }
        }
    }

    /// Listens to what the node asks from now on.
    pub(crate) fn listen(mut self, answers: bool) -> Listening {
        let heard = Arc::<Heard>::default();
        std::thread::spawn({
            let heard = heard.clone();
            move || {
                while !heard.ended.load(Ordering::Relaxed) {
                    if heard.pings.swap(false, Ordering::Relaxed) {
                        self.ping();
                    }
                    // Not a question: the answer to a ping.
                    let Some(Ok((call, _, request))) = self.receive_within(TICK).map(get_request) else {
                        continue;
                    };
                    heard.questions.fetch_add(1, Ordering::Relaxed);
                    if answers {
                        self.send(|body| put_reply(body, call, &forgetful(&request)));
                    }
                }
            }
        });
        Listening(heard)
    }
}

/// What a replica answers that keeps nothing.
fn forgetful(request: &Request) -> Reply {
    match request {
        Request::LocalRead { .. } => Reply::Read { version: Version::MIN, content: None, durable: true },
        Request::LocalReadTimestamp { .. } => {
            Reply::Timestamp { version: Version::MIN, present: false, writable: true }
        }
        Request::LocalWrite { .. } => Reply::Written { previous: None },
    }
}

#[derive(Debug, Default)]
struct Heard {
    questions: AtomicU64,
    pings: AtomicBool,
    ended: AtomicBool,
}

/// A connection on which somebody listens, and answers like a replica that keeps nothing, or says nothing.
#[derive(Debug)]
pub(crate) struct Listening(Arc<Heard>);

impl Listening {
    /// How many questions have come.
    pub(crate) fn questions(&self) -> u64 {
        self.0.questions.load(Ordering::Relaxed)
    }

    /// Asks whether the node is there.
    pub(crate) fn ping(&self) {
        self.0.pings.store(true, Ordering::Relaxed);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Relaxed);
    }
}
