//! What a reply means to the phase that it belongs to.

use super::phase::{Phase, WritePhase};
use super::running::{Running, stamp};
use super::{Coordinator, Step};
use crate::issuer::TimestampIssuer;
use crate::message::{Refusal, Reply};
use crate::operation::{Outcome, Reason};
use crate::quorum::{NodeSet, Tally};
use crate::value::StampedValue;
use crate::version::Version;

impl Coordinator {
    /// Counts one reply of the current phase.
    pub(super) fn absorb(
        &mut self,
        running: &mut Running,
        from: usize,
        reply: Reply,
        issuer: &TimestampIssuer,
    ) -> Step {
        if let Reply::Refused(refusal) = reply {
            return self.absorb_refusal(running, from, refusal);
        }
        match (&mut running.phase, reply) {
            (Phase::Read(read), Reply::Read { version, content, durable }) => {
                if version > read.newest.version {
                    // The content is left out only if it was said to be here already.
                    let Some(content) = content else { return Step::Continue };
                    read.newest = StampedValue { version, content };
                    read.holders = NodeSet::EMPTY;
                }
                if version == read.newest.version && durable {
                    read.holders.insert(from);
                }
                read.answered.insert(from);
                let majority = self.config.members.majority();
                if read.answered.len() < majority {
                    // The own replica has answered: now the others, told what is here.
                    return Step::AskMajority;
                }
                if read.holders.len() >= majority {
                    // The phase is over: its content moves into the answer.
                    let newest = core::mem::replace(&mut read.newest, StampedValue::NEVER);
                    return Step::Settle { version: newest.version, outcome: Outcome::Read(newest) };
                }
                Step::Enter(Phase::Write(WritePhase {
                    stamped: read.newest.clone(),
                    held: read.holders,
                    refused: NodeSet::EMPTY,
                    write_back: true,
                    previous: (Version::MIN, false),
                }))
            }
            (Phase::ReadTimestamp(query), Reply::Timestamp { version, present, writable }) => {
                if version > query.newest {
                    (query.newest, query.present) = (version, present);
                }
                if !writable && running.operation.needs_room() {
                    query.unwritable.insert(from);
                    running.calls.last_refusal = Some(Refusal::DiskFull);
                    return self.judge_unwritable(query.unwritable);
                }
                query.unwritable.remove(from);
                query.answered.insert(from);
                if query.answered.len() < self.config.members.majority() {
                    return Step::Continue;
                }
                let previous = (query.newest, query.present);
                if let Some(version) = query.picked {
                    let stamped = stamp(&running.operation, version);
                    return Step::Enter(Phase::Write(WritePhase::of_set(stamped, previous)));
                }
                // O1: above everything a majority has, hence above every write that was answered before.
                let Ok(timestamp) = issuer.issue(query.newest.time().saturating_add(1)) else {
                    return Step::End(Outcome::Refused(Reason::CeilingReached));
                };
                let version = Version::of_write(timestamp);
                assert!(version > query.newest, "a new timestamp must exceed all that the quorum reported");
                let stamped = stamp(&running.operation, version);
                Step::Enter(Phase::Write(WritePhase::of_set(stamped, previous)))
            }
            (Phase::Write(write), Reply::Written { previous }) => {
                write.refused.remove(from);
                write.held.insert(from);
                if let Some((version, present)) = previous
                    && version < write.stamped.version
                    && version > write.previous.0
                {
                    write.previous = (version, present);
                }
                if write.held.len() < self.config.members.majority() {
                    return Step::Continue;
                }
                let version = write.stamped.version;
                let outcome = if write.write_back {
                    Outcome::Read(write.stamped.clone())
                } else {
                    Outcome::Written { version, existed: write.previous.1 }
                };
                Step::Settle { version, outcome }
            }
            // A reply of another kind, or one to a finished phase: not ours to interpret.
            _ => Step::Continue,
        }
    }

    fn absorb_refusal(&mut self, running: &mut Running, from: usize, refusal: Refusal) -> Step {
        running.calls.last_refusal = Some(refusal);
        match &mut running.phase {
            Phase::Read(_) => Step::AskEverybody,
            Phase::ReadTimestamp(query) => {
                if refusal == Refusal::DiskFull {
                    query.unwritable.insert(from);
                    return self.judge_unwritable(query.unwritable);
                }
                Step::AskEverybody
            }
            Phase::Write(write) => {
                // Lasting refusals only: a new directory or a full queue may change its mind within the deadline.
                if matches!(refusal, Refusal::NotAdmitted | Refusal::Overloaded) {
                    return Step::Continue;
                }
                write.refused.insert(from);
                match self.config.members.tally(write.held, write.refused) {
                    Tally::Impossible => {
                        let reason = Reason::TooManyRefused {
                            refused: write.refused.len(),
                            members: self.config.members.count(),
                            refusal: Some(refusal),
                        };
                        // A Get has no effect. A Set was sent: some copy may still be stored somewhere, so nobody may
                        // say that it was not.
                        Step::End(if write.write_back {
                            Outcome::Refused(reason)
                        } else {
                            Outcome::Indeterminate(reason)
                        })
                    }
                    Tally::Pending | Tally::Reached => Step::Continue,
                }
            }
            Phase::CommitWait { .. } => Step::Continue,
        }
    }

    /// A full disk answered a query of timestamps: others must make up the majority, if there are enough.
    fn judge_unwritable(&self, unwritable: NodeSet) -> Step {
        let members = self.config.members.count();
        if members - unwritable.len() >= self.config.members.majority() {
            return Step::AskEverybody;
        }
        Step::End(Outcome::Refused(Reason::TooManyRefused {
            refused: unwritable.len(),
            members,
            refusal: Some(Refusal::DiskFull),
        }))
    }
}
