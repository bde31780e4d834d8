//! Sends what waits for a socket, as patiently as it may be.

use super::ConnectionError;
use crate::node::signal::Signal;
use ::node::lanes::outgoing::Patience;
use bytes::BytesMut;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

/// A buffer that has grown beyond this is given back after use.
const KEPT_BYTES: usize = 1 << 20;

/// Sends for as long as the connection takes it. `take` exchanges what waits for an empty buffer; `sends` is given when there may be
/// something, unless that is as patient as what waits already; `long` is how long the most patient frames wait.
pub(super) async fn send_all(
    mut writer: OwnedWriteHalf,
    sends: &Signal,
    long: Duration,
    take: impl Fn(&mut BytesMut),
    patience: impl Fn() -> Option<Patience>,
) -> Result<(), ConnectionError> {
    let mut chunk = BytesMut::new();
    loop {
        // Two buffers take turns: one is written while the other fills.
        chunk.clear();
        take(&mut chunk);
        if chunk.is_empty() {
            sends.wait().await;
            if patience() == Some(Patience::Long) {
                tokio::select! {
                    biased;
                    () = sends.wait() => {}
                    () = tokio::time::sleep(long) => continue,
                }
            }
            if patience() == Some(Patience::Round) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use ::node::hello::LaneKind;
    use ::node::lanes::Bounds;
    use ::node::lanes::outgoing::{LONG, LONG_BYTES, Outgoing};
    use std::cell::RefCell;
    use std::future::Future;
    use std::rc::Rc;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::yield_now;
    use tokio::time::timeout;

    /// What waits for a socket, and its sender's signal.
    struct Outbox(RefCell<Outgoing>, Signal);

    /// Runs with an outbox that is being sent, and where its bytes arrive.
    fn with_outbox<T: Future<Output = ()>>(long: Duration, test: impl FnOnce(Rc<Outbox>, TcpStream) -> T) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let sending = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (receiving, _) = listener.accept().await.unwrap();
            let outbox =
                Rc::new(Outbox(RefCell::new(Outgoing::new(Bounds::of(LaneKind::Small))), Signal::default()));
            let sender = outbox.clone();
            tokio::task::spawn_local(async move {
                let Outbox(outgoing, sends) = &*sender;
                let take = |chunk: &mut BytesMut| outgoing.borrow_mut().take(chunk);
                send_all(sending.into_split().1, sends, long, take, || outgoing.borrow().patience()).await
            });
            yield_now().await;
            test(outbox, receiving).await;
        });
    }

    fn put(outbox: &Outbox, patience: Patience, size: usize) {
        if outbox.0.borrow_mut().frame(patience, |body| body.extend_from_slice(&vec![7; size])) {
            outbox.1.give();
        }
    }

    fn len(outbox: &Outbox) -> usize {
        outbox.0.borrow().len()
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
