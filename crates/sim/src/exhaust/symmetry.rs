//! Replicas are interchangeable: states that differ only in which replica is called A are one state.

use super::scenario::REPLICAS;

/// A renaming: replica `i` becomes replica `renaming[i]`.
pub(super) type Renaming = [u8; REPLICAS];

/// All renamings, the identity first.
pub(super) const RENAMINGS: [Renaming; 6] =
    [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// What the replicas have, under their new names.
pub(super) fn rename<T: Copy>(renaming: &Renaming, old: &[T; REPLICAS]) -> [T; REPLICAS] {
    let mut new = *old;
    for (from, to) in renaming.iter().enumerate() {
        new[usize::from(*to)] = old[from];
    }
    new
}
