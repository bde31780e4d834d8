//! Who decides what: ballots of consensus, the identity of updates, and the configuration that all of it belongs to.
//!
//! An update of a key is decided by one instance of single-decree Paxos (Lamport, *The Part-Time Parliament*, 1998) for each pair of
//! key and base (rule P1). Formats are those of PROTOCOL section 5.7: big-endian, so that byte order is the order.

use core::fmt;

/// The largest round that a ballot may have. Above it a ballot is rejected at decode, so that no peer can use the rounds up.
pub const ROUND_CEILING: u64 = (1 << 63) - 1;

/// A part of the keys and the configuration that serves it, counted from one. Every request and every ballot belongs to one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Scope {
    /// Which part of the keys; there is one so far.
    pub partition: u32,
    /// Which configuration of it.
    pub epoch: u32,
}

impl Scope {
    /// All keys, and the members that the cluster began with.
    pub const FIRST: Self = Self { partition: 0, epoch: 1 };
}

/// A ballot of one instance. No two proposers share one: the process issues each round once, and `boot` tells its runs apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// The configuration in which it was begun.
    pub epoch: u32,
    /// Counts up; zero is kept for the coordinator that made the base (PROTOCOL section 5.8).
    pub round: u64,
    /// The proposer.
    pub node: u32,
    /// The proposer's incarnation.
    pub boot: u32,
}

impl Ballot {
    /// Below every ballot that anybody begins.
    pub const MIN: Self = Self { epoch: 0, round: 0, node: 0, boot: 0 };

    /// Encoded size in bytes.
    pub const LEN: usize = 20;

    /// Big-endian bytes, whose order is the order of ballots.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[4..].copy_from_slice(&self.update().to_bytes());
        bytes
    }

    /// The inverse of [`Ballot::to_bytes`].
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let (epoch, rest) = bytes.split_at(4);
        let epoch = u32::from_be_bytes(epoch.try_into().unwrap_or_default());
        let UpdateId { round, node, boot } =
            UpdateId::from_bytes(rest.try_into().unwrap_or(&[0; UpdateId::LEN]));
        Self { epoch, round, node, boot }
    }

    /// The identity of the update that is first proposed under this ballot.
    pub const fn update(self) -> UpdateId {
        UpdateId { round: self.round, node: self.node, boot: self.boot }
    }
}

impl fmt::Debug for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}.{}@n{}.{}", self.epoch, self.round, self.node, self.boot)
    }
}

/// The identity of what an update proposes: the ballot, without its epoch, under which it was first proposed.
///
/// It is a part of the value that the update makes, so that whoever sees the successor of a base knows who won there (rule P3').
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpdateId {
    /// As [`Ballot::round`].
    pub round: u64,
    /// As [`Ballot::node`].
    pub node: u32,
    /// As [`Ballot::boot`].
    pub boot: u32,
}

impl UpdateId {
    /// That of a plain write.
    pub const NONE: Self = Self { round: 0, node: 0, boot: 0 };

    /// Encoded size in bytes.
    pub const LEN: usize = 16;

    /// Big-endian bytes.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.round.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.node.to_be_bytes());
        bytes[12..].copy_from_slice(&self.boot.to_be_bytes());
        bytes
    }

    /// The inverse of [`UpdateId::to_bytes`].
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let half = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Self { round: u64::from(half(0)) << 32 | u64::from(half(4)), node: half(8), boot: half(12) }
    }
}

impl fmt::Debug for UpdateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NONE => f.write_str("no update"),
            Self { round, node, boot } => write!(f, "u{round}@n{node}.{boot}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn ballots_come_back_and_the_order_of_bytes_is_theirs() {
        let mut ballots = vec![Ballot::MIN];
        for epoch in [0, 1, 256] {
            for round in [0, 1, 255, 1 << 40] {
                for (node, boot) in [(1, 1), (1, 300), (2, 1)] {
                    ballots.push(Ballot { epoch, round, node, boot });
                }
            }
        }
        for a in &ballots {
            assert_eq!(Ballot::from_bytes(&a.to_bytes()), *a);
            assert_eq!(UpdateId::from_bytes(&a.update().to_bytes()), a.update());
            assert!(ballots.iter().all(|b| a.cmp(b) == a.to_bytes().cmp(&b.to_bytes())));
        }
    }
}
