//! What connections see of their event loop.

use crate::node::now_instant;
use crate::node::shard::Shard;
use ::node::client::answers::WayBack;
use ::node::client::operations::{Operations, Started};
use ::node::client::parked::Ticket;
use ::node::client::turns::Turns;
use ::node::inquiry::{Inquiry, InquiryId};
use abd::{Instant, Operation, OperationId, ValueFound};
use bytes::BytesMut;
use std::cell::RefCell;

impl Operations for Shard {
    fn start(&self, operation: Operation, instant: Instant, back: WayBack) -> Started {
        let deadline = instant + self.settings.op_timeout;
        if self.may_begin() {
            self.submit(operation, deadline, instant, back)
        } else {
            self.park(operation, deadline, back)
        }
    }

    fn begin(&self, ticket: Ticket) -> Started {
        let parked = self.parked.borrow_mut().take(ticket);
        parked.map_or(Started::Refused, |parked| {
            self.submit(parked.operation, parked.deadline, now_instant(), parked.back)
        })
    }

    fn may_begin(&self) -> bool {
        self.membership.admission.may_begin()
    }

    fn found(&self, operation: OperationId) -> ValueFound {
        self.look(|machine| machine.found(operation))
    }

    fn cancel(&self, operations: impl Iterator<Item = Started>) {
        let running = operations.filter_map(|started| self.parked.borrow_mut().cancel(started));
        self.with(|machine| machine.cancel(running, now_instant()));
    }

    fn inquire(&self, inquiry: Inquiry, instant: Instant, back: WayBack) -> InquiryId {
        self.with(|machine| machine.inquire(inquiry, back, instant))
    }

    fn end_inquiry(&self, inquiry: InquiryId) {
        self.with(|machine| machine.end_inquiry(inquiry, now_instant()));
    }

    fn turns(&self) -> &RefCell<Turns> {
        &self.turns
    }

    fn lend(&self, buffer: &mut BytesMut) {
        self.buffers.lend(buffer);
    }

    fn take_back(&self, buffer: &mut BytesMut) {
        self.buffers.take_back(buffer);
    }

    fn now(&self) -> Instant {
        now_instant()
    }
}
