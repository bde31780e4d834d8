//! Whole runs: a seed is a run, the honest protocol is never convicted, every mutant always is.

use sim::checks::Verdict;
use sim::mutant::{self, Lies, mutants};
use sim::plan::{Features, Plan};
use sim::run::{lies, plan, run};
use sim::script::perform;
use sim::shrink::shrink;
use sim::time::S;
use std::collections::BTreeSet;

/// Seeds within which the tests want a mutant convicted; the promise is ten thousand.
const SEEDS: u64 = 1000;

#[test]
fn a_seed_is_a_run_to_the_last_byte_of_its_trace() {
    for seed in [1, 2, 3, 5, 8, 13, 21, 34] {
        let record = || {
            let plan = plan(seed, None);
            let report = run(&plan, Lies::default(), true);
            format!("{plan}{}{} {:?}", report.trace, report.verdict, report.stats)
        };
        let (first, second) = (record(), record());
        assert!(first == second, "seed {seed} has two runs");
        assert!(first.len() > 10_000, "seed {seed} has hardly any trace");
    }
}

/// The rules of look-ups are simulated, and not only written down: they wait in many runs, also for a disk that is slow.
#[test]
fn lookups_wait_for_disks() {
    let waited = |seed| run(&plan(seed, None), Lies::default(), false).stats.lookups;
    let runs: Vec<u64> = (100..120).map(waited).collect();
    assert!(runs.iter().filter(|lookups| **lookups > 0).count() >= 4, "{runs:?}");
    assert!(runs.iter().any(|lookups| *lookups > 20), "{runs:?}");
    assert!(runs.contains(&0), "{runs:?}");
}

#[test]
fn recording_changes_nothing() {
    for seed in 40..50 {
        let run = |trace| run(&plan(seed, None), Lies::default(), trace);
        let (with, without) = (run(true), run(false));
        assert_eq!((with.stats, with.records), (without.stats, without.records), "seed {seed}");
    }
}

#[test]
fn the_honest_protocol_is_not_convicted() {
    let (mut operations, mut answered) = (0, 0);
    for seed in 1000..1100 {
        let report = run(&plan(seed, None), Lies::default(), false);
        assert_eq!(report.verdict, Verdict::Fine, "cargo sim --seed {seed}");
        assert!(
            report.stats.operations >= 200 && report.stats.simulated >= 30 * S,
            "seed {seed} is too small"
        );
        operations += report.stats.operations;
        answered += report.stats.answered;
    }
    // A world in which nothing ever works would find nothing either.
    assert!(answered > operations * 2 / 3, "{answered} of {operations} operations were answered");
}

#[test]
fn every_mutant_is_convicted() {
    for mutant in mutants().filter(|mutant| mutant.by_seeds) {
        let convicted =
            (0..SEEDS).any(|seed| run(&plan(seed, Some(mutant)), mutant.lies, false).verdict.convicts());
        assert!(convicted, "{} got away within {SEEDS} seeds", mutant.name);
    }
}

/// What the mutants ask for must not be what convicts them.
#[test]
fn the_worlds_of_the_mutants_do_not_convict_the_honest_protocol() {
    let mut worlds = BTreeSet::new();
    for mutant in mutants().filter(|mutant| worlds.insert(format!("{:?}", mutant.features))) {
        for seed in 500..505 {
            let report = run(&plan(seed, Some(mutant)), Lies::default(), false);
            assert_eq!(report.verdict, Verdict::Fine, "world of {}, seed {seed}", mutant.name);
        }
    }
}

#[test]
fn a_shrunk_conviction_of_naive_is_small_and_its_script_convicts_again() {
    let naive = mutant::find("naive").unwrap();
    let mut told = 0;
    for seed in 0..4 {
        let plan = plan(seed, Some(naive));
        if !run(&plan, naive.lies, false).verdict.convicts() {
            continue;
        }
        let small = shrink(&plan, naive.lies);
        // A run whose point is how long something takes, or what repair brought, cannot be told, and seldom gets as small.
        let Some(script) = small.script else { continue };
        let clients: BTreeSet<u32> = small.report.records.iter().map(|record| record.client).collect();
        let (nodes, operations) = (small.plan.nodes, small.report.records.len());
        assert!(
            nodes <= 3 && clients.len() <= 2 && operations <= 8,
            "seed {seed}: {nodes} nodes, {operations} operations"
        );
        let again = script.to_string().parse().expect("a script that was written can be read");
        assert!(
            perform(&again, lies(Some(naive)), false).report.verdict.convicts(),
            "seed {seed}:\n{script}"
        );
        assert!(
            perform(&again, Lies::default(), false).report.verdict == Verdict::Fine,
            "seed {seed}:\n{script}"
        );
        told += 1;
    }
    assert!(told >= 2, "hardly any conviction can be told as a script");
}

/// Swarm testing only works if the swarm is varied: every kind of fault is drawn, and none is in every run.
#[test]
fn plans_differ() {
    let plans: Vec<Plan> = (0..200).map(|seed| Plan::draw(seed, Features::default())).collect();
    let kinds = |plan: &Plan| -> BTreeSet<String> {
        let name = |fault: &sim::plan::Fault| format!("{:?}", fault.what);
        plan.faults
            .iter()
            .map(name)
            .map(|name| name.split(['(', ' ']).next().unwrap_or_default().to_owned())
            .collect()
    };
    let all: BTreeSet<String> = plans.iter().flat_map(kinds).collect();
    assert_eq!(all.len(), 28, "{all:?}");
    for kind in &all {
        let with = plans.iter().filter(|plan| kinds(plan).contains(kind)).count();
        assert!(with < plans.len(), "{kind} is in every plan");
    }
    assert_eq!(plans.iter().map(|plan| plan.nodes).collect::<BTreeSet<u32>>(), BTreeSet::from([3, 5, 7]));
}
