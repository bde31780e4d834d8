//! An Update: functions of a key's content, of which consensus makes the one successor of a base (PROTOCOL section 5).
//!
//! ```text
//! look      would it change anything? no ─► as a Get ─► answer                                    1 round trip, no sync
//! Prepare   promises of a majority for its newest version ─► evaluate ─► nothing changes ─► answer 1 round trip, no sync
//! Accept    a majority accepts under one ballot: chosen
//! Publish   the successor is stored on a majority ─► (T1 wait) ─► answer                           3 round trips, 2 syncs
//! ```
//!
//! Each operation of its own looks ([`look`]), and then waits for the [`fold`] of its key, of which an event loop has one at a time.

pub(super) mod accept;
mod attempt;
mod contention;
pub(super) mod fate;
pub(super) mod fold;
pub(super) mod look;
mod pause;
pub(super) mod prepare;
mod queue;
mod setbacks;

pub(super) use contention::Contention;
pub(super) use pause::Pauses;
pub(super) use queue::KeyQueue;

use super::step::{Settled, updated};
use crate::operation::Outcome;
use crate::update::{EvaluatedOperation, Function};
use crate::value::StampedValue;
use alloc::vec::Vec;

/// A base whose content is no larger goes along to those who may lack it; of a larger one they are told the version, and ask.
const WHOLE_BASE_BYTES: usize = 1 << 10;
/// Operations in one fold at most.
const FOLD_OPERATIONS: usize = 512;
/// Bytes of their functions, unless a single one has more.
const FOLD_BYTES: usize = 1 << 20;

/// An Update that waits for the fold of its key, or is a part of it. Or a Get of a value that is due to expire: it has no functions,
/// and whatever the fold finds it brings the expiry of the base with it (rule E1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Member {
    functions: Vec<Function>,
    is_read: bool,
    /// Whether it is a part of a proposal that was sent and whose fate is not known: it may take effect.
    pub(super) is_proposed: bool,
}

impl Member {
    pub(super) fn new(functions: Vec<Function>) -> Self {
        Self { functions, is_read: false, is_proposed: false }
    }

    /// Of a Get.
    pub(super) fn reading() -> Self {
        Self { functions: Vec::new(), is_read: true, is_proposed: false }
    }

    /// Whether it may take effect although nobody answers. An expiry is nobody's effect: whoever reads brings it about (rule E1).
    pub(super) fn may_have_effect(&self) -> bool {
        self.is_proposed && !self.is_read
    }

    /// Its answer: what its functions have come to, or what the key holds.
    fn settled(&self, evaluated: EvaluatedOperation, stamped: &StampedValue) -> Settled {
        let version = stamped.version;
        match self.is_read {
            true => Settled { version, outcome: Outcome::Read(stamped.clone()), had_effect: false },
            false => updated(evaluated, version),
        }
    }

    fn bytes(&self) -> usize {
        self.functions.iter().map(|function| function.encoded.len()).sum()
    }
}
