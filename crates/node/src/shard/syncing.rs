//! The sync of a change of members (rule C3): carries out what [`crate::sync`] decides, and answers what others pull.

use super::catching_up::Look;
use super::{Environment, OwnQuestion, Return, Shard};
use crate::lanes::lane::LaneKey;
use crate::sync::message::{
    Answer, CaughtUp, Question, Wanted, put_answer, put_caught_up, put_question, put_wanted,
};
use crate::sync::source::Source as _;
use crate::sync::{Action, Entry, Told};
use abd::{CallId, NodeId, Now, Refusal, Replica, Reply, Request, Version, VersionStore};
use alloc::boxed::Box;

impl<E: Environment, R: Return> Shard<E, R> {
    /// Tells the sync which configuration is installed. Each event loop of a node does.
    pub(super) fn install_sync(&self) {
        let lost = self.environment.store().lost();
        let configuration = self.configuring.installed();
        self.environment.repair(|repair, now| repair.install(configuration, lost, now));
    }

    /// Does one thing that a sync wants done; the look that it may need is handed out.
    pub(super) fn carry_out_sync(&mut self, action: Action, now: Now) -> Option<Look> {
        match action {
            Action::Look { look, after, records } => return Some(Look::Own { look, after, records }),
            Action::Ask { source, call, question } => {
                if !self.frame_to(source, 0, |body| put_question(body, call, &question)) {
                    self.not_sent(source, call);
                }
            }
            Action::Fetch { source, call, key, whole } => {
                let held = self.environment.store().remembered_above(&key, Version::MAX);
                let have =
                    held.filter(|held| !whole && held.durable).map_or(Version::MIN, |held| held.version);
                self.send_for_repair(source, call, Request::LocalRead { key, have }, now);
            }
            Action::Flush { call } => self.flush(call),
            Action::Merge { call, entries } => {
                for (entry, phase) in entries.into_iter().zip(0..) {
                    self.merge(CallId { phase, ..call }, entry, now);
                }
            }
        }
        None
    }

    /// Gives the own replica what a source has told of a key.
    fn merge(&mut self, call: CallId, entry: Entry, now: Now) {
        let Entry { key, newest, accepted } = entry;
        let Told::Whole(stamped) = newest else { unreachable!("what is large is fetched first") };
        let request = match accepted {
            Some(acceptance) => Request::Adopt { key, base: Box::new(stamped), acceptance },
            None => Request::LocalWrite { key, stamped },
        };
        self.store_for_repair(call, request, now);
    }

    /// Says when everything is durable that waits for the own disk now. A full one may have refused some of that for good.
    fn flush(&self, call: CallId) {
        let refused = if self.environment.standing().writable {
            let (unit, reply) = Replica::barrier();
            self.environment.commit(unit, reply, self.to(None, call)).err()
        } else {
            Some(Reply::Refused(Refusal::DiskFull))
        };
        if let Some(reply) = refused {
            self.environment.repair(|repair, now| repair.handle_reply(self.local, call, reply, now));
        }
    }

    /// Tells a peer to look itself for what it lacks.
    pub(super) fn want(&mut self, peer: NodeId, call: CallId, wanted: Wanted) {
        if !self.frame_to(peer, 0, |body| put_wanted(body, call, wanted)) {
            self.not_sent(peer, call);
        }
    }

    /// A peer says that this node may lack something.
    pub(super) fn handle_wanted(&mut self, key: LaneKey, call: CallId, wanted: Wanted) {
        let mut caught_up = CaughtUp::default();
        self.environment.repair(|repair, now| caught_up = repair.handle_wanted(key.peer, wanted, now));
        self.frame_back(key, 0, |body| put_caught_up(body, call, caught_up));
    }

    /// A peer pulls. It is told what this node has in exactly that configuration: requests of older ones change nothing any more,
    /// and what they have changed is durable.
    pub(super) fn handle_pull(&mut self, key: LaneKey, call: CallId, question: Question) {
        let is_other = question.scope != self.replica.scope || !self.answers_in(question.scope.epoch);
        let Some(lane) = self.lane(key) else { return };
        // It may wait for the disk, so one is looked at per lane and time.
        let refusal = if is_other {
            Some(Refusal::OtherConfiguration)
        } else {
            core::mem::replace(&mut lane.is_answering, true).then_some(Refusal::Overloaded)
        };
        if let Some(refusal) = refusal {
            return self.tell_puller(key, call, &Answer::Refused(refusal));
        }
        self.questions.push_back(OwnQuestion::of_sync(self.to(Some(key), call), question));
    }

    pub(super) fn tell_puller(&mut self, key: LaneKey, call: CallId, answer: &Answer) {
        if !self.frame_back(key, answer.bytes(), |body| put_answer(body, call, answer)) {
            self.tell_puller(key, call, &Answer::Refused(Refusal::Overloaded));
        }
    }
}
