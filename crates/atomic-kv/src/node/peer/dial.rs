//! The dialling side: an event loop's lanes to a member, each opened anew whenever it is lost.
//!
//! The node with the lower id dials. The other one does so, too, when it has waited for that in vain: nobody may know where it
//! listens now, or the way to it may be barred. Should both dial at once, the later connection takes the place of the earlier
//! one; if that costs both, as either side has seen the other order, one of them dials again at once and the other waits.

use super::connect::{ConnectError, connect};
use super::greet::{self, Greeted, GreetingError};
use super::lane;
use super::lanes::Lanes;
use crate::logging::limit::limited;
use crate::node::now_instant;
use crate::node::shard::Shard;
use crate::node::supervise;
use ::node::hello::{LaneId, LaneKind};
use ::node::lanes::{pair_count, pairs_of};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Pauses between attempts to connect.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// So long the node with the higher id waits to be dialled.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often somebody who need not dial looks whether that is still so.
const LOOK_EVERY: Duration = Duration::from_millis(500);

struct Dialler {
    shard: Rc<Shard>,
    lanes: Rc<Lanes>,
    address: String,
    /// How many event loops the peer has, as far as it has said.
    their_loops: Cell<u16>,
    kept: RefCell<BTreeSet<LaneId>>,
}

/// Keeps an event loop's lanes to a peer up, for as long as the node lives.
pub(crate) fn keep_lanes(shard: &Rc<Shard>, lanes: &Rc<Lanes>, address: &str) {
    let (shard, lanes, address) = (shard.clone(), lanes.clone(), address.to_owned());
    let (their_loops, kept) = (Cell::new(1), RefCell::default());
    Rc::new(Dialler { shard, lanes, address, their_loops, kept }).keep_all();
}

#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Greeting(#[from] GreetingError),
}

impl Dialler {
    /// Keeps those up that are not kept up yet.
    fn keep_all(self: &Rc<Self>) {
        let index = u16::try_from(self.shard.index).unwrap_or(u16::MAX);
        for pair in pairs_of(index, self.shard.node.loop_count(), self.their_loops.get()) {
            for kind in [LaneKind::Small, LaneKind::Bulk] {
                let id = LaneId { kind, pair };
                if self.kept.borrow_mut().insert(id) {
                    supervise::task(&self.shard.node, "lane", self.clone().keep(id));
                }
            }
        }
    }

    async fn keep(self: Rc<Self>, id: LaneId) {
        let (mut pause, mut complaint, mut in_vain) = (PAUSE.0, String::new(), None);
        let patience = if self.lanes.peer > self.shard.node.id { Duration::ZERO } else { PATIENCE };
        let mut last_up = now_instant();
        loop {
            // The peer may have fewer event loops than it had.
            let is_wanted = id.pair < pair_count(self.shard.node.loop_count(), self.their_loops.get());
            if !is_wanted || self.lanes.has(id) {
                last_up = now_instant();
            }
            if !is_wanted || self.lanes.has(id) || now_instant().since(last_up) < patience {
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            }
            match self.dial(id, &mut in_vain).await {
                Ok(greeted) => {
                    (pause, complaint, in_vain) = (PAUSE.0, String::new(), None);
                    self.their_loops.set(greeted.about.loops);
                    self.keep_all();
                    lane::serve(&self.shard, &self.lanes, id, greeted).await;
                    last_up = now_instant();
                }
                Err(why) => self.complain(id, &why, &mut complaint),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn dial(&self, id: LaneId, in_vain: &mut Option<SocketAddr>) -> Result<Greeted, DialError> {
        let stream = connect(&self.address, *in_vain).await?;
        let there = stream.peer_addr().ok();
        let greeted = greet::dialled(&self.shard.node, self.lanes.peer, id, stream).await;
        if greeted.is_err() {
            // Somebody else may listen there.
            *in_vain = there;
        }
        Ok(greeted?)
    }

    /// Says once why a peer cannot be reached. While no lane is up, one of them speaks for all.
    fn complain(&self, id: LaneId, why: &DialError, complaint: &mut String) {
        let text = why.to_string();
        if text == *complaint || (id.kind == LaneKind::Bulk && !self.lanes.is_up()) {
            return;
        }
        let (peer, address) = (self.lanes.peer.0, &self.address);
        if let DialError::Greeting(GreetingError::Refused { .. }) = why {
            limited!(warn, "refused a peer", peer, address, why = text);
        } else {
            limited!(info, "cannot reach a peer yet; trying again", peer, address, why = text);
        }
        *complaint = text;
    }
}
