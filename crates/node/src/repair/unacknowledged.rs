//! Writes that were handed to the way to one peer, until the peer has acknowledged each.

use abd::{CallId, Instant, Version};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// More than a healthy peer leaves unanswered; beyond it the oldest count as missed.
const WRITES_MAX: usize = 1 << 16;
/// The same in bytes, as keys may be long.
const BYTES_MAX: usize = 16 << 20;
/// What a write takes beside its key, about.
const WRITE_OVERHEAD: usize = 128;

/// A key and a version of it that the peer may lack.
pub type Missing = (Bytes, Version);

/// The writes that one peer has not answered. Those that it refuses, and those that were under way when the connection broke,
/// it may lack.
#[derive(Debug, Default)]
pub struct Unacknowledged {
    writes: BTreeMap<CallId, Missing>,
    bytes: usize,
    /// In the order in which they were sent; what is answered meanwhile is passed over.
    order: VecDeque<(Instant, CallId)>,
}

impl Unacknowledged {
    /// A write is on its way. Returns those that are not waited for any longer, as too many are.
    pub fn sent(&mut self, call: CallId, key: &Bytes, version: Version, now: Instant) -> Vec<Missing> {
        self.bytes += key.len() + WRITE_OVERHEAD;
        match self.writes.insert(call, (Bytes::copy_from_slice(key), version)) {
            Some((before, _)) => self.bytes -= before.len() + WRITE_OVERHEAD,
            None => self.order.push_back((now, call)),
        }
        self.pass_over();
        let mut given_up = Vec::new();
        while self.writes.len() > WRITES_MAX || self.bytes > BYTES_MAX {
            let Some((_, oldest)) = self.order.pop_front() else { break };
            given_up.extend(self.remove(oldest));
        }
        given_up
    }

    fn remove(&mut self, call: CallId) -> Option<Missing> {
        let (key, version) = self.writes.remove(&call)?;
        self.bytes -= key.len() + WRITE_OVERHEAD;
        Some((key, version))
    }

    /// Whether a call is waited for.
    pub fn is_under_way(&self, call: CallId) -> bool {
        self.writes.contains_key(&call)
    }

    /// Which version a call that is waited for writes.
    pub fn version_of(&self, call: CallId) -> Option<Version> {
        self.writes.get(&call).map(|(_, version)| *version)
    }

    /// Does not wait for those any more that are sent anew.
    pub fn forget(&mut self, is_sent_anew: impl Fn(CallId, Version) -> bool) {
        let Self { writes, bytes, .. } = self;
        writes.retain(|call, (key, version)| {
            let is_kept = !is_sent_anew(*call, *version);
            *bytes -= if is_kept { 0 } else { key.len() + WRITE_OVERHEAD };
            is_kept
        });
        self.pass_over();
    }

    /// The peer has answered a call. Returns what it refused.
    pub fn answered(&mut self, call: CallId, has_written: bool) -> Option<Missing> {
        let write = self.remove(call);
        self.pass_over();
        write.filter(|_| !has_written)
    }

    /// Gives up those that were sent so long ago.
    pub fn give_up(&mut self, after: Duration, now: Instant) -> Vec<Missing> {
        let mut given_up = Vec::new();
        while let Some((sent, call)) = self.order.front().copied()
            && sent + after <= now
        {
            self.order.pop_front();
            given_up.extend(self.remove(call));
        }
        given_up
    }

    /// The connection is gone, and all that was under way on it.
    pub fn take_all(&mut self) -> Vec<Missing> {
        self.order.clear();
        self.bytes = 0;
        core::mem::take(&mut self.writes).into_values().collect()
    }

    fn pass_over(&mut self) {
        while self.order.front().is_some_and(|(_, call)| !self.writes.contains_key(call)) {
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abd::Timestamp;
    use alloc::{format, vec};

    fn call(operation: u64) -> CallId {
        CallId { operation, phase: 0 }
    }

    fn write(number: u64) -> Missing {
        let version = Version::of_write(Timestamp { time: number + 1, node: 1, boot: 1 });
        (Bytes::from(format!("key {number}")), version)
    }

    fn sent(count: u64) -> Unacknowledged {
        let mut writes = Unacknowledged::default();
        for number in 0..count {
            let (key, version) = write(number);
            assert_eq!(writes.sent(call(number), &key, version, Instant(number)), []);
        }
        writes
    }

    #[test]
    fn what_is_acknowledged_is_not_missed() {
        let mut writes = sent(4);
        assert_eq!(writes.answered(call(1), true), None);
        assert_eq!(writes.answered(call(2), false), Some(write(2)));
        assert_eq!(writes.answered(call(2), false), None);
        assert_eq!(writes.take_all(), [write(0), write(3)]);
        assert_eq!(writes.take_all(), []);
    }

    #[test]
    fn what_is_sent_anew_is_not_waited_for() {
        let mut writes = sent(4);
        let anew = [call(0), call(2)];
        writes.forget(|call, version| anew.contains(&call) && version.time() == call.operation + 1);
        assert_eq!([0, 1].map(|number| writes.version_of(call(number))), [None, Some(write(1).1)]);
        assert_eq!(writes.answered(call(2), false), None);
        assert_eq!(writes.bytes, 2 * (write(1).0.len() + WRITE_OVERHEAD));
        assert_eq!(writes.give_up(Duration::ZERO, Instant(3)), [write(1), write(3)]);
    }

    #[test]
    fn what_is_never_answered_is_given_up() {
        let mut writes = sent(4);
        writes.answered(call(0), true);
        assert_eq!(writes.give_up(Duration::from_nanos(10), Instant(12)), [write(1), write(2)]);
        assert_eq!(writes.take_all(), [write(3)]);
    }

    #[test]
    fn no_more_is_remembered_than_a_healthy_peer_leaves() {
        let mut writes = sent(WRITES_MAX as u64);
        let (key, version) = write(1 << 20);
        assert_eq!(writes.sent(call(1 << 20), &key, version, Instant(0)), [write(0)]);
        // Nor more bytes.
        let mut writes = Unacknowledged::default();
        let (key, version) = (Bytes::from(vec![b'k'; BYTES_MAX / 4]), write(0).1);
        let mut given_up = 0;
        for number in 0..10 {
            given_up += writes.sent(call(number), &key, version, Instant(number)).len();
        }
        assert_eq!(given_up, 7);
        assert_eq!(writes.take_all().len(), 3);
        assert_eq!(writes.bytes, 0);
    }
}
