//! Whom a node has met, and whom it takes for them later (rule M1).
//!
//! A replica that comes back with an empty or an older disk has forgotten writes that it acknowledged; counted as
//! itself, it makes majorities that do not meet (PROTOCOL run BL5, nine steps). So the members remember each other's
//! directories: their random ids, how often they were started, and how many batches they have made durable.

use crate::hello::Introduction;
use crate::nonce::Nonce;
use serde::{Deserialize, Serialize};

/// Why a member is not who this node remembers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefusal {
    /// Another directory under a known id.
    #[error(
        "node {0} came with another data directory than the one it was known by; what it had acknowledged may be \
         gone. Put the old directory back, or replace the node under a new id"
    )]
    OtherDisk(u32),
    /// An older copy of its directory.
    #[error(
        "node {node} came with an older copy of its data directory ({what} {now}, known is {known}); what it \
         acknowledged since is gone. Replace the node under a new id"
    )]
    RolledBack {
        /// Who.
        node: u32,
        /// What went back.
        what: &'static str,
        /// As presented.
        now: u64,
        /// As remembered.
        known: u64,
    },
    /// Two processes on copies of one directory.
    #[error("node {0} runs on a copy of its data directory: boot {1} was seen before, in another run")]
    Copy(u32, u32),
    /// This node could not write down whom it met.
    #[error("this node cannot write to its own disk now: {0}")]
    CannotRemember(String),
}

impl PeerRefusal {
    /// Whether the peer itself is the problem, for good: then it must not serve. `false` when this node failed, which
    /// says nothing about the peer: it may come again.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::CannotRemember(_))
    }
}

/// A member, as it was when it was last met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acquaintance {
    node: u32,
    disk: [u8; 16],
    boot: u32,
    nonce: Nonce,
    /// Batches that it has made durable, as far as it was heard.
    batches: u64,
}

impl Acquaintance {
    fn of(peer: &Introduction) -> Self {
        let Introduction { node, disk, boot, nonce, sequence, .. } = *peer;
        Self { node, disk, boot, nonce: Nonce(nonce), batches: sequence.min(BATCHES_MAX) }
    }
}

/// Counts are written as TOML, whose integers are signed. No node writes so many.
const BATCHES_MAX: u64 = i64::MAX.unsigned_abs();

/// Everybody whom a node has met.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Acquaintances(Vec<Acquaintance>);

impl Acquaintances {
    fn known(&self, node: u32) -> Option<&Acquaintance> {
        self.0.iter().find(|known| known.node == node)
    }

    fn known_mut(&mut self, node: u32) -> Option<&mut Acquaintance> {
        self.0.iter_mut().find(|known| known.node == node)
    }

    /// Meets a member. `true`: it is new or has news, which must be durable before it is told that it was met.
    ///
    /// # Errors
    /// Why it is not the member that this node remembers.
    pub fn meet(&mut self, peer: &Introduction) -> Result<bool, PeerRefusal> {
        let met = Acquaintance::of(peer);
        let Some(known) = self.known_mut(peer.node) else {
            self.0.push(met);
            return Ok(true);
        };
        if known.disk != met.disk {
            return Err(PeerRefusal::OtherDisk(peer.node));
        }
        if met.boot < known.boot {
            let (now, known) = (u64::from(met.boot), u64::from(known.boot));
            return Err(PeerRefusal::RolledBack { node: peer.node, what: "boot count", now, known });
        }
        // Its own memory of the start that this node met: another one is the start of a copy.
        if peer.nonce_of(known.boot).is_some_and(|nonce| nonce != known.nonce.0) {
            return Err(PeerRefusal::Copy(peer.node, known.boot));
        }
        if known.boot == met.boot {
            // The same run. Its greeting may be older than a reply on another connection that was read first, so a lower
            // count is no evidence here, while a refusal would end a healthy node.
            known.batches = known.batches.max(met.batches);
            return Ok(false);
        }
        if met.batches < known.batches {
            let (now, known) = (peer.sequence, known.batches);
            return Err(PeerRefusal::RolledBack { node: peer.node, what: "durable batches", now, known });
        }
        *known = met;
        Ok(true)
    }

    /// A member that was met said how many batches it has made durable; whether that is news.
    pub fn observe(&mut self, node: u32, batches: u64) -> bool {
        let batches = batches.min(BATCHES_MAX);
        match self.known_mut(node) {
            Some(known) if known.batches < batches => {
                known.batches = batches;
                true
            }
            _ => false,
        }
    }

    /// Takes over what was observed of members by somebody who knows the same ones.
    pub fn observe_all(&mut self, others: &Self) {
        for other in &others.0 {
            self.observe(other.node, other.batches);
        }
    }

    /// The boot count under which a member is known, and how many batches it has made durable.
    pub fn boot_and_batches(&self, node: u32) -> Option<(u32, u64)> {
        self.known(node).map(|known| (known.boot, known.batches))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acquainted() -> (Acquaintances, Introduction) {
        let met =
            Introduction { node: 2, disk: [7; 16], boot: 3, nonce: 9, ancestry: Vec::new(), sequence: 100 };
        let mut known = Acquaintances::default();
        assert_eq!(known.meet(&met), Ok(true));
        assert_eq!(known.meet(&met), Ok(false));
        (known, met)
    }

    #[test]
    fn m1_another_or_an_older_directory_is_refused() {
        let (mut known, met) = acquainted();
        assert_eq!(known.meet(&Introduction { boot: 4, nonce: 8, ..met.clone() }), Ok(true));
        let mut refused = |peer| known.meet(&peer).unwrap_err();
        assert_eq!(refused(Introduction { disk: [8; 16], ..met.clone() }), PeerRefusal::OtherDisk(2));
        assert!(matches!(refused(met.clone()), PeerRefusal::RolledBack { what: "boot count", .. }));
        assert_eq!(refused(Introduction { boot: 4, nonce: 1, ..met.clone() }), PeerRefusal::Copy(2, 4));
        let older = Introduction { boot: 5, nonce: 1, sequence: 99, ..met };
        assert!(matches!(refused(older), PeerRefusal::RolledBack { what: "durable batches", .. }));
    }

    #[test]
    fn an_older_greeting_of_the_same_run_is_no_rollback() {
        let (mut known, met) = acquainted();
        assert!(known.observe(2, 200));
        assert_eq!(known.meet(&met), Ok(false));
        // It did not lower what is remembered, nor does an older count.
        assert!(!known.observe(2, 150));
        let restarted = Introduction { boot: 4, nonce: 1, sequence: 150, ..met };
        assert!(matches!(known.meet(&restarted), Err(PeerRefusal::RolledBack { now: 150, known: 200, .. })));
    }

    #[test]
    fn counts_of_nobody_and_counts_that_no_file_could_hold() {
        let (mut known, _) = acquainted();
        assert!(!known.observe(3, 5), "nobody has met it");
        assert!(known.observe(2, u64::MAX));
        assert_eq!(known.boot_and_batches(2), Some((3, i64::MAX.unsigned_abs())));
    }
}
