//! Whom an operation calls first. A hint throughout: any majority will do, and everybody is asked when it takes long.

use super::machine::First;
use super::running::Running;
use super::{Coordinator, Transmit};
use crate::message::CallId;
use crate::quorum::NodeSet;
use crate::time::Instant;

impl Coordinator {
    /// Calls those whom a fresh phase asks first ([`Machine::first`](super::machine::Machine::first)).
    pub(super) fn call_first(&mut self, id: u64, running: &mut Running, now: Instant) {
        let mut chosen = NodeSet::EMPTY;
        let mut may_wait = NodeSet::EMPTY;
        match running.machine.first() {
            First::Nobody => {}
            First::Local => {
                chosen.insert(self.local());
            }
            First::Majority => chosen = self.majority_to_ask(id, running, now),
            First::Everybody { but, is_patient } => {
                chosen = self.config.members.all().minus(but);
                let avoided = self.avoided(running);
                let waited_for = self.preferred_majority(id, avoided);
                // Those who may fail to answer are not relied upon.
                if is_patient && waited_for.minus(avoided) == waited_for {
                    may_wait = chosen.minus(waited_for);
                }
            }
        }
        for index in chosen.iter() {
            running.calls.contacted.insert(index);
            let transmit = running.call(id, index, self.config.members.id(index));
            self.transmits.push_back(Transmit { may_wait: may_wait.contains(index), ..transmit });
        }
    }

    pub(super) fn local(&self) -> usize {
        self.config.members.index_of(self.config.local).unwrap_or_default()
    }

    /// Those whom a question goes to first: a majority, and now and then one more.
    pub(super) fn majority_to_ask(&mut self, id: u64, running: &Running, now: Instant) -> NodeSet {
        let mut chosen = self.preferred_majority(id, self.avoided(running));
        // What has been asked is not asked again, and whose disk is full does not help a write.
        let contacted = running.calls.contacted;
        let useless = if running.needs_room { self.unwritable } else { NodeSet::EMPTY };
        let others = self.config.members.all().minus(chosen.union(contacted).union(useless));
        if let Some(index) = self.nearness.due(others, now) {
            chosen.insert(index);
        }
        let call = CallId { operation: id, phase: running.number };
        let local = self.local();
        for index in chosen.minus(contacted).iter().filter(|index| *index != local) {
            self.nearness.ask(index, call, now);
        }
        chosen
    }

    /// Those whom an operation asks last: those under suspicion, and if it needs room, those whose disk is full.
    fn avoided(&self, running: &Running) -> NodeSet {
        if running.needs_room { self.suspects.union(self.unwritable) } else { self.suspects }
    }

    /// The local member and the next ones round the ring; then those that are far, the nearest first, and those to be avoided.
    /// Another part of the ring now and then, to spread the load of a node that has more clients than others.
    fn preferred_majority(&self, id: u64, avoided: NodeSet) -> NodeSet {
        let members = &self.config.members;
        let count = members.count();
        let local = self.local();
        let mut chosen = NodeSet::EMPTY;
        chosen.insert(local);
        let others = count.saturating_sub(1).max(1);
        let turn = usize::try_from(id / self.config.rotate_after % others as u64).unwrap_or_default();
        let ring = || (turn..others).chain(0..turn).map(|step| (local + 1 + step) % count);
        let near = ring().filter(|index| !avoided.contains(*index) && !self.nearness.is_far(*index));
        let far = self.nearness.far().filter(|index| !avoided.contains(*index));
        let last = ring().filter(|index| avoided.contains(*index));
        for index in near.chain(far).chain(last) {
            if members.is_majority(chosen) {
                break;
            }
            chosen.insert(index);
        }
        chosen
    }
}
