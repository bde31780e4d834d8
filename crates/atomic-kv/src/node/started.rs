//! An operation from its start to its outcome, as whoever asked for it sees it.

use super::answers::Answers;
use super::membership::Membership;
use super::now_instant;
use super::shard::Shard;
use abd::{Instant, Operation, OperationId, Outcome, ValueFound};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// An operation that has been started.
pub(crate) enum Started {
    /// In the coordinator; the outcome will be in this slot.
    Running { id: OperationId, slot: usize },
    /// Refused before it began.
    Refused { slot: usize },
    /// Waits until this node may begin operations ([`::node::admission::Admission::may_begin`]).
    Parked(Box<Parked>),
}

/// An operation that this node may not begin yet.
pub(crate) struct Parked {
    operation: Operation,
    deadline: Instant,
    /// Whether the node may begin it before the deadline.
    begins: Pin<Box<dyn Future<Output = bool>>>,
}

impl Parked {
    pub(super) fn new(operation: Operation, deadline: Instant, membership: Arc<Membership>) -> Self {
        // Fixed now, whenever the wait is first looked at.
        let until = tokio::time::Instant::now() + deadline.since(now_instant());
        let begins = async move {
            tokio::select! {
                biased;
                () = membership.wait_to_stop() => false,
                begins = tokio::time::timeout_at(until, membership.wait_to_begin()) => begins.is_ok(),
            }
        };
        Self { operation, deadline, begins: Box::pin(begins) }
    }
}

impl Started {
    /// Its number, once it is in the coordinator.
    pub(crate) fn id(&self) -> Option<OperationId> {
        match self {
            Self::Running { id, .. } => Some(*id),
            Self::Parked(_) | Self::Refused { .. } => None,
        }
    }

    /// Bytes of the value that a Get holds now; `None` while its own replica looks for it on the disk. That one is asked first,
    /// so all else is known as soon as the Get has begun, but for a value that only other replicas have.
    pub(crate) fn found_bytes(&self, shard: &Shard, answers: &Answers) -> Option<usize> {
        match *self {
            Self::Running { id, slot } => {
                let found = shard.found(id);
                match found {
                    ValueFound::Nothing => None,
                    ValueFound::Bytes(bytes) => Some(bytes),
                    ValueFound::Ended => Some(answers.found_bytes(slot)),
                }
            }
            Self::Refused { .. } | Self::Parked(_) => Some(0),
        }
    }

    /// Whether it waits although it need not any more.
    pub(crate) fn could_begin(&self, shard: &Shard) -> bool {
        matches!(self, Self::Parked(_)) && shard.node.membership.admission.may_begin()
    }

    /// Begins it now if it has only waited so far, as it may; whether it had.
    pub(crate) fn begin(&mut self, shard: &Shard, answers: &Rc<Answers>) -> bool {
        let Self::Parked(parked) = self else { return false };
        *self = shard.submit(parked.operation.clone(), parked.deadline, now_instant(), answers);
        true
    }

    /// The outcome, once; with the shard and the answers that it was started with.
    pub(crate) fn poll(
        &mut self,
        shard: &Shard,
        answers: &Rc<Answers>,
        context: &mut Context<'_>,
    ) -> Poll<Outcome> {
        if let Self::Parked(parked) = self {
            if !ready!(parked.begins.as_mut().poll(context)) {
                return Poll::Ready(Outcome::Refused(shard.node.membership.admission.not_begun()));
            }
            self.begin(shard, answers);
        }
        match *self {
            Self::Running { slot, .. } | Self::Refused { slot } => answers.poll(slot, context),
            Self::Parked(_) => unreachable!("it has just been submitted"),
        }
    }
}
