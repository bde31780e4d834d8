//! Ctrl-C and its like, for tools that leave a cluster as they found it.

use crate::Failed;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};

/// The exit code of what was interrupted, as shells have it for SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// Whether whoever started the tool wants it to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for SIGINT and SIGTERM from now on. The first one is only noted, so that the tool can put things in order; the
    /// second one ends it.
    ///
    /// # Errors
    /// When the system has no thread or no signals left.
    pub(crate) fn listen() -> Result<Self, Failed> {
        Self::listen_with(INTERRUPTED)
    }

    /// The same for a tool that has another exit code for that.
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    pub(crate) fn listen_with(code: u8) -> Result<Self, Failed> {
        let failed = |why: std::io::Error| Failed::runtime(format!("cannot listen for signals: {why}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
        let (mut interrupt, mut terminate) = {
            let _context = runtime.enter();
            let listen = |kind| signal(kind).map_err(failed);
            (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?)
        };
        let noted = Self::default();
        let told = noted.clone();
        let listening = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                    if told.0.swap(true, Ordering::Relaxed) {
                        #[expect(
                            clippy::disallowed_methods,
                            reason = "a second interrupt does not wait for an end in order"
                        )]
                        std::process::exit(code.into());
                    }
                }
            });
        });
        listening.map(|_| noted).map_err(failed)
    }

    /// As if a signal had come.
    #[cfg(test)]
    pub(crate) fn pretend(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
