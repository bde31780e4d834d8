//! A report for people.

use crate::load::{KindReport, Mix, Report};
use comfy_table::{CellAlignment, Table, presets};
use std::fmt;

/// The heights of a bar, from nothing to full.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The timeline is drawn at most this wide.
const WIDTH: usize = 100;

/// Shows a report as a few lines of text.
pub(super) struct Summary<'a>(pub(super) &'a Report);

/// A whole number, or one rounded to it, with commas between the thousands.
pub(super) fn thousands(number: impl fmt::Display) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn milliseconds(us: f64) -> String {
    format!("{:.3}", us / 1e3)
}

fn asked(report: &Report) -> String {
    match report.workload == (Mix::Register { reads: 0 }).name() {
        true => format!("{} % reads", report.read_percent),
        false => format!("workload {}", report.workload),
    }
}

fn latencies(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["", "operations", "mean ms", "p50", "p90", "p99", "p99.9", "max"]);
    for (name, kind) in [("reads", &report.reads), ("writes", &report.writes), ("updates", &report.updates)] {
        if kind.operations > 0 {
            table.add_row(row(name, kind));
        }
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn row(name: &str, kind: &KindReport) -> Vec<String> {
    let mut cells = vec![name.to_owned(), thousands(kind.operations)];
    let times = [kind.mean_us, kind.p50_us, kind.p90_us, kind.p99_us, kind.p999_us, kind.max_us];
    cells.extend(times.map(milliseconds));
    cells
}

/// One bar for each slot, or for several of them when they are many.
fn bars(timeline: &[u64]) -> (usize, String) {
    let together = timeline.len().div_ceil(WIDTH).max(1);
    let sums: Vec<u64> = timeline.chunks_exact(together).map(|slots| slots.iter().sum()).collect();
    let most = sums.iter().copied().max().unwrap_or_default().max(1);
    // Whatever was completed at all is drawn: only silence is blank.
    let bar = |sum: &u64| BARS[usize::try_from((sum * 8).div_ceil(most)).unwrap_or(8)];
    (together, sums.iter().map(bar).collect())
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { errors, fairness, .. } = self.0;
        writeln!(
            f,
            "{} operations/s: {} in {:.1} s, {} clients on {} connections, {} at a time, \
             {}, values of {} bytes, {} keys",
            thousands(self.0.rate),
            thousands(self.0.operations),
            self.0.seconds,
            self.0.clients,
            self.0.connections,
            self.0.pipeline,
            asked(self.0),
            thousands(self.0.value_size),
            thousands(self.0.keys),
        )?;
        writeln!(f, "{}", latencies(self.0))?;
        let (together, bars) = bars(&self.0.timeline);
        writeln!(f, "operations per {} ms  |{bars}|", self.0.timeline_slot_ms * together as u64)?;
        writeln!(
            f,
            "longest time without an answer  {:.1} ms, at {:.1} s",
            self.0.longest_gap_ms,
            self.0.longest_gap_at_ms / 1e3
        )?;
        let counted = if self.0.workload == Mix::Lock.name() { "locks" } else { "operations" };
        writeln!(
            f,
            "{counted} per client  {} to {}, mean {:.0}: the slowest has {:.2} of the fastest",
            thousands(fairness.min),
            thousands(fairness.max),
            fairness.mean,
            fairness.slowest_of_fastest()
        )?;
        if self.0.taken + self.0.refused > 0 {
            let (taken, refused) = (thousands(self.0.taken), thousands(self.0.refused));
            writeln!(f, "SET NX  {taken} took the key, {refused} found it present")?;
        }
        writeln!(
            f,
            "errors  {} NOQUORUM, {} INDETERMINATE, {} other answers, {} connections, {} timeouts; {} reads of a \
             missing key",
            errors.noquorum,
            errors.indeterminate,
            errors.err,
            errors.connection,
            errors.timeout,
            self.0.misses
        )?;
        writeln!(f, "load generator  {:.1} µs CPU per operation", self.0.generator_cpu_us_per_operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
        assert_eq!(thousands(1999.6), "2,000");
    }

    #[test]
    fn a_long_timeline_is_drawn_narrower_and_only_silence_is_blank() {
        assert_eq!(bars(&[800, 0, 1, 400]), (1, "█ ▁▄".to_owned()));
        let (together, drawn) = bars(&[5; 250]);
        assert_eq!((together, drawn.chars().count()), (3, 83));
        assert_eq!(bars(&[]), (1, String::new()));
    }
}
