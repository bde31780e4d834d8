//! Whether everything was pulled from enough sources, where each may have ranges that it could not read.

use crate::repair::ranges::{Order, Range};
use alloc::vec::Vec;
use bytes::Bytes;

/// Whether each key is known from `needed` replicas at least. Of each that was asked for everything: the ranges that it could not
/// read, in any order; they may overlap.
pub fn is_covered(lost_by: &[&[Range]], needed: usize, order: Order) -> bool {
    // Ranges have their last key in them, so what covers one of these ends covers all up to it from the one before.
    let ranges = lost_by.iter().copied().flatten();
    let ends = ranges.flat_map(|range| [&range.after, &range.up_to]).flatten();
    let mut places: Vec<Option<&Bytes>> = ends.map(Some).collect();
    places.push(None);
    places.iter().all(|place| {
        let has = |lost: &&&[Range]| !lost.iter().any(|range| is_in(range, place.map(|key| &key[..]), order));
        lost_by.iter().filter(has).count() >= needed
    })
}

/// Whether a key is in a range; `None`: what is behind all keys that are named.
fn is_in(range: &Range, key: Option<&[u8]>, order: Order) -> bool {
    key.map_or(range.up_to.is_none(), |key| range.has(key, order))
}

/// The part of a range up to a key.
pub fn cut(range: &Range, up_to: Option<&Bytes>) -> Range {
    Range { after: range.after.clone(), up_to: up_to.or(range.up_to.as_ref()).cloned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn range(after: Option<&'static str>, up_to: Option<&'static str>) -> Range {
        Range { after: after.map(Bytes::from), up_to: up_to.map(Bytes::from) }
    }

    fn covers(lost: &[Vec<Range>], needed: usize) -> bool {
        let all: Vec<&[Range]> = lost.iter().map(Vec::as_slice).collect();
        is_covered(&all, needed, <[u8]>::cmp)
    }

    /// C3 (docs/PROTOCOL.md): what a source cannot read counts for nothing, range by range.
    #[test]
    fn c3_each_range_needs_a_majority_that_is_whole_there() {
        assert!(covers(&[vec![], vec![]], 2) && !covers(&[vec![]], 2) && !covers(&[], 1));
        let (low, high) = (range(None, Some("m")), range(Some("m"), None));
        // Lost at different places.
        assert!(covers(&[vec![low.clone()], vec![high.clone()], vec![]], 2));
        assert!(!covers(&[vec![low.clone()], vec![high.clone()]], 2));
        assert!(!covers(&[vec![low.clone()], vec![low.clone()], vec![]], 2));
        // They meet in one key.
        let overlapping = range(Some("l"), Some("n"));
        assert!(!covers(&[vec![low.clone()], vec![overlapping.clone()], vec![]], 2));
        assert!(covers(
            &[vec![range(Some("l"), Some("l1"))], vec![range(Some("l1"), Some("l2"))], vec![]],
            2
        ));
        assert!(!covers(&[vec![range(None, None)], vec![low], vec![]], 2));
        assert!(!covers(&[vec![high], vec![range(Some("x"), None)], vec![]], 2));
    }
}
