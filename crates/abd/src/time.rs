//! Time as data: the core never looks at a clock; whoever drives it says what time it is.

use alloc::string::String;
use core::ops::Add;
use core::time::Duration;

/// A monotonic point in time: nanoseconds since an origin that the driver chooses. Timers and deadlines only; it
/// never enters a timestamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// Time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// An interval that contains true time, in nanoseconds since the Unix epoch (Corbett et al., *Spanner*, 2012,
/// section 3). Neither bound is monotonic: two readings may repeat or go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interval {
    /// True time is not before this.
    pub earliest: u64,
    /// True time is not after this.
    pub latest: u64,
}

impl Interval {
    /// `latest - earliest`.
    pub fn width(&self) -> Duration {
        Duration::from_nanos(self.latest.saturating_sub(self.earliest))
    }
}

/// Why there is no interval now.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ClockError {
    /// Nobody vouches for the clock.
    #[error("the clock's error bound is unknown: {0}")]
    Unknown(String),
    /// The bound is wider than what the node accepts.
    #[error("the clock's interval is {width:?} wide, more than the allowed {max:?}")]
    TooWide {
        /// Measured width.
        width: Duration,
        /// Configured maximum.
        max: Duration,
    },
}

/// A source of intervals.
pub trait IntervalClock {
    /// The interval now.
    ///
    /// # Errors
    /// [`ClockError`] when no bound that is good enough is known at this moment.
    fn now(&self) -> Result<Interval, ClockError>;

    /// Where the bound comes from, in words for a log line or a status page.
    fn source(&self) -> String;
}

/// What time it is, as one argument of every input of the [`crate::Coordinator`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Now {
    /// For timers and deadlines.
    pub instant: Instant,
    /// For TrueTime; `None` in logical mode or while the bound is unknown.
    pub interval: Option<Interval>,
    /// For values that expire (rule E3).
    pub moment: Moment,
}

/// By which a value is judged to have expired (rule E3): milliseconds since the Unix epoch. In TrueTime mode true time is not before
/// it; in logical mode it is what this node's own clock says. It decides when an expiry is proposed, never what is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// While nothing is known: nothing has expired.
    pub const UNKNOWN: Self = Self(0);

    /// TrueTime: the last whole millisecond that is in the past for certain; unknown while the bound is.
    pub fn certain(interval: Option<Interval>) -> Self {
        interval.map_or(Self::UNKNOWN, |interval| Self(interval.earliest / NANOS_PER_MILLI))
    }
}

/// Nanoseconds in a millisecond.
pub const NANOS_PER_MILLI: u64 = 1_000_000;
