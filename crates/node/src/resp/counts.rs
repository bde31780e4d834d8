//! What is counted of the requests: calls, refusals and the time that they take by command, error replies by their code.

use super::command::Command;
use super::commands::{COMMANDS, COUNT};
use super::listed::CommandPlace;
use super::response::Response;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

/// The codes that error replies begin with; whatever begins with another counts for the last.
const CODES: [&str; 7] = ["NOQUORUM", "INDETERMINATE", "EXECABORT", "WRONGPASS", "NOPROTO", "NOPERM", "ERR"];

/// Times are counted by powers of two of a microsecond: how many took no longer. The last has all that took longer, too.
const POWERS: usize = 26;

/// Counters of one event loop, so that loops do not take them from each other.
#[derive(Debug)]
pub struct Counts {
    calls: [AtomicU64; COUNT],
    rejected: [AtomicU64; COUNT],
    /// Microseconds, of all requests that had operations; and how many of them took how long.
    time: [AtomicU64; COUNT],
    times: [[AtomicU64; POWERS]; COUNT],
    errors: [AtomicU64; CODES.len()],
}

impl Default for Counts {
    fn default() -> Self {
        let zeros = || [const { AtomicU64::new(0) }; COUNT];
        let times = [const { [const { AtomicU64::new(0) }; POWERS] }; COUNT];
        Self { calls: zeros(), rejected: zeros(), time: zeros(), times, errors: Default::default() }
    }
}

impl Counts {
    pub(super) fn call(&self, command: usize) {
        self.calls[command].fetch_add(1, Ordering::Relaxed);
    }

    /// A request that was refused before it was carried out: a wrong number of arguments, a key that is too long.
    pub(super) fn reject(&self, command: usize) {
        self.rejected[command].fetch_add(1, Ordering::Relaxed);
    }

    /// A request of a command has taken so long.
    pub(crate) fn took(&self, command: CommandPlace, time: Duration) {
        let Some(place) = command.index() else { return };
        let microseconds = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let power = microseconds.max(1).next_power_of_two().trailing_zeros();
        self.time[place].fetch_add(microseconds, Ordering::Relaxed);
        let power = usize::try_from(power).unwrap_or(POWERS).min(POWERS - 1);
        self.times[place][power].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a reply if it is an error.
    pub fn reply(&self, reply: &Response) {
        if let Response::Error(text) = reply {
            let code = text.split(' ').next().unwrap_or_default();
            let place = CODES.iter().position(|known| *known == code).unwrap_or(CODES.len() - 1);
            self.errors[place].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Commands that were called.
    pub fn calls(&self) -> u64 {
        self.calls.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// What is counted of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandCounts {
    /// Its name.
    pub name: &'static str,
    /// How often it was called.
    pub calls: u64,
    /// How often it was refused before it was carried out.
    pub rejected: u64,
    /// How long its calls took that had operations, in microseconds.
    pub time: u64,
    /// How many of those took no longer than so many microseconds, as far as any did.
    pub times: Vec<(u64, u64)>,
}

/// Each command that was called or refused.
pub fn by_command<'a>(all: impl Iterator<Item = &'a Counts> + Clone) -> Vec<CommandCounts> {
    let sum = |of: &dyn Fn(&Counts) -> &AtomicU64| {
        all.clone().map(|counts| of(counts).load(Ordering::Relaxed)).sum::<u64>()
    };
    let counts = |(place, spec): (usize, &Command)| CommandCounts {
        name: spec.name,
        calls: sum(&|counts| &counts.calls[place]),
        rejected: sum(&|counts| &counts.rejected[place]),
        time: sum(&|counts| &counts.time[place]),
        times: cumulated((0..POWERS).map(|power| sum(&|counts| &counts.times[place][power]))),
    };
    let commands = COMMANDS.iter().enumerate().map(counts);
    commands.filter(|counts| counts.calls + counts.rejected > 0).collect()
}

/// From how many took how long to how many took no longer, where that grows.
fn cumulated(counts: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut sum = 0;
    let sums = counts.enumerate().filter(|(_, count)| *count > 0).map(|(power, count)| {
        sum += count;
        (1 << power, sum)
    });
    sums.collect()
}

/// Each code of an error reply that was sent, with its count.
pub fn by_error<'a>(all: impl Iterator<Item = &'a Counts> + Clone) -> Vec<(&'static str, u64)> {
    let codes = CODES.iter().enumerate();
    codes
        .map(|(place, code)| {
            let count: u64 = all.clone().map(|counts| counts.errors[place].load(Ordering::Relaxed)).sum();
            (*code, count)
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}
