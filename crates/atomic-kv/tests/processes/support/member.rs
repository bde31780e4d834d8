//! A member of the cluster that a test plays, to do what no node does: ask and not read, or hear and not answer.

use super::node::Node;
use super::{PATIENCE, eventually};
use abd::wire::{Received, get_reply, get_request, is_reply, put_frame, put_reply, put_request, take_frame};
use abd::{CallId, Newest, Operation, Refusal, Reply, Request, Scope, StampedValue, Version};
use bytes::{BufMut, Bytes, BytesMut};
use node::client::service::{Call, CallAnswer, get_answer, put_call};
use node::directory::Identity;
use node::hello::{
    About, Hello, HelloError, LaneId, LaneKind, Limits, Met, Refused, Service, Versions, Welcome,
};
use node::introduction::Introduction;
use node::lanes::lane::{PING, put_pong};
use node::nonce::{Challenges, Nonce};
use node::repair::message::{Answer, Question, get_question, is_question, put_answer};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// How often a thread looks whether there is something to do.
const TICK: Duration = Duration::from_millis(20);

/// A member; what it has accepted stays open when it is dropped.
#[derive(Debug)]
pub(crate) struct Member {
    id: u32,
    about: About,
    identity: Arc<Mutex<Identity>>,
    accepted: mpsc::Receiver<(u32, LaneId, Wire)>,
    ended: Arc<AtomicBool>,
}

/// The two lanes to a node with one event loop.
#[derive(Debug)]
pub(crate) struct Lanes {
    pub(crate) small: Wire,
    pub(crate) bulk: Wire,
}

impl Member {
    /// Plays a node that is not started, and never was: listens at its address and greets whoever connects.
    pub(crate) fn play(node: &Node) -> Self {
        let listener = TcpListener::bind(node.peer_address(node.id)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let own = [node.id.to_be_bytes()[3]; 16];
        let mut identity = Identity::new(node.id, vec![1, 2, 3], own, own);
        identity.start(Nonce(own), false).unwrap();
        let identity = Arc::new(Mutex::new(identity));
        let about = About {
            cluster: node.cluster.clone(),
            timestamps: "logical".to_owned(),
            member: Some(node.id),
            challenge: own,
            admitted: true,
            limits: Limits { key: 64 << 10, value: 16 << 20, frame: 32 << 20 },
            loops: 1,
            endpoint: None,
            epoch: None,
        };
        let (sender, accepted) = mpsc::channel();
        let ended = Arc::<AtomicBool>::default();
        std::thread::spawn({
            let (about, ended, identity) = (about.clone(), ended.clone(), identity.clone());
            move || {
                while !ended.load(Ordering::Relaxed) {
                    match listener.accept().and_then(|(stream, _)| greeted(stream, &about, &identity)) {
                        Ok(greeted) => drop(sender.send(greeted)),
                        Err(_) => std::thread::sleep(TICK),
                    }
                }
            }
        });
        Self { id: node.id, about, identity, accepted, ended }
    }

    /// The lanes that nodes with these ids have opened, all that do. Their ids are lower.
    pub(crate) fn accepted<const COUNT: usize>(&self, ids: [u32; COUNT]) -> [Lanes; COUNT] {
        assert!(ids.iter().all(|id| *id < self.id), "others do not dial");
        let mut found = BTreeMap::new();
        // Of two of one kind the later: the node has given up the other.
        while found.len() < 2 * COUNT {
            let (id, lane, wire) = self.accepted.recv_timeout(PATIENCE).unwrap();
            found.insert((id, lane.kind), wire);
        }
        found.extend(self.accepted.try_iter().map(|(id, lane, wire)| ((id, lane.kind), wire)));
        ids.map(|id| {
            let mut lane = |kind| found.remove(&(id, kind)).unwrap();
            Lanes { small: lane(LaneKind::Small), bulk: lane(LaneKind::Bulk) }
        })
    }

    /// Closes what nodes have opened so far.
    pub(crate) fn forget_accepted(&self) {
        self.accepted.try_iter().for_each(drop);
    }

    /// Opens both lanes to a node with a higher id.
    pub(crate) fn connect(&self, node: &Node) -> Lanes {
        Lanes { small: self.open(node, LaneKind::Small), bulk: self.open(node, LaneKind::Bulk) }
    }

    /// Opens one lane to a node with a higher id.
    pub(crate) fn open(&self, node: &Node, kind: LaneKind) -> Wire {
        assert!(node.id > self.id, "node {} dials this one", node.id);
        let mut stream = None;
        eventually(&format!("node {} listens to members", node.id), || {
            stream = TcpStream::connect(node.peer_address(node.id)).ok();
            stream.is_some()
        });
        let mut wire = Wire::new(stream.unwrap());
        let (versions, service, lane) = (Versions::OURS, Service::Replica, Some(LaneId { kind, pair: 0 }));
        let hello = Hello { versions, service, lane, about: self.about.clone(), address: None };
        wire.send(|body| hello.put(body)).unwrap();
        let welcome = Welcome::get(wire.receive(), Versions::OURS).unwrap();
        let challenges = Challenges { dialler: self.about.challenge, acceptor: welcome.about.challenge };
        let said = self.identity.lock().unwrap().introduce(node.id, challenges, 0);
        wire.send(|body| said.put(body)).unwrap();
        let theirs = Introduction::get(wire.receive(), Versions::OURS).unwrap();
        self.identity.lock().unwrap().meet(&theirs, challenges).unwrap();
        wire.send(|body| Met.put(body)).unwrap();
        wire
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn greeted(stream: TcpStream, about: &About, identity: &Mutex<Identity>) -> io::Result<(u32, LaneId, Wire)> {
    stream.set_nonblocking(false)?;
    let mut wire = Wire::new(stream);
    let theirs = wire.receive_within(PATIENCE)?.ok_or(ErrorKind::TimedOut)?;
    let theirs = Hello::get(theirs, Versions::OURS).unwrap();
    let version = theirs.versions.common(Versions::OURS).unwrap();
    wire.send(|body| Welcome { version, about: about.clone(), configuration: None }.put(body))?;
    let challenges = Challenges { dialler: theirs.about.challenge, acceptor: about.challenge };
    let introduced = wire.receive_within(PATIENCE)?.ok_or(ErrorKind::TimedOut)?;
    let introduced = Introduction::get(introduced, Versions::OURS).unwrap();
    let said = {
        let mut identity = identity.lock().unwrap();
        identity.meet(&introduced, challenges).unwrap();
        identity.introduce(introduced.node, challenges, 0)
    };
    wire.send(|body| said.put(body))?;
    Met::get(wire.receive_within(PATIENCE)?.ok_or(ErrorKind::TimedOut)?, Versions::OURS).unwrap();
    Ok((introduced.node, theirs.lane.unwrap(), wire))
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

    fn send(&mut self, body: impl FnOnce(&mut BytesMut)) -> io::Result<()> {
        let mut out = BytesMut::new();
        put_frame(&mut out, body);
        self.stream.write_all(&out)
    }

    /// Presents somebody to a node as a member; what the node makes of that.
    pub(crate) fn present(node: &Node, stranger: &Identity) -> Result<Introduction, HelloError> {
        let (mut wire, welcome) = Self::greeted_as(node, stranger.node)?;
        let challenges = Challenges { dialler: [1; 16], acceptor: welcome.about.challenge };
        let said = stranger.introduce(node.id, challenges, 1 << 40);
        wire.send(|body| said.put(body)).unwrap();
        Introduction::get(wire.receive(), Versions::OURS)
    }

    /// Greets a node as another one, and refuses it when it answers.
    pub(crate) fn refuse_welcome(node: &Node, as_node: u32, why: &Refused) {
        let (mut wire, _) = Self::greeted_as(node, as_node).unwrap();
        wire.send(|body| why.put(body)).unwrap();
    }

    fn greeted_as(node: &Node, as_node: u32) -> Result<(Self, Welcome), HelloError> {
        let mut wire = Self::new(TcpStream::connect(node.peer_address(node.id)).unwrap());
        let about = About {
            cluster: node.cluster.clone(),
            timestamps: "logical".to_owned(),
            member: Some(as_node),
            challenge: [1; 16],
            admitted: true,
            limits: Limits { key: 64 << 10, value: 16 << 20, frame: 32 << 20 },
            loops: 1,
            endpoint: None,
            epoch: None,
        };
        let lane = Some(LaneId { kind: LaneKind::Small, pair: 0 });
        let hello = Hello { versions: Versions::OURS, service: Service::Replica, lane, about, address: None };
        wire.send(|body| hello.put(body)).unwrap();
        let welcome = Welcome::get(wire.receive(), Versions::OURS)?;
        Ok((wire, welcome))
    }

    /// Refuses whoever has connected, in place of a welcome.
    pub(crate) fn refuse(stream: TcpStream, why: &Refused) {
        let mut wire = Self::new(stream);
        wire.receive();
        // It may have gone.
        let _ = wire.send(|body| why.put(body));
    }

    /// Asks for the Coordinator service as somebody who is no member; all that the node says of itself.
    pub(crate) fn welcome(node: &Node) -> Bytes {
        let mut wire = Self::new(TcpStream::connect(node.peer_address(node.id)).unwrap());
        wire.say_hello(node);
        wire.receive()
    }

    /// Connects to a node for the Coordinator service, as a client library does.
    pub(crate) fn of_client(node: &Node) -> Self {
        let mut wire = Self::new(TcpStream::connect(node.peer_address(node.id)).unwrap());
        wire.say_hello(node);
        Welcome::get(wire.receive(), Versions::OURS).unwrap();
        wire
    }

    fn say_hello(&mut self, node: &Node) {
        let about = About {
            cluster: node.cluster.clone(),
            timestamps: "logical".to_owned(),
            limits: Limits { key: 64 << 10, value: 16 << 20, frame: 32 << 20 },
            ..About::of_a_stranger()
        };
        let versions = Versions::OURS;
        let hello = Hello { versions, service: Service::Coordinator, lane: None, about, address: None };
        self.send(|body| hello.put(body)).unwrap();
    }

    /// Has the node run an operation.
    pub(crate) fn run(&mut self, operation: Operation) -> CallAnswer {
        self.send(|body| put_call(body, 1, &Call::Run(operation))).unwrap();
        get_answer(self.receive()).unwrap().1
    }

    /// Sends a request many times in one piece, with these numbers.
    pub(crate) fn ask(&mut self, numbers: Range<u64>, request: &Request) {
        let mut out = BytesMut::new();
        for operation in numbers {
            let call = CallId { operation, phase: 0 };
            put_frame(&mut out, |body| put_request(body, call, 60_000, Scope::FIRST, request));
        }
        self.stream.write_all(&out).unwrap();
    }

    /// Sends a request, and waits for the reply. What the node asks meanwhile is left alone.
    pub(crate) fn call(&mut self, request: &Request) -> Reply {
        self.ask(0..1, request);
        let reply = std::iter::repeat_with(|| self.receive()).find(|body| is_reply(body)).unwrap();
        get_reply(reply).unwrap().1
    }

    /// Asks whether the node is there; its answer is among what [`Wire::receive`] finds.
    pub(crate) fn ping(&mut self) -> io::Result<()> {
        self.send(|body| body.put_u8(PING))
    }

    /// The next message but for questions whether this member is there, which are answered.
    pub(crate) fn receive(&mut self) -> Bytes {
        self.receive_within(PATIENCE).unwrap().expect("nothing came")
    }

    /// The same, or nothing if nothing comes.
    fn receive_within(&mut self, patience: Duration) -> io::Result<Option<Bytes>> {
        self.stream.set_read_timeout(Some(patience))?;
        let mut chunk = vec![0; 64 << 10];
        loop {
            if let Some(body) = take_frame(&mut self.input, 32 << 20).unwrap() {
                if body[..] != [PING] {
                    return Ok(Some(body));
                }
                self.send(|body| put_pong(body, true, 0))?;
                continue;
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.input.extend_from_slice(&chunk[..count]),
                Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Ok(None);
                }
                Err(why) => return Err(why),
            }
        }
    }

    /// Says that it will take so long a frame, and sends that much of nothing in particular behind these bytes.
    pub(crate) fn send_oversized(&mut self, head: &[u8], length: u32) -> io::Result<()> {
        let zeros = vec![0; 1 << 20];
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(head);
        let mut left = length as usize - head.len();
        let mut pieces = Vec::new();
        while left > 0 {
            let piece = &zeros[..left.min(zeros.len())];
            checksum.update(piece);
            pieces.push(piece.len());
            left -= piece.len();
        }
        self.stream.write_all(&length.to_be_bytes())?;
        self.stream.write_all(&checksum.finalize().to_be_bytes())?;
        self.stream.write_all(head)?;
        pieces.into_iter().try_for_each(|piece| self.stream.write_all(&zeros[..piece]))
    }

    /// Listens to what the node asks from now on, until the connection breaks.
    pub(crate) fn listen(mut self, manner: Manner) -> Listening {
        let heard = Arc::<Heard>::default();
        std::thread::spawn({
            let heard = heard.clone();
            move || {
                while !heard.ended.load(Ordering::Relaxed) {
                    if self.hear(&heard, manner).is_err() {
                        break;
                    }
                }
            }
        });
        Listening(heard)
    }

    fn hear(&mut self, heard: &Heard, manner: Manner) -> io::Result<()> {
        let Some(body) = self.receive_within(TICK)? else { return self.ping() };
        if is_question(&body) {
            let (call, question) = get_question(body).unwrap();
            // It lacks what it is asked about, and wants nothing else.
            let told = match question {
                Question::Digest { .. } => Answer::Same(true),
                Question::Versions { listed, .. } => Answer::Versions {
                    versions: vec![Version::MIN; listed.len()],
                    others: Vec::new(),
                    told_up_to: None,
                },
            };
            self.send(|body| put_answer(body, call, &told))?;
            return Ok(());
        }
        // Anything else is the answer to a ping.
        if let Ok(Received { call, request, .. }) = get_request(body) {
            heard.requests.lock().unwrap().push(request.clone());
            if manner == Manner::Answers || (manner == Manner::Forgets && request.is_read()) {
                self.send(|body| put_reply(body, call, &forgetful(&request)))?;
            }
        }
        Ok(())
    }
}

impl Lanes {
    /// Listens on both.
    pub(crate) fn listen(self, manner: Manner) -> [Listening; 2] {
        [self.small.listen(manner), self.bulk.listen(manner)]
    }
}

/// How somebody listens. All say every now and then that they are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Answers as a replica that keeps nothing.
    Answers,
    /// Answers questions, and no writes.
    Forgets,
}

/// What a replica answers that keeps nothing.
fn forgetful(request: &Request) -> Reply {
    match request {
        Request::LocalRead { have, .. } => {
            Reply::Read(Newest { stamped: StampedValue::NEVER, durable: true }.glimpse(*have))
        }
        Request::LocalReadTimestamp { .. } => {
            Reply::Timestamp { version: Version::MIN, present: false, writable: true }
        }
        Request::LocalWrite { .. } => Reply::Written { previous: None },
        Request::Prepare { .. } | Request::Accept { .. } | Request::Adopt { .. } => {
            Reply::Refused(Refusal::Overloaded)
        }
    }
}

#[derive(Debug, Default)]
struct Heard {
    requests: Mutex<Vec<Request>>,
    ended: AtomicBool,
}

/// A connection on which somebody listens.
#[derive(Debug)]
pub(crate) struct Listening(Arc<Heard>);

impl Listening {
    /// How many requests have come.
    pub(crate) fn count(&self) -> usize {
        self.0.requests.lock().unwrap().len()
    }

    /// Closes the connection.
    pub(crate) fn end(&self) {
        self.0.ended.store(true, Ordering::Relaxed);
    }

    /// Whether one has come that is like this.
    pub(crate) fn any(&self, is_like: impl Fn(&Request) -> bool) -> bool {
        self.0.requests.lock().unwrap().iter().any(is_like)
    }
}
