//! The subcommands that run nodes, and the command line. The others are in the crate `tools`.

mod command_line;
mod dev;
mod environment;
mod lifetime;

pub use command_line::{Cli, Command};
pub use dev::dev;

use crate::config::ServeArgs;
use crate::fatal::Fatal;
use crate::logging;
use crate::node::RunningNode;
use crate::private;
use lifetime::HangUp;

/// Runs one node until it is told to stop.
///
/// # Errors
/// Exit code 2 for a wrong configuration, 1 for a node that cannot go on, 4 for one that is no member any more.
pub fn serve(args: ServeArgs) -> Result<(), Fatal> {
    private::set_umask();
    logging::start(&format!("info,{}", store::LOG_FILTER))?;
    let settings = args.settle()?;
    if settings.first.cluster.as_ref().is_some_and(|members| members.len() % 2 == 0) {
        tracing::warn!("an even number of nodes survives no more failures than one node less");
    }
    lifetime::run(HangUp::IsIgnored, || Ok(vec![RunningNode::start(settings)?]))
}
