//! Replies that wait for a client to read them.

use alloc::collections::VecDeque;
use bytes::{Buf, BytesMut};

/// Small replies are gathered in pieces of this size.
const PIECE_BYTES: usize = 32 << 10;

/// What waits, in pieces: to make one buffer larger would mean to copy what may be a hundred megabytes.
#[derive(Debug, Default)]
pub(super) struct Output {
    pieces: VecDeque<Piece>,
    waiting: usize,
    memory: usize,
}

#[derive(Debug)]
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

    /// Has more wait. Nothing is left in `out`.
    pub(super) fn add(&mut self, out: &mut BytesMut) {
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
            self.push(core::mem::take(out));
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

    /// What is to be sent next; empty if nothing waits.
    pub(super) fn front(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| &piece.bytes)
    }

    /// So much of [`front`](Self::front) is sent.
    pub(super) fn advance(&mut self, count: usize) {
        let Some(first) = self.pieces.front_mut() else { return };
        first.bytes.advance(count);
        self.waiting -= count;
        if first.bytes.is_empty() {
            self.memory -= first.memory;
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    #[test]
    fn what_is_not_read_waits_in_order_and_gives_its_memory_back() {
        let mut output = Output::default();
        let mut expected = Vec::new();
        for round in 0..2_000_u32 {
            let size = if round % 500 == 0 { 8 << 20 } else { 1_000 };
            let reply = vec![round.to_be_bytes()[3]; size];
            expected.extend_from_slice(&reply);
            let mut out = BytesMut::from(&reply[..]);
            output.add(&mut out);
            assert!(out.is_empty());
        }
        assert_eq!(output.len(), expected.len());
        assert!(output.memory() < output.len() + (1 << 20), "{} for {}", output.memory(), output.len());
        let mut read = Vec::new();
        while !output.is_empty() {
            let taken = output.front().len().min(10_007);
            read.extend_from_slice(&output.front()[..taken]);
            output.advance(taken);
        }
        assert!(read == expected);
        assert_eq!(output.memory(), 0);
    }
}
