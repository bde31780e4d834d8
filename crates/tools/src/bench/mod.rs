//! `bench`: how fast a running cluster is.

mod progress;
mod summary;

use crate::interrupt::{INTERRUPTED, Interrupt};
use crate::load::{self, Mix, Plan, Workload};
use crate::resp::Client;
use crate::{Failed, check_counts, clean, print};
use clap::{Args, ValueEnum};
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::time::Duration;

/// The most requests that a node takes from one connection at once without making the rest wait.
const PIPELINE_MAX: u64 = 1024;

const EXIT_CODES: &str = "\
Ctrl-C ends the measurement, deletes the keys and reports what was measured; a second one ends all at once.

Exit codes: 0 measured, 1 the cluster did not answer, completed nothing or kept keys that were to be deleted,
2 wrong command line or no node in reach, 130 interrupted.";

/// Bytes of a lock's token: enough that no two clients have the same.
const TOKEN_BYTES: usize = 16;

/// What the clients ask, by its name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchWorkload {
    /// GET and SET; --reads says how many of each.
    Register,
    /// INCR.
    Incr,
    /// SET NX on keys that are present, so that nothing is ever set.
    Setnx,
    /// SET NX with a token of its own and, when the client got the lock, DELIFEQ. The locks of the slowest and of the
    /// fastest client are reported.
    Lock,
    /// APPEND, and one SET in a hundred operations, which begins the value anew.
    Append,
}

/// Flags of `bench`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct BenchArgs {
    /// Client addresses; the clients are spread over them, and go to the next one when theirs is gone.
    #[arg(long, value_delimiter = ',', default_value = "127.0.0.1:6380,127.0.0.1:6381,127.0.0.1:6382")]
    pub addr: Vec<String>,
    /// Clients; each waits for its answer before it asks again.
    #[arg(long, default_value_t = 64)]
    pub clients: usize,
    /// Connections that the clients share, as callers of a multiplexing client library do, spread over the addresses;
    /// without it each client has its own.
    #[arg(long)]
    pub connections: Option<usize>,
    /// What the clients ask.
    #[arg(long, value_enum, default_value_t = BenchWorkload::Register)]
    pub workload: BenchWorkload,
    /// Reads in a hundred operations of the workload register; the rest are writes.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub reads: u32,
    /// Bytes of every value, or of what is appended to it. A lock's token always has 16.
    #[arg(long, default_value_t = 100)]
    pub value_size: usize,
    /// Different keys, which begin with "bench:". Before anything is measured each is written once, unless it is a lock; at the
    /// end all are deleted.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=Workload::KEYS_MAX))]
    pub keys: u64,
    /// All operations go to one key.
    #[arg(long)]
    pub hot: bool,
    /// Requests that a client sends at once before it waits for their answers.
    #[arg(long, default_value_t = 1)]
    pub pipeline: usize,
    /// How long to measure; a second of warm-up comes before.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Leave the keys in the cluster.
    #[arg(long)]
    pub keep: bool,
    /// Print one JSON object instead of a summary. Its fields are described with the type `load::Report`.
    #[arg(long)]
    pub json: bool,
}

impl BenchArgs {
    /// The measurement that the flags describe.
    ///
    /// # Errors
    /// Exit code 2 for a count that makes no sense.
    pub fn plan(&self) -> Result<Plan, Failed> {
        let clients = self.clients as u64;
        check_counts(&[
            ("--clients", clients, 10_000),
            ("--connections", self.connections.unwrap_or(1) as u64, clients),
            ("--pipeline", self.pipeline as u64, PIPELINE_MAX),
            ("--value-size", self.value_size as u64, 512 << 20),
        ])?;
        let (mix, value_size) = match self.workload {
            BenchWorkload::Register => (Mix::Register { reads: self.reads }, self.value_size),
            BenchWorkload::Incr => (Mix::Increment, self.value_size),
            BenchWorkload::Setnx => (Mix::SetIfAbsent, self.value_size),
            BenchWorkload::Lock => (Mix::Lock, TOKEN_BYTES),
            BenchWorkload::Append => (Mix::Append, self.value_size),
        };
        Ok(Plan {
            workload: Workload { keys: self.keys, value_size, mix, hot: self.hot },
            clients: self.clients,
            connections: self.connections,
            pipeline: self.pipeline,
            warm_up: Duration::from_secs(1),
            measured: Duration::from_secs(self.seconds),
            operations: None,
            prefill: true,
            patience: Duration::from_secs(15),
        })
    }
}

/// Measures, deletes what it has written, and prints.
///
/// # Errors
/// Exit code 2 for wrong flags or when no node can be reached, 1 when the cluster does not answer or completed nothing, 130 when interrupted.
pub fn run(args: &BenchArgs) -> Result<(), Failed> {
    let plan = args.plan()?;
    let nodes = load::look_up(&args.addr).map_err(|why| Failed::usage(format!("--addr: {why}")))?;
    Client::check_reachable(&args.addr)?;
    let interrupt = Interrupt::listen()?;
    let keys = if args.hot { 1 } else { args.keys };
    let workload = plan.workload.clone();
    let mut line = progress::Line::new(keys, plan.measured);
    let measured = load::run_resp(nodes, plan, |progress| {
        line.show(progress);
        if interrupt.is_wanted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let cleaned = match args.keep {
        true => Ok(()),
        false => {
            let mut written = (0..keys).map(|key| workload.key(key).to_vec());
            clean::delete(&args.addr, &mut written, &mut |done| line.show_deleted(done))
        }
    };
    line.clear();
    let report = measured.map_err(|why| match why.kind() {
        ErrorKind::Interrupted => Failed { code: INTERRUPTED, message: why.to_string() },
        _ => Failed::runtime(why.to_string()),
    })?;
    let text = match args.json {
        true => serde_json::to_string(&report).map_err(|why| Failed::runtime(why.to_string()))? + "\n",
        false => summary::Summary(&report).to_string(),
    };
    print(text)?;
    cleaned.map_err(Failed::runtime)?;
    if interrupt.is_wanted() {
        return Err(Failed {
            code: INTERRUPTED,
            message: "interrupted: measured for a shorter time".to_owned(),
        });
    }
    if report.operations == 0 {
        return Err(Failed::runtime("no operation was completed"));
    }
    Ok(())
}
