//! The outgoing side: one connection per shard and peer, opened anew whenever it is lost.
//!
//! Requests may also take a connection that the peer has opened and that both share. The own one is there all the same: it
//! says whether the peer can be reached, and takes what is large, what the other has no room for, and what was not answered.
//!
//! A link never blocks anybody. What the socket does not take waits in a bounded backlog; when that is full the
//! request is dropped, which the protocol takes as a lost message. Reads whose phase is over are not sent at all.

use super::exchange::{Exchange, Side};
use super::greet::{self, Greeted, GreetingError};
use super::outbox::Patience;
use super::{ConnectionError, Outbox, PING, PING_EVERY, SILENCE_LIMIT, frame_limit, read_frame};
use crate::logging::limit::limited;
use crate::node::now_instant;
use crate::node::shard::Shard;
use abd::wire::put_request;
use abd::{NodeId, Request, Transmit};
use bytes::{BufMut, BytesMut};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Encoded bytes that may wait for the socket; beyond it requests wait unencoded, so that they can still be dropped.
const OUT_BYTES: usize = 256 << 10;
/// Bytes of requests that may wait for a peer that does not read.
const BACKLOG_BYTES: usize = 32 << 20;
/// No more may wait on a shared connection, whoever's it is, if a request is to take it.
const SHARED_BYTES: usize = 64 << 10;
/// How long an attempt to connect may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Pauses between attempts to connect.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// The state of a link; the tasks around it do the waiting.
pub(crate) struct Link {
    pub(crate) peer: NodeId,
    up: Cell<bool>,
    /// Of the own connection.
    outbox: Rc<Outbox>,
    /// Of the peer's, if it is shared.
    shared: RefCell<Option<Rc<Outbox>>>,
    backlog: RefCell<VecDeque<Transmit>>,
    backlog_bytes: Cell<usize>,
}

impl Link {
    pub(crate) fn new(peer: NodeId) -> Rc<Self> {
        Rc::new(Self {
            peer,
            up: Cell::new(false),
            outbox: Rc::default(),
            shared: RefCell::default(),
            backlog: RefCell::default(),
            backlog_bytes: Cell::new(0),
        })
    }

    /// Queues a request; drops it when the peer is down (the coordinator sends it again when it is back).
    pub(crate) fn send(&self, shard: &Shard, transmit: Transmit, now: abd::Instant) {
        if !self.up.get() {
            if !transmit.request.is_read() {
                shard.node.missed(self.peer, transmit.request.key());
            }
            return;
        }
        let size = cost(&transmit.request);
        if let Some(shared) = &*self.shared.borrow()
            && !transmit.again
            && shared.len() + size < SHARED_BYTES
        {
            encode(shared, &transmit, now);
        } else if self.backlog.borrow().is_empty() && self.outbox.len() < OUT_BYTES {
            encode(&self.outbox, &transmit, now);
        } else {
            if self.backlog_bytes.get() + size > BACKLOG_BYTES && !self.backlog.borrow().is_empty() {
                if transmit.request.is_read() {
                    shard.not_sent(self.peer, transmit.call);
                } else {
                    shard.node.missed(self.peer, transmit.request.key());
                }
                return;
            }
            self.backlog_bytes.set(self.backlog_bytes.get() + size);
            self.backlog.borrow_mut().push_back(transmit);
            self.outbox.wake();
        }
    }

    /// Whether nothing waits for the peer to read.
    pub(crate) fn is_idle(&self) -> bool {
        self.up.get() && self.backlog.borrow().is_empty()
    }

    fn ping(&self) {
        self.outbox.frame(|body| body.put_u8(PING));
    }

    /// Requests may take a connection of the peer's from now on, in place of an earlier one.
    pub(super) fn share(&self, shard: &Shard, outbox: &Rc<Outbox>) {
        let before = self.shared.replace(Some(outbox.clone()));
        if before.is_some_and(|before| !Rc::ptr_eq(&before, outbox)) {
            self.ask_again(shard);
        }
    }

    /// The same, if there is none.
    pub(super) fn offer(&self, outbox: &Rc<Outbox>) {
        let mut shared = self.shared.borrow_mut();
        if self.up.get() && shared.is_none() {
            *shared = Some(outbox.clone());
        }
    }

    /// That connection is lost or silent, and what was under way on it.
    pub(super) fn share_no_more(&self, shard: &Shard, outbox: &Rc<Outbox>) {
        let shared = self.shared.borrow_mut().take_if(|shared| Rc::ptr_eq(shared, outbox));
        if shared.is_some() {
            self.ask_again(shard);
        }
    }

    /// Has everything that the peer has not answered sent again, and meanwhile others asked.
    fn ask_again(&self, shard: &Shard) {
        if self.up.get() {
            shard.peer_down(self.peer);
            shard.peer_up(self.peer);
        }
    }

    /// Moves what may go from the backlog into the output: the scope of a read that has ended takes its call along.
    fn refill(&self, shard: &Shard) {
        if self.backlog.borrow().is_empty() {
            return;
        }
        let now = now_instant();
        while self.outbox.len() < OUT_BYTES {
            let Some(transmit) = self.backlog.borrow_mut().pop_front() else { break };
            self.backlog_bytes.set(self.backlog_bytes.get() - cost(&transmit.request));
            if !transmit.request.is_read() || shard.is_open(transmit.call) {
                encode(&self.outbox, &transmit, now);
            } else {
                shard.not_sent(self.peer, transmit.call);
            }
        }
    }

    fn reset(&self, shard: &Shard) {
        self.up.set(false);
        self.outbox.clear();
        // The peer may have gone silently, and then that one is not better.
        self.shared.replace(None);
        for transmit in self.backlog.borrow_mut().drain(..) {
            if !transmit.request.is_read() {
                shard.node.missed(self.peer, transmit.request.key());
            }
        }
        self.backlog_bytes.set(0);
    }
}

fn encode(outbox: &Outbox, transmit: &Transmit, now: abd::Instant) {
    let remaining = transmit.deadline.since(now).as_millis();
    let remaining = u32::try_from(remaining).unwrap_or(u32::MAX);
    let patience = match (transmit.request.is_read(), transmit.may_wait) {
        (true, _) => Patience::None,
        (false, false) => Patience::Round,
        (false, true) => Patience::Long,
    };
    outbox.frame_of(patience, |body| put_request(body, transmit.call, remaining, &transmit.request));
}

fn cost(request: &Request) -> usize {
    request.bytes() + 128
}

/// Connects, talks, and connects again, for as long as the node lives.
pub(crate) async fn keep_connected(shard: Rc<Shard>, link: Rc<Link>, address: String) {
    let mut pause = RECONNECT.0;
    let mut complaint = String::new();
    loop {
        match connect(&shard, link.peer, &address).await {
            Ok((reader, writer, input)) => {
                (pause, complaint) = (RECONNECT.0, String::new());
                shard.node.peer_is_up(link.peer, true);
                link.up.set(true);
                shard.peer_up(link.peer);
                let exchange = Exchange::new(&shard, link.peer, Side::Connected, link.outbox.clone());
                let ended = tokio::select! {
                    biased;
                    ended = read(&shard, &link, &exchange, reader, input) => ended,
                    ended = link.outbox.drain_into(writer, || link.refill(&shard)) => ended,
                };
                drop(exchange);
                link.reset(&shard);
                shard.peer_down(link.peer);
                shard.node.peer_is_up(link.peer, false);
                let why =
                    ended.err().map_or_else(|| "it closed the connection".to_owned(), |why| why.to_string());
                limited!(warn, "lost a peer; connecting again", peer = link.peer.0, address, why);
            }
            Err(why) => {
                let refused = matches!(why, ConnectError::Greeting(GreetingError::Refused { .. }));
                let why = why.to_string();
                if why != complaint && refused {
                    limited!(warn, "refused a peer", peer = link.peer.0, address, why);
                    complaint = why;
                } else if why != complaint {
                    limited!(info, "cannot reach a peer yet; trying again", peer = link.peer.0, address, why);
                    complaint = why;
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RECONNECT.1);
    }
}

#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("{0}")]
    Greeting(#[from] GreetingError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("no connection within {0:?}")]
    Slow(Duration),
}

async fn connect(
    shard: &Rc<Shard>,
    peer: NodeId,
    address: &str,
) -> Result<(OwnedReadHalf, OwnedWriteHalf, BytesMut), ConnectError> {
    let stream = match tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
        Ok(connected) => connected?,
        Err(_) => return Err(ConnectError::Slow(CONNECT_LIMIT)),
    };
    let Greeted { stream, input } = greet::dialled(&shard.node, peer, None, stream).await?;
    let (reader, writer) = stream.into_split();
    Ok((reader, writer, input))
}

async fn read(
    shard: &Shard,
    link: &Link,
    exchange: &Exchange<'_>,
    mut reader: OwnedReadHalf,
    mut input: BytesMut,
) -> Result<(), ConnectionError> {
    let limit = frame_limit(shard.node.settings.max_key_bytes, shard.node.settings.max_value_bytes);
    let mut last_heard = now_instant();
    let mut last_asked = last_heard;
    // One timer for as long as the connection lives: a timer for each batch of replies would be set and taken back for
    // nothing.
    let mut quiet = pin!(tokio::time::sleep(PING_EVERY));
    loop {
        // Amid other replies too: only this answer says how much the peer has made durable, and that its disk has room
        // again.
        if last_heard.since(last_asked) >= PING_EVERY {
            link.ping();
            last_asked = last_heard;
        }
        let frame = tokio::select! {
            biased;
            frame = read_frame(&mut reader, &mut input, limit) => frame?,
            () = &mut quiet => {
                quiet.as_mut().reset(tokio::time::Instant::now() + PING_EVERY);
                let now = now_instant();
                if now.since(last_heard) > SILENCE_LIMIT {
                    return Err(ConnectionError::Silence(SILENCE_LIMIT));
                }
                if now.since(last_asked) >= PING_EVERY {
                    link.ping();
                    last_asked = now;
                }
                continue;
            }
        };
        let Some(body) = frame else { return Ok(()) };
        let now = shard.now();
        last_heard = now.instant;
        exchange.take_all(body, &mut input, limit, now)?;
    }
}
