//! Inquiries ([`crate::inquiry`]): an event loop asks over its own lanes, and answers what others ask.

use super::{Environment, OwnQuestion, ReplyTo, Return, Shard};
use crate::inquiry::message::{Answer, Question, put_answer, put_question};
use crate::inquiry::{Ask, Inquiry, InquiryId};
use crate::lanes::lane::LaneKey;
use abd::{CallId, Instant, Now, Refusal, Scope};

/// Questions of one lane that wait for the disk at a time. A peer that keeps to what it may ask has fewer.
const LOOKS_OF_LANE_MAX: usize = 8;

/// The epoch in which a question was asked, and in which alone it is answered (rule C1): the phase of its call. Releases before
/// peer protocol 6 say zero, and know of the first epoch alone.
fn asked_in(call: CallId) -> u32 {
    if call.phase == 0 { Scope::FIRST.epoch } else { call.phase }
}

impl<E: Environment, R: Return> Shard<E, R> {
    /// Begins an inquiry. What it finds goes the way `back`.
    pub fn inquire(&mut self, inquiry: Inquiry, back: R, instant: Instant) -> InquiryId {
        let id = self.inquiries.begin(inquiry, back, instant);
        self.pump(self.at(instant));
        id
    }

    /// Ends an inquiry that nobody waits for any more.
    pub fn end_inquiry(&mut self, id: InquiryId, instant: Instant) {
        self.inquiries.cancel(id, instant);
        self.pump(self.at(instant));
    }

    /// Puts the questions that are to be put, and tells what was found.
    pub(super) fn pump_inquiries(&mut self, now: Now) {
        while let Some(Ask { member, call, question }) = self.inquiries.poll_ask() {
            if member == self.local {
                self.answer_inquiry(self.to(None, call), question, now);
            } else if !self.frame_to(member, question.bytes(), |body| put_question(body, call, &question)) {
                self.inquiries.handle_not_sent(call, now.instant);
            }
        }
        while let Some((back, finding)) = self.inquiries.poll_ended() {
            back.tell(finding);
        }
    }

    /// Answers a question now, or queues it for whoever may wait for the disk.
    pub(super) fn answer_inquiry(&mut self, to: ReplyTo, question: Question, now: Now) {
        if !self.answers_in(asked_in(to.call)) {
            return self.tell_inquirer(to, Answer::Refused(Refusal::OtherConfiguration), now);
        }
        if question.needs_store() {
            if let Some(lane) = to.lane.and_then(|key| self.lane(key)) {
                if lane.looks == LOOKS_OF_LANE_MAX {
                    return self.tell_inquirer(to, Answer::Refused(Refusal::Overloaded), now);
                }
                lane.looks += 1;
            }
            return self.questions.push_back(OwnQuestion::of_inquiry(to, question));
        }
        let answer = self.environment.notes(|notes| match question {
            Question::Remember(note) => {
                notes.remember(note);
                Answer::Done
            }
            Question::Forget(kind) => {
                notes.forget(kind);
                Answer::Done
            }
            Question::Recall(id) => Answer::Note(notes.recall(id)),
            Question::Keys(_) | Question::Newest(_) => unreachable!("the store answers these"),
        });
        self.tell_inquirer(to, answer, now);
    }

    /// What the own store says to a question that was queued.
    pub(super) fn handle_looked_through(&mut self, to: ReplyTo, answer: Answer, now: Now) {
        if let Some(lane) = to.lane.and_then(|key| self.lane(key)) {
            lane.looks -= 1;
        }
        let is_current = self.answers_in(to.epoch);
        let answer = if is_current { answer } else { Answer::Refused(Refusal::OtherConfiguration) };
        self.tell_inquirer(to, answer, now);
        self.pump(now);
    }

    fn tell_inquirer(&mut self, to: ReplyTo, answer: Answer, now: Now) {
        match to.lane {
            None => self.inquiries.handle_answer(self.local, to.call, answer, now),
            Some(key) => self.send_answer(key, to.call, &answer),
        }
    }

    fn send_answer(&mut self, key: LaneKey, call: CallId, answer: &Answer) {
        if !self.frame_back(key, answer.bytes(), |body| put_answer(body, call, answer)) {
            self.send_answer(key, call, &Answer::Refused(Refusal::Overloaded));
        }
    }
}
