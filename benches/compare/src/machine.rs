//! What the figures were measured on.

use crate::Result;
use std::fs::{File, read_to_string};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// One line for each fact.
pub(crate) fn describe(data: &Path) -> Result<Vec<String>> {
    let processors = std::thread::available_parallelism()?;
    let cpuinfo = read_to_string("/proc/cpuinfo")?;
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let kernel = read_to_string("/proc/sys/kernel/osrelease")?;
    let memory = read_to_string("/proc/meminfo")?;
    let kib = memory.lines().next().and_then(|line| line.split_whitespace().nth(1)).unwrap_or("0");
    let gib = kib.parse::<f64>().unwrap_or(0.0) / f64::from(1 << 20);
    Ok(vec![
        format!(
            "{processors} × {}, {gib:.0} GiB, Linux {}",
            model.trim_start_matches([':', ' ', '\t']),
            kernel.trim()
        ),
        format!("`fdatasync` after appending 4 KiB: median {:.0} µs", fdatasync_us(data)?),
        version("etcd", &["--version"]),
        version("rustc", &["--version"]),
    ])
}

fn version(program: &str, arguments: &[&str]) -> String {
    let said = Command::new(program).args(arguments).output();
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    said.lines().next().map_or_else(|| format!("no {program}"), str::to_owned)
}

/// How long the disk takes to keep a page: what no durable write can be faster than.
fn fdatasync_us(data: &Path) -> Result<f64> {
    let mut file: File = tempfile::tempfile_in(data)?;
    let mut took = Vec::new();
    for _ in 0..300 {
        file.write_all(&[7; 4096])?;
        let began = Instant::now();
        file.sync_data()?;
        took.push(began.elapsed().as_secs_f64() * 1e6);
    }
    took.sort_by(f64::total_cmp);
    Ok(took[took.len() / 2])
}
