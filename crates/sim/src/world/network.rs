//! Messages between nodes. Every one is encoded, framed, carried as bytes and decoded with the production code.
//!
//! **What the network may do**: lose a message, deliver it twice, at any later time, in any order, damaged; cut any
//! pair in either direction. A request may reach a later process of its node, as nothing in the protocol forbids, unless
//! that runs on another disk: rule M1 counts batches. All else counts only if it comes over a connection that is up. TCP guarantees
//! that much to a node, and M1 builds on it.
//!
//! **What it never does**: make up a message (but see `What::Poison`), or damage one so that its checksum still fits.

use super::message::{Message, length, next_frame, reply_frame, request_frame};
use super::notes::Sent;
use super::running::About;
use super::{Event, World};
use crate::mutant::Lies;
use crate::plan::Point;
use crate::time::{MS, US};
use crate::trace::{Label, What};
use abd::wire::Received;
use abd::{AcceptedThere, CallId, Closed, Instant, NodeId, Reply, Request, Told, UpdateId};
use bytes::{Bytes, BytesMut};
use node::configuration::DirectoryId;
use node::hello::{LaneId, LaneKind};
use node::lanes::lane::LaneKey;
use node::lanes::outgoing::Patience;
use node::repair::is_repair;
use node::shard::ReplyTo;
use std::time::Duration;

/// What is patient waits for so long at most, in nanoseconds, until an event loop has seen to everything else that is ready.
const ROUND: u64 = 50 * US;
/// What is more patient waits for so long: from, to.
const LONG: (u64, u64) = (MS, 2 * MS);

/// Bytes on their way.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) message: u64,
    pub(crate) from: u32,
    pub(crate) to: u32,
    connection: u64,
    /// As whom its sender voted then.
    voter: DirectoryId,
    frame: Bytes,
}

/// A message that waits for a script to deliver it.
#[derive(Clone, Debug)]
pub struct Held {
    pub(crate) envelope: Envelope,
    /// What it is about.
    pub label: Label,
}

/// Which pairs are cut.
#[derive(Debug)]
pub(crate) struct Wires {
    nodes: u32,
    cuts: Vec<u32>,
}

impl Wires {
    pub(super) fn new(nodes: u32) -> Self {
        Self { nodes, cuts: vec![0; (nodes * nodes) as usize] }
    }

    /// Whether messages pass.
    pub(crate) fn open(&self, from: u32, to: u32) -> bool {
        self.cuts[(from * self.nodes + to) as usize] == 0
    }

    /// Cuts pairs, once more.
    pub(crate) fn cut(&mut self, pairs: &[(u32, u32)]) {
        for (from, to) in pairs {
            self.cuts[(from * self.nodes + to) as usize] += 1;
        }
    }

    /// Takes one cut back.
    pub(crate) fn mend(&mut self, pairs: &[(u32, u32)]) {
        for (from, to) in pairs {
            let cuts = &mut self.cuts[(from * self.nodes + to) as usize];
            *cuts = cuts.saturating_sub(1);
        }
    }

    pub(super) fn heal(&mut self) {
        self.cuts.fill(0);
    }
}

impl World {
    /// Sends what an event loop wants sent now, and has the rest wait.
    pub(super) fn send_what_waits(&mut self, node: u32) {
        while let Some((process, _)) = self.enter(node, About::Other)
            && let Some(key) = process.desk.shard.get_mut().poll_sender()
        {
            let (incarnation, patience) = (process.incarnation, process.desk.shard.get_mut().patience(key));
            let wait = match patience {
                _ if self.held.is_some() => 0,
                Some(Patience::Round) => self.rng.below(ROUND),
                Some(Patience::Long) => self.rng.between(LONG.0, LONG.1),
                Some(Patience::None) | None => 0,
            };
            if wait > 0 {
                self.queue.push(self.now + wait, Event::Flush { node, incarnation, key });
            } else if !self.flush(node, key) {
                return;
            }
        }
    }

    /// Sends what waits to go over a lane, if the peer reads. Whether the process lives on.
    pub(super) fn flush(&mut self, node: u32, key: LaneKey) -> bool {
        let to = key.peer.0 - 1;
        if !self.backlogs.open(node, to) {
            return true;
        }
        let mut pretended = Vec::new();
        let mut output = BytesMut::new();
        loop {
            // Until nothing waits: what is encoded at a time is bounded.
            let Some((process, now)) = self.enter(node, About::Other) else { return false };
            let Some(connection) = process.lanes.get(&key).copied() else { break };
            process.desk.shard.get_mut().take_output(key, &mut output, || now.instant);
            if output.is_empty() {
                break;
            }
            if !self.send_all((node, to), connection, &mut output, &mut pretended) {
                return false;
            }
        }
        for (call, reply) in pretended {
            let mut frame = BytesMut::from(&reply_frame(call, &reply)[..]);
            let taken = self.tell(node, About::Get, |shard, now| shard.handle_bytes(key, &mut frame, now));
            assert!(!matches!(taken, Some(Err(_))), "a reply is a frame");
        }
        self.nodes[node as usize].process.is_some()
    }

    /// Sends what was taken from a lane, frame by frame. Whether the process lives on.
    fn send_all(
        &mut self,
        (node, to): (u32, u32),
        connection: u64,
        output: &mut BytesMut,
        pretended: &mut Vec<(CallId, Reply)>,
    ) -> bool {
        let voter = self.nodes[node as usize].identity.voting();
        while !output.is_empty() {
            let frame = next_frame(output);
            let Some(message) = Message::of(&frame) else { unreachable!("a node sends whole frames") };
            let mut envelope = Envelope { message: 0, from: node, to, connection, voter, frame };
            match &message {
                Message::Request(received) if !is_repair(received.call) => {
                    let Received { call, request, .. } = received;
                    let is_write = matches!(request, Request::LocalWrite { .. } | Request::Accept { .. });
                    let sent = self.note_request(node, to, received);
                    if is_write && self.springs(node, Point::BeforeWrites) {
                        return false;
                    }
                    match sent {
                        Sent::Pretended(reply) => {
                            pretended.push((*call, reply));
                            continue;
                        }
                        Sent::As(request) => {
                            envelope.frame = request_frame(&Received { request, ..received.clone() });
                        }
                        Sent::AsItIs => {}
                    }
                    self.send(envelope, &message);
                    if is_write && self.springs(node, Point::BetweenWrites) {
                        return false;
                    }
                }
                _ => self.send(envelope, &message),
            }
        }
        true
    }

    fn send(&mut self, mut envelope: Envelope, what: &Message) {
        let (from, to) = (envelope.from, envelope.to);
        if !matches!(what, Message::Ping) {
            envelope.message = self.next_message;
            self.next_message += 1;
            self.stats.messages += 1;
            if self.trace.is_on() || self.held.is_some() {
                let asker = if matches!(what, Message::Reply(..)) { to } else { from };
                let label = what.label(what.call().and_then(|call| self.operation_of(asker, call)));
                let message = envelope.message;
                self.trace.record(self.now, || What::Sent { message, from, to, label: label.clone() });
                if let Some(held) = &mut self.held {
                    held.push(Held { envelope, label });
                    return;
                }
            }
        } else if self.held.is_some() {
            // Nobody has to say in a script that a node is there.
            return self.queue.push(self.now, Event::Arrive(envelope));
        }
        let message = envelope.message;
        let network = &self.plan.network;
        let (latency, stray_max) = (network.latency, network.stray_max);
        if self.rng.chance(network.loss) {
            return self.lost(message, "on the way");
        }
        let mut takes = self.rng.between(latency.0, latency.1);
        if !self.wires.open(from, to) {
            // Some is still in a buffer when the way is open again.
            if !self.rng.one_in(4) {
                return self.lost(message, "the way is cut");
            }
            takes += self.rng.magnitude(100 * MS, 10_000 * MS);
        }
        if self.rng.chance(network.stray) {
            takes += self.rng.magnitude(MS, stray_max);
        }
        takes += self.nodes[from as usize].slow_by + self.nodes[to as usize].slow_by;
        if self.rng.chance(network.duplicate) {
            let later = takes + self.rng.magnitude(1, stray_max);
            self.queue.push(self.now + later, Event::Arrive(envelope.clone()));
        }
        if self.rng.chance(network.corrupt) {
            let mut damaged = envelope.frame.to_vec();
            let at = self.rng.index(damaged.len());
            damaged[at] ^= 1 << self.rng.below(8);
            if self.rng.one_in(3) {
                damaged.truncate(at);
            }
            envelope.frame = damaged.into();
        }
        self.queue.push(self.now + takes, Event::Arrive(envelope));
    }

    fn lost(&mut self, message: u64, why: &'static str) {
        if message > 0 {
            self.trace.record(self.now, || What::Lost { message, why });
        }
    }

    fn operation_of(&self, node: u32, call: CallId) -> Option<usize> {
        let process = self.nodes[node as usize].process.as_ref()?;
        process.around().operation_of(call)
    }

    /// A message reaches its node, if somebody is there.
    pub(super) fn arrive(&mut self, envelope: Envelope) {
        let Envelope { message, from, to, connection, voter, frame } = envelope;
        if !self.wires.open(from, to) {
            return self.lost(message, "the way is cut");
        }
        if self.broken.contains(&connection) {
            return self.lost(message, "its connection broke");
        }
        if self.muted.contains(&(connection, from)) {
            return self.lost(message, "its connection is dead");
        }
        if self.nodes[to as usize].process.is_none() {
            return self.lost(message, "nobody is there");
        }
        let key = self.connections.get(&connection).and_then(|open| open.key(to));
        let read = Message::of(&frame);
        match (key, read) {
            (Some(key), Some(read)) if self.is_too_large(to, &read) => {
                self.lost(message, "it is too large");
                self.close_lane(to, key);
            }
            (Some(key), Some(read)) => {
                if message > 0 {
                    self.trace.record(self.now, || What::Arrived { message });
                }
                self.check_vote(to, key.peer, voter, &read);
                self.deliver(to, key, &frame, &read);
            }
            (Some(key), None) => {
                self.lost(message, "it is damaged");
                let mut input = BytesMut::from(&frame[..]);
                // Where the length is damaged, it is the frame behind it that does not fit.
                let is_whole = length(&frame) == frame.len();
                let take = |shard: &mut super::node::Loop, now| shard.handle_bytes(key, &mut input, now);
                let taken = if is_whole { self.tell(to, About::Other, take) } else { None };
                assert!(!matches!(taken, Some(Ok(()))), "damage is noticed");
                self.close_lane(to, key);
            }
            (None, Some(Message::Request(received))) if !self.nodes[to as usize].replaced => {
                self.trace.record(self.now, || What::Arrived { message });
                self.serve_stray(to, from, received);
                self.tell_lost(to, connection);
            }
            (None, Some(read @ Message::Reply(..)))
                if self.lies.mixes_runs
                    && let Some(key) = self.lanes_of(to, Some(from)).first().copied() =>
            {
                // The mutant `replies-to-another-run`.
                self.trace.record(self.now, || What::Arrived { message });
                self.deliver(to, key, &frame, &read);
            }
            (None, _) => {
                self.lost(message, "its connection is gone");
                // The machine says so (TCP: a reset).
                self.tell_lost(to, connection);
            }
        }
    }

    /// The mutant `large-ends-connection`: what a node's clients may not write its peers may not send it.
    fn is_too_large(&self, node: u32, read: &Message) -> bool {
        let limit = self.nodes[node as usize].own.limits.value;
        self.lies.limits_peers && read.value_bytes() as u64 > limit
    }

    fn deliver(&mut self, node: u32, key: LaneKey, frame: &Bytes, read: &Message) {
        let Some(process) = self.nodes[node as usize].process.as_ref() else { return };
        let mut input = BytesMut::from(&frame[..]);
        let mut about = About::Other;
        if let Message::Reply(call, _) = read {
            about = process.around().about(*call);
            let operations = process.around().operations.borrow();
            if let Some(running) = operations.get(&call.operation)
                && self.lies.counts_late
                && call.phase < running.phase
            {
                // "It has answered, so it has it."
                let call = CallId { phase: running.phase, ..*call };
                input = BytesMut::from(&reply_frame(call, &Reply::Written { previous: None })[..]);
            }
        }
        if let Message::Reply(call, Reply::Closed(closed)) = read
            && let Some(closed) = self.misread(closed)
        {
            input = BytesMut::from(&reply_frame(*call, &Reply::Closed(Box::new(closed)))[..]);
        }
        if let Some(misread) = self.misread_in_changes(node, frame, read) {
            input = BytesMut::from(&misread[..]);
        }
        self.note_stored(node, key.peer, read);
        self.show_below(node, read);
        let taken = self.tell(node, about, |shard, now| shard.handle_bytes(key, &mut input, now));
        self.show_nothing(node);
        if let Some(Err(_)) = taken {
            self.close_lane(node, key);
        }
    }

    /// Rule M1: a reply that a coordinator counts comes from a pair that its configuration names.
    fn check_vote(&mut self, node: u32, from: NodeId, voter: DirectoryId, read: &Message) {
        let Message::Reply(call, reply) = read else { return };
        if matches!(reply, Reply::Refused(_) | Reply::Stale { .. }) {
            return;
        }
        let Some(process) = self.nodes[node as usize].process.as_ref() else { return };
        let around = process.around();
        let (operations, folds) = (around.operations.borrow(), around.folds.borrow());
        let running = operations.get(&call.operation).or_else(|| folds.get(&call.operation));
        let epoch = running.filter(|running| running.phase == call.phase).map(|running| running.epoch);
        let voted = epoch.map_or(Ok(()), |epoch| self.configurations.voted(epoch, from, voter));
        drop((operations, folds));
        self.convict(voted);
    }

    /// The mutants `refusal-is-evidence`, `leaves-its-base` and `hides-who-was-told`: what a coordinator makes of a refusal.
    fn misread(&self, closed: &Closed) -> Option<Closed> {
        let nobody = UpdateId { round: u64::MAX, node: 0, boot: 0 };
        match self.lies {
            Lies { refusal_is_evidence: true, .. } => {
                Some(Closed { accepted: AcceptedThere::Nothing, boot: 0, winner: None, ..closed.clone() })
            }
            Lies { leaves_its_base: true, .. } if closed.winner.is_none() => {
                Some(Closed { winner: Some(nobody), ..closed.clone() })
            }
            Lies { hides_who_was_told: true, .. } => Some(Closed { told: Told::NOBODY, ..closed.clone() }),
            _ => None,
        }
    }

    /// The mutant `serves-closed-base`: to whoever proposes something a replica seems to have no newer version than the base.
    fn show_below(&self, node: u32, read: &Message) {
        if let Message::Request(Received { request: Request::Accept { key, base, .. }, .. }) = read
            && self.lies.serves_closed
            && let Some(process) = &self.nodes[node as usize].process
        {
            process.around().store.shown.replace(Some((key.clone(), base.version())));
        }
    }

    fn show_nothing(&self, node: u32) {
        if let Some(process) = &self.nodes[node as usize].process {
            process.around().store.shown.take();
        }
    }

    /// A request over a connection that is gone; the reply goes nowhere.
    pub(super) fn serve_stray(&mut self, node: u32, from: u32, received: Received) {
        let Received { call, remaining_ms, scope, request } = received;
        let id = LaneId { kind: LaneKind::Small, pair: 0 };
        let lane = Some(LaneKey { peer: NodeId(from + 1), id, serial: u64::MAX });
        let deadline = Instant(self.now) + Duration::from_millis(remaining_ms.into());
        if let Some(process) = self.nodes[node as usize].process.as_ref().filter(|_| self.lies.serves_closed)
            && let Request::Accept { key, base, .. } = &request
        {
            process.around().store.shown.replace(Some((key.clone(), base.version())));
        }
        self.tell(node, About::Other, |shard, _| {
            shard.serve(scope, request, ReplyTo { lane, call, epoch: scope.epoch }, deadline)
        });
    }
}
