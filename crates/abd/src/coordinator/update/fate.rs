//! What becomes of a proposal that was sent in an Accept (rule P3').
//!
//! Until it is known its operations may not go on at another base: they could take effect twice. A bare refusal says nothing: the
//! proposal may have been accepted there through a helper. And of a replica that is down nothing is said at all: it need not be asked
//! if the proposal cannot have come to it, which takes an Accept of one's own or a helper, who learns of it by a promise.
//!
//! An expiry that Gets alone have proposed binds nobody: it has no effect but at its base, however often it is proposed (rule E1).

use crate::ballot::Ballot;
use crate::message::Closed;
use crate::quorum::{NodeSet, QuorumSystem};
use crate::update::{AcceptedThere, Proposal};
use crate::value::StampedValue;
use crate::version::NodeId;
use alloc::collections::BTreeMap;
use alloc::vec;
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
    /// The quorums of the epochs before the present one, since it was proposed. If there are any, what a replica has not accepted says
    /// nothing by itself: it may have come to its configuration after others had accepted it.
    before: Vec<QuorumSystem>,
    /// Who is closed at the base, and cannot tell who has won there.
    clueless: NodeSet,
    /// Under which ballots promises were asked for at the base since it was proposed: these proposers are this one. They are no more than
    /// there are attempts until the deadlines of its operations.
    ballots: Vec<Ballot>,
    /// To whom it was sent, and which run of them, as far as that is known.
    sent: BTreeMap<NodeId, u32>,
    /// Who is closed at the base, and has said what it knows.
    heard: NodeSet,
    /// Who is closed at the base, and has told nobody else what it has accepted there: no helper has it from them.
    silent: NodeSet,
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
        ballot: Ballot,
        binds: bool,
        boots: BTreeMap<NodeId, u32>,
    ) -> Self {
        Self {
            base,
            proposal,
            binds,
            boots,
            before: Vec::new(),
            clueless: NodeSet::EMPTY,
            ballots: vec![ballot],
            sent: BTreeMap::new(),
            heard: NodeSet::EMPTY,
            silent: NodeSet::EMPTY,
            never: NodeSet::EMPTY,
            accepted: Vec::new(),
        }
    }

    fn is_of_this_epoch(&self) -> bool {
        self.before.is_empty()
    }

    /// Promises are asked for at its base, under this ballot.
    pub(super) fn ask(&mut self, ballot: Ballot) {
        self.ballots.push(ballot);
    }

    /// It is on its way to this run of a member.
    pub(in super::super) fn send(&mut self, to: NodeId, boot: u32) {
        self.sent.entry(to).or_insert(boot);
    }

    /// Another configuration is in force: what was known of acceptances belongs to the one before.
    pub(in super::super) fn enter_epoch(&mut self, before: QuorumSystem) {
        self.before.push(before);
        self.clueless = NodeSet::EMPTY;
        self.heard = NodeSet::EMPTY;
        self.silent = NodeSet::EMPTY;
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
            None => _ = self.clueless.insert(from),
        }
        self.heard.insert(from);
        // What a run says of all its time is of use if it had begun before the proposal came to it, by this coordinator or by others.
        let is_of_that_run =
            |runs: &BTreeMap<NodeId, u32>| runs.get(&from).is_some_and(|boot| closed.boot <= *boot);
        if is_of_that_run(&self.sent) && closed.told.is_only(&self.ballots) {
            self.silent.insert(from);
        }
        match closed.accepted {
            AcceptedThere::Nothing if is_of_that_run(&self.boots) => {
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
        // Of an acceptance that is told of here nobody knows whether it is durable yet, so it is no proof that it was chosen.
        if self.may_be_chosen(quorums) { Fate::Unknown } else { Fate::Lost }
    }

    /// Whether nobody is likely to tell any more. It is of an older epoch, cannot be chosen in this one, and a quorum does not know
    /// whether it was. Or all who can be reached have said what they know, and that is not enough: the others are down, and whoever comes
    /// back as another run has forgotten.
    pub(super) fn is_beyond_learning(&self, quorums: &QuorumSystem, unreachable: NodeSet) -> bool {
        match self.is_of_this_epoch() {
            false => quorums.is_quorum(self.clueless),
            true => quorums.voters().minus(unreachable).minus(self.heard).is_empty(),
        }
    }

    /// Whether some ballot is left under which a quorum may have accepted it, or may yet. Those that are closed accept nothing any more.
    fn may_be_chosen(&self, quorums: &QuorumSystem) -> bool {
        if self.sent.keys().all(|to| self.silent.contains(*to)) {
            // (d) Nobody has it but those to whom it was sent, in whatever epoch.
            return self
                .before
                .iter()
                .chain([quorums])
                .any(|quorums| self.may_suffice(quorums, NodeSet::EMPTY));
        }
        // (b) Of those that are not closed nothing is known. In another epoch than its own that is true of everybody.
        !self.is_of_this_epoch() || self.may_suffice(quorums, quorums.voters().minus(self.never))
    }

    /// Whether a quorum may have accepted it under one ballot: those that have, and those of whom it is not known.
    fn may_suffice(&self, quorums: &QuorumSystem, mut unknown: NodeSet) -> bool {
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
    use crate::update::Told;
    use crate::value::{Content, Deadline, Newest};
    use crate::version::{NodeId, Version};

    fn ballot(round: u64) -> Ballot {
        Ballot { epoch: 1, round, node: 1, boot: 1 }
    }

    fn closed(boot: u32, accepted: AcceptedThere, winner: Option<UpdateId>) -> Closed {
        let newest = Newest { stamped: StampedValue::NEVER, durable: true }.glimpse(Version::MAX);
        Closed { newest, boot, accepted, winner, told: Told::ANYBODY }
    }

    fn own() -> (QuorumSystem, Own) {
        let update = ballot(1).update();
        let proposal = Proposal { update, content: Content::Tombstone, deadline: Deadline::NONE };
        let quorums =
            QuorumSystem::of(Members::new((1..=5).map(NodeId).collect()), Scope { partition: 0, epoch: 1 });
        let boots = (1..=4).map(|id| (NodeId(id), 1)).collect();
        let mut own = Own::new(StampedValue::NEVER, proposal, ballot(1), true, boots);
        (1..=5).for_each(|id| own.send(NodeId(id), 1));
        (quorums, own)
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
            let nothing = closed(1, AcceptedThere::Nothing, None);
            assert_eq!(own.judge(&quorums, NodeId(4), &nothing), Fate::Unknown);
            // Another update was accepted there later: whenever its run began.
            let other =
                AcceptedThere::Update { update: ballot(9).update(), lowest: ballot(9), highest: ballot(9) };
            assert_eq!(own.judge(&quorums, NodeId(5), &closed(7, other, None)), fate, "{ranges:?}");
        }
    }

    /// P3' (d): what was sent to two alone is lost when both are closed and have told nobody but this proposer.
    #[test]
    fn p3_what_is_confined_is_known_by_those_who_have_it() {
        let told = |rounds: &[u64]| Told::of(rounds.iter().copied().map(ballot).collect());
        let tells = |own: &mut Own, quorums: &QuorumSystem, from, boot, told| {
            own.judge(quorums, NodeId(from), &Closed { told, ..closed(boot, accepted(1, 4), None) })
        };
        for (boot, second, fate) in [
            (1, told(&[]), Fate::Lost),
            (1, told(&[1, 4]), Fate::Lost),
            (1, told(&[4, 5]), Fate::Unknown),
            (1, Told::ANYBODY, Fate::Unknown),
            (1, told(&[1; Told::MAX + 1]), Fate::Unknown),
            // Promises of an earlier run are not known any more.
            (2, told(&[]), Fate::Unknown),
        ] {
            let (quorums, own) = own();
            let mut own = Own { sent: [1, 2].map(|id| (NodeId(id), 1)).into(), ..own };
            own.ask(ballot(4));
            assert_eq!(tells(&mut own, &quorums, 1, 1, told(&[])), Fate::Unknown);
            assert_eq!(tells(&mut own, &quorums, 2, boot, second.clone()), fate, "{boot} {second:?}");
            // The connection to a third one is up again, and it was sent there.
            own.send(NodeId(3), 7);
            assert_eq!(tells(&mut own, &quorums, 2, 1, told(&[])), Fate::Unknown);
            // It is another run than the one that was known when it was proposed, and the only one that it was sent to.
            let last = Closed { told: told(&[]), ..closed(7, AcceptedThere::Nothing, None) };
            assert_eq!(own.judge(&quorums, NodeId(3), &last), Fate::Lost, "{boot} {second:?}");
        }
    }
}
