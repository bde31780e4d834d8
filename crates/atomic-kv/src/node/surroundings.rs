//! What the machine of an event loop reaches of this process: its clocks, its disk, and what all event loops share.

use super::Node;
use super::completions::ReplyTo;
use super::database::ReplicaStore;
use crate::logging::limit::limited;
use ::node::limits::FRAME_BYTES_MAX;
use ::node::repair::Repair;
use ::node::shard::{self, Environment};
use abd::WriteGroup as _;
use abd::{
    AfterCommit, Instant, Interval, NodeId, Operation, Outcome, Reason, Reply, Request, StampedValue,
    Standing, TimestampIssuer, Version,
};
use bytes::Bytes;
use std::cell::RefCell;
use std::ops::Deref;
use std::sync::Arc;
use store::Puts;

/// The surroundings of one event loop.
pub(crate) struct Surroundings {
    node: Arc<Node>,
    index: usize,
    /// Where a write is encoded; empty otherwise.
    put: RefCell<Puts>,
}

impl Surroundings {
    pub(super) fn new(node: Arc<Node>, index: usize) -> Self {
        Self { node, index, put: RefCell::default() }
    }

    fn home(&self, to: shard::ReplyTo) -> ReplyTo {
        ReplyTo { shard: self.index, lane: to.lane, call: to.call }
    }
}

impl Environment for Surroundings {
    type Store = ReplicaStore;

    fn interval(&self) -> Option<Interval> {
        self.node.interval()
    }

    fn horizon(&self) -> u64 {
        self.node.horizon_clock()
    }

    fn issuer(&self) -> impl Deref<Target = TimestampIssuer> {
        &self.node.issuer
    }

    fn store(&self) -> impl Deref<Target = ReplicaStore> {
        &self.node.store
    }

    fn standing(&self) -> Standing {
        self.node.standing()
    }

    fn sequence(&self) -> u64 {
        self.node.store.sequence()
    }

    fn commit(
        &self,
        key: Bytes,
        stamped: StampedValue,
        reply: AfterCommit,
        to: shard::ReplyTo,
    ) -> Result<(), Reply> {
        // Encoded before the queue is locked, which other threads use, too.
        let mut put = self.put.borrow_mut();
        put.push(&key, &stamped);
        self.node.committer.enqueue(&mut put, reply, self.home(to))
    }

    fn hands_over(&self) -> bool {
        self.node.readers.are_needed()
    }

    fn is_slow(&self) -> bool {
        self.node.readers.are_slow()
    }

    fn ask_disk(&self, question: Request, to: shard::ReplyTo, deadline: Instant) -> Result<(), Reply> {
        self.node.readers.ask(question, self.home(to), deadline)
    }

    fn look_here<T>(&self, look: impl FnOnce() -> T) -> T {
        self.node.readers.look_up(look)
    }

    fn taken(&self, found_bytes: usize) {
        self.node.readers.taken(found_bytes);
    }

    fn repair(&self, tell: impl FnOnce(&mut Repair, Instant)) {
        self.node.repairs.tell(tell);
    }

    fn missed(&self, member: usize, key: &Bytes, version: Version) {
        let is_away =
            self.node.members.id(member) != self.node.id && !self.node.membership.admission.is_up(member);
        self.node.repairs.missed(member, key, version, is_away);
    }

    fn peer_is_up(&self, member: usize, up: bool) {
        self.node.peer_is_up(self.node.members.id(member), up);
    }

    fn observe(&self, peer: NodeId, sequence: u64) {
        self.node.observe(peer, sequence);
    }

    fn reason_to_refuse(&self, operation: &Operation) -> Option<Reason> {
        self.node.reason_to_refuse(operation)
    }

    fn count(&self, outcome: &Outcome) {
        self.node.stats[self.index].count_outcome(outcome);
    }

    fn passed_over(&self, peer: NodeId, length: usize) {
        let peer = peer.0;
        limited!(warn, "passed over a message that is too long", peer, length, limit = FRAME_BYTES_MAX);
    }
}
