//! Where the outcomes of one client's operations arrive: a slot for each operation in flight, used again and again,
//! so that an operation costs no allocation and no lock for its way back.

use crate::inquiry::Finding;
use crate::shard::Return;
use abd::Outcome;
use alloc::rc::Rc;
use bytes::Bytes;
use core::cell::RefCell;
use core::task::{Context, Poll, Waker};
use smallvec::SmallVec;

/// The slots of one client. One task at a time waits for one of them.
#[derive(Debug, Default)]
pub(super) struct Answers(RefCell<Slots>);

#[derive(Debug, Default)]
struct Slots {
    /// In place for a client that sends one request at a time.
    outcomes: SmallVec<[Option<Outcome>; 1]>,
    free: SmallVec<[usize; 1]>,
    /// The slot that the task waits for, and how to wake it.
    awaited: Option<usize>,
    waker: Option<Waker>,
    /// Bytes of the answers to updates that are here.
    answered_bytes: usize,
    /// What the inquiry has found: a client has one at a time.
    finding: Option<Finding>,
}

/// The slot that stands for the inquiry.
const INQUIRY: usize = usize::MAX;

/// The way back of one operation, or of an inquiry.
#[derive(Debug)]
pub struct WayBack {
    answers: Rc<Answers>,
    slot: usize,
}

impl Answers {
    /// A slot for an operation that is about to start.
    pub(super) fn open(self: &Rc<Self>) -> (WayBack, usize) {
        let mut slots = self.0.borrow_mut();
        let slot = slots.free.pop().unwrap_or_else(|| {
            slots.outcomes.push(None);
            slots.outcomes.len() - 1
        });
        (WayBack { answers: self.clone(), slot }, slot)
    }

    /// For an inquiry that is about to begin.
    pub(super) fn open_inquiry(self: &Rc<Self>) -> WayBack {
        self.0.borrow_mut().finding = None;
        WayBack { answers: self.clone(), slot: INQUIRY }
    }

    /// What the inquiry has found; until it is there the task is woken for it.
    pub(super) fn poll_finding(&self, context: &mut Context<'_>) -> Poll<Finding> {
        let mut slots = self.0.borrow_mut();
        if let Some(finding) = slots.finding.take() {
            slots.awaited = None;
            return Poll::Ready(finding);
        }
        slots.wait_for(INQUIRY, context);
        Poll::Pending
    }

    /// Bytes of the value in a slot; none if nothing has arrived there.
    pub(super) fn found_bytes(&self, slot: usize) -> usize {
        match &self.0.borrow().outcomes[slot] {
            Some(Outcome::Read(stamped)) => stamped.content.len(),
            _ => 0,
        }
    }

    /// Bytes of the answers to updates that have arrived and were not taken: what they will be is not known before.
    pub(super) fn answered_bytes(&self) -> usize {
        self.0.borrow().answered_bytes
    }

    /// The outcome in a slot, which is then free; until it is there the task is woken for it.
    pub(super) fn poll(&self, slot: usize, context: &mut Context<'_>) -> Poll<Outcome> {
        let mut slots = self.0.borrow_mut();
        if let Some(outcome) = slots.outcomes[slot].take() {
            slots.answered_bytes -= answered_bytes(&outcome);
            slots.awaited = None;
            slots.free.push(slot);
            return Poll::Ready(outcome);
        }
        slots.wait_for(slot, context);
        Poll::Pending
    }
}

impl Slots {
    fn wait_for(&mut self, slot: usize, context: &mut Context<'_>) {
        self.awaited = Some(slot);
        // The same task waits again and again: its waker is kept.
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            self.waker = Some(context.waker().clone());
        }
    }

    /// Whoever waits for an earlier one finds this one later without being woken for it.
    fn wake_for(&self, slot: usize) {
        if self.awaited == Some(slot)
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
        }
    }
}

fn answered_bytes(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Updated { answers, .. } => answers.iter().map(Bytes::len).sum(),
        _ => 0,
    }
}

impl Return for WayBack {
    fn wake(&self) {
        if let Some(waker) = &self.answers.0.borrow().waker {
            waker.wake_by_ref();
        }
    }

    /// The client may be gone; the operation was carried out all the same.
    fn send(self, outcome: Outcome) {
        let mut slots = self.answers.0.borrow_mut();
        slots.answered_bytes += answered_bytes(&outcome);
        slots.outcomes[self.slot] = Some(outcome);
        slots.wake_for(self.slot);
    }

    fn tell(self, finding: Finding) {
        let mut slots = self.answers.0.borrow_mut();
        slots.finding = Some(finding);
        slots.wake_for(INQUIRY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abd::Reason;

    const OUTCOME: Outcome = Outcome::Refused(Reason::Cancelled);

    #[test]
    fn outcomes_are_found_in_any_order_and_slots_are_used_again() {
        let answers = Rc::new(Answers::default());
        let ((first, one), (second, two)) = (answers.open(), answers.open());
        assert_ne!(one, two);
        let mut context = Context::from_waker(Waker::noop());
        second.send(OUTCOME);
        assert!(answers.poll(one, &mut context).is_pending());
        first.send(OUTCOME);
        assert_eq!(answers.poll(one, &mut context), Poll::Ready(OUTCOME));
        assert_eq!(answers.poll(two, &mut context), Poll::Ready(OUTCOME));
        assert!([one, two].contains(&answers.open().1));
    }

    #[test]
    fn answers_to_updates_count_until_they_are_taken() {
        let answers = Rc::new(Answers::default());
        let opened = [3, 0, 5].map(|bytes| (answers.open(), bytes));
        let slots = opened.map(|((back, slot), bytes)| {
            let answers = [bytes, 1].map(|length| Bytes::from(alloc::vec![7; length])).into();
            back.send(Outcome::Updated { answers, version: abd::Version::MIN });
            slot
        });
        let mut context = Context::from_waker(Waker::noop());
        let left = slots.map(|slot| {
            let before = answers.answered_bytes();
            assert!(answers.poll(slot, &mut context).is_ready());
            before
        });
        assert_eq!((left, answers.answered_bytes()), ([11, 7, 6], 0));
    }
}
