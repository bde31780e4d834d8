//! A fault in the program itself ends the process, at once and whoever it happens to: a node of which a part is gone answers
//! health checks and nothing else.
//!
//! Nothing is lost by it: what was acknowledged is on the disk, and for its peers the node has crashed, which is what the
//! protocol is made for.

use crate::logging;
use std::panic::PanicHookInfo;

/// The exit code: `EX_SOFTWARE` of sysexits.h, as no subcommand has a meaning for it.
pub const EXIT_CODE: u8 = 70;

/// Has every panic end the process, but for those of the disk engine that the store takes for a damaged disk.
pub fn end_on_panic() {
    std::panic::set_hook(Box::new(panicked));
}

fn panicked(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("unnamed");
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let what = panic.payload();
    let what =
        what.downcast_ref::<&str>().copied().or_else(|| what.downcast_ref::<String>().map(String::as_str));
    let what = what.unwrap_or("no message").replace('\n', " ");
    if store::catches_panics() {
        // Whoever catches it ends the node, and says why.
        return tracing::error!(thread = name, place, what, "the disk engine panicked");
    }
    let trace = std::backtrace::Backtrace::capture();
    if trace.status() == std::backtrace::BacktraceStatus::Captured {
        trace.to_string().lines().for_each(|line| tracing::error!("{line}"));
    }
    end(&format!("thread \"{name}\" panicked at {place}: {what}"));
}

/// Ends the process with one line.
pub(crate) fn end(why: &str) -> ! {
    logging::end_with(&format!(
        "atomic-kv: a fault in the program: {why}; the process ends at once, what it has acknowledged is safe. Start it again, \
         and report this line"
    ));
    exit()
}

/// Without anything that a process may do at its end: its memory may be in any state.
#[allow(
    unsafe_code,
    reason = "what has a safe wrapper also runs destructors, which may wait for a lock that nobody gives back"
)]
fn exit() -> ! {
    // SAFETY: it never returns, and touches no memory.
    unsafe { libc::_exit(EXIT_CODE.into()) }
}

/// How a test has a part of the node end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Injected {
    Panic,
    Return,
}

/// Whether a test wants this part of a node to end: `ATOMIC_KV_FAIL_AT=committer=panic`, say. That a part ends is what no input
/// can bring about, or it would be mended; so only this shows that it does not go unnoticed. Release builds lack it.
pub(crate) fn injected(part: &str) -> Option<Injected> {
    if !cfg!(debug_assertions) {
        return None;
    }
    let wish = std::env::var("ATOMIC_KV_FAIL_AT").ok()?;
    match wish.strip_prefix(part)? {
        "=panic" => Some(Injected::Panic),
        "=return" => Some(Injected::Return),
        _ => None,
    }
}
