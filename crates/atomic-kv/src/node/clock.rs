//! Interval clocks: who vouches for how far the system clock may be off.

use abd::{ClockError, Interval, IntervalClock};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The system clock, give or take a bound that the operator states.
#[derive(Clone, Debug)]
pub struct FixedBound {
    /// How far the clock is off at most.
    pub error: Duration,
    /// Added to every reading: lets a test give each node another clock.
    pub offset: i64,
}

impl IntervalClock for FixedBound {
    fn now(&self) -> Result<Interval, ClockError> {
        Ok(around(reading()?.saturating_add_signed(self.offset), self.error))
    }

    fn source(&self) -> String {
        format!("system clock ± {:?} (--clock-error)", self.error)
    }
}

/// The system clock with the bound that the kernel maintains for it (`ntp_adjtime`, `maxerror`): it grows by 500 ppm
/// between corrections, and reads 16 s when nobody synchronises the clock.
#[derive(Debug)]
pub struct KernelBound {
    max_width: Duration,
    /// The bound is looked up anew after a while: it grows slowly, a system call per operation would not tell more.
    cached: Mutex<Option<(Instant, Result<Duration, ClockError>)>>,
}

const BOUND_FRESH_FOR: Duration = Duration::from_millis(200);
/// By how much `maxerror` may have grown while it is cached: 500 ppm of that time.
const BOUND_GROWTH: Duration = Duration::from_micros(1);

impl KernelBound {
    /// Refuses intervals wider than `max_width`.
    pub fn new(max_width: Duration) -> Self {
        Self { max_width, cached: Mutex::new(None) }
    }

    fn bound(&self) -> Result<Duration, ClockError> {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, bound)) = &*cached
            && at.elapsed() < BOUND_FRESH_FOR
        {
            return bound.clone();
        }
        let bound = kernel_bound().and_then(|bound| {
            let width = bound * 2;
            if width > self.max_width {
                Err(ClockError::TooWide { width, max: self.max_width })
            } else {
                Ok(bound + BOUND_GROWTH)
            }
        });
        *cached = Some((Instant::now(), bound.clone()));
        bound
    }
}

impl IntervalClock for KernelBound {
    fn now(&self) -> Result<Interval, ClockError> {
        let bound = self.bound()?;
        Ok(around(reading()?, bound))
    }

    fn source(&self) -> String {
        match self.bound() {
            Ok(bound) => format!("kernel (ntp_adjtime) ± {bound:?}"),
            Err(why) => format!("kernel (ntp_adjtime): {why}"),
        }
    }
}

fn around(middle: u64, error: Duration) -> Interval {
    let error = u64::try_from(error.as_nanos()).unwrap_or(u64::MAX);
    Interval { earliest: middle.saturating_sub(error), latest: middle.saturating_add(error) }
}

/// The system clock in nanoseconds since the Unix epoch; `None` before that.
fn wall_clock() -> Option<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

fn reading() -> Result<u64, ClockError> {
    wall_clock().ok_or_else(|| ClockError::Unknown("this machine's clock is before 1970: set it".into()))
}

/// 2020-01-01, in nanoseconds. A clock before that was never set, as on a machine without a battery before it has found the
/// time: it says nothing about what lies in the future.
const SET_SINCE: u64 = 1_577_836_800_000_000_000;

/// From where a version counts as one of the future where there is no interval clock. A clock that was never set puts no limit:
/// in logical mode no clock is needed, and were it taken for the truth, versions of an earlier run with TrueTime could not be
/// overwritten.
pub(crate) fn horizon() -> u64 {
    horizon_of(wall_clock())
}

fn horizon_of(wall: Option<u64>) -> u64 {
    wall.filter(|now| *now >= SET_SINCE).unwrap_or(u64::MAX)
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "ntp_adjtime has no safe wrapper among our dependencies")]
fn kernel_bound() -> Result<Duration, ClockError> {
    // SAFETY: `timex` is plain data for which all-zero is valid, and mode 0 only reads.
    let (state, timex) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (libc::ntp_adjtime(&raw mut timex), timex)
    };
    if state < 0 {
        return Err(ClockError::Unknown(format!("ntp_adjtime: {}", std::io::Error::last_os_error())));
    }
    if state == libc::TIME_ERROR || timex.status & libc::STA_UNSYNC != 0 {
        return Err(ClockError::Unknown(
            "the kernel says that nobody synchronises this machine's clock; run chrony or ntpd, or state a bound that \
             you trust with --clock-error"
                .into(),
        ));
    }
    Ok(Duration::from_micros(u64::try_from(timex.maxerror).unwrap_or(u64::MAX)))
}

#[cfg(not(target_os = "linux"))]
fn kernel_bound() -> Result<Duration, ClockError> {
    Err(ClockError::Unknown(
        "the kernel's bound can be read on Linux only; state one with --clock-error".into(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_puts_no_version_into_the_future() {
        for wall in [None, Some(0), Some(SET_SINCE - 1)] {
            assert_eq!(horizon_of(wall), u64::MAX);
        }
        assert_eq!(horizon_of(Some(SET_SINCE)), SET_SINCE);
    }

    #[test]
    fn a_fixed_bound_surrounds_the_system_clock() {
        let clock = FixedBound { error: Duration::from_millis(2), offset: 0 };
        let before = reading().unwrap();
        let interval = clock.now().unwrap();
        assert!(interval.earliest <= reading().unwrap() && before <= interval.latest);
        assert_eq!(interval.width(), Duration::from_millis(4));
    }

    #[test]
    fn a_kernel_bound_wider_than_allowed_is_refused() {
        assert!(KernelBound::new(Duration::ZERO).now().is_err());
    }
}
