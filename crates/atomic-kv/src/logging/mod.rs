//! What the program says on stderr. It never waits for whoever reads that, never panics, and fails no operation: a line that
//! cannot be written is counted and dropped.
//!
//! `lines` is the queue and the thread that writes, `limit` keeps strangers from filling a log.

pub(crate) mod limit;
mod lines;

pub use lines::{end_with, flush, lines_dropped};

use crate::fatal::Fatal;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Which lines are written, in the language of `tracing_subscriber::EnvFilter`.
const VARIABLE: &str = "ATOMIC_KV_LOG";

/// Begins to log: what the environment asks for, otherwise `default`.
///
/// # Errors
/// Exit code 2 when `ATOMIC_KV_LOG` cannot be understood, 1 when no thread can be started.
pub fn start(default: &str) -> Result<(), Fatal> {
    let wanted = std::env::var_os(VARIABLE).filter(|wanted| !wanted.is_empty());
    let wanted = wanted.map_or_else(|| default.to_owned(), |wanted| wanted.to_string_lossy().into_owned());
    let filter = EnvFilter::try_new(&wanted).map_err(|why| {
        Fatal::usage(format!(
            "{VARIABLE}: \"{wanted}\" is no filter such as info or warn,atomic_kv=debug: {why}"
        ))
    })?;
    lines::start().map_err(|why| Fatal::runtime(format!("cannot start a thread: {why}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        // What goes wrong is counted; to tell it on stderr, as the library would, panics where that is closed.
        .log_internal_errors(false)
        .with_writer(|| lines::Queued)
        .init();
    Ok(())
}
