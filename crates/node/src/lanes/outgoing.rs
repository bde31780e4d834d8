//! Frames on their way out of a lane. Whoever queues one never waits for the socket.
//!
//! Writes and their acknowledgements are patient: one waits for a disk, the other has waited for it. They go with the next
//! frame that is not, or when the event loop has seen to everything else that is ready. So a busy node sends fewer and
//! larger messages, and an idle one looks for more once before it sends them. Writes beyond a majority are more patient
//! still: with few operations in flight they would be in the way of those that somebody waits for, at the peer's processor
//! and at its disk.

use super::Bounds;
use abd::wire::{put_frame, put_reply, put_request};
use abd::{CallId, Instant, Reply, Request, Scope, Transmit};
use alloc::collections::VecDeque;
use bytes::BytesMut;
use core::time::Duration;

/// How long the most patient frames wait.
pub const LONG: Duration = Duration::from_millis(1);
/// While so many bytes wait the most patient frames are no more patient than the others.
pub const LONG_BYTES: usize = 64 << 10;
/// A request that waits unencoded takes so much beside its key and its value, about.
const REQUEST_OVERHEAD: usize = 128;

/// What a frame waits for at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Patience {
    /// Nothing.
    None,
    /// Until the event loop has seen to everything else that is ready.
    Round,
    /// For a millisecond or two.
    Long,
}

/// As much waits as may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// How much waits on a lane, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Encoded, without the largest frame.
    pub encoded: usize,
    /// Unencoded, without what is larger and alone.
    pub backlog: usize,
}

/// What waits for a socket.
#[derive(Debug)]
pub struct Outgoing {
    bounds: Bounds,
    encoded: BytesMut,
    /// Of the least patient frame that waits encoded, if any does.
    patience: Option<Patience>,
    /// Of the frames that wait encoded, in bytes.
    largest: usize,
    backlog: VecDeque<Transmit>,
    backlog_bytes: usize,
}

impl Outgoing {
    /// Nothing, and room for so much.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            encoded: BytesMut::new(),
            patience: None,
            largest: 0,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
        }
    }

    /// Queues a frame. `true`: the sender is to be woken. It knows already when something waits that is as patient; to wake it
    /// again would end that patience.
    pub fn frame(&mut self, patience: Patience, body: impl FnOnce(&mut BytesMut)) -> bool {
        let before = self.encoded.len();
        put_frame(&mut self.encoded, body);
        self.largest = self.largest.max(self.encoded.len() - before);
        let patience = if self.encoded.len() > LONG_BYTES { patience.min(Patience::Round) } else { patience };
        let least = self.patience;
        self.patience = Some(least.map_or(patience, |least| least.min(patience)));
        patience == Patience::None || least.is_none_or(|least| patience < least)
    }

    /// Queues a reply. `true`: the sender is to be woken.
    pub fn reply(&mut self, call: CallId, reply: &Reply) -> bool {
        let has_waited = matches!(reply, Reply::Written { .. } | Reply::Accepted);
        let patience = if has_waited { Patience::Round } else { Patience::None };
        self.frame(patience, |body| put_reply(body, call, reply))
    }

    /// Queues a request. `true`: the sender is to be woken.
    ///
    /// # Errors
    /// [`NoRoom`]: it is dropped.
    pub fn request(&mut self, transmit: Transmit, now: Instant) -> Result<bool, NoRoom> {
        if self.backlog.is_empty() && self.encoded.len() < self.bounds.encoded {
            return Ok(self.encode(&transmit, now));
        }
        let size = cost(&transmit.request);
        if self.backlog_bytes + size > self.bounds.backlog && !self.backlog.is_empty() {
            return Err(NoRoom);
        }
        self.backlog_bytes += size;
        self.backlog.push_back(transmit);
        Ok(true)
    }

    /// Encodes what may go of the requests that wait. One whose phase is over, unless it is a write, takes its call along: `drop_it` says so
    /// of a call, and is told of each that is not sent.
    pub fn refill(&mut self, now: Instant, mut drop_it: impl FnMut(CallId) -> bool) {
        while self.encoded.len() < self.bounds.encoded {
            let Some(transmit) = self.backlog.pop_front() else { break };
            self.backlog_bytes -= cost(&transmit.request);
            if !transmit.request.ends_with_its_phase() || !drop_it(transmit.call) {
                self.encode(&transmit, now);
            }
        }
    }

    /// A newer configuration is served: the requests that wait unencoded go in that, but for those that are sent anew.
    pub fn install(&mut self, scope: Scope, is_sent_anew: impl Fn(&Transmit) -> bool) {
        self.backlog.retain(|transmit| !is_sent_anew(transmit));
        self.backlog_bytes = self.backlog.iter().map(|transmit| cost(&transmit.request)).sum();
        self.backlog.iter_mut().for_each(|transmit| transmit.scope = scope);
    }

    fn encode(&mut self, transmit: &Transmit, now: Instant) -> bool {
        let remaining = transmit.deadline.since(now).as_millis();
        let remaining = u32::try_from(remaining).unwrap_or(u32::MAX);
        let waits_for_disk = matches!(transmit.request, Request::LocalWrite { .. } | Request::Accept { .. });
        let patience = match (waits_for_disk, transmit.may_wait) {
            (false, _) => Patience::None,
            (true, false) => Patience::Round,
            (true, true) => Patience::Long,
        };
        let Transmit { call, scope, request, .. } = transmit;
        self.frame(patience, |body| put_request(body, *call, remaining, *scope, request))
    }

    /// Exchanges what waits encoded for an empty buffer.
    ///
    /// # Panics
    /// When the buffer is not empty.
    pub fn take(&mut self, buffer: &mut BytesMut) {
        assert!(buffer.is_empty(), "what was in it would be lost");
        core::mem::swap(buffer, &mut self.encoded);
        self.patience = None;
        self.largest = 0;
    }

    /// Of the least patient frame that waits, if any does.
    pub fn patience(&self) -> Option<Patience> {
        self.patience
    }

    /// Bytes that wait encoded.
    pub fn len(&self) -> usize {
        self.encoded.len()
    }

    /// Whether nothing waits encoded.
    pub fn is_empty(&self) -> bool {
        self.encoded.is_empty()
    }

    /// Whether requests wait for the peer to read.
    pub fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Whether there is room for one more content.
    pub fn takes_contents(&self) -> bool {
        self.len() <= self.bounds.contents
    }

    /// Bytes that the peer has left unread, if they are too many.
    pub fn overrun(&self) -> Option<usize> {
        (self.len() - self.largest > self.bounds.unread).then_some(self.len())
    }

    /// How much waits.
    pub fn waiting(&self) -> Waiting {
        let backlog = if self.backlog.len() > 1 { self.backlog_bytes } else { 0 };
        Waiting { encoded: self.len() - self.largest, backlog }
    }

    /// The requests that wait unencoded, when the lane has ended.
    pub fn take_backlog(&mut self) -> VecDeque<Transmit> {
        self.backlog_bytes = 0;
        core::mem::take(&mut self.backlog)
    }
}

fn cost(request: &Request) -> usize {
    request.bytes() + REQUEST_OVERHEAD
}

#[cfg(test)]
#[path = "outgoing_tests.rs"]
mod tests;
