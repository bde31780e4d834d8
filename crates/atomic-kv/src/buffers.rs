//! Buffers that the connections of one thread use in turns.
//!
//! A buffer of its own costs a connection more than memory: between two requests of one client come those of a thousand
//! others, and then its buffer is in no cache of the processor, nor is the page it lies in. The one that was used
//! last is.

use bytes::BytesMut;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The size of a buffer.
const BUFFER_BYTES: usize = 64 << 10;
/// Room for what arrives together. The rest of a buffer is used while a large argument is still kept in its front.
const ROOM_BYTES: usize = 24 << 10;
/// What is left of an unfinished request is copied up to this size, rather than keeping a buffer for it.
const COPIED_MAX_BYTES: usize = 4 << 10;
/// Buffers that are kept while nobody uses them.
const KEPT: usize = 8;

/// The buffers that nobody uses at the moment, the last used one last.
#[derive(Debug, Default)]
pub(crate) struct Buffers(RefCell<Vec<BytesMut>>);

impl Buffers {
    /// Gives a buffer without any room one to use, and every other one enough room for more bytes.
    pub(crate) fn lend(&self, buffer: &mut BytesMut) {
        if buffer.capacity() == 0 {
            let kept = self.0.borrow_mut().pop();
            *buffer = kept.unwrap_or_else(|| BytesMut::with_capacity(BUFFER_BYTES));
        }
        buffer.reserve(ROOM_BYTES);
    }

    /// Takes a buffer back, unless there is much in it.
    pub(crate) fn take_back(&self, buffer: &mut BytesMut) {
        let owned = buffer.capacity() <= COPIED_MAX_BYTES;
        if buffer.len() > COPIED_MAX_BYTES || owned && !buffer.is_empty() {
            return;
        }
        let mut used = std::mem::take(buffer);
        if !used.is_empty() {
            buffer.extend_from_slice(&used);
            used.clear();
        }
        // Its front again, which was used last, unless somebody still reads from there.
        let _ = used.try_reclaim(BUFFER_BYTES);
        let mut kept = self.0.borrow_mut();
        // Not one that has grown for a large value, nor what is left of one behind an argument.
        if (ROOM_BYTES..=BUFFER_BYTES).contains(&used.capacity()) && kept.len() < KEPT {
            kept.push(used);
        }
    }

    /// Waits for bytes and appends them to a buffer, which is lent for that; their count is 0 at the end.
    pub(crate) async fn read(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        buffer: &mut BytesMut,
    ) -> io::Result<usize> {
        poll_fn(|context| {
            self.lend(buffer);
            let read = pin!(from.read_buf(buffer)).poll(context);
            if buffer.is_empty() {
                self.take_back(buffer);
            }
            read
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn one_that_has_grown_is_not_kept() {
        let buffers = Buffers::default();
        let mut buffer = BytesMut::new();
        buffers.lend(&mut buffer);
        buffer.extend_from_slice(&[0; 2 * BUFFER_BYTES]);
        buffer.clear();
        buffers.take_back(&mut buffer);
        assert!(buffers.0.borrow().is_empty());
    }
}
