//! What the garbage collector has yet to look at, and how many keys are live.
//!
//! `live` counts stored value records that are not tombstones: a put adds one, and a version deleted as dominated
//! takes one away, so without garbage it is the number of keys that hold a value. A put that was there already counts
//! twice. A *sweep* walks over everything and counts afresh; changes to keys that it has passed go into its count too.

use std::collections::VecDeque;

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
