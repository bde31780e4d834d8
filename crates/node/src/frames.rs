//! Frames off a stream, and what is done about one that is too long.
//!
//! A frame beyond the limit is passed over as its bytes arrive, so it costs no memory, and the stream goes on behind it. Its first
//! bytes are kept: they say which call it belongs to, so that this call alone is refused.

use abd::wire::{FRAME_HEADER, WireError, take_frame};
use bytes::{Buf, Bytes, BytesMut};

/// So many bytes of the body of a frame that is too long are kept.
pub const HEAD_BYTES: usize = 16;

/// What has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The body of a frame.
    Frame(Bytes),
    /// A frame that was passed over.
    TooLong {
        /// The first bytes of its body, [`HEAD_BYTES`] of them.
        head: Bytes,
        /// How many it had, in bytes.
        length: usize,
    },
}

/// Takes frames off the front of a stream.
#[derive(Debug)]
pub struct Frames {
    limit: usize,
    passing: Option<Passing>,
}

/// A frame that is being passed over.
#[derive(Debug)]
struct Passing {
    length: usize,
    left: usize,
    head: BytesMut,
    checksum: u32,
    so_far: crc32fast::Hasher,
}

impl Frames {
    /// Those with bodies of at most `limit` bytes.
    ///
    /// # Panics
    /// When the limit leaves no room for the first bytes of a body.
    pub fn new(limit: usize) -> Self {
        assert!(limit >= HEAD_BYTES, "a limit of {limit} bytes");
        Self { limit, passing: None }
    }

    /// Takes the next one, or `None` if it is not all there yet.
    ///
    /// # Errors
    /// [`WireError::Checksum`]: the connection is to be closed.
    pub fn take(&mut self, input: &mut BytesMut) -> Result<Option<Incoming>, WireError> {
        let mut passing = match self.passing.take() {
            Some(passing) => passing,
            None => match take_frame(input, self.limit) {
                Ok(body) => return Ok(body.map(Incoming::Frame)),
                Err(WireError::TooLong { length, .. }) => {
                    let checksum = u32::from_be_bytes([input[4], input[5], input[6], input[7]]);
                    input.advance(FRAME_HEADER);
                    let (head, so_far) = (BytesMut::with_capacity(HEAD_BYTES), crc32fast::Hasher::new());
                    Passing { length, left: length, head, checksum, so_far }
                }
                Err(why) => return Err(why),
            },
        };
        let here = &input[..input.len().min(passing.left)];
        let room = HEAD_BYTES - passing.head.len();
        passing.head.extend_from_slice(&here[..here.len().min(room)]);
        passing.so_far.update(here);
        passing.left -= here.len();
        input.advance(here.len());
        if passing.left > 0 {
            self.passing = Some(passing);
            return Ok(None);
        }
        // The length that was believed is not part of what the checksum covers.
        if passing.so_far.finalize() != passing.checksum {
            return Err(WireError::Checksum);
        }
        Ok(Some(Incoming::TooLong { head: passing.head.freeze(), length: passing.length }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abd::wire::put_frame;
    use alloc::{vec, vec::Vec};

    fn taken(stream: &[u8], piece: usize) -> (Vec<Incoming>, Option<WireError>) {
        let (mut frames, mut input, mut all) = (Frames::new(20), BytesMut::new(), Vec::new());
        for bytes in stream.chunks(piece) {
            input.extend_from_slice(bytes);
            loop {
                match frames.take(&mut input) {
                    Ok(Some(incoming)) => all.push(incoming),
                    Ok(None) => break,
                    Err(why) => return (all, Some(why)),
                }
            }
            assert!(input.len() <= FRAME_HEADER + 20 + piece, "what is passed over takes no memory");
        }
        (all, None)
    }

    #[test]
    fn what_is_too_long_is_passed_over_and_the_next_frame_is_taken() {
        let long: Vec<u8> = (0..100).collect();
        let mut stream = BytesMut::new();
        put_frame(&mut stream, |body| body.extend_from_slice(b"before"));
        put_frame(&mut stream, |body| body.extend_from_slice(&long));
        put_frame(&mut stream, |body| body.extend_from_slice(b"behind"));
        let head = Bytes::copy_from_slice(&long[..HEAD_BYTES]);
        let expected = vec![
            Incoming::Frame("before".into()),
            Incoming::TooLong { head, length: 100 },
            Incoming::Frame("behind".into()),
        ];
        for piece in [1, 3, 17, 50, 1000] {
            assert_eq!(taken(&stream, piece), (expected.clone(), None));
        }
        // A length that is wrong.
        stream[6 + FRAME_HEADER + 3] += 1;
        for piece in [1, 1000] {
            let (before, why) = taken(&stream, piece);
            assert_eq!((before, why), (expected[..1].to_vec(), Some(WireError::Checksum)));
        }
    }
}
