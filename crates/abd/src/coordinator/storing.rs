//! A stamped value on its way to a majority: the write phase of a Set or a Delete, the write-back of a Get, the publication of an
//! update.

use crate::message::{Refusal, Request};
use crate::operation::Reason;
use crate::quorum::{NodeSet, QuorumSystem, Tally};
use crate::value::StampedValue;
use crate::version::NodeId;
use bytes::Bytes;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Storing {
    pub(super) stamped: StampedValue,
    /// Who durably holds the version or a newer one.
    pub(super) held: NodeSet,
    pub(super) refused: NodeSet,
}

impl Storing {
    pub(super) fn new(stamped: StampedValue, held: NodeSet) -> Self {
        Self { stamped, held, refused: NodeSet::EMPTY }
    }

    pub(super) fn request(&self, key: Bytes) -> Request {
        Request::LocalWrite { key, stamped: self.stamped.clone() }
    }

    /// Who need not be asked again. Whoever has refused may take it later, and somebody may wait for it for as long as that takes.
    pub(super) fn answered(&self) -> NodeSet {
        self.held
    }

    /// Whether a majority holds it now.
    pub(super) fn absorb_written(&mut self, quorums: &QuorumSystem, from: NodeId) -> bool {
        self.refused.remove(from);
        self.held.insert(from);
        quorums.is_quorum(self.held)
    }

    /// Why no majority will hold it. Lasting refusals count alone: a new directory, a full queue or a replica that is behind in
    /// configurations may change its mind within the deadline.
    pub(super) fn absorb_refusal(
        &mut self,
        quorums: &QuorumSystem,
        from: NodeId,
        refusal: Refusal,
    ) -> Option<Reason> {
        if matches!(refusal, Refusal::NotAdmitted | Refusal::Overloaded | Refusal::OtherConfiguration) {
            return None;
        }
        self.refused.insert(from);
        (quorums.tally(self.held, self.refused) == Tally::Impossible).then(|| Reason::TooManyRefused {
            refused: self.refused.len(),
            members: quorums.voters().len(),
            refusal: Some(refusal),
        })
    }
}
