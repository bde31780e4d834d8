//! Buffers that the connections of one thread use in turns.
//!
//! A buffer of its own costs a connection more than memory: between two requests of one client come those of a thousand
//! others, and then its buffer is in no cache of the processor, nor is the page it lies in. The one that was used
//! last is.

use bytes::BytesMut;
use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The size of a buffer.
const BUFFER_BYTES: usize = 64 << 10;
/// One that has grown beyond this is not kept.
const GROWN_MAX_BYTES: usize = 256 << 10;
/// Room for what arrives together.
pub(crate) const ROOM_BYTES: usize = 24 << 10;
/// What is left of an unfinished request is copied up to this size, rather than keeping a buffer for it.
const COPIED_MAX_BYTES: usize = 4 << 10;
/// What a large argument still misses is made room for at once up to this size, and beyond it up to as much as is there:
/// memory that is only announced is not taken.
const ANNOUNCED_MAX_BYTES: usize = 1 << 20;
/// Buffers that are kept while nobody uses them.
const KEPT: usize = 8;
/// The same, where somebody still reads an argument in their front: nobody knows how large they are in all.
const KEPT_IN_PART: usize = 2;

/// The buffers that nobody uses at the moment, the last used one last.
#[derive(Debug, Default)]
pub(crate) struct Buffers(RefCell<Vec<BytesMut>>);

impl Buffers {
    /// Gives a buffer room for more bytes. With little in it, it is replaced by one that was used just now.
    pub(crate) fn lend(&self, buffer: &mut BytesMut) {
        let has_room = buffer.capacity() - buffer.len() >= ROOM_BYTES;
        if !has_room && buffer.len() <= COPIED_MAX_BYTES {
            let kept = self.0.borrow_mut().pop();
            let rest =
                std::mem::replace(buffer, kept.unwrap_or_else(|| BytesMut::with_capacity(BUFFER_BYTES)));
            buffer.extend_from_slice(&rest);
        }
        buffer.reserve(ROOM_BYTES);
    }

    /// The same for what is known to come: room for all of it, with no more than that to spare.
    fn lend_for(&self, buffer: &mut BytesMut, missing: usize) {
        if missing <= BUFFER_BYTES {
            self.lend(buffer);
        } else if buffer.capacity() == buffer.len() {
            grow(buffer, missing);
        }
    }

    /// Takes a buffer back, unless there is much in it; what is in it is copied.
    pub(crate) fn take_back(&self, buffer: &mut BytesMut) {
        let is_small = buffer.capacity() <= COPIED_MAX_BYTES;
        if buffer.len() > COPIED_MAX_BYTES || is_small && !buffer.is_empty() {
            return;
        }
        let mut used = std::mem::take(buffer);
        if !used.is_empty() {
            buffer.extend_from_slice(&used);
            used.clear();
        }
        // Its front again, which was used last, unless somebody still reads from there.
        let limit = if used.try_reclaim(BUFFER_BYTES) { KEPT } else { KEPT_IN_PART };
        let mut kept = self.0.borrow_mut();
        if (ROOM_BYTES..=GROWN_MAX_BYTES).contains(&used.capacity()) && kept.len() < limit {
            kept.push(used);
        }
    }

    /// Appends bytes that have come to a buffer, which is lent for that; their count is 0 at the end. `missing` bytes are known to
    /// come.
    pub(crate) fn poll_read(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        buffer: &mut BytesMut,
        missing: usize,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.lend_for(buffer, missing);
        let read = pin!(from.read_buf(buffer)).poll(context);
        if read.is_pending() || buffer.is_empty() {
            self.take_back(buffer);
        }
        read
    }
}

/// Makes room for what is missing of a large message, and for no more: `reserve` would make room for twice what is there.
pub(crate) fn grow(buffer: &mut BytesMut, missing: usize) {
    let room = missing.min(buffer.len().max(ANNOUNCED_MAX_BYTES));
    let mut larger = BytesMut::with_capacity(buffer.len() + room);
    larger.extend_from_slice(buffer);
    *buffer = larger;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    async fn read(
        buffers: &Buffers,
        from: &mut tokio::io::DuplexStream,
        buffer: &mut BytesMut,
        missing: usize,
    ) -> usize {
        poll_fn(|context| buffers.poll_read(from, buffer, missing, context)).await.unwrap()
    }

    #[test]
    fn the_buffer_that_was_used_last_is_lent_next_and_from_its_front() {
        let buffers = Buffers::default();
        let (mut one, mut other) = (BytesMut::new(), BytesMut::new());
        buffers.lend(&mut one);
        let front = one.as_ptr();
        one.extend_from_slice(b"request");
        let _ = one.split_to(7);
        buffers.take_back(&mut one);
        assert_eq!(one.capacity(), 0);
        buffers.lend(&mut other);
        assert_eq!((other.as_ptr(), other.len()), (front, 0));
        buffers.lend(&mut one);
        assert_ne!(one.as_ptr(), front);
    }

    #[test]
    fn what_is_unfinished_stays_and_what_is_still_read_is_not_overwritten() {
        let buffers = Buffers::default();
        let (mut one, mut other) = (BytesMut::new(), BytesMut::new());
        buffers.lend(&mut one);
        one.extend_from_slice(&[1; 20_000]);
        let argument = one.split_to(10_000).freeze();
        buffers.take_back(&mut one);
        assert_eq!(one[..], [1; 10_000], "so much is not copied");
        one.truncate(100);
        buffers.take_back(&mut one);
        assert_eq!(one[..], [1; 100]);
        for _ in 0..4 {
            buffers.lend(&mut other);
            other.extend_from_slice(&[2; 20_000]);
            let _ = other.split_to(20_000);
            buffers.take_back(&mut other);
        }
        assert_eq!((&argument[..], &one[..]), (&[1; 10_000][..], &[1; 100][..]));
    }

    #[test]
    fn one_that_has_grown_large_is_not_kept() {
        let buffers = Buffers::default();
        let mut buffer = BytesMut::new();
        for (bytes, kept) in [(2 * BUFFER_BYTES, 1), (2 * GROWN_MAX_BYTES, 0)] {
            buffers.lend(&mut buffer);
            buffer.extend_from_slice(&vec![0; bytes]);
            buffer.clear();
            buffers.take_back(&mut buffer);
            assert_eq!((buffers.0.borrow().len(), buffer.capacity()), (kept, 0), "{bytes} bytes");
        }
    }

    #[test]
    fn few_are_kept_of_which_somebody_reads_a_part() {
        let buffers = Buffers::default();
        let mut lent = vec![BytesMut::new(); 2 * KEPT];
        let mut arguments = Vec::new();
        for buffer in &mut lent {
            buffers.lend(buffer);
            buffer.extend_from_slice(&[1; 20_000]);
            arguments.push(buffer.split().freeze());
        }
        lent.iter_mut().for_each(|buffer| buffers.take_back(buffer));
        assert_eq!(buffers.0.borrow().len(), KEPT_IN_PART);
        lent.iter_mut().for_each(|buffer| buffers.lend(buffer));
        lent.iter_mut().for_each(|buffer| buffers.take_back(buffer));
        assert_eq!(buffers.0.borrow().len(), KEPT);
        assert!(arguments.iter().all(|argument| argument[..] == [1; 20_000]));
    }

    #[tokio::test]
    async fn half_a_request_that_waits_for_the_rest_keeps_no_buffer() {
        let buffers = Buffers::default();
        let (mut far, mut near) = tokio::io::duplex(1 << 20);
        let mut input = BytesMut::new();
        let write = async |far: &mut tokio::io::DuplexStream, bytes: &[u8]| {
            tokio::io::AsyncWriteExt::write_all(far, bytes).await.unwrap();
        };
        for (bytes, keeps) in [(100, false), (1_000, false), (10_000, true)] {
            write(&mut far, &vec![7; bytes]).await;
            assert_eq!(read(&buffers, &mut near, &mut input, 0).await, bytes);
            {
                let mut look =
                    |context: &mut Context<'_>| buffers.poll_read(&mut near, &mut input, 0, context);
                assert!(poll_fn(|context| Poll::Ready(look(context).is_pending())).await);
            }
            assert_eq!(input.capacity() > COPIED_MAX_BYTES, keeps, "{bytes} bytes");
        }
        assert_eq!(input[..], [7; 11_100]);
        drop(far);
        assert_eq!(read(&buffers, &mut near, &mut input, 0).await, 0);
    }
    #[tokio::test]
    async fn a_large_argument_takes_the_memory_of_what_has_come_and_no_more_than_its_own() {
        const SIZE: usize = 5 << 20;
        let buffers = Buffers::default();
        let (mut far, mut near) = tokio::io::duplex(64 << 10);
        let mut input = BytesMut::new();
        let sending = tokio::spawn(async move {
            tokio::io::AsyncWriteExt::write_all(&mut far, &vec![7; SIZE]).await.unwrap();
        });
        while input.len() < SIZE {
            let missing = SIZE - input.len();
            read(&buffers, &mut near, &mut input, missing).await;
            assert!(input.capacity() <= (2 * input.len()).max(input.len() + ANNOUNCED_MAX_BYTES));
        }
        assert_eq!(input.capacity(), SIZE);
        sending.await.unwrap();
    }
}
