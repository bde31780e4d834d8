//! `FLUSHALL ASYNC`: a client of this node's own asks for it and waits for the reply. The first event loop has it.

use super::info::uptime;
use super::now_instant;
use super::shard::Shard;
use ::node::client::conversation::{Advance, Conversation};
use ::node::client::front::Resp;
use ::node::resp::{Limits, Session};
use bytes::BytesMut;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// What is asked for.
const REQUEST: &[u8] = b"FLUSHALL SYNC\r\n";

/// How far this node is with deleting all keys.
#[derive(Debug, Default)]
pub(crate) struct Flushing {
    asked: Notify,
    runs: AtomicBool,
    deleted: AtomicU64,
    error: Mutex<String>,
}

impl Flushing {
    /// Has all keys deleted; once more from the first key if that is under way.
    pub(crate) fn ask(&self) {
        self.asked.notify_one();
    }

    /// So many keys were deleted, in the background or not.
    pub(crate) fn count(&self, keys: usize) {
        self.deleted.fetch_add(keys as u64, Ordering::Relaxed);
    }

    pub(crate) fn is_running(&self) -> bool {
        self.runs.load(Ordering::Relaxed)
    }

    pub(crate) fn deleted(&self) -> u64 {
        self.deleted.load(Ordering::Relaxed)
    }

    /// Why the last one has not come to its end; empty if it has.
    pub(crate) fn last_error(&self) -> String {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn ended(&self, error: String) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error;
        self.runs.store(false, Ordering::Relaxed);
    }
}

/// Deletes all keys whenever that is asked for.
pub(super) async fn keep_flushing(shard: Rc<Shard>) {
    let flushing = shard.report.flushing.clone();
    loop {
        flushing.asked.notified().await;
        flushing.runs.store(true, Ordering::Relaxed);
        let reply = flush(&shard).await;
        let error = reply.strip_prefix('-').unwrap_or_default().trim_end().to_owned();
        if !error.is_empty() {
            tracing::warn!(error, "FLUSHALL ASYNC has not come to its end; repeat it to go on");
        }
        flushing.ended(error);
    }
}

/// The reply.
async fn flush(shard: &Shard) -> String {
    let own = || "flush".to_owned();
    let session = Session::new(shard.all_clients.next_id(), own(), own(), uptime(), Limits::default());
    let front = Resp::new(session, Limits::default());
    let limit = shard.settings.client_output_limit;
    let mut conversation =
        Conversation::new(front, BytesMut::from(REQUEST), limit, Rc::default(), now_instant());
    let mut stops = std::pin::pin!(shard.membership.wait_to_stop());
    loop {
        match conversation.advance(shard) {
            Ok(Advance::OthersTurn) => tokio::task::yield_now().await,
            Ok(Advance::Waits) => {
                if !conversation.output().is_empty() {
                    return String::from_utf8_lossy(conversation.output()).into_owned();
                }
                tokio::select! {
                    biased;
                    () = &mut stops => break,
                    () = poll_fn(|context| conversation.poll_settle(shard, context)) => {}
                }
            }
            Ok(Advance::Done) | Err(_) => unreachable!("it is one request that makes sense"),
        }
    }
    conversation.abandon(shard);
    "-the node stops".to_owned()
}
