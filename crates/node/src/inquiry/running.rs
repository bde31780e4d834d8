//! One inquiry while it runs: who was asked, who has answered, and what that comes to.

use super::listing::{Listing, merge};
use super::message::{Answer, Question};
use super::{ASK_AGAIN_AFTER, Finding, Inquiry, WAIT_MAX};
use crate::repair::ranges::Order;
use abd::{Instant, Moment, NodeId, NodeSet, QuorumSystem, Reason, Refusal, Version};
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// The longest pause between two questions to a member.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What an answer has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    /// Nothing.
    AsBefore,
    /// One more member has told what was asked for.
    Answered,
    /// One more member does not tell now.
    Refused,
}

/// An inquiry that runs.
#[derive(Debug)]
pub(super) struct Running<B> {
    pub(super) question: Question,
    pub(super) back: B,
    pub(super) ends_at: Instant,
    again_at: Instant,
    pause: Duration,
    /// Who is never asked.
    excluded: NodeSet,
    /// Who was sent the question since it was asked anew.
    asked: NodeSet,
    yes: NodeSet,
    /// Who has refused since then.
    refused: NodeSet,
    /// What somebody said who has.
    refusal: Option<Refusal>,
    /// Of an inquiry for holders: which version, and how many are wanted.
    holders: Option<(Version, usize)>,
    listings: Vec<Listing>,
    note: Option<Bytes>,
}

impl<B> Running<B> {
    pub(super) fn new(inquiry: Inquiry, back: B, timeout: Duration, now: Instant) -> Self {
        let (question, holders, timeout) = match inquiry {
            Inquiry::Keys(wanted) => (Question::Keys(wanted), None, timeout),
            Inquiry::Holders { key, version, wanted, wait } => {
                let wait = if wait.is_zero() { WAIT_MAX } else { wait.min(WAIT_MAX) };
                (Question::Newest(key), Some((version, wanted)), wait)
            }
            Inquiry::Remember(note) => (Question::Remember(note), None, timeout),
            Inquiry::Recall(id) => (Question::Recall(id), None, timeout),
            Inquiry::Forget(kind) => (Question::Forget(kind), None, timeout),
            Inquiry::Pause(_) => unreachable!("nobody is asked during a pause"),
        };
        Self {
            question,
            back,
            ends_at: now + timeout,
            again_at: now + ASK_AGAIN_AFTER,
            pause: ASK_AGAIN_AFTER,
            excluded: NodeSet::EMPTY,
            asked: NodeSet::EMPTY,
            yes: NodeSet::EMPTY,
            refused: NodeSet::EMPTY,
            refusal: None,
            holders,
            listings: Vec::new(),
            note: None,
        }
    }

    /// Whether it looks through stores.
    pub(super) fn is_look(&self) -> bool {
        matches!(self.question, Question::Keys(_))
    }

    pub(super) fn is_recall(&self) -> bool {
        matches!(self.question, Question::Recall(_))
    }

    /// Nobody was asked yet, and nothing that was said before counts. Returns who is to be asked at first.
    pub(super) fn begin(&mut self, quorums: &QuorumSystem, own: NodeId, nearest: &[NodeId]) -> Vec<NodeId> {
        let own: NodeSet = nearest.iter().copied().filter(|member| *member == own).collect();
        // Only others are counted as holders.
        self.excluded = if self.holders.is_some() { own } else { NodeSet::EMPTY };
        (self.asked, self.yes, self.refused) = (self.excluded, NodeSet::EMPTY, NodeSet::EMPTY);
        (self.refusal, self.note, self.pause) = (None, None, ASK_AGAIN_AFTER);
        self.listings.clear();
        match self.question {
            Question::Keys(_) => {
                let mut first = NodeSet::EMPTY;
                let is_wanted = |member: &NodeId| !quorums.is_quorum(first) && first.insert(*member);
                nearest.iter().copied().take_while(is_wanted).collect()
            }
            // At home first: what is known there was remembered by a majority.
            Question::Recall(_) if !own.is_empty() => own.iter().collect(),
            Question::Recall(_) | Question::Remember(_) | Question::Forget(_) => nearest.to_vec(),
            Question::Newest(_) => nearest.iter().copied().filter(|member| !own.contains(*member)).collect(),
        }
    }

    /// How many other members have the version at least, if those are as many as are wanted.
    pub(super) fn holders_without_asking(&self, quorums: &QuorumSystem) -> Option<usize> {
        let others = others_at_least(quorums);
        self.holders.filter(|(_, wanted)| *wanted <= others).map(|_| others)
    }

    /// When something is to be done about it.
    pub(super) fn due(&self) -> Instant {
        self.ends_at.min(self.again_at)
    }

    /// A member is asked.
    pub(super) fn asked(&mut self, member: NodeId, now: Instant) {
        self.asked.insert(member);
        self.again_at = now + self.pause;
    }

    /// A member has answered.
    pub(super) fn take(&mut self, member: NodeId, answer: Answer) -> Stands {
        if self.yes.contains(member) {
            return Stands::AsBefore;
        }
        match (&self.question, answer) {
            (_, Answer::Refused(refusal)) => {
                self.refused.insert(member);
                self.refusal = Some(refusal);
                return Stands::Refused;
            }
            (Question::Newest(_), Answer::Newest(version)) => {
                if self.holders.is_some_and(|(wanted, _)| version < wanted) {
                    self.refused.insert(member);
                    return Stands::AsBefore;
                }
            }
            (Question::Keys(_), Answer::Keys(listing)) => self.listings.push(listing),
            (Question::Recall(_), Answer::Note(note)) => self.note = self.note.take().or(note),
            (Question::Remember(_) | Question::Forget(_), Answer::Done) => {}
            // It says nothing about what was asked.
            _ => return Stands::AsBefore,
        }
        self.yes.insert(member);
        Stands::Answered
    }

    /// What it has found, as soon as that is enough.
    pub(super) fn finding(
        &mut self,
        quorums: &QuorumSystem,
        order: Order,
        moment: Moment,
    ) -> Option<Finding> {
        if let Some((_, wanted)) = self.holders {
            return (self.yes.len() >= wanted).then(|| self.counted(quorums));
        }
        if self.note.is_some() {
            return Some(Finding::Note(self.note.take()));
        }
        if !quorums.is_quorum(self.yes) {
            return None;
        }
        Some(match &self.question {
            Question::Keys(_) => Finding::Keys(merge(core::mem::take(&mut self.listings), order, moment)),
            Question::Recall(_) => Finding::Note(None),
            Question::Newest(_) | Question::Remember(_) | Question::Forget(_) => Finding::Done,
        })
    }

    /// Other members that are known to have the version.
    fn counted(&self, quorums: &QuorumSystem) -> Finding {
        Finding::Holders(self.yes.len().max(others_at_least(quorums)))
    }

    /// What it comes to when it has taken too long.
    pub(super) fn failure(&self, quorums: &QuorumSystem) -> Finding {
        if self.holders.is_some() {
            return self.counted(quorums);
        }
        let (answered, needed, members) = quorums.shortfall(self.yes);
        Finding::Failed(Reason::NoQuorum { answered, needed, members, refusal: self.refusal })
    }

    /// All that have not told are to be asked once more, and then after a longer pause.
    pub(super) fn ask_anew(&mut self, now: Instant) {
        (self.asked, self.refused) = (self.yes.union(self.excluded), NodeSet::EMPTY);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        self.again_at = now + self.pause;
    }

    pub(super) fn was_not_asked(&self, member: NodeId) -> bool {
        !self.asked.contains(member)
    }

    /// Who was asked and has said nothing.
    pub(super) fn silent(&self) -> NodeSet {
        self.asked.minus(self.yes).minus(self.refused).minus(self.excluded)
    }
}

/// Other members that have a version whose write has completed: a majority of the members has it, in whichever epoch that was.
fn others_at_least(quorums: &QuorumSystem) -> usize {
    quorums.members().majority() - 1
}
