//! What an event loop reaches beyond itself. The process implements it with the queues between its threads, the simulator
//! with events.

use super::OperationKind;
use crate::change::Driver;
use crate::clock::Moments;
use crate::commit::Address;
use crate::configuration::{Configuration, DirectoryId};
use crate::hello::LaneKind;
use crate::inquiry::notes::Notes;
use crate::lanes::Bounds;
use crate::lanes::lane::LaneKey;
use crate::news::News;
use crate::repair::Repair;
use crate::sweep::{Deadlines, Progress};
use crate::sync::source::Source;
use abd::{
    Acceptor, AfterCommit, CallId, Evaluation, Instant, NodeId, Now, Operation, Outcome, Reason, Reply,
    Request, Standing, TimestampIssuer, Unit, Version,
};
use alloc::vec::Vec;
use bytes::Bytes;
use core::ops::Deref;

/// Where a reply goes that has to wait: to the event loop's own coordinator, or over a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// `None` for the own coordinator.
    pub lane: Option<LaneKey>,
    /// The request.
    pub call: CallId,
    /// In which epoch it is answered, if it is (rule C1).
    pub epoch: u32,
}

impl Address for ReplyTo {
    fn own_call(&self) -> Option<CallId> {
        self.lane.is_none().then_some(self.call)
    }
}

/// What an event loop reaches beyond itself: clocks, the own disk, and what it shares with the node's other event loops.
pub trait Environment {
    /// The own replica's store.
    type Store: Source + Deadlines;

    /// What time it is, for the coordinator. `instant` may be a little old; the rest is read now.
    fn now(&self, instant: Instant) -> Now;

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

    /// Runs something with the own acceptor of a key, which nobody else has meanwhile: what is queued for the disk then is queued
    /// in the order in which it was decided.
    fn acceptor<T>(&self, key: &[u8], run: impl FnOnce(&mut Acceptor) -> T) -> T;

    /// Queues what the own replica is to store; its reply comes with
    /// [`Shard::handle_completions`](super::Shard::handle_completions).
    ///
    /// # Errors
    /// The reply, when too much waits already.
    fn commit(&self, unit: Unit, reply: AfterCommit, to: ReplyTo) -> Result<(), Reply>;

    /// Whether what is not in memory is to be looked up elsewhere.
    fn hands_over(&self) -> bool;

    /// Whether what is handed over will not come back soon.
    fn is_slow(&self) -> bool;

    /// Queues a request for whoever may wait for the disk; what comes of it comes with
    /// [`Shard::handle_completions`](super::Shard::handle_completions).
    ///
    /// # Errors
    /// The reply, when too much waits already.
    fn ask_disk(&self, request: Request, to: ReplyTo, deadline: Instant) -> Result<(), Reply>;

    /// Looks something up here and now. Should that read from the disk, the next ones are handed over.
    fn look_here<T>(&self, look: impl FnOnce() -> T) -> T;

    /// Values of so many bytes that came back from look-ups were taken over.
    fn taken(&self, found_bytes: usize);

    /// A configuration is to be installed: whether the directory durably expects that, so that it knows of every one that was served
    /// whatever becomes of the database. If not, that is being written down, and
    /// [`Shard::meet_configuration`](super::Shard::meet_configuration) is called again by some event loop when it is.
    fn expect(&self, configuration: &Configuration) -> bool;

    /// A configuration is about to be installed, unless this node has begun to install a newer one: every acceptor of the own replica takes
    /// its epoch, and then `queue` is run, before another event loop begins anything newer. `None` if there is a newer one.
    fn begin_installing<T>(&self, epoch: u32, queue: impl FnOnce() -> T) -> Option<T>;

    /// The newest epoch that this node has begun to install, or serves.
    fn newest_epoch(&self) -> u32;

    /// The newest epoch that any event loop of this node serves, as it is durable. Asked after every look at the store: an event loop that
    /// lags answers nothing.
    fn served_epoch(&self) -> u32;

    /// A configuration is durable here. The other event loops of this node are to [`install`](super::Shard::install) it; this one does.
    fn installed(&self, configuration: &Configuration);

    /// Runs something with the driver of this node's changes of members.
    fn driver<T>(&self, run: impl FnOnce(&mut Driver) -> T) -> T;

    /// How this node stands, for its peers.
    fn news(&self) -> News;

    /// By which directories this node remembers its peers.
    fn remembered(&self) -> Vec<(NodeId, DirectoryId)>;

    /// Tells repair something, and has what follows done.
    fn repair(&self, tell: impl FnOnce(&mut Repair, Instant));

    /// Runs something with the notes of this node.
    fn notes<T>(&self, run: impl FnOnce(&mut Notes) -> T) -> T;

    /// A write did not reach a member, or was not acknowledged for certain.
    fn missed(&self, member: NodeId, key: &Bytes, version: Version);

    /// The first of this event loop's lanes to a peer is up, or the last one is gone.
    fn peer_is_up(&self, peer: NodeId, up: bool);

    /// A member has said how many batches it has made durable.
    fn observe(&self, peer: NodeId, sequence: u64);

    /// By which time values have expired.
    fn moments(&self) -> Moments;

    /// Has functions evaluated elsewhere, should that take a while; what they come to comes with
    /// [`Shard::handle_evaluated`](super::Shard::handle_evaluated). Gives them back if they are to be evaluated here and now.
    fn hand_over(&self, evaluation: Evaluation) -> Option<Evaluation>;

    /// Why an operation may not begin, as too many members refuse what is so large.
    fn reason_to_refuse(&self, operation: &Operation) -> Option<Reason>;

    /// The largest value that an update may leave, in bytes.
    fn value_bytes_max(&self) -> usize;

    /// How much may wait on a lane.
    fn bounds(&self, kind: LaneKind) -> Bounds {
        Bounds::of(kind)
    }

    /// An operation has ended.
    fn count(&self, _kind: OperationKind, _outcome: &Outcome) {}

    /// The expiry of a value is proposed, for whoever asks. It is counted again if another proposal comes before it.
    fn expires(&self) {}

    /// What the sweeper has done since it began.
    fn swept(&self, _progress: Progress) {}

    /// A peer's message of so many bytes was too long and was passed over.
    fn passed_over(&self, _peer: NodeId, _length: usize) {}
}
