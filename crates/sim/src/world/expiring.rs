//! How values expire that are due, where it is told wrongly: the mutants of rules E1 to E4.

use super::World;
use super::back::Back;
use super::environment::Surroundings;
use super::running::{About, RunningOperation};
use crate::mutant::ExpiryLie;
use crate::time::{EPOCH, MS};
use abd::{Content, Operation, Outcome, Proposal, StampedValue};
use bytes::Bytes;
use node::clock::Moments;
use node::shard::Return;

impl Surroundings {
    /// By what values are judged.
    pub(crate) fn judged_by(&self) -> abd::Moment {
        let Moments { earliest, latest } = self.moment.get().moments;
        match self.lies.expiry {
            lie if lie.hides_from_gets() && self.about.get() == About::Get => abd::Moment::UNKNOWN,
            ExpiryLie::Early => latest,
            _ => earliest,
        }
    }

    /// By what a Get judges what it has read, where nothing is decided.
    fn answered_by(&self) -> abd::Moment {
        match self.lies.expiry {
            ExpiryLie::OwnClock | ExpiryLie::Deletes => self.moment.get().moments.earliest,
            ExpiryLie::TrueTime => abd::Moment((EPOCH + self.moment.get().now.0) / MS),
            _ => abd::Moment::UNKNOWN,
        }
    }

    /// Whether something is proposed to expire for Gets alone, and the mutant `promise-is-enough` takes it for accepted.
    pub(crate) fn takes_for_accepted(&self, key: &Bytes, proposal: &Proposal) -> bool {
        self.takes_for_expired(key, &proposal.content)
    }

    /// The same of what was chosen.
    pub(crate) fn takes_for_published(&self, key: &Bytes, stamped: &StampedValue) -> bool {
        stamped.version.rmwc > 0 && self.takes_for_expired(key, &stamped.content)
    }

    fn takes_for_expired(&self, key: &Bytes, content: &Content) -> bool {
        let is_update = |running: &RunningOperation| running.about == About::Update && running.key == *key;
        self.lies.expiry == ExpiryLie::PromiseOnly
            && !content.is_value()
            && !self.operations.borrow().values().any(is_update)
    }
}

impl Back {
    /// What its client is told, where a Get judges by itself; nothing if it deletes the key first.
    pub(super) fn judged(self, outcome: Outcome) -> Option<(Self, Outcome)> {
        let absent = Outcome::Read(StampedValue::NEVER);
        match outcome {
            Outcome::Read(stamped) if stamped.is_due(self.around.answered_by()) => {
                if self.around.lies.expiry == ExpiryLie::Deletes {
                    let around = self.around.clone();
                    around.deletes.borrow_mut().push(self);
                    return None;
                }
                Some((self, absent))
            }
            // The Delete of a Get.
            Outcome::Written { .. } if self.deletes => Some((self, absent)),
            outcome => Some((self, outcome)),
        }
    }
}

impl World {
    /// The mutant `expires-by-delete`: what Gets have found to be due is deleted.
    pub(super) fn delete_what_is_due(&mut self, node: u32) {
        loop {
            let op_timeout = std::time::Duration::from_nanos(self.plan.op_timeout);
            let Some((process, now)) = self.enter(node, About::Other) else { return };
            let Some(back) = process.around().deletes.borrow_mut().pop() else { return };
            let (asked, key) = (back.operation, back.key.clone());
            process.around().end(asked);
            let operation = Operation::Delete { key: key.clone() };
            let back = Back { deletes: true, ..back };
            let begun =
                process.desk.shard.get_mut().submit(operation, now.instant + op_timeout, now.instant, back);
            match begun {
                Ok(id) => {
                    let running = RunningOperation::new(asked, About::Other, key);
                    process.around().operations.borrow_mut().insert(id.0, running);
                }
                Err((reason, back)) => back.send(Outcome::Refused(reason)),
            }
        }
    }
}
