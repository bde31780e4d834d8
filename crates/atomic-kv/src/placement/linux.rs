//! What Linux tells about threads and processors (proc(5)), and its affinity (`sched_setaffinity(2)`).

use super::affinity::Processors;
use super::apart::Apart;
use super::{Placement, ProcessorTimes, System, ThreadTimes};
use rustix::net::sockopt::socket_incoming_cpu;
use rustix::process::getpid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use std::cell::RefCell;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

thread_local! {
    static CHOICE: RefCell<Option<Choice>> = const { RefCell::new(None) };
}

struct Choice {
    placement: Placement<Linux>,
    moved: Box<dyn Fn()>,
}

/// Where a thread may run.
#[derive(Clone, Copy)]
pub(crate) struct Allowed(Option<CpuSet>);

impl Allowed {
    pub(crate) fn of_this_thread() -> Self {
        Self(sched_getaffinity(None).ok())
    }

    /// Has the calling thread run there: it was started by one that had chosen a processor, and is there, too.
    pub(crate) fn apply(&self) {
        if let Some(set) = &self.0
            && let Err(why) = sched_setaffinity(None, set)
        {
            tracing::debug!("a thread stays where the one that started it was: {why}");
        }
    }
}

/// Has the calling thread look for a better processor from now on, if there is a choice; each move is told. A thread that
/// it starts begins on the chosen processor and stays there, unless it calls [`Allowed::apply`].
pub(crate) fn begin(moved: impl Fn() + 'static) {
    let system = Linux::new().and_then(|system| Ok((system.allowed()?.len() > 1).then_some(system)));
    match system {
        Ok(Some(system)) => {
            let placement = Placement::new(system, RandomState::new().hash_one(0), Duration::ZERO);
            CHOICE.set(Some(Choice { placement, moved: Box::new(moved) }));
        }
        Ok(None) => {}
        Err(why) => tracing::debug!("a thread runs where the system wants it: {why}"),
    }
}

/// To be called whenever messages have arrived on a socket, so many together; `overlap` says that others ask while an
/// operation of the thread's own is in flight.
pub(crate) fn heard(socket: impl AsFd, messages: usize, overlap: bool) {
    CHOICE.with_borrow_mut(|choice| {
        if let Some(Choice { placement, .. }) = choice
            && placement.heard(messages, overlap)
            && let Ok(processor) = socket_incoming_cpu(socket)
        {
            placement.heard_from(processor as usize);
        }
    });
}

/// To be called whenever the thread has done something: so many operations are in flight on it now. `now` is time
/// since some moment.
pub(crate) fn come_by(in_flight: usize, now: Duration) {
    CHOICE.with_borrow_mut(|choice| {
        let Some(Choice { placement, moved }) = choice else { return };
        match placement.come_by(in_flight, now) {
            Ok(false) => {}
            Ok(true) => {
                moved();
                tracing::debug!(
                    processor = placement.affinity.system.here(),
                    in_flight,
                    "a thread has moved"
                );
            }
            Err(why) => {
                tracing::debug!("a thread runs where the system wants it from now on: {why}");
                placement.leave();
                *choice = None;
            }
        }
    });
}

/// Has the calling thread go wherever the system wants it again.
pub(crate) fn end() {
    if let Some(Choice { mut placement, .. }) = CHOICE.take() {
        placement.leave();
    }
}

/// The processor that the calling thread is on, if it has a choice and has left it to the system.
pub(crate) fn here() -> Option<usize> {
    let is_left = CHOICE
        .with_borrow(|choice| choice.as_ref().is_some_and(|choice| !choice.placement.affinity.is_ordered()));
    is_left.then(sched_getcpu)
}

/// The choice of a thread that commits what event loops hand over.
pub(crate) struct Committing {
    apart: Option<Apart<ThisThread>>,
    began: Instant,
}

impl Committing {
    /// Of the calling thread; `chooses` says whether there is a choice at all.
    pub(crate) fn new(chooses: bool) -> Self {
        Self { apart: chooses.then(|| Apart::new(ThisThread)), began: Instant::now() }
    }

    /// To be called for each batch: how many writes it has, and what [`here`] said where they came from.
    pub(crate) fn take(&mut self, writes: usize, origin: Option<usize>) {
        let now = self.began.elapsed();
        self.choose(|apart| apart.take(writes, origin, now));
    }

    /// Has the thread run wherever the system wants it, and those that it starts.
    pub(crate) fn leave(&mut self) {
        self.choose(Apart::leave);
    }

    fn choose(&mut self, choice: impl FnOnce(&mut Apart<ThisThread>) -> io::Result<()>) {
        if let Some(Err(why)) = self.apart.as_mut().map(choice) {
            tracing::debug!("a committer no longer chooses where it runs: {why}");
            self.apart = None;
        }
    }
}

impl Placement<Linux> {
    fn leave(&mut self) {
        if let Err(why) = self.let_go() {
            tracing::debug!("a thread stays on its processor: {why}");
        }
    }
}

/// The calling thread on Linux.
pub(super) struct Linux {
    schedstat: File,
    stat: File,
}

impl Linux {
    /// # Errors
    /// Where one of the files is missing: the kernel was built without it, or something hides it.
    pub(super) fn new() -> io::Result<Self> {
        let schedstat = File::open("/proc/thread-self/schedstat")?;
        Ok(Self { schedstat, stat: File::open("/proc/stat")? })
    }
}

impl System for Linux {
    fn thread(&mut self) -> io::Result<ThreadTimes> {
        let mut text = [0; 128];
        let length = self.schedstat.read_at(&mut text, 0)?;
        thread_times(&String::from_utf8_lossy(&text[..length]))
            .ok_or_else(|| io::Error::other("/proc/thread-self/schedstat is not understood"))
    }

    fn processors(&mut self) -> io::Result<Vec<ProcessorTimes>> {
        // The rows of the processors come first; what follows may be long.
        let mut text = vec![0; 64 << 10];
        let length = self.stat.read_at(&mut text, 0)?;
        Ok(processor_times(&String::from_utf8_lossy(&text[..length])))
    }

    fn here(&self) -> usize {
        sched_getcpu()
    }
}

impl Processors for Linux {
    fn allowed(&self) -> io::Result<Vec<usize>> {
        ThisThread.allowed()
    }

    fn allowed_first(&self) -> io::Result<Vec<usize>> {
        ThisThread.allowed_first()
    }

    fn allow(&mut self, processors: &[usize]) -> io::Result<()> {
        ThisThread.allow(processors)
    }
}

/// The calling thread's affinity.
struct ThisThread;

impl Processors for ThisThread {
    fn allowed(&self) -> io::Result<Vec<usize>> {
        Ok(numbers(&sched_getaffinity(None)?))
    }

    fn allowed_first(&self) -> io::Result<Vec<usize>> {
        Ok(numbers(&sched_getaffinity(Some(getpid()))?))
    }

    fn allow(&mut self, processors: &[usize]) -> io::Result<()> {
        let mut set = CpuSet::new();
        for number in processors {
            set.set(*number);
        }
        Ok(sched_setaffinity(None, &set)?)
    }
}

fn numbers(set: &CpuSet) -> Vec<usize> {
    (0..CpuSet::MAX_CPU).filter(|number| set.is_set(*number)).collect()
}

/// Reads `RAN WAITED SLICES`, times in nanoseconds.
fn thread_times(text: &str) -> Option<ThreadTimes> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    let mut next = || Some(Duration::from_nanos(numbers.next()?.ok()?));
    Some(ThreadTimes { ran: next()?, waited: next()? })
}

/// Reads the rows `cpuN USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ STEAL …`, but not what is left of one that was cut off.
/// User time contains that of guests.
fn processor_times(text: &str) -> Vec<ProcessorTimes> {
    let row = |row: &str| {
        let (number, times) = row.strip_prefix("cpu")?.split_once(' ')?;
        let times: Vec<u64> = times.split(' ').map_while(|time| time.parse().ok()).take(8).collect();
        let idle = times.get(3)? + times.get(4)?;
        Some(ProcessorTimes { number: number.parse().ok()?, busy: times.iter().sum::<u64>() - idle, idle })
    };
    let rows = text.rsplit_once('\n').map_or("", |(rows, _)| rows);
    rows.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Why;
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_understood() {
        let times = ThreadTimes { ran: Duration::from_nanos(12), waited: Duration::from_nanos(345) };
        assert_eq!(thread_times("12 345 6\n"), Some(times));
        assert_eq!((thread_times(""), thread_times("12"), thread_times("12 x")), (None, None, None));
        let text = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 3 40 50 6 7 8 1 0\ncpu12 1 0 0 9 1\ncpu13 1 0 0 9\nintr 5 cpu\ncpu14 1 0 0 9 1";
        let expected = [
            ProcessorTimes { number: 0, busy: 27, idle: 90 },
            ProcessorTimes { number: 12, busy: 1, idle: 10 },
        ];
        assert_eq!(processor_times(text), expected);
    }

    #[test]
    fn a_thread_that_has_chosen_is_free_in_the_end_and_so_are_those_it_starts() {
        std::thread::spawn(|| {
            let before = Allowed::of_this_thread();
            let count =
                || Linux::new().and_then(|system| system.allowed()).map_or(0, |allowed| allowed.len());
            let all = count();
            begin(|| {});
            let began = CHOICE.with_borrow_mut(|choice| {
                let Some(Choice { placement, .. }) = choice else { return false };
                let allowed = placement.affinity.system.allowed().unwrap();
                placement.choose(allowed[0], allowed, Why::Company)
            });
            if !began {
                eprintln!(
                    "SKIPPED: there is one processor, or the kernel does not tell how long threads wait"
                );
                return;
            }
            assert_eq!((count(), here()), (1, None));
            let started = std::thread::spawn(move || {
                let inherited = count();
                before.apply();
                (inherited, count())
            });
            assert_eq!(started.join().unwrap(), (1, all));
            CHOICE.with_borrow_mut(|choice| choice.as_mut().unwrap().placement.let_go()).unwrap();
            assert!(here().is_some());
            end();
            assert_eq!((count(), here()), (all, None));
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_committer_keeps_off_a_processor_until_it_leaves() {
        std::thread::spawn(|| {
            let count = || ThisThread.allowed().unwrap().len();
            let all = ThisThread.allowed().unwrap();
            if all.len() == 1 {
                eprintln!("SKIPPED: there is one processor");
                return;
            }
            let mut committing = Committing::new(true);
            let mut off = Committing::new(false);
            let end = Instant::now() + 2 * super::super::WATCH;
            while Instant::now() < end {
                off.take(100, Some(all[0]));
                committing.take(100, Some(all[0]));
                std::thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(count(), all.len() - 1);
            assert_ne!(sched_getcpu(), all[0]);
            committing.leave();
            assert_eq!(count(), all.len());
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_thread_stays_where_it_is_allowed_and_is_free_again() {
        // A thread of its own: what is changed ends with it.
        std::thread::spawn(|| {
            let Ok(mut system) = Linux::new() else {
                eprintln!("SKIPPED: this kernel does not tell how long threads wait");
                return;
            };
            system.thread().unwrap();
            let allowed = system.allowed().unwrap();
            let times = system.processors().unwrap();
            for number in &allowed {
                assert!(times.iter().any(|times| times.number == *number), "{number} of {times:?}");
                system.allow(&[*number]).unwrap();
                assert_eq!((system.here(), system.allowed().unwrap()), (*number, vec![*number]));
            }
            system.allow(&allowed).unwrap();
            assert_eq!(system.allowed().unwrap(), allowed);
        })
        .join()
        .unwrap();
    }
}
