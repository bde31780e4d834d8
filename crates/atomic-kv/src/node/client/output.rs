//! Replies that wait for a client to read them.

use bytes::{Buf, BytesMut};
use std::collections::VecDeque;
use std::io;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::WriteHalf;

/// Small replies are gathered in pieces of this size.
const PIECE_BYTES: usize = 32 << 10;

/// What waits, in pieces: to make one buffer larger would mean to copy what may be a hundred megabytes.
#[derive(Default)]
pub(super) struct Output {
    pieces: VecDeque<Piece>,
    waiting: usize,
    memory: usize,
}

struct Piece {
    bytes: BytesMut,
    /// What it takes, also when a part of it is sent.
    memory: usize,
}

impl Output {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    /// Bytes of memory that they take.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Sends what the socket takes at once, if nothing waits before it; the rest waits. Nothing is left in `out`. Returns how
    /// many bytes were sent.
    pub(super) fn send(&mut self, writer: &WriteHalf<'_>, out: &mut BytesMut) -> io::Result<usize> {
        let all = out.len();
        while self.is_empty() && !out.is_empty() {
            match writer.try_write(out) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) if count == out.len() => out.clear(),
                Ok(count) => out.advance(count),
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => break,
                Err(why) => return Err(why),
            }
        }
        let sent = all - out.len();
        self.add(out);
        Ok(sent)
    }

    fn add(&mut self, out: &mut BytesMut) {
        if out.is_empty() {
            return;
        }
        self.waiting += out.len();
        if let Some(last) = self.pieces.back_mut()
            && last.bytes.capacity() - last.bytes.len() >= out.len()
        {
            last.bytes.extend_from_slice(out);
            out.clear();
        } else if out.len() >= PIECE_BYTES {
            self.push(std::mem::take(out));
        } else {
            let mut bytes = BytesMut::with_capacity(PIECE_BYTES);
            bytes.extend_from_slice(out);
            out.clear();
            self.push(bytes);
        }
    }

    fn push(&mut self, bytes: BytesMut) {
        let memory = bytes.capacity();
        self.memory += memory;
        self.pieces.push_back(Piece { bytes, memory });
    }

    /// Waits until the client has taken some of it, and returns how much. Nothing is lost when the wait is given up.
    pub(super) async fn write(&mut self, writer: &mut WriteHalf<'_>) -> io::Result<usize> {
        let Some(first) = self.pieces.front_mut() else { return Ok(0) };
        let count = writer.write(&first.bytes).await?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        first.bytes.advance(count);
        self.waiting -= count;
        if first.bytes.is_empty() {
            self.memory -= first.memory;
            self.pieces.pop_front();
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn what_is_not_read_waits_in_order_and_gives_its_memory_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        let (_, mut writer) = near.split();
        let mut output = Output::default();
        let mut expected = Vec::new();
        // Many small ones, and some that are larger than any socket takes.
        for round in 0..2_000_u32 {
            let size = if round % 500 == 0 { 8 << 20 } else { 1_000 };
            let reply = vec![round.to_be_bytes()[3]; size];
            expected.extend_from_slice(&reply);
            let mut out = BytesMut::from(&reply[..]);
            output.send(&writer, &mut out).unwrap();
            assert!(out.is_empty());
        }
        assert!(output.len() > 20 << 20);
        assert!(output.memory() < output.len() + (1 << 20), "{} for {}", output.memory(), output.len());
        let mut read = vec![0; expected.len()];
        let reading = tokio::spawn(async move {
            far.read_exact(&mut read).await.unwrap();
            read
        });
        while !output.is_empty() {
            output.write(&mut writer).await.unwrap();
        }
        assert!(reading.await.unwrap() == expected);
        assert_eq!(output.memory(), 0);
    }
}
