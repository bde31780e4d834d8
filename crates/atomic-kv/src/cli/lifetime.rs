//! From the start of nodes to their end, and the signals in between.

use crate::fatal::Fatal;
use crate::logging::limit::limited;
use crate::node::RunningNode;
use std::io;
use std::pin::pin;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// What SIGHUP means. Terminals send it to all that they have started when they are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HangUp {
    /// Nothing: a node outlives the terminal.
    IsIgnored,
    /// The same as Ctrl-C.
    Stops,
}

/// Starts nodes, and waits until they are told to stop or one of them cannot go on.
///
/// # Errors
/// Those of the start; why a node could not go on; exit code 1 when somebody did not want to wait for a graceful stop.
pub(super) fn run(
    hang_up: HangUp,
    start: impl FnOnce() -> Result<Vec<RunningNode>, Fatal> + Send + 'static,
) -> Result<(), Fatal> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|why| Fatal::runtime(format!("cannot start: {why}")))?;
    runtime.block_on(async {
        let mut signals = Signals::listen(hang_up)
            .map_err(|why| Fatal::runtime(format!("cannot listen for signals: {why}")))?;
        // A start may take long: it reads the journal, and after a change of modes it waits.
        let nodes = tokio::select! {
            biased;
            signal = signals.wait() => {
                tracing::info!(signal, "stopped during the start");
                return Ok(());
            }
            started = on_a_thread("start", start)? => started?,
        };
        let failures = nodes.iter().map(|node| Box::pin(node.failed()));
        let mut failures: Vec<_> = failures.collect();
        let mut first_failure = pin!(std::future::poll_fn(|context| {
            for failure in &mut failures {
                if let std::task::Poll::Ready(fatal) = failure.as_mut().poll(context) {
                    return std::task::Poll::Ready(fatal);
                }
            }
            std::task::Poll::Pending
        }));
        tokio::select! {
            biased;
            signal = signals.wait() => tracing::info!(signal, "stopping"),
            // Nothing may be answered any more: no graceful stop.
            fatal = &mut first_failure => return Err(fatal),
        }
        nodes.iter().for_each(RunningNode::begin_to_stop);
        let stopped = on_a_thread("stop", || nodes.into_iter().for_each(RunningNode::stop))?;
        tokio::select! {
            biased;
            fatal = &mut first_failure => Err(fatal),
            () = stopped => Ok(()),
            signal = signals.wait() => Err(Fatal::runtime(format!(
                "{signal} came while the node was stopping: it ends without waiting for operations in flight"
            ))),
        }
    })
}

/// What somebody has told this process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user1: Signal,
    user2: Signal,
    what_hang_up_means: HangUp,
}

impl Signals {
    fn listen(what_hang_up_means: HangUp) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            what_hang_up_means,
        })
    }

    /// Waits for one that means that this process should end; its name. Others are told of.
    async fn wait(&mut self) -> &'static str {
        loop {
            let signal = tokio::select! {
                biased;
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hang_up.recv() => "SIGHUP",
                _ = self.user1.recv() => "SIGUSR1",
                _ = self.user2.recv() => "SIGUSR2",
            };
            if signal == "SIGHUP" && self.what_hang_up_means == HangUp::Stops {
                return signal;
            }
            limited!(
                warn,
                "a signal that does nothing: settings are read at the start alone, and the log goes to stderr",
                signal
            );
        }
    }
}

/// Carries something out on a thread of its own; what it has led to.
fn on_a_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<impl Future<Output = T>, Fatal> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // Nobody waits any more when the process ends.
            let _ = sender.send(work());
        })
        .map_err(|why| Fatal::runtime(format!("cannot start a thread: {why}")))?;
    Ok(async {
        match receiver.await {
            Ok(done) => done,
            // It has panicked, which ends the process.
            Err(_) => std::future::pending().await,
        }
    })
}
