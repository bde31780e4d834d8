//! From a failing run to the smallest one that fails in the same way.
//!
//! First the plan: fewer nodes, no noise, fewer operations, faults, clients. A smaller plan draws its chances in
//! another order, so every candidate is tried under a few seeds. Then the run is written down as a script, which has
//! no chance left in it, and lines are taken out while it still fails (delta debugging: Zeller and Hildebrandt, 2002).

use crate::checks::Verdict;
use crate::mutant::{DiskLie, Lies};
use crate::plan::{Plan, Planned};
use crate::rng::{Ratio, mix};
use crate::run::run;
use crate::script::{Direction, Script, from_trace, perform};
use crate::time::MS;
use crate::world::RunReport;
use ::node::commit::QUEUE_BYTES_MAX;
use bytes::Bytes;
use std::num::NonZeroU64;

/// Seeds under which a smaller plan may fail: so many for a plan of one operation, fewer for larger ones.
const TRIES: u64 = 400;
const TRIES_MIN: u64 = 6;
/// Events that shrinking may take, all in all.
const BUDGET: u64 = 8_000_000;

/// A failing run, made small.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest plan found.
    pub plan: Plan,
    /// Its run.
    pub report: RunReport,
    /// The same as a script, if a script can say it.
    pub script: Option<Script>,
}

/// Shrinks a failing plan.
pub fn shrink(plan: &Plan, lies: Lies) -> Shrunk {
    let mut shrinker = Shrinker { lies, report: run(plan, lies, true), plan: plan.clone(), left: BUDGET };
    shrinker.cut_off_the_end();
    shrinker.passes();
    let script = shrinker.script();
    Shrunk { plan: shrinker.plan, report: shrinker.report, script }
}

struct Shrinker {
    lies: Lies,
    plan: Plan,
    report: RunReport,
    left: u64,
}

/// Whether two runs fail in the same way.
fn alike(a: &Verdict, b: &Verdict) -> bool {
    match (a, b) {
        (Verdict::Wrong(a), Verdict::Wrong(b)) => a.check == b.check,
        (Verdict::Stuck(_), Verdict::Stuck(_)) | (Verdict::Crashed(_), Verdict::Crashed(_)) => true,
        _ => false,
    }
}

impl Shrinker {
    /// Takes a smaller plan if it fails in the same way under any of a few seeds.
    fn accept(&mut self, candidate: Plan) -> bool {
        let tries = TRIES / (candidate.operations.len() as u64 + 1);
        for salt in 0..tries.max(TRIES_MIN) {
            if self.left == 0 {
                return false;
            }
            let mut candidate = candidate.clone();
            if salt > 0 {
                candidate.seed = mix(candidate.seed.wrapping_add(salt));
            }
            let report = run(&candidate, self.lies, true);
            self.left = self.left.saturating_sub(report.stats.events + 100);
            if alike(&report.verdict, &self.report.verdict) {
                (self.plan, self.report) = (candidate, report);
                return true;
            }
        }
        false
    }

    fn try_with(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        let mut candidate = self.plan.clone();
        change(&mut candidate);
        self.accept(candidate)
    }

    /// What begins after the conviction does not matter.
    fn cut_off_the_end(&mut self) {
        let end = self.report.stats.simulated;
        if matches!(self.report.verdict, Verdict::Wrong(_)) {
            if !self.try_with(|plan| plan.liveness = false) {
                self.ask_last_operations_by_plan();
            }
            self.try_with(|plan| {
                plan.operations.retain(|operation| operation.at <= end);
                plan.faults.retain(|fault| fault.at <= end);
            });
        }
    }

    /// The contradiction lies in the operations that follow the chaos: makes them a part of the plan, so that they can
    /// be taken out like all others.
    fn ask_last_operations_by_plan(&mut self) {
        let number = |key: &Bytes| (0..).find(|number| Plan::key(*number) == *key).unwrap_or_default();
        let asked = self.report.records.iter().map(|record| Planned {
            at: record.invoked.0,
            client: record.client,
            node: record.node,
            key: number(&record.key),
            kind: record.kind,
            size: record.value.len(),
            lives: record.lives_for(),
            patience: 0,
        });
        let mut candidate = self.plan.clone();
        candidate.operations = asked.collect();
        candidate.chaos_end = self.report.stats.simulated + self.plan.op_timeout;
        candidate.liveness = false;
        self.accept(candidate);
    }

    fn passes(&mut self) {
        self.try_with(|plan| (plan.repairs, plan.sweeps) = (plan.drives, false));
        self.fewer_nodes();
        loop {
            let before = self.size();
            self.take_out(|plan| plan.operations.len(), |plan, range| drop(plan.operations.drain(range)));
            self.take_out(|plan| plan.faults.len(), |plan, range| drop(plan.faults.drain(range)));
            self.quieter();
            self.fewer_clients();
            self.fewer_nodes();
            self.sooner();
            if self.left == 0 || self.size() == before {
                return;
            }
        }
    }

    fn size(&self) -> (u32, usize, usize, u32) {
        (self.plan.nodes, self.plan.operations.len(), self.plan.faults.len(), self.clients())
    }

    fn clients(&self) -> u32 {
        self.plan.operations.iter().map(|operation| operation.client + 1).max().unwrap_or(0)
    }

    fn fewer_nodes(&mut self) {
        for nodes in [3, 5] {
            if nodes < self.plan.nodes {
                let candidate = self.plan.with_nodes(nodes);
                if self.accept(candidate) {
                    return;
                }
            }
        }
    }

    /// Takes out ranges of a list, large ones first.
    fn take_out(&mut self, count: fn(&Plan) -> usize, remove: fn(&mut Plan, std::ops::Range<usize>)) {
        let mut size = count(&self.plan).next_power_of_two() / 2;
        while size > 0 && self.left > 0 {
            let mut from = 0;
            while from < count(&self.plan) {
                let to = (from + size).min(count(&self.plan));
                if !self.try_with(|plan| remove(plan, from..to)) {
                    from = to;
                }
            }
            size /= 2;
        }
    }

    fn quieter(&mut self) {
        let quiet: [fn(&mut Plan); 19] = [
            // What repair sends has no name in a script, and seldom matters; without it no change comes to its end.
            |plan| plan.repairs = plan.drives,
            |plan| plan.sweeps = false,
            |plan| plan.short_lists = false,
            |plan| plan.short_backlogs = false,
            |plan| plan.operations.iter_mut().for_each(|operation| operation.size = 0),
            |plan| plan.value_limits.fill(u64::MAX),
            |plan| plan.clients_bytes = 1 << 30,
            |plan| plan.pipelines.clear(),
            |plan| plan.network.corrupt = Ratio::ZERO,
            |plan| plan.network.stray = Ratio::ZERO,
            |plan| plan.network.duplicate = Ratio::ZERO,
            |plan| plan.network.loss = Ratio::ZERO,
            |plan| plan.lost_answers = Ratio::ZERO,
            |plan| plan.clocks.drift_ppm = 0,
            |plan| plan.lookups = None,
            |plan| plan.early_reads = false,
            |plan| plan.queue_bytes = QUEUE_BYTES_MAX,
            |plan| plan.rotate_after = NonZeroU64::MAX,
            |plan| plan.operations.iter_mut().for_each(|operation| operation.patience = 0),
        ];
        for change in quiet {
            self.try_with(change);
        }
    }

    /// Gives the operations of one client to another, and counts clients from the first again.
    fn fewer_clients(&mut self) {
        'again: loop {
            let mut present: Vec<u32> =
                self.plan.operations.iter().map(|operation| operation.client).collect();
            present.sort_unstable();
            present.dedup();
            if present.last().is_some_and(|last| *last as usize >= present.len()) {
                let renumber = |plan: &mut Plan| {
                    for operation in &mut plan.operations {
                        let place = present.binary_search(&operation.client).unwrap_or_default();
                        operation.client = u32::try_from(place).unwrap_or_default();
                    }
                };
                if self.try_with(renumber) {
                    continue;
                }
            }
            for from in present.iter().rev() {
                for to in present.iter().filter(|to| *to < from) {
                    let give = |plan: &mut Plan| {
                        for operation in &mut plan.operations {
                            if operation.client == *from {
                                operation.client = *to;
                            }
                        }
                    };
                    if self.left > 0 && self.try_with(give) {
                        continue 'again;
                    }
                }
            }
            return;
        }
    }

    /// Nothing happens for long: everything comes earlier.
    fn sooner(&mut self) {
        let first = self.plan.operations.iter().map(|operation| operation.at).min().unwrap_or(0);
        let early = self.plan.faults.iter().map(|fault| fault.at).min().unwrap_or(first).min(first);
        if early > 100 * MS {
            self.try_with(|plan| {
                let by = early - 50 * MS;
                plan.operations.iter_mut().for_each(|operation| operation.at -= by);
                plan.faults.iter_mut().for_each(|fault| fault.at -= by);
            });
        }
        let last = self.plan.operations.iter().map(|operation| operation.at).max().unwrap_or(0);
        let enough = last + 2 * self.plan.op_timeout;
        if !self.plan.liveness && enough < self.plan.chaos_end {
            self.try_with(|plan| plan.chaos_end = enough);
        }
    }

    /// The run as a script, with every line out that is not needed. A lost fsync happens by chance in a run and by
    /// rule in a script, so not every run can be told.
    fn script(&self) -> Option<Script> {
        let mut script = from_trace(&self.plan, &self.report.trace, &self.report.records);
        let fails = |script: &Script| {
            let performance = perform(script, self.lies, false);
            performance.failed.is_none() && alike(&performance.report.verdict, &self.report.verdict)
        };
        if !fails(&script) {
            return None;
        }
        let mut fine = script.clone();
        fine.tick = 1;
        if fails(&fine) {
            script = fine;
        }
        if self.lies.disk != DiskLie::SyncsNothing {
            let mut eager = script.clone();
            eager.directions.retain(|(_, d)| !matches!(d, Direction::SyncsWhenTold(_) | Direction::Sync(_)));
            if fails(&eager) {
                script = eager;
            }
        }
        loop {
            let before = script.directions.len();
            let mut size = before.next_power_of_two() / 2;
            while size > 0 {
                let mut from = 0;
                while from < script.directions.len() {
                    let mut candidate = script.clone();
                    let to = (from + size).min(candidate.directions.len());
                    candidate.directions.drain(from..to);
                    if fails(&candidate) {
                        script = candidate;
                    } else {
                        from = to;
                    }
                }
                size /= 2;
            }
            if script.directions.len() == before {
                break;
            }
        }
        for place in 0..script.directions.len() {
            for rounder in rounder(&script.directions[place].1) {
                let mut candidate = script.clone();
                candidate.directions[place].1 = rounder;
                if fails(&candidate) {
                    script = candidate;
                    break;
                }
            }
        }
        for (place, (line, _)) in script.directions.iter_mut().enumerate() {
            *line = place + 2;
        }
        Some(script)
    }
}

/// The same direction with numbers that are easier to read.
fn rounder(direction: &Direction) -> Vec<Direction> {
    let signed = |wall: i64, size: u64| {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        if wall < 0 { -size } else { size }
    };
    match direction {
        Direction::Pass(nanos) => round(*nanos).map(Direction::Pass).to_vec(),
        Direction::Wall(node, offset) => {
            round(offset.unsigned_abs()).map(|size| Direction::Wall(*node, signed(*offset, size))).to_vec()
        }
        Direction::Clock(node, behind, ahead) => {
            let [behind_down, behind_up] = round(*behind);
            let [ahead_down, ahead_up] = round(*ahead);
            vec![
                Direction::Clock(*node, 0, ahead_up),
                Direction::Clock(*node, behind_up, 0),
                Direction::Clock(*node, behind_up, ahead_up),
                Direction::Clock(*node, behind_down, ahead_down),
            ]
        }
        _ => Vec::new(),
    }
}

/// The nearest numbers below and above that have one digit and zeros.
fn round(nanos: u64) -> [u64; 2] {
    let unit = 10u64.pow(nanos.max(1).ilog10());
    [nanos / unit * unit, nanos.div_ceil(unit) * unit]
}
