//! Expiring what nobody reads (rule E4 of docs/PROTOCOL.md).
//!
//! A value that is due stays until somebody reads its key: that is when its expiry is decided (rule E1). For keys that nobody reads a
//! node does it in the background. It walks through its own store, page by page, and reads each key whose deadline has passed
//! and for which it is preferred ([`crate::slots`]), as a client would. Whoever is preferred is a hint: two nodes that both read a
//! key do no harm.
//!
//! It walks only when there is a reason: the store remembers the soonest deadline of what was written since the last walk began, and
//! the walk that of what it has passed. So a store without deadlines is walked once, after the start.
//!
//! This is a pure state machine. An event loop drives it ([`crate::shard::Shard::begin_sweeping`]); looks at the store, which may
//! wait for the disk, are done elsewhere.

#[cfg(test)]
mod tests;

use abd::{Deadline, Instant, Moment, Now};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// Keys that one look reads at most.
const PAGE_KEYS: usize = 512;
/// Bytes of the keys that one look reads; one more than fits may be read.
const PAGE_BYTES: usize = 64 << 10;

/// Times and sizes.
#[derive(Clone, Debug)]
pub struct Config {
    /// Between two pages of a walk: 20,480 keys a second.
    pub page_pause: Duration,
    /// Reads that begin in one slice of time at most: a thousand a second.
    pub slice_reads: usize,
    /// A slice of time.
    pub slice: Duration,
    /// Reads in flight at most.
    pub in_flight_max: usize,
    /// Bytes of the values that they read, unless a single one has more.
    pub in_flight_bytes_max: usize,
    /// Between two walks.
    pub walk_pause: Duration,
    /// Between two walks while there is only what others should have expired, or what could not be read.
    pub retry: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            page_pause: Duration::from_millis(25),
            slice_reads: 50,
            slice: Duration::from_millis(50),
            in_flight_max: 128,
            in_flight_bytes_max: 8 << 20,
            walk_pause: Duration::from_secs(1),
            retry: Duration::from_secs(10),
        }
    }
}

/// What a look has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Keys whose newest version here is a value that is due, with the bytes of it.
    pub due: Vec<(Bytes, usize)>,
    /// The soonest deadline of the other values.
    pub soonest: Deadline,
    /// The last key that was read; `None` if the store has no further key.
    pub last: Option<Bytes>,
    /// How many keys were read.
    pub keys: usize,
}

/// A store as the sweeper sees it.
pub trait Deadlines {
    /// Why it cannot be read.
    type Error;

    /// The soonest deadline of the values that were written since the start or the last [`forget`](Self::forget).
    fn soonest(&self) -> Deadline;

    /// The next walk finds all that was written so far.
    fn forget(&self);

    /// Reads the keys behind one (all, if `None`) in the order of the store: `at_most` so many, and no more once they have
    /// `bytes_max` bytes.
    ///
    /// # Errors
    /// When they cannot be read.
    fn due(
        &self,
        after: Option<&[u8]>,
        moment: Moment,
        at_most: usize,
        bytes_max: usize,
    ) -> Result<Found, Self::Error>;
}

/// A look at the own store that may wait for the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Behind this key; `None`: from the first one on.
    pub after: Option<Bytes>,
    /// What is due.
    pub moment: Moment,
}

impl Look {
    /// Looks, and may wait for the disk. `None` if the store cannot be read, which tells that itself.
    pub fn carry_out<S: Deadlines>(&self, store: &S) -> Option<Found> {
        if self.after.is_none() {
            store.forget();
        }
        store.due(self.after.as_deref(), self.moment, PAGE_KEYS, PAGE_BYTES).ok()
    }
}

/// Something to be done by whoever drives the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Look at the store: [`Sweep::looked`].
    Look(Look),
    /// Read a key: [`Sweep::ended`].
    Read {
        /// Which.
        key: Bytes,
        /// To be given back: bytes of its value.
        bytes: usize,
    },
}

/// What was done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Walks that have come to the end of the store.
    pub walks: u64,
    /// Keys that they have passed.
    pub keys: u64,
    /// Keys that were due and were read.
    pub swept: u64,
    /// Keys that were due and could not be read.
    pub failed: u64,
}

#[derive(Debug)]
enum Walk {
    /// None before this time, and then when there is a reason.
    Rests { until: Instant },
    /// It goes on behind this key.
    GoesOn { after: Option<Bytes>, at: Instant },
    /// The store is being looked at.
    Looks,
}

/// What a node does about values that are due and that nobody reads.
#[derive(Debug)]
pub struct Sweep {
    config: Config,
    walk: Walk,
    /// The soonest deadline that the walk has passed.
    soonest: Deadline,
    /// When it walks whatever the deadlines are, if it does.
    retry_at: Option<Instant>,
    /// Keys that are to be read: those of one page.
    due: VecDeque<(Bytes, usize)>,
    in_flight: usize,
    in_flight_bytes: usize,
    /// When the slice of time ends, and how many reads have begun in it.
    slice_ends: Instant,
    begun: usize,
    progress: Progress,
}

impl Sweep {
    /// Of a node that has just started, and does not know its store.
    pub fn new(config: Config, now: Instant) -> Self {
        Self {
            config,
            walk: Walk::Rests { until: now },
            soonest: Deadline::NONE,
            retry_at: Some(now),
            due: VecDeque::new(),
            in_flight: 0,
            in_flight_bytes: 0,
            slice_ends: now,
            begun: 0,
            progress: Progress::default(),
        }
    }

    /// What is to be done next. `written`: [`Deadlines::soonest`].
    pub fn poll(&mut self, now: Now, written: Deadline) -> Option<Action> {
        if now.instant >= self.slice_ends {
            (self.slice_ends, self.begun) = (now.instant + self.config.slice, 0);
        }
        if self.may_read()
            && let Some((key, bytes)) = self.due.pop_front()
        {
            self.begun += 1;
            self.in_flight += 1;
            self.in_flight_bytes += bytes;
            return Some(Action::Read { key, bytes });
        }
        self.begin_to_walk(now, written);
        match &mut self.walk {
            Walk::GoesOn { after, at } if self.due.is_empty() && now.instant >= *at => {
                let look = Look { after: after.take(), moment: now.moment };
                self.walk = Walk::Looks;
                Some(Action::Look(look))
            }
            _ => None,
        }
    }

    fn may_read(&self) -> bool {
        self.begun < self.config.slice_reads && self.has_room()
    }

    fn has_room(&self) -> bool {
        let bytes = self.due.front().map_or(0, |(_, bytes)| *bytes);
        self.in_flight < self.config.in_flight_max
            && (self.in_flight == 0 || self.in_flight_bytes + bytes <= self.config.in_flight_bytes_max)
    }

    /// A walk that rests begins if there is a reason; else it is asked for again after a while. A key that is still being
    /// read would be found due once more: all reads end first.
    fn begin_to_walk(&mut self, now: Now, written: Deadline) {
        let Walk::Rests { until } = &mut self.walk else { return };
        if now.instant < *until {
            return;
        }
        if self.in_flight > 0 || !self.due.is_empty() {
            *until = now.instant + self.config.walk_pause;
            return;
        }
        // Without a moment nothing is due.
        let is_due = self.soonest.has_passed(now.moment) || written.has_passed(now.moment);
        let is_time = self.retry_at.is_some_and(|at| now.instant >= at) && now.moment != Moment::UNKNOWN;
        if is_due || is_time {
            (self.soonest, self.retry_at) = (Deadline::NONE, None);
            self.walk = Walk::GoesOn { after: None, at: now.instant };
        } else {
            *until = now.instant + self.config.walk_pause;
        }
    }

    /// What a look has found; `None` if the store cannot be read. `is_preferred`: whether this node is for a key.
    pub fn looked(&mut self, found: Option<Found>, is_preferred: impl Fn(&[u8]) -> bool, now: Instant) {
        let Some(found) = found else { return self.rest(true, now) };
        let (own, others): (Vec<_>, Vec<_>) = found.due.into_iter().partition(|(key, _)| is_preferred(key));
        self.due.extend(own);
        self.soonest = self.soonest.or_sooner(found.soonest);
        self.progress.keys += found.keys as u64;
        if !others.is_empty() {
            self.try_again(now);
        }
        match found.last {
            Some(last) => {
                self.walk = Walk::GoesOn { after: Some(last), at: now + self.config.page_pause };
            }
            None => {
                self.progress.walks += 1;
                self.rest(false, now);
            }
        }
    }

    fn rest(&mut self, has_failed: bool, now: Instant) {
        self.walk = Walk::Rests { until: now + self.config.walk_pause };
        if has_failed {
            self.try_again(now);
        }
    }

    fn try_again(&mut self, now: Instant) {
        self.retry_at.get_or_insert(now + self.config.retry);
    }

    /// A read has ended; `bytes` as in [`Action::Read`]; whether the key could be read.
    pub fn ended(&mut self, bytes: usize, was_read: bool, now: Instant) {
        self.in_flight -= 1;
        self.in_flight_bytes -= bytes;
        if was_read {
            self.progress.swept += 1;
        } else {
            self.progress.failed += 1;
            self.try_again(now);
        }
    }

    /// When [`Sweep::poll`] is due: at once, if it has not returned `None` since. An end of a read or a look is a reason, too.
    pub fn wake_at(&self) -> Option<Instant> {
        if !self.due.is_empty() {
            let next = if self.begun < self.config.slice_reads { Instant(0) } else { self.slice_ends };
            return self.has_room().then_some(next);
        }
        match &self.walk {
            Walk::Rests { until } => Some(*until),
            Walk::GoesOn { at, .. } => Some(*at),
            Walk::Looks => None,
        }
    }

    /// What was done.
    pub fn progress(&self) -> Progress {
        self.progress
    }
}
