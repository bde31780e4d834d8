//! The lanes of an event loop to one peer, and which of them a request takes. Nothing here blocks anybody.

use super::lane::Lane;
use super::{Outbox, SILENCE_LIMIT};
use crate::node::now_instant;
use crate::node::shard::Shard;
use crate::node::signal::Signal;
use ::node::hello::{LaneId, LaneKind, Limits};
use ::node::lanes::kind_of;
use ::node::limits::FRAME_ROOM;
use ::node::repair::is_repair;
use ::node::repair::message::{Question, put_question};
use ::node::repair::unacknowledged::Unacknowledged;
use abd::{CallId, Instant, NodeId, Now, Refusal, Reply, Request, Transmit};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Two lanes that join the same event loops.
pub(crate) struct Pair {
    number: u16,
    small: RefCell<Option<Rc<Lane>>>,
    bulk: RefCell<Option<Rc<Lane>>>,
    /// Of what was handed to either: acknowledgements may come over the other one.
    unacknowledged: RefCell<Unacknowledged>,
}

impl Pair {
    fn new(number: u16) -> Rc<Self> {
        let unacknowledged = RefCell::default();
        Rc::new(Self { number, small: RefCell::default(), bulk: RefCell::default(), unacknowledged })
    }

    fn place(&self, kind: LaneKind) -> &RefCell<Option<Rc<Lane>>> {
        match kind {
            LaneKind::Small => &self.small,
            LaneKind::Bulk => &self.bulk,
        }
    }

    pub(super) fn lane(&self, kind: LaneKind) -> Option<Rc<Lane>> {
        self.place(kind).borrow().clone()
    }

    fn lanes(&self) -> impl Iterator<Item = Rc<Lane>> {
        [LaneKind::Small, LaneKind::Bulk].into_iter().filter_map(|kind| self.lane(kind))
    }
}

/// All lanes of an event loop to one peer.
pub(crate) struct Lanes {
    pub(crate) peer: NodeId,
    /// In ascending order; each has a lane that is up.
    pairs: RefCell<Vec<Rc<Pair>>>,
    /// The largest frame that the peer takes.
    frame_limit: Cell<u64>,
}

impl Lanes {
    pub(crate) fn new(peer: NodeId) -> Rc<Self> {
        Rc::new(Self { peer, pairs: RefCell::default(), frame_limit: Cell::new(u64::MAX) })
    }

    /// Whether any lane is up.
    pub(crate) fn is_up(&self) -> bool {
        !self.pairs.borrow().is_empty()
    }

    /// Whether this lane is up.
    pub(super) fn has(&self, id: LaneId) -> bool {
        let pairs = self.pairs.borrow();
        pairs.iter().any(|pair| pair.number == id.pair && pair.lane(id.kind).is_some())
    }

    /// The peer has said what it takes.
    pub(super) fn learn(&self, shard: &Shard, limits: Limits) {
        self.frame_limit.set(limits.frame);
        shard.node.membership.learn_limits(self.peer, limits);
    }

    /// Queues a request, over the first pair that is up.
    pub(crate) fn send(&self, shard: &Shard, transmit: Transmit, now: Now) {
        let bytes = transmit.request.bytes();
        let first = self.pairs.borrow().first().cloned();
        let kind = kind_of(bytes);
        let lane = first.as_ref().and_then(|pair| pair.lane(kind).or_else(|| pair.lanes().next()));
        let (Some(pair), Some(lane)) = (first, lane) else { return self.not_sent(shard, &transmit) };
        if (bytes + FRAME_ROOM) as u64 > self.frame_limit.get() {
            // As it would answer itself, if it were sent that.
            return shard.handle_reply(self.peer, transmit.call, Reply::Refused(Refusal::TooLarge), now);
        }
        let call = transmit.call;
        let Request::LocalWrite { key, stamped } = &transmit.request else {
            if lane.outbox.request(transmit, now.instant).is_err() {
                shard.not_sent(self.peer, call);
            }
            return;
        };
        let mut unacknowledged = pair.unacknowledged.borrow_mut();
        if transmit.again && lane.outbox.has_backlog() && unacknowledged.is_under_way(call) {
            // It waits here, or what is before it in the connection does.
            return;
        }
        let given_up = unacknowledged.sent(call, key, stamped.version, now.instant);
        let queued = lane.outbox.request(transmit, now.instant);
        let not_queued = queued.err().and_then(|_| unacknowledged.answered(call, false));
        if is_repair(call) && not_queued.is_some() {
            shard.node.repairs.not_sent(call);
        }
        for (key, version) in given_up.into_iter().chain(not_queued) {
            shard.node.missed(self.peer, &key, version);
        }
    }

    /// Asks the peer's replica something for repair; whether there is a lane.
    pub(crate) fn ask(&self, call: CallId, question: &Question) -> bool {
        let first = self.pairs.borrow().first().cloned();
        let lane = first.and_then(|pair| pair.lane(LaneKind::Small).or_else(|| pair.lanes().next()));
        let Some(lane) = lane else { return false };
        lane.outbox.frame(|body| put_question(body, call, question));
        true
    }

    fn not_sent(&self, shard: &Shard, transmit: &Transmit) {
        match &transmit.request {
            Request::LocalWrite { key, stamped } if !is_repair(transmit.call) => {
                shard.node.missed(self.peer, key, stamped.version);
            }
            _ => shard.not_sent(self.peer, transmit.call),
        }
    }

    /// A reply has come over a lane.
    pub(super) fn handle_reply(&self, shard: &Shard, lane: &Lane, call: CallId, reply: Reply, now: Now) {
        let has_written = matches!(reply, Reply::Written { .. });
        let refused = lane.pair.unacknowledged.borrow_mut().answered(call, has_written);
        if let Some((key, version)) = refused {
            shard.node.missed(self.peer, &key, version);
        }
        shard.handle_reply(self.peer, call, reply, now);
    }

    /// Writes that were never answered count as missed after a while.
    pub(super) fn give_up(&self, shard: &Shard, lane: &Lane, now: Instant) {
        let after = shard.node.settings.op_timeout + SILENCE_LIMIT;
        let given_up = lane.pair.unacknowledged.borrow_mut().give_up(after, now);
        for (key, version) in given_up {
            shard.node.missed(self.peer, &key, version);
        }
    }

    /// Moves what may go from the backlog into the output.
    pub(super) fn refill(&self, shard: &Shard, lane: &Lane) {
        lane.outbox.refill(now_instant, |call| {
            let is_over = !shard.is_open(call);
            if is_over {
                shard.not_sent(self.peer, call);
            }
            is_over
        });
    }

    /// A lane is up, in place of an earlier one and of those to an earlier run of the peer.
    pub(super) fn open(&self, shard: &Shard, id: LaneId, run: u32) -> Rc<Lane> {
        let mut all: Vec<Rc<Lane>> = Vec::new();
        all.extend(self.pairs.borrow().iter().flat_map(|pair| pair.lanes()));
        for lane in all.iter().filter(|lane| lane.id == id || lane.run != run) {
            self.close(shard, lane);
            lane.replaced.give();
        }
        let pair = self.pair(id.pair);
        let (number, outbox) = (shard.next_lane_number(), Outbox::new(id.kind));
        let (replaced, answers) = (Signal::default(), Cell::default());
        let lane = Rc::new(Lane { id, run, pair: pair.clone(), number, outbox, replaced, answers });
        let is_first = pair.lanes().next().is_none() && self.pairs.borrow().len() == 1;
        pair.place(id.kind).replace(Some(lane.clone()));
        shard.open_lane(&lane);
        if is_first {
            shard.node.peer_is_up(self.peer, true);
            shard.peer_up(self.peer);
        }
        lane
    }

    fn pair(&self, number: u16) -> Rc<Pair> {
        let mut pairs = self.pairs.borrow_mut();
        match pairs.binary_search_by_key(&number, |pair| pair.number) {
            Ok(place) => pairs[place].clone(),
            Err(place) => {
                let pair = Pair::new(number);
                pairs.insert(place, pair.clone());
                pair
            }
        }
    }

    /// A lane has ended: what was under way over its pair, in either direction, may be lost.
    pub(super) fn close(&self, shard: &Shard, lane: &Rc<Lane>) {
        let pair = &lane.pair;
        let closed = pair.place(lane.id.kind).borrow_mut().take_if(|open| Rc::ptr_eq(open, lane));
        if closed.is_none() {
            return;
        }
        shard.close_lane(lane);
        if pair.lanes().next().is_none() {
            self.pairs.borrow_mut().retain(|other| !Rc::ptr_eq(other, pair));
        }
        let missed = pair.unacknowledged.borrow_mut().take_all();
        for (key, version) in missed {
            shard.node.missed(self.peer, &key, version);
        }
        for transmit in lane.outbox.take_backlog().filter(|transmit| transmit.request.is_read()) {
            shard.not_sent(self.peer, transmit.call);
        }
        shard.peer_down(self.peer);
        if self.is_up() {
            // What the peer has not answered is asked again over what is left, and meanwhile others are.
            shard.peer_up(self.peer);
        } else {
            shard.node.peer_is_up(self.peer, false);
        }
    }
}
