//! What the clients of a node hold, and which of them have to leave.

use crate::logging::limit::limited;
use crate::node::shard::Shard;
use crate::node::{Accepted, Node, now_instant};
use ::node::client::budget::{Account, Budget, Charged};
use ::node::client::patience;
use abd::Instant;
use std::cell::Cell;
use std::io::Write;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

/// How often each event loop looks whether somebody is waited for in vain.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// When clients hold so much less than before, it is given back to the system.
const FALLEN_BYTES: u64 = 32 << 20;

/// All clients of a node, those of the Coordinator service included.
pub(crate) struct Clients {
    table: Mutex<Table>,
    /// Whether they hold too much, those included that are told to leave and have not left yet.
    too_much: AtomicBool,
    /// How many there may be.
    limit: usize,
    connected: AtomicUsize,
    /// How many there have been.
    received: AtomicU64,
    /// The last number that a connection was given.
    last_id: AtomicU64,
    /// Those that were not let in, as there were too many.
    rejected: AtomicU64,
    /// Those that had to leave, as all together held too much; and those that left their replies unread.
    evicted: AtomicU64,
    unread: AtomicU64,
}

struct Table {
    budget: Budget,
    /// By account.
    notices: Vec<Option<Arc<Notice>>>,
}

/// Tells a connection that it has to leave, from whatever thread.
#[derive(Default)]
struct Notice {
    why: OnceLock<String>,
    /// Of the connection's task.
    waker: OnceLock<Waker>,
}

/// A client's right to be there.
pub(crate) struct Seat(Arc<Node>);

impl Clients {
    /// None yet.
    pub(crate) fn new(limit: usize, memory: u64) -> Self {
        let table = Table { budget: Budget::new(memory), notices: Vec::new() };
        Self {
            table: Mutex::new(table),
            too_much: AtomicBool::new(false),
            limit,
            connected: AtomicUsize::new(0),
            received: AtomicU64::new(0),
            last_id: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            unread: AtomicU64::new(0),
        }
    }

    /// How many clients there are.
    pub(crate) fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// How many there may be.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// How many there have been.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// A number that no other connection has had.
    pub(crate) fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How many were not let in, as there were too many.
    pub(crate) fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// How many had to leave, as all together held too much.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// How many were closed as they did not read what they had asked for.
    pub(crate) fn unread(&self) -> u64 {
        self.unread.load(Ordering::Relaxed)
    }

    /// Bytes of memory that they hold.
    pub(crate) fn memory(&self) -> u64 {
        self.table().budget.used()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether those who have to leave must go before anybody may hold more.
    pub(super) fn hold_too_much(&self) -> bool {
        self.too_much.load(Ordering::Relaxed)
    }

    /// What a client holds has changed: those who have to leave for that are told.
    fn charge(&self, account: Account, bytes: u64) {
        let mut table = self.table();
        table.budget.charge(account, bytes);
        while let Some((leaving, held)) = table.budget.next_to_leave() {
            self.evicted.fetch_add(1, Ordering::Relaxed);
            let limit = table.budget.limit();
            let why = format!(
                "all clients together hold more than --clients-memory allows, {limit} bytes, and this one holds most: \
                 {held} bytes"
            );
            if let Some(notice) = &table.notices[leaving.index()] {
                notice.tell(why);
            }
        }
        self.too_much.store(table.budget.is_exceeded(), Ordering::Relaxed);
    }
}

impl Seat {
    /// Lets a client in, unless there are too many.
    pub(crate) fn take(node: &Arc<Node>) -> Option<Self> {
        let clients = &node.clients;
        if clients.connected.fetch_add(1, Ordering::Relaxed) >= clients.limit {
            clients.connected.fetch_sub(1, Ordering::Relaxed);
            clients.rejected.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        clients.received.fetch_add(1, Ordering::Relaxed);
        Some(Self(node.clone()))
    }
}

/// Lets a client in, or tells it that there are too many and closes the connection.
pub(crate) fn admit(node: &Arc<Node>, stream: TcpStream) -> Option<Accepted> {
    match Seat::take(node) {
        Some(seat) => Some(Accepted::Client(stream, seat)),
        None => {
            // The words of Redis. A new connection takes so few bytes at once, or nobody is there any more.
            let _ = (&stream).write(b"-ERR max number of clients reached\r\n");
            let limit = node.clients.limit;
            limited!(
                warn,
                "refused a client: there are as many as --max-clients and the limit of open files allow",
                limit
            );
            None
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.clients.connected.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Notice {
    fn tell(&self, why: String) {
        // Whoever told it first was right.
        if self.why.set(why).is_ok()
            && let Some(waker) = self.waker.get()
        {
            waker.wake_by_ref();
        }
    }
}

/// A connection as its event loop counts it.
pub(crate) struct Client {
    seat: Seat,
    account: Account,
    charged: Cell<Charged>,
    notice: Arc<Notice>,
    /// Since when a request is half sent, and how many of its bytes are there.
    half_sent: Cell<Option<Instant>>,
    arrived: Cell<usize>,
    /// Since when nothing was read of what waits, if the connection waits for that.
    unread: Cell<Option<Instant>>,
}

impl Client {
    /// Makes a connection known to its event loop and to the node's budget, until it is dropped and
    /// [`Shard::clients`] has forgotten it.
    pub(super) fn enter(shard: &Shard, seat: Seat) -> Rc<Self> {
        let mut table = shard.node.clients.table();
        let account = table.budget.open();
        let notice = Arc::<Notice>::default();
        if table.notices.len() <= account.index() {
            table.notices.resize(account.index() + 1, None);
        }
        table.notices[account.index()] = Some(notice.clone());
        drop(table);
        let client = Rc::new(Self {
            seat,
            account,
            charged: Cell::default(),
            notice,
            half_sent: Cell::default(),
            arrived: Cell::default(),
            unread: Cell::default(),
        });
        shard.clients.borrow_mut().insert(account.index(), client.clone());
        client
    }

    /// It is gone.
    pub(super) fn leave(&self, shard: &Shard) {
        shard.clients.borrow_mut().remove(&self.account.index());
    }

    /// It holds so many bytes of memory now.
    pub(super) fn hold(&self, shard: &Shard, bytes: usize) {
        let mut charged = self.charged.get();
        if let Some(charge) = charged.change(bytes) {
            self.charged.set(charged);
            shard.node.clients.charge(self.account, charge);
        }
    }

    /// Waits until the connection has to leave, and says why.
    pub(super) async fn told_to_leave(&self) -> String {
        std::future::poll_fn(|context| {
            // A connection is one task for as long as it lives.
            self.notice.waker.get_or_init(|| context.waker().clone());
            self.notice.why.get().map_or(Poll::Pending, |why| Poll::Ready(why.clone()))
        })
        .await
    }

    /// Whether the rest of a request is waited for now, of which so much is there; `anew` if others have been complete since.
    pub(super) fn wait_for_request(&self, waits: bool, anew: bool, arrived: usize, now: Instant) {
        let since = self.half_sent.get().filter(|_| !anew).unwrap_or(now);
        self.half_sent.set(waits.then_some(since));
        self.arrived.set(arrived);
    }

    /// Whether nothing more is done for the connection before it reads.
    pub(super) fn wait_for_reader(&self, waits: bool) {
        if !waits {
            self.unread.set(None);
        } else if self.unread.get().is_none() {
            self.unread.set(Some(now_instant()));
        }
    }

    /// It has read something.
    pub(super) fn has_read(&self) {
        self.unread.set(None);
    }

    fn look(&self, now: Instant) {
        let clients = &self.seat.0.clients;
        if let Some(since) = self.half_sent.get()
            && patience::is_half_sent_for_too_long(since, self.arrived.get(), now)
        {
            let (arrived, seconds) = (self.arrived.get(), now.since(since).as_secs());
            self.notice.tell(format!("a request is half sent for {seconds} s: {arrived} bytes are there"));
        }
        if let Some(since) = self.unread.get()
            && now.since(since) > patience::UNREAD
        {
            clients.unread.fetch_add(1, Ordering::Relaxed);
            let (limit, seconds) = (self.seat.0.settings.client_output_limit, now.since(since).as_secs());
            self.notice.tell(format!(
                "it has read nothing for {seconds} s of the replies that wait for it, and no more than \
                 --client-output-limit, {limit} bytes, may wait"
            ));
            self.unread.set(None);
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let clients = &self.seat.0.clients;
        let mut table = clients.table();
        table.notices[self.account.index()] = None;
        table.budget.close(self.account);
        clients.too_much.store(table.budget.is_exceeded(), Ordering::Relaxed);
    }
}

/// Looks after the clients of an event loop that are waited for, and gives memory back that clients have held.
pub(crate) async fn keep_patience(shard: Rc<Shard>) {
    let mut most = 0;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = now_instant();
        shard.clients.borrow().values().for_each(|client| client.look(now));
        let held = shard.node.clients.memory();
        if held + FALLEN_BYTES <= most {
            crate::memory::give_back();
            most = held;
        }
        most = most.max(held);
    }
}
