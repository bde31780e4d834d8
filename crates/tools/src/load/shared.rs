//! Clients that share connections, as the callers of a multiplexing client library do: each still has one batch in
//! flight, and what several of them ask at about the same time travels together.

use super::resp::{Commands, Input};
use super::run::{Link, LoadAnswer, Target};
use super::workload::{LoadRequest, Workload};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, Notify};

/// Nodes that speak RESP, and a fixed number of connections, spread over them round robin. Clients are spread over
/// the connections.
pub struct SharedResp {
    nodes: Vec<SocketAddr>,
    workload: Workload,
    /// Opened by the first client that needs them, again when they broke.
    connections: Vec<Mutex<SharedConnection>>,
}

/// A connection, and how many there were before it: each is opened to the node after the last one's.
#[derive(Default)]
struct SharedConnection {
    connection: Option<Rc<Connection>>,
    opened: usize,
}

impl SharedResp {
    /// The nodes, of which there is at least one, what is asked of them, and over how many connections.
    ///
    /// # Panics
    /// When there is not at least one connection.
    pub fn new(nodes: Vec<SocketAddr>, workload: &Workload, connections: usize) -> Self {
        assert!(connections > 0, "clients need a connection");
        let connections = (0..connections).map(|_| Mutex::default()).collect();
        Self { nodes, workload: workload.clone(), connections }
    }
}

impl Target for SharedResp {
    type Link = SharedLink;

    async fn connect(&self, client: usize, attempt: usize) -> io::Result<SharedLink> {
        let place = (client + attempt) % self.connections.len();
        let mut kept = self.connections[place].lock().await;
        let connection = match kept.connection.as_ref().filter(|connection| !connection.broken.get()) {
            Some(connection) => Rc::clone(connection),
            None => {
                let node = self.nodes[(place + kept.opened) % self.nodes.len()];
                kept.opened += 1;
                let stream = TcpStream::connect(node).await?;
                stream.set_nodelay(true)?;
                Rc::clone(kept.connection.insert(Connection::open(stream)))
            }
        };
        Ok(SharedLink { connection, commands: Commands::new(&self.workload, client) })
    }
}

/// A connection and who waits for its answers.
struct Connection {
    out: RefCell<Vec<u8>>,
    more: Notify,
    /// In the order of their requests.
    waiting: RefCell<VecDeque<Rc<Batch>>>,
    broken: Cell<bool>,
    /// A client has waited for too long.
    given_up: Notify,
}

/// A client's requests in flight.
struct Batch {
    missing: Cell<usize>,
    answers: RefCell<Vec<LoadAnswer>>,
    /// Told when no answer is missing, or none will come.
    over: Notify,
}

impl Connection {
    fn open(stream: TcpStream) -> Rc<Self> {
        let connection = Rc::new(Self {
            out: RefCell::default(),
            more: Notify::new(),
            waiting: RefCell::default(),
            broken: Cell::new(false),
            given_up: Notify::new(),
        });
        let (reader, writer) = stream.into_split();
        tokio::task::spawn_local(Rc::clone(&connection).carry(reader, writer));
        connection
    }

    /// Carries requests and answers until the connection breaks.
    async fn carry(self: Rc<Self>, reader: OwnedReadHalf, writer: OwnedWriteHalf) {
        tokio::select! {
            _ = self.send(writer) => {}
            _ = self.receive(reader) => {}
            () = self.given_up.notified() => {}
        }
        self.broken.set(true);
        for batch in self.waiting.take() {
            batch.over.notify_one();
        }
    }

    async fn send(&self, mut writer: OwnedWriteHalf) -> io::Result<()> {
        let mut chunk = Vec::new();
        loop {
            self.more.notified().await;
            // Whoever else is ready to ask does so first.
            tokio::task::yield_now().await;
            chunk.clear();
            std::mem::swap(&mut chunk, &mut *self.out.borrow_mut());
            writer.write_all(&chunk).await?;
        }
    }

    async fn receive(&self, mut reader: OwnedReadHalf) -> io::Result<()> {
        let mut input = Input::default();
        loop {
            input.receive(&mut reader, |answer| self.hand_over(answer)).await?;
        }
    }

    fn hand_over(&self, answer: LoadAnswer) {
        let mut waiting = self.waiting.borrow_mut();
        // An answer that nobody asked for is nobody's.
        let Some(batch) = waiting.front() else { return };
        batch.answers.borrow_mut().push(answer);
        batch.missing.set(batch.missing.get() - 1);
        if batch.missing.get() == 0 {
            batch.over.notify_one();
            waiting.pop_front();
        }
    }
}

/// A client's share of a connection. The answers to a batch are told when the last one is there.
pub struct SharedLink {
    connection: Rc<Connection>,
    commands: Commands,
}

impl Link for SharedLink {
    async fn exchange(
        &mut self,
        requests: &[LoadRequest],
        answered: &mut dyn FnMut(LoadAnswer),
    ) -> io::Result<()> {
        if self.connection.broken.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let batch = Rc::new(Batch {
            missing: Cell::new(requests.len()),
            answers: RefCell::default(),
            over: Notify::new(),
        });
        self.commands.append(requests, &mut self.connection.out.borrow_mut());
        self.connection.waiting.borrow_mut().push_back(Rc::clone(&batch));
        self.connection.more.notify_one();
        let patience = Patience(&self.connection, &batch);
        batch.over.notified().await;
        drop(patience);
        batch.answers.take().into_iter().for_each(answered);
        if batch.missing.get() > 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

/// Ends a connection that a client has stopped waiting for: its node hangs, and the next one may not.
struct Patience<'a>(&'a Connection, &'a Batch);

impl Drop for Patience<'_> {
    fn drop(&mut self) {
        if self.1.missing.get() > 0 {
            self.0.broken.set(true);
            self.0.given_up.notify_one();
        }
    }
}
