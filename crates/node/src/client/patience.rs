//! How long a node waits for a client that has begun something.

use abd::Instant;
use core::cell::Cell;
use core::time::Duration;

/// A request has this long from its first byte to its last, whatever its size.
const REQUEST: Duration = Duration::from_secs(30);
/// Beyond that, what has come must have come at this rate, in bytes a second.
const RATE: u64 = 16 << 10;
/// So long a client that nothing more is done for may leave its replies unread.
pub const UNREAD: Duration = Duration::from_secs(30);

/// Whether a half-sent request of which so many bytes have come since `since` has taken too long.
fn is_half_sent_for_too_long(since: Instant, arrived: usize, now: Instant) -> bool {
    now.since(since) > REQUEST + Duration::from_secs(arrived as u64 / RATE)
}

/// What a connection waits for its client to do.
#[derive(Debug, Default)]
pub struct Patience {
    /// Since when a request is half sent, and how many of its bytes are there.
    half_sent: Cell<Option<Instant>>,
    arrived: Cell<usize>,
    /// Since when nothing was read of what waits, if the connection waits for that.
    unread: Cell<Option<Instant>>,
}

/// The end of a patience.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The rest of a request did not come.
    #[error("a request is half sent for {seconds} s: {arrived} bytes are there")]
    HalfSent {
        /// So long.
        seconds: u64,
        /// So much of it is there.
        arrived: usize,
    },
    /// The client leaves its replies unread.
    #[error(
        "it has read nothing for {seconds} s of the replies that wait for it, and no more than --client-output-limit, \
         {limit} bytes, may wait"
    )]
    Unread {
        /// So long.
        seconds: u64,
        /// Bytes of replies that may wait.
        limit: usize,
    },
}

impl Patience {
    /// Whether the rest of a request is waited for now, of which so much is there; `anew` if others have been complete since.
    pub(super) fn wait_for_request(&self, waits: bool, anew: bool, arrived: usize, now: Instant) {
        let since = self.half_sent.get().filter(|_| !anew).unwrap_or(now);
        self.half_sent.set(waits.then_some(since));
        self.arrived.set(arrived);
    }

    /// Whether nothing more is done for the connection before it reads.
    pub(super) fn wait_for_reader(&self, waits: bool, now: impl FnOnce() -> Instant) {
        self.unread.set(waits.then(|| self.unread.get().unwrap_or_else(now)));
    }

    /// It has read something.
    pub(super) fn has_read(&self) {
        self.unread.set(None);
    }

    /// Whether it was waited for in vain for long enough, where so many bytes of replies may wait.
    pub fn look(&self, now: Instant, limit: usize) -> Option<Lost> {
        if let Some(since) = self.half_sent.get()
            && is_half_sent_for_too_long(since, self.arrived.get(), now)
        {
            return Some(Lost::HalfSent { seconds: now.since(since).as_secs(), arrived: self.arrived.get() });
        }
        let since = self.unread.get()?;
        (now.since(since) > UNREAD).then(|| Lost::Unread { seconds: now.since(since).as_secs(), limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant(seconds * 1_000_000_000)
    }

    #[test]
    fn a_slow_sender_has_the_time_that_its_bytes_take() {
        assert!(!is_half_sent_for_too_long(at(5), 10, at(35)));
        assert!(is_half_sent_for_too_long(at(5), 10, at(36)));
        // 16 MiB at the lowest rate.
        assert!(!is_half_sent_for_too_long(at(0), 16 << 20, at(1024)));
        assert!(is_half_sent_for_too_long(at(0), 16 << 20, at(1100)));
    }

    #[test]
    fn whoever_completes_a_request_or_reads_a_byte_has_all_the_time_again() {
        let patience = Patience::default();
        patience.wait_for_request(true, false, 7, at(0));
        patience.wait_for_request(true, false, 9, at(20));
        assert_eq!(patience.look(at(31), 5), Some(Lost::HalfSent { seconds: 31, arrived: 9 }));
        patience.wait_for_request(true, true, 9, at(31));
        assert_eq!(patience.look(at(60), 5), None);
        patience.wait_for_request(false, false, 0, at(31));
        patience.wait_for_reader(true, || at(40));
        patience.wait_for_reader(true, || at(50));
        assert_eq!(patience.look(at(71), 5), Some(Lost::Unread { seconds: 31, limit: 5 }));
        patience.has_read();
        patience.wait_for_reader(true, || at(71));
        assert_eq!(patience.look(at(100), 5), None);
    }
}
