//! The subcommands that run nodes, and the command line. The others are in the crate `tools`.

mod command_line;
mod dev;

pub use command_line::{Cli, Command};
pub use dev::dev;

use crate::config::ServeArgs;
use crate::fatal::Fatal;
use crate::logging;
use crate::node::RunningNode;
use crate::private;
use tokio::signal::unix::{SignalKind, signal};

/// Runs one node until it is told to stop.
///
/// # Errors
/// Exit code 2 for a wrong configuration, 1 for a node that cannot go on.
pub fn serve(args: ServeArgs) -> Result<(), Fatal> {
    private::set_umask();
    logging::start("info,lsm_tree=warn")?;
    let settings = args.settle()?;
    if settings.cluster.len() % 2 == 0 {
        tracing::warn!("an even number of nodes survives no more failures than one node less");
    }
    run(vec![RunningNode::start(settings)?])
}

/// Waits for a signal or a failure.
fn run(nodes: Vec<RunningNode>) -> Result<(), Fatal> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|why| Fatal::runtime(format!("cannot start: {why}")))?;
    let ended = runtime.block_on(async {
        let signals =
            signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
        let (mut terminate, mut interrupt) =
            signals.map_err(|why| Fatal::runtime(format!("cannot listen for signals: {why}")))?;
        let failures = nodes.iter().map(|node| Box::pin(node.failed()));
        let mut failures: Vec<_> = failures.collect();
        let first_failure = std::future::poll_fn(|context| {
            for failure in &mut failures {
                if let std::task::Poll::Ready(fatal) = failure.as_mut().poll(context) {
                    return std::task::Poll::Ready(fatal);
                }
            }
            std::task::Poll::Pending
        });
        tokio::select! {
            biased;
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
            fatal = first_failure => Err(fatal),
        }
    });
    if ended.is_ok() {
        nodes.iter().for_each(RunningNode::begin_to_stop);
        for node in nodes {
            node.stop();
        }
    }
    // After a failure nothing may be answered any more: no graceful stop.
    ended
}
