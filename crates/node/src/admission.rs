//! Whether a node votes and whether it begins operations (rules M1 and V1), whom it reaches, and whether it is about to stop.
//!
//! This is a pure state machine, of which a node has one. Event loops ask at every request: whoever shares it between them keeps
//! what is asked so often beside it.

use crate::configuration::{Configuration, DirectoryId};
use abd::{NodeId, NodeSet, QuorumSystem, Reason, Standing};
use alloc::collections::BTreeMap;

/// What a node has been let into.
#[derive(Debug)]
pub struct Admission {
    own: NodeId,
    quorums: QuorumSystem,
    /// Everybody whom the configuration names, whether he votes or is awaited.
    named: NodeSet,
    right: Right,
    /// Every other member has confirmed this node's data directory, now or in an earlier run; that is durable.
    admitted: bool,
    /// Those of the others who have met this node since its start.
    met: NodeSet,
    /// Enough have, so that operations may begin.
    begun: bool,
    stopping: bool,
    /// In which epoch this node was a member no more.
    retired: Option<u32>,
    /// To whom event loops have a lane, and how many of them.
    lanes: BTreeMap<NodeId, usize>,
}

/// Why a node may vote (rule M1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Right {
    /// Every other member has to confirm its directory: the configuration names none.
    Confirmed,
    /// The configuration names it with its directory.
    Named,
    /// It may not: the configuration does not name it, or with another directory.
    None,
}

impl Right {
    fn of(own: NodeId, directory: DirectoryId, configuration: &Configuration) -> Self {
        let is_open =
            configuration.members.iter().any(|member| member.id == own && member.directory.is_none());
        match configuration.is_voter(own, directory) {
            true if is_open => Self::Confirmed,
            true => Self::Named,
            false => Self::None,
        }
    }
}

impl Admission {
    /// Of a node at its start. `admitted`: its directory says that all members of the first configuration have confirmed it.
    pub fn new(configuration: &Configuration, own: NodeId, directory: DirectoryId, admitted: bool) -> Self {
        let mut admission = Self {
            own,
            quorums: configuration.quorums(),
            named: named(configuration),
            right: Right::of(own, directory, configuration),
            admitted,
            met: NodeSet::EMPTY,
            begun: false,
            stopping: false,
            retired: None,
            lanes: BTreeMap::new(),
        };
        admission.look();
        admission
    }

    /// A configuration is installed, and the directory of this node is that one. Whether it votes now and has not before. One that is
    /// older than what is known changes nothing.
    ///
    /// Who has met it before has met it still. An operation that has begun goes on, and others begin as before if this node votes:
    /// rule V1 is about what was before its start.
    pub fn install(&mut self, configuration: &Configuration, directory: DirectoryId) -> bool {
        if configuration.scope.epoch < self.quorums.scope().epoch {
            return false;
        }
        let voted = self.is_admitted();
        self.quorums = configuration.quorums();
        self.named = named(configuration);
        self.met = self.met.common(self.named);
        self.right = Right::of(self.own, directory, configuration);
        self.look();
        self.is_admitted() && !voted
    }

    /// Voters of whom something is true, and this node.
    fn voters(&self, holds: impl Fn(NodeId) -> bool) -> NodeSet {
        self.quorums.voters().iter().filter(|id| *id == self.own || holds(*id)).collect()
    }

    fn look(&mut self) {
        let met = self.voters(|id| self.met.contains(id));
        self.begun |= self.is_admitted() && self.quorums.is_quorum(met);
    }

    /// Somebody has durably remembered this node's directory (rule M1). `true`: so has every other member in this run, and this
    /// node needs that and is not admitted yet. Once that is durable, it is [`Admission::admit`]ted.
    pub fn confirmed_by(&mut self, peer: NodeId) -> bool {
        if peer != self.own && self.named.contains(peer) {
            self.met.insert(peer);
        }
        self.look();
        let all = self.quorums.members().iter().all(|id| id == self.own || self.met.contains(id));
        all && self.right == Right::Confirmed && !self.admitted
    }

    /// That every member has confirmed this directory is durable; whether that is news.
    pub fn admit(&mut self) -> bool {
        let before = core::mem::replace(&mut self.admitted, true);
        self.look();
        !before
    }

    /// Whether this node votes.
    pub fn is_admitted(&self) -> bool {
        match self.right {
            Right::Confirmed => self.admitted,
            Right::Named => true,
            Right::None => false,
        }
    }

    /// How its replica stands. `writable`: its disk has room.
    pub fn standing(&self, writable: bool) -> Standing {
        Standing { admitted: self.is_admitted(), writable }
    }

    /// Whether this node may begin operations, and so issue timestamps (rule V1): it votes, and since its start a quorum has met
    /// it. On an old copy of its disk it would issue with TrueTime, which asks nobody first, what its former self has issued
    /// under the same boot count; whoever met that one refuses the copy.
    pub fn may_begin(&self) -> bool {
        self.begun && self.is_admitted() && !self.is_stopping()
    }

    /// From now on no operation begins here, and what waits to begin is refused.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// As [`stop`](Self::stop), as a configuration of this epoch names the node no more.
    pub fn retire(&mut self, epoch: u32) {
        self.retired = self.retired.or(Some(epoch));
    }

    /// Whether it is about to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping || self.retired.is_some()
    }

    /// Why it may not begin operations.
    pub fn not_begun(&self) -> Reason {
        if let Some(epoch) = self.retired {
            return Reason::Retired { epoch };
        }
        if self.stopping {
            return Reason::Stopping;
        }
        if !self.is_admitted() {
            return if self.right == Right::None { Reason::NoVote } else { Reason::NotAdmitted };
        }
        let met = self.voters(|id| self.met.contains(id));
        let (met, needed, members) = self.quorums.shortfall(met);
        Reason::MajorityNotMet { met, needed, members }
    }

    /// Why no operation can be expected to succeed now, in the words of the errors that clients get. `None`: this node is
    /// ready. `has_time`: there is an interval, or none is needed.
    pub fn not_ready(&self, has_time: bool) -> Option<Reason> {
        if !self.may_begin() {
            return Some(self.not_begun());
        }
        if !has_time {
            return Some(Reason::ClockUnknown);
        }
        let up = self.voters(|id| self.is_up(id));
        let (answered, needed, members) = self.quorums.shortfall(up);
        let reason = Reason::NoQuorum { answered, needed, members, refusal: None };
        (!self.quorums.is_quorum(up)).then_some(reason)
    }

    /// An event loop has a lane to a peer, or has none any more. `true`: it is the first, or was the last.
    ///
    /// # Panics
    /// When an event loop has lost a lane of which it has never said that it is up.
    pub fn lanes_changed(&mut self, peer: NodeId, up: bool) -> bool {
        if up {
            let loops = self.lanes.entry(peer).or_default();
            *loops += 1;
            return *loops == 1;
        }
        let Some(loops) = self.lanes.get_mut(&peer) else {
            panic!("an event loop had a lane to node {peer} and never said so")
        };
        *loops -= 1;
        let was_last = *loops == 0;
        if was_last {
            self.lanes.remove(&peer);
        }
        was_last
    }

    /// Whether any event loop has a lane to a peer.
    pub fn is_up(&self, peer: NodeId) -> bool {
        self.lanes.contains_key(&peer)
    }
}

/// Everybody whom a configuration names.
fn named(configuration: &Configuration) -> NodeSet {
    configuration.everybody().iter().map(|member| member.id).collect()
}

#[cfg(test)]
mod tests;
