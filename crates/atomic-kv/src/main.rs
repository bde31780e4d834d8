//! The program: see `atomic-kv --help`.

use atomic_kv::cli;
use atomic_kv::config::{Cli, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Serve(args) => cli::serve(*args),
        Command::Dev(args) => cli::dev(args),
        Command::Get { key, addresses } => cli::data::get(&addresses.addr, &key),
        Command::Set { key, value, addresses } => cli::data::set(&addresses.addr, &key, &value),
        Command::Del { key, addresses } => cli::data::del(&addresses.addr, &key),
        Command::Bench(args) => cli::bench::run(&args),
        Command::Status { addresses } => cli::status::run(&addresses.addr),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => {
            eprintln!("atomic-kv: {fatal}");
            ExitCode::from(fatal.code)
        }
    }
}
