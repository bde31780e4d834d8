//! What becomes known of the members beside their replies: who is connected, slow, or full.

use super::carry_out::hedge;
use super::machine::Machine;
use super::running::Running;
use super::step::{FoldStep, Step};
use super::{Coordinator, Transmit};
use crate::issuer::TimestampIssuer;
use crate::message::CallId;
use crate::time::Now;
use crate::version::NodeId;

impl Coordinator {
    /// A connection to a replica is up (again), to the run of it with this boot count: whatever it has not answered is sent at
    /// once.
    pub fn handle_peer_up(&mut self, peer: NodeId, boot: u32) {
        if self.config.quorums.voters().contains(peer) {
            self.know_boot(peer, boot);
            self.unreachable.remove(peer);
            self.suspects.remove(peer);
            self.nearness.forget(peer);
            self.call_again(peer);
        }
    }

    /// A replica can take now what it could not take before: whatever it has not answered is sent at once.
    pub fn call_again(&mut self, peer: NodeId) {
        for running in self.running.iter_mut() {
            if running.waits_for(peer) {
                self.transmits.push_back(Transmit { again: true, ..running.call(peer) });
            }
        }
    }

    /// Whether a proposal goes out to a member; if so, that is remembered (rule P3'). To one that cannot be reached it is sent when it
    /// can: whether it came to have the proposal would be known from it alone, and it may never answer again.
    pub(super) fn proposes(&mut self, transmit: &Transmit) -> bool {
        let Transmit { to, call, .. } = *transmit;
        let Some(running) = self.running.get_mut(call.operation) else { return false };
        let goes = running.number == call.phase && !self.unreachable.contains(to);
        if goes && let Some(own) = &mut running.fold_mut().own {
            own.send(to, self.boots.get(&to).copied().unwrap_or_default());
        }
        goes
    }

    /// Another attempt is made at once when a proposal waits for nobody but members who cannot be reached.
    pub(super) fn or_retry(&self, running: &Running, step: Step) -> Step {
        match (&running.machine, step) {
            (Machine::Fold(fold), Step::Continue)
                if fold.waits_for_nobody_but(self.unreachable, &self.config.quorums) =>
            {
                Step::Fold(FoldStep::Retry)
            }
            (_, step) => step,
        }
    }

    /// A connection to a replica is gone, or there is none yet: phases that rely on it ask somebody else at once.
    pub fn handle_peer_down(&mut self, peer: NodeId) {
        let all = self.config.quorums.voters();
        if !all.contains(peer) {
            return;
        }
        self.unreachable.insert(peer);
        self.suspects.insert(peer);
        self.nearness.forget(peer);
        for running in self.running.iter_mut() {
            if running.waits_for(peer) {
                running.widen(all, &mut self.transmits);
            }
        }
    }

    /// A question to the own replica will not be answered soon: its disk is slow. The others are asked at once, as they would be
    /// after [`Config::hedge_after`](super::Config::hedge_after).
    pub fn handle_local_delay(&mut self, call: CallId, now: Now, issuer: &TimestampIssuer) {
        let Some(mut running) = self.running.take(call.operation) else { return };
        let step = if running.machine.is_question() && running.number == call.phase && !running.hedged {
            self.suspects.insert(self.config.local);
            hedge(&mut running, now)
        } else {
            Step::Continue
        };
        self.carry_out(running, step, now, issuer);
    }

    /// A request was not sent, for want of room or because its phase was over: no answer to it is waited for.
    pub fn handle_not_sent(&mut self, peer: NodeId, call: CallId) {
        self.nearness.not_sent(peer, call);
    }

    /// A replica reported whether its disk has room.
    pub fn handle_peer_writable(&mut self, peer: NodeId, writable: bool) {
        if writable {
            self.unwritable.remove(peer);
        } else if self.config.quorums.voters().contains(peer) {
            self.unwritable.insert(peer);
        }
    }

    /// The run of a member that is known counts up; 0 says nothing.
    pub(super) fn know_boot(&mut self, member: NodeId, boot: u32) {
        if boot > 0 {
            let known = self.boots.entry(member).or_default();
            *known = boot.max(*known);
        }
    }
}
