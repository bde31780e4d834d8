//! A Set or a Delete: a timestamp above everything that was answered before, and a majority that holds the value under it.

use super::machine::Machine;
use super::step::{Settled, Step};
use super::storing::Storing;
use crate::issuer::TimestampIssuer;
use crate::message::{Refusal, Reply, Request};
use crate::operation::{Outcome, Reason};
use crate::quorum::{NodeSet, QuorumSystem};
use crate::value::{Content, Deadline, StampedValue};
use crate::version::{NodeId, Version};
use bytes::Bytes;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Write {
    /// A logical one collects timestamps; a TrueTime Delete, whether there is anything to delete.
    ReadTimestamp(Timestamps),
    Store(Storing, Replaced),
}

/// The newest older version that a replica saw, and whether it was a value. A hint for the count of a Delete: writes are
/// blind, and say what they replace only where that is in memory.
type Replaced = (Version, bool);

/// The query phase.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Timestamps {
    content: Content,
    deadline: Deadline,
    newest: Version,
    present: bool,
    /// The version that a TrueTime Delete has picked already (rule T2): it asks for its count alone.
    picked: Option<Version>,
    /// Who answered and can store what comes next.
    pub(super) answered: NodeSet,
    /// Who answered that its disk is full.
    pub(super) unwritable: NodeSet,
}

impl Write {
    /// One that asks a majority first: for the time, unless it is `picked`.
    pub(super) fn new(content: Content, deadline: Deadline, picked: Option<Version>) -> Self {
        Self::ReadTimestamp(Timestamps {
            content,
            deadline,
            newest: Version::MIN,
            present: false,
            picked,
            answered: NodeSet::EMPTY,
            unwritable: NodeSet::EMPTY,
        })
    }

    /// One that asks nobody.
    pub(super) fn blind(content: Content, deadline: Deadline, version: Version) -> Self {
        Self::store(StampedValue { deadline, ..StampedValue::plain(version, content) }, (Version::MIN, false))
    }

    fn store(stamped: StampedValue, replaced: Replaced) -> Self {
        Self::Store(Storing::new(stamped, NodeSet::EMPTY), replaced)
    }

    pub(super) fn request(&self, key: Bytes) -> Request {
        match self {
            Self::ReadTimestamp(_) => Request::LocalReadTimestamp { key },
            Self::Store(storing, _) => storing.request(key),
        }
    }

    pub(super) fn absorb(
        &mut self,
        quorums: &QuorumSystem,
        issuer: &TimestampIssuer,
        from: NodeId,
        reply: Reply,
    ) -> Step {
        match (self, reply) {
            (Self::ReadTimestamp(query), Reply::Timestamp { version, present, writable }) => {
                query.absorb(quorums, issuer, from, (version, present), writable)
            }
            (Self::Store(storing, replaced), Reply::Written { previous }) => {
                if let Some((version, present)) = previous
                    && version < storing.stamped.version
                    && version > replaced.0
                {
                    *replaced = (version, present);
                }
                if !storing.absorb_written(quorums, from) {
                    return Step::Continue;
                }
                let version = storing.stamped.version;
                let outcome = Outcome::Written { version, existed: replaced.1 };
                Step::Settle(Settled { version, outcome, had_effect: true })
            }
            // A reply of another kind: not ours to interpret.
            _ => Step::Continue,
        }
    }

    pub(super) fn absorb_refusal(&mut self, quorums: &QuorumSystem, from: NodeId, refusal: Refusal) -> Step {
        match self {
            Self::ReadTimestamp(query) if refusal == Refusal::DiskFull => query.cannot_store(quorums, from),
            Self::ReadTimestamp(_) => Step::AskEverybody,
            // It was sent: some copy may still be stored somewhere, so nobody may say that it was not (rule A1).
            Self::Store(storing, _) => match storing.absorb_refusal(quorums, from, refusal) {
                Some(reason) => Step::End(Outcome::Indeterminate(reason)),
                None => Step::Continue,
            },
        }
    }
}

impl Timestamps {
    /// As [`Write::begin_anew`].
    pub(super) fn begin_anew(&mut self) {
        (self.newest, self.present) = (Version::MIN, false);
        (self.answered, self.unwritable) = (NodeSet::EMPTY, NodeSet::EMPTY);
    }

    fn absorb(
        &mut self,
        quorums: &QuorumSystem,
        issuer: &TimestampIssuer,
        from: NodeId,
        newest: Replaced,
        writable: bool,
    ) -> Step {
        if newest.0 > self.newest {
            (self.newest, self.present) = newest;
        }
        if !writable && self.content.is_value() {
            return self.cannot_store(quorums, from);
        }
        self.unwritable.remove(from);
        self.answered.insert(from);
        if !quorums.is_quorum(self.answered) {
            return Step::Continue;
        }
        let version = match self.picked {
            Some(version) => version,
            // O1: above everything a majority has, hence above every write that was answered before.
            None => match issuer.issue(self.newest.time().saturating_add(1)) {
                Err(_) => return Step::End(Outcome::Refused(Reason::CeilingReached)),
                Ok(timestamp) => {
                    let version = Version::of_write(timestamp);
                    assert!(
                        version > self.newest,
                        "a new timestamp must exceed all that the quorum reported"
                    );
                    version
                }
            },
        };
        let stamped =
            StampedValue { deadline: self.deadline, ..StampedValue::plain(version, self.content.clone()) };
        Step::Enter(Machine::Write(Write::store(stamped, (self.newest, self.present))))
    }

    /// A full disk answered: others must make up the majority, if there are enough.
    fn cannot_store(&mut self, quorums: &QuorumSystem, from: NodeId) -> Step {
        self.unwritable.insert(from);
        if quorums.suffices_without(self.unwritable) {
            return Step::AskEverybody;
        }
        Step::End(Outcome::Refused(disk_full(quorums, self.unwritable)))
    }
}

/// So many disks are full that no majority can store a value.
pub(super) fn disk_full(quorums: &QuorumSystem, unwritable: NodeSet) -> Reason {
    Reason::TooManyRefused {
        refused: unwritable.len(),
        members: quorums.voters().len(),
        refusal: Some(Refusal::DiskFull),
    }
}
