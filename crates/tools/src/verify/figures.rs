//! A recording in a few figures.

use super::Recording;
use lincheck::{Action, Change, Operation};
use std::fmt;
use std::time::Duration;

/// The figures of a recording.
pub(super) struct Figures<'a>(pub(super) &'a Recording);

/// A stretch of time in which nothing was completed.
struct Gap {
    begin: u64,
    length: u64,
}

impl Figures<'_> {
    /// The longest time between two answers; the beginning and the end count as one.
    fn longest_gap<'b>(&self, operations: impl Iterator<Item = &'b Operation>) -> Gap {
        let end = u64::try_from(self.0.span.as_nanos()).unwrap_or(u64::MAX);
        // What is looked at when all have ended is none of their waiting.
        let mut returns: Vec<u64> =
            operations.filter_map(|operation| operation.ret).filter(|ret| *ret < end).collect();
        returns.extend([0, end]);
        returns.sort_unstable();
        let gaps = returns.windows(2).map(|pair| Gap { begin: pair[0], length: pair[1] - pair[0] });
        gaps.max_by_key(|gap| gap.length).unwrap_or(Gap { begin: 0, length: 0 })
    }

    /// The client that waited longest for an answer of any kind.
    fn unluckiest(&self) -> Option<(u64, Gap)> {
        let operations = self.0.by_clients();
        let clients = operations.clone().map(|operation| operation.client).max()?;
        (0..=clients)
            .map(|client| {
                (client, self.longest_gap(operations.clone().filter(|other| other.client == client)))
            })
            .max_by_key(|(_, gap)| gap.length)
    }
}

impl fmt::Display for Figures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations = self.0.by_clients();
        let completed = self.0.completed();
        let seconds = self.0.span.as_secs_f64();
        writeln!(f, "{completed} operations in {seconds:.1} s: {:.0}/s", completed as f64 / seconds)?;
        writeln!(f, "         completed       p50       p90       p99     p99.9       max")?;
        for command in COMMANDS {
            let chosen = operations.clone().filter(|operation| named(&operation.action) == command);
            if chosen.clone().next().is_none() {
                continue;
            }
            let mut latencies: Vec<u64> =
                chosen.filter_map(|operation| Some(operation.ret? - operation.invoke)).collect();
            latencies.sort_unstable();
            write!(f, "{command:<7}  {:>9}", latencies.len())?;
            for share in [0.5, 0.9, 0.99, 0.999, 1.0] {
                match percentile(&latencies, share) {
                    Some(latency) => write!(f, "  {:>5.2} ms", milliseconds(latency))?,
                    None => write!(f, "         -")?,
                }
            }
            writeln!(f)?;
        }
        let gap = self.longest_gap(operations);
        writeln!(
            f,
            "longest time without any answer: {:.1} ms, from {:.3} s on",
            milliseconds(gap.length),
            milliseconds(gap.begin) / 1e3
        )?;
        if let Some((client, gap)) = self.unluckiest() {
            writeln!(
                f,
                "longest for one client: {:.1} ms (client {client}, from {:.3} s on)",
                milliseconds(gap.length),
                milliseconds(gap.begin) / 1e3
            )?;
        }
        writeln!(f, "writes and updates of unknown outcome: {}", self.0.unknown())?;
        let errors: Vec<String> =
            self.0.errors.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let errors = if errors.is_empty() { "none".to_owned() } else { errors.join(", ") };
        writeln!(f, "errors: {errors}")
    }
}

/// The commands in the order in which they are shown.
const COMMANDS: [&str; 7] = ["GET", "SET", "DEL", "INCR", "APPEND", "SET NX", "DELIFEQ"];

/// The command that an action is the record of.
fn named(action: &Action) -> &'static str {
    match action {
        Action::Read(_) => "GET",
        Action::Write(_) | Action::Transaction(_) => "SET",
        Action::Delete => "DEL",
        Action::Update(update) => match update.change {
            Change::Add(_) => "INCR",
            Change::Append(_) => "APPEND",
            Change::Set(Some(_)) => "SET NX",
            Change::Set(None) => "DELIFEQ",
        },
    }
}

/// The smallest of the sorted values that at least this share does not exceed.
fn percentile(sorted: &[u64], share: f64) -> Option<u64> {
    let rank =
        sorted.iter().enumerate().position(|(index, _)| (index + 1) as f64 >= share * sorted.len() as f64);
    rank.map(|index| sorted[index])
}

fn milliseconds(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use lincheck::History;

    fn recording(returns: &[(u64, Option<u64>)]) -> Recording {
        let operation =
            |&(client, ret)| Operation { client, key: b"k".to_vec(), action: Action::Delete, invoke: 0, ret };
        Recording {
            history: History::new(returns.iter().map(operation).collect()),
            span: Duration::from_nanos(100),
            ..Recording::default()
        }
    }

    #[test]
    fn a_percentile_is_a_value_that_was_seen() {
        let values: Vec<u64> = (1..=1000).collect();
        for (share, value) in [(0.5, 500), (0.99, 990), (0.999, 999), (1.0, 1000)] {
            assert_eq!(percentile(&values, share), Some(value));
        }
        assert_eq!(percentile(&[7], 0.5), Some(7));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn a_gap_may_lie_at_either_end() {
        let longest = |returns: &[(u64, Option<u64>)]| {
            let recording = recording(returns);
            let gap = Figures(&recording).longest_gap(recording.history.operations.iter());
            (gap.begin, gap.length)
        };
        assert_eq!(longest(&[(1, Some(10)), (2, Some(51)), (1, Some(90))]), (10, 41));
        assert_eq!(longest(&[(1, Some(60)), (2, None)]), (0, 60));
        assert_eq!(longest(&[]), (0, 100));
        assert_eq!(longest(&[(1, Some(60)), (0, Some(500))]), (0, 60), "a look after the end");
    }

    #[test]
    fn each_command_has_a_row_of_its_own() {
        use super::super::ask::Ask;
        let asked = [
            Ask::Get,
            Ask::Set(vec![1]),
            Ask::Delete,
            Ask::Increment,
            Ask::Append(vec![1]),
            Ask::Acquire(vec![1]),
            Ask::Release(vec![1]),
        ];
        assert_eq!(asked.map(|ask| named(&ask.unanswered())), COMMANDS);
        let text = Figures(&recording(&[(0, Some(30))])).to_string();
        assert!(text.contains("\nDEL ") && !text.contains("GET"), "{text}");
    }

    #[test]
    fn the_client_that_waited_longest_is_named() {
        let recording = recording(&[(0, Some(30)), (1, Some(80)), (0, Some(60)), (1, None)]);
        let (client, gap) = Figures(&recording).unluckiest().unwrap();
        assert_eq!((client, gap.begin, gap.length), (1, 0, 80));
        let text = Figures(&recording).to_string();
        assert!(text.contains("writes and updates of unknown outcome: 1"), "{text}");
    }
}
