//! Which processor an event loop runs on.
//!
//! Linux wakes a thread where it ran last or where its waker runs, and looks for a processor that is idle only while
//! those that share a cache have much time left. Event loops wake each other with every message, so on a machine with few
//! processors they come together on one of them, and stay: each waits for most of the time while another processor is
//! idle for half of it. The system's balancer leaves them there, because a thread that ran a moment ago is taken for one
//! whose data are in that processor's cache.
//!
//! So a busy event loop looks now and then: if it waits much, and another processor would be less loaded with it than
//! its own is, it moves there and stays for a while. Then, or when it is not busy any more, it goes wherever the system
//! wants it again: under other loads the system does better, and only trying shows that.

#[cfg(target_os = "linux")]
mod linux;

use std::io;
use std::time::Duration;

/// How long a thread is watched before it is judged, about. Shorter times are too few of the system's ticks.
const WATCH: Duration = Duration::from_millis(200);
/// The same while looks lead to nothing: on a machine with many processors one is not cheap.
const WATCH_MOST: Duration = Duration::from_millis(800);
/// A thread that waits for its processor for a smaller part of the time is left alone.
const WAITS_MUCH: f64 = 0.2;
/// How long a thread stays where it has moved; twice as long each time that it moves again soon after.
const STAY: Duration = Duration::from_secs(2);
const STAY_MOST: Duration = Duration::from_secs(4);
/// What soon is.
const SOON: Duration = Duration::from_secs(2);
/// A thread that comes by only after so long has nothing to do, or gets no processor where it is.
const LONG_ABSENCE: Duration = Duration::from_millis(50);
/// The other processor must be less loaded by this part of its time, with this thread, than the present one is.
const MARGIN: f64 = 0.1;

/// What a thread has done since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ThreadTimes {
    /// On a processor.
    ran: Duration,
    /// Ready to run, and not on one.
    waited: Duration,
}

/// What a processor has done since the machine began, in a unit of the system's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ProcessorTimes {
    number: usize,
    busy: u64,
    idle: u64,
}

/// The calling thread and the processors, as the system sees them.
trait System {
    fn thread(&mut self) -> io::Result<ThreadTimes>;
    /// In ascending order of their numbers.
    fn processors(&mut self) -> io::Result<Vec<ProcessorTimes>>;
    /// The processor that the thread is on.
    fn here(&self) -> usize;
    /// Those that it may be on, ascending.
    fn allowed(&self) -> io::Result<Vec<usize>>;
    fn allow(&mut self, processors: &[usize]) -> io::Result<()>;
}

/// Where the thread may be.
enum Place {
    /// Wherever the system wants it.
    Free,
    /// On one processor; before that it might be on any of these.
    Chosen { processor: usize, before: Vec<usize>, until: Duration },
}

/// One thread's choice.
struct Placement<S> {
    system: S,
    place: Place,
    /// How long the last stay was to be, and when it was over.
    stay: Duration,
    stayed_until: Option<Duration>,
    /// How long a watch lasts; when the present one began and when it ends.
    watch: Duration,
    since: Duration,
    until: Duration,
    /// When the thread came by last.
    came: Duration,
    thread: ThreadTimes,
    /// At the beginning of the present watch, if the thread waited much in the last one.
    processors: Option<Vec<ProcessorTimes>>,
    /// How often the thread came by in it, and how often it was busy then.
    visits: u32,
    busy: u32,
    /// Of the chances below; never zero.
    random: u64,
}

impl<S: System> Placement<S> {
    fn new(system: S, seed: u64, now: Duration) -> Self {
        Self {
            system,
            place: Place::Free,
            stay: STAY,
            stayed_until: None,
            watch: WATCH,
            since: now,
            until: now,
            came: now,
            thread: ThreadTimes::default(),
            processors: None,
            visits: 0,
            busy: 0,
            random: seed | 1,
        }
    }

    /// To be called whenever the thread has done something; whether it has moved. `now` is time since some moment.
    ///
    /// # Errors
    /// When the system tells nothing, or lets nobody choose.
    fn come_by(&mut self, busy: bool, now: Duration) -> io::Result<bool> {
        self.visits += 1;
        self.busy += u32::from(busy);
        let came = std::mem::replace(&mut self.came, now);
        if now.saturating_sub(came) > LONG_ABSENCE {
            (self.visits, self.busy) = (1, 0);
        } else if now < self.until {
            return Ok(false);
        }
        let moved = self.judge(now)?;
        // Not at the same moment as others, who would all move to the same processor: each sees what those before it
        // have changed.
        let quarters = 3 + u32::try_from(self.chance() % 3).unwrap_or_default();
        (self.since, self.until) = (now, now + self.watch * quarters / 4);
        (self.visits, self.busy) = (0, 0);
        Ok(moved)
    }

    /// Looks back on a watch and begins the next.
    fn judge(&mut self, now: Duration) -> io::Result<bool> {
        let times = self.system.thread()?;
        let before = std::mem::replace(&mut self.thread, times);
        let watched = now.saturating_sub(self.since).as_secs_f64().max(f64::MIN_POSITIVE);
        let share = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64() / watched;
        let (ran, waited) = (share(before.ran, times.ran), share(before.waited, times.waited));
        if self.busy * 2 < self.visits {
            self.processors = None;
            self.watch = WATCH;
            self.stayed_until = None;
            self.let_go()?;
            return Ok(false);
        }
        // At the end of a stay, so that the next watch is enough for another choice.
        let is_over = matches!(self.place, Place::Chosen { until, .. } if now >= until);
        if waited < WAITS_MUCH && !is_over {
            self.processors = None;
            self.watch = WATCH;
            return Ok(false);
        }
        let loads = self.system.processors()?;
        let earlier = self.processors.replace(loads.clone());
        if is_over {
            self.watch = WATCH;
            self.stayed_until = Some(now);
            self.let_go()?;
            return Ok(false);
        }
        let Some(earlier) = earlier else { return Ok(false) };
        let allowed = self.allowed()?;
        let Some(better) = better(&earlier, &loads, &allowed, self.system.here(), ran) else {
            self.watch = (self.watch * 2).min(WATCH_MOST);
            return Ok(false);
        };
        self.watch = WATCH;
        let soon = self.stayed_until.is_some_and(|end| now.saturating_sub(end) < SOON);
        if !soon && self.chance().is_multiple_of(2) {
            return Ok(false);
        }
        self.stay = if soon { (self.stay * 2).min(STAY_MOST) } else { STAY };
        if self.system.allow(&[better]).is_err() {
            // Not allowed any more, though the system says so: processors may be taken away.
            return Ok(false);
        }
        self.place = Place::Chosen { processor: better, before: allowed, until: now + self.stay };
        // What was seen is of the time before the move.
        self.processors = None;
        Ok(true)
    }

    /// Where the thread may go. What somebody else has ordered meanwhile holds.
    fn allowed(&mut self) -> io::Result<Vec<usize>> {
        let now = self.system.allowed()?;
        if let Place::Chosen { processor, before, .. } = &self.place
            && now == [*processor]
        {
            return Ok(before.clone());
        }
        self.place = Place::Free;
        Ok(now)
    }

    fn let_go(&mut self) -> io::Result<()> {
        let allowed = self.allowed()?;
        if matches!(std::mem::replace(&mut self.place, Place::Free), Place::Chosen { .. }) {
            self.system.allow(&allowed)?;
        }
        Ok(())
    }

    /// Xorshift (Marsaglia 2003): chance enough to tell threads apart.
    fn chance(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 32
    }
}

/// The processor that would be less loaded, with a thread that runs for a part `ran` of the time, than `here` is now.
fn better(
    earlier: &[ProcessorTimes],
    now: &[ProcessorTimes],
    allowed: &[usize],
    here: usize,
    ran: f64,
) -> Option<usize> {
    let load = |number: usize| {
        let find = |times: &[ProcessorTimes]| times.binary_search_by_key(&number, |times| times.number).ok();
        let (from, to) = (&earlier[find(earlier)?], &now[find(now)?]);
        // The system's count of idle time may go back a little.
        let (busy, idle) = (to.busy.saturating_sub(from.busy), to.idle.saturating_sub(from.idle));
        (busy + idle > 0).then(|| busy as f64 / (busy + idle) as f64)
    };
    let loads = allowed.iter().filter(|number| **number != here);
    let loads = loads.filter_map(|number| Some((load(*number)?, *number)));
    let (least, number) = loads.min_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (least + ran + MARGIN < load(here)?).then_some(number)
}

#[cfg(target_os = "linux")]
pub(super) use linux::{begin, come_by};

/// Elsewhere the system decides.
#[cfg(not(target_os = "linux"))]
pub(super) fn begin(_: &std::sync::Arc<super::Node>) {}

/// Elsewhere the system decides.
#[cfg(not(target_os = "linux"))]
pub(super) fn come_by(_: bool, _: abd::Instant) {}

#[cfg(test)]
mod tests;
