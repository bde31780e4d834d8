//! The command line.

mod many;
mod one;
mod script;

use clap::{Parser, Subcommand};
use sim::checks::Verdict;
use sim::mutant::{self, Mutant, mutants};
use sim::say;
use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

/// A deterministic world for the production protocol and store. One seed is one run.
#[derive(Debug, Parser)]
#[command(
    name = "cargo sim",
    args_conflicts_with_subcommands = true,
    after_help = "\
Exit codes: 0 fine, or the mutant was convicted; 1 wrong (safety is violated, or a mutant got away); 2 wrong usage;
3 stuck (an operation did not end, or a healed cluster did not serve); 4 crashed (the code under test panicked);
5 undecided (the judge gave up)."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Runs one seed and prints its plan and verdict
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "script"])]
    seed: Option<u64>,
    /// Runs many seeds: from, and the first one not to run
    #[arg(long, value_name = "FROM..TO", value_parser = parse_range, conflicts_with = "script")]
    seeds: Option<Range<u64>>,
    /// Performs a script
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Runs a known-wrong variant, which must be convicted
    #[arg(long, value_name = "NAME", value_parser = parse_mutant)]
    mutant: Option<&'static Mutant>,
    /// Lists the known-wrong variants
    #[arg(long)]
    list_mutants: bool,
    /// Draws the run as a page for the browser
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Prints everything that happens in the run
    #[arg(long)]
    trace: bool,
    /// Writes the failing run, made small, as a script
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Threads for many seeds
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Visits every reachable state of tiny worlds
    Exhaust {
        /// The long ones too
        #[arg(long)]
        all: bool,
        /// These worlds alone, by the names of their rows
        #[arg(value_name = "ROW", conflicts_with = "all")]
        only: Vec<String>,
    },
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let (from, to) =
        text.split_once("..").ok_or("write two numbers with `..` between them, as in 0..1000")?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("`{text}` is no number"));
    let range = number(from)?..number(to)?;
    if range.is_empty() { Err("there is no seed in this range".into()) } else { Ok(range) }
}

fn parse_mutant(name: &str) -> Result<&'static Mutant, String> {
    mutant::find(name).ok_or_else(|| "there is no such mutant; --list-mutants shows them".to_owned())
}

/// Does what the arguments say.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    if let Some(Command::Exhaust { all, only }) = &arguments.command {
        return sim::exhaust::command(*all, only);
    }
    // A panic in the code under test is a verdict, which is printed; the default hook would only print it twice.
    std::panic::set_hook(Box::new(|_| {}));
    if arguments.list_mutants {
        for mutant in mutants() {
            say!("{:<18} {:<9} {}", mutant.name, mutant.rule, mutant.what);
        }
        return ExitCode::SUCCESS;
    }
    let done = if let Some(path) = &arguments.script {
        script::perform(arguments, path)
    } else if let Some(seeds) = &arguments.seeds {
        many::run(arguments, seeds.clone())
    } else if let Some(seed) = arguments.seed {
        one::run(arguments, seed)
    } else {
        Err("say what to run: --seed 42, --seeds 0..1000, --script FILE or --list-mutants (see --help)"
            .into())
    };
    done.unwrap_or_else(|why| {
        // Who has closed it does not want to know.
        let _ = writeln!(std::io::stderr(), "error: {why}");
        ExitCode::from(2)
    })
}

impl Arguments {
    /// What the program says about a verdict, and with which code it ends.
    fn exit_code(&self, verdict: &Verdict) -> ExitCode {
        match (self.mutant, verdict) {
            (Some(_), verdict) => ExitCode::from(u8::from(!verdict.convicts())),
            (None, Verdict::Fine) => ExitCode::SUCCESS,
            (None, Verdict::Wrong(_)) => ExitCode::from(1),
            (None, Verdict::Stuck(_)) => ExitCode::from(3),
            (None, Verdict::Crashed(_)) => ExitCode::from(4),
            (None, Verdict::Undecided(_)) => ExitCode::from(5),
        }
    }

    /// The command that repeats a run.
    fn replay(&self, seed: u64) -> String {
        let mutant = self.mutant.map_or_else(String::new, |mutant| format!(" --mutant {}", mutant.name));
        format!("cargo sim --seed {seed}{mutant} --html run.html")
    }
}

fn write(path: &PathBuf, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|why| format!("cannot write {}: {why}", path.display()))
}
