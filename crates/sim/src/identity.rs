//! Rule M1 as the node applies it: who comes back with another disk, or with an older copy of its own, is refused by
//! the others and must not serve. The rules of `meet` are those of the node's own `identity` module.

use std::collections::BTreeMap;

/// What a node knows about itself and the others, durably.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The random id of the disk.
    pub disk: u64,
    /// How often it was started.
    pub boot: u32,
    /// Random for each start: of all of them, the present one last.
    nonces: Vec<u64>,
    /// Whether every other member has confirmed this disk.
    pub admitted: bool,
    peers: BTreeMap<u32, Acquaintance>,
}

#[derive(Clone, Copy, Debug)]
struct Acquaintance {
    disk: u64,
    boot: u32,
    nonce: u64,
    sequence: u64,
}

/// How a node presents itself to another.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// Which node, from zero.
    pub node: u32,
    disk: u64,
    boot: u32,
    nonces: Vec<u64>,
    sequence: u64,
}

impl Identity {
    /// Of an empty disk.
    pub fn new(disk: u64) -> Self {
        Self { disk, boot: 0, nonces: Vec::new(), admitted: false, peers: BTreeMap::new() }
    }

    /// Counts a start.
    pub fn start(&mut self, nonce: u64) {
        self.boot += 1;
        self.nonces.push(nonce);
    }

    /// How this node presents itself.
    pub fn introduction(&self, node: u32, sequence: u64) -> Introduction {
        Introduction { node, disk: self.disk, boot: self.boot, nonces: self.nonces.clone(), sequence }
    }

    /// Meets a member.
    ///
    /// # Errors
    /// Why it is not the member that this node remembers.
    pub fn meet(&mut self, peer: Introduction) -> Result<(), String> {
        // A start count begins at 1, and each start has left a nonce.
        let nonce_of = |boot: u32| peer.nonces.get(boot as usize - 1).copied().unwrap_or_default();
        let met = Acquaintance {
            disk: peer.disk,
            boot: peer.boot,
            nonce: nonce_of(peer.boot),
            sequence: peer.sequence,
        };
        let Some(known) = self.peers.get_mut(&peer.node) else {
            self.peers.insert(peer.node, met);
            return Ok(());
        };
        let name = peer.node + 1;
        if known.disk != met.disk {
            return Err(format!("n{name} came with another disk"));
        }
        if met.boot < known.boot {
            return Err(format!("n{name} came with boot {}, known is {}", met.boot, known.boot));
        }
        if nonce_of(known.boot) != known.nonce {
            return Err(format!("n{name} runs on a copy: boot {} was seen in another run", known.boot));
        }
        if met.boot == known.boot {
            known.sequence = known.sequence.max(met.sequence);
            return Ok(());
        }
        if met.sequence < known.sequence {
            return Err(format!("n{name} came with {} batches, known are {}", met.sequence, known.sequence));
        }
        *known = met;
        Ok(())
    }

    /// The boot count under which this node knows a member.
    pub fn known_boot(&self, node: u32) -> Option<u32> {
        self.peers.get(&node).map(|known| known.boot)
    }

    /// A member said how many batches it has made durable.
    pub fn observe(&mut self, node: u32, sequence: u64) {
        if let Some(known) = self.peers.get_mut(&node) {
            known.sequence = known.sequence.max(sequence);
        }
    }
}
