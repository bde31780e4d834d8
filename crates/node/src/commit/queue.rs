//! The queue in front of the disk.

use super::Batch;
use abd::{AfterCommit, Refusal, Reply, WriteGroup};
use core::mem;

/// Bytes that may wait for the disk. Above it writes are refused, so that a slow disk costs bounded memory.
pub const QUEUE_BYTES_MAX: usize = 64 << 20;
/// What a write that waits takes beside its bytes, about.
pub const WRITE_OVERHEAD: usize = 256;

/// Writes that wait for the disk.
#[derive(Clone, Debug)]
pub struct Queue<G, To> {
    gathered: Batch<G, To>,
    bytes_max: usize,
    closed: bool,
}

impl<G: WriteGroup, To> Queue<G, To> {
    /// One in which about so many bytes may wait.
    pub fn new(bytes_max: usize) -> Self {
        Self { gathered: Batch::default(), bytes_max, closed: false }
    }

    /// Takes a write over, out of `put`; refuses it when too much waits already. Whether whoever works on the disk has to be
    /// woken for it.
    ///
    /// # Errors
    /// The refusal.
    pub fn enqueue(&mut self, put: &mut G, reply: AfterCommit, to: To) -> Result<bool, Reply> {
        if self.closed || self.bytes() > self.bytes_max {
            put.clear();
            return Err(Reply::Refused(Refusal::Overloaded));
        }
        self.gathered.writes.append(put);
        self.gathered.replies.push((to, reply));
        Ok(self.len() == 1)
    }

    /// Moves what has gathered into an empty batch.
    pub fn take(&mut self, batch: &mut Batch<G, To>) {
        assert!(batch.is_empty(), "the last batch is not answered yet");
        mem::swap(&mut self.gathered, batch);
    }

    /// Takes no more; what waits still becomes durable.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Whether nothing waits, and nothing will.
    pub fn has_ended(&self) -> bool {
        self.closed && self.is_empty()
    }

    /// Writes that wait.
    pub fn len(&self) -> usize {
        self.gathered.replies.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.gathered.is_empty()
    }

    /// What the writes that wait take, about.
    pub fn bytes(&self) -> usize {
        self.gathered.writes.bytes() + WRITE_OVERHEAD * self.len()
    }
}
