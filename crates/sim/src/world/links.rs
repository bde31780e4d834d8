//! Connections: each node keeps one up to each peer, and both look at who is there (rule M1).
//!
//! The handshake is one event here, at the time when it would be complete.

use super::{Event, World};
use crate::time::{MS, S};
use crate::trace::What;
use ::node::peer::dialling::{Dialling, Redial};
use abd::{Instant, NodeId};
use std::time::Duration;

/// As in the node: a link that was silent for this long is given up.
const SILENCE_LIMIT: u64 = 5 * S;

/// Each node dials for its own requests here, so each is the one that dials at once.
pub(super) fn new_dialling(now: Instant) -> Dialling {
    Dialling::new(NodeId(1), NodeId(2), now)
}

impl World {
    /// A process begins to connect to everybody.
    pub(super) fn connect_all(&mut self, node: u32, incarnation: u64) {
        for peer in (0..self.plan.nodes).filter(|peer| *peer != node) {
            if self.held.is_some() {
                // In a script nobody waits for connections.
                self.connect(node, peer, incarnation);
                let back = self.nodes[peer as usize].process.as_ref().map(|process| process.incarnation);
                if let Some(incarnation) = back {
                    self.connect(peer, node, incarnation);
                }
            } else {
                let takes = self.rng.between(MS, 5 * MS);
                self.queue.push(self.now + takes, Event::Connect { node, peer, incarnation });
            }
        }
    }

    /// An attempt to connect comes to its end.
    pub(super) fn connect(&mut self, node: u32, peer: u32, incarnation: u64) {
        let is_current =
            |state: &super::Node| state.process.as_ref().map(|p| p.incarnation) == Some(incarnation);
        if !is_current(&self.nodes[node as usize]) {
            return;
        }
        let reachable = self.wires.open(node, peer) && self.wires.open(peer, node);
        let state = &self.nodes[peer as usize];
        let server = state.process.as_ref().filter(|_| reachable && !state.paused).map(|p| p.incarnation);
        let Some(server) = server else { return self.connect_failed(node, peer, incarnation) };
        if !self.greet(node, peer) {
            return self.connect_failed(node, peer, incarnation);
        }
        let connection = self.next_connection;
        self.next_connection += 1;
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
        let link = &mut process.links[peer as usize];
        if link.up.is_some() {
            return;
        }
        link.up = Some((connection, server));
        link.last_heard = self.now;
        self.trace.record(self.now, || What::Link { node, peer, up: true });
        process.coordinator.handle_peer_up(self.members.id(peer as usize));
        process.repair.handle_peer_up(peer as usize, Instant(self.now));
        process.repair_stopped = false;
        self.pump(node);
    }

    fn connect_failed(&mut self, node: u32, peer: u32, incarnation: u64) {
        let now = Instant(self.now);
        if let Some(process) = self.nodes[node as usize].process.as_mut() {
            process.links[peer as usize].dialling.handle_failed(now);
        }
        self.connect_later(node, peer, incarnation);
    }

    fn connect_later(&mut self, node: u32, peer: u32, incarnation: u64) {
        if self.held.is_some() {
            return;
        }
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
        let link = &mut process.links[peer as usize];
        let now = Instant(self.now);
        let at = match link.dialling.poll(true, now) {
            Redial::At(at) => at,
            Redial::Now => now,
        };
        self.queue.push(at.0, Event::Connect { node, peer, incarnation });
    }

    /// A node learns that a connection is gone.
    pub(super) fn lose_link(&mut self, node: u32, peer: u32, connection: u64) {
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
        let link = &mut process.links[peer as usize];
        if link.up.is_none_or(|(number, _)| number != connection) {
            return;
        }
        link.up = None;
        link.dialling.handle_ended(Instant(self.now));
        let undelivered = link.unacknowledged.take_all();
        process.repair.handle_peer_down(peer as usize);
        let incarnation = process.incarnation;
        process.coordinator.handle_peer_down(self.members.id(peer as usize));
        self.trace.record(self.now, || What::Link { node, peer, up: false });
        if !self.lies.forgets_undelivered {
            for (key, version) in undelivered {
                self.missed(node, peer, &key, version);
            }
        }
        self.pump(node);
        self.connect_later(node, peer, incarnation);
    }

    /// Everybody who is connected to a node learns that this process of it is gone, as far as the way is open.
    pub(crate) fn reset_links_to(&mut self, node: u32) {
        for owner in 0..self.plan.nodes {
            let up = self.nodes[owner as usize].process.as_ref().and_then(|p| p.links[node as usize].up);
            let Some((connection, _)) = up else { continue };
            if self.held.is_some() {
                self.lose_link(owner, node, connection);
            } else if self.wires.open(node, owner) {
                let takes = self.rng.between(self.plan.network.latency.0, self.plan.network.latency.1);
                self.queue.push(self.now + takes, Event::LinkLost { node: owner, peer: node, connection });
            }
        }
    }

    /// Once a second a node asks its peers how they are, and gives up those that were silent for too long.
    pub(super) fn tick(&mut self, node: u32, incarnation: u64) {
        let takes = self.plan.network.latency.0 * 2;
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
        if process.incarnation != incarnation {
            return;
        }
        self.look_after_directory(node);
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
        let mut silent = Vec::new();
        let mut given_up = Vec::new();
        for (peer, link) in (0u32..).zip(&mut process.links) {
            // Here a message may be lost on a connection that goes on; TCP would end it.
            let late = link.unacknowledged.give_up(Duration::from_nanos(SILENCE_LIMIT), Instant(self.now));
            given_up.extend(late.into_iter().map(|write| (peer, write)));
            let Some((connection, _)) = link.up else { continue };
            let silence = self.now - link.last_heard.min(self.now);
            if silence > SILENCE_LIMIT {
                silent.push((peer, connection));
            } else {
                self.queue.push(self.now + takes, Event::Pong { node, peer, connection });
            }
        }
        for (peer, (key, version)) in given_up {
            self.missed(node, peer, &key, version);
        }
        self.pump_repair(node);
        for (peer, connection) in silent {
            self.lose_link(node, peer, connection);
        }
        self.queue.push(self.now + super::node::TICK, Event::Tick { node, incarnation });
    }

    /// "Are you there?" has gone out; the answer, if there is one, says how the peer is.
    pub(super) fn pong(&mut self, node: u32, peer: u32, connection: u64) {
        if !(self.wires.open(node, peer) && self.wires.open(peer, node)) || self.nodes[peer as usize].paused {
            return;
        }
        let sequence = self.nodes[peer as usize].sequence();
        let Some(there) = self.nodes[peer as usize].process.as_ref() else { return };
        let (server, writable) = (there.incarnation, there.rounds.has_room());
        let state = &mut self.nodes[node as usize];
        let Some(process) = state.process.as_mut() else { return };
        let link = &mut process.links[peer as usize];
        if link.up == Some((connection, server)) {
            link.last_heard = self.now;
            process.coordinator.handle_peer_writable(self.members.id(peer as usize), writable);
            state.identity.peers.observe(peer + 1, sequence);
        } else {
            // If it is still that connection, the process that it was opened to is gone, and the machine says so (TCP: a
            // reset). What the dead process had sent may come late and make the link seem alive for long.
            self.lose_link(node, peer, connection);
        }
    }
}
