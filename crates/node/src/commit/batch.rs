//! A batch, and what follows from what of it fitted on the disk.

use crate::repair::is_repair;
use abd::{AfterCommit, CallId, Fit, Refusal, Reply, Version, WriteGroup};
use alloc::vec::Vec;
use bytes::Bytes;

/// Room for so many replies is kept from batch to batch.
const REPLIES_KEPT: usize = 1024;

/// Where a reply goes.
pub trait Address {
    /// The call of this node's own coordinator, or of its repair; `None` for a peer's.
    fn own_call(&self) -> Option<CallId>;
}

/// Writes, and the replies that wait for them, in the same order.
#[derive(Clone, Debug)]
pub struct Batch<G, To> {
    /// The writes.
    pub writes: G,
    /// For each of them where its reply goes, and the reply, sealed.
    pub replies: Vec<(To, AfterCommit)>,
}

/// What becomes of one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened<To> {
    /// Where the reply goes.
    pub to: To,
    /// The reply.
    pub reply: Reply,
    /// The write, if the own replica has refused it and repair has to remember it for all peers: one of them may have it
    /// (rule R2). To be told before the reply. Nobody misses what was only proposed.
    pub missed: Option<(Bytes, Version)>,
}

impl<G: WriteGroup, To> Default for Batch<G, To> {
    fn default() -> Self {
        Self { writes: G::default(), replies: Vec::new() }
    }
}

impl<G: WriteGroup, To> Batch<G, To> {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }
}

impl<G: WriteGroup, To: Address> Batch<G, To> {
    /// The disk has taken what fitted: opens the replies to what is durable (rule S1), refuses the rest, and empties the batch.
    pub fn open(&mut self, fit: &Fit, mut answer: impl FnMut(Opened<To>)) {
        assert_eq!(self.writes.len(), self.replies.len(), "each reply waits for one write");
        let mut versions = (*fit != Fit::All).then(|| self.writes.versions());
        for ((to, reply), needs_room) in self.replies.drain(..).zip(self.writes.need_room()) {
            let version = versions.as_mut().and_then(Iterator::next).flatten();
            let opened = if fit.has(needs_room) {
                Opened { to, reply: reply.committed(), missed: None }
            } else {
                // Repair knows itself what became of its calls.
                let is_own = to.own_call().is_some_and(|call| !is_repair(call));
                let missed = version.filter(|_| is_own && reply.acknowledges_write());
                Opened { to, reply: Reply::Refused(Refusal::DiskFull), missed }
            };
            answer(opened);
        }
        drop(versions);
        self.writes.clear();
        self.replies.shrink_to(REPLIES_KEPT);
    }
}
