//! What waits for a socket, and its sender: the waiting around [`Outgoing`].

use super::ConnectionError;
use crate::node::signal::Signal;
use ::node::hello::LaneKind;
use ::node::lanes::outgoing::{NoRoom, Outgoing, Patience};
use abd::{CallId, Instant, Reply, Transmit};
use bytes::BytesMut;
use std::cell::RefCell;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

/// A buffer that has grown beyond this is given back after use.
const KEPT_BYTES: usize = 1 << 20;
/// How long the most patient frames wait.
const LONG: Duration = Duration::from_millis(1);

/// What waits for a socket.
pub(crate) struct Outbox {
    outgoing: RefCell<Outgoing>,
    wake: Signal,
    /// How long the most patient frames wait.
    long: Duration,
}

impl Outbox {
    pub(crate) fn new(kind: LaneKind) -> Self {
        Self::with_patience(kind, LONG)
    }

    fn with_patience(kind: LaneKind, long: Duration) -> Self {
        let outgoing = RefCell::new(Outgoing::new(kind));
        Self { outgoing, wake: Signal::default(), long }
    }

    /// Queues a reply of the Replica service.
    pub(super) fn reply(&self, call: CallId, reply: &Reply) {
        let wakes = self.outgoing.borrow_mut().reply(call, reply);
        self.wake_if(wakes);
    }

    /// Queues a request.
    ///
    /// # Errors
    /// [`NoRoom`]: it is dropped.
    pub(super) fn request(&self, transmit: Transmit, now: Instant) -> Result<(), NoRoom> {
        let wakes = self.outgoing.borrow_mut().request(transmit, now)?;
        self.wake_if(wakes);
        Ok(())
    }

    /// Queues any other frame.
    pub(crate) fn frame(&self, body: impl FnOnce(&mut BytesMut)) {
        self.frame_of(Patience::None, body);
    }

    fn frame_of(&self, patience: Patience, body: impl FnOnce(&mut BytesMut)) {
        let wakes = self.outgoing.borrow_mut().frame(patience, body);
        self.wake_if(wakes);
    }

    fn wake_if(&self, wakes: bool) {
        if wakes {
            self.wake.give();
        }
    }

    /// Encodes what may go; see [`Outgoing::refill`].
    pub(super) fn refill(&self, now: impl FnOnce() -> Instant, drop_it: impl FnMut(CallId) -> bool) {
        if self.has_backlog() {
            self.outgoing.borrow_mut().refill(now(), drop_it);
        }
    }

    pub(super) fn has_backlog(&self) -> bool {
        self.outgoing.borrow().has_backlog()
    }

    pub(super) fn takes_contents(&self) -> bool {
        self.outgoing.borrow().takes_contents()
    }

    /// Bytes that the peer has left unread, if they are too many.
    pub(super) fn overrun(&self) -> Option<usize> {
        self.outgoing.borrow().overrun()
    }

    /// The requests that wait unencoded, when the lane has ended.
    pub(super) fn take_backlog(&self) -> impl Iterator<Item = Transmit> {
        self.outgoing.borrow_mut().take_backlog().into_iter()
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
            self.outgoing.borrow_mut().take(&mut chunk);
            if chunk.is_empty() {
                self.wake.wait().await;
                if self.patience() == Some(Patience::Long) {
                    tokio::select! {
                        biased;
                        () = self.wake.wait() => {}
                        () = tokio::time::sleep(self.long) => continue,
                    }
                }
                if self.patience() == Some(Patience::Round) {
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

    fn patience(&self) -> Option<Patience> {
        self.outgoing.borrow().patience()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::node::lanes::outgoing::LONG_BYTES;
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
            let outbox = Rc::new(Outbox::with_patience(LaneKind::Small, long));
            let sender = outbox.clone();
            tokio::task::spawn_local(async move { sender.drain_into(sending.into_split().1, || {}).await });
            yield_now().await;
            test(outbox, receiving).await;
        });
    }

    fn put(outbox: &Outbox, patience: Patience, size: usize) {
        outbox.frame_of(patience, |body| body.extend_from_slice(&vec![7; size]));
    }

    fn len(outbox: &Outbox) -> usize {
        outbox.outgoing.borrow().len()
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
                assert_eq!(len(&outbox), 18, "it waits");
                put(&outbox, other, 10);
                turns().await;
                assert_eq!(len(&outbox), 0, "{other:?}");
                receiving.read_exact(&mut [0; 36]).await.unwrap();
            }
            // Again, after one that waited.
            put(&outbox, Patience::Round, 10);
            turns().await;
            assert_eq!(len(&outbox), 0);
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
            assert_eq!(len(&outbox), 0);
        });
    }
}
