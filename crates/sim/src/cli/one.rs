//! One seed, looked at closely.

use super::{Arguments, write};
use sim::html;
use sim::run::{lies, plan, run as run_plan};
use sim::say;
use sim::script::perform;
use sim::shrink::{Shrunk, shrink};
use std::process::ExitCode;

/// Runs a seed; a failing one is made small, drawn and saved.
pub(super) fn run(arguments: &Arguments, seed: u64) -> Result<ExitCode, String> {
    let (plan, lies) = (plan(seed, arguments.mutant), lies(arguments.mutant));
    say!("{}", plan.to_string().trim_end());
    let report = run_plan(&plan, lies, true);
    if arguments.trace {
        say!("{}", report.trace.to_string().trim_end());
    }
    let stats = report.stats;
    say!(
        "{} operations, {} answered, {} messages, {} events, {} simulated",
        stats.operations,
        stats.answered,
        stats.messages,
        stats.events,
        sim::time::text(stats.simulated)
    );
    say!("{}", report.verdict);
    if report.verdict.convicts() {
        say!("\nreplay: {}", arguments.replay(seed));
        let shrunk = shrink(&plan, lies);
        explain(arguments, seed, &shrunk)?;
    } else if let Some(path) = &arguments.html {
        write(
            path,
            &html::page(&html::Drawing::of_run(&plan, &report, arguments.mutant, &format!("Seed {seed}"))),
        )?;
    }
    Ok(arguments.exit_code(&report.verdict))
}

/// Prints a failing run as small as it could be made, and writes what was asked for.
pub(super) fn explain(arguments: &Arguments, seed: u64, shrunk: &Shrunk) -> Result<(), String> {
    let operations = &shrunk.report.records;
    let mut clients: Vec<u32> = operations.iter().map(|record| record.client).collect();
    clients.sort_unstable();
    clients.dedup();
    say!(
        "\nmade small: {} nodes, {} clients, {} operations, {} faults",
        shrunk.plan.nodes,
        clients.len(),
        operations.len(),
        shrunk.plan.faults.len()
    );
    let title = arguments
        .mutant
        .map_or_else(|| format!("Seed {seed}"), |mutant| format!("{}: {}", mutant.name, mutant.what));
    let (page, text) = match &shrunk.script {
        Some(script) => {
            let mut script = script.clone();
            script.preface = vec![
                format!("{title}."),
                format!("Made small from seed {seed}; {}", first_line(&shrunk.report.verdict.to_string())),
            ];
            say!("as a script:\n");
            say!("{}", script.to_string().trim_end());
            let performance = perform(&script, lies(arguments.mutant), false);
            say!("\n{}", performance.report.verdict);
            let drawing = html::Drawing::of_script(&script, &performance.report, arguments.mutant, &title);
            (html::page(&drawing), Some(script.to_string()))
        }
        None => {
            say!("it cannot be told as a script; its plan:\n\n{}", shrunk.plan);
            say!("{}", shrunk.report.verdict);
            (html::page(&html::Drawing::of_run(&shrunk.plan, &shrunk.report, arguments.mutant, &title)), None)
        }
    };
    if let Some(path) = &arguments.html {
        write(path, &page)?;
    }
    match (&arguments.save, text) {
        (Some(path), Some(text)) => write(path, &text),
        (Some(_), None) => Err("this run cannot be told as a script, nothing was saved".into()),
        (None, _) => Ok(()),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
