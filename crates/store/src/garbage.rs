//! Garbage: which versions are dominated, what the collector has yet to look at, and how many keys are live.
//!
//! A database that merges tables drops dominated versions while it does so, with a [`DominatedFilter`]: no deletes are
//! written for them. For any other database the collector deletes them.
//!
//! `live` counts stored value records that are not tombstones: a put adds one, and a version that it is known to replace,
//! or that is deleted as dominated, takes one away, so without garbage it is the number of keys that hold a value. A put of
//! which it is not known what it replaces may count twice. A *sweep* walks over everything and counts afresh; changes to keys that it has passed go into its count too.

use crate::key;
use std::collections::VecDeque;

/// Whether a data key is a version, and so one that may be dominated.
pub(crate) fn is_version(data_key: &[u8]) -> bool {
    (key::FIRST..key::END).contains(&data_key) && key::version_of(data_key).is_some()
}

/// Tells which versions are dominated, in a walk over data keys in ascending order (rule G1).
///
/// The newest version of a key comes first, so every further one is dominated by one that is in the same walk. Whoever
/// walks must see durable data only, and must make what it leaves out disappear together with what it keeps appearing:
/// a merge of synced tables does both. A walk that sees only a part of the store keeps the newest version *it sees*,
/// which is safe.
#[derive(Debug, Default)]
pub struct DominatedFilter {
    /// Of the last key that was looked at; empty before the first.
    prefix: Vec<u8>,
}

impl DominatedFilter {
    /// At the beginning of a walk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the next data key of the walk is a dominated version. Other keys never are.
    pub fn is_dominated(&mut self, data_key: &[u8]) -> bool {
        if !is_version(data_key) {
            return false;
        }
        let prefix = key::prefix_of(data_key);
        if self.prefix == prefix {
            return true;
        }
        self.prefix.clear();
        self.prefix.extend_from_slice(prefix);
        false
    }
}

/// Keys that may wait for the collector; beyond it they are found by a sweep.
const QUEUE_MAX: usize = 65_536;

/// A walk over the whole store.
pub(crate) struct Sweep {
    /// Where it stands: keys whose prefix is below this were passed.
    pub(crate) at: Vec<u8>,
    counted: i64,
}

/// The state of the collector.
pub(crate) struct Garbage {
    /// Prefixes of keys that may have dominated versions.
    queue: VecDeque<Vec<u8>>,
    sweep: Option<Sweep>,
    /// Another sweep must follow: something was forgotten that the present one may have passed.
    again: bool,
    live: i64,
}

impl Garbage {
    /// With a first sweep to do: it finds what a crash left behind, and counts.
    pub(crate) fn new() -> Self {
        Self { queue: VecDeque::new(), sweep: None, again: true, live: 0 }
    }

    pub(crate) fn live(&self) -> u64 {
        // The first sweep's count is the better one while it runs.
        u64::try_from(self.live.max(0)).unwrap_or_default()
    }

    /// Adds a key to look at.
    pub(crate) fn suspect(&mut self, prefix: Vec<u8>) {
        if self.queue.len() < QUEUE_MAX {
            self.queue.push_back(prefix);
        } else {
            self.again = true;
        }
    }

    pub(crate) fn request_sweep(&mut self) {
        self.again = true;
    }

    /// Takes keys to look at.
    pub(crate) fn take(&mut self, budget: usize) -> Vec<Vec<u8>> {
        let count = self.queue.len().min(budget);
        self.queue.drain(..count).collect()
    }

    /// The position of the sweep; starts one if it is due.
    pub(crate) fn sweep_from(&mut self, first: &[u8]) -> Option<Vec<u8>> {
        if self.sweep.is_none() && self.again {
            self.again = false;
            self.sweep = Some(Sweep { at: first.to_vec(), counted: 0 });
        }
        self.sweep.as_ref().map(|sweep| sweep.at.clone())
    }

    /// The sweep has passed everything below `at` and found `counted` more; `None`: it is done.
    pub(crate) fn advance(&mut self, at: Option<Vec<u8>>, counted: i64) {
        let Some(sweep) = &mut self.sweep else { return };
        sweep.counted += counted;
        match at {
            Some(at) => sweep.at = at,
            None => {
                self.live = sweep.counted;
                self.sweep = None;
            }
        }
    }

    /// Counts a change to a key.
    pub(crate) fn count(&mut self, prefix: &[u8], change: i64) {
        self.live += change;
        if let Some(sweep) = &mut self.sweep
            && prefix < &sweep.at[..]
        {
            sweep.counted += change;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abd::{Timestamp, Version};

    #[test]
    fn g1_the_filter_keeps_the_newest_version_of_each_key_and_what_is_no_version() {
        let version = |time| Version::of_write(Timestamp { time, node: 1, boot: 1 });
        let mut walk = vec![b"\x00ring".to_vec(), b"\x01short".to_vec()];
        for user_key in [&b""[..], b"a", b"a\0", b"a\0\xff", b"b"] {
            for time in [1, 7, 300] {
                walk.push(key::encode(user_key, version(time)).to_vec());
            }
        }
        walk.sort();
        let mut filter = DominatedFilter::new();
        let kept: Vec<&Vec<u8>> = walk.iter().filter(|data_key| !filter.is_dominated(data_key)).collect();
        assert_eq!(kept.len(), 2 + 5);
        let versions: Vec<Version> = kept.iter().filter_map(|data_key| key::version_of(data_key)).collect();
        assert_eq!(versions, [version(300); 5]);
    }
}
