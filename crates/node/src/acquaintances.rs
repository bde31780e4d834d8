//! Whom a node has met, and whom it takes for them later (rule M1).
//!
//! A replica that comes back with an empty or an older disk has forgotten writes that it acknowledged; counted as
//! itself, it makes majorities that do not meet (PROTOCOL run BL5, nine steps). So the members remember each other's
//! directories: their random ids, how often they were started, and how many batches they have made durable.

use crate::configuration::DirectoryId;
use crate::introduction::{Introduction, Present};
use crate::nonce::{Challenges, Nonce, Occasion, Purpose, Tag};
use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// Why a member is not who this node remembers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefusal {
    /// Another directory under a known id.
    #[error(
        "node {0} came with another data directory than the one it was known by; what it had acknowledged may be \
         gone. Put the old directory back, or replace the node under a new id: atomic-kv replace {0} --with HOST:PORT"
    )]
    OtherDisk(u32),
    /// An older copy of its directory.
    #[error(
        "node {node} came with an older copy of its data directory ({what} {now}, known is {known}); what it \
         acknowledged since is gone. Replace the node under a new id: atomic-kv replace {node} --with HOST:PORT"
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
    /// Nothing shows that it is who it says.
    #[error("whoever calls himself node {0} does not show that he knows how that was met last")]
    Unproven(u32),
    /// The configuration names it no more, or with another directory.
    #[error("node {node} is no member with its data directory in the configuration of epoch {epoch}")]
    NotNamed {
        /// Who.
        node: u32,
        /// Of the newest configuration that is known.
        epoch: u32,
    },
    /// It tells of a newer configuration, and may be anybody.
    #[error(
        "node {node} tells of a configuration of epoch {epoch}, and nothing shows that it is one of this cluster"
    )]
    Unknown {
        /// Who.
        node: u32,
        /// Of the configuration.
        epoch: u32,
    },
    /// The configuration that it tells cannot be understood.
    #[error("node {0} tells what cannot be understood: {1}")]
    Unreadable(u32, String),
    /// This node could not write down whom it met.
    #[error("this node cannot write to its own disk now: {0}")]
    CannotRemember(String),
}

impl PeerRefusal {
    /// Whether the peer itself is the problem, for good: then it must not serve. `false` when this node failed, or when nothing is
    /// certain: that says nothing about the peer, and it may come again.
    pub fn is_final(&self) -> bool {
        match self {
            Self::OtherDisk(_) | Self::RolledBack { .. } | Self::Copy(..) | Self::NotNamed { .. } => true,
            Self::Unproven(_) | Self::Unknown { .. } | Self::Unreadable(..) | Self::CannotRemember(_) => {
                false
            }
        }
    }
}

/// A member, as it was when it was last met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Acquaintance {
    node: u32,
    disk: [u8; 16],
    boot: u32,
    nonce: Nonce,
    /// Batches that it has made durable, as far as it was heard.
    batches: u64,
    /// The start in which it met this node last, as far as this node has heard of that, and its nonce.
    met_in: u32,
    met_with: Nonce,
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

    /// The directory with which a node is known.
    pub fn directory_of(&self, node: u32) -> Option<DirectoryId> {
        self.known(node).map(|known| known.disk)
    }

    /// Forgets whom is not to be kept, by node and directory.
    pub(crate) fn keep(&mut self, is_kept: impl Fn(u32, DirectoryId) -> bool) {
        self.0.retain(|known| is_kept(known.node, known.disk));
    }

    /// The nonce of a member's start in which it was met last.
    pub(crate) fn nonce_of(&self, node: u32) -> Option<Nonce> {
        self.known(node).map(|known| known.nonce)
    }

    /// The start of this node in which a member met it last, and its nonce.
    pub(crate) fn met_in(&self, node: u32) -> Option<(u32, Nonce)> {
        self.known(node).map(|known| (known.met_in, known.met_with)).filter(|(boot, _)| *boot > 0)
    }

    /// A member has met this node in this start; whether that is news.
    pub(crate) fn was_met(&mut self, node: u32, boot: u32, nonce: Nonce) -> bool {
        match self.known_mut(node) {
            Some(known) if known.met_in != boot => {
                (known.met_in, known.met_with) = (boot, nonce);
                true
            }
            _ => false,
        }
    }

    /// Meets a member in a handshake with node `to`, which is this one and has had starts with these nonces. `true`: it is new or
    /// has news, which must be durable before it is told that it was met.
    ///
    /// # Errors
    /// Why it is not the member that this node remembers. Nothing has changed then.
    pub(crate) fn meet(
        &mut self,
        peer: &Introduction,
        to: u32,
        challenges: Challenges,
        own: &[Nonce],
    ) -> Result<bool, PeerRefusal> {
        let statement = peer.statement();
        let purpose = Purpose::Introduction;
        let occasion = Occasion { from: peer.node, to, challenges, purpose, statement: &statement };
        let batches = peer.sequence.min(BATCHES_MAX);
        let Some(known) = self.known_mut(peer.node) else {
            let nonce = match peer.present {
                Present::Clear(nonce) => nonce,
                Present::Sealed(tag, masked) => {
                    let own = own.iter().rev().find(|own| occasion.proves(tag, **own));
                    occasion.mask(*own.ok_or(PeerRefusal::Unproven(peer.node))?, masked)
                }
            };
            let Introduction { node, disk, boot, .. } = *peer;
            let (met_in, met_with) = (0, Nonce::UNKNOWN);
            self.0.push(Acquaintance { node, disk, boot, nonce, batches, met_in, met_with });
            return Ok(true);
        };
        if known.disk != peer.disk {
            return Err(PeerRefusal::OtherDisk(peer.node));
        }
        if peer.boot < known.boot {
            let (now, known) = (u64::from(peer.boot), u64::from(known.boot));
            return Err(PeerRefusal::RolledBack { node: peer.node, what: "boot count", now, known });
        }
        let of_known = peer.proofs.iter().find(|proof| proof.boot == known.boot);
        let proof = of_known.ok_or(PeerRefusal::Unproven(peer.node))?;
        // Its own memory of the start that this node met: another one is the start of a copy.
        if !occasion.proves(proof.tag, known.nonce) {
            return Err(PeerRefusal::Copy(peer.node, known.boot));
        }
        if known.boot == peer.boot {
            // The same run. Its greeting may be older than a reply on another connection that was read first, so a lower
            // count is no evidence here, while a refusal would end a healthy node.
            known.batches = known.batches.max(batches);
            return Ok(false);
        }
        if batches < known.batches {
            let (now, known) = (peer.sequence, known.batches);
            return Err(PeerRefusal::RolledBack { node: peer.node, what: "durable batches", now, known });
        }
        known.nonce = occasion.mask(known.nonce, proof.masked);
        (known.boot, known.batches) = (peer.boot, batches);
        Ok(true)
    }

    /// Whether a statement about this node, `to`, is that of the member `from`: it shows that it knows the nonce with which this node
    /// met it last. Whoever was never met is believed.
    pub(crate) fn believes(
        &self,
        from: u32,
        to: u32,
        challenges: Challenges,
        purpose: Purpose,
        statement: &[u8],
        tags: &[Tag],
    ) -> bool {
        let occasion = Occasion { from, to, challenges, purpose, statement };
        self.known(from).is_none_or(|known| tags.iter().any(|tag| occasion.proves(*tag, known.nonce)))
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
mod tests;
