//! The thread of an event loop: the tasks of its shard, and the connections that it is given. The first one accepts them.

use super::changes::{self, Changes};
use super::client::Clients;
use super::client::{self, Seat};
use super::clock::NodeClock;
use super::disk::Disk;
use super::healing::Healing;
use super::membership::Membership;
use super::repair::Repairs;
use super::report::Report;
use super::scripts::Scripts;
use super::shard::Shard;
use super::stats::Stats;
use super::supervise::Supervisor;
use super::{flush, http, peer, repair, sockets, stats, sweep};
use crate::config::Settings;
use crate::logging::limit::limited;
use ::node::inquiry::notes::Notes;
use ::node::shard::PARTING;
use abd::{Instant, Reason, TimestampIssuer};
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a stopping node waits for operations in flight. Longer than operations may take by default, and less than whoever
/// stops it waits before he kills it.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// The same for a node that is no member any more: those who are answer it for a little longer than this ([`PARTING`]), and then nobody
/// does.
const PARTED_DRAIN_LIMIT: Duration = PARTING.checked_div(4).unwrap();
/// Then it writes the last answers.
const LAST_WORDS: Duration = Duration::from_millis(10);

/// A connection on its way to the shard that serves it.
pub(crate) enum Accepted {
    Client(std::net::TcpStream, Seat),
    Peer(std::net::TcpStream),
    Lane(Box<peer::Handover>),
}

/// The way to each event loop.
pub(crate) struct Loops(Box<[mpsc::UnboundedSender<Accepted>]>);

impl Loops {
    /// The ways to so many event loops, and where they end.
    pub(super) fn new(count: usize) -> (Self, Vec<mpsc::UnboundedReceiver<Accepted>>) {
        let (ways, ends): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        (Self(ways.into()), ends)
    }

    /// Hands a connection to an event loop. One that is gone ends the node, unless that stops anyway.
    pub(crate) fn hand_to(&self, index: usize, connection: Accepted) {
        let _ = self.0[index].send(connection);
    }
}

/// What each event loop is given of what a node has once, to hold what it needs.
#[derive(Clone)]
pub(crate) struct Given {
    pub(super) settings: Arc<Settings>,
    pub(super) clock: Arc<NodeClock>,
    pub(super) issuer: Arc<TimestampIssuer>,
    pub(super) disk: Arc<Disk>,
    pub(super) membership: Arc<Membership>,
    pub(super) repairs: Arc<Repairs>,
    pub(super) changes: Arc<Changes>,
    pub(super) healing: Arc<Healing>,
    pub(super) notes: Arc<Mutex<Notes>>,
    pub(super) clients: Arc<Clients>,
    pub(super) stats: Arc<Stats>,
    pub(super) report: Arc<Report>,
    pub(super) scripts: Arc<Scripts>,
    pub(super) supervisor: Arc<Supervisor>,
    pub(super) loops: Arc<Loops>,
}

/// For peers, for clients, for HTTP.
pub(super) type Listeners = [Vec<TcpListener>; 3];

/// What the thread of an event loop does, until the node stops.
pub(super) fn run(
    given: Given,
    index: usize,
    mut accepted: mpsc::UnboundedReceiver<Accepted>,
    listeners: Option<Listeners>,
) {
    let busy = Arc::new(AtomicBool::new(false));
    let about_to_sleep = {
        let busy = busy.clone();
        move || {
            if busy.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
        }
    };
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = match builder.enable_all().on_thread_park(about_to_sleep).build() {
        Ok(runtime) => runtime,
        Err(why) => return given.supervisor.fail(format!("cannot start an event loop: {why}")),
    };
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let (repairs, stats) = (given.repairs.clone(), given.stats.clone());
        let (changes, healing) = (given.changes.clone(), given.healing.clone());
        let shard = Shard::new(given, index, busy);
        let Shard { supervisor, membership, .. } = &*shard;
        supervisor.task("completions", shard.clone().deliver_completions());
        supervisor.task("scripts", shard.clone().deliver_evaluated());
        supervisor.task("timer", shard.clone().keep_time());
        supervisor.task("questions", shard.clone().answer_questions());
        supervisor.task("client patience", client::keep_patience(shard.clone()));
        supervisor.task("peers", peer::keep_lanes(shard.clone()));
        supervisor.task("configurations", changes::follow(shard.clone()));
        if let Some([peers, clients, http]) = listeners {
            for listener in peers {
                supervisor.task(
                    "accept peers",
                    accept(shard.clone(), listener, |stream| Some(Accepted::Peer(stream))),
                );
            }
            for listener in clients {
                let clients = shard.all_clients.clone();
                let admit = move |stream| client::admit(&clients, stream);
                supervisor.task("accept clients", accept(shard.clone(), listener, admit));
            }
            supervisor.task("flush", flush::keep_flushing(shard.clone()));
            supervisor.task("rates", stats::keep_rates(stats));
            supervisor.task("sweep", sweep::keep_sweeping(shard.clone()));
            supervisor.task("changes", changes::keep_driving(shard.clone()));
            let prepares = changes::keep_preparing(shard.clone(), changes.clone(), healing);
            supervisor.task("expected configurations", prepares);
            supervisor.task("directory", changes::keep_remembering(shard.clone(), changes));
            supervisor.task("repair", repair::keep_repairing(shard.clone(), repairs));
            for listener in http {
                supervisor.task("http", http::serve(shard.report.clone(), supervisor.clone(), listener));
            }
        }
        let mut stops = std::pin::pin!(membership.wait_to_stop());
        let mut begins = std::pin::pin!(membership.wait_to_begin());
        let mut has_begun = false;
        loop {
            let connection = tokio::select! {
                biased;
                () = &mut stops => break,
                () = &mut begins, if !has_begun => {
                    has_begun = true;
                    shard.parked.borrow().wake();
                    continue;
                }
                connection = accepted.recv() => connection,
            };
            let Some(connection) = connection else { break };
            match connection {
                Accepted::Client(stream, seat) => {
                    if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
                        tokio::task::spawn_local(client::serve(shard.clone(), stream, seat));
                    }
                }
                Accepted::Peer(stream) => {
                    if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
                        tokio::task::spawn_local(peer::serve_connection(shard.clone(), stream));
                    }
                }
                Accepted::Lane(handover) => {
                    tokio::task::spawn_local(peer::serve_handed_over(shard.clone(), *handover));
                }
            }
        }
        shard.refuse_parked(Instant(u64::MAX));
        let is_parted = matches!(membership.admission.not_begun(), Reason::Retired { .. });
        shard.drain(if is_parted { PARTED_DRAIN_LIMIT } else { DRAIN_LIMIT }).await;
        // Answers that are ready still go out.
        tokio::time::sleep(LAST_WORDS).await;
    });
}

/// Gives each event loop its share of the connections that `admit` lets in.
async fn accept(
    shard: Rc<Shard>,
    listener: TcpListener,
    admit: impl Fn(std::net::TcpStream) -> Option<Accepted>,
) {
    let prepared = sockets::prepare(&listener).and_then(|()| tokio::net::TcpListener::from_std(listener));
    let listener = match prepared {
        Ok(listener) => listener,
        Err(why) => return shard.supervisor.fail(format!("cannot accept connections: {why}")),
    };
    let mut turn = 0;
    let mut stops = std::pin::pin!(shard.membership.wait_to_stop());
    loop {
        let accepted = tokio::select! {
            biased;
            // Closes the port.
            () = &mut stops => return,
            accepted = listener.accept() => accepted,
        };
        match accepted.and_then(|(stream, _)| stream.into_std()) {
            Ok(stream) => {
                let Some(admitted) = admit(stream) else { continue };
                turn = (turn + 1) % usize::from(shard.membership.own.loops);
                shard.loops.hand_to(turn, admitted);
            }
            Err(why) => {
                // Out of file descriptors, say: the connections that are there go on.
                limited!(warn, "cannot accept a connection", %why);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
