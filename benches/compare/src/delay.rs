//! A network between nodes of one machine: what is sent arrives a while later, in order and whole.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// Pieces that may be under way in one direction of a connection.
const UNDER_WAY: usize = 4096;
const PIECE_BYTES: usize = 64 << 10;

/// Passes connections on, each direction with its delay. Dropping it ends the listening; a connection ends with its sides.
pub(crate) struct Delay {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

/// What was read, and when it may be written.
type Piece = (Instant, Vec<u8>);

impl Delay {
    /// In front of a listener, which need not be there yet. `one_way`: how much later anything arrives, and some 0.1 ms for
    /// threads to wake.
    pub(crate) fn before(target: SocketAddr, one_way: Duration) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = stopped.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                // A target that is not there looks like one that closes the connection: whoever connects tries again.
                if let (Ok(client), Ok(server)) = (client, TcpStream::connect(target)) {
                    let _ = pass_both_ways(client, server, one_way);
                }
            }
        });
        Ok(Self { address, stopped })
    }

    /// Where to connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // It waits for one more.
        let _ = TcpStream::connect(self.address);
    }
}

fn pass_both_ways(client: TcpStream, server: TcpStream, one_way: Duration) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    pass(client.try_clone()?, server.try_clone()?, one_way);
    pass(server, client, one_way);
    Ok(())
}

fn pass(mut from: TcpStream, to: TcpStream, one_way: Duration) {
    let (pieces, arrive) = mpsc::sync_channel::<Piece>(UNDER_WAY);
    std::thread::spawn(move || {
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(count @ 1..) = from.read(&mut piece) {
            if pieces.send((Instant::now() + one_way, piece[..count].to_vec())).is_err() {
                break;
            }
        }
    });
    std::thread::spawn(move || deliver(&arrive, to));
}

fn deliver(pieces: &Receiver<Piece>, mut to: TcpStream) {
    for (due, piece) in pieces {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&piece).is_err() {
            // Whoever still sends this way is to notice.
            let _ = to.shutdown(Shutdown::Both);
            return;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_arrive_later_in_order_and_whole() {
        let one_way = Duration::from_millis(5);
        let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let delay = Delay::before(echo.local_addr().unwrap(), one_way).unwrap();
        std::thread::spawn(move || {
            let (mut back, _) = echo.accept().unwrap();
            let mut there = back.try_clone().unwrap();
            std::io::copy(&mut there, &mut back).unwrap();
            back.shutdown(Shutdown::Write).unwrap();
        });
        let mut stream = TcpStream::connect(delay.address()).unwrap();
        let sent: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let began = Instant::now();
        let mut writer = stream.try_clone().unwrap();
        let bytes = sent.clone();
        let sender = std::thread::spawn(move || {
            writer.write_all(&bytes).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut first = [0];
        stream.read_exact(&mut first).unwrap();
        assert!(began.elapsed() >= 2 * one_way);
        let mut received = first.to_vec();
        stream.read_to_end(&mut received).unwrap();
        sender.join().unwrap();
        assert!(received == sent);
    }
}
