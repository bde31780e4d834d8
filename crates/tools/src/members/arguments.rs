//! The command lines.

use crate::{Addresses, host_and_port};
use clap::Args;

const EXIT_CODES: &str = "Exit codes: 0 done, 1 refused, with the reason, 2 wrong command line, 3 interrupted or undecided: repeat it, which does no harm.";

/// Where the tools of members ask, and in which form they answer.
#[derive(Debug, Args)]
pub struct Asked {
    /// Where to ask.
    #[command(flatten)]
    pub addresses: Addresses,
    /// Print one JSON object; progress goes to the standard error.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `members`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct MembersArgs {
    /// Where, and in which form.
    #[command(flatten)]
    pub asked: Asked,
}

/// Flags of `replace`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct ReplaceArgs {
    /// The id of the member that goes; it may be dead.
    #[arg(value_name = "OLD-ID", value_parser = clap::value_parser!(u32).range(1..))]
    pub old: u32,
    /// The peer address of the node that comes.
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    pub with: String,
    /// Where, and in which form.
    #[command(flatten)]
    pub asked: Asked,
}

/// Flags of `add`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct AddArgs {
    /// Peer addresses of the nodes that come.
    #[arg(required = true, value_name = "HOST:PORT", value_parser = host_and_port)]
    pub add: Vec<String>,
    /// Members that go with the same change.
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    pub remove: Vec<u32>,
    /// There may be an even number of members then.
    #[arg(long)]
    pub even: bool,
    /// Where, and in which form.
    #[command(flatten)]
    pub asked: Asked,
}

/// Flags of `remove`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct RemoveArgs {
    /// The members that go.
    #[arg(required = true, value_name = "ID", value_parser = clap::value_parser!(u32).range(1..))]
    pub remove: Vec<u32>,
    /// Peer addresses of nodes that come with the same change.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', value_parser = host_and_port)]
    pub add: Vec<String>,
    /// There may be an even number of members then.
    #[arg(long)]
    pub even: bool,
    /// Where, and in which form.
    #[command(flatten)]
    pub asked: Asked,
}

/// Flags of `move`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct MoveArgs {
    /// The id of the member.
    #[arg(value_name = "ID", value_parser = clap::value_parser!(u32).range(1..))]
    pub id: u32,
    /// Its new peer address.
    #[arg(value_name = "HOST:PORT", value_parser = host_and_port)]
    pub address: String,
    /// Where, and in which form.
    #[command(flatten)]
    pub asked: Asked,
}

/// Flags of `abort-change`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct AbortArgs {
    /// Where, and in which form.
    #[command(flatten)]
    pub asked: Asked,
}
