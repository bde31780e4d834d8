//! Durations counted in buckets whose width grows with their value.

use std::time::Duration;

/// Each power of two is cut into this many buckets of equal width, so a value is off by less than one in 128.
const PARTS: u64 = 128;
const PART_BITS: u32 = PARTS.trailing_zeros();
const BUCKETS: usize = ((64 - PART_BITS + 1) as usize) << PART_BITS;

/// A log-linear histogram of durations in nanoseconds: constant memory, constant time, an error below 0.8 %.
#[derive(Clone)]
pub(super) struct Histogram {
    counts: Box<[u64]>,
    /// How many durations were counted.
    pub(super) total: u64,
    sum_ns: u128,
    max_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS].into(), total: 0, sum_ns: 0, max_ns: 0 }
    }
}

/// Values below [`PARTS`] have a bucket each. Above, the position of the highest bit chooses a row and the bits after
/// it the place in the row.
fn bucket(value: u64) -> usize {
    let row = (u64::BITS - value.leading_zeros()).saturating_sub(PART_BITS + 1);
    ((row as usize) << PART_BITS) + usize::try_from(value >> row).unwrap_or(usize::MAX)
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let row = (bucket >> PART_BITS).saturating_sub(1);
    let place = (bucket - (row << PART_BITS)) as u64;
    (((u128::from(place) + 1) << row) - 1).try_into().unwrap_or(u64::MAX)
}

impl Histogram {
    /// Counts one duration.
    pub(super) fn record(&mut self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(ns)] += 1;
        self.total += 1;
        self.sum_ns += u128::from(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// The average; zero when nothing was counted.
    pub(super) fn mean(&self) -> Duration {
        let mean = self.sum_ns.checked_div(u128::from(self.total)).unwrap_or_default();
        Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// The longest, exactly.
    pub(super) fn max(&self) -> Duration {
        Duration::from_nanos(self.max_ns)
    }

    /// The shortest duration that at least this share (0 to 1) of all does not exceed; zero when nothing was counted.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        let wanted = share * self.total as f64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen > 0 && seen as f64 >= wanted {
                return Duration::from_nanos(upper(index).min(self.max_ns));
            }
        }
        self.max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_value_is_in_a_bucket_that_ends_less_than_a_part_above_it(value: u64) {
            let end = upper(bucket(value));
            prop_assert!(end >= value);
            prop_assert!(u128::from(end - value) * u128::from(PARTS) <= u128::from(value));
        }

        #[test]
        fn buckets_do_not_overlap(value in 0..u64::MAX) {
            let (this, next) = (bucket(value), bucket(value + 1));
            prop_assert!(next == this || (next == this + 1 && upper(this) == value));
        }

        #[test]
        fn quantiles_are_those_of_the_sorted_values(
            values in prop::collection::vec(0u64..1 << 40, 1..300), share in 0.0f64..=1.0,
        ) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|value| histogram.record(Duration::from_nanos(*value)));
            let mut sorted = values.clone();
            sorted.sort_unstable();
            // The smallest rank whose share of all is at least the wanted one.
            let rank = (1..=sorted.len()).find(|rank| *rank as f64 >= share * sorted.len() as f64).unwrap();
            let exact = sorted[rank - 1];
            let found = u64::try_from(histogram.quantile(share).as_nanos()).unwrap();
            prop_assert!(found >= exact && (found - exact) * PARTS <= exact.max(PARTS - 1));
            prop_assert_eq!(histogram.max().as_nanos(), u128::from(*sorted.last().unwrap()));
            prop_assert_eq!(histogram.total, sorted.len() as u64);
        }
    }

    #[test]
    fn nothing_counted_is_zero() {
        let histogram = Histogram::default();
        assert_eq!((histogram.mean(), histogram.quantile(0.5)), (Duration::ZERO, Duration::ZERO));
        assert_eq!(BUCKETS, bucket(u64::MAX) + 1);
    }
}
