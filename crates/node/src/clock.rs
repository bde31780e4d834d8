//! From readings of the system's clocks to an interval that contains true time (rule T1).
//!
//! Somebody vouches for how far the wall clock may be off: the kernel, which is told by a time daemon, or the operator. What was
//! vouched for holds for the clock as it was then. So each reading compares the wall clock with the monotonic one, which nobody
//! sets: if they have parted, the wall clock was set, or the machine slept, and nobody vouches for it any more.

use abd::{ClockError, Interval, Moment, NANOS_PER_MILLI};
use alloc::{format, string::String};
use core::time::Duration;

/// What a node's clocks say for values that expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moments {
    /// A value whose deadline is no later has expired (rule E3). [`Moment::UNKNOWN`] in TrueTime mode while the bound is.
    pub earliest: Moment,
    /// From here on a value lives for as long as its client says: it is no earlier than true time, as far as is known.
    pub latest: Moment,
}

impl Moments {
    /// TrueTime. `wall` as below, for what remains of a value's time while no interval is known.
    pub fn of_interval(interval: Option<Interval>, wall: u64) -> Self {
        let latest = interval.map_or(wall, |interval| interval.latest);
        Self { earliest: Moment::certain(interval), latest: Moment(latest.div_ceil(NANOS_PER_MILLI)) }
    }

    /// Logical: the wall clock alone, in nanoseconds since the Unix epoch. Two nodes may differ by what their clocks do.
    pub fn of_wall(wall: u64) -> Self {
        Self { earliest: Moment(wall / NANOS_PER_MILLI), latest: Moment(wall.div_ceil(NANOS_PER_MILLI)) }
    }
}

/// Tells the time to commands. One reading is a clock that stands still.
pub trait Clock {
    /// What time it is.
    fn moments(&self) -> Moments;
}

impl Clock for Moments {
    fn moments(&self) -> Moments {
        *self
    }
}

/// Faster no clock drifts, as the kernel sees it (`MAXFREQ`): 500 ppm.
const DRIFT_PPM: u64 = 500;
/// The kernel raises its bound once a second: it may be due for that.
const KERNEL_RAISES_EVERY: Duration = Duration::from_secs(1);
/// The kernel's bound is looked up anew after this time: a system call for each operation would not tell more.
const BOUND_FRESH_FOR: Duration = Duration::from_millis(200);
/// Clocks that have parted by less, beyond what reading them takes, have not: they count in whole steps.
const ROUNDING: Duration = Duration::from_micros(1);
/// A wall clock that parts from the monotonic one by more was set. What is less makes the interval wider.
const SET: Duration = Duration::from_micros(100);
/// For so long after the wall clock was set the kernel's bound is not used: longer than it takes to notice it.
const KERNEL_UNKNOWN_FOR: Duration = Duration::from_secs(2);
/// For so long after the wall clock was set the operator's bound is not used.
pub const STATED_UNKNOWN_FOR: Duration = Duration::from_secs(10);

/// One look at the clocks, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The monotonic clock before the wall clock was read.
    pub before: u64,
    /// The wall clock, since the Unix epoch.
    pub wall: u64,
    /// The monotonic clock after that.
    pub after: u64,
}

impl Reading {
    /// How long the reading took: the wall clock was read somewhere in between.
    pub fn took(&self) -> Duration {
        Duration::from_nanos(self.after.saturating_sub(self.before))
    }

    fn around(&self, error: Duration) -> Interval {
        let error = u64::try_from(error.as_nanos()).unwrap_or(u64::MAX);
        Interval { earliest: self.wall.saturating_sub(error), latest: self.wall.saturating_add(error) }
    }

    /// By how much the wall clock has parted from the monotonic one since an earlier reading, and how far that may be off.
    fn parted_since(&self, earlier: &Self) -> (Duration, Duration) {
        // In the middle of each reading.
        let offset = |reading: &Self| {
            2 * i128::from(reading.wall) - i128::from(reading.before) - i128::from(reading.after)
        };
        let parted = (offset(self) - offset(earlier)).unsigned_abs() / 2;
        let parted = Duration::from_nanos(u64::try_from(parted).unwrap_or(u64::MAX));
        (parted, (self.took() + earlier.took()) / 2 + ROUNDING)
    }
}

fn drift(time: Duration) -> Duration {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos((nanos / 1_000_000).saturating_add(1).saturating_mul(DRIFT_PPM))
}

/// What the kernel says about the wall clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// It is synchronised, and off by this at most.
    Synchronised(Duration),
    /// Nobody vouches for it, or the kernel does not say.
    Unknown(String),
}

/// The interval by the bound that the kernel maintains.
#[derive(Debug)]
pub struct KernelBound {
    max_width: Duration,
    /// The bound as it was told, and the clocks at that time.
    told: Option<(Reading, Kernel)>,
    /// After the wall clock was set: until when it is unknown, by the monotonic clock, and why.
    set: Option<(u64, String)>,
    /// What the kernel has not counted: it does not know how long the machine slept.
    uncounted: Duration,
    note: Option<String>,
}

impl KernelBound {
    /// Refuses intervals that are wider than `max_width`.
    pub fn new(max_width: Duration) -> Self {
        Self { max_width, told: None, set: None, uncounted: Duration::ZERO, note: None }
    }

    /// Whether the kernel has to be asked now. Its answer is given to [`KernelBound::tell`], with readings from before and after.
    pub fn asks(&self, now: &Reading) -> bool {
        self.told.as_ref().is_none_or(|(then, _)| {
            now.after.saturating_sub(then.before)
                >= u64::try_from(BOUND_FRESH_FOR.as_nanos()).unwrap_or(u64::MAX)
        })
    }

    /// The kernel has answered between these readings.
    pub fn tell(&mut self, before: Reading, kernel: Kernel, after: Reading) {
        self.compare(&before);
        if let (Some((_, Kernel::Synchronised(earlier))), Kernel::Synchronised(now)) = (&self.told, &kernel)
            && now < earlier
        {
            // It was corrected: what it had not counted is in that.
            self.uncounted = Duration::ZERO;
        }
        self.told = Some((before, kernel));
        // Set meanwhile: the answer may be about either.
        self.compare(&after);
    }

    /// Looks whether the wall clock was set since the kernel was asked.
    fn compare(&mut self, now: &Reading) {
        let Some((then, _)) = &self.told else { return };
        let (parted, off) = now.parted_since(then);
        if parted > SET + off {
            self.uncounted += drift(parted);
            let why = format!(
                "the clock was set by {parted:?}, or this machine slept; its bound is unknown for {KERNEL_UNKNOWN_FOR:?} and \
                 until it is synchronised"
            );
            self.note = Some(why.clone());
            self.set = Some((now.after.saturating_add(nanos(KERNEL_UNKNOWN_FOR)), why));
            self.told = None;
        }
    }

    /// The interval now.
    ///
    /// # Errors
    /// [`ClockError`] while nobody vouches for a bound that is good enough.
    pub fn interval(&mut self, now: &Reading) -> Result<Interval, ClockError> {
        self.compare(now);
        if let Some((until, why)) = &self.set {
            if now.after < *until {
                return Err(ClockError::Unknown(why.clone()));
            }
            self.set = None;
        }
        let Some((then, kernel)) = &self.told else {
            return Err(ClockError::Unknown("the kernel has not been asked since the clock was set".into()));
        };
        let told = match kernel {
            Kernel::Synchronised(error) => *error,
            Kernel::Unknown(why) => return Err(ClockError::Unknown(why.clone())),
        };
        let age = Duration::from_nanos(now.after.saturating_sub(then.before));
        let (parted, off) = now.parted_since(then);
        let error = told + drift(KERNEL_RAISES_EVERY) + drift(age) + parted + off + self.uncounted;
        let width = error * 2;
        if width > self.max_width {
            return Err(ClockError::TooWide { width, max: self.max_width });
        }
        Ok(now.around(error))
    }

    /// Something that an operator should know, once.
    pub fn take_note(&mut self) -> Option<String> {
        self.note.take()
    }
}

/// The interval by a bound that the operator states.
#[derive(Debug)]
pub struct StatedBound {
    error: Duration,
    last: Option<Reading>,
    set: Option<(u64, String)>,
    note: Option<String>,
}

impl StatedBound {
    /// The wall clock is off by `error` at most.
    pub fn new(error: Duration) -> Self {
        Self { error, last: None, set: None, note: None }
    }

    /// The interval now. A wall clock that is set by more than twice the bound was not within it before, or is not now: then it
    /// is unknown for [`STATED_UNKNOWN_FOR`].
    ///
    /// # Errors
    /// [`ClockError::Unknown`] for that time.
    pub fn interval(&mut self, now: &Reading) -> Result<Interval, ClockError> {
        if let Some(last) = &self.last {
            let (parted, off) = now.parted_since(last);
            let age = Duration::from_nanos(now.after.saturating_sub(last.before));
            if parted > self.error * 2 + drift(age) + off {
                let why = format!(
                    "the clock was set by {parted:?}, or this machine slept, which the stated bound of {:?} does not allow; it is \
                     unknown for {STATED_UNKNOWN_FOR:?}",
                    self.error
                );
                self.note = Some(why.clone());
                self.set = Some((now.after.saturating_add(nanos(STATED_UNKNOWN_FOR)), why));
            }
        }
        self.last = Some(*now);
        match &self.set {
            Some((until, why)) if now.after < *until => Err(ClockError::Unknown(why.clone())),
            _ => {
                self.set = None;
                Ok(now.around(self.error))
            }
        }
    }

    /// Something that an operator should know, once.
    pub fn take_note(&mut self) -> Option<String> {
        self.note.take()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
