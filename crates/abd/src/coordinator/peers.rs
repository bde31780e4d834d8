//! What becomes known of the members beside their replies: who is connected, slow, or full.

use super::carry_out::hedge;
use super::step::Step;
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

    /// A connection to a replica is gone: phases that rely on it ask somebody else at once.
    pub fn handle_peer_down(&mut self, peer: NodeId) {
        let all = self.config.quorums.voters();
        if !all.contains(peer) {
            return;
        }
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
