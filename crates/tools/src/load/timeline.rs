//! When operations were completed, and when none were.

use std::time::{Duration, Instant};

/// The width of one entry of a timeline.
pub(super) const SLOT: Duration = Duration::from_millis(100);

/// Completed operations per [`SLOT`], and the longest time without any.
///
/// The gap counts from the beginning and to the end of the measurement too, so a cluster that never answers again has
/// a gap and not a short timeline.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    began: Instant,
    last: Instant,
    /// Operations in each slot.
    pub(super) slots: Vec<u64>,
    /// The longest time without a completed operation.
    pub(super) gap: Duration,
    gap_began: Instant,
}

impl Timeline {
    /// An empty timeline that begins now.
    pub(super) fn begin(now: Instant) -> Self {
        Self { began: now, last: now, slots: Vec::with_capacity(1024), gap: Duration::ZERO, gap_began: now }
    }

    /// Counts one operation. Times may not go back between calls.
    pub(super) fn complete(&mut self, now: Instant) {
        self.silence(now);
        let slot = (now - self.began).as_millis() / SLOT.as_millis();
        let slot = usize::try_from(slot).unwrap_or(usize::MAX);
        if slot >= self.slots.len() {
            self.slots.resize(slot + 1, 0);
        }
        self.slots[slot] += 1;
        self.last = now;
    }

    fn silence(&mut self, now: Instant) {
        let gap = now - self.last;
        if gap > self.gap {
            (self.gap, self.gap_began) = (gap, self.last);
        }
    }

    /// Ends the measurement: the silence since the last operation counts as a gap too.
    pub(super) fn end(&mut self, now: Instant) {
        self.silence(now);
        let whole = usize::try_from((now - self.began).as_millis() / SLOT.as_millis()).unwrap_or(usize::MAX);
        // The last slot was not measured for its whole width; keeping it would look like a slump.
        self.slots.resize(whole, 0);
    }

    /// When the longest gap began, from the beginning of the measurement.
    pub(super) fn longest_gap_began(&self) -> Duration {
        self.gap_began - self.began
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_found_in_the_middle_and_at_the_end() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let mut timeline = Timeline::begin(began);
        for ms in [10, 20, 99, 100, 350, 390] {
            timeline.complete(at(ms));
        }
        assert_eq!(timeline.slots, [3, 1, 0, 2]);
        assert_eq!(timeline.gap, Duration::from_millis(250));
        assert_eq!(timeline.longest_gap_began(), Duration::from_millis(100));
        timeline.end(at(1250));
        assert_eq!(timeline.slots.len(), 12);
        assert_eq!(timeline.gap, Duration::from_millis(860));
        assert_eq!(timeline.longest_gap_began(), Duration::from_millis(390));
    }

    #[test]
    fn silence_from_the_beginning_is_a_gap() {
        let began = Instant::now();
        let mut timeline = Timeline::begin(began);
        timeline.end(began + Duration::from_secs(2));
        assert_eq!(timeline.gap, Duration::from_secs(2));
        assert_eq!(timeline.slots, [0; 20]);
    }
}
