//! One lane: what waits to go over it, and what has been heard on it.

use super::Bounds;
use super::outgoing::Outgoing;
use crate::frames::Frames;
use crate::hello::LaneId;
use crate::limits::FRAME_BYTES_MAX;
use abd::wire::WireError;
use abd::{Instant, NodeId};
use bytes::{BufMut, BytesMut};
use core::time::Duration;

/// "I am here; are you?" Each side of a lane says so every now and then, whatever else it says.
pub const PING: u8 = 132;
/// The answer: `writable u8 | sequence u64`.
pub const PONG: u8 = 133;
/// How often.
pub const PING_EVERY: Duration = Duration::from_secs(1);
/// A lane on which nothing has come for this long is closed, and dialled anew.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(5);
/// "This is the configuration that I serve": the rest is that.
pub const CONFIGURATION: u8 = 180;

/// Which lane this is, of all that there have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneKey {
    /// Whom it leads to.
    pub peer: NodeId,
    /// Its place.
    pub id: LaneId,
    /// Counts those that its event loop has had: another one in the same place has another number.
    pub serial: u64,
}

/// Why a lane is to be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaneError {
    /// What came does not belong here.
    #[error("{0}")]
    Wire(#[from] WireError),
    /// Nothing came.
    #[error("no answer within {0:?}")]
    Silence(Duration),
    /// The peer asks on and leaves so many bytes unread.
    #[error("it does not read what it is sent: {0} bytes wait")]
    Unread(usize),
}

/// A lane that is up.
#[derive(Debug)]
pub struct Lane {
    pub(crate) key: LaneKey,
    /// The boot count of the peer. A reply never goes to another run of it, whose calls have the same numbers.
    pub(crate) run: u32,
    pub(crate) outgoing: Outgoing,
    pub(crate) frames: Frames,
    /// Whether a question of the peer's repair is being looked at: one at a time.
    pub(crate) is_answering: bool,
    /// Questions of the peer's inquiries that wait for the disk.
    pub(crate) looks: usize,
    pub(crate) last_heard: Instant,
    last_ping: Option<Instant>,
}

impl Lane {
    pub(crate) fn new(key: LaneKey, run: u32, bounds: Bounds, now: Instant) -> Self {
        let (outgoing, frames) = (Outgoing::new(bounds), Frames::new(FRAME_BYTES_MAX));
        Self { key, run, outgoing, frames, is_answering: false, looks: 0, last_heard: now, last_ping: None }
    }

    /// Queues a ping if it is time for one: amid other frames, too, as only the answer says how much the peer has made durable, and
    /// that its disk has room again. And unasked for: what the peer hears of this side may be nothing else, while it sends
    /// a large value. Whether one was queued, and whether the sender is to be woken.
    pub(crate) fn ping(&mut self, now: Instant) -> (bool, bool) {
        if self.last_ping.is_some_and(|last| now.since(last) < PING_EVERY) {
            return (false, false);
        }
        self.last_ping = Some(now);
        (true, self.outgoing.frame(super::outgoing::Patience::None, |body| body.put_u8(PING)))
    }
}

/// Appends the body of the answer to [`PING`]: whether the disk has room, and the last durable batch.
pub fn put_pong(out: &mut BytesMut, writable: bool, sequence: u64) {
    out.put_u8(PONG);
    out.put_u8(u8::from(writable));
    out.put_u64(sequence);
}
