//! Frames on their way out of a connection. Whoever queues one never waits for the socket.
//!
//! Writes and their acknowledgements are patient: one waits for a disk, the other has waited for it. They go with the next
//! frame that is not, or when the event loop has seen to everything else that is ready. So a busy node sends fewer and
//! larger messages, and an idle one looks for more once before it sends them.

use super::ConnectionError;
use crate::node::signal::Signal;
use abd::wire::{put_frame, put_reply};
use abd::{CallId, Reply};
use bytes::BytesMut;
use std::cell::{Cell, RefCell};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

/// Bytes that may wait for a peer that does not read them; beyond it no more of its requests are read.
pub(super) const OUT_BYTES_MAX: usize = 8 << 20;
/// A buffer that has grown beyond this is given back after use.
const KEPT_BYTES: usize = 1 << 20;

/// What waits for a socket.
#[derive(Default)]
pub(crate) struct Outbox {
    out: RefCell<BytesMut>,
    /// Whether something waits that is not patient.
    urgent: Cell<bool>,
    wake: Signal,
    drained: Signal,
}

impl Outbox {
    /// Queues a reply of the Replica service.
    pub(crate) fn reply(&self, call: CallId, reply: &Reply) {
        let patient = matches!(reply, Reply::Written { .. });
        self.frame_of(patient, |body| put_reply(body, call, reply));
    }

    /// Queues any frame.
    pub(crate) fn frame(&self, body: impl FnOnce(&mut BytesMut)) {
        self.frame_of(false, body);
    }

    /// Queues a frame that may be patient.
    pub(crate) fn frame_of(&self, patient: bool, body: impl FnOnce(&mut BytesMut)) {
        let mut out = self.out.borrow_mut();
        // The sender knows already that something waits; waking it again would end its patience.
        let wakes = out.is_empty() || !patient;
        put_frame(&mut out, body);
        if !patient {
            self.urgent.set(true);
        }
        if wakes {
            self.wake();
        }
    }

    /// Has the sender look whether there is more to send.
    pub(crate) fn wake(&self) {
        self.wake.give();
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.out.borrow().len()
    }

    /// Forgets what waits.
    pub(crate) fn clear(&self) {
        self.out.borrow_mut().clear();
    }

    /// Sends what is queued, for as long as the connection takes it. Before each look, `refill` may queue more.
    pub(crate) async fn drain_into(
        &self,
        mut writer: OwnedWriteHalf,
        refill: impl Fn(),
    ) -> Result<(), ConnectionError> {
        let mut chunk = BytesMut::new();
        loop {
            refill();
            // Two buffers take turns: one is written while the other fills.
            chunk.clear();
            std::mem::swap(&mut chunk, &mut self.out.borrow_mut());
            self.urgent.set(false);
            if chunk.is_empty() {
                self.drained.give();
                self.wake.wait().await;
                if !self.urgent.get() && self.len() > 0 {
                    tokio::task::yield_now().await;
                }
                continue;
            }
            writer.write_all(&chunk).await?;
            if chunk.capacity() > KEPT_BYTES {
                chunk = BytesMut::new();
            }
        }
    }

    /// Waits until the other side has taken enough.
    pub(crate) async fn has_room(&self) {
        while self.len() > OUT_BYTES_MAX {
            self.drained.wait().await;
        }
    }
}
