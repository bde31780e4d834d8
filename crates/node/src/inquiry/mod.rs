//! Inquiries: what a node asks all members for a client beside operations on keys. Which keys there are; who has a version; that a
//! majority remembers a note.
//!
//! An inquiry asks a member until it answers, the own one included, and is over when a majority has. Two majorities meet, so
//! what a majority was told before is found: a key whose write had completed is on one of the lists at least. That is all an
//! inquiry promises. It is no operation: it changes no key, and a page of keys is not of one moment. While members change, a quorum
//! takes the place of a majority, and answers of two epochs are never added up (rule C1).
//!
//! A look at a store costs more than a note, so a bare majority is asked first and a few looks run at a time. Members that
//! do not answer soon are passed over, and asked last for a while.
//!
//! This is a pure state machine. An event loop has one ([`crate::shard`]).

pub mod listing;
pub mod message;
pub mod notes;
mod running;
#[cfg(test)]
mod tests;

use crate::repair::ranges::Order;
use abd::{CallId, Instant, NodeId, Now, QuorumSystem, Reason, Refusal, Version};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use listing::{Lists, Page, Wanted};
use message::{Answer, Question};
use notes::{Note, NoteId, NoteKind};
use running::{Running, Stands};

/// Inquiries that look through stores and run at a time in an event loop. Others wait for their turn.
const LOOKS_MAX: usize = 4;
/// A member that has not answered after this is asked again, and so are all that were not asked yet.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// An inquiry that may wait as long as it takes ends after this.
pub const WAIT_MAX: Duration = Duration::from_secs(3600);

/// What is inquired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inquiry {
    /// Which keys are there? [`Finding::Keys`].
    Keys(Wanted),
    /// How many other members have a version of a key, or a newer one, durably? [`Finding::Holders`], at once if there are so many as
    /// are wanted, and else after a while.
    Holders {
        /// The key.
        key: Bytes,
        /// The version, of a write that has completed: a majority has it.
        version: Version,
        /// So many are wanted.
        wanted: usize,
        /// How long to wait for them; zero: [`WAIT_MAX`].
        wait: Duration,
    },
    /// Have a majority remember this: [`Finding::Done`].
    Remember(Note),
    /// What does anybody remember under this? [`Finding::Note`].
    Recall(NoteId),
    /// Have a majority forget all notes of a kind: [`Finding::Done`].
    Forget(NoteKind),
    /// Ask nobody, and be done after this time: [`Finding::Done`].
    Pause(Duration),
}

/// What an inquiry has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Keys that are there.
    Keys(Page),
    /// So many other members have the version.
    Holders(usize),
    /// A majority has done it.
    Done,
    /// The note; `None`: a majority does not have it.
    Note(Option<Bytes>),
    /// A majority has not answered in time.
    Failed(Reason),
}

/// A running inquiry of an event loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InquiryId(u64);

/// A question that is to be put to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Whom; it may be this node.
    pub member: NodeId,
    /// To be given back.
    pub call: CallId,
    /// What.
    pub question: Question,
}

/// The inquiries of an event loop. `B` is the way back of one.
#[derive(Debug)]
pub struct Inquiries<B> {
    quorums: QuorumSystem,
    own: NodeId,
    order: Order,
    timeout: Duration,
    last: u64,
    running: BTreeMap<InquiryId, Running<B>>,
    /// When each of them is due.
    timers: BTreeSet<(Instant, InquiryId)>,
    /// Those that look through stores and have not begun, in the order in which they end.
    waiting: VecDeque<(InquiryId, Running<B>)>,
    /// Pauses, by when they end.
    pauses: BTreeMap<(Instant, InquiryId), B>,
    looks: usize,
    asks: VecDeque<Ask>,
    ended: VecDeque<(B, Finding)>,
    /// Voters, those first that have answered soon.
    nearest: Vec<NodeId>,
}

impl<B> Inquiries<B> {
    /// None yet, of the node `own`. `order` is that of keys in every store; an inquiry fails after `timeout`.
    pub fn new(quorums: QuorumSystem, own: NodeId, order: Order, timeout: Duration) -> Self {
        let mut nearest: Vec<NodeId> = quorums.voters().iter().collect();
        nearest.sort_by_key(|member| *member != own);
        Self {
            quorums,
            own,
            order,
            timeout,
            last: 0,
            running: BTreeMap::new(),
            timers: BTreeSet::new(),
            waiting: VecDeque::new(),
            pauses: BTreeMap::new(),
            looks: 0,
            asks: VecDeque::new(),
            ended: VecDeque::new(),
            nearest,
        }
    }

    /// Begins an inquiry. What it finds goes the way `back` ([`poll_ended`](Self::poll_ended)).
    pub fn begin(&mut self, inquiry: Inquiry, back: B, now: Instant) -> InquiryId {
        self.last += 1;
        let id = InquiryId(self.last);
        if let Inquiry::Pause(time) = inquiry {
            self.pauses.insert((now + time, id), back);
            return id;
        }
        let running = Running::new(inquiry, back, self.timeout, now);
        if let Some(holders) = running.holders_without_asking(&self.quorums) {
            self.ended.push_back((running.back, Finding::Holders(holders)));
        } else if running.is_look() && self.looks == LOOKS_MAX {
            self.waiting.push_back((id, running));
        } else {
            self.run(id, running, now);
        }
        id
    }

    fn run(&mut self, id: InquiryId, running: Running<B>, now: Instant) {
        self.looks += usize::from(running.is_look());
        self.timers.insert((running.due(), id));
        self.running.insert(id, running);
        self.ask_first(id, now);
    }

    /// Asks those who are asked at first, as if nobody had been asked yet.
    fn ask_first(&mut self, id: InquiryId, now: Instant) {
        let Some(running) = self.running.get_mut(&id) else { return };
        for member in running.begin(&self.quorums, self.own, &self.nearest) {
            self.ask(id, member, now);
        }
    }

    /// The members have changed. What is under way begins anew, as two epochs do not add up (rule C1), and ends when it would have
    /// ended.
    pub fn install(&mut self, quorums: &QuorumSystem, now: Instant) {
        self.quorums = quorums.clone();
        let voters = quorums.voters();
        self.nearest.retain(|member| voters.contains(*member));
        let new: Vec<NodeId> = voters.iter().filter(|member| !self.nearest.contains(member)).collect();
        self.nearest.extend(new);
        self.asks.clear();
        for id in self.running.keys().copied().collect::<Vec<_>>() {
            match self.running[&id].holders_without_asking(quorums) {
                Some(holders) => self.end(id, Finding::Holders(holders), now),
                None => self.ask_first(id, now),
            }
        }
    }

    /// The epoch of a question is the phase of its call; the answer has the same.
    fn epoch(&self) -> u32 {
        self.quorums.scope().epoch
    }

    fn ask(&mut self, id: InquiryId, member: NodeId, now: Instant) {
        let Some(running) = self.running.get_mut(&id) else { return };
        self.timers.remove(&(running.due(), id));
        running.asked(member, now);
        self.timers.insert((running.due(), id));
        let call = CallId { operation: id.0, phase: self.quorums.scope().epoch };
        self.asks.push_back(Ask { member, call, question: running.question.clone() });
    }

    /// Somebody else is asked, if there is anybody who was not.
    fn ask_another(&mut self, id: InquiryId, now: Instant) {
        let Some(running) = self.running.get(&id) else { return };
        let next = self.nearest.iter().find(|member| running.was_not_asked(**member)).copied();
        if let Some(next) = next {
            self.ask(id, next, now);
        }
    }

    /// A question could not be sent.
    pub fn handle_not_sent(&mut self, call: CallId, now: Instant) {
        self.ask_another(InquiryId(call.operation), now);
    }

    /// A member has answered. What it says counts only if it had installed the configuration in which it was asked (rule C1), which is
    /// the present one.
    pub fn handle_answer(&mut self, member: NodeId, call: CallId, answer: Answer, at: Now) {
        if call.phase != self.epoch() || !self.quorums.voters().contains(member) {
            return;
        }
        let now = at.instant;
        let id = InquiryId(call.operation);
        let Some(running) = self.running.get_mut(&id) else { return };
        let stands = running.take(member, answer);
        if let Some(finding) = running.finding(&self.quorums, self.order, at.moment) {
            return self.end(id, finding, now);
        }
        match stands {
            Stands::Answered if member == self.own && running.is_recall() => {
                // What is not known at home may be known elsewhere.
                let own = self.own;
                for other in self.quorums.voters().iter().filter(|other| *other != own) {
                    self.ask(id, other, now);
                }
            }
            Stands::Refused => self.ask_another(id, now),
            Stands::Answered | Stands::AsBefore => {}
        }
    }

    fn end(&mut self, id: InquiryId, finding: Finding, now: Instant) {
        if let Some(running) = self.remove(id, now) {
            self.ended.push_back((running.back, finding));
        }
    }

    fn remove(&mut self, id: InquiryId, now: Instant) -> Option<Running<B>> {
        let running = self.running.remove(&id)?;
        self.timers.remove(&(running.due(), id));
        self.asks.retain(|ask| ask.call.operation != id.0);
        if running.is_look() {
            self.looks -= 1;
            if let Some((next, waiting)) = self.waiting.pop_front() {
                self.run(next, waiting, now);
            }
        }
        Some(running)
    }

    /// Nobody waits for an inquiry any more.
    pub fn cancel(&mut self, id: InquiryId, now: Instant) {
        self.waiting.retain(|(waiting, _)| *waiting != id);
        self.pauses.retain(|(_, pause), _| *pause != id);
        self.remove(id, now);
    }

    /// Asks again those that have not answered, and ends what has taken too long. With `now` at its largest all end.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.waiting.front().is_some_and(|(_, waiting)| waiting.ends_at <= now) {
            let Some((_, waiting)) = self.waiting.pop_front() else { break };
            let finding = waiting.failure(&self.quorums);
            self.ended.push_back((waiting.back, finding));
        }
        while let Some(pause) = self.pauses.first_entry()
            && pause.key().0 <= now
        {
            self.ended.push_back((pause.remove(), Finding::Done));
        }
        while let Some((due, id)) = self.timers.first().copied()
            && due <= now
        {
            let running = &self.running[&id];
            if running.ends_at <= now {
                let finding = running.failure(&self.quorums);
                self.end(id, finding, now);
            } else {
                self.ask_again(id, now);
            }
        }
    }

    fn ask_again(&mut self, id: InquiryId, now: Instant) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let silent = running.silent();
        // Who is asked first is a hint: whoever has let somebody wait is asked last from now on.
        self.nearest.sort_by_key(|member| silent.contains(*member));
        self.timers.remove(&(running.due(), id));
        running.ask_anew(now);
        self.timers.insert((running.due(), id));
        for member in self.quorums.voters().iter() {
            if self.running.get(&id).is_some_and(|running| running.was_not_asked(member)) {
                self.ask(id, member, now);
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waiting = self.waiting.front().map(|(_, waiting)| waiting.ends_at);
        let running = self.timers.first().map(|(due, _)| *due);
        let pause = self.pauses.first_key_value().map(|((due, _), _)| *due);
        [waiting, running, pause].into_iter().flatten().min()
    }

    /// The next question that is to be put to somebody.
    pub fn poll_ask(&mut self) -> Option<Ask> {
        self.asks.pop_front()
    }

    /// The next inquiry that has ended.
    pub fn poll_ended(&mut self) -> Option<(B, Finding)> {
        self.ended.pop_front()
    }

    /// Inquiries that have not ended. A pause is none: whoever stops waits for no client that sleeps.
    pub fn in_flight(&self) -> usize {
        self.running.len() + self.waiting.len()
    }
}

/// A replica's answer to what needs its store, from one bounded look at it. `admitted`: rule M1, as for every other request.
///
/// # Errors
/// When the store cannot be read. Then the replica abstains.
///
/// # Panics
/// When the question needs no store.
pub fn answer<S: Lists>(store: &S, question: &Question, admitted: bool) -> Result<Answer, S::Error> {
    match question {
        _ if !admitted => Ok(Answer::Refused(Refusal::NotAdmitted)),
        Question::Keys(wanted) => listing::list(store, wanted),
        Question::Newest(key) => Ok(match store.version(key)? {
            Some(version) => Answer::Newest(version),
            None => Answer::Refused(Refusal::Damaged),
        }),
        Question::Remember(_) | Question::Recall(_) | Question::Forget(_) => {
            unreachable!("a note needs no store")
        }
    }
}
