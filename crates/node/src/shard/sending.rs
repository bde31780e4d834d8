//! What an event loop sends: its coordinator's requests and those of repair, over the lanes to each member.

use super::{Environment, Return, Served, Shard};
use crate::hello::{LaneId, WITH_CONFIGURATIONS};
use crate::lanes::lane::{Lane, LaneKey};
use crate::lanes::outgoing::{Patience, Waiting};
use crate::lanes::peer::Closed;
use crate::limits::FRAME_ROOM;
use crate::repair::is_repair;
use abd::{CallId, Instant, NodeId, Now, Refusal, Reply, Request, Transmit};
use bytes::BytesMut;

impl<E: Environment, R: Return> Shard<E, R> {
    /// A lane to a member is up, to the run of it with this boot count, which speaks this version of the peer protocol and takes
    /// frames of this size. It takes the
    /// place of an earlier one and of those to an earlier run: those are closed, and named by
    /// [`poll_replaced`](Self::poll_replaced). `None` for whoever is no peer.
    pub fn open_lane(
        &mut self,
        peer: NodeId,
        id: LaneId,
        run: u32,
        version: u16,
        frame_limit: u64,
        now: Now,
    ) -> Option<LaneKey> {
        for replaced in self.lanes.to(peer).filter(|lanes| lanes.is_named())?.replaced_by(id, run) {
            self.close_lane(replaced, now);
            self.replaced.push_back(replaced);
        }
        let key = LaneKey { peer, id, serial: self.next_lane };
        self.next_lane += 1;
        let lanes = self.lanes.to_mut(peer)?;
        (lanes.frame_limit, lanes.version) = (frame_limit, version);
        // It may be another run, which knows less.
        (lanes.told, lanes.serves) = (0, 0);
        let was_up = lanes.is_up();
        if version < WITH_CONFIGURATIONS {
            // It tells no news: that it cannot do what this release can is known all the same.
            let directory = self.environment.remembered().into_iter().find(|(node, _)| *node == peer);
            let directory = directory.map_or_else(Default::default, |(_, directory)| directory);
            self.environment.driver(|driver| driver.handle_met(peer, directory, 0));
        }
        self.environment.repair(|repair, _| repair.handle_pulls(peer, version >= WITH_CONFIGURATIONS));
        lanes.open(Lane::new(key, run, self.environment.bounds(id.kind), now.instant));
        if !was_up {
            self.environment.peer_is_up(peer, true);
            self.coordinator.handle_peer_up(peer, run);
            self.pump(now);
            // It hears at once how this node stands: an operator may want to change the members now.
            self.drive_soon(now.instant);
        }
        let looked = self.look_after(key, now.instant);
        assert!(looked.is_ok(), "a lane that was just opened is not silent");
        Some(key)
    }

    /// A lane has ended: what was under way over its pair may be lost, and is remembered.
    pub fn close_lane(&mut self, key: LaneKey, now: Now) {
        let peer = key.peer;
        let Some(lanes) = self.lanes.to_mut(peer) else { return };
        let Some(Closed { missed, run, backlog }) = lanes.close(key) else { return };
        let is_up = lanes.is_up();
        for (missing, version) in missed {
            self.environment.missed(peer, &missing, version);
        }
        for transmit in backlog.into_iter().filter(|transmit| transmit.request.ends_with_its_phase()) {
            self.not_sent(peer, transmit.call);
        }
        self.coordinator.handle_peer_down(peer);
        self.pump(now);
        if is_up {
            // What the peer has not answered is asked again over what is left, and meanwhile others are.
            self.coordinator.handle_peer_up(peer, run);
            self.pump(now);
        } else {
            self.environment.peer_is_up(peer, false);
            self.lanes.forget();
        }
    }

    /// The coordinator hears which members no lane goes to: it has been told of each that was opened or closed, and of no other.
    pub(super) fn miss_lanes(&mut self) {
        for member in self.coordinator.quorums().voters().iter() {
            if member != self.local && !self.is_up(member) {
                self.coordinator.handle_peer_down(member);
            }
        }
    }

    /// There are to be lanes to these peers and to no others: those are closed, and named by
    /// [`poll_replaced`](Self::poll_replaced).
    pub fn keep_lanes(&mut self, peers: impl Iterator<Item = NodeId>, now: Now) {
        for ended in self.lanes.keep(peers) {
            self.close_lane(ended, now);
            self.replaced.push_back(ended);
        }
    }

    /// Whether the lane in this place is up.
    pub fn has_lane(&self, peer: NodeId, id: LaneId) -> bool {
        self.lanes.to(peer).is_some_and(|lanes| lanes.has(id))
    }

    /// Whether this version of the peer protocol may be spoken with a peer.
    pub fn speaks(&self, peer: NodeId, version: u16) -> bool {
        self.lanes.version(peer) >= version
    }

    /// Whether any lane to a member is up.
    pub fn is_up(&self, peer: NodeId) -> bool {
        self.lanes.to(peer).is_some_and(|lanes| lanes.is_up())
    }

    /// Exchanges what waits to go over a lane for an empty buffer. The clock is looked at if requests wait unencoded.
    ///
    /// # Panics
    /// When the buffer is not empty.
    pub fn take_output(&mut self, key: LaneKey, buffer: &mut BytesMut, now: impl FnOnce() -> Instant) {
        let Self { lanes, coordinator, .. } = self;
        let Some(lane) = lanes.lane(key) else { return };
        if lane.outgoing.has_backlog() {
            lane.outgoing.refill(now(), |call| {
                let is_over = !is_repair(call) && !coordinator.is_open(call);
                if is_over {
                    coordinator.handle_not_sent(key.peer, call);
                }
                is_over
            });
        }
        lane.outgoing.take(buffer);
    }

    /// How much waits on a lane.
    pub fn waiting(&mut self, key: LaneKey) -> Option<Waiting> {
        Some(self.lane(key)?.outgoing.waiting())
    }

    /// For how long what waits to go over a lane may wait; `None` if nothing waits.
    pub fn patience(&self, key: LaneKey) -> Option<Patience> {
        self.lanes.to(key.peer)?.look_at(key)?.outgoing.patience()
    }

    /// Carries out one of the coordinator's calls.
    pub(super) fn transmit(&mut self, transmit: Transmit, now: Now) {
        if transmit.to != self.local {
            return self.send(transmit, now);
        }
        // The own replica is a call, not a message.
        let Transmit { request, call, scope, deadline, .. } = transmit;
        let write = match &request {
            Request::LocalWrite { key, stamped } => Some((key.clone(), stamped.version)),
            _ => None,
        };
        match self.serve(scope, request, self.to(None, call), deadline) {
            Served::Replied(reply) => {
                if let (Some((key, version)), Reply::Refused(_)) = (write, &reply) {
                    self.environment.missed(self.local, &key, version);
                }
                self.handle_reply(self.local, call, reply, now);
            }
            Served::HandedOver if self.environment.is_slow() => {
                self.coordinator.handle_local_delay(call, now, &self.environment.issuer());
            }
            Served::HandedOver | Served::Queued => {}
        }
    }

    /// Queues a request to a peer, over the first pair that is up.
    pub(super) fn send(&mut self, transmit: Transmit, now: Now) {
        let peer = transmit.to;
        let Some(lanes) = self.lanes.to_mut(peer) else { return };
        let (call, bytes) = (transmit.call, transmit.request.bytes());
        let frame_limit = lanes.frame_limit;
        let Some((lane, unacknowledged)) = lanes.first().and_then(|pair| pair.way_for(bytes)) else {
            return match &transmit.request {
                Request::LocalWrite { key, stamped } if !is_repair(call) => {
                    self.environment.missed(peer, key, stamped.version);
                }
                _ => self.not_sent(peer, call),
            };
        };
        if (bytes + FRAME_ROOM) as u64 > frame_limit {
            // As it would answer itself, if it were sent that.
            return self.handle_reply(peer, call, Reply::Refused(Refusal::TooLarge), now);
        }
        let key = lane.key;
        let Request::LocalWrite { key: written, stamped } = &transmit.request else {
            return match lane.outgoing.request(transmit, now.instant) {
                Ok(wakes) => self.wake_if(wakes, key),
                Err(_) => self.not_sent(peer, call),
            };
        };
        if transmit.again && lane.outgoing.has_backlog() && unacknowledged.is_under_way(call) {
            // It waits here, or what is before it in the connection does.
            return;
        }
        let given_up = unacknowledged.sent(call, written, stamped.version, now.instant);
        let queued = lane.outgoing.request(transmit, now.instant);
        let not_queued = queued.err().and_then(|_| unacknowledged.answered(call, false));
        self.wake_if(queued == Ok(true), key);
        if is_repair(call) && not_queued.is_some() {
            self.environment.repair(|repair, now| repair.not_sent(call, now));
        }
        for (missing, version) in given_up.into_iter().chain(not_queued) {
            self.environment.missed(peer, &missing, version);
        }
    }

    /// Queues a frame with so many bytes of contents to a peer, over the first pair that is up; whether there is a lane.
    pub(super) fn frame_to(&mut self, peer: NodeId, bytes: usize, body: impl FnOnce(&mut BytesMut)) -> bool {
        let lanes = self.lanes.to_mut(peer);
        let Some((lane, _)) = lanes.and_then(|lanes| lanes.first()?.way_for(bytes)) else { return false };
        let (wakes, key) = (lane.outgoing.frame(Patience::None, body), lane.key);
        self.wake_if(wakes, key);
        true
    }

    /// Whether there is room for one more content on the way to a peer.
    pub(super) fn takes_contents(&mut self, peer: NodeId) -> bool {
        let lanes = self.lanes.to_mut(peer);
        lanes
            .and_then(|lanes| lanes.first()?.way_for(0))
            .is_some_and(|(lane, _)| lane.outgoing.takes_contents())
    }

    /// Queues a frame with so many bytes of contents that answers what came over a lane; nobody waits for it if that is gone. `false`
    /// if there is no room for contents.
    pub(super) fn frame_back(
        &mut self,
        key: LaneKey,
        bytes: usize,
        body: impl FnOnce(&mut BytesMut),
    ) -> bool {
        let Some(lane) = self.way_back(key, bytes) else { return true };
        if bytes > 0 && !lane.outgoing.takes_contents() {
            return false;
        }
        let (wakes, key) = (lane.outgoing.frame(Patience::None, body), lane.key);
        self.wake_if(wakes, key);
        true
    }

    /// A question was not sent.
    pub(super) fn not_sent(&mut self, peer: NodeId, call: CallId) {
        if is_repair(call) {
            return self.environment.repair(|repair, now| repair.not_sent(call, now));
        }
        self.coordinator.handle_not_sent(peer, call);
    }

    pub(super) fn lane(&mut self, key: LaneKey) -> Option<&mut Lane> {
        self.lanes.lane(key)
    }

    pub(super) fn way_back(&mut self, key: LaneKey, bytes: usize) -> Option<&mut Lane> {
        self.lanes.to_mut(key.peer)?.pair(key.id.pair)?.way_back(key, bytes)
    }

    pub(super) fn wake_if(&mut self, wakes: bool, key: LaneKey) {
        if wakes && self.senders.last() != Some(&key) {
            self.senders.push(key);
        }
    }
}
