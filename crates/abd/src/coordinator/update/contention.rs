//! Keys that several coordinators update at the same time, and the turn that each of them leaves to the others.
//!
//! Who has just had its way would have it again: it goes on at once, while those that it was in the way of pause. So after a fold of
//! such a key a coordinator pauses for as long as the others take for a fold each. What comes meanwhile waits for the next fold,
//! which is the larger for it, so that nothing is lost. It is a matter of fairness, no rule.

use super::pause::Pauses;
use crate::quorum::NodeSet;
use crate::time::Instant;
use crate::version::NodeId;
use alloc::collections::BTreeMap;
use bytes::Bytes;
use core::time::Duration;

/// For so long after somebody else was in the way a key counts as contended.
const CONTENDED_FOR: Duration = Duration::from_secs(2);
/// Keys that may count as contended at a time; of others it is not noticed.
const KEYS_MAX: usize = 4096;
/// A coordinator leaves no more than this to the others at a time, however long their folds take.
const TURN_MAX: Duration = Duration::from_secs(1);

/// What is known of the keys that are contended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in super::super) struct Contention(BTreeMap<Bytes, Contended>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Contended {
    /// Who else was there lately.
    others: NodeSet,
    until: Instant,
    /// The next fold of this coordinator's does not begin before.
    next_fold: Instant,
}

impl Contention {
    /// The coordinator of this member was in the way.
    pub(super) fn meet(&mut self, key: &Bytes, other: NodeId, now: Instant) {
        if !self.0.contains_key(key) && self.0.len() >= KEYS_MAX {
            self.0.retain(|_, contended| contended.until > now);
            if self.0.len() >= KEYS_MAX {
                return;
            }
        }
        let fresh = || Contended { others: NodeSet::EMPTY, until: now, next_fold: now };
        let contended = self.0.entry(key.clone()).or_insert_with(fresh);
        if contended.until < now {
            contended.others = NodeSet::EMPTY;
        }
        contended.others.insert(other);
        contended.until = now + CONTENDED_FOR;
    }

    /// A fold is through.
    pub(super) fn folded(&mut self, key: &Bytes, pauses: &Pauses, now: Instant) {
        let Some(contended) = self.0.get_mut(key) else { return };
        if contended.until < now {
            self.0.remove(key);
            return;
        }
        let others = u32::try_from(contended.others.len()).unwrap_or(u32::MAX);
        contended.next_fold = now + (pauses.fold() * others).min(TURN_MAX);
    }

    /// How long the next fold of a key has to wait.
    pub(super) fn wait(&self, key: &Bytes, now: Instant) -> Duration {
        self.0.get(key).map_or(Duration::ZERO, |contended| contended.next_fold.since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_the_others_has_a_turn_for_as_long_as_they_are_there() {
        let ms = Duration::from_millis;
        let key = Bytes::from_static(b"k");
        let mut pauses = Pauses::new(ms(1));
        for _ in 0..100 {
            pauses.folded(Instant(0), Instant(0) + ms(4));
        }
        let (mut contention, start) = (Contention::default(), Instant(0));
        contention.folded(&key, &pauses, start);
        assert_eq!(contention.wait(&key, start), Duration::ZERO, "nobody else was there");
        contention.meet(&key, NodeId(1), start);
        assert_eq!(contention.wait(&key, start), Duration::ZERO, "it has not had its turn");
        contention.folded(&key, &pauses, start);
        let one = contention.wait(&key, start);
        assert!(one > ms(3) && one <= ms(4), "{one:?}");
        contention.meet(&key, NodeId(2), start);
        contention.folded(&key, &pauses, start);
        assert_eq!(contention.wait(&key, start), one * 2);
        assert_eq!(contention.wait(&key, start + one), one);
        let later = start + CONTENDED_FOR + ms(1);
        contention.folded(&key, &pauses, later);
        assert_eq!(contention.wait(&key, later), Duration::ZERO, "they are gone");
        assert_eq!(contention, Contention::default());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut contention = Contention::default();
        for number in 0..2 * KEYS_MAX {
            contention.meet(&Bytes::from(alloc::format!("{number}")), NodeId(1), Instant(0));
        }
        assert_eq!(contention.0.len(), KEYS_MAX);
        contention.meet(&Bytes::from_static(b"later"), NodeId(1), Instant(0) + CONTENDED_FOR + CONTENDED_FOR);
        assert_eq!(contention.0.len(), 1);
    }
}
