//! Stand-in for `cargo sim exhaust` until the command line of the simulator exists.

use std::process::ExitCode;

fn main() -> ExitCode {
    sim::exhaust::command(std::env::args().any(|argument| argument == "--all"))
}
