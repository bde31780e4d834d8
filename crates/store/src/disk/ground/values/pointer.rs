//! What a table holds in place of a large value.
//!
//! ```text
//! pointer   0xff | segment u64 | offset u64 | length u32 | crc32 of the value u32 | its first 26 bytes           big-endian
//! value     as it is; before one that begins with 0xfe or 0xff there is an 0xfe
//! ```
//! No record of the multi-version layer begins with either byte, so that in practice a small value is stored as it is. The first
//! bytes are what a record says of itself: a large one may be a tombstone, whose key is long.

use crate::database::{DatabaseError, HEAD_BYTES};
use crate::disk::ground::failure::damaged;
use bytes::{Buf, BufMut, Bytes};

const POINTER: u8 = 0xff;
const ESCAPE: u8 = 0xfe;
const POINTER_BYTES: usize = 1 + 8 + 8 + 4 + 4 + HEAD_BYTES;

/// Where in the journal a value begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Location {
    /// The number of the segment's use: a file that is used again has another one.
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

/// A large value in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    pub(crate) location: Location,
    pub(crate) length: u32,
    pub(crate) checksum: u32,
}

/// What a table says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    Value(Bytes),
    /// The value is in the journal; its first [`HEAD_BYTES`].
    At(Pointer, Bytes),
}

impl Pointer {
    /// To a value that was written at a location.
    pub(crate) fn new(location: Location, value: &[u8]) -> Self {
        let Ok(length) = u32::try_from(value.len()) else { unreachable!("no value has 4 GiB") };
        Self { location, length, checksum: crc32fast::hash(value) }
    }
}

/// The bytes that a table gets for a value; `at` is where in the journal it lies, if it stays there.
pub(crate) fn stored(value: &Bytes, at: Option<Pointer>) -> Bytes {
    if let Some(Pointer { location: Location { segment, offset }, length, checksum }) = at {
        let mut bytes = Vec::with_capacity(POINTER_BYTES);
        bytes.put_u8(POINTER);
        bytes.put_u64(segment);
        bytes.put_u64(offset);
        bytes.put_u32(length);
        bytes.put_u32(checksum);
        bytes.put_slice(&value[..HEAD_BYTES]);
        return bytes.into();
    }
    match value.first() {
        Some(&(POINTER | ESCAPE)) => [&[ESCAPE], &value[..]].concat().into(),
        _ => value.clone(),
    }
}

impl Stored {
    /// What a table's bytes mean.
    /// Fails with [`DatabaseError::Damaged`] when they are no pointer and should be one.
    pub(crate) fn read(mut bytes: Bytes) -> Result<Self, DatabaseError> {
        match bytes.first() {
            Some(&ESCAPE) => {
                bytes.advance(1);
                Ok(Self::Value(bytes))
            }
            Some(&POINTER) if bytes.len() == POINTER_BYTES => {
                bytes.advance(1);
                let location = Location { segment: bytes.get_u64(), offset: bytes.get_u64() };
                let pointer = Pointer { location, length: bytes.get_u32(), checksum: bytes.get_u32() };
                Ok(Self::At(pointer, bytes))
            }
            Some(&POINTER) => Err(damaged(format!("a pointer to a large value has {} bytes", bytes.len()))),
            _ => Ok(Self::Value(bytes)),
        }
    }

    /// Bytes of the value.
    pub(crate) fn length(&self) -> usize {
        match self {
            Self::Value(value) => value.len(),
            Self::At(pointer, _) => pointer.length as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_table_gets_is_read_back() {
        for value in [&b""[..], b"plain", b"\xff", b"\xfe", b"\xff\xff and more", &[0xff; POINTER_BYTES]] {
            let value = Bytes::copy_from_slice(value);
            assert_eq!(Stored::read(stored(&value, None)).unwrap(), Stored::Value(value));
        }
        let value = Bytes::from(vec![7; 5_000]);
        let location = Location { segment: 3, offset: 1 << 33 };
        let pointer = Pointer::new(location, &value);
        let bytes = stored(&value, Some(pointer));
        assert_eq!(Stored::read(bytes.clone()).unwrap(), Stored::At(pointer, value.slice(..HEAD_BYTES)));
        assert_eq!((pointer.location, pointer.length), (location, 5_000));
    }

    #[test]
    fn half_a_pointer_is_damage() {
        let value = Bytes::from(vec![7; 5_000]);
        let whole = stored(&value, Some(Pointer::new(Location { segment: 1, offset: 2 }, &value)));
        for cut in 1..whole.len() {
            assert!(matches!(Stored::read(whole.slice(..cut)), Err(DatabaseError::Damaged(_))));
        }
    }
}
