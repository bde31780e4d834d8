//! Replicas are interchangeable: states that differ only in which replica is called A are one state. Where the members change, that is so
//! of the two that stay.

use super::scenario::REPLICAS;

/// A renaming: replica `i` becomes replica `renaming[i]`.
pub(super) type Renaming = [u8; REPLICAS];

/// All renamings of the first three, the identity first, then the other one that leaves the third alone.
pub(super) const RENAMINGS: [Renaming; 6] =
    [[0, 1, 2, 3], [1, 0, 2, 3], [0, 2, 1, 3], [1, 2, 0, 3], [2, 0, 1, 3], [2, 1, 0, 3]];

/// Those of so many replicas.
pub(super) fn renamings(interchangeable: usize) -> &'static [Renaming] {
    if interchangeable == 2 { &RENAMINGS[..2] } else { &RENAMINGS }
}

/// What the replicas have, under their new names.
pub(super) fn rename<T: Copy>(renaming: &Renaming, old: &[T; REPLICAS]) -> [T; REPLICAS] {
    let mut new = *old;
    for (from, to) in renaming.iter().enumerate() {
        new[usize::from(*to)] = old[from];
    }
    new
}

/// A set of replicas, under their new names.
pub(super) fn rename_set(renaming: &Renaming, set: u8) -> u8 {
    let members = renaming.iter().enumerate().filter(|(from, _)| set & 1 << from != 0);
    members.fold(0, |renamed, (_, to)| renamed | 1 << to)
}
