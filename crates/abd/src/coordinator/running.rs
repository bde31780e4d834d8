//! One operation in flight, and the calls that its phase makes.

use super::Transmit;
use super::phase::{Calls, Phase};
use crate::message::{CallId, Request};
use crate::operation::Operation;
use crate::quorum::{Members, NodeSet};
use crate::time::Instant;
use crate::value::{Content, StampedValue};
use crate::version::{NodeId, Version};
use alloc::collections::VecDeque;
use core::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Running {
    pub(super) operation: Operation,
    pub(super) deadline: Instant,
    /// Counts phases; part of every call id.
    pub(super) number: u8,
    pub(super) phase: Phase,
    pub(super) calls: Calls,
    /// When something is due next, and what the timer table says.
    pub(super) due: Instant,
    pub(super) armed: Option<Instant>,
    pub(super) resend_pause: Duration,
    pub(super) hedged: bool,
}

impl Running {
    pub(super) fn answered(&self) -> NodeSet {
        match &self.phase {
            Phase::Read(read) => read.answered,
            Phase::ReadTimestamp(query) => query.answered.union(query.unwritable),
            Phase::Write(write) => write.held.union(write.refused),
            Phase::CommitWait { .. } => NodeSet::EMPTY,
        }
    }

    /// Who has done what the current phase is about: of a refusal nobody is one nearer to a majority.
    pub(super) fn counted(&self) -> NodeSet {
        match &self.phase {
            Phase::Read(read) => read.answered,
            Phase::ReadTimestamp(query) => query.answered,
            Phase::Write(write) => write.held,
            Phase::CommitWait { .. } => NodeSet::EMPTY,
        }
    }

    /// The current phase's request to one replica.
    pub(super) fn call(&self, id: u64, to: NodeId) -> Transmit {
        let key = self.operation.key().clone();
        let request = match &self.phase {
            Phase::Read(read) => Request::LocalRead { key, have: read.newest.version },
            Phase::ReadTimestamp(_) => Request::LocalReadTimestamp { key },
            Phase::Write(write) => Request::LocalWrite { key, stamped: write.stamped.clone() },
            Phase::CommitWait { .. } => unreachable!("a commit wait calls nobody"),
        };
        let call = CallId { operation: id, phase: self.number };
        Transmit { to, call, deadline: self.deadline, request, may_wait: false, again: false }
    }

    /// Calls those of `chosen` that this phase has not called yet.
    pub(super) fn widen(
        &mut self,
        id: u64,
        chosen: NodeSet,
        members: &Members,
        transmits: &mut VecDeque<Transmit>,
    ) {
        for index in chosen.minus(self.calls.contacted).iter() {
            self.calls.contacted.insert(index);
            transmits.push_back(self.call(id, members.id(index)));
        }
    }
}

/// What a Set or a Delete writes.
pub(super) fn stamp(operation: &Operation, version: Version) -> StampedValue {
    let content = match operation {
        Operation::Set { value, .. } => Content::Value(value.clone()),
        Operation::Delete { .. } => Content::Tombstone,
        Operation::Get { .. } => unreachable!("a Get makes no version"),
    };
    StampedValue { version, content }
}
