//! Messages between nodes. Every one is encoded, framed, carried as bytes and decoded with the production code.
//!
//! **What the network may do**: lose a message, deliver it twice, at any later time, in any order, damaged; cut any
//! pair in either direction. A request may reach a later process of its node, as nothing in the protocol forbids. A
//! reply counts only if it comes over the connection that the request went out on, from the process that the
//! connection was opened to: TCP guarantees that much to a node, and rule M1 builds on it.
//!
//! **What it never does**: make up a message (but see `What::Poison`), or damage one so that its checksum still fits.

use super::driver::kind_of;
use super::{Event, Source, World};
use crate::time::MS;
use crate::trace::{Label, MessageKind, What};
use abd::wire::{get_reply, get_request, put_frame, put_reply, put_request, take_frame};
use abd::{Reply, Request, Transmit};
use bytes::{Bytes, BytesMut};
use node::repair::is_repair;
use node::repair::message::{is_answer, is_question};
use std::time::Duration;

/// Frames are small here.
const FRAME_LIMIT: usize = 1 << 20;

/// Bytes on their way.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) message: u64,
    pub(crate) from: u32,
    pub(crate) to: u32,
    is_reply: bool,
    /// The connection, and the process that it was opened to.
    connection: u64,
    server: u64,
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
    /// The connection that a request takes now: none while the peer is away, or while what waits for it is too much.
    pub(super) fn lane(&self, node: u32, to: u32) -> Option<(u64, u64)> {
        let up = self.nodes[node as usize].process.as_ref()?.links[to as usize].up;
        up.filter(|_| self.backlogs.open(node, to))
    }

    /// A request to a peer, of the coordinator or of repair; dropped if it cannot take a connection. Whether it left.
    pub(super) fn send_request(&mut self, node: u32, to: u32, transmit: &Transmit) -> bool {
        let lane = self.lane(node, to);
        let now = abd::Instant(self.now);
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return false };
        let link = &mut process.links[to as usize];
        let is_repair = is_repair(transmit.call);
        let Some((connection, server)) = lane else {
            match &transmit.request {
                _ if is_repair => process.repair.not_sent(transmit.call, now),
                Request::LocalWrite { key, stamped } => {
                    let (key, version) = (key.clone(), stamped.version);
                    self.missed(node, to, &key, version);
                }
                _ if link.up.is_some() => process.coordinator.handle_not_sent(transmit.to, transmit.call),
                _ => {}
            }
            return false;
        };
        if let Request::LocalWrite { key, stamped } = &transmit.request
            && !is_repair
        {
            for (key, version) in link.unacknowledged.sent(transmit.call, key, stamped.version, now) {
                process.repair.handle_missed(to as usize, &key, version, now);
            }
        }
        let operation = process.running.get(&transmit.call.operation).map(|running| running.operation);
        let remaining = transmit.deadline.since(abd::Instant(self.now)).as_millis();
        let remaining = u32::try_from(remaining).unwrap_or(u32::MAX);
        let mut out = BytesMut::new();
        put_frame(&mut out, |body| put_request(body, transmit.call, remaining, &transmit.request));
        let kind = kind_of(&transmit.request);
        let label = || Label { kind, operation, text: request_text(&transmit.request) };
        self.send_frame((node, to), false, (connection, server), out.freeze(), label);
        true
    }

    /// A frame on a connection, which was opened to a process of the one who answers.
    pub(super) fn send_frame(
        &mut self,
        (from, to): (u32, u32),
        is_reply: bool,
        (connection, server): (u64, u64),
        frame: Bytes,
        label: impl Fn() -> Label,
    ) {
        self.send(Envelope { message: 0, from, to, is_reply, connection, server, frame }, label);
    }

    /// A replica's reply to a peer.
    pub(super) fn send_reply(&mut self, node: u32, source: Source, reply: &Reply) {
        let Source::Peer { node: to, connection, server, call } = source else { return };
        let Some(process) = self.nodes[node as usize].process.as_ref() else { return };
        if process.incarnation != server {
            // The connection ended with the process that it was opened to.
            return;
        }
        let mut out = BytesMut::new();
        put_frame(&mut out, |body| put_reply(body, call, reply));
        let envelope =
            Envelope { message: 0, from: node, to, is_reply: true, connection, server, frame: out.freeze() };
        let asker = self.nodes[to as usize].process.as_ref();
        let operation = asker.and_then(|process| process.running.get(&call.operation)).map(|r| r.operation);
        self.send(envelope, || Label { kind: MessageKind::Reply, operation, text: reply_text(reply) });
    }

    fn send(&mut self, mut envelope: Envelope, label: impl Fn() -> Label) {
        envelope.message = self.next_message;
        self.next_message += 1;
        self.stats.messages += 1;
        let (message, from, to) = (envelope.message, envelope.from, envelope.to);
        self.trace.record(self.now, || What::Sent { message, from, to, label: label() });
        if let Some(held) = &mut self.held {
            held.push(Held { envelope, label: label() });
            return;
        }
        let network = &self.plan.network;
        let (latency, stray_max) = (network.latency, network.stray_max);
        if self.rng.chance(network.loss) {
            return self.trace.record(self.now, || What::Lost { message, why: "on the way" });
        }
        let mut takes = self.rng.between(latency.0, latency.1);
        if !self.wires.open(from, to) {
            // Some is still in a buffer when the way is open again.
            if !self.rng.one_in(4) {
                return self.trace.record(self.now, || What::Lost { message, why: "the way is cut" });
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

    /// A message reaches its node, if somebody is there.
    pub(super) fn arrive(&mut self, envelope: Envelope) {
        let (message, to) = (envelope.message, envelope.to);
        let lost = |why| move || What::Lost { message, why };
        if !self.wires.open(envelope.from, to) {
            return self.trace.record(self.now, lost("the way is cut"));
        }
        if self.broken.contains(&envelope.connection) {
            return self.trace.record(self.now, lost("its connection broke"));
        }
        if self.nodes[to as usize].process.is_none() {
            return self.trace.record(self.now, lost("nobody is there"));
        }
        let mut input = BytesMut::from(&envelope.frame[..]);
        let Ok(Some(body)) = take_frame(&mut input, FRAME_LIMIT) else {
            self.trace.record(self.now, lost("it is damaged"));
            return self.close(&envelope);
        };
        if envelope.is_reply {
            self.arrive_reply(&envelope, body);
        } else {
            self.arrive_request(&envelope, body);
        }
    }

    fn arrive_reply(&mut self, envelope: &Envelope, body: Bytes) {
        let (message, from, to) = (envelope.message, envelope.from, envelope.to);
        let Some(process) = self.nodes[to as usize].process.as_mut() else { return };
        let link = &mut process.links[from as usize];
        if link.up != Some((envelope.connection, envelope.server)) {
            let why = "its connection is gone";
            return self.trace.record(self.now, || What::Lost { message, why });
        }
        link.last_heard = self.now;
        if is_answer(&body) {
            self.trace.record(self.now, || What::Arrived { message });
            if !self.arrive_answer(to, from, body) {
                self.close(envelope);
            }
            return;
        }
        let Ok((call, reply)) = get_reply(body) else { return self.close(envelope) };
        self.trace.record(self.now, || What::Arrived { message });
        let has_written = matches!(reply, Reply::Written { .. });
        if let Some((key, version)) = link.unacknowledged.answered(call, has_written) {
            self.missed(to, from, &key, version);
        }
        self.handle_reply(to, from, call, reply);
        self.pump(to);
    }

    fn arrive_request(&mut self, envelope: &Envelope, body: Bytes) {
        let message = envelope.message;
        if is_question(&body) {
            self.trace.record(self.now, || What::Arrived { message });
            let route = (envelope.connection, envelope.server);
            if !self.arrive_question(envelope.from, envelope.to, route, body) {
                self.close(envelope);
            }
            return;
        }
        let Ok((call, remaining, request)) = get_request(body) else { return self.close(envelope) };
        self.trace.record(self.now, || What::Arrived { message });
        let source = Source::Peer {
            node: envelope.from,
            connection: envelope.connection,
            server: envelope.server,
            call,
        };
        let deadline = abd::Instant(self.now) + Duration::from_millis(remaining.into());
        if let Some(reply) = self.serve(envelope.to, request, source, deadline) {
            self.send_reply(envelope.to, source, &reply);
        }
    }

    /// Bytes from somebody who is not a member; the reply goes nowhere.
    pub(super) fn deliver_foreign(&mut self, to: u32, frame: BytesMut) {
        let mut input = frame;
        let Ok(Some(body)) = take_frame(&mut input, FRAME_LIMIT) else { return };
        let Ok((call, _, request)) = get_request(body) else { return };
        let source = Source::Peer { node: to, connection: 0, server: 0, call };
        self.serve(to, request, source, abd::Instant(u64::MAX));
    }

    /// Whoever gets bytes that are no message closes the connection.
    fn close(&mut self, envelope: &Envelope) {
        let (owner, peer) =
            if envelope.is_reply { (envelope.to, envelope.from) } else { (envelope.from, envelope.to) };
        let event = Event::LinkLost { node: owner, peer, connection: envelope.connection };
        self.queue.push(self.now + self.plan.network.latency.0, event);
    }
}

fn request_text(request: &Request) -> String {
    let key = request.key().escape_ascii();
    match request {
        Request::LocalRead { .. } | Request::LocalReadTimestamp { .. } => format!("{key}"),
        Request::LocalWrite { stamped, .. } => {
            format!("{key}={} {}", content(&stamped.content), stamped.version)
        }
    }
}

fn reply_text(reply: &Reply) -> String {
    match reply {
        Reply::Read { version, content: found, durable } => {
            let found = found.as_ref().map_or_else(|| "the same".into(), content);
            format!("{found} {version}{}", if *durable { "" } else { ", not durable" })
        }
        Reply::Timestamp { version, writable, .. } => {
            format!("{version}{}", if *writable { "" } else { ", disk full" })
        }
        Reply::Written { .. } => "written".into(),
        Reply::Refused(refusal) => format!("refused: {refusal}"),
    }
}

fn content(content: &abd::Content) -> String {
    content.value().map_or_else(|| "tombstone".into(), |value| value.escape_ascii().to_string())
}
