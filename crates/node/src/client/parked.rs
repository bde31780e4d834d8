//! Operations that a node may not begin yet: it has met no majority since its start (V1), or its directory is not confirmed (M1).
//! An event loop keeps them until it may, or until their deadlines.

use super::answers::WayBack;
use super::operations::Started;
use crate::shard::Return;
use abd::{Instant, Operation, OperationId, Outcome, Reason};
use alloc::collections::BTreeMap;

/// A place among those that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// An operation that waits.
#[derive(Debug)]
pub struct ParkedOperation {
    /// What is to begin.
    pub operation: Operation,
    /// Until when it is to end.
    pub deadline: Instant,
    /// The way of its outcome.
    pub back: WayBack,
}

/// Those of one event loop, in the order in which they came and so, about, of their deadlines: an operation is refused with those
/// that came before it.
#[derive(Debug, Default)]
pub struct Parked {
    next: u64,
    waiting: BTreeMap<Ticket, ParkedOperation>,
}

impl Parked {
    /// One more waits.
    pub fn park(&mut self, operation: Operation, deadline: Instant, back: WayBack) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.waiting.insert(ticket, ParkedOperation { operation, deadline, back });
        ticket
    }

    /// It begins now, or its client is gone. `None` if it was refused meanwhile.
    pub fn take(&mut self, ticket: Ticket) -> Option<ParkedOperation> {
        self.waiting.remove(&ticket)
    }

    /// Nobody waits for an operation any more. One that waits here ends now; one that runs is left to the coordinator.
    pub fn cancel(&mut self, operation: Started) -> Option<OperationId> {
        match operation {
            Started::Running(id) => return Some(id),
            Started::Refused => {}
            Started::Parked(ticket) => {
                if let Some(parked) = self.take(ticket) {
                    parked.back.send(Outcome::Refused(Reason::Cancelled));
                }
            }
        }
        None
    }

    /// The node may begin operations: has each client look.
    pub fn wake(&self) {
        self.waiting.values().for_each(|parked| parked.back.wake());
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(_, parked)| parked.deadline)
    }

    /// Refuses those whose deadlines have passed.
    pub fn handle_timeout(&mut self, now: Instant, why: Reason) {
        while let Some(first) = self.waiting.first_entry()
            && first.get().deadline <= now
        {
            first.remove().back.send(Outcome::Refused(why));
        }
    }
}
