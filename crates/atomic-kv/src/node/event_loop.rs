//! The thread of an event loop: the tasks of its shard, and the connections that it is given. The first one accepts them.

use super::client::{self, Seat};
use super::shard::Shard;
use super::{Node, http, peer, repair, sockets, stats, supervise};
use crate::logging::limit::limited;
use abd::{Instant, NodeId};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a stopping node waits for operations in flight. Longer than operations may take by default, and less than whoever
/// stops it waits before he kills it.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// Then it writes the last answers.
const LAST_WORDS: Duration = Duration::from_millis(10);

/// A connection on its way to the shard that serves it.
pub(crate) enum Accepted {
    Client(std::net::TcpStream, Seat),
    Peer(std::net::TcpStream),
    Lane(Box<peer::Handover>),
}

/// Lets a connection in, or closes it.
type Admit = fn(&Arc<Node>, std::net::TcpStream) -> Option<Accepted>;

/// For peers, for clients, for HTTP.
type Listeners = [Vec<TcpListener>; 3];

/// What the thread of an event loop does, until the node stops.
pub(super) fn run(
    node: &Arc<Node>,
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
        Err(why) => return node.fail(format!("cannot start an event loop: {why}")),
    };
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let shard = Shard::new(node.clone(), index, busy);
        supervise::task(node, "completions", shard.clone().deliver_completions());
        supervise::task(node, "timer", shard.clone().keep_time());
        supervise::task(node, "questions", shard.clone().answer_repair());
        supervise::task(node, "client patience", client::keep_patience(shard.clone()));
        for (id, address) in &node.settings.cluster {
            if *id != node.id.0 {
                peer::keep_lanes(&shard, NodeId(*id), address);
            }
        }
        if let Some([peers, clients, http]) = listeners {
            let admit_peer: Admit = |_, stream| Some(Accepted::Peer(stream));
            for listener in peers {
                supervise::task(node, "accept peers", accept(node.clone(), listener, admit_peer));
            }
            for listener in clients {
                supervise::task(node, "accept clients", accept(node.clone(), listener, client::admit));
            }
            supervise::task(node, "rates", stats::keep_rates(node.clone()));
            supervise::task(node, "repair", repair::keep_repairing(shard.clone()));
            for listener in http {
                supervise::task(node, "http", http::serve(shard.clone(), listener));
            }
        }
        let mut stops = std::pin::pin!(node.membership.wait_to_stop());
        let mut begins = std::pin::pin!(node.membership.wait_to_begin());
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
        shard.drain(DRAIN_LIMIT).await;
        // Answers that are ready still go out.
        tokio::time::sleep(LAST_WORDS).await;
    });
}

async fn accept(node: Arc<Node>, listener: TcpListener, admit: Admit) {
    let prepared = sockets::prepare(&listener).and_then(|()| tokio::net::TcpListener::from_std(listener));
    let listener = match prepared {
        Ok(listener) => listener,
        Err(why) => return node.fail(format!("cannot accept connections: {why}")),
    };
    let mut turn = 0;
    let mut stops = std::pin::pin!(node.membership.wait_to_stop());
    loop {
        let accepted = tokio::select! {
            biased;
            // Closes the port.
            () = &mut stops => return,
            accepted = listener.accept() => accepted,
        };
        match accepted.and_then(|(stream, _)| stream.into_std()) {
            Ok(stream) => {
                let Some(admitted) = admit(&node, stream) else { continue };
                turn = (turn + 1) % node.loops.len();
                node.hand_to(turn, admitted);
            }
            Err(why) => {
                // Out of file descriptors, say: the connections that are there go on.
                limited!(warn, "cannot accept a connection", %why);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
