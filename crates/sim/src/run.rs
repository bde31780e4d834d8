//! One run from its plan to its report. A panic of the production code is a verdict, not the end of the program.

use crate::checks::Verdict;
use crate::mutant::{Lies, Mutant};
use crate::plan::{Features, Plan};
use crate::trace::Trace;
use crate::world::{RunReport, Stats, World};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The plan of a seed, bent to what a mutant needs.
pub fn plan(seed: u64, mutant: Option<&Mutant>) -> Plan {
    Plan::draw(seed, mutant.map_or_else(Features::default, |mutant| mutant.features))
}

/// The lies of a mutant; none without one.
pub fn lies(mutant: Option<&Mutant>) -> Lies {
    mutant.map_or_else(Lies::default, |mutant| mutant.lies)
}

/// Runs a plan.
pub fn run(plan: &Plan, lies: Lies, trace: bool) -> RunReport {
    guarded(|| World::new(plan.clone(), lies, trace).run())
}

/// Turns a panic into a verdict.
pub fn guarded(body: impl FnOnce() -> RunReport) -> RunReport {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "a panic without a message".into());
        RunReport {
            nodes: 0,
            verdict: Verdict::Crashed(text),
            stats: Stats::default(),
            trace: Trace::default(),
            records: Vec::new(),
        }
    })
}
