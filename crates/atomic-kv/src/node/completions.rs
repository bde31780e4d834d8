//! What had to wait for the disk, on its way back to an event loop: replies to finished writes, and what look-ups have found.

use ::node::lanes::lane::LaneKey;
use ::node::lookups::Completed;
use abd::{CallId, Version};
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// Where a reply goes: an event loop and one of its lanes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplyTo {
    pub(crate) shard: usize,
    /// `None` for the event loop's own coordinator.
    pub(crate) lane: Option<LaneKey>,
    pub(crate) call: CallId,
    /// As [`::node::shard::ReplyTo::epoch`].
    pub(crate) epoch: u32,
}

/// What waits for one event loop.
#[derive(Default)]
pub(crate) struct Completions {
    done: Mutex<Vec<(ReplyTo, Completed)>>,
    /// Writes of its own coordinator that the own replica has refused.
    refused: Mutex<Vec<(Bytes, Version)>>,
    pub(crate) wake: Notify,
}

impl Completions {
    /// Those of each event loop.
    pub(crate) fn of_all(shards: usize) -> Arc<[Self]> {
        (0..shards).map(|_| Self::default()).collect()
    }

    pub(crate) fn take(&self) -> Vec<(ReplyTo, Completed)> {
        std::mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn take_refused(&self) -> Vec<(Bytes, Version)> {
        std::mem::take(&mut *self.refused.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// To be called before the reply is given.
    pub(crate) fn refused(&self, key: Bytes, version: Version) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).push((key, version));
    }

    pub(crate) fn give(&self, completed: impl IntoIterator<Item = (ReplyTo, Completed)>) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).extend(completed);
        self.wake.notify_one();
    }
}
