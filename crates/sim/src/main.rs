//! `cargo sim`: runs seeds, convicts mutants, performs scripts.

mod cli;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A panic in the code under test is a verdict, which is printed; the default hook would only print it twice.
    std::panic::set_hook(Box::new(|_| {}));
    cli::run(&cli::Arguments::parse())
}
