//! The subcommands that run nodes, and the command line. The others are in the crate `tools`.

mod command_line;

pub use command_line::{Cli, Command};

use crate::config::{DevArgs, ServeArgs};
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

/// Runs a whole cluster in this process until it is told to stop.
///
/// # Errors
/// As [`serve`].
pub fn dev(args: DevArgs) -> Result<(), Fatal> {
    private::set_umask();
    logging::start("warn,lsm_tree=error")?;
    if !(1..=7).contains(&args.nodes) {
        return Err(Fatal::usage(format!("--nodes {} is not between 1 and 7", args.nodes)));
    }
    if args.port == 0 {
        return Err(Fatal::usage(
            "--port 0 is not possible: clients must know the ports; choose one such as 6380",
        ));
    }
    let temporary;
    let directory = match &args.data_dir {
        Some(path) => path.clone(),
        None => {
            temporary = tempfile::tempdir()
                .map_err(|why| Fatal::runtime(format!("cannot make a temporary directory: {why}")))?;
            temporary.path().to_path_buf()
        }
    };
    let address = |port: u16, id: u32| {
        u16::try_from(u32::from(port) + id - 1).map(|port| format!("127.0.0.1:{port}")).map_err(|_| {
            Fatal::usage(format!("--port {} leaves no room for {} nodes", args.port, args.nodes))
        })
    };
    let peer_port = if args.port < 50_000 { args.port + 10_000 } else { args.port - 10_000 };
    let members: Vec<String> = (1..=args.nodes)
        .map(|id| Ok(format!("{id}={}", address(peer_port, id)?)))
        .collect::<Result<_, Fatal>>()?;
    let mut nodes = Vec::new();
    for id in 1..=args.nodes {
        let serve = ServeArgs {
            node_id: Some(id),
            cluster: Some(members.join(",")),
            listen: Some(address(args.port, id)?),
            data_dir: Some(directory.join(format!("node-{id}"))),
            timestamps: Some(args.timestamps.clone()),
            clock_error: args.clock_error.clone(),
            ..ServeArgs::default()
        };
        nodes.push(RunningNode::start(serve.settle()?)?);
    }
    let last = u32::from(args.port) + args.nodes - 1;
    println!(
        "{} nodes on 127.0.0.1, ports {} to {last}; data in {}",
        args.nodes,
        args.port,
        directory.display()
    );
    println!("try:  redis-cli -p {} set greeting hello", args.port);
    println!("      redis-cli -p {last} get greeting");
    println!("stop with Ctrl-C");
    run(nodes)
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
