//! A Get: read a majority, take the newest, write it back to those who lack it (rule R1). One that finds a value that is due to expire
//! waits in the queue of the key's Updates: whether the value is there is decided, and not told by a clock (rule E1).

use super::machine::Machine;
use super::step::{Settled, Step};
use super::storing::Storing;
use super::update::Member;
use crate::message::{Refusal, Reply, Request};
use crate::operation::Outcome;
use crate::quorum::{NodeSet, QuorumSystem};
use crate::time::Now;
use crate::value::{Glimpse, StampedValue};
use crate::version::NodeId;
use bytes::Bytes;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Get {
    /// It collects the newest version with its content.
    Read(Reading),
    /// Not everybody who was asked has it.
    WriteBack(Storing),
}

/// The newest version of some replies, and who has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reading {
    /// The newest of all replies so far.
    pub(super) newest: StampedValue,
    /// Who reported exactly that version, durably.
    pub(super) holders: NodeSet,
    pub(super) answered: NodeSet,
}

impl Reading {
    pub(super) fn new() -> Self {
        Self { newest: StampedValue::NEVER, holders: NodeSet::EMPTY, answered: NodeSet::EMPTY }
    }

    /// The newest: the phase is over, and its content moves on.
    pub(super) fn take(&mut self) -> StampedValue {
        core::mem::replace(&mut self.newest, StampedValue::NEVER)
    }

    pub(super) fn request(&self, key: Bytes) -> Request {
        Request::LocalRead { key, have: self.newest.version }
    }

    /// Counts a reply; whether it could be.
    pub(super) fn absorb(&mut self, from: NodeId, glimpse: Glimpse) -> bool {
        let Glimpse { version, durable, .. } = glimpse;
        if version > self.newest.version {
            // The content is left out only if it was said to be here already.
            let Some(stamped) = glimpse.stamped() else { return false };
            self.newest = stamped;
            self.holders = NodeSet::EMPTY;
        }
        if version == self.newest.version && durable {
            self.holders.insert(from);
        }
        self.answered.insert(from);
        true
    }
}

impl Get {
    pub(super) fn new() -> Self {
        Self::Read(Reading::new())
    }

    pub(super) fn request(&self, key: Bytes) -> Request {
        match self {
            Self::Read(reading) => reading.request(key),
            Self::WriteBack(storing) => storing.request(key),
        }
    }

    pub(super) fn absorb(&mut self, quorums: &QuorumSystem, from: NodeId, reply: Reply, now: Now) -> Step {
        match (self, reply) {
            (Self::Read(reading), Reply::Read(glimpse)) => {
                if !reading.absorb(from, glimpse) {
                    return Step::Continue;
                }
                if !quorums.is_quorum(reading.answered) {
                    // The own replica has answered: now the others, told what is here.
                    return Step::AskMajority;
                }
                if reading.newest.is_due(now.moment) {
                    return Step::Enqueue(reading.take(), Member::reading());
                }
                if quorums.is_quorum(reading.holders) {
                    // The phase is over: its content moves into the answer.
                    return answer(reading.take());
                }
                let storing = Storing::new(reading.newest.clone(), reading.holders);
                Step::Enter(Machine::Get(Self::WriteBack(storing)))
            }
            (Self::WriteBack(storing), Reply::Written { .. }) => {
                if storing.absorb_written(quorums, from) {
                    answer(storing.stamped.clone())
                } else {
                    Step::Continue
                }
            }
            // A reply of another kind: not ours to interpret.
            _ => Step::Continue,
        }
    }

    pub(super) fn absorb_refusal(&mut self, quorums: &QuorumSystem, from: NodeId, refusal: Refusal) -> Step {
        match self {
            Self::Read(_) => Step::AskEverybody,
            // It has no effect of its own.
            Self::WriteBack(storing) => match storing.absorb_refusal(quorums, from, refusal) {
                Some(reason) => Step::End(Outcome::Refused(reason)),
                None => Step::Continue,
            },
        }
    }
}

fn answer(newest: StampedValue) -> Step {
    let version = newest.version;
    Step::Settle(Settled { version, outcome: Outcome::Read(newest), had_effect: false })
}
