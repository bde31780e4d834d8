//! Which processor a thread runs on that others wake: an event loop, a committer, or the load generator's.
//!
//! Linux wakes a thread where it ran last or where its waker runs, and looks for a processor that is idle only while
//! those that share a cache have much time left. That is wrong in both directions.
//!
//! *Busy* event loops wake each other with every message, so on a machine with few processors they come together on
//! one of them, and stay: each waits for most of the time while another processor is idle for half of it. The system's
//! balancer leaves them there, because a thread that ran a moment ago is taken for one whose data are in that
//! processor's cache. So a busy event loop looks now and then: if it waits much and hardly ever sleeps, and another
//! processor would be less loaded with it than its own is, it moves there and stays for a while ([`room`]). Then, or
//! when it is not busy any more, it goes wherever the system wants it again: under other loads the system does better,
//! and only trying shows that.
//!
//! The *committer* of a node keeps off the processor that its event loop is on while it has much to commit ([`apart`]).
//!
//! *Quiet* threads, with one operation in flight, are each woken on an idle processor, though only one of them
//! has anything to do at a time. To wake a processor that sleeps takes an interrupt from the other one, and in a
//! virtual machine the hypervisor's help on both sides: tens of microseconds for each message, where the work is five.
//! So a quiet thread that gets many messages goes where most of them come from ([`company`]): to the processor that
//! takes the network's interrupts, or, on one machine, to the one that it exchanges them with. If
//! operations took longer there, fewer messages would arrive, and it leaves.
//!
//! Between the two, with a few operations in flight, a thread goes wherever the system wants it.

mod affinity;
mod apart;
mod company;
mod origins;
mod room;

#[cfg(target_os = "linux")]
mod linux;

use affinity::{Affinity, Processors};
use company::{Arrivals, Company, Watch};
use std::io;
use std::time::Duration;

/// A thread with more operations in flight is busy.
pub(crate) const BUSY_ABOVE: usize = 4;

/// How long a thread is watched before it is judged, about. Shorter times are too few of the system's ticks.
const WATCH: Duration = Duration::from_millis(200);
/// The same while looks lead to nothing: on a machine with many processors one is not cheap.
const WATCH_MOST: Duration = Duration::from_millis(800);
/// A busy thread that waits for its processor for a smaller part of the time is left alone.
const WAITS_MUCH: f64 = 0.5;
/// So is one that runs or waits for a smaller part of the time: as it sleeps, too, others set its pace, and if it moved
/// more of its messages would have to wake somebody on another processor. How long loops are awake under
/// which load is in PERFORMANCE.md, under what was tried.
const AWAKE_LEAST: f64 = 0.83;
/// How long a busy thread stays where it has moved; twice as long each time that it moves again soon after.
const STAY: Duration = Duration::from_secs(2);
const STAY_MOST: Duration = Duration::from_secs(4);
/// What soon is.
const SOON: Duration = Duration::from_secs(2);
/// A thread that comes by only after so long has nothing to do, or gets no processor where it is.
const LONG_ABSENCE: Duration = Duration::from_millis(50);

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
trait System: Processors {
    fn thread(&mut self) -> io::Result<ThreadTimes>;
    /// In ascending order of their numbers.
    fn processors(&mut self) -> io::Result<Vec<ProcessorTimes>>;
    /// The processor that the thread is on.
    fn here(&self) -> usize;
}

/// What a processor was chosen for.
#[derive(Clone, Copy)]
enum Why {
    /// It had room; the choice is good until then.
    Room { until: Duration },
    /// The messages came from there.
    Company,
}

/// What was seen in this watch but for times.
#[derive(Default)]
struct Watched {
    /// How often the thread came by, and how often it was busy then.
    visits: u32,
    busy: u32,
    /// The most operations that were in flight.
    in_flight_most: usize,
    arrivals: Arrivals,
}

/// One thread's choice.
struct Placement<S> {
    affinity: Affinity<S>,
    /// Of the order in force.
    why: Option<Why>,
    /// How long the last stay was to be, and when it was over.
    stay: Duration,
    stayed_until: Option<Duration>,
    company: Company,
    /// How long a watch lasts; when the present one began and when it ends.
    watch: Duration,
    since: Duration,
    until: Duration,
    /// When the thread came by last.
    came: Duration,
    thread: ThreadTimes,
    /// At the beginning of the present watch, if the thread waited much in the last one.
    processors: Option<Vec<ProcessorTimes>>,
    watched: Watched,
    /// Arrivals until the next one that is looked at.
    look_in: u64,
    /// Of the chances below; never zero.
    random: u64,
}

impl<S: System> Placement<S> {
    fn new(system: S, seed: u64, now: Duration) -> Self {
        Self {
            affinity: Affinity::new(system),
            why: None,
            stay: STAY,
            stayed_until: None,
            company: Company::new(),
            watch: WATCH,
            since: now,
            until: now,
            came: now,
            thread: ThreadTimes::default(),
            processors: None,
            watched: Watched::default(),
            look_in: 1,
            random: seed | 1,
        }
    }

    /// To be called whenever messages have arrived, so many together; `overlap` says that others ask while an operation
    /// of the thread's own is in flight. Whether the thread wants to know which processor they come from. In a watch with
    /// more than an operation in flight nothing is counted, as the thread is not quiet.
    fn heard(&mut self, messages: usize, overlap: bool) -> bool {
        if self.watched.in_flight_most > QUIET_MOST {
            return false;
        }
        self.watched.arrivals.add(messages, overlap);
        self.look_in -= 1;
        if self.look_in > 0 {
            return false;
        }
        // Not at regular intervals: an operation is as many messages each time, and the same one of them would be seen.
        self.look_in = 3 + self.chance() % 5;
        true
    }

    /// They came from this one.
    fn heard_from(&mut self, processor: usize) {
        self.watched.arrivals.add_origin(processor);
    }

    /// To be called whenever the thread has done something; whether it has moved. `now` is time since some moment.
    ///
    /// # Errors
    /// When the system tells nothing, or lets nobody choose.
    fn come_by(&mut self, in_flight: usize, now: Duration) -> io::Result<bool> {
        let came = std::mem::replace(&mut self.came, now);
        if now.saturating_sub(came) > LONG_ABSENCE {
            // Nothing that was seen says anything about the present, unless others have kept it from its processor.
            self.watched = Watched::default();
            let before = std::mem::replace(&mut self.thread, self.affinity.system.thread()?);
            if self.thread.waited.saturating_sub(before.waited) > LONG_ABSENCE / 2 {
                self.company.end_early(now);
            }
            self.forget_load();
            self.begin_watch(now);
            self.let_go()?;
        }
        let watched = &mut self.watched;
        watched.visits += 1;
        watched.busy += u32::from(in_flight > BUSY_ABOVE);
        watched.in_flight_most = watched.in_flight_most.max(in_flight);
        if in_flight > QUIET_MOST && self.company.is_present() {
            // Now others have something to do at the same time.
            self.company.end_early(now);
            self.let_go()?;
        }
        if now < self.until {
            return Ok(false);
        }
        let moved = self.judge(now)?;
        self.begin_watch(now);
        Ok(moved)
    }

    fn begin_watch(&mut self, now: Duration) {
        // Not at the same moment as others, who would all move to the same processor: each sees what those before it
        // have changed.
        let parts = 48 + u32::try_from(self.chance() % 33).unwrap_or_default();
        (self.since, self.until) = (now, now + self.watch * parts / 64);
    }

    /// Of a busy thread.
    fn forget_load(&mut self) {
        self.processors = None;
        self.watch = WATCH;
        self.stayed_until = None;
    }

    /// Looks back on a watch.
    fn judge(&mut self, now: Duration) -> io::Result<bool> {
        let times = self.affinity.system.thread()?;
        let before = std::mem::replace(&mut self.thread, times);
        let watched = std::mem::take(&mut self.watched);
        let length = now.saturating_sub(self.since);
        let time = length.as_secs_f64().max(f64::MIN_POSITIVE);
        let share = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64() / time;
        let (ran, waited) = (share(before.ran, times.ran), share(before.waited, times.waited));
        if watched.busy * 2 >= watched.visits {
            return self.judge_busy(ran, waited, now);
        }
        self.forget_load();
        let Watched { in_flight_most, arrivals, .. } = &watched;
        let here = self.affinity.system.here();
        let watch = Watch { arrivals, in_flight_most: *in_flight_most, ran, waited, length, here };
        self.judge_quiet(&watch, now)
    }

    /// Goes where a quiet thread's messages come from, or where the system wants it.
    fn judge_quiet(&mut self, watch: &Watch<'_>, now: Duration) -> io::Result<bool> {
        if let Some(processor) = self.company.judge(watch, now) {
            let allowed = self.allowed()?;
            if allowed.contains(&processor) && self.choose(processor, allowed, Why::Company) {
                return Ok(processor != watch.here);
            }
        }
        self.let_go().map(|()| false)
    }

    /// Goes where a busy thread has more room.
    fn judge_busy(&mut self, ran: f64, waited: f64, now: Duration) -> io::Result<bool> {
        // At the end of a stay, so that the next watch is enough for another choice.
        let is_over = matches!(self.why, Some(Why::Room { until }) if now >= until);
        if (waited < WAITS_MUCH || ran + waited < AWAKE_LEAST) && !is_over {
            self.processors = None;
            self.watch = WATCH;
            return Ok(false);
        }
        let loads = self.affinity.system.processors()?;
        let earlier = self.processors.replace(loads.clone());
        if is_over {
            self.watch = WATCH;
            self.stayed_until = Some(now);
            self.let_go()?;
            return Ok(false);
        }
        let Some(earlier) = earlier else { return Ok(false) };
        let allowed = self.allowed()?;
        let Some(better) = room::better(&earlier, &loads, &allowed, self.affinity.system.here(), ran) else {
            self.watch = (self.watch * 2).min(WATCH_MOST);
            return Ok(false);
        };
        self.watch = WATCH;
        let soon = self.stayed_until.is_some_and(|end| now.saturating_sub(end) < SOON);
        if !soon && self.chance().is_multiple_of(2) {
            return Ok(false);
        }
        self.stay = if soon { (self.stay * 2).min(STAY_MOST) } else { STAY };
        let moved = self.choose(better, allowed, Why::Room { until: now + self.stay });
        if moved {
            // What was seen is of the time before the move.
            self.processors = None;
        }
        Ok(moved)
    }

    /// Goes to a processor of those that are allowed, if the system lets it.
    fn choose(&mut self, processor: usize, allowed: Vec<usize>, why: Why) -> bool {
        let chosen = self.affinity.order(vec![processor], allowed);
        if chosen {
            self.why = Some(why);
        }
        chosen
    }

    /// Where the thread may go.
    fn allowed(&mut self) -> io::Result<Vec<usize>> {
        let allowed = self.affinity.allowed()?;
        if !self.affinity.is_ordered() {
            self.why = None;
        }
        Ok(allowed)
    }

    fn let_go(&mut self) -> io::Result<()> {
        self.company.end();
        self.affinity.withdraw()?;
        self.why = None;
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

pub(crate) use company::QUIET_MOST;
#[cfg(target_os = "linux")]
pub(crate) use linux::{Allowed, Committing, begin, come_by, end, heard, here};

/// Elsewhere the system decides.
#[cfg(not(target_os = "linux"))]
#[derive(Clone, Copy)]
pub(crate) struct Allowed;

#[cfg(not(target_os = "linux"))]
impl Allowed {
    pub(crate) fn of_this_thread() -> Self {
        Self
    }

    pub(crate) fn apply(&self) {}
}

/// Elsewhere the system decides.
#[cfg(not(target_os = "linux"))]
pub(crate) fn begin(_: impl Fn() + 'static) {}

/// Elsewhere the system decides.
#[cfg(not(target_os = "linux"))]
pub(crate) fn heard<S>(_: S, _: usize, _: bool) {}

/// Elsewhere the system decides.
#[cfg(not(target_os = "linux"))]
pub(crate) fn come_by(_: usize, _: Duration) {}

/// Elsewhere the system decides.
#[cfg(not(target_os = "linux"))]
pub(crate) fn end() {}

/// Elsewhere the system decides.
#[cfg(not(target_os = "linux"))]
pub(crate) fn here() -> Option<usize> {
    None
}

/// Elsewhere the system decides.
#[cfg(not(target_os = "linux"))]
pub(crate) struct Committing;

#[cfg(not(target_os = "linux"))]
impl Committing {
    pub(crate) fn new(_: bool) -> Self {
        Self
    }

    pub(crate) fn take(&mut self, _: usize, _: Option<usize>) {}

    pub(crate) fn leave(&mut self) {}
}

#[cfg(test)]
mod tests;
