//! What the system knows about this process. Where it has no `/proc`, nothing.

use crate::identity::random;
use std::sync::LazyLock;

/// Memory of this process and of the machine, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// What the process has now.
    pub(crate) resident: u64,
    /// The most that it has had.
    pub(crate) peak: u64,
    /// What the machine has.
    pub(crate) machine: u64,
}

impl Memory {
    pub(crate) fn now() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let status = read("/proc/self/status");
        Self {
            resident: kilobytes(&status, "VmRSS:"),
            peak: kilobytes(&status, "VmHWM:"),
            machine: kilobytes(&read("/proc/meminfo"), "MemTotal:"),
        }
    }
}

/// A line such as `VmRSS:     1234 kB`, in bytes.
fn kilobytes(text: &str, field: &str) -> u64 {
    let rest = text.lines().find_map(|line| line.strip_prefix(field));
    let number = rest.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or_default() << 10
}

/// Processor time of this process in seconds: in the kernel, and outside.
pub(crate) fn processor_seconds() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let (user, system) = ticks(&stat);
    let each = rustix::param::clock_ticks_per_second().max(1) as f64;
    (system as f64 / each, user as f64 / each)
}

/// User and system time in `/proc/self/stat`. The name in front, in brackets, may hold anything.
fn ticks(stat: &str) -> (u64, u64) {
    let mut fields = stat.rsplit_once(')').unwrap_or_default().1.split_whitespace().skip(11);
    let mut next = || fields.next().and_then(|field| field.parse().ok()).unwrap_or_default();
    (next(), next())
}

/// The operating system, its release, and the machine's architecture.
pub(crate) fn system() -> String {
    let names = rustix::system::uname();
    let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
    format!("{} {} {}", text(names.sysname()), text(names.release()), text(names.machine()))
}

/// Tells this run from any other: forty hexadecimal digits.
pub(crate) fn run_id() -> &'static str {
    static RUN_ID: LazyLock<String> = LazyLock::new(|| {
        let bytes = random::<20>().map_or_else(
            // Any two runs differ in one of these.
            |_| format!("{:020x}", seed_of((std::process::id(), std::time::SystemTime::now()))).into_bytes(),
            Vec::from,
        );
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    });
    &RUN_ID
}

fn seed_of((process, now): (u32, std::time::SystemTime)) -> u128 {
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
    (since << 16 ^ u128::from(process)) & ((1 << 80) - 1)
}

/// Bytes as people read them, in Redis' way: `1.50M`.
pub(crate) fn human(bytes: u64) -> String {
    const UNITS: [(u32, char); 4] = [(40, 'T'), (30, 'G'), (20, 'M'), (10, 'K')];
    match UNITS.iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) => format!("{:.2}{unit}", bytes as f64 / (1_u64 << shift) as f64),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_writes_is_understood() {
        let status = "Name:\ta) 1 (b\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!((kilobytes(status, "VmRSS:"), kilobytes(status, "VmHWM:")), (1 << 20, 2 << 20));
        assert_eq!(kilobytes(status, "VmSwap:"), 0);
        let stat = "17 (a) 1 (b) S 1 17 17 0 -1 4194560 90 0 0 0 42 7 0 0 20 0";
        assert_eq!(ticks(stat), (42, 7));
        assert_eq!(ticks(""), (0, 0));
    }

    #[test]
    fn this_process_has_memory_and_a_name() {
        let memory = Memory::now();
        assert!(memory.resident > 0 && memory.peak >= memory.resident && memory.machine > memory.peak);
        assert!(run_id().len() == 40 && run_id().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(system().split(' ').count(), 3);
    }

    #[test]
    fn bytes_are_shown_in_the_largest_unit() {
        for (bytes, shown) in
            [(0, "0B"), (1023, "1023B"), (1536, "1.50K"), (3 << 19, "1.50M"), (1 << 42, "4.00T")]
        {
            assert_eq!(human(bytes), shown);
        }
    }
}
