//! Measures Atomic KV beside etcd: the same machine, the same load generator, the same durability, in turns.
//!
//! One pair is one fresh cluster of each system after the other, every selected load on each; the figures are medians
//! over pairs, and a ratio is the median of the pairs' ratios, so that a machine that becomes slower half way does not
//! decide. [`catalog`] says what is measured and what is wanted, [`session`] measures, [`results`] keeps the samples,
//! [`table`] and [`plot`] show them.

mod args;
mod catalog;
mod cluster;
mod delay;
mod etcd;
mod growth;
mod increment;
mod machine;
mod plot;
mod process;
mod protobuf;
mod results;
mod session;
mod table;

use clap::Parser;
use std::process::ExitCode;

/// Everything that can go wrong ends the run with one line.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match run(&args::Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("compare: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &args::Args) -> Result<()> {
    if args.list {
        for load in catalog::LOADS {
            println!("{:12} {}", load.name, load.title);
        }
        return Ok(());
    }
    let loads = args.loads()?;
    let out = args.out.as_path();
    std::fs::create_dir_all(out)?;
    let path = out.join("results.json");
    let mut results = results::Results::load(&path)?;
    if !args.draw {
        let lab = cluster::Lab::new(args, &loads)?;
        results.machine = machine::describe(lab.data())?;
        for load in &loads {
            results.forget(load.name);
        }
        for pair in 0..args.pairs {
            eprintln!("pair {} of {}", pair + 1, args.pairs);
            for system in cluster::System::ALL {
                if system == cluster::System::Before && args.before.is_none() {
                    continue;
                }
                let theirs: Vec<_> = loads.iter().copied().filter(|load| load.is_on(system)).collect();
                let theirs: Vec<_> =
                    theirs.into_iter().filter(|load| !load.is_growth() || pair < args.growth_runs).collect();
                session::run(&lab, system, &theirs, pair, args, &mut results)?;
                // What is measured is kept, also when the next cluster does not start.
                results.save(&path)?;
            }
        }
    }
    let markdown = table::markdown(&results);
    for (name, svg) in plot::all(&results) {
        std::fs::write(out.join(name), svg)?;
    }
    print!("{markdown}");
    std::fs::write(out.join("results.md"), &markdown)?;
    if let Some(document) = &args.update {
        table::update(document, &table::summary(&results))?;
    }
    Ok(())
}
