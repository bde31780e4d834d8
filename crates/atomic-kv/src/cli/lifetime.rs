//! From the start of nodes to their end, and the signals in between.

use crate::fatal::{Fatal, RETIRED};
use crate::logging::limit::limited;
use crate::node::RunningNode;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
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
/// Those of the start; why a node could not go on, or is no member any more; exit code 1 when somebody did not want to wait for a
/// graceful stop.
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
        let mut failures: Vec<_> = nodes.iter().map(|node| Box::pin(node.failed())).collect();
        let mut first_failure = poll_fn(|context| {
            let mut all = failures.iter_mut().map(|failure| failure.as_mut().poll(context));
            all.find(Poll::is_ready).unwrap_or(Poll::Pending)
        });
        let mut retired = None;
        tokio::select! {
            biased;
            signal = signals.wait() => tracing::info!(signal, "stopping"),
            fatal = &mut first_failure => match fatal.code {
                // What clients ask has no effect here any more, and they are told so.
                RETIRED => retired = Some(fatal),
                // Nothing may be answered any more: no graceful stop.
                _ => return Err(fatal),
            },
        }
        nodes.iter().for_each(RunningNode::begin_to_stop);
        let stopped = on_a_thread("stop", || nodes.into_iter().for_each(RunningNode::stop))?;
        tokio::select! {
            biased;
            fatal = &mut first_failure, if retired.is_none() => Err(fatal),
            () = stopped => retired.map_or(Ok(()), Err),
            signal = signals.wait() => Err(Fatal::runtime(format!(
                "{signal} came while the node was stopping: it ends without waiting for operations in flight"
            ))),
        }
    })
}

/// What somebody has told this process.
struct Signals {
    all: Vec<(&'static str, Signal)>,
    what_hang_up_means: HangUp,
}

impl Signals {
    fn listen(what_hang_up_means: HangUp) -> io::Result<Self> {
        let kinds = [
            ("SIGTERM", SignalKind::terminate()),
            ("SIGINT", SignalKind::interrupt()),
            ("SIGHUP", SignalKind::hangup()),
            ("SIGUSR1", SignalKind::user_defined1()),
            ("SIGUSR2", SignalKind::user_defined2()),
        ];
        let all = kinds.into_iter().map(|(name, kind)| Ok((name, signal(kind)?)));
        Ok(Self { all: all.collect::<io::Result<_>>()?, what_hang_up_means })
    }

    /// Waits for one that means that this process should end; its name. Others are told of.
    async fn wait(&mut self) -> &'static str {
        loop {
            let signal = poll_fn(|context| {
                let mut all = self.all.iter_mut();
                let come =
                    all.find_map(|(name, signal)| signal.poll_recv(context).is_ready().then_some(*name));
                come.map_or(Poll::Pending, Poll::Ready)
            });
            let signal = signal.await;
            match signal {
                "SIGTERM" | "SIGINT" => return signal,
                "SIGHUP" if self.what_hang_up_means == HangUp::Stops => return signal,
                _ => {}
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
