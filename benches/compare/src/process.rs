//! Processes that are measured: started here, stopped here by their own id, and asked through `/proc`.

use crate::Result;
use std::fs::{File, read_to_string};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A node of a cluster.
pub(crate) struct Process {
    child: Child,
}

/// What processes have used up so far, summed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and kernel time.
    pub(crate) cpu: Duration,
    /// Bytes sent to the disk.
    pub(crate) written: u64,
    /// Resident memory.
    pub(crate) resident: u64,
}

impl Process {
    /// Starts a program with its output in a file. It is killed should this process die first.
    pub(crate) fn start(program: &Path, arguments: &[String], log: &Path) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|why| {
                format!("cannot start {} through setpriv (util-linux): {why}", program.display())
            })?;
        Ok(Self { child })
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        // Already gone is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> Result<Usage> {
        let read = |file: &str| read_to_string(format!("/proc/{}/{file}", self.child.id()));
        let stat = read("stat")?;
        // The name in parentheses may contain anything; the fields after it are counted from the third.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let ticks =
            |field: usize| -> u64 { fields.get(field - 3).and_then(|text| text.parse().ok()).unwrap_or(0) };
        // Linux reports these times to user space in units of 10 ms, whatever the kernel's own tick is.
        let cpu = Duration::from_millis((ticks(14) + ticks(15)) * 10);
        Ok(Usage {
            cpu,
            written: field(&read("io")?, "write_bytes:"),
            resident: field(&read("status")?, "VmRSS:") << 10,
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl std::iter::Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(usages: I) -> Self {
        usages.fold(Self::default(), |sum, one| Self {
            cpu: sum.cpu + one.cpu,
            written: sum.written + one.written,
            resident: sum.resident + one.resident,
        })
    }
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_measured_and_stopped() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let arguments = ["-c".to_owned(), "while :; do :; done".to_owned()];
        let mut process = Process::start(Path::new("sh"), &arguments, log.path()).unwrap();
        let used = loop {
            let usage = process.usage().unwrap();
            if usage.cpu >= Duration::from_millis(20) {
                break usage;
            }
            std::thread::yield_now();
        };
        assert!(used.resident > 0 && process.runs());
        process.kill();
        assert!(!process.runs());
    }
}
