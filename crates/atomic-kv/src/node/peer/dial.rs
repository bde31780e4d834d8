//! The dialling side: an event loop's lanes to a member, each opened anew whenever it is lost.

use super::connect::{ConnectError, connect};
use super::greet::{self, GreetingError, NewLane};
use super::lane;
use crate::logging::limit::limited;
use crate::node::now_instant;
use crate::node::shard::Shard;
use ::node::hello::{LaneId, LaneKind};
use ::node::peer::dialling::{Dialling, Redial, is_wanted, lanes_of};
use ::node::peer::greeting::Own;
use abd::NodeId;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;

struct Dialler {
    shard: Rc<Shard>,
    peer: NodeId,
    address: String,
    /// How many event loops the peer has, as far as it has said.
    their_loops: Cell<u16>,
    kept: RefCell<BTreeSet<LaneId>>,
}

/// Keeps an event loop's lanes to a peer up, for as long as the node lives.
pub(crate) fn keep_lanes(shard: &Rc<Shard>, peer: NodeId, address: &str) {
    let (shard, address) = (shard.clone(), address.to_owned());
    let (their_loops, kept) = (Cell::new(1), RefCell::default());
    Rc::new(Dialler { shard, peer, address, their_loops, kept }).keep_all();
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
        for id in lanes_of(index, self.own().loops, self.their_loops.get()) {
            if self.kept.borrow_mut().insert(id) {
                self.shard.supervisor.task("lane", self.clone().keep(id));
            }
        }
    }

    fn own(&self) -> &Own {
        &self.shard.membership.own
    }

    async fn keep(self: Rc<Self>, id: LaneId) {
        let mut dialling = Dialling::new(self.own().id, self.peer, now_instant());
        let (mut complaint, mut in_vain) = (String::new(), None);
        loop {
            let is_wanted = is_wanted(id, self.own().loops, self.their_loops.get());
            if let Redial::At(then) = dialling.poll(is_wanted && !self.has(id), now_instant()) {
                tokio::time::sleep(then.since(now_instant())).await;
                continue;
            }
            match self.dial(id, &mut in_vain).await {
                Ok(lane) => {
                    (complaint, in_vain) = (String::new(), None);
                    self.their_loops.set(lane.member.about.loops);
                    self.keep_all();
                    lane::serve(&self.shard, lane).await;
                    dialling.handle_ended(now_instant());
                }
                Err(DialError::Greeting(GreetingError::Fatal(why))) => {
                    return self.shard.supervisor.fail(why);
                }
                Err(DialError::Greeting(GreetingError::Retired(told))) => {
                    return self.shard.supervisor.retire(&told);
                }
                Err(why) => {
                    self.complain(id, &why, &mut complaint);
                    dialling.handle_failed(now_instant());
                }
            }
        }
    }

    fn has(&self, id: LaneId) -> bool {
        self.shard.look(|machine| machine.has_lane(self.peer, id))
    }

    async fn dial(&self, id: LaneId, in_vain: &mut Option<SocketAddr>) -> Result<NewLane, DialError> {
        let stream = connect(&self.address, *in_vain).await?;
        let there = stream.peer_addr().ok();
        let greeted = greet::dialled(&self.shard.membership, self.peer, id, stream).await;
        if greeted.is_err() {
            // Somebody else may listen there.
            *in_vain = there;
        }
        Ok(greeted?)
    }

    /// Says once why a peer cannot be reached. While no lane is up, one of them speaks for all.
    fn complain(&self, id: LaneId, why: &DialError, complaint: &mut String) {
        let text = why.to_string();
        if text == *complaint
            || (id.kind == LaneKind::Bulk && !self.shard.look(|machine| machine.is_up(self.peer)))
        {
            return;
        }
        let (peer, address) = (self.peer.0, &self.address);
        if let DialError::Greeting(GreetingError::Refused { .. }) = why {
            limited!(warn, "refused a peer", peer, address, why = text);
        } else {
            limited!(info, "cannot reach a peer yet; trying again", peer, address, why = text);
        }
        *complaint = text;
    }
}
