//! What becomes of a proposal that was sent in an Accept (rule P3').
//!
//! Until it is known its operations may not go on at another base: they could take effect twice. A bare refusal says nothing: the
//! proposal may have been accepted there through a helper.
//!
//! An expiry that Gets alone have proposed binds nobody: it has no effect but at its base, however often it is proposed (rule E1).

use crate::ballot::Ballot;
use crate::message::Closed;
use crate::quorum::{NodeSet, QuorumSystem};
use crate::update::{AcceptedThere, Proposal};
use crate::value::StampedValue;
use crate::version::NodeId;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A proposal of one's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Own {
    pub(in super::super) base: StampedValue,
    pub(in super::super) proposal: Proposal,
    /// Whether operations are at stake that may take effect twice.
    binds: bool,
    /// The runs of the members that had begun before it was first sent, as far as any is known.
    boots: BTreeMap<NodeId, u32>,
    /// Whether it was proposed in the present epoch. If not, what a replica has not accepted says nothing: it may have come to its
    /// configuration after others had accepted it.
    is_of_this_epoch: bool,
    /// If not: who is closed at the base, and cannot tell who has won there.
    clueless: NodeSet,
    /// Who is closed at the base, and has never accepted it there.
    never: NodeSet,
    /// Who is closed and has accepted it: under which ballots at most, from the lowest to the highest.
    accepted: Vec<(NodeId, Ballot, Ballot)>,
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
    pub(in super::super) fn new(
        base: StampedValue,
        proposal: Proposal,
        binds: bool,
        boots: BTreeMap<NodeId, u32>,
    ) -> Self {
        let (clueless, never, accepted) = (NodeSet::EMPTY, NodeSet::EMPTY, Vec::new());
        Self { base, proposal, binds, boots, is_of_this_epoch: true, clueless, never, accepted }
    }

    /// Another configuration is in force: what was known of acceptances belongs to the one before.
    pub(in super::super) fn enter_epoch(&mut self) {
        self.is_of_this_epoch = false;
        self.clueless = NodeSet::EMPTY;
        self.never = NodeSet::EMPTY;
        self.accepted.clear();
    }

    /// A replica is closed at the base.
    pub(in super::super) fn judge(&mut self, quorums: &QuorumSystem, from: NodeId, closed: &Closed) -> Fate {
        let update = self.proposal.update;
        // (a) Whoever has seen the successor knows who has won.
        match closed.winner {
            Some(winner) if winner == update => return Fate::Won,
            Some(_) => return Fate::Lost,
            None if !self.binds => return Fate::Lost,
            None if !self.is_of_this_epoch => {
                self.clueless.insert(from);
                return Fate::Unknown;
            }
            None => {}
        }
        match closed.accepted {
            AcceptedThere::Nothing if self.boots.get(&from).is_some_and(|boot| closed.boot <= *boot) => {
                self.never.insert(from);
            }
            // What was accepted last: had this one been chosen, nothing else could have come after it.
            AcceptedThere::Update { update: last, .. } if last != update => {
                self.never.insert(from);
            }
            AcceptedThere::Update { lowest, highest, .. } => {
                self.accepted.retain(|(other, ..)| *other != from);
                self.accepted.push((from, lowest, highest));
            }
            AcceptedThere::Nothing | AcceptedThere::Forgotten => {}
        }
        if self.may_be_chosen(quorums) { Fate::Unknown } else { Fate::Lost }
    }

    /// Whether nobody is likely to tell any more: it is of an older epoch, cannot be chosen in this one, and a quorum does not know
    /// whether it was.
    pub(super) fn is_beyond_learning(&self, quorums: &QuorumSystem) -> bool {
        quorums.is_quorum(self.clueless)
    }

    /// (b) Whether some ballot is left under which a majority may have accepted it, or may yet. Those that are closed accept nothing
    /// any more; of the others nothing is known.
    fn may_be_chosen(&self, quorums: &QuorumSystem) -> bool {
        let mut unknown = quorums.voters().minus(self.never);
        self.accepted.iter().for_each(|(from, ..)| unknown.remove(*from));
        let under = |ballot: &Ballot| {
            let mut voters = unknown;
            for (from, lowest, highest) in &self.accepted {
                if (lowest..=highest).contains(&ballot) {
                    voters.insert(*from);
                }
            }
            quorums.is_quorum(voters)
        };
        // Most are possible at one at which some range begins.
        quorums.is_quorum(unknown) || self.accepted.iter().any(|(_, lowest, _)| under(lowest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ballot::{Scope, UpdateId};
    use crate::message::Closed;
    use crate::quorum::Members;
    use crate::value::{Content, Deadline, Newest};
    use crate::version::{NodeId, Version};

    fn ballot(round: u64) -> Ballot {
        Ballot { epoch: 1, round, node: 1, boot: 1 }
    }

    fn closed(boot: u32, accepted: AcceptedThere, winner: Option<UpdateId>) -> Closed {
        let newest = Newest { stamped: StampedValue::NEVER, durable: true }.glimpse(Version::MAX);
        Closed { newest, boot, accepted, winner }
    }

    fn own() -> (QuorumSystem, Own) {
        let update = ballot(1).update();
        let proposal = Proposal { update, content: Content::Tombstone, deadline: Deadline::NONE };
        let quorums =
            QuorumSystem::of(Members::new((1..=5).map(NodeId).collect()), Scope { partition: 0, epoch: 1 });
        let boots = (1..=4).map(|id| (NodeId(id), 1)).collect();
        (quorums, Own::new(StampedValue::NEVER, proposal, true, boots))
    }

    fn accepted(lowest: u64, highest: u64) -> AcceptedThere {
        AcceptedThere::Update { update: ballot(1).update(), lowest: ballot(lowest), highest: ballot(highest) }
    }

    /// P3' (a).
    #[test]
    fn p3_the_successor_names_the_winner() {
        let (quorums, mut own) = own();
        let judge = |own: &mut Own, winner| {
            own.judge(&quorums, NodeId(1), &closed(9, AcceptedThere::Forgotten, winner))
        };
        assert_eq!(judge(&mut own, None), Fate::Unknown);
        assert_eq!(judge(&mut own, Some(ballot(1).update())), Fate::Won);
        assert_eq!(judge(&mut own, Some(ballot(2).update())), Fate::Lost);
    }

    /// E1: Gets go on at a newer base at once, whatever has become of the expiry that they have proposed.
    #[test]
    fn e1_an_expiry_that_gets_have_proposed_binds_nobody() {
        let (quorums, own) = own();
        let mut own = Own { binds: false, ..own };
        let judge = |own: &mut Own, winner| {
            own.judge(&quorums, NodeId(1), &closed(9, AcceptedThere::Forgotten, winner))
        };
        assert_eq!(judge(&mut own, Some(ballot(1).update())), Fate::Won);
        assert_eq!(judge(&mut own, None), Fate::Lost);
    }

    /// P3' (b): of a run that began later, or was not known, "nothing" says nothing.
    #[test]
    fn p3_nothing_is_believed_of_a_run_that_is_old_enough() {
        let (quorums, mut own) = own();
        for (from, boot, fate) in [
            (1, 1, Fate::Unknown),
            (2, 2, Fate::Unknown),
            (5, 1, Fate::Unknown),
            (2, 1, Fate::Unknown),
            (3, 1, Fate::Lost),
        ] {
            assert_eq!(
                own.judge(&quorums, NodeId(from), &closed(boot, AcceptedThere::Nothing, None)),
                fate,
                "{from}"
            );
        }
    }

    /// P3' (b): acceptances under different ballots do not choose anything together.
    #[test]
    fn p3_acceptances_count_ballot_by_ballot() {
        for (ranges, fate) in [
            ([(36, 36), (40, 40), (36, 40)], Fate::Lost),
            ([(36, 40), (40, 40), (36, 40)], Fate::Unknown),
            ([(36, 36), (36, 36), (36, 36)], Fate::Unknown),
            ([(0, 36), (1, 40), (37, 40)], Fate::Lost),
        ] {
            let (quorums, mut own) = own();
            for (from, (lowest, highest)) in (1..).zip(ranges) {
                let found = own.judge(&quorums, NodeId(from), &closed(1, accepted(lowest, highest), None));
                assert_eq!(found, Fate::Unknown);
            }
            assert_eq!(
                own.judge(&quorums, NodeId(4), &closed(1, AcceptedThere::Nothing, None)),
                Fate::Unknown
            );
            // Another update was accepted there later: whenever its run began.
            let other =
                AcceptedThere::Update { update: ballot(9).update(), lowest: ballot(9), highest: ballot(9) };
            assert_eq!(own.judge(&quorums, NodeId(5), &closed(7, other, None)), fate, "{ranges:?}");
        }
    }
}
