//! What this world notes of what coordinators send: whose it is, and what may come of it. The checks are told, and some mutants lie
//! here.

use super::World;
use super::message::Message;
use super::running::About;
use crate::history::ClientAnswer;
use crate::plan::OperationKind;
use crate::time::MS;
use crate::trace::What;
use abd::wire::Received;
use abd::{Content, NodeId, Reply, Request, StampedValue, UpdateId, Version};
use bytes::Bytes;

/// What a coordinator proposes leaves its node within this, in nanoseconds.
const PROPOSED_WITHIN: u64 = 2000 * MS;

const WRITTEN: Reply = Reply::Written { previous: None };

/// What becomes of a request.
pub(super) enum Sent {
    AsItIs,
    /// The mutant `repick` changes it.
    As(Request),
    /// The mutant `no-write-back` and the like take it for answered so.
    Pretended(Reply),
}

impl World {
    /// Looks at what an operation sends.
    pub(super) fn note_request(&mut self, node: u32, to: u32, received: &Received) -> Sent {
        let Received { call, scope, request, .. } = received;
        let call = *call;
        let lies = self.lies;
        let Some(process) = self.nodes[node as usize].process.as_ref() else { return Sent::AsItIs };
        let around = process.around();
        around.note_fold(call, request.key());
        let (mut operations, mut folds) = (around.operations.borrow_mut(), around.folds.borrow_mut());
        let running = operations.get_mut(&call.operation).or_else(|| folds.get_mut(&call.operation));
        let Some(running) = running else {
            drop((operations, folds));
            if let Request::LocalWrite { key, stamped } = request {
                // Of a fold whose operations have ended.
                self.note_write(node, key, stamped);
            }
            return Sent::AsItIs;
        };
        if call.phase != running.phase || running.called.is_empty() {
            running.called.clear();
            running.phase = call.phase;
            running.epoch = scope.epoch;
            let (operation, about) = (running.operation, running.about);
            let name = match (request, about) {
                (Request::LocalRead { .. }, _) => "reads",
                (Request::LocalReadTimestamp { .. }, _) => "asks for timestamps",
                (Request::LocalWrite { .. }, About::Get) => "writes back",
                (Request::LocalWrite { .. }, _) => "writes",
                (Request::Prepare { .. }, _) => "prepares",
                (Request::Accept { .. }, _) => "proposes",
                (Request::Adopt { .. }, _) => unreachable!("a coordinator asks nobody to adopt anything"),
            };
            self.trace.record(self.now, || What::Phase { node, operation, name });
        }
        let again = running.called.contains(&to);
        running.called.push(to);
        if let Request::LocalWrite { stamped, .. } = request {
            running.store(stamped.version);
        }
        let pretended = self.pretended(process.desk.shard.borrow().configuration(), running, to, received);
        if let Some(reply) = pretended {
            return Sent::Pretended(reply);
        }
        if let Request::Accept { key, proposal, .. } = request {
            drop((operations, folds));
            if around.takes_for_accepted(key, proposal) {
                return Sent::Pretended(Reply::Accepted);
            }
            self.note_proposal(node, key, proposal.update, Some(&proposal.content));
            return Sent::AsItIs;
        }
        let Request::LocalWrite { key, stamped } = request else { return Sent::AsItIs };
        let (operation, about) = (running.operation, running.about);
        drop((operations, folds));
        if around.takes_for_published(key, stamped) {
            return Sent::Pretended(WRITTEN);
        }
        if about == About::Get && lies.no_write_back || about == About::Update && lies.answers_unpublished {
            return Sent::Pretended(WRITTEN);
        }
        let mut stamped = stamped.clone();
        let drops = lies.drops_update && about == About::Get && stamped.update != UpdateId::NONE;
        if drops {
            stamped.update = UpdateId::NONE;
        }
        let repicked = again && lies.repicks && about == About::Other;
        if let Some(timestamp) =
            repicked.then(|| around.issuer.borrow().issue(stamped.version.time() + 1).ok()).flatten()
        {
            stamped.version = Version::of_write(timestamp);
        }
        if about == About::Other {
            self.records[operation].version.get_or_insert(stamped.version);
        }
        self.note_write(node, key, &stamped);
        if repicked || drops {
            Sent::As(Request::LocalWrite { key: key.clone(), stamped })
        } else {
            Sent::AsItIs
        }
    }

    /// A member has acknowledged what an operation stores.
    pub(super) fn note_stored(&self, node: u32, from: NodeId, read: &Message) {
        let Message::Reply(call, Reply::Written { .. }) = read else { return };
        let Some(process) = self.nodes[node as usize].process.as_ref() else { return };
        let around = process.around();
        let (mut operations, mut folds) = (around.operations.borrow_mut(), around.folds.borrow_mut());
        let running = operations.get_mut(&call.operation).or_else(|| folds.get_mut(&call.operation));
        if let Some(running) = running.filter(|running| running.phase == call.phase) {
            running.stored.push((running.epoch, from.0 - 1));
        }
    }

    /// A coordinator proposes something for a key: from now on what its clients have asked for may take effect.
    pub(super) fn note_proposal(
        &mut self,
        node: u32,
        key: &Bytes,
        update: UpdateId,
        content: Option<&Content>,
    ) {
        let Some(process) = self.nodes[node as usize].process.as_ref() else { return };
        let mut early = Vec::new();
        for running in process.around().operations.borrow().values() {
            if running.about != About::Update || running.key != key {
                continue;
            }
            let record = &mut self.records[running.operation];
            if !record.proposals.contains(&update) {
                record.proposals.push(update);
            }
            let is_there = |value: &Bytes| value.windows(record.value.len()).any(|part| part == record.value);
            if record.kind == OperationKind::SetIfAbsent
                && !content.and_then(Content::value).is_none_or(is_there)
            {
                early.push(running.operation);
            }
        }
        // Its client may be gone, or the answer lost, before what it has proposed leaves the node. Those that are named here in vain
        // are merely not left out of the history.
        let since = self.now.saturating_sub(PROPOSED_WITHIN);
        for record in &mut self.records {
            let is_unknown = matches!(record.answer, ClientAnswer::Unknown(_)) && record.returned.0 >= since;
            let is_its = record.node == node && record.key == key && record.kind.is_update();
            if is_unknown && is_its && !record.proposals.contains(&update) {
                record.proposals.push(update);
            }
        }
        if self.lies.answers_conditions {
            for operation in early {
                self.end(operation, ClientAnswer::Read(None));
            }
        }
    }

    /// A coordinator gives a write to a replica.
    pub(super) fn note_write(&mut self, node: u32, key: &Bytes, stamped: &StampedValue) {
        let unique = self.unique.sent(key, stamped);
        self.convict(unique);
        let was_chosen = self.chosen.published(key, stamped);
        self.convict(was_chosen);
        let once = self.once.exists(key, stamped);
        self.convict(once);
        self.expiries.exists(key, stamped, self.moment);
        let replaced = self.nodes[node as usize].replaced;
        self.convict(crate::checks::unique::issued_by(node, replaced));
    }
}
