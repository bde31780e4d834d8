//! How large keys, values and messages may be.
//!
//! A node's limits bound what *clients* may write, and a Set counts the votes: it begins only if a majority of the members let
//! their clients write as much. What was written so is passed on between all of them, whatever the limits say now, up to what the
//! protocol carries: what is stored stays readable, and every replica gets it in the end.

use crate::hello::Limits;
use abd::{Operation, Reason, Refusal};

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 64 << 10;
/// Largest value that any node may allow, in bytes.
pub const VALUE_BYTES_MAX: usize = 512 << 20;
/// Largest body of a frame: the largest value, its key, and room for the rest.
pub const FRAME_BYTES_MAX: usize = KEY_BYTES_MAX + VALUE_BYTES_MAX + FRAME_ROOM;
/// What a request or a reply has beside its key and its value, with room to spare, in bytes.
pub const FRAME_ROOM: usize = 4096;

/// Why an operation may not begin, as too many members refuse what is so large. `limits` are those of all members as far as
/// they are known; who has said nothing yet refuses nothing.
pub fn reason_to_refuse(
    operation: &Operation,
    limits: impl Iterator<Item = Option<Limits>>,
    majority: usize,
) -> Option<Reason> {
    let Operation::Set { key, value } = operation else { return None };
    let fits = |limits: Limits| key.len() as u64 <= limits.key && value.len() as u64 <= limits.value;
    let (mut members, mut refused) = (0, 0);
    for limits in limits {
        members += 1;
        refused += usize::from(!limits.is_none_or(fits));
    }
    (members - refused < majority).then_some(Reason::TooManyRefused {
        refused,
        members,
        refusal: Some(Refusal::TooLarge),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::ToString, vec};
    use bytes::Bytes;

    #[test]
    fn a_majority_of_the_limits_decides() {
        let limits = |value| Some(Limits { key: 10, value, frame: 1000 });
        let set = |key: usize, value: usize| Operation::Set {
            key: Bytes::from(vec![b'k'; key]),
            value: Bytes::from(vec![b'v'; value]),
        };
        let refused = |operation: Operation, values: [u64; 3]| {
            reason_to_refuse(&operation, values.into_iter().map(limits), 2).map(|why| why.to_string())
        };
        assert_eq!(refused(set(1, 20), [64, 20, 16]), None);
        let why = refused(set(1, 21), [64, 20, 16]).unwrap();
        assert!(why.contains("2 of 3 replicas refused"), "{why}");
        assert!(refused(set(11, 1), [64, 64, 64]).is_some_and(|why| why.contains("3 of 3")));
        // Nobody knows better.
        assert_eq!(reason_to_refuse(&set(1, 21), [limits(64), None, limits(16)].into_iter(), 2), None);
        // What is stored is read and deleted whatever the limits are.
        assert_eq!(refused(Operation::Get { key: vec![b'k'; 20].into() }, [1, 1, 1]), None);
        assert_eq!(refused(Operation::Delete { key: vec![b'k'; 20].into() }, [1, 1, 1]), None);
    }
}
