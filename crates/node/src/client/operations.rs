//! What a connection needs of its event loop.

use super::answers::WayBack;
use super::parked::Ticket;
use super::turns::Turns;
use crate::inquiry::{Inquiry, InquiryId};
use crate::resp::Host;
use abd::{Instant, Operation, OperationId, ValueFound};
use bytes::BytesMut;
use core::cell::RefCell;

/// What has become of an operation that was to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// It is in the coordinator.
    Running(OperationId),
    /// It waits until this node may begin operations.
    Parked(Ticket),
    /// It was refused: the outcome is on its way back.
    Refused,
}

/// An event loop, as the connections on it see it.
pub trait Operations: Host {
    /// Starts an operation now. `instant` may be a little old, so that a batch needs one look at the clock: only the deadline
    /// and the timers depend on it.
    fn start(&self, operation: Operation, instant: Instant, back: WayBack) -> Started;
    /// Begins one that was parked, as it may now. What was refused meanwhile stays so.
    fn begin(&self, ticket: Ticket) -> Started;
    /// Whether this node may begin operations.
    fn may_begin(&self) -> bool;
    /// How much an operation holds of what it has read.
    fn found(&self, operation: OperationId) -> ValueFound;
    /// Ends operations that nobody waits for any more. Each has an outcome all the same.
    fn cancel(&self, operations: impl Iterator<Item = Started>);
    /// Begins an inquiry. What it finds goes the way `back`.
    fn inquire(&self, inquiry: Inquiry, instant: Instant, back: WayBack) -> InquiryId;
    /// Ends an inquiry that nobody waits for any more. It finds nothing.
    fn end_inquiry(&self, inquiry: InquiryId);
    /// Whose turn it is.
    fn turns(&self) -> &RefCell<Turns>;
    /// Gives an empty buffer room.
    fn lend(&self, buffer: &mut BytesMut);
    /// Takes a buffer back; what is in it may be moved to a smaller one.
    fn take_back(&self, buffer: &mut BytesMut);
    /// What time it is.
    fn now(&self) -> Instant;
}
