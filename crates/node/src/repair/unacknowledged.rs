//! Writes that were handed to the way to one peer, until the peer has acknowledged each.

use abd::{CallId, Instant, Version};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// More than a healthy peer leaves unanswered; beyond it the oldest count as missed.
const WRITES_MAX: usize = 1 << 16;

/// A key and a version of it that the peer may lack.
pub type Missing = (Bytes, Version);

/// The writes that one peer has not answered. Those that it refuses, and those that were under way when the connection broke,
/// it may lack.
#[derive(Debug, Default)]
pub struct Unacknowledged {
    writes: BTreeMap<CallId, Missing>,
    /// In the order in which they were sent; what is answered meanwhile is passed over.
    order: VecDeque<(Instant, CallId)>,
}

impl Unacknowledged {
    /// A write is on its way. Returns one that is not waited for any longer, as too many are.
    pub fn sent(&mut self, call: CallId, key: &Bytes, version: Version, now: Instant) -> Option<Missing> {
        if self.writes.insert(call, (Bytes::copy_from_slice(key), version)).is_none() {
            self.order.push_back((now, call));
        }
        self.pass_over();
        if self.writes.len() <= WRITES_MAX {
            return None;
        }
        let (_, oldest) = self.order.pop_front()?;
        self.writes.remove(&oldest)
    }

    /// Whether a call is waited for.
    pub fn is_under_way(&self, call: CallId) -> bool {
        self.writes.contains_key(&call)
    }

    /// The peer has answered a call. Returns what it refused.
    pub fn answered(&mut self, call: CallId, has_written: bool) -> Option<Missing> {
        let write = self.writes.remove(&call);
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
            given_up.extend(self.writes.remove(&call));
        }
        given_up
    }

    /// The connection is gone, and all that was under way on it.
    pub fn take_all(&mut self) -> Vec<Missing> {
        self.order.clear();
        std::mem::take(&mut self.writes).into_values().collect()
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
            assert_eq!(writes.sent(call(number), &key, version, Instant(number)), None);
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
        assert_eq!(writes.sent(call(1 << 20), &key, version, Instant(0)), Some(write(0)));
    }
}
