//! Events in the order of their times; those of one time in the order in which they were scheduled.

use super::Event;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

struct Scheduled {
    at: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

// The heap gives the greatest first; we want the earliest.
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// The queue.
#[derive(Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Scheduled>,
    scheduled: u64,
}

impl Queue {
    /// Schedules an event.
    pub(crate) fn push(&mut self, at: u64, event: Event) {
        self.scheduled += 1;
        self.heap.push(Scheduled { at, order: self.scheduled, event });
    }

    /// The next event and its time.
    pub(crate) fn pop(&mut self) -> Option<(u64, Event)> {
        self.heap.pop().map(|next| (next.at, next.event))
    }

    /// The next event, if it is due by `until`.
    pub(crate) fn pop_due(&mut self, until: u64) -> Option<(u64, Event)> {
        if self.heap.peek().is_some_and(|next| next.at <= until) { self.pop() } else { None }
    }
}
