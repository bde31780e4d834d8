//! The tools around a cluster: the command-line client, the load generator, the driver that verifies a live cluster, the
//! judge of recorded histories and its pictures. They know a node by its client port alone.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests wait, on threads of their own"))]

pub mod bench;
pub mod check;
mod clean;
pub mod data;
mod failed;
mod interrupt;
pub mod load;
pub mod members;
mod out;
pub mod picture;
pub mod resp;
pub mod status;
pub mod verify;

pub use failed::Failed;
pub use out::print;
use out::say;

use clap::Args;

/// Client addresses of nodes.
#[derive(Debug, Args)]
pub struct Addresses {
    /// Client addresses; the next one is tried when one cannot be reached.
    #[arg(
        long,
        value_delimiter = ',',
        value_parser = host_and_port,
        default_value = "127.0.0.1:6380,127.0.0.1:6381,127.0.0.1:6382"
    )]
    pub addr: Vec<String>,
}

/// An address on a command line. Whether there is such a host is seen when it is asked.
fn host_and_port(text: &str) -> Result<String, String> {
    let is_address =
        |(host, port): (&str, &str)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
    match text.rsplit_once(':').is_some_and(is_address) {
        true => Ok(text.to_owned()),
        false => Err("it is to be HOST:PORT".to_owned()),
    }
}

/// Exit code 2 for a flag whose value is not between 1 and the most that is said beside it.
fn check_counts(flags: &[(&str, u64, u64)]) -> Result<(), Failed> {
    let wrong = flags.iter().find(|(_, count, most)| !(1..=*most).contains(count));
    let Some((flag, count, most)) = wrong else { return Ok(()) };
    Err(Failed::usage(format!("{flag} {count} is not between 1 and {most}")))
}
