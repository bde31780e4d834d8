//! How long a node waits for a client that has begun something.

use abd::Instant;
use core::time::Duration;

/// A request has this long from its first byte to its last, whatever its size.
const REQUEST: Duration = Duration::from_secs(30);
/// Beyond that, what has come must have come at this rate, in bytes a second.
const RATE: u64 = 16 << 10;
/// So long a client that nothing more is done for may leave its replies unread.
pub const UNREAD: Duration = Duration::from_secs(30);

/// Whether a half-sent request of which so many bytes have come since `since` has taken too long.
pub fn is_half_sent_for_too_long(since: Instant, arrived: usize, now: Instant) -> bool {
    now.since(since) > REQUEST + Duration::from_secs(arrived as u64 / RATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_sender_has_the_time_that_its_bytes_take() {
        let at = |seconds: u64| Instant(seconds * 1_000_000_000);
        assert!(!is_half_sent_for_too_long(at(5), 10, at(35)));
        assert!(is_half_sent_for_too_long(at(5), 10, at(36)));
        // 16 MiB at the lowest rate.
        assert!(!is_half_sent_for_too_long(at(0), 16 << 20, at(1024)));
        assert!(is_half_sent_for_too_long(at(0), 16 << 20, at(1100)));
    }
}
