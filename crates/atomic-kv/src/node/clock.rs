//! Interval clocks: who vouches for how far the system clock may be off. What is to be made of what they say is in
//! [`node::clock`]; here the clocks are read.

use super::now_instant;
use crate::config::Settings;
use crate::fatal::Fatal;
use ::node::clock::{Clock, Kernel, KernelBound as ByKernel, Moments, Reading, StatedBound};
use abd::{ClockError, Instant, Interval, IntervalClock, Now, TimestampMode};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The clock of a node: an interval clock in TrueTime mode, else the system clock, by which values expire alone.
pub(crate) struct NodeClock {
    source: Option<Box<dyn IntervalClock + Send + Sync>>,
    /// Added to the system clock, in nanoseconds.
    offset: i64,
}

impl NodeClock {
    /// The one that the settings ask for.
    ///
    /// # Errors
    /// Exit code 2 when it does not know the time well enough.
    pub(crate) fn choose(settings: &Settings) -> Result<Self, Fatal> {
        let offset = settings.clock_offset;
        if settings.timestamps == TimestampMode::Logical {
            return Ok(Self { source: None, offset });
        }
        let clock: Box<dyn IntervalClock + Send + Sync> = match settings.clock_error {
            Some(error) => Box::new(FixedBound::new(error, settings.clock_offset)),
            None => Box::new(KernelBound::new(settings.max_clock_width)),
        };
        if let Err(why) = clock.now() {
            let remedy = match why {
                ClockError::TooWide { .. } => {
                    "; synchronise this machine's clock better, or raise --max-clock-width"
                }
                // Whoever does not know the bound says what to do about it.
                ClockError::Unknown(_) => "",
            };
            return Err(Fatal::usage(format!("--timestamps truetime is not possible: {why}{remedy}")));
        }
        Ok(Self { source: Some(clock), offset })
    }

    pub(super) fn source(&self) -> Option<&(dyn IntervalClock + Send + Sync)> {
        self.source.as_deref()
    }

    /// The interval now, in TrueTime mode and if there is one.
    pub(crate) fn interval(&self) -> Option<Interval> {
        self.source.as_ref().and_then(|clock| clock.now().ok())
    }

    /// What time it is, for the coordinator.
    pub(crate) fn now(&self, instant: Instant) -> Now {
        let interval = self.interval();
        Now { instant, interval, moment: self.moments_in(interval).earliest }
    }

    fn moments_in(&self, interval: Option<Interval>) -> Moments {
        // Before 1970 nothing has expired.
        let wall = || wall_clock().unwrap_or(0).saturating_add_signed(self.offset);
        match self.source {
            Some(_) => Moments::of_interval(interval, wall()),
            None => Moments::of_wall(wall()),
        }
    }

    /// Its upper bound, for the horizon of replicas.
    pub(crate) fn horizon(&self) -> u64 {
        self.interval().map_or_else(horizon, |interval| interval.latest)
    }

    /// Whether there is an interval, or none is needed.
    pub(crate) fn has_time(&self) -> bool {
        self.source.as_ref().is_none_or(|clock| clock.now().is_ok())
    }

    pub(crate) fn text(&self) -> String {
        self.source.as_ref().map_or_else(|| "not needed".to_owned(), |clock| clock.source())
    }
}

impl Clock for NodeClock {
    fn moments(&self) -> Moments {
        self.moments_in(self.interval())
    }
}

/// The system clock, give or take a bound that the operator states.
#[derive(Debug)]
pub struct FixedBound {
    error: Duration,
    offset: i64,
    bound: Mutex<StatedBound>,
}

impl FixedBound {
    /// The clock is off by `error` at most. `offset` is added to every reading: lets a test give each node another clock.
    pub fn new(error: Duration, offset: i64) -> Self {
        Self { error, offset, bound: Mutex::new(StatedBound::new(error)) }
    }
}

impl IntervalClock for FixedBound {
    fn now(&self) -> Result<Interval, ClockError> {
        // Under the lock: readings are compared in their order.
        let mut bound = lock(&self.bound);
        let reading = read()?;
        let reading = Reading { wall: reading.wall.saturating_add_signed(self.offset), ..reading };
        let interval = bound.interval(&reading);
        tell(bound.take_note());
        interval
    }

    fn source(&self) -> String {
        match self.now() {
            Ok(_) => format!("system clock ± {:?} (--clock-error)", self.error),
            Err(why) => format!("system clock (--clock-error): {why}"),
        }
    }
}

/// The system clock with the bound that the kernel maintains for it (`ntp_adjtime`, `maxerror`): it grows by 500 ppm
/// between corrections, and reads 16 s when nobody synchronises the clock.
#[derive(Debug)]
pub struct KernelBound(Mutex<ByKernel>);

impl KernelBound {
    /// Refuses intervals wider than `max_width`.
    pub fn new(max_width: Duration) -> Self {
        Self(Mutex::new(ByKernel::new(max_width)))
    }
}

impl IntervalClock for KernelBound {
    fn now(&self) -> Result<Interval, ClockError> {
        // Under the lock: readings are compared in their order.
        let mut bound = lock(&self.0);
        let mut reading = read()?;
        if bound.asks(&reading) {
            let kernel = ask_kernel();
            let after = read()?;
            bound.tell(reading, kernel, after);
            reading = after;
        }
        let interval = bound.interval(&reading);
        tell(bound.take_note());
        interval
    }

    fn source(&self) -> String {
        match self.now() {
            Ok(interval) => format!("kernel (ntp_adjtime) ± {:?}", interval.width() / 2),
            Err(why) => format!("kernel (ntp_adjtime): {why}"),
        }
    }
}

fn lock<T>(bound: &Mutex<T>) -> MutexGuard<'_, T> {
    bound.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(note: Option<String>) {
    if let Some(note) = note {
        tracing::warn!("{note}; operations are refused meanwhile");
    }
}

/// A reading that takes longer than this is tried again: a thread that was put aside knows less.
const QUICK: Duration = Duration::from_micros(20);
const ATTEMPTS: usize = 4;

/// Reads the clocks; the quickest of a few attempts, if none is quick.
fn read() -> Result<Reading, ClockError> {
    let mut best: Option<Reading> = None;
    for _ in 0..ATTEMPTS {
        let before = now_instant().0;
        let wall = reading()?;
        let reading = Reading { before, wall, after: now_instant().0 };
        if best.is_none_or(|best| reading.took() < best.took()) {
            best = Some(reading);
        }
        if reading.took() <= QUICK {
            break;
        }
    }
    best.ok_or_else(|| ClockError::Unknown("the clock cannot be read".into()))
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
fn horizon() -> u64 {
    horizon_of(wall_clock())
}

fn horizon_of(wall: Option<u64>) -> u64 {
    wall.filter(|now| *now >= SET_SINCE).unwrap_or(u64::MAX)
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "ntp_adjtime has no safe wrapper among our dependencies")]
fn ask_kernel() -> Kernel {
    // SAFETY: `timex` is plain data for which all-zero is valid, and mode 0 only reads.
    let (state, timex) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (libc::ntp_adjtime(&raw mut timex), timex)
    };
    if state < 0 {
        return Kernel::Unknown(format!("ntp_adjtime: {}", std::io::Error::last_os_error()));
    }
    if state == libc::TIME_ERROR || timex.status & libc::STA_UNSYNC != 0 {
        return Kernel::Unknown(
            "the kernel says that nobody synchronises this machine's clock; run chrony or ntpd, or state a bound that \
             you trust with --clock-error"
                .into(),
        );
    }
    Kernel::Synchronised(Duration::from_micros(u64::try_from(timex.maxerror).unwrap_or(u64::MAX)))
}

#[cfg(not(target_os = "linux"))]
fn ask_kernel() -> Kernel {
    Kernel::Unknown("the kernel's bound can be read on Linux only; state one with --clock-error".into())
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
        let clock = FixedBound::new(Duration::from_millis(2), 0);
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
