//! What the clients of a node hold, and which of them have to leave.

use super::Ended;
use crate::logging::limit::limited;
use crate::node::connections::Connections;
use crate::node::shard::Shard;
use crate::node::{Accepted, now_instant};
use ::node::client::budget::{Account, Budget, Charged};
use ::node::client::patience::{Lost, Patience};
use abd::Instant;
use std::cell::Cell;
use std::io::Write;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How often each event loop looks whether somebody is waited for in vain.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// When clients hold so much less than before, it is given back to the system.
const FALLEN_BYTES: u64 = 32 << 20;

/// All clients of a node, those of the Coordinator service included.
pub(crate) struct Clients {
    table: Mutex<Table>,
    /// Those of RESP, as CLIENT LIST has them.
    pub(crate) connections: Connections,
    /// Whether they hold too much, those included that are told to leave and have not left yet.
    too_much: AtomicBool,
    /// How many there may be.
    pub(crate) limit: usize,
    pub(crate) counts: ClientCounts,
    /// The last number that a connection was given.
    last_id: AtomicU64,
}

/// How many clients.
#[derive(Debug, Default)]
pub(crate) struct ClientCounts {
    /// Are there.
    pub(crate) connected: AtomicU64,
    /// Have been there.
    pub(crate) received: AtomicU64,
    /// Were not let in, as there were too many.
    pub(crate) rejected: AtomicU64,
    /// Had to leave, as all together held too much.
    pub(crate) evicted: AtomicU64,
    /// Were closed as they did not read what they had asked for.
    pub(crate) unread: AtomicU64,
}

struct Table {
    budget: Budget,
    /// By account.
    notices: Vec<Option<Arc<Notice>>>,
}

/// Tells a connection that it has to leave, from whatever thread.
#[derive(Debug, Default)]
pub(crate) struct Notice {
    /// `None`: another client has closed it.
    why: OnceLock<Option<String>>,
    /// Of the connection's task.
    waker: OnceLock<Waker>,
}

/// A client's right to be there.
pub(crate) struct Seat(Arc<Clients>);

impl Clients {
    /// None yet.
    pub(crate) fn new(limit: usize, memory: u64) -> Self {
        let table = Table { budget: Budget::new(memory), notices: Vec::new() };
        Self {
            table: Mutex::new(table),
            connections: Connections::default(),
            too_much: AtomicBool::new(false),
            limit,
            counts: ClientCounts::default(),
            last_id: AtomicU64::new(0),
        }
    }

    /// A number that no other connection has had.
    pub(crate) fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
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
            self.counts.evicted.fetch_add(1, Ordering::Relaxed);
            let limit = table.budget.limit();
            let why = format!(
                "all clients together hold more than --clients-memory allows, {limit} bytes, and this one holds most: \
                 {held} bytes"
            );
            if let Some(notice) = &table.notices[leaving.index()] {
                notice.tell(Some(why));
            }
        }
        self.too_much.store(table.budget.is_exceeded(), Ordering::Relaxed);
    }
}

impl Seat {
    /// Lets a client in, unless there are too many.
    pub(crate) fn take(clients: &Arc<Clients>) -> Option<Self> {
        if clients.counts.connected.fetch_add(1, Ordering::Relaxed) >= clients.limit as u64 {
            clients.counts.connected.fetch_sub(1, Ordering::Relaxed);
            clients.counts.rejected.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        clients.counts.received.fetch_add(1, Ordering::Relaxed);
        Some(Self(clients.clone()))
    }
}

/// Lets a client in, or tells it that there are too many and closes the connection.
pub(crate) fn admit(clients: &Arc<Clients>, stream: TcpStream) -> Option<Accepted> {
    match Seat::take(clients) {
        Some(seat) => Some(Accepted::Client(stream, seat)),
        None => {
            // The words of Redis. A new connection takes so few bytes at once, or nobody is there any more.
            let _ = (&stream).write(b"-ERR max number of clients reached\r\n");
            let limit = clients.limit;
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
        self.0.counts.connected.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Notice {
    /// Tells it why, or that another client has closed it. Whether nobody has told it before: whoever was first was right.
    pub(crate) fn tell(&self, why: Option<String>) -> bool {
        let is_first = self.why.set(why).is_ok();
        if is_first && let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
        is_first
    }
}

/// A connection as its event loop counts it.
pub(crate) struct Client {
    seat: Seat,
    account: Account,
    charged: Cell<Charged>,
    /// By which others tell it to leave.
    pub(super) notice: Arc<Notice>,
    /// How long it is waited for.
    pub(super) patience: Rc<Patience>,
}

impl Client {
    /// Makes a connection known to its event loop and to the node's budget, until it is dropped and
    /// [`Shard::clients`] has forgotten it.
    pub(super) fn enter(shard: &Shard, seat: Seat) -> Rc<Self> {
        let mut table = shard.all_clients.table();
        let account = table.budget.open();
        let notice = Arc::<Notice>::default();
        if table.notices.len() <= account.index() {
            table.notices.resize(account.index() + 1, None);
        }
        table.notices[account.index()] = Some(notice.clone());
        drop(table);
        let client =
            Rc::new(Self { seat, account, charged: Cell::default(), notice, patience: Rc::default() });
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
            shard.all_clients.charge(self.account, charge);
        }
    }

    /// Why the connection has to leave, as soon as it has to.
    pub(super) fn poll_told(&self, context: &mut Context<'_>) -> Poll<Ended> {
        // A connection is one task for as long as it lives.
        self.notice.waker.get_or_init(|| context.waker().clone());
        let Some(why) = self.notice.why.get() else { return Poll::Pending };
        Poll::Ready(why.clone().map_or(Ended::Killed, Ended::Closed))
    }

    fn look(&self, now: Instant, output_limit: usize) {
        if let Some(lost) = self.patience.look(now, output_limit)
            && self.notice.tell(Some(lost.to_string()))
            && matches!(lost, Lost::Unread { .. })
        {
            self.seat.0.counts.unread.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let clients = &self.seat.0;
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
        let (now, output_limit) = (now_instant(), shard.settings.client_output_limit);
        shard.clients.borrow().values().for_each(|client| client.look(now, output_limit));
        let held = shard.all_clients.memory();
        if held + FALLEN_BYTES <= most {
            crate::memory::give_back();
            most = held;
        }
        most = most.max(held);
    }
}
