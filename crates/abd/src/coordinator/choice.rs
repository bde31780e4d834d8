//! Whom an operation calls first. A hint throughout: any majority will do, and everybody is asked when it takes long.

use super::machine::First;
use super::running::Running;
use super::{Coordinator, Transmit};
use crate::message::CallId;
use crate::quorum::NodeSet;
use crate::time::Instant;

impl Coordinator {
    /// Calls those whom a fresh phase asks first ([`Machine::first`](super::machine::Machine::first)).
    pub(super) fn call_first(&mut self, running: &mut Running, now: Instant) {
        let mut chosen = NodeSet::EMPTY;
        let mut may_wait = NodeSet::EMPTY;
        match running.machine.first() {
            First::Nobody => {}
            First::Local => {
                chosen.insert(self.config.local);
            }
            First::Majority => chosen = self.majority_to_ask(running, now),
            First::Everybody { but, is_patient } => {
                chosen = self.config.quorums.voters().minus(but);
                let avoided = self.avoided(running);
                let waited_for = self.preferred_majority(running.id, avoided);
                // Those who may fail to answer are not relied upon.
                if is_patient && waited_for.minus(avoided) == waited_for {
                    may_wait = chosen.minus(waited_for);
                }
            }
        }
        for member in chosen.iter() {
            running.calls.contacted.insert(member);
            let transmit = running.call(member);
            self.transmits.push_back(Transmit { may_wait: may_wait.contains(member), ..transmit });
        }
    }

    /// Those whom a question goes to first: a majority, and now and then one more.
    pub(super) fn majority_to_ask(&mut self, running: &Running, now: Instant) -> NodeSet {
        let mut chosen = self.preferred_majority(running.id, self.avoided(running));
        // What has been asked is not asked again, and whose disk is full does not help a write.
        let contacted = running.calls.contacted;
        let useless = if running.needs_room { self.unwritable } else { NodeSet::EMPTY };
        let others = self.config.quorums.voters().minus(chosen.union(contacted).union(useless));
        if let Some(member) = self.nearness.due(others, now) {
            chosen.insert(member);
        }
        let call = CallId { operation: running.id, phase: running.number };
        let local = self.config.local;
        for member in chosen.minus(contacted).iter().filter(|member| *member != local) {
            self.nearness.ask(member, call, now);
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
        let (quorums, local) = (&self.config.quorums, self.config.local);
        let voters = quorums.voters();
        let mut chosen = NodeSet::EMPTY;
        // A newcomer that is not a voter yet coordinates nothing; a member asks itself first.
        if voters.contains(local) {
            chosen.insert(local);
        }
        let others = voters.minus(chosen);
        let count = others.len().max(1);
        let turn = usize::try_from(id / self.config.rotate_after % count as u64).unwrap_or_default();
        let behind = (others.iter().take_while(|other| *other < local).count() + turn) % count;
        let ring = || others.iter().chain(others.iter()).skip(behind).take(others.len());
        let near = ring().filter(|member| !avoided.contains(*member) && !self.nearness.is_far(*member));
        let far = self.nearness.far().filter(|member| !avoided.contains(*member) && voters.contains(*member));
        let last = ring().filter(|member| avoided.contains(*member));
        for member in near.chain(far).chain(last) {
            if quorums.is_quorum(chosen) {
                break;
            }
            chosen.insert(member);
        }
        chosen
    }
}
