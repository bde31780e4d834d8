//! Repair: the node's own state machine, with this world around it. A page of a store, or a look at it, takes no time here.

use super::{Event, Source, World};
use crate::trace::{Label, MessageKind};
use abd::wire::put_frame;
use abd::{CallId, Instant, Refusal, Request, Transmit, Version};
use bytes::{Bytes, BytesMut};
use node::repair::message::{Answer, Question, get_answer, get_question, put_answer, put_question};
use node::repair::ranges::{self, Page, Range, Ranges};
use node::repair::{Action, Config};
use std::sync::Arc;
use std::time::Duration;
use store::{DatabaseError, MultiVersionStore};

/// What a list may take here: some keys of the plan, so that now and then one overflows.
const LIST_BYTES: usize = 3 * 136;

/// As in the node, but for its sizes and its day.
pub(super) fn config(plan: &crate::plan::Plan) -> Config {
    Config {
        list_bytes: if plan.short_lists { LIST_BYTES } else { 1 << 20 },
        compare_every: plan.compare_every.map(Duration::from_nanos),
        ..Config::default()
    }
}

/// A replica's store as a comparison sees it.
struct Walks<'a>(&'a MultiVersionStore<Arc<crate::disk::SimDatabase>>);

impl Ranges for Walks<'_> {
    type Error = DatabaseError;

    fn walk(&self, range: &Range, at_most: usize, bytes_max: usize) -> Result<Page, DatabaseError> {
        let walked = self.0.walk(range.after.as_deref(), range.up_to.as_deref(), at_most, bytes_max)?;
        Ok(Page { entries: walked.entries, is_last: walked.is_last })
    }

    fn version(&self, key: &[u8]) -> Result<Option<Version>, DatabaseError> {
        match self.0.newest_above(key, Version::MAX) {
            Ok(glimpse) => Ok(Some(glimpse.version)),
            Err(DatabaseError::Unreadable { .. }) => Ok(None),
            Err(why) => Err(why),
        }
    }
}

impl World {
    /// A write did not reach a member, or was not acknowledged for certain.
    pub(super) fn missed(&mut self, node: u32, peer: u32, key: &Bytes, version: Version) {
        let now = Instant(self.now);
        if self.lies.refuses_silently && peer == node {
            return;
        }
        if let Some(process) = self.nodes[node as usize].process.as_mut() {
            process.repair.handle_missed(peer as usize, key, version, now);
        }
    }

    /// A timer of repair's.
    pub(super) fn wake_repair(&mut self, node: u32, incarnation: u64, at: u64) {
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
        if process.incarnation == incarnation && process.repair_armed == at {
            process.repair_armed = u64::MAX;
            self.pump_repair(node);
        }
    }

    /// Carries out what repair wants done. To be called after every input.
    pub(super) fn pump_repair(&mut self, node: u32) {
        if !self.plan.repairs {
            return;
        }
        let (mut began, mut sent) = (false, false);
        loop {
            let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
            if process.repair_stopped {
                return;
            }
            let Some(action) = process.repair.poll(Instant(self.now)) else { break };
            began = true;
            sent |= self.carry_out(node, action);
        }
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
        // The mutant `repair-stops`: only a new connection makes it go on.
        process.repair_stopped = self.lies.repair_stops && began && !sent;
        if let Some(due) = process.repair.wake_at()
            && due.0 < process.repair_armed
        {
            let at = due.0.max(self.now + 1);
            process.repair_armed = at;
            let incarnation = process.incarnation;
            self.queue.push(at, Event::RepairDue { node, incarnation, at });
        }
    }

    /// Whether something left for a peer, or for the own disk.
    fn carry_out(&mut self, node: u32, action: Action) -> bool {
        let now = Instant(self.now);
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return false };
        match action {
            Action::LookUp { peer, look, keys } => {
                let walks = Walks(&process.store);
                let versions = keys.iter().map(|key| walks.version(key)).collect::<Result<Vec<_>, _>>().ok();
                process.repair.looked_up(peer, look, versions, now);
                false
            }
            // The mutant of this name: the walk never comes to anything.
            Action::Walk { .. } if self.lies.compares_nothing => false,
            Action::Walk { peer, look, range } => {
                let page = Walks(&process.store).walk(&range, ranges::PAGE_KEYS, ranges::PAGE_BYTES).ok();
                process.repair.walked(peer, look, page, now);
                false
            }
            Action::Ask { peer, call, question } => self.ask_to_compare(node, peer, call, &question),
            Action::Push { peer, call, key } => {
                let newest = process.store.newest(&key).ok().map(|newest| newest.stamped);
                let Some(stamped) = newest.filter(|stamped| stamped.version > Version::MIN) else {
                    process.repair.not_sent(call, now);
                    return false;
                };
                self.send_for_repair(node, peer, call, Request::LocalWrite { key, stamped })
            }
            Action::Fetch { peer, call, key, have } => {
                self.send_for_repair(node, peer, call, Request::LocalRead { key, have })
            }
            Action::Store { call, key, stamped } => {
                let write = Request::LocalWrite { key, stamped };
                if let Some(reply) = self.serve(node, write, Source::Local(call), Instant(u64::MAX)) {
                    self.handle_reply(node, node, call, reply);
                }
                true
            }
        }
    }

    fn send_for_repair(&mut self, node: u32, peer: usize, call: CallId, request: Request) -> bool {
        let transmit = Transmit {
            to: self.members.id(peer),
            call,
            deadline: Instant(self.now) + Duration::from_nanos(self.plan.op_timeout),
            request,
            may_wait: false,
            again: false,
        };
        let Ok(to) = u32::try_from(peer) else { return false };
        self.send_request(node, to, &transmit)
    }

    fn ask_to_compare(&mut self, node: u32, peer: usize, call: CallId, question: &Question) -> bool {
        let Ok(to) = u32::try_from(peer) else { return false };
        let Some((connection, server)) = self.lane(node, to) else {
            if let Some(process) = self.nodes[node as usize].process.as_mut() {
                process.repair.not_sent(call, Instant(self.now));
            }
            return false;
        };
        let mut out = BytesMut::new();
        put_frame(&mut out, |body| put_question(body, call, question));
        let label = || Label { kind: MessageKind::Compare, operation: None, text: question_text(question) };
        self.send_frame((node, to), false, (connection, server), out.freeze(), label);
        true
    }

    /// A question of a peer's repair; the answer goes back over its connection. `false` if it is damaged.
    pub(super) fn arrive_question(&mut self, from: u32, to: u32, route: (u64, u64), body: Bytes) -> bool {
        let Ok((call, question)) = get_question(body) else { return false };
        let state = &self.nodes[to as usize];
        let Some(process) = state.process.as_ref().filter(|process| process.incarnation == route.1) else {
            // The connection ended with the process that it was opened to.
            return true;
        };
        let answer = ranges::answer(&Walks(&process.store), &question, process.admission.is_admitted())
            .unwrap_or(Answer::Refused(Refusal::StoreFailed));
        let mut out = BytesMut::new();
        put_frame(&mut out, |body| put_answer(body, call, &answer));
        let label = || Label { kind: MessageKind::Reply, operation: None, text: answer_text(&answer) };
        self.send_frame((to, from), true, route, out.freeze(), label);
        true
    }

    /// The answer to a question; `false` if it is damaged.
    pub(super) fn arrive_answer(&mut self, node: u32, from: u32, body: Bytes) -> bool {
        let Ok((call, answer)) = get_answer(body) else { return false };
        let now = Instant(self.now);
        if let Some(process) = self.nodes[node as usize].process.as_mut() {
            process.repair.handle_answer(from as usize, call, answer, now);
        }
        self.pump_repair(node);
        true
    }
}

fn question_text(question: &Question) -> String {
    match question {
        Question::Digest { count, .. } => format!("a digest of {count} keys"),
        Question::Versions { listed, .. } => format!("the versions of {} keys", listed.len()),
    }
}

fn answer_text(answer: &Answer) -> String {
    match answer {
        Answer::Same(same) => if *same { "the same" } else { "not the same" }.into(),
        Answer::Versions { versions, others, .. } => {
            format!("{} versions and {} other keys", versions.len(), others.len())
        }
        Answer::Refused(refusal) => format!("refused: {refusal}"),
    }
}
