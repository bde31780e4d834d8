//! A TCP proxy in front of a node's peer port, as unreliable as the test likes.
//!
//! What TCP itself does is kept: bytes arrive in order and none is missing, or the connection breaks. So a direction
//! that is cut holds its bytes back, and delivers them late when it is mended.

use super::ports::Port;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// How often a pump looks whether something has changed.
const TICK: Duration = Duration::from_millis(20);

/// What happens to what passes.
#[derive(Debug, Default)]
struct Faults {
    /// Milliseconds that every byte takes longer.
    delay: AtomicU64,
    /// Bytes to the node are held back.
    cut_requests: AtomicBool,
    /// Bytes from the node are held back.
    cut_replies: AtomicBool,
    closed: AtomicBool,
    /// Bytes that were passed on, either way.
    passed: AtomicU64,
    /// Both ends of every connection, to break them.
    open: Mutex<Vec<TcpStream>>,
}

/// A proxy; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    faults: Arc<Faults>,
    _port: Port,
}

/// Which way bytes go, seen from those who connect to the node.
#[derive(Clone, Copy)]
enum Direction {
    Requests,
    Replies,
}

impl Proxy {
    /// Listens at `port`, the node's entry in `--cluster`, and passes everything on to where it really listens.
    pub(crate) fn start(port: Port, target: String) -> Self {
        let listener = TcpListener::bind(port.address()).unwrap();
        listener.set_nonblocking(true).unwrap();
        let faults = Arc::<Faults>::default();
        std::thread::spawn({
            let faults = faults.clone();
            move || accept(&listener, &target, &faults)
        });
        Self { faults, _port: port }
    }

    /// Everything takes longer by this much, each way.
    pub(crate) fn delay(&self, by: Duration) {
        self.faults.delay.store(u64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// Nothing reaches the node any more; its replies still arrive.
    pub(crate) fn cut_requests(&self) {
        self.faults.cut_requests.store(true, Ordering::Relaxed);
    }

    /// The node hears everything, and no reply of it arrives any more.
    pub(crate) fn cut_replies(&self) {
        self.faults.cut_replies.store(true, Ordering::Relaxed);
    }

    /// What was held back arrives, and all is well.
    pub(crate) fn mend(&self) {
        self.faults.delay.store(0, Ordering::Relaxed);
        self.faults.cut_requests.store(false, Ordering::Relaxed);
        self.faults.cut_replies.store(false, Ordering::Relaxed);
    }

    /// Bytes that it has passed on, either way.
    pub(crate) fn passed(&self) -> u64 {
        self.faults.passed.load(Ordering::Relaxed)
    }

    /// Breaks every connection with a reset, in the middle of whatever is on its way.
    pub(crate) fn reset(&self) {
        for stream in self.faults.open.lock().unwrap().drain(..) {
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.faults.closed.store(true, Ordering::Relaxed);
        self.reset();
    }
}

fn accept(listener: &TcpListener, target: &str, faults: &Arc<Faults>) {
    while !faults.closed.load(Ordering::Relaxed) {
        let Ok((outside, _)) = listener.accept() else {
            std::thread::sleep(TICK);
            continue;
        };
        outside.set_nonblocking(false).unwrap();
        let Ok(inside) = TcpStream::connect(target) else { continue };
        let mut open = faults.open.lock().unwrap();
        for (from, to, direction) in
            [(&outside, &inside, Direction::Requests), (&inside, &outside, Direction::Replies)]
        {
            from.set_nodelay(true).unwrap();
            from.set_read_timeout(Some(TICK)).unwrap();
            open.push(from.try_clone().unwrap());
            let (from, to, faults) = (from.try_clone().unwrap(), to.try_clone().unwrap(), faults.clone());
            std::thread::spawn(move || pump(from, to, direction, &faults));
        }
    }
}

/// Reads as bytes come, and hands them to a second thread that writes them when they are due.
fn pump(mut from: TcpStream, mut to: TcpStream, direction: Direction, faults: &Arc<Faults>) {
    let (sender, due) = mpsc::channel::<(Instant, Vec<u8>)>();
    let cut = move |faults: &Faults| match direction {
        Direction::Requests => faults.cut_requests.load(Ordering::Relaxed),
        Direction::Replies => faults.cut_replies.load(Ordering::Relaxed),
    };
    let writing = std::thread::spawn({
        let faults = faults.clone();
        move || {
            for (at, bytes) in due {
                std::thread::sleep(at.saturating_duration_since(Instant::now()));
                while cut(&faults) && !faults.closed.load(Ordering::Relaxed) {
                    std::thread::sleep(TICK);
                }
                if to.write_all(&bytes).is_err() {
                    break;
                }
                faults.passed.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
            let _ = to.shutdown(Shutdown::Both);
        }
    });
    let mut buffer = vec![0; 64 << 10];
    while !faults.closed.load(Ordering::Relaxed) {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                let at = Instant::now() + Duration::from_millis(faults.delay.load(Ordering::Relaxed));
                if sender.send((at, buffer[..count].to_vec())).is_err() {
                    break;
                }
            }
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    drop(sender);
    let _ = writing.join();
}
