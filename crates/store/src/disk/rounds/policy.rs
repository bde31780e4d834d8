//! When a round is due, and which segments go in it: the collector's arithmetic.

use std::collections::BTreeMap;

/// A round is not worth it for less garbage than this, nor, when nobody waits, than that.
const WORTH_BYTES: u64 = 32 << 20;
const WORTH_QUIET_BYTES: u64 = 1 << 20;
/// How many times what is in use may be kept under load, and what it may be when the file system has less room than that
/// again. With three, a segment that is given back holds about 7 % in use, with two 20 % (keys drawn evenly).
const KEPT_TIMES: u64 = 3;
const KEPT_TIMES_NO_ROOM: u64 = 2;
/// In one round up to this many bytes are moved; what is left over is left for the next.
const ROUND_BYTES: u64 = 256 << 20;
/// More segments than this that are smaller than that are worth a round when nobody waits: each is an open file.
const SMALL_MAX: usize = 16;
const SMALL_BYTES: u64 = 1 << 20;
/// A segment is small, too, if it is less than this part of all that is kept.
const SMALL_PART: u64 = 256;
/// The part of the kept bytes that may be segments to be used again; as much as is not worth a round may be in any case.
const USED_PART: u64 = 4;

/// What a round is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Effort {
    /// No more than has to be.
    #[default]
    UnderLoad,
    /// All that is worth it: nobody waits.
    Quiet,
    /// Nothing can be written: only what is not in use goes.
    NoRoom,
}

/// How many times what is in use may be kept.
pub(crate) fn kept_times(little_room: bool) -> u64 {
    if little_room { KEPT_TIMES_NO_ROOM } else { KEPT_TIMES }
}

/// Whether there is enough garbage for a round under load.
pub(crate) fn is_due(kept: u64, in_use: u64, tables: u64, times: u64) -> bool {
    kept > times * in_use + tables / 2 + WORTH_BYTES
}

/// Whether there is enough for one when nobody waits. `new`: bytes that have been kept since the last one.
pub(crate) fn is_worth_quiet_round(kept: u64, in_use: u64, new: u64, tables: u64) -> bool {
    kept.saturating_sub(in_use) > in_use / 4 && new > tables / 8 + WORTH_QUIET_BYTES
}

/// The bytes that a round may leave, where so many are in use.
pub(crate) fn bytes_to_leave(effort: Effort, times: u64, in_use: u64) -> u64 {
    match effort {
        // A quarter less, so that the next round is not due at once.
        Effort::UnderLoad => (times * in_use).saturating_sub(in_use / 4),
        Effort::Quiet | Effort::NoRoom => 0,
    }
}

/// The bytes of segments that may be there to be used again.
pub(crate) fn used_bytes_max(kept: u64, little_room: bool) -> u64 {
    if little_room { 0 } else { WORTH_BYTES.max(kept / USED_PART) }
}

/// Segments of fewer bytes are small, where `all` bytes are kept.
fn small_below(all: u64) -> u64 {
    SMALL_BYTES.max(all / SMALL_PART)
}

/// Whether so many of the kept segments are small that they are worth a round when nobody waits.
pub(crate) fn are_many_small(kept: impl Iterator<Item = u64>, all: u64) -> bool {
    kept.filter(|bytes| *bytes < small_below(all)).count() > SMALL_MAX
}

/// The segments to be given back: those least in use, until only `leave` bytes are left, and none that is two thirds in use.
/// If nothing need be left, also small ones if there are many.
pub(crate) fn victims(kept: &BTreeMap<u64, u64>, in_use: impl Fn(&u64) -> u64, leave: u64) -> Vec<u64> {
    let all = kept.values().sum();
    let is_small = |bytes: u64| bytes < small_below(all);
    let too_many_small = leave == 0 && are_many_small(kept.values().copied(), all);
    let is_candidate =
        |id: &u64, bytes: u64| in_use(id) < bytes / 3 * 2 || (too_many_small && is_small(bytes));
    let mut candidates: Vec<u64> =
        kept.iter().filter(|(id, bytes)| is_candidate(id, **bytes)).map(|(id, _)| *id).collect();
    // In thousandths, as they differ in size.
    candidates.sort_by_key(|id| in_use(id) * 1000 / kept[id]);
    let (mut left, mut moved): (u64, u64) = (all, 0);
    let enough = candidates.iter().position(|id| {
        let enough = in_use(id) > 0 && (left <= leave || moved > ROUND_BYTES);
        (left, moved) = (left - kept[id], moved + in_use(id));
        enough
    });
    candidates.truncate(enough.unwrap_or(candidates.len()));
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_least_in_use_are_given_back_and_no_more_than_need_be() {
        let kept: BTreeMap<u64, u64> = (1..=6).map(|id| (id, 2 * SMALL_BYTES)).collect();
        let tenths = BTreeMap::from([(1, 0), (2, 4), (3, 1), (4, 7), (5, 0), (6, 2)]);
        let in_use = |id: &u64| tenths[id] * SMALL_BYTES / 5;
        assert_eq!(victims(&kept, in_use, 0), [1, 5, 3, 6, 2]);
        assert_eq!(victims(&kept, in_use, 6 * SMALL_BYTES), [1, 5, 3]);
        assert_eq!(victims(&kept, in_use, 100 * SMALL_BYTES), [1, 5]);
    }

    #[test]
    fn many_small_ones_become_one_when_nobody_waits() {
        let few: BTreeMap<u64, u64> = (1..=SMALL_MAX as u64).map(|id| (id, 1 << 16)).collect();
        assert_eq!(victims(&few, |_| 1 << 16, 0).len(), 0);
        let mut many = few;
        many.insert(100, 1 << 16);
        many.insert(101, SMALL_BYTES);
        assert_eq!(victims(&many, |id| many[id], 0).len(), SMALL_MAX + 1);
        assert_eq!(victims(&many, |id| many[id], 1).len(), 0);
    }
}
