//! What becomes of a proposal that was sent in an Accept (rule P3').
//!
//! Until it is known its operations may not go on at another base: they could take effect twice. A bare refusal says nothing: the
//! proposal may have been accepted there through a helper.

use crate::message::Closed;
use crate::quorum::{Members, NodeSet};
use crate::update::{AcceptedThere, Proposal};
use crate::value::StampedValue;
use alloc::vec::Vec;

/// A proposal of one's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Own {
    pub(in super::super) base: StampedValue,
    pub(in super::super) proposal: Proposal,
    /// The runs of the members, by index, that had begun before it was first sent; zero where none is known.
    boots: Vec<u32>,
    /// Who is closed at the base, and has never accepted it there.
    never: NodeSet,
}

/// What is known of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Fate {
    Unknown,
    /// It was chosen.
    Won,
    /// It was not, and will not be.
    Lost,
}

impl Own {
    pub(in super::super) fn new(base: StampedValue, proposal: Proposal, boots: Vec<u32>) -> Self {
        Self { base, proposal, boots, never: NodeSet::EMPTY }
    }

    /// A replica is closed at the base.
    pub(in super::super) fn judge(&mut self, members: &Members, from: usize, closed: &Closed) -> Fate {
        let update = self.proposal.update;
        // (a) Whoever has seen the successor knows who has won.
        match closed.winner {
            Some(winner) if winner == update => return Fate::Won,
            Some(_) => return Fate::Lost,
            None => {}
        }
        // (b) Of those that are closed for ever, a majority has never accepted it.
        let never = match closed.accepted {
            AcceptedThere::Nothing => closed.boot <= self.boots[from],
            // What was accepted last: had this one been chosen, nothing else could have come after it.
            AcceptedThere::Update(last) => last != update,
            AcceptedThere::Forgotten => false,
        };
        if never {
            self.never.insert(from);
        }
        if members.is_majority(self.never) { Fate::Lost } else { Fate::Unknown }
    }
}
