//! Bytes beside their count of references, in one allocation.
//!
//! `Bytes` made of a vector allocate the count when they are first shared. Keys and values are always shared, so that is a
//! second allocation, a second free, and a cache miss more for each of those who let go of them.

use bytes::Bytes;

struct Counted<const ROOM: usize> {
    length: u16,
    bytes: [u8; ROOM],
}

impl<const ROOM: usize> AsRef<[u8]> for Counted<ROOM> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// `from` has at most `ROOM` bytes.
fn counted<const ROOM: usize>(from: &[u8]) -> Bytes {
    let mut bytes = [0; ROOM];
    bytes[..from.len()].copy_from_slice(from);
    let Ok(length) = u16::try_from(from.len()) else { unreachable!("no room is that large") };
    Bytes::from_owner(Counted { length, bytes })
}

/// A copy of its own. Small ones, which most keys and values are, lie beside their count.
pub fn copied(from: &[u8]) -> Bytes {
    // With the count and the length, as much as allocators hand out: 64 bytes, 96, 128 and so on.
    match from.len() {
        0 => Bytes::new(),
        1..=54 => counted::<54>(from),
        55..=86 => counted::<86>(from),
        87..=118 => counted::<118>(from),
        119..=150 => counted::<150>(from),
        151..=182 => counted::<182>(from),
        183..=214 => counted::<214>(from),
        215..=246 => counted::<246>(from),
        247..=310 => counted::<310>(from),
        311..=374 => counted::<374>(from),
        375..=438 => counted::<438>(from),
        439..=502 => counted::<502>(from),
        _ => Bytes::copy_from_slice(from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn bytes_of_any_length_come_back() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for length in 0..bytes.len() {
            let copy = copied(&bytes[..length]);
            assert_eq!(copy, bytes[..length]);
            assert_eq!(copy.slice(length / 2..).clone(), bytes[length / 2..length]);
        }
    }

    #[test]
    fn a_count_and_its_bytes_fill_what_is_allocated() {
        assert_eq!(size_of::<Counted<54>>() + size_of::<usize>(), 64);
        assert_eq!(size_of::<Counted<502>>() + size_of::<usize>(), 512);
    }
}
