//! Catching up: writes that did not reach a peer are sent again when it is back.
//!
//! The protocol does not need this: a Get repairs what it reads. It keeps Gets at one round trip after a node was
//! away. Sending a stored version again creates no new one (rule V2), so it is always safe.

use super::shard::Shard;
use bytes::Bytes;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Bytes of keys remembered for a peer that is away. Beyond it the newest writes are left to the Gets.
const MISSED_BYTES_MAX: usize = 8 << 20;
/// Keys sent to a peer before the other work gets its turn.
const PAGE: usize = 256;
const PAUSE: Duration = Duration::from_millis(20);

/// Keys whose newest version a peer may lack.
pub(crate) struct Missed {
    by_member: Vec<Mutex<(HashSet<Bytes>, usize)>>,
    wake: Notify,
}

impl Missed {
    pub(crate) fn new(members: usize) -> Self {
        Self { by_member: (0..members).map(|_| Mutex::default()).collect(), wake: Notify::new() }
    }

    pub(crate) fn add(&self, index: usize, key: &Bytes) {
        let mut missed = self.by_member[index].lock().unwrap_or_else(PoisonError::into_inner);
        if missed.1 < MISSED_BYTES_MAX && !missed.0.contains(key) {
            missed.1 += key.len() + 96;
            // A copy, so that the set does not keep network buffers alive.
            missed.0.insert(Bytes::copy_from_slice(key));
        }
    }

    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    fn take(&self, index: usize) -> Vec<Bytes> {
        let mut missed = self.by_member[index].lock().unwrap_or_else(PoisonError::into_inner);
        let page: Vec<Bytes> = missed.0.iter().take(PAGE).cloned().collect();
        for key in &page {
            missed.0.remove(key);
            missed.1 = missed.1.saturating_sub(key.len() + 96);
        }
        page
    }
}

/// Sends what peers missed, a page at a time.
pub(crate) async fn keep_repairing(shard: Rc<Shard>) {
    let node = shard.node.clone();
    loop {
        let mut sent = 0;
        for index in 0..node.members.count() {
            if node.is_peer_up(index) && shard.has_room_for(index) {
                for key in node.missed.take(index) {
                    shard.send_again(index, key).await;
                    sent += 1;
                }
            }
        }
        if sent > 0 {
            tokio::time::sleep(PAUSE).await;
        } else {
            node.missed.wake.notified().await;
        }
    }
}
