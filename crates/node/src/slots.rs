//! Hash slots, as in the specification of Redis Cluster, and which member each of them belongs to.
//!
//! Every node takes every key: a slot only says at which node a client does best to ask, so that load is spread and a key has
//! a home. Nothing is stored by slots, and nothing is lost by nodes that deal them differently for a moment.
//!
//! A slot has an order of preference of all members, and belongs to the first of them that answers. That is the idea of
//! rendezvous hashing (Thaler and Ravishankar, 1998): whoever stops answering gives away its own slots and no other slot moves,
//! to all that are left alike. Hashing would draw the orders; here all `n!` of them are dealt in turn, in lexicographic order.
//! So every set of members shares the slots evenly, not just nearly, and neighbours stay together: while all answer, a member
//! has one range. Drawn, a table for clients would have some ten thousand ranges, a megabyte for each time that one asks.

use abd::{NodeId, NodeSet};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// How many slots there are.
pub const SLOTS: u16 = 1 << 14;

/// The most members between whom slots are dealt.
const MEMBERS_MAX: usize = 12;

/// The table of CRC-16/XMODEM: polynomial 0x1021, most significant bit first.
const CRC16: [u16; 256] = {
    let (mut table, mut byte) = ([0; 256], 0_u16);
    while byte < 256 {
        let (mut crc, mut bit) = (byte << 8, 0);
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
};

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| crc << 8 ^ CRC16[usize::from(crc.to_be_bytes()[0] ^ byte)])
}

/// The slot of a key: that of its hash tag, if it has one.
pub fn slot_of(key: &[u8]) -> u16 {
    crc16(hash_tag(key).unwrap_or(key)) % SLOTS
}

/// What stands between the first `{` and the first `}` behind it, if anything does.
fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let start = key.iter().position(|&byte| byte == b'{')? + 1;
    let length = key[start..].iter().position(|&byte| byte == b'}')?;
    (length > 0).then(|| &key[start..start + length])
}

/// The member that a slot belongs to, of `members`, in ascending order, of whom those in `up` answer. `None`: nobody does.
///
/// # Panics
/// When there is no such slot, or there are more than 12 members.
pub fn owner(slot: u16, members: &[NodeId], up: NodeSet) -> Option<NodeId> {
    owned_until(slot, members, up).map(|(owner, _)| owner)
}

/// The member that is preferred for a key: that which its slot belongs to.
pub fn owner_of_key(key: &[u8], members: &[NodeId], up: NodeSet) -> Option<NodeId> {
    owner(slot_of(key), members, up)
}

/// All slots in ascending ranges, each as long as can be, with the member that it belongs to. Empty when nobody answers.
pub fn deal(members: &[NodeId], up: NodeSet) -> Vec<(RangeInclusive<u16>, NodeId)> {
    let mut ranges: Vec<(RangeInclusive<u16>, NodeId)> = Vec::new();
    let mut slot = 0;
    while slot < SLOTS {
        let Some((owner, until)) = owned_until(slot, members, up) else { return Vec::new() };
        match ranges.last_mut() {
            Some((range, last)) if *last == owner => *range = *range.start()..=until - 1,
            _ => ranges.push((slot..=until - 1, owner)),
        }
        slot = until;
    }
    ranges
}

/// Whom a slot belongs to, and a later slot before which all belong to the same member.
fn owned_until(slot: u16, members: &[NodeId], up: NodeSet) -> Option<(NodeId, u16)> {
    assert!(slot < SLOTS, "slot {slot} is none of {SLOTS}");
    assert!(
        members.len() <= MEMBERS_MAX,
        "slots are dealt between {MEMBERS_MAX} members at the most, not {}",
        members.len()
    );
    let slots = u64::from(SLOTS);
    let orders: u64 = (1..=members.len() as u64).product();
    // The orders are counted lexicographically: those that begin with the same members follow each other.
    let order = u64::from(slot) * orders / slots;
    let (mut left, mut first, mut alike): (Vec<NodeId>, u64, u64) = (members.to_vec(), 0, orders);
    while !left.is_empty() {
        alike /= left.len() as u64;
        let place = (order - first) / alike;
        first += place * alike;
        let member = left.remove(usize::try_from(place).unwrap_or(usize::MAX));
        if up.contains(member) {
            let until = ((first + alike) * slots).div_ceil(orders);
            return Some((member, u16::try_from(until).unwrap_or(SLOTS)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn set(members: impl IntoIterator<Item = u32>) -> NodeSet {
        members.into_iter().map(NodeId).collect()
    }

    /// So many, whose ids have gaps as some have gone.
    fn members(count: u32) -> Vec<NodeId> {
        (1..=count).map(|number| NodeId(3 * number)).collect()
    }

    fn subsets(members: &[NodeId]) -> impl Iterator<Item = NodeSet> {
        let of = |bits: u32| (0..members.len()).filter(move |place| bits >> place & 1 == 1);
        (1..1_u32 << members.len()).map(move |bits| of(bits).map(|place| members[place]).collect())
    }

    /// How many slots each member has.
    fn shares(members: &[NodeId], up: NodeSet) -> Vec<usize> {
        let mut shares = vec![0; members.len()];
        for (range, owner) in deal(members, up) {
            shares[members.iter().position(|id| *id == owner).unwrap()] += range.count();
        }
        shares
    }

    #[test]
    fn a_key_has_the_slot_that_redis_cluster_gives_it() {
        // The first is the check value of the CRC; the others are what Redis 7.0.15 answers to CLUSTER KEYSLOT.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        for (key, slot) in [
            ("", 0),
            ("foo", 12_182),
            ("somekey", 11_058),
            ("foo{hash_tag}", 2515),
            ("bar{hash_tag}", 2515),
            ("hash_tag", 2515),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
            ("{bar", 4015),
            ("foo{bar}{zap}", 5061),
            ("bar", 5061),
            ("}{bar}", 5061),
        ] {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
    }

    #[test]
    fn whoever_answers_has_an_equal_share() {
        for members in (1..=7).map(members) {
            for up in subsets(&members) {
                let shares = shares(&members, up);
                let fair = usize::from(SLOTS) / up.len();
                for (member, share) in members.iter().zip(shares) {
                    let expected = if up.contains(*member) { fair } else { 0 };
                    let off = share.abs_diff(expected) * 200;
                    assert!(off <= fair, "{member} of {members:?} has {share}, not about {expected}: {up:?}");
                }
            }
        }
    }

    #[test]
    fn a_member_that_stops_answering_gives_away_its_own_slots_and_no_other_moves() {
        for members in (2..=7).map(members) {
            for up in subsets(&members).filter(|up| up.len() > 1) {
                let gone = up.iter().next().unwrap();
                let left = up.minus(set([gone.0]));
                for slot in (0..SLOTS).step_by(7) {
                    let (before, after) = (owner(slot, &members, up), owner(slot, &members, left));
                    assert!(before == after || before == Some(gone), "slot {slot} of {members:?}: {up:?}");
                    assert!(after.is_some_and(|after| left.contains(after)));
                }
            }
        }
    }

    #[test]
    fn ranges_say_the_same_as_single_slots() {
        for members in (1..=7).map(members) {
            for up in subsets(&members) {
                let ranges = deal(&members, up);
                let all =
                    ranges.iter().flat_map(|(range, owner)| range.clone().map(move |slot| (slot, *owner)));
                assert!(all.eq((0..SLOTS).map(|slot| (slot, owner(slot, &members, up).unwrap()))));
            }
        }
    }

    #[test]
    fn neighbours_stay_together() {
        let members = [1, 2, 3].map(NodeId);
        let all = deal(&members, set(1..=3));
        assert_eq!(all, [(0..=5461, NodeId(1)), (5462..=10_922, NodeId(2)), (10_923..=16_383, NodeId(3))]);
        let two = deal(&members, set([1, 3]));
        assert_eq!(two, [(0..=8191, NodeId(1)), (8192..=16_383, NodeId(3))]);
        assert_eq!(deal(&[NodeId(9)], set([9])), [(0..=16_383, NodeId(9))]);
        assert_eq!(deal(&members, NodeSet::EMPTY), []);
        assert_eq!(owner_of_key(b"foo", &members, set(1..=3)), Some(NodeId(3)));
    }
}
