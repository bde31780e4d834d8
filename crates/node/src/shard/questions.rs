//! Questions that a look at the own store answers. Whoever may wait for the disk looks, and the answer comes back as an input.

use super::{Environment, ReplyTo, Return, Shard};
use crate::inquiry;
use crate::repair::message::{Answer, Question};
use crate::repair::ranges::{self, Range};
use crate::sync;
use crate::sync::source::{Records, Source};
use abd::{Now, Refusal};

/// A question to the own store, of a peer's repair or of an inquiry. Its answer goes to
/// [`Shard::handle_answered`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnQuestion {
    /// Over which lane it came, and which call it is. Without a lane an inquiry of this event loop asks.
    pub to: ReplyTo,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Repair(Question),
    Inquiry(inquiry::message::Question),
    Sync(sync::message::Question),
}

/// What the own store says to an [`OwnQuestion`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnAnswer {
    /// To a peer's repair.
    Repair(Answer),
    /// To an inquiry.
    Inquiry(inquiry::message::Answer),
    /// To a peer that pulls.
    Sync(sync::message::Answer),
}

impl OwnQuestion {
    pub(super) fn of_repair(to: ReplyTo, question: Question) -> Self {
        Self { to, what: What::Repair(question) }
    }

    pub(super) fn of_inquiry(to: ReplyTo, question: inquiry::message::Question) -> Self {
        Self { to, what: What::Inquiry(question) }
    }

    pub(super) fn of_sync(to: ReplyTo, question: sync::message::Question) -> Self {
        Self { to, what: What::Sync(question) }
    }

    /// Looks for the answer, and may wait for the disk. `is_admitted`: rule M1. `accepted`: what the own acceptors have accepted of
    /// a range, in memory ([`source::records_of`](crate::sync::source::records_of)).
    pub fn carry_out<S: Source>(
        &self,
        store: &S,
        is_admitted: bool,
        accepted: impl FnOnce(&Range) -> Records,
    ) -> OwnAnswer {
        match &self.what {
            What::Repair(question) => {
                let answer = ranges::answer(store, question, is_admitted);
                OwnAnswer::Repair(answer.unwrap_or(Answer::Refused(Refusal::StoreFailed)))
            }
            What::Inquiry(question) => {
                let answer = inquiry::answer(store, question, is_admitted);
                OwnAnswer::Inquiry(answer.unwrap_or(inquiry::message::Answer::Refused(Refusal::StoreFailed)))
            }
            What::Sync(..) if !is_admitted => {
                OwnAnswer::Sync(sync::message::Answer::Refused(Refusal::NotAdmitted))
            }
            What::Sync(question) => {
                let answer = sync::source::answer(store, question, accepted);
                OwnAnswer::Sync(answer.unwrap_or(sync::message::Answer::Refused(Refusal::StoreFailed)))
            }
        }
    }
}

impl<E: Environment, R: Return> Shard<E, R> {
    /// Whether the own store is asked something.
    pub fn has_question(&self) -> bool {
        !self.questions.is_empty()
    }

    /// The next question to the own store.
    pub fn poll_question(&mut self) -> Option<OwnQuestion> {
        loop {
            let question = self.questions.pop_front()?;
            // The lane of another may be gone.
            if question.to.lane.is_none_or(|key| self.lane(key).is_some()) {
                return Some(question);
            }
        }
    }

    /// What the own store says to an [`OwnQuestion`].
    pub fn handle_answered(&mut self, to: ReplyTo, answer: OwnAnswer, now: Now) {
        match (answer, to.lane) {
            (OwnAnswer::Inquiry(answer), _) => self.handle_looked_through(to, answer, now),
            (OwnAnswer::Repair(answer), Some(key)) => {
                // The lane may be gone, and its question with it.
                let Some(lane) = self.lane(key) else { return };
                lane.is_answering = false;
                self.tell(key, to.call, &answer);
            }
            (OwnAnswer::Sync(answer), Some(key)) => {
                let is_current = self.answers_in(to.epoch);
                let answer = match is_current {
                    true => answer,
                    // What was looked up may be of a time after the epoch that asked.
                    false => sync::message::Answer::Refused(Refusal::OtherConfiguration),
                };
                let Some(lane) = self.lane(key) else { return };
                lane.is_answering = false;
                self.tell_puller(key, to.call, &answer);
            }
            (OwnAnswer::Repair(_) | OwnAnswer::Sync(_), None) => {
                unreachable!("repair asks its own store in another way")
            }
        }
    }
}
