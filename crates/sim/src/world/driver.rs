//! The driver of a node: inputs into the coordinator and the replica, their outputs out again. It does what the
//! node's own event loop does, in the same order, and it is where the mutants tell their lies.

use super::view::{Memory, View};
use super::{Event, Source, World};
use crate::plan::Point;
use crate::trace::{MessageKind, What};
use abd::{CallId, Instant, Reaction, Reply, Request, TimestampIssuer, Transmit, Version};
use bytes::Bytes;
use node::repair::is_repair;

/// Timers fire at multiples of this.
const TIMER: u64 = crate::time::MS;

impl World {
    /// A coordinator's timer.
    pub(super) fn wake(&mut self, node: u32, incarnation: u64, at: u64) {
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
        if process.incarnation != incarnation || process.armed != at {
            return;
        }
        process.armed = u64::MAX;
        let now = self.now_at(node, false);
        if let Some(process) = self.nodes[node as usize].process.as_mut() {
            process.coordinator.handle_timeout(now);
        }
        self.pump(node);
    }

    /// A reply for this node's coordinator.
    pub(super) fn handle_reply(&mut self, node: u32, from: u32, mut call: CallId, mut reply: Reply) {
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
        if is_repair(call) {
            return process.repair.handle_reply(from as usize, call, reply, Instant(self.now));
        }
        let from = self.members.id(from as usize);
        let mut is_get = false;
        if let Some(running) = process.running.get(&call.operation) {
            is_get = running.is_get;
            if self.lies.counts_late && call.phase < running.phase {
                // "It has answered, so it has it."
                call.phase = running.phase;
                reply = Reply::Written { previous: None };
            }
        }
        self.forget_issued(node);
        let now = self.now_at(node, is_get);
        if let Some(process) = self.nodes[node as usize].process.as_mut() {
            process.coordinator.handle_reply(from, call, reply, now, &process.issuer);
        }
    }

    /// The mutant `no-last-issued`: an issuer that has never issued anything.
    pub(super) fn forget_issued(&mut self, node: u32) {
        if self.lies.forgets_issued {
            let boot = self.nodes[node as usize].identity.boot;
            if let Some(process) = self.nodes[node as usize].process.as_mut() {
                process.issuer = TimestampIssuer::new(self.members.id(node as usize), boot);
            }
        }
    }

    /// Carries out everything that a coordinator wants done. To be called after every input.
    pub(super) fn pump(&mut self, node: u32) {
        loop {
            let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
            if let Some(transmit) = process.coordinator.poll_transmit() {
                self.transmit(node, transmit);
            } else if let Some((id, outcome)) = process.coordinator.poll_outcome() {
                let ended = process.running.remove(&id.0);
                if self.lies.cancels_batches {
                    self.cancel_batches(node, id.0);
                }
                if let Some(ended) = ended {
                    self.answer(ended.operation, outcome);
                }
            } else {
                break;
            }
        }
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
        if let Some(due) = process.coordinator.poll_timeout()
            && due.0 < process.armed
        {
            // As coarse as the node's timers.
            let at = due.0.max(self.now + 1).next_multiple_of(TIMER);
            process.armed = at;
            let incarnation = process.incarnation;
            self.queue.push(at, Event::Wake { node, incarnation, at });
        }
        self.pump_repair(node);
    }

    fn transmit(&mut self, node: u32, mut transmit: Transmit) {
        let Some(to) = self.members.index_of(transmit.to).and_then(|index| u32::try_from(index).ok()) else {
            return;
        };
        if self.note_call(node, to, &mut transmit) {
            // The mutant `no-write-back`: nothing is sent.
            return self.handle_reply(node, to, transmit.call, Reply::Written { previous: None });
        }
        if let Request::LocalWrite { key, stamped } = &transmit.request {
            let unique = self.unique.sent(key, stamped);
            self.convict(unique);
            let replaced = self.nodes[node as usize].replaced;
            self.convict(crate::checks::unique::issued_by(node, replaced));
        }
        let is_write = !transmit.request.is_read();
        if is_write && self.springs(node, Point::BeforeWrites) {
            return;
        }
        if to == node {
            // The own replica is a call, not a message.
            let write = match &transmit.request {
                Request::LocalWrite { key, stamped } => Some((key.clone(), stamped.version)),
                _ => None,
            };
            match self.serve(node, transmit.request, Source::Local(transmit.call), transmit.deadline) {
                Some(reply) => {
                    if let (Some((key, version)), Reply::Refused(_)) = (write, &reply) {
                        self.missed(node, node, &key, version);
                    }
                    self.handle_reply(node, node, transmit.call, reply);
                }
                None if !is_write => self.note_local_delay(node, transmit.call),
                None => {}
            }
        } else {
            self.send_request(node, to, &transmit);
            if is_write {
                self.springs(node, Point::BetweenWrites);
            }
        }
    }

    /// Looks at what an operation sends; whether the mutant `no-write-back` answers it instead.
    fn note_call(&mut self, node: u32, to: u32, transmit: &mut Transmit) -> bool {
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return false };
        let Some(running) = process.running.get_mut(&transmit.call.operation) else { return false };
        if transmit.call.phase != running.phase || running.called.is_empty() {
            running.called.clear();
            running.phase = transmit.call.phase;
            let (operation, is_get) = (running.operation, running.is_get);
            let name = match (&transmit.request, is_get) {
                (Request::LocalRead { .. }, _) => "reads",
                (Request::LocalReadTimestamp { .. }, _) => "asks for timestamps",
                (Request::LocalWrite { .. }, true) => "writes back",
                (Request::LocalWrite { .. }, false) => "writes",
            };
            self.trace.record(self.now, || What::Phase { node, operation, name });
        }
        let again = !running.called.insert(to);
        if let Request::LocalWrite { stamped, .. } = &mut transmit.request {
            if running.is_get {
                return self.lies.no_write_back;
            }
            self.records[running.operation].version.get_or_insert(stamped.version);
            if again
                && self.lies.repicks
                && let Ok(timestamp) = process.issuer.issue(stamped.version.time() + 1)
            {
                stamped.version = Version::of_write(timestamp);
            }
        }
        false
    }

    /// A question to the own replica waits for its disk. If that is slow, the others are asked at once.
    fn note_local_delay(&mut self, node: u32, call: CallId) {
        let now = self.now_at(node, false);
        if let Some(process) = self.nodes[node as usize].process.as_mut()
            && process.hand_over.is_slow(now.instant)
        {
            process.coordinator.handle_local_delay(call, now);
        }
    }

    /// Answers one request of the Replica service, whose operation ends at `deadline`; or queues it for the disk.
    pub(super) fn serve(
        &mut self,
        node: u32,
        request: Request,
        source: Source,
        deadline: Instant,
    ) -> Option<Reply> {
        if request.is_read() && self.plan.lookups.is_some() && !self.is_in_memory(node, &request) {
            return self.look_up(node, request, source, deadline);
        }
        self.react(node, request, source)
    }

    /// Whether a question needs no disk.
    fn is_in_memory(&self, node: u32, question: &Request) -> bool {
        let state = &self.nodes[node as usize];
        let Some(process) = &state.process else { return true };
        let view = View { store: &process.store, early: &[], early_is_durable: false };
        let standing = process.admission.standing(true);
        process.replica.try_handle(&Memory(&view), question.clone(), standing, 0).is_ok()
    }

    /// Answers one request of the Replica service with all that the store has, or queues it for the disk.
    pub(super) fn react(&mut self, node: u32, request: Request, source: Source) -> Option<Reply> {
        let state = self.nodes.get_mut(node as usize)?;
        let latest = state
            .clocks
            .interval(self.now, &self.plan.clocks)
            .filter(|_| self.plan.mode == abd::TimestampMode::TrueTime)
            .map_or_else(|| state.clocks.wall(self.now), |interval| interval.latest);
        let process = state.process.as_ref()?;
        let standing = process.admission.standing(process.rounds.has_room());
        let shows_early = self.plan.early_reads || self.lies.counts_unsynced;
        let early = match &process.job {
            Some(super::Job::Commit { batch, .. }) if shows_early => &batch.writes.0[..],
            _ => &[],
        };
        let view = View { store: &process.store, early, early_is_durable: self.lies.counts_unsynced };
        let key = request.key().clone();
        let wanted = match &request {
            Request::LocalWrite { stamped, .. } => stamped.version,
            _ => Version::MIN,
        };
        match process.replica.handle(&view, request, standing, latest) {
            Reaction::Reply(reply) => {
                self.note_reply(node, &key, wanted, &reply);
                Some(reply)
            }
            Reaction::Commit { key, stamped, reply } => self.enqueue(node, (key, stamped), reply, source),
        }
    }

    /// Holds the node to what an immediate reply says.
    fn note_reply(&mut self, node: u32, key: &Bytes, wanted: Version, reply: &Reply) {
        if self.nodes[node as usize].replaced {
            return;
        }
        match reply {
            Reply::Read { version, durable, .. } => {
                let monotone = self.monotone.reports(node, key, *version);
                self.convict(monotone);
                if *durable {
                    self.note_promise(node, key, *version);
                }
            }
            Reply::Timestamp { version, .. } => {
                let monotone = self.monotone.reports(node, key, *version);
                self.convict(monotone);
            }
            Reply::Written { .. } => self.note_promise(node, key, wanted),
            Reply::Refused(_) => {}
        }
    }

    /// The node says that it durably holds this version or a newer one.
    pub(super) fn note_promise(&mut self, node: u32, key: &Bytes, version: Version) {
        if !self.nodes[node as usize].replaced {
            self.monotone.promises(node, key, version);
        }
    }
}

/// The kind of a request, for the trace.
pub(super) fn kind_of(request: &Request) -> MessageKind {
    match request {
        Request::LocalRead { .. } => MessageKind::Read,
        Request::LocalReadTimestamp { .. } => MessageKind::Query,
        Request::LocalWrite { .. } => MessageKind::Write,
    }
}
