//! What an event loop reaches beyond itself. The process implements it with the queues between its threads, the simulator
//! with events.

use crate::commit::Address;
use crate::hello::LaneKind;
use crate::lanes::Bounds;
use crate::lanes::lane::LaneKey;
use crate::repair::Repair;
use crate::repair::ranges::Ranges;
use abd::{
    AfterCommit, CallId, Instant, Interval, NodeId, Operation, Outcome, Reason, Reply, Request, StampedValue,
    Standing, TimestampIssuer, Version, VersionStore,
};
use bytes::Bytes;
use core::ops::Deref;

/// Where a reply goes that has to wait: to the event loop's own coordinator, or over a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// `None` for the own coordinator.
    pub lane: Option<LaneKey>,
    /// The request.
    pub call: CallId,
}

impl Address for ReplyTo {
    fn own_call(&self) -> Option<CallId> {
        self.lane.is_none().then_some(self.call)
    }
}

/// What an event loop reaches beyond itself: clocks, the own disk, and what it shares with the node's other event loops.
pub trait Environment {
    /// The own replica's store.
    type Store: VersionStore + Ranges;

    /// The interval now, in TrueTime mode and if there is one.
    fn interval(&self) -> Option<Interval>;

    /// The upper bound of the clock for the horizon: nanoseconds since the epoch.
    fn horizon(&self) -> u64;

    /// Where timestamps come from.
    fn issuer(&self) -> impl Deref<Target = TimestampIssuer>;

    /// What the own replica reads.
    fn store(&self) -> impl Deref<Target = Self::Store>;

    /// Whether the own replica takes part, and takes values.
    fn standing(&self) -> Standing;

    /// Number of the last durable batch.
    fn sequence(&self) -> u64;

    /// Queues a write of the own replica; its reply comes with [`Shard::handle_completions`](super::Shard::handle_completions).
    ///
    /// # Errors
    /// The reply, when too much waits already.
    fn commit(&self, key: Bytes, stamped: StampedValue, reply: AfterCommit, to: ReplyTo)
    -> Result<(), Reply>;

    /// Whether what is not in memory is to be looked up elsewhere.
    fn hands_over(&self) -> bool;

    /// Whether what is handed over will not come back soon.
    fn is_slow(&self) -> bool;

    /// Queues a question for whoever may wait for the disk; its reply comes with
    /// [`Shard::handle_completions`](super::Shard::handle_completions).
    ///
    /// # Errors
    /// The reply, when too much waits already.
    fn ask_disk(&self, question: Request, to: ReplyTo, deadline: Instant) -> Result<(), Reply>;

    /// Looks something up here and now. Should that read from the disk, the next ones are handed over.
    fn look_here<T>(&self, look: impl FnOnce() -> T) -> T;

    /// Values of so many bytes that look-ups have found were taken over.
    fn taken(&self, found_bytes: usize);

    /// Tells repair something, and has what follows done.
    fn repair(&self, tell: impl FnOnce(&mut Repair, Instant));

    /// A write did not reach a member, or was not acknowledged for certain.
    fn missed(&self, member: usize, key: &Bytes, version: Version);

    /// The first of this event loop's lanes to a member is up, or the last one is gone.
    fn peer_is_up(&self, member: usize, up: bool);

    /// A member has said how many batches it has made durable.
    fn observe(&self, peer: NodeId, sequence: u64);

    /// Why an operation may not begin, as too many members refuse what is so large.
    fn reason_to_refuse(&self, operation: &Operation) -> Option<Reason>;

    /// How much may wait on a lane.
    fn bounds(&self, kind: LaneKind) -> Bounds {
        Bounds::of(kind)
    }

    /// An operation has ended.
    fn count(&self, _outcome: &Outcome) {}

    /// A peer's message of so many bytes was too long and was passed over.
    fn passed_over(&self, _peer: NodeId, _length: usize) {}
}
