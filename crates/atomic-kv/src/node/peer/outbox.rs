//! Frames on their way out of a connection. Whoever queues one never waits for the socket.
//!
//! Writes and their acknowledgements are patient: one waits for a disk, the other has waited for it. They go with the next
//! frame that is not, or when the event loop has seen to everything else that is ready. So a busy node sends fewer and
//! larger messages, and an idle one looks for more once before it sends them. Writes beyond a majority are more patient
//! still: with few operations in flight they would be in the way of those that somebody waits for, at the peer's processor
//! and at its disk.

use super::ConnectionError;
use crate::node::signal::Signal;
use abd::wire::{put_frame, put_reply};
use abd::{CallId, Reply};
use bytes::BytesMut;
use std::cell::{Cell, RefCell};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

/// Bytes that may wait for a peer that does not read them. Beyond it the side that was connected to reads no more; the
/// other one answers no more reads.
pub(super) const OUT_BYTES_MAX: usize = 8 << 20;
/// A buffer that has grown beyond this is given back after use.
const KEPT_BYTES: usize = 1 << 20;
/// How long the most patient frames wait, and while how few bytes do.
const LONG: Duration = Duration::from_millis(1);
const LONG_BYTES: usize = 64 << 10;

/// What a frame waits for at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Patience {
    /// Nothing.
    None,
    /// Until the event loop has seen to everything else that is ready.
    Round,
    /// For a millisecond or two.
    Long,
}

/// What waits for a socket.
pub(crate) struct Outbox {
    out: RefCell<BytesMut>,
    /// Of the least patient frame that waits, if any does.
    patience: Cell<Option<Patience>>,
    wake: Signal,
    drained: Signal,
    /// How long the most patient frames wait.
    long: Duration,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::with_patience(LONG)
    }
}

impl Outbox {
    fn with_patience(long: Duration) -> Self {
        Self {
            out: RefCell::default(),
            patience: Cell::default(),
            wake: Signal::default(),
            drained: Signal::default(),
            long,
        }
    }

    /// Queues a reply of the Replica service.
    pub(crate) fn reply(&self, call: CallId, reply: &Reply) {
        let patience = if matches!(reply, Reply::Written { .. }) { Patience::Round } else { Patience::None };
        self.frame_of(patience, |body| put_reply(body, call, reply));
    }

    /// Queues any frame.
    pub(crate) fn frame(&self, body: impl FnOnce(&mut BytesMut)) {
        self.frame_of(Patience::None, body);
    }

    /// Queues a frame that may be patient.
    pub(crate) fn frame_of(&self, patience: Patience, body: impl FnOnce(&mut BytesMut)) {
        let mut out = self.out.borrow_mut();
        put_frame(&mut out, body);
        let patience = if out.len() > LONG_BYTES { patience.min(Patience::Round) } else { patience };
        let least = self.patience.get();
        // The sender knows already that something waits that is as patient; waking it again would end that patience.
        let wakes = patience == Patience::None || least.is_none_or(|least| patience < least);
        self.patience.set(Some(least.map_or(patience, |least| least.min(patience))));
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

    /// Whether there is room for one more value. One that comes late and finds none is forgotten: the operation that asked
    /// asks again.
    pub(crate) fn takes_values(&self) -> bool {
        self.len() <= OUT_BYTES_MAX
    }

    /// Forgets what waits.
    pub(crate) fn clear(&self) {
        self.out.borrow_mut().clear();
        self.patience.set(None);
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
            self.patience.set(None);
            self.drained.give();
            if chunk.is_empty() {
                self.wake.wait().await;
                if self.patience.get() == Some(Patience::Long) {
                    tokio::select! {
                        biased;
                        () = self.wake.wait() => {}
                        () = tokio::time::sleep(self.long) => continue,
                    }
                }
                if self.patience.get() == Some(Patience::Round) {
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
        while !self.takes_values() {
            self.drained.wait().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::rc::Rc;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::yield_now;
    use tokio::time::timeout;

    /// Runs with an outbox that is being sent, and where its bytes arrive.
    fn with_outbox<T: Future<Output = ()>>(long: Duration, test: impl FnOnce(Rc<Outbox>, TcpStream) -> T) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let sending = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (receiving, _) = listener.accept().await.unwrap();
            let outbox = Rc::new(Outbox::with_patience(long));
            let sender = outbox.clone();
            tokio::task::spawn_local(async move { sender.drain_into(sending.into_split().1, || {}).await });
            yield_now().await;
            test(outbox, receiving).await;
        });
    }

    fn put(outbox: &Outbox, patience: Patience, size: usize) {
        outbox.frame_of(patience, |body| body.extend_from_slice(&vec![7; size]));
    }

    /// As many turns as the sender needs to send what does not wait for time.
    async fn turns() {
        for _ in 0..4 {
            yield_now().await;
        }
    }

    /// Longer than any test.
    const FOREVER: Duration = Duration::from_secs(3600);

    #[test]
    fn the_most_patient_frame_goes_with_the_next() {
        with_outbox(FOREVER, async |outbox, mut receiving| {
            for other in [Patience::None, Patience::Round] {
                put(&outbox, Patience::Long, 10);
                turns().await;
                assert_eq!(outbox.len(), 18, "it waits");
                put(&outbox, other, 10);
                turns().await;
                assert_eq!(outbox.len(), 0, "{other:?}");
                receiving.read_exact(&mut [0; 36]).await.unwrap();
            }
            // Again, after one that waited.
            put(&outbox, Patience::Round, 10);
            turns().await;
            assert_eq!(outbox.len(), 0);
        });
    }

    #[test]
    fn the_most_patient_frame_goes_after_a_while() {
        with_outbox(LONG, async |outbox, mut receiving| {
            for _ in 0..3 {
                put(&outbox, Patience::Long, 10);
                put(&outbox, Patience::Long, 10);
                timeout(Duration::from_secs(60), receiving.read_exact(&mut [0; 36])).await.unwrap().unwrap();
            }
        });
    }

    #[test]
    fn many_bytes_are_not_patient_for_long() {
        with_outbox(FOREVER, async |outbox, _receiving| {
            put(&outbox, Patience::Long, 10);
            put(&outbox, Patience::Long, LONG_BYTES);
            turns().await;
            assert_eq!(outbox.len(), 0);
            // What was forgotten has no patience that another frame could lose.
            put(&outbox, Patience::Long, 10);
            outbox.clear();
            put(&outbox, Patience::Long, 10);
            turns().await;
            assert_eq!(outbox.len(), 18);
        });
    }
}
