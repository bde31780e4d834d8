//! Many seeds on several threads. Each run has one thread and one seed; which thread it is changes nothing.

use super::{Arguments, one};
use indicatif::{ProgressBar, ProgressStyle};
use sim::checks::Verdict;
use sim::run::{lies, plan, run as run_plan};
use sim::say;
use sim::shrink::shrink;
use sim::world::Stats;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[derive(Default)]
struct Total {
    runs: u64,
    stats: Stats,
    /// The failing run of the smallest seed.
    failure: Option<(u64, Verdict)>,
}

/// Runs seeds until one fails, or all of them.
pub(super) fn run(arguments: &Arguments, seeds: Range<u64>) -> Result<ExitCode, String> {
    let bar = ProgressBar::new(seeds.end - seeds.start);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {msg}, {eta} left") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    #[expect(clippy::disallowed_methods, reason = "the reader's time, not the world's")]
    let begun = Instant::now();
    let next = AtomicU64::new(seeds.start);
    // Nobody needs seeds above a failing one.
    let end = AtomicU64::new(seeds.end);
    let total = Mutex::new(Total::default());
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end.load(Ordering::Relaxed) {
                        return;
                    }
                    let report = run_plan(&plan(seed, arguments.mutant), lies(arguments.mutant), false);
                    let mut total = total.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    add(&mut total, &report.stats);
                    if report.verdict != Verdict::Fine {
                        end.fetch_min(seed, Ordering::Relaxed);
                        if total.failure.as_ref().is_none_or(|(first, _)| seed < *first) {
                            total.failure = Some((seed, report.verdict));
                        }
                    }
                    bar.set_message(rates(&total, begun.elapsed()));
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let total = total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let took = begun.elapsed();
    say!("{} runs in {:.1?}: {}", total.runs, took, rates(&total, took));
    say!(
        "{} operations, {} answered, {} messages",
        total.stats.operations,
        total.stats.answered,
        total.stats.messages
    );
    let Stats { updates, indeterminate, .. } = total.stats;
    let parts = indeterminate * 1_000_000 / updates.max(1);
    say!("{updates} updates, {indeterminate} indeterminate: {parts} of a million");
    if total.stats.partly > 0 {
        say!("{} histories were judged only in part", total.stats.partly);
    }
    match (arguments.mutant, total.failure) {
        (None, None) => {
            say!("no violation, no stuck run");
            Ok(ExitCode::SUCCESS)
        }
        (Some(mutant), None) => {
            say!("{} got away", mutant.name);
            Ok(ExitCode::from(1))
        }
        (_, Some((seed, verdict))) => {
            say!("seed {seed}: {verdict}\n\nreplay: {}", arguments.replay(seed));
            if verdict.convicts() {
                one::explain(
                    arguments,
                    seed,
                    &shrink(&plan(seed, arguments.mutant), lies(arguments.mutant)),
                )?;
            }
            Ok(arguments.exit_code(&verdict))
        }
    }
}

fn add(total: &mut Total, stats: &Stats) {
    total.runs += 1;
    total.stats.operations += stats.operations;
    total.stats.answered += stats.answered;
    total.stats.updates += stats.updates;
    total.stats.partly += stats.partly;
    total.stats.indeterminate += stats.indeterminate;
    total.stats.messages += stats.messages;
    total.stats.simulated += stats.simulated;
}

fn rates(total: &Total, took: Duration) -> String {
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    let hours = total.stats.simulated / (3600 * sim::time::S);
    let minutes = total.stats.simulated / (60 * sim::time::S) % 60;
    format!(
        "{} runs/s, {} operations/s, {hours} h {minutes} min simulated",
        total.runs * 1000 / millis,
        total.stats.operations * 1000 / millis
    )
}
