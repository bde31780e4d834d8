//! What an input to a machine leads to.

use super::machine::Machine;
use super::update::Member;
use crate::operation::{Outcome, Reason};
use crate::quorum::NodeSet;
use crate::update::{EvaluatedOperation, Function};
use crate::value::StampedValue;
use crate::version::{NodeId, Version};
use alloc::vec::Vec;

/// What an input leads to.
pub(super) enum Step {
    Continue,
    /// Ask a majority, those not yet asked.
    AskMajority,
    AskEverybody,
    /// Ask this one once more: it needs more than it was told.
    AskAgain(NodeId),
    /// The next phase begins.
    Enter(Machine),
    /// The result is durable on a majority: answer as soon as rule T1 allows.
    Settle(Settled),
    End(Outcome),
    /// An Update that looks before: what would its functions come to?
    Evaluate(StampedValue, Vec<Function>),
    /// An Update changes something, or something is being changed; or a Get has found a value that is due to expire. It waits for the
    /// fold of its key, of which this version is known.
    Enqueue(StampedValue, Member),
    /// A fold of Updates goes on.
    Fold(FoldStep),
}

/// An answer that is true already.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Settled {
    pub(super) version: Version,
    pub(super) outcome: Outcome,
    /// Whether the operation has changed something.
    pub(super) had_effect: bool,
}

/// What becomes of a fold.
pub(super) enum FoldStep {
    /// A majority has promised: what was accepted there is proposed again, or else what the operations come to.
    Evaluate,
    /// Nothing comes of this attempt: try again after a pause.
    Retry,
    /// The disks of so many are full that not even the base can be stored on a majority. Nothing of one's own is at stake.
    Full(NodeSet),
    /// The pause is over.
    Resume,
    /// Somebody has got further, and nothing of one's own is at stake.
    Follow(Next),
    /// The own proposal was not chosen, and will not be: its operations are folded anew.
    Lost(Next),
    /// The own proposal was chosen.
    Won,
    /// Somebody else's was.
    Helped,
    /// The version that the own proposal has become is stored on a majority.
    Published,
    /// No majority will store it.
    Unpublished(Reason),
}

/// Where a fold goes on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Next {
    /// At whatever is the newest version of a majority.
    Newest,
    /// At this version, which not everybody may have.
    Base(StampedValue),
}

/// The answer of an Update at this version.
pub(super) fn updated(evaluated: EvaluatedOperation, version: Version) -> Settled {
    let EvaluatedOperation { answers, changes } = evaluated;
    Settled { version, outcome: Outcome::Updated { answers, version }, had_effect: changes }
}
