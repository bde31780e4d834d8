//! What is counted of the requests: calls and refusals by command, error replies by their code.

use super::commands::{COMMANDS, COUNT};
use super::response::Response;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

/// The codes that error replies begin with; whatever begins with another counts for the last.
const CODES: [&str; 6] = ["NOQUORUM", "INDETERMINATE", "WRONGPASS", "NOPROTO", "NOPERM", "ERR"];

/// Counters of one event loop, so that loops do not take them from each other.
#[derive(Debug)]
pub struct Counts {
    calls: [AtomicU64; COUNT],
    rejected: [AtomicU64; COUNT],
    errors: [AtomicU64; CODES.len()],
}

impl Default for Counts {
    fn default() -> Self {
        let zeros = || [const { AtomicU64::new(0) }; COUNT];
        Self { calls: zeros(), rejected: zeros(), errors: Default::default() }
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

/// Each command that was called or refused, with both counts.
pub fn by_command<'a>(all: impl Iterator<Item = &'a Counts> + Clone) -> Vec<(&'static str, u64, u64)> {
    let sum = |of: fn(&Counts) -> &[AtomicU64; COUNT], place: usize| {
        all.clone().map(|counts| of(counts)[place].load(Ordering::Relaxed)).sum::<u64>()
    };
    let commands = COMMANDS.iter().enumerate();
    commands
        .map(|(place, spec)| {
            (spec.name, sum(|counts| &counts.calls, place), sum(|counts| &counts.rejected, place))
        })
        .filter(|(_, calls, rejected)| calls + rejected > 0)
        .collect()
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
