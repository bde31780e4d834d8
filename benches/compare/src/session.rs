//! One cluster, from its start to its end, with the loads that it carries.

use crate::Result;
use crate::args::{Args, EtcdMode};
use crate::catalog::{Action, KEYS, KILL_AFTER, Load, VALUE_SIZE};
use crate::cluster::{Cluster, Lab, System};
use crate::etcd::Etcd;
use crate::growth;
use crate::process::Usage;
use crate::results::{Results, Sample};
use std::ops::ControlFlow;
use std::sync::mpsc;
use std::time::Duration;
use tools::load::{self, Mix, Phase, Plan, Progress, Report, Workload};

/// Runs the loads on a fresh cluster.
pub(crate) fn run(
    lab: &Lab,
    system: System,
    loads: &[&'static Load],
    pair: usize,
    args: &Args,
    results: &mut Results,
) -> Result<()> {
    let (growth, mut loads): (Vec<_>, Vec<_>) = loads.iter().copied().partition(|load| load.is_growth());
    // What kills a node comes last, whatever the order of the catalogue.
    loads.sort_by_key(|load| matches!(load.action, Action::Kill(_)));
    if !loads.is_empty() {
        let mut cluster = Cluster::start(lab, system)?;
        // Every key has a value before the first load, so that the order of the loads does not matter.
        let mut bench = Bench { system, cluster: &mut cluster, args };
        bench.measure(&Plan { measured: Duration::from_millis(200), ..bench.plan(64, SETS, VALUE_SIZE) })?;
        for load in loads {
            let sample = bench.sample(load, pair)?;
            show(load, system, &sample);
            results.add(load.name, system, sample);
        }
    }
    for load in growth {
        let sample = growth::measure(lab, system, load.action, args)?;
        show(load, system, &sample);
        results.add(load.name, system, sample);
    }
    Ok(())
}

fn show(load: &Load, system: System, sample: &Sample) {
    let numbers = sample.numbers.iter().filter(|(_, number)| **number != 0.0);
    let numbers: Vec<String> = numbers.map(|(name, number)| format!("{name} {number:.1}")).collect();
    eprintln!("  {:?} {}: {}", system, load.title, numbers.join(", "));
}

const SETS: Mix = Mix::Register { reads: 0 };

/// Whether a load has keys that nothing has filled before. The session has filled those with plain values; a load that writes
/// large ones fills them itself as it goes.
fn needs_filling(mix: Mix) -> bool {
    match mix {
        Mix::Register { .. } | Mix::SetIfAbsent => false,
        Mix::Increment | Mix::Lock | Mix::Append => true,
    }
}

/// A running cluster and how it is measured.
pub(crate) struct Bench<'a> {
    pub(crate) system: System,
    pub(crate) cluster: &'a mut Cluster,
    pub(crate) args: &'a Args,
}

impl Bench<'_> {
    /// The usual plan.
    pub(crate) fn plan(&self, clients: usize, mix: Mix, value_size: usize) -> Plan {
        Plan {
            workload: Workload { keys: KEYS, value_size, mix, hot: false },
            clients,
            connections: None,
            pipeline: 1,
            warm_up: Duration::from_secs(1),
            measured: Duration::from_secs(self.args.seconds),
            operations: None,
            prefill: true,
            patience: Duration::from_secs(15),
        }
    }

    fn sample(&mut self, load: &Load, pair: usize) -> Result<Sample> {
        match load.action {
            Action::Run(run) => {
                let mut plan = self.plan(run.clients, run.mix, run.value_size);
                plan.connections = run.connections;
                plan.pipeline = run.pipeline;
                plan.workload.hot = run.hot;
                plan.prefill = needs_filling(run.mix);
                let (report, used) = self.measure(&plan)?;
                Ok(Sample::of(&report, used, self.system))
            }
            Action::Kill(mix) => self.kill(mix, pair),
            Action::Memory => {
                let resident = self.cluster.usage()?.resident;
                Ok(Sample::number("rss_mib", resident as f64 / f64::from(1 << 20)))
            }
            Action::Million | Action::Overwrite => Err("a load of growth has a cluster of its own".into()),
        }
    }

    /// Kills a node in the middle of a load, and starts it again after it.
    fn kill(&mut self, mix: Mix, pair: usize) -> Result<Sample> {
        let mut plan = self.plan(64, mix, VALUE_SIZE);
        plan.prefill = needs_filling(mix);
        // etcd takes more than a second to elect a leader, and its clients may be stuck longer.
        plan.measured = plan.measured.max(4 * KILL_AFTER);
        let victim = self.cluster.victim(pair)?;
        let system = self.system;
        let clients = self.cluster.clients();
        let (begun, wait) = mpsc::channel();
        let cluster = &mut *self.cluster;
        let report = std::thread::scope(|scope| {
            scope.spawn(move || {
                // Nothing arrives when the load does not begin, and then nobody need be killed.
                if wait.recv().is_ok() {
                    std::thread::sleep(KILL_AFTER);
                    cluster.kill(victim);
                }
            });
            // Where all clients are on the leader, all of them are stuck when it dies: the other way suits etcd better.
            drive(system, &clients, &plan, EtcdMode::Spread, |progress| {
                if progress.phase == Phase::Measured {
                    // Only the first is waited for.
                    let _ = begun.send(());
                }
                ControlFlow::Continue(())
            })
        })?;
        self.cluster.restart(victim)?;
        let mut sample = Sample::of(&report, Usage::default(), system);
        sample.timeline.clone_from(&report.timeline);
        Ok(sample)
    }

    /// Runs a plan and reports also what the nodes used meanwhile.
    pub(crate) fn measure(&mut self, plan: &Plan) -> Result<(Report, Usage)> {
        let mut before = None;
        let report = drive(self.system, &self.cluster.clients(), plan, self.args.etcd_mode, |progress| {
            if progress.phase == Phase::Measured && before.is_none() {
                before = Some(self.cluster.usage());
            }
            ControlFlow::Continue(())
        })?;
        let after = self.cluster.usage()?;
        let before = before.ok_or("nothing was measured")??;
        let used = Usage {
            cpu: after.cpu.saturating_sub(before.cpu),
            written: after.written - before.written,
            resident: after.resident,
        };
        Ok((report, used))
    }
}

/// The same loop for both; only the link differs.
fn drive(
    system: System,
    clients: &[std::net::SocketAddr],
    plan: &Plan,
    etcd_mode: EtcdMode,
    progress: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<Report> {
    let report = if system.is_etcd() {
        let mut nodes = clients.to_vec();
        let first = nodes.len();
        if etcd_mode == EtcdMode::Leader {
            let leader = crate::etcd::leader(clients)?.ok_or("etcd has no leader")?;
            // Three connections all the same; the others are there for when it is gone.
            nodes.splice(0..0, vec![clients[leader]; first]);
        }
        load::run(Etcd::new(nodes, first, plan.workload.clone()), plan.clone(), progress)?
    } else {
        load::run_resp(clients.to_vec(), plan.clone(), progress)?
    };
    if report.operations == 0 {
        return Err(format!("{system:?} completed nothing").into());
    }
    Ok(report)
}
