//! How cost grows: what needs minutes and a cluster of its own.

use crate::Result;
use crate::args::Args;
use crate::catalog::{Action, KEYS, VALUE_SIZE};
use crate::cluster::{Cluster, Lab, System};
use crate::results::Sample;
use crate::session::Bench;
use std::path::Path;
use std::time::{Duration, Instant};
use tools::load::{Mix, Workload};

const MILLION: u64 = 1_000_000;
/// Disk use that has not changed for so long is called quiet.
const QUIET: Duration = Duration::from_secs(15);
/// How long it may take to become quiet.
const QUIET_PATIENCE: Duration = Duration::from_secs(300);

/// Measures a load of growth.
pub(crate) fn measure(lab: &Lab, system: System, action: Action, args: &Args) -> Result<Sample> {
    let mut cluster = Cluster::start(lab, system)?;
    let mut bench = Bench { system, cluster: &mut cluster, args };
    match action {
        Action::Million => million(&mut bench),
        _ => overwrite(&mut bench),
    }
}

fn million(bench: &mut Bench<'_>) -> Result<Sample> {
    let mut plan = bench.plan(64, Mix::Register { reads: 0 }, VALUE_SIZE);
    plan.workload.keys = MILLION;
    let began = Instant::now();
    let (set, _) = bench.measure(&plan)?;
    let filled = began.elapsed() - plan.warm_up - plan.measured;
    plan.workload.mix = Mix::Register { reads: 100 };
    plan.prefill = false;
    let (get, used) = bench.measure(&plan)?;
    bench.cluster.kill(0);
    let restart = bench.cluster.restart(0)?;
    let mut sample = Sample::number("set_rate", set.rate);
    sample.set("get_rate", get.rate);
    sample.set("misses", get.misses as f64);
    sample.set("fill_rate", MILLION as f64 / filled.as_secs_f64());
    sample.set("rss_mib", used.resident as f64 / f64::from(1 << 20));
    sample.set("restart_s", restart.as_secs_f64());
    Ok(sample)
}

fn overwrite(bench: &mut Bench<'_>) -> Result<Sample> {
    let mut plan = bench.plan(64, Mix::Register { reads: 0 }, VALUE_SIZE);
    plan.operations = Some(MILLION);
    plan.measured = Duration::from_secs(600);
    let (report, used) = bench.measure(&plan)?;
    let nodes = bench.cluster.clients().len() as f64;
    let live = (KEYS * (Workload::KEY_BYTES + VALUE_SIZE) as u64) as f64 * nodes;
    let busy = disk_use(bench.cluster.directory())?;
    let quiet = quiet(bench.cluster.directory())?;
    let mut sample = Sample::number("overwrites", report.operations as f64);
    sample.set("written_mib", used.written as f64 / f64::from(1 << 20));
    sample.set("disk_ratio_at_once", busy as f64 / live);
    sample.set("disk_ratio", quiet as f64 / live);
    sample.set("disk_mib", quiet as f64 / f64::from(1 << 20));
    Ok(sample)
}

/// Waits until the disk use does not change any more.
fn quiet(directory: &Path) -> Result<u64> {
    let began = Instant::now();
    let (mut used, mut since) = (disk_use(directory)?, Instant::now());
    while since.elapsed() < QUIET && began.elapsed() < QUIET_PATIENCE {
        std::thread::sleep(Duration::from_millis(500));
        let now = disk_use(directory)?;
        if now != used {
            (used, since) = (now, Instant::now());
        }
    }
    Ok(used)
}

/// Blocks that the files below a directory occupy, in bytes. A file that vanishes meanwhile counts nothing.
fn disk_use(directory: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in std::fs::read_dir(directory)?.flatten() {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => sum += disk_use(&entry.path()).unwrap_or(0),
            Ok(metadata) => sum += metadata.blocks() * 512,
            Err(_) => {}
        }
    }
    Ok(sum)
}
