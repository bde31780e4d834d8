//! Segments that nobody points into any more, ready to be used again: their blocks need not be written first.

use crate::disk::ground::log::{Blank, Segment};
use std::collections::VecDeque;

/// The last one that came is the last one.
#[derive(Default)]
pub(crate) struct UsedSegments(VecDeque<Segment>);

impl UsedSegments {
    /// Bytes that they take.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.iter().map(|segment| segment.capacity).sum()
    }

    /// Adds one; returns those to be deleted, so that no more than `limit` bytes are left. They are the oldest: segments
    /// grow with what is kept, and one that was too small when it was offered would stay here for ever.
    pub(crate) fn add(&mut self, segment: Segment, limit: u64) -> Vec<Segment> {
        if segment.capacity > limit {
            return vec![segment];
        }
        self.0.push_back(segment);
        let mut too_many = Vec::new();
        while self.bytes() > limit {
            too_many.extend(self.0.pop_front());
        }
        too_many
    }

    /// One that serves as the one that is asked for.
    pub(crate) fn take(&mut self, blank: &Blank) -> Option<Segment> {
        let at = self.0.iter().rposition(|segment| blank.is_like(segment))?;
        self.0.remove(at)
    }

    /// All of them.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = Segment> + use<> {
        std::mem::take(&mut self.0).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::System;
    use std::sync::Arc;

    const BYTES: u64 = 1 << 16;

    #[test]
    fn those_that_have_become_too_small_make_room_for_others() {
        let directory = tempfile::tempdir().unwrap();
        let blank = |number: u64, capacity| Blank {
            files: Arc::new(System),
            path: directory.path().join(number.to_string()),
            capacity,
            least: 0,
            large_values: true,
        };
        let mut used = UsedSegments::default();
        let limit = 8 * BYTES;
        for number in 0..8 {
            assert!(used.add(blank(number, BYTES).make().unwrap(), limit).is_empty());
        }
        // Half of what is asked for serves as well, less does not.
        assert!(used.take(&blank(100, 4 * BYTES)).is_none());
        assert!(used.take(&blank(100, BYTES / 8)).is_none());
        assert!(used.take(&Blank { large_values: false, ..blank(100, BYTES) }).is_none());
        assert!(used.take(&Blank { least: BYTES + 1, ..blank(100, 2 * BYTES) }).is_none());
        let taken = used.take(&blank(100, 2 * BYTES)).unwrap();
        assert_eq!((taken.capacity, used.bytes()), (BYTES, 7 * BYTES));
        let gone = used.add(blank(8, 4 * BYTES).make().unwrap(), limit);
        assert_eq!((gone.len(), used.bytes()), (3, 8 * BYTES));
        // One that is too large for all of it is not kept, and puts nobody out.
        assert_eq!(used.add(blank(9, 9 * BYTES).make().unwrap(), limit).len(), 1);
        assert_eq!(used.take(&blank(100, 4 * BYTES)).map(|segment| segment.capacity), Some(4 * BYTES));
        assert_eq!((used.take_all().count(), used.bytes()), (4, 0));
    }
}
