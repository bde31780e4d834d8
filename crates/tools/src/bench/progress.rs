//! The line that shows how far a measurement is.

use super::summary::thousands;
use crate::load::{Phase, Progress};
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// A line on standard error, written over and over; silent when nobody watches.
pub(super) struct Line {
    watched: bool,
    keys: u64,
    measured: Duration,
    last: (Duration, u64),
}

impl Line {
    pub(super) fn new(keys: u64, measured: Duration) -> Self {
        Self { watched: std::io::stderr().is_terminal(), keys, measured, last: (Duration::ZERO, 0) }
    }

    pub(super) fn show(&mut self, now: Progress) {
        if !self.watched {
            return;
        }
        let text = match now.phase {
            Phase::Prefill => format!("writing {} of {} keys", thousands(now.done), thousands(self.keys)),
            Phase::WarmUp => "warming up".to_owned(),
            Phase::Measured => {
                let (elapsed, done) = std::mem::replace(&mut self.last, (now.elapsed, now.done));
                let rate = (now.done - done) as f64 / (now.elapsed - elapsed).as_secs_f64().max(1e-3);
                let (elapsed, measured) = (now.elapsed.as_secs_f64(), self.measured.as_secs());
                let errors = match now.errors {
                    0 => String::new(),
                    errors => format!(", {errors} errors"),
                };
                format!("{elapsed:.1} of {measured} s: {} operations/s{errors}", thousands(rate))
            }
        };
        // A line that cannot be shown is no reason to end a measurement.
        let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
    }

    /// Keys are deleted at the end.
    pub(super) fn show_deleted(&self, done: u64) {
        if self.watched {
            let text = format!("deleted {} of {} keys", thousands(done), thousands(self.keys));
            let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
        }
    }

    pub(super) fn clear(&self) {
        if self.watched {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
