//! `cargo sim`: runs seeds, convicts mutants, performs scripts.

mod cli;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(&cli::Arguments::parse())
}
