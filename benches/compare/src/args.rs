//! The command line.

use crate::Result;
use crate::catalog::{LOADS, Load};
use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Measures Atomic KV beside etcd on this machine. Install etcd first: apt-get install etcd-server (and stop the
/// service if the package has started one).
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// What to measure, by name; all by default.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Show the names.
    #[arg(long)]
    pub(crate) list: bool,
    /// Clusters of each system, in turns.
    #[arg(long, default_value_t = 5)]
    pub(crate) pairs: usize,
    /// Of these pairs, how many also measure how cost grows (a million keys and more).
    #[arg(long, default_value_t = 1)]
    pub(crate) growth_runs: usize,
    /// How long each load is measured.
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
    /// Where the nodes keep their data; must be on a real disk.
    #[arg(long, default_value = "target/compare-data")]
    pub(crate) data_dir: PathBuf,
    /// Where the samples, the table and the plots go. Samples of rows that are not measured now are kept.
    #[arg(long, default_value = "target/compare")]
    pub(crate) out: PathBuf,
    /// Write the medians into this document too, between its markers.
    #[arg(long)]
    pub(crate) update: Option<PathBuf>,
    /// Measure nothing: only write the table and the plots of the samples in --out.
    #[arg(long)]
    pub(crate) draw: bool,
    /// The node that is measured; built from this workspace by default.
    #[arg(long)]
    pub(crate) node: Option<PathBuf>,
    /// A node of an earlier version, measured in the same pairs with every load of GET and SET: what is new may cost little.
    #[arg(long)]
    pub(crate) before: Option<PathBuf>,
    /// The etcd that is measured.
    #[arg(long, default_value = "etcd")]
    pub(crate) etcd: PathBuf,
    /// Where etcd's three connections go.
    #[arg(long, value_enum, default_value_t = EtcdMode::Leader)]
    pub(crate) etcd_mode: EtcdMode,
    /// More flags for each Atomic KV node, say "--threads 2".
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub(crate) node_flags: String,
}

/// Where etcd's connections go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EtcdMode {
    /// All to the leader, which saves it from asking on behalf of followers.
    Leader,
    /// One to each node.
    Spread,
}

impl Args {
    /// The selected loads in the order in which they are measured.
    pub(crate) fn loads(&self) -> Result<Vec<&'static Load>> {
        for row in &self.rows {
            if !LOADS.iter().any(|load| load.name == row) {
                return Err(format!("there is no row {row}; --list shows the names").into());
            }
        }
        let wanted = |load: &&Load| self.rows.is_empty() || self.rows.iter().any(|row| row == load.name);
        Ok(LOADS.iter().filter(wanted).collect())
    }
}
