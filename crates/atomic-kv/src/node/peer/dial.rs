//! The dialling side: an event loop's lanes to whom the configuration names, each opened anew whenever it is lost.

use super::connect::{ConnectError, connect};
use super::greet::{self, GreetingError, NewLane};
use super::lane;
use crate::logging::limit::limited;
use crate::node::now_instant;
use crate::node::shard::Shard;
use ::node::hello::{LaneId, LaneKind};
use ::node::peer::dialling::{Dialling, Redial, is_wanted, lanes_of};
use ::node::peer::greeting::Own;
use ::node::shard::PARTING;
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
    /// The configuration does not name this peer any more, or not at this address.
    is_over: Cell<bool>,
}

/// Keeps an event loop's lanes up to all whom the installed configuration names, and to nobody else, for as long as the node lives.
pub(crate) async fn keep_lanes(shard: Rc<Shard>) {
    let membership = &shard.membership;
    let mut installed = membership.follow();
    let mut diallers: Vec<Rc<Dialler>> = Vec::new();
    loop {
        let configuration = installed.borrow_and_update().clone();
        let mut peers = configuration.everybody();
        peers.retain(|peer| peer.id != membership.own.id);
        diallers.retain(|dialler| {
            let is_over =
                !peers.iter().any(|peer| peer.id == dialler.peer && peer.address == dialler.address);
            dialler.is_over.set(is_over);
            !is_over
        });
        for peer in &peers {
            if !diallers.iter().any(|dialler| dialler.peer == peer.id) {
                let dialler = Dialler::new(&shard, peer.id, &peer.address);
                dialler.keep_all();
                diallers.push(dialler);
            }
        }
        tokio::task::spawn_local(part(shard.clone(), configuration.epoch()));
        if installed.changed().await.is_err() {
            return;
        }
    }
}

/// Closes the lanes of those who are named no more, when they have heard it. Once there is a newer configuration that is for its time.
async fn part(shard: Rc<Shard>, epoch: u32) {
    tokio::time::sleep(PARTING).await;
    if shard.membership.configuration().epoch() == epoch {
        shard.dismiss(|peer| !shard.membership.knows(peer));
    }
}

#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Greeting(#[from] GreetingError),
}

impl Dialler {
    fn new(shard: &Rc<Shard>, peer: NodeId, address: &str) -> Rc<Self> {
        let (shard, address) = (shard.clone(), address.to_owned());
        let (their_loops, kept, is_over) = (Cell::new(1), RefCell::default(), Cell::new(false));
        Rc::new(Self { shard, peer, address, their_loops, kept, is_over })
    }

    /// Keeps those up that are not kept up yet.
    fn keep_all(self: &Rc<Self>) {
        let index = u16::try_from(self.shard.index).unwrap_or(u16::MAX);
        for id in lanes_of(index, self.own().loops, self.their_loops.get()) {
            if self.kept.borrow_mut().insert(id) {
                self.shard.supervisor.errand("lane", self.clone().keep(id));
            }
        }
    }

    fn own(&self) -> &Own {
        &self.shard.membership.own
    }

    async fn keep(self: Rc<Self>, id: LaneId) {
        let mut dialling = Dialling::new(self.own().id, self.peer, now_instant());
        let (mut complaint, mut in_vain) = (String::new(), None);
        while !self.is_over.get() {
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
