//! Short bytes without an allocation.

use std::borrow::Borrow;
use std::cmp::Ordering;

/// Bytes, in place if there are at most `N` of them: what looks at many of them one after the other stays in few cache
/// lines. `N` is at most 255.
#[derive(Clone, Debug)]
pub(crate) enum InPlace<const N: usize> {
    Short(u8, [u8; N]),
    Long(Box<[u8]>),
}

impl<const N: usize> InPlace<N> {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let mut short = [0; N];
        match (u8::try_from(bytes.len()), short.get_mut(..bytes.len())) {
            (Ok(length), Some(room)) => {
                room.copy_from_slice(bytes);
                Self::Short(length, short)
            }
            _ => Self::Long(bytes.into()),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(length, bytes) => &bytes[..usize::from(*length)],
            Self::Long(bytes) => bytes,
        }
    }
}

impl<const N: usize> Borrow<[u8]> for InPlace<N> {
    fn borrow(&self) -> &[u8] {
        self.bytes()
    }
}

impl<const N: usize> Ord for InPlace<N> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

impl<const N: usize> PartialOrd for InPlace<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> PartialEq for InPlace<N> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl<const N: usize> Eq for InPlace<N> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_length_come_back() {
        for length in [0, 1, 21, 22, 23, 300] {
            let bytes = vec![7; length];
            let kept = InPlace::<22>::new(&bytes);
            assert_eq!(kept.bytes(), bytes);
            assert_eq!(matches!(kept, InPlace::Short(..)), length <= 22);
        }
    }
}
