//! The lanes of an event loop to one peer, and which of them a message takes.

use super::kind_of;
use super::lane::{Lane, LaneKey};
use crate::hello::{LaneId, LaneKind};
use crate::repair::unacknowledged::{Missing, Unacknowledged};
use abd::{CallId, Instant, NodeId, Request, Scope, Transmit, Version};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

/// Two lanes that join the same event loops.
#[derive(Debug)]
pub(crate) struct Pair {
    number: u16,
    small: Option<Lane>,
    bulk: Option<Lane>,
    /// Of what was handed to either: acknowledgements may come over the other one.
    pub(crate) unacknowledged: Unacknowledged,
}

impl Pair {
    fn place(&mut self, kind: LaneKind) -> &mut Option<Lane> {
        match kind {
            LaneKind::Small => &mut self.small,
            LaneKind::Bulk => &mut self.bulk,
        }
    }

    fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.small.iter().chain(&self.bulk)
    }

    fn has(&self, kind: LaneKind) -> bool {
        match kind {
            LaneKind::Small => self.small.is_some(),
            LaneKind::Bulk => self.bulk.is_some(),
        }
    }

    /// The lane for a message of so many bytes, or the other one while that is down; and what was handed to both.
    pub(crate) fn way_for(&mut self, bytes: usize) -> Option<(&mut Lane, &mut Unacknowledged)> {
        let kind = kind_of(bytes);
        let Self { small, bulk, unacknowledged, .. } = self;
        let (first, second) = if kind == LaneKind::Small { (small, bulk) } else { (bulk, small) };
        first.as_mut().or(second.as_mut()).map(|lane| (lane, unacknowledged))
    }

    /// The lane that an answer of this size takes to what came over a lane: it leads to the same run of the peer.
    pub(crate) fn way_back(&mut self, key: LaneKey, bytes: usize) -> Option<&mut Lane> {
        let run = self.place(key.id.kind).as_ref().filter(|lane| lane.key == key)?.run;
        let kind = kind_of(bytes);
        let other = self.place(kind).as_ref().is_some_and(|lane| lane.run == run);
        self.place(if other { kind } else { key.id.kind }).as_mut()
    }
}

/// The lanes of an event loop to all others. Peers are few: to pass over some is cheaper than a search.
#[derive(Debug)]
pub(crate) struct AllLanes(Vec<PeerLanes>);

/// All lanes of an event loop to one peer.
#[derive(Debug)]
pub(crate) struct PeerLanes {
    pub(crate) peer: NodeId,
    /// Whether it is to have lanes. If not, these are those that have not been closed yet.
    is_named: bool,
    /// In ascending order; each has a lane that is up.
    pairs: Vec<Pair>,
    /// The largest frame that the peer takes.
    pub(crate) frame_limit: u64,
    /// The version of the peer protocol that is spoken with it; zero before it was greeted.
    pub(crate) version: u16,
    /// The epoch of which it was told last.
    pub(crate) told: u32,
    /// The epoch that it has said last that it serves.
    pub(crate) serves: u32,
}

/// A lane that has ended: what was under way over its pair, in either direction, may be lost.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) missed: Vec<Missing>,
    /// The boot count of the peer.
    pub(crate) run: u32,
    /// What had not gone yet.
    pub(crate) backlog: VecDeque<Transmit>,
}

impl AllLanes {
    /// To these, and none is up.
    pub(crate) fn new(peers: impl Iterator<Item = NodeId>) -> Self {
        Self(peers.map(PeerLanes::new).collect())
    }

    /// From now on there are lanes to these peers and no others. Returns those that are to be closed.
    pub(crate) fn keep(&mut self, peers: impl Iterator<Item = NodeId>) -> Vec<LaneKey> {
        self.0.iter_mut().for_each(|lanes| lanes.is_named = false);
        for peer in peers {
            match self.to_mut(peer) {
                Some(lanes) => lanes.is_named = true,
                None => self.0.push(PeerLanes::new(peer)),
            }
        }
        self.forget();
        let ending = self.0.iter().filter(|lanes| !lanes.is_named);
        ending.flat_map(|lanes| &lanes.pairs).flat_map(Pair::lanes).map(|lane| lane.key).collect()
    }

    /// A newer configuration is served: what waits for a lane goes in that, but for writes that are sent anew. Those are not waited for
    /// in the older one any more.
    pub(crate) fn install(&mut self, scope: Scope, is_sent_anew: impl Fn(CallId, Version) -> bool) {
        for pair in self.0.iter_mut().flat_map(|lanes| &mut lanes.pairs) {
            pair.unacknowledged.forget(&is_sent_anew);
            for lane in [&mut pair.small, &mut pair.bulk].into_iter().flatten() {
                lane.outgoing.install(scope, |transmit| match &transmit.request {
                    Request::LocalWrite { stamped, .. } => is_sent_anew(transmit.call, stamped.version),
                    _ => false,
                });
            }
        }
    }

    /// Forgets peers that are to have no lanes, once the last one is closed.
    pub(crate) fn forget(&mut self) {
        self.0.retain(|lanes| lanes.is_named || lanes.is_up());
    }

    /// Those to a peer; `None` if there are to be none.
    pub(crate) fn to(&self, peer: NodeId) -> Option<&PeerLanes> {
        self.0.iter().find(|lanes| lanes.peer == peer)
    }

    pub(crate) fn to_mut(&mut self, peer: NodeId) -> Option<&mut PeerLanes> {
        self.0.iter_mut().find(|lanes| lanes.peer == peer)
    }

    /// The version of the peer protocol that is spoken with a peer; zero for one that was not greeted.
    pub(crate) fn version(&self, peer: NodeId) -> u16 {
        self.to(peer).map_or(0, |lanes| lanes.version)
    }

    /// A lane, if it is up still.
    pub(crate) fn lane(&mut self, key: LaneKey) -> Option<&mut Lane> {
        self.to_mut(key.peer)?.lane(key)
    }

    /// To whom a lane is up.
    pub(crate) fn up(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.0.iter().filter(|lanes| lanes.is_up()).map(|lanes| lanes.peer)
    }
}

impl PeerLanes {
    pub(crate) fn new(peer: NodeId) -> Self {
        Self {
            peer,
            is_named: true,
            pairs: Vec::new(),
            frame_limit: u64::MAX,
            version: 0,
            told: 0,
            serves: 0,
        }
    }

    /// Whether lanes may be opened.
    pub(crate) fn is_named(&self) -> bool {
        self.is_named
    }

    /// Whether any lane is up.
    pub(crate) fn is_up(&self) -> bool {
        !self.pairs.is_empty()
    }

    /// Whether the lane in this place is up.
    pub(crate) fn has(&self, id: LaneId) -> bool {
        self.pairs.iter().any(|pair| pair.number == id.pair && pair.has(id.kind))
    }

    /// What requests go over.
    pub(crate) fn first(&mut self) -> Option<&mut Pair> {
        self.pairs.first_mut()
    }

    pub(crate) fn pair(&mut self, number: u16) -> Option<&mut Pair> {
        self.pairs.iter_mut().find(|pair| pair.number == number)
    }

    /// A lane, if it is up still.
    pub(crate) fn lane(&mut self, key: LaneKey) -> Option<&mut Lane> {
        self.pair(key.id.pair)?.place(key.id.kind).as_mut().filter(|lane| lane.key == key)
    }

    /// All that are up.
    pub(crate) fn all(&mut self) -> impl Iterator<Item = &mut Lane> {
        self.pairs.iter_mut().flat_map(|pair| [&mut pair.small, &mut pair.bulk]).filter_map(Option::as_mut)
    }

    pub(crate) fn look_at(&self, key: LaneKey) -> Option<&Lane> {
        self.pairs.iter().flat_map(Pair::lanes).find(|lane| lane.key == key)
    }

    /// Bytes that the peer has left unread on a lane or on the way back of small answers, if they are too many.
    pub(crate) fn unread(&mut self, key: LaneKey) -> Option<usize> {
        let pair = self.pair(key.id.pair)?;
        let overrun = |lane: Option<&mut Lane>| lane?.outgoing.overrun();
        overrun(pair.place(key.id.kind).as_mut()).or_else(|| overrun(pair.way_back(key, 0)))
    }

    /// Those that a new one takes the place of: in the same place, or to another run of the peer.
    pub(crate) fn replaced_by(&self, id: LaneId, run: u32) -> Vec<LaneKey> {
        let all = self.pairs.iter().flat_map(Pair::lanes);
        all.filter(|lane| lane.key.id == id || lane.run != run).map(|lane| lane.key).collect()
    }

    /// A lane is up.
    pub(crate) fn open(&mut self, lane: Lane) {
        let LaneId { kind, pair: number } = lane.key.id;
        let place = self.pairs.binary_search_by_key(&number, |pair| pair.number).unwrap_or_else(|place| {
            let pair = Pair { number, small: None, bulk: None, unacknowledged: Unacknowledged::default() };
            self.pairs.insert(place, pair);
            place
        });
        let before = self.pairs[place].place(kind).replace(lane);
        assert!(before.is_none(), "a lane that is replaced is closed first");
    }

    /// A lane has ended; `None` if it had before.
    pub(crate) fn close(&mut self, key: LaneKey) -> Option<Closed> {
        let pair = self.pair(key.id.pair)?;
        let mut lane = pair.place(key.id.kind).take_if(|lane| lane.key == key)?;
        let (missed, run) = (pair.unacknowledged.take_all(), lane.run);
        let closed = Closed { missed, run, backlog: lane.outgoing.take_backlog() };
        self.pairs.retain(|pair| pair.lanes().next().is_some());
        Some(closed)
    }

    /// Writes over a lane's pair that were never answered.
    pub(crate) fn give_up(&mut self, key: LaneKey, after: Duration, now: Instant) -> Vec<Missing> {
        self.pair(key.id.pair).map_or_else(Vec::new, |pair| pair.unacknowledged.give_up(after, now))
    }
}
