//! Lines that strangers can cause, limited in rate: so many of a kind in a while, and then how many more there were.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines of one kind that are written in [`WINDOW`].
const LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);

/// The kinds that have lines to tell of when their window is over.
static UNWRITTEN: Mutex<Vec<&'static Limit>> = Mutex::new(Vec::new());

fn unwritten() -> MutexGuard<'static, Vec<&'static Limit>> {
    UNWRITTEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The limit of one kind of line. Use it through [`limited`].
pub(crate) struct Limit {
    what: &'static str,
    state: Mutex<State>,
}

struct State {
    began: Option<Instant>,
    written: u32,
    unwritten: u64,
}

impl Limit {
    pub(crate) const fn new(what: &'static str) -> Self {
        Self { what, state: Mutex::new(State { began: None, written: 0, unwritten: 0 }) }
    }

    /// Whether one more line may be written now. One that may not is told of later.
    pub(crate) fn admits(&'static self) -> bool {
        let first = match self.admits_at(Instant::now()) {
            Admitted::Yes => return true,
            Admitted::No { first } => first,
        };
        if first {
            unwritten().push(self);
            super::lines::wake();
        }
        false
    }

    fn admits_at(&self, now: Instant) -> Admitted {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A window with something to tell ends when that is told.
        if state.unwritten == 0 && state.began.is_none_or(|began| now.duration_since(began) >= WINDOW) {
            (state.began, state.written) = (Some(now), 0);
        }
        if state.unwritten == 0 && state.written < LINES {
            state.written += 1;
            return Admitted::Yes;
        }
        state.unwritten += 1;
        Admitted::No { first: state.unwritten == 1 }
    }

    /// How many lines were not written, if the window is over; the next one begins then.
    fn ended(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.began.is_some_and(|began| now.duration_since(began) < WINDOW) {
            return None;
        }
        state.began = None;
        Some(std::mem::take(&mut state.unwritten))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Admitted {
    Yes,
    No { first: bool },
}

/// In how long there may be something to tell; `None` while there is nothing.
pub(super) fn next_look() -> Option<Duration> {
    (!unwritten().is_empty()).then_some(WINDOW / 10)
}

/// Tells of lines that were not written, if their window is over.
pub(super) fn tell_of_unwritten() {
    let now = Instant::now();
    let mut ended = Vec::new();
    unwritten().retain(|kind| kind.ended(now).map(|lines| ended.push((kind.what, lines))).is_none());
    for (what, lines) in ended {
        tracing::warn!("… and {lines} more lines like \"{what}\" were not written");
    }
}

/// Logs a line that somebody outside can cause as often as he likes: `limited!(warn, "what happened", field = value, %why)`.
/// Its level is that of `tracing`, and so are its fields, which follow the text.
macro_rules! limited {
    ($level:ident, $what:literal $(, $($fields:tt)*)?) => {{
        static LIMIT: $crate::logging::limit::Limit = $crate::logging::limit::Limit::new($what);
        if LIMIT.admits() {
            tracing::$level!($($($fields)*,)? $what);
        }
    }};
}
pub(crate) use limited;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_lines_in_a_while_and_then_how_many_more() {
        let limit = Limit::new("refused a peer");
        let start = Instant::now();
        for round in 0..3 {
            let now = start + WINDOW * round;
            for _ in 0..LINES {
                assert_eq!(limit.admits_at(now), Admitted::Yes);
            }
            let soon = now + WINDOW / 2;
            for number in 0..1000 {
                assert_eq!(limit.admits_at(soon), Admitted::No { first: number == 0 });
            }
            assert_eq!(limit.ended(soon), None);
            assert_eq!(limit.ended(now + WINDOW), Some(1000));
        }
        // Nothing is left to tell, and few lines are all written.
        for number in 0..100 {
            assert_eq!(limit.admits_at(start + WINDOW * (10 + number)), Admitted::Yes);
        }
    }

    #[test]
    fn what_was_not_written_is_counted_until_it_is_told() {
        let limit = Limit::new("refused a peer");
        let start = Instant::now();
        for _ in 0..=LINES {
            limit.admits_at(start);
        }
        // The window is over, but nobody has told yet.
        assert_eq!(limit.admits_at(start + WINDOW * 2), Admitted::No { first: false });
        assert_eq!(limit.ended(start + WINDOW * 2), Some(2));
        assert_eq!(limit.admits_at(start + WINDOW * 2), Admitted::Yes);
    }
}
