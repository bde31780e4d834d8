//! Lanes: what two nodes send each other, and over which connection.
//!
//! # Pairs
//!
//! Event loops of two nodes are joined in pairs: pair `k` of `max(a, b)` joins the loops `k mod a` and `k mod b` of two nodes
//! with `a` and `b` of them, so each loop has one at least. A loop with several sends over the first that is up. A pair has two
//! connections, its lanes: [`LaneKind::Small`] for questions, acknowledgements and small values, [`LaneKind::Bulk`] for values
//! from [`BULK_FROM`] on, so that no small message waits behind a large one. Both are dialled by the node with the lower id, or by the other one
//! where that cannot be. On
//! each lane both nodes ask and both reply: what they send each other at one time shares its packets. A request takes the lane that
//! its size says, and so does the reply to it, over the same pair; while one lane of a pair is down, the other carries all.
//!
//! # Why nobody waits for ever, in bounded memory
//!
//! Each side reads on whatever happens: no read waits for room to write. So what one side writes is taken by the other, and two
//! sides that wait for each other to read do not exist. Reading on costs no memory without bounds, as nothing is kept that does
//! not fit ([`Bounds`] has the numbers):
//!
//! * Requests wait encoded up to [`Bounds::encoded`], then unencoded up to [`Bounds::backlog`]. Beyond it a question is not
//!   sent, as if it were lost, and a write is *missed*: repair sends it later. What is no write is not sent at all once its phase is over.
//! * A reply with a content is refused as [`Refusal::Overloaded`](abd::Refusal::Overloaded) while more than
//!   [`Bounds::contents`] wait: whoever asked asks others, and again.
//! * Replies without a content are small, and there is one for each request. A peer that sends requests and does not read
//!   until [`Bounds::unread`] of them wait is broken, and the lane is closed.
//!
//! What was handed to a lane and not acknowledged when it breaks is missed, write by write
//! ([`Unacknowledged`](crate::repair::unacknowledged::Unacknowledged)); the operations that wait for it ask again over what is
//! left.

pub mod lane;
pub mod outgoing;
pub(crate) mod peer;

use crate::hello::LaneKind;

/// A request or reply with a key and a value of so many bytes takes the bulk lane.
pub const BULK_FROM: usize = 16 << 10;

/// How much may wait on a lane, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Encoded requests, and one more. Beyond it they wait unencoded, so that they can still be dropped.
    pub encoded: usize,
    /// Unencoded requests, and one that is larger if it is alone.
    pub backlog: usize,
    /// Replies that have a content, and one more.
    pub contents: usize,
    /// Everything but the largest frame. A peer that asks on with so much unread is broken.
    pub unread: usize,
}

impl Bounds {
    /// Those of a lane.
    pub const fn of(kind: LaneKind) -> Self {
        match kind {
            LaneKind::Small => {
                Self { encoded: 256 << 10, backlog: 8 << 20, contents: 2 << 20, unread: 32 << 20 }
            }
            LaneKind::Bulk => {
                Self { encoded: 256 << 10, backlog: 32 << 20, contents: 8 << 20, unread: 32 << 20 }
            }
        }
    }
}

/// The lane for a message with a key and a value of so many bytes.
pub fn kind_of(bytes: usize) -> LaneKind {
    if bytes < BULK_FROM { LaneKind::Small } else { LaneKind::Bulk }
}

/// How many pairs two nodes have with so many event loops.
pub fn pair_count(ours: u16, theirs: u16) -> u16 {
    ours.max(theirs)
}

/// The event loop of a node with so many of them that takes part in a pair.
pub fn loop_of(pair: u16, loops: u16) -> u16 {
    pair % loops
}

/// The pairs of one event loop of a node with `ours`, to one with `theirs`.
pub fn pairs_of(index: u16, ours: u16, theirs: u16) -> impl Iterator<Item = u16> {
    (0..pair_count(ours, theirs)).filter(move |pair| loop_of(*pair, ours) == index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn every_event_loop_has_a_pair_and_both_sides_agree() {
        for (a, b) in [(1, 1), (1, 4), (4, 1), (2, 3), (3, 2), (4, 4), (2, 4)] {
            let mut all = Vec::new();
            for index in 0..a {
                let own: Vec<u16> = pairs_of(index, a, b).collect();
                assert_eq!(own.first(), Some(&index), "known before the other side has said what it has");
                all.extend(own);
            }
            all.sort_unstable();
            assert_eq!(all, (0..a.max(b)).collect::<Vec<u16>>());
            assert!((0..b).all(|index| all.iter().any(|pair| loop_of(*pair, b) == index)));
        }
    }

    #[test]
    fn a_value_takes_the_bulk_lane_from_some_size_on() {
        assert_eq!(kind_of(BULK_FROM - 1), LaneKind::Small);
        assert_eq!(kind_of(BULK_FROM), LaneKind::Bulk);
    }
}
