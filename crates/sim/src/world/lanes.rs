//! Lanes as connections: each pair of nodes has two, and both sides look at who is there (rule M1).
//!
//! The handshake is one event here, at the time when it would be complete.

use super::running::About;
use super::{Event, World};
use crate::time::{MS, S};
use abd::{Instant, NodeId, Now};
use node::hello::{LaneId, LaneKind, WITH_CONFIGURATIONS};
use node::lanes::lane::LaneKey;
use node::peer::dialling::Redial;

/// How often a node looks after its lanes: as in the node.
pub(super) const TICK: u64 = S;
const _: () = assert!(node::lanes::lane::PING_EVERY.as_nanos() == TICK as u128);

pub(super) const KINDS: [LaneKind; 2] = [LaneKind::Small, LaneKind::Bulk];

/// A connection between two processes, which is a lane to each.
pub(crate) struct Connection {
    nodes: [u32; 2],
    /// What it is to each of them, while it is up there.
    keys: [Option<LaneKey>; 2],
}

impl Connection {
    fn side(&self, node: u32) -> usize {
        usize::from(self.nodes[0] != node)
    }

    /// The lane that it is to a node.
    pub(super) fn key(&self, node: u32) -> Option<LaneKey> {
        self.keys[self.side(node)]
    }

    fn other(&self, node: u32) -> u32 {
        self.nodes[1 - self.side(node)]
    }
}

impl World {
    /// A process begins to connect to everybody.
    pub(super) fn dial_all(&mut self, node: u32, incarnation: u64) {
        let Some(process) = self.process_of(node, incarnation) else { return };
        let mut peers: Vec<u32> = process.dialling.keys().map(|(peer, _)| *peer).collect();
        peers.dedup();
        for peer in peers {
            for kind in KINDS {
                if self.held.is_some() {
                    // In a script nobody waits for connections.
                    self.connect(node, peer, kind);
                } else {
                    let takes = self.rng.between(MS, 5 * MS);
                    self.queue.push(self.now + takes, Event::Dial { node, peer, kind, incarnation });
                }
            }
        }
    }

    /// A node looks whether it has to dial a lane.
    pub(super) fn dial(&mut self, node: u32, peer: u32, kind: LaneKind, incarnation: u64) {
        let now = Instant(self.now);
        let Some(process) = self.process_of(node, incarnation) else { return };
        let is_missing = !process.desk.shard.get_mut().has_lane(NodeId(peer + 1), LaneId { kind, pair: 0 });
        let Some(dialling) = process.dialling.get_mut(&(peer, kind)) else { return };
        let then = match dialling.poll(is_missing, now) {
            // Once it is lost somebody looks again.
            _ if !is_missing => return,
            Redial::At(then) => then,
            Redial::Now if self.connect(node, peer, kind) => return,
            Redial::Now => {
                let Some(process) = self.process_of(node, incarnation) else { return };
                let Some(dialling) = process.dialling.get_mut(&(peer, kind)) else { return };
                dialling.handle_failed(now);
                let Redial::At(then) = dialling.poll(true, now) else { return };
                then
            }
        };
        self.queue.push(then.0, Event::Dial { node, peer, kind, incarnation });
    }

    /// An attempt to connect comes to its end; whether a lane is up now.
    fn connect(&mut self, node: u32, peer: u32, kind: LaneKind) -> bool {
        let reachable = self.wires.open(node, peer) && self.wires.open(peer, node);
        let Some(state) = self.nodes.get(peer as usize) else { return false };
        if !reachable || state.paused || state.process.is_none() {
            return false;
        }
        let id = LaneId { kind, pair: 0 };
        if !self.greet(node, peer, id) {
            return false;
        }
        let run = |node: u32| self.nodes[node as usize].identity.boot;
        let (ours, theirs) = (run(node), run(peer));
        let connection = self.next_connection;
        self.next_connection += 1;
        self.connections.insert(connection, Connection { nodes: [node, peer], keys: [None, None] });
        self.open_lane(node, peer, id, connection, theirs);
        self.open_lane(peer, node, id, connection, ours);
        true
    }

    /// One side of a new connection.
    fn open_lane(&mut self, node: u32, peer: u32, id: LaneId, connection: u64, run: u32) {
        let limits = self.nodes[peer as usize].own.limits;
        let Some((process, now)) = self.enter(node, About::Other) else { return };
        let key = process.desk.shard.get_mut().open_lane(
            NodeId(peer + 1),
            id,
            run,
            WITH_CONFIGURATIONS,
            limits.frame,
            now,
        );
        let Some(key) = key else { return };
        process.lanes.insert(key, connection);
        process.around().limits.borrow_mut().learn(NodeId(peer + 1), limits);
        if let Some(open) = self.connections.get_mut(&connection) {
            let side = open.side(node);
            open.keys[side] = Some(key);
        }
        self.follow_up(node);
    }

    /// A node closes a lane, or learns that it is gone. The other side learns it, too, if anything gets there.
    pub(super) fn close_lane(&mut self, node: u32, key: LaneKey) {
        let now = Instant(self.now);
        let forgets = self.lies.forgets_undelivered;
        let Some((process, Now { .. })) = self.enter(node, About::Other) else { return };
        let Some(connection) = process.lanes.remove(&key) else { return };
        let incarnation = process.incarnation;
        let peer = key.peer.0 - 1;
        if let Some(dialling) = process.dialling.get_mut(&(peer, key.id.kind)) {
            dialling.handle_ended(now);
        }
        process.around().forgets.set(forgets);
        let moment = process.desk.shard.get_mut().at(now);
        process.desk.shard.get_mut().close_lane(key, moment);
        process.around().forgets.set(false);
        self.queue.push(self.now, Event::Dial { node, peer, kind: key.id.kind, incarnation });
        self.forget_end(node, connection);
        self.tell_lost(node, connection);
        self.follow_up(node);
    }

    /// One side of a connection is no more.
    fn forget_end(&mut self, node: u32, connection: u64) {
        let Some(open) = self.connections.get_mut(&connection) else { return };
        let side = open.side(node);
        open.keys[side] = None;
        if open.keys == [None, None] {
            self.connections.remove(&connection);
        }
    }

    /// Whoever has a connection from a node learns that it is gone, if the way is open.
    pub(super) fn tell_lost(&mut self, node: u32, connection: u64) {
        let Some(open) = self.connections.get(&connection) else { return };
        let other = open.other(node);
        if self.held.is_some() {
            self.lose_lane(other, connection);
        } else if self.wires.open(node, other) {
            let takes = self.rng.between(self.plan.network.latency.0, self.plan.network.latency.1);
            self.queue.push(self.now + takes, Event::LaneLost { node: other, connection });
        }
    }

    /// A node learns that a connection is gone.
    pub(super) fn lose_lane(&mut self, node: u32, connection: u64) {
        if let Some(key) = self.connections.get(&connection).and_then(|open| open.key(node)) {
            self.close_lane(node, key);
        }
    }

    /// A process has ended, and its sides of its connections with it.
    pub(super) fn leave(&mut self, node: u32, process: &super::Process) {
        for connection in process.lanes.values() {
            self.forget_end(node, *connection);
        }
    }

    /// Everybody who has a lane to a node learns that this process of it is gone, as far as the way is open.
    pub(crate) fn reset_lanes_to(&mut self, node: u32) {
        let has_end = |open: &Connection| open.nodes.contains(&node) && open.key(node).is_none();
        let lost = self.connections.iter().filter(|(_, open)| has_end(open)).map(|(number, _)| *number);
        for connection in lost.collect::<Vec<u64>>() {
            self.tell_lost(node, connection);
        }
    }

    /// The lanes of a node, to one peer or to all.
    pub(super) fn lanes_of(&self, node: u32, peer: Option<u32>) -> Vec<LaneKey> {
        let Some(process) = &self.nodes[node as usize].process else { return Vec::new() };
        let leads = |key: &&LaneKey| peer.is_none_or(|peer| key.peer.0 == peer + 1);
        process.lanes.keys().filter(leads).copied().collect()
    }

    /// Once a second a node looks after its lanes and its directory.
    pub(super) fn tick(&mut self, node: u32, incarnation: u64) {
        if self.process_of(node, incarnation).is_none() {
            return;
        }
        self.look_after_directory(node);
        for key in self.lanes_of(node, None) {
            let looked = self.tell(node, About::Other, |shard, now| shard.look_after(key, now.instant));
            // The mutant `never-notices-silence` goes on.
            if matches!(looked, Some(Err(_))) && !self.lies.trusts_silence {
                self.close_lane(node, key);
            }
        }
        self.queue.push(self.now + TICK, Event::Tick { node, incarnation });
    }

    /// The connections of two nodes break, and what is under way on them, in either direction, never arrives.
    pub(crate) fn break_lanes(&mut self, from: u32, to: u32) {
        for key in self.lanes_of(from, Some(to)) {
            let process = self.nodes[from as usize].process.as_ref();
            self.broken.extend(process.and_then(|process| process.lanes.get(&key)));
            self.close_lane(from, key);
        }
        if self.held.is_some() && self.nodes[from as usize].process.is_some() {
            // In a script nobody waits for connections.
            for kind in [LaneKind::Small, LaneKind::Bulk] {
                self.connect(from, to, kind);
            }
        }
    }

    /// Nothing comes through any more of what a node sends a peer over the present connections.
    pub(crate) fn mute(&mut self, from: u32, to: u32) {
        for key in self.lanes_of(from, Some(to)) {
            let process = self.nodes[from as usize].process.as_ref();
            let connection = process.and_then(|process| process.lanes.get(&key).copied());
            self.muted.extend(connection.map(|connection| (connection, from)));
        }
    }

    /// All connections of a node are reset.
    pub(super) fn reset(&mut self, node: u32) {
        for key in self.lanes_of(node, None) {
            self.close_lane(node, key);
        }
    }
}
