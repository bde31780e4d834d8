//! The samples of all pairs, and what is made of them.

use crate::Result;
use crate::catalog::Figure;
use crate::cluster::System;
use crate::process::Usage;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use tools::load::{Report, Workload};

/// One measurement of one load.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Figures by name.
    pub(crate) numbers: BTreeMap<String, f64>,
    /// Operations per 100 ms, where a plot needs them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) timeline: Vec<u64>,
    /// Latencies in microseconds by share, of the kind of operation that the load has most of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) distribution: Vec<(f64, f64)>,
}

impl Sample {
    /// A sample of one number.
    pub(crate) fn number(name: &str, number: f64) -> Self {
        let mut sample = Self::default();
        sample.set(name, number);
        sample
    }

    /// Adds a number.
    pub(crate) fn set(&mut self, name: &str, number: f64) {
        // More digits than were measured would only make the file longer.
        self.numbers.insert(name.to_owned(), (number * 1e4).round() / 1e4);
    }

    /// The numbers of a report, and what the nodes used for it.
    pub(crate) fn of(report: &Report, used: Usage, system: System) -> Self {
        let mut sample = Self::number("rate", report.rate);
        let operations = report.operations as f64;
        sample.set("server_cpu_us", used.cpu.as_secs_f64() * 1e6 / operations);
        sample.set("generator_cpu_us", report.generator_cpu_us_per_operation);
        for (name, kind) in [("read", &report.reads), ("write", &report.writes), ("update", &report.updates)]
        {
            if kind.operations > 0 {
                sample.set(&format!("{name}_p50_us"), kind.p50_us);
                sample.set(&format!("{name}_p99_us"), kind.p99_us);
            }
        }
        sample.set("gap_ms", report.longest_gap_ms);
        sample.set("fairness", report.fairness.min as f64 / report.fairness.mean);
        sample.set("slowest_of_fastest", report.fairness.slowest_of_fastest());
        sample.set("indeterminate", report.errors.indeterminate as f64);
        sample.set("errors", report.errors.total() as f64);
        sample.set("misses", report.misses as f64);
        if report.writes.operations > 0 {
            let payload = report.writes.operations as f64 * (Workload::KEY_BYTES + report.value_size) as f64;
            sample.set("written_ratio", used.written as f64 / payload / system.nodes() as f64);
        }
        let kinds = [&report.reads, &report.writes, &report.updates];
        let most = kinds.into_iter().max_by_key(|kind| kind.operations).unwrap_or(&report.writes);
        sample.set("p50_us", most.p50_us);
        sample.distribution = most.distribution.iter().map(|(share, us)| (*share, us.round())).collect();
        sample
    }
}

/// All samples so far, as they are kept in a file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// What they were measured on.
    pub(crate) machine: Vec<String>,
    /// By load, then by system, in the order of the pairs.
    samples: BTreeMap<String, BTreeMap<System, Vec<Sample>>>,
}

/// The middle, the smallest and the largest of some numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// How many they are.
    pub(crate) count: usize,
}

impl Spread {
    /// `None` of nothing.
    pub(crate) fn of(mut numbers: Vec<f64>) -> Option<Self> {
        numbers.sort_by(f64::total_cmp);
        let (min, max) = (*numbers.first()?, *numbers.last()?);
        let count = numbers.len();
        let median = f64::midpoint(numbers[(count - 1) / 2], numbers[count / 2]);
        Some(Self { median, min, max, count })
    }
}

impl Results {
    /// Reads the file, if there is one.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => {
                Ok(serde_json::from_slice(&bytes).map_err(|why| format!("{}: {why}", path.display()))?)
            }
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(why) => Err(why.into()),
        }
    }

    /// Writes the file.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        Ok(std::fs::write(path, serde_json::to_vec(self)?)?)
    }

    /// Drops a load's samples.
    pub(crate) fn forget(&mut self, load: &str) {
        self.samples.remove(load);
    }

    /// Adds a sample.
    pub(crate) fn add(&mut self, load: &str, system: System, sample: Sample) {
        self.samples.entry(load.to_owned()).or_default().entry(system).or_default().push(sample);
    }

    /// A load's samples on a system.
    pub(crate) fn samples(&self, load: &str, system: System) -> &[Sample] {
        self.samples.get(load).and_then(|systems| systems.get(&system)).map_or(&[], Vec::as_slice)
    }

    fn numbers(&self, (load, system): (&str, System), name: &str) -> Vec<f64> {
        self.samples(load, system).iter().filter_map(|sample| sample.numbers.get(name).copied()).collect()
    }

    /// A number's spread over the pairs.
    pub(crate) fn spread(&self, load: &str, system: System, name: &str) -> Option<Spread> {
        Spread::of(self.numbers((load, system), name))
    }

    /// A figure and its baseline: the two spreads, and that of the ratios within the pairs. The baseline of a number
    /// that only the subject has is the usual rate.
    pub(crate) fn compare(&self, figure: &Figure) -> Option<(Spread, Option<(Spread, Spread)>)> {
        let subject = self.numbers(figure.subject, figure.number);
        let spread = Spread::of(subject.clone())?;
        let Some(baseline) = figure.baseline else { return Some((spread, None)) };
        let mut theirs = self.numbers(baseline, figure.number);
        if theirs.is_empty() {
            theirs = self.numbers(baseline, "rate");
        }
        let ratios = subject.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
        Some((spread, Spread::of(theirs).zip(Spread::of(ratios))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Target;

    #[test]
    fn a_ratio_is_the_median_of_the_pairs() {
        let mut results = Results::default();
        for (ours, theirs) in [(40.0, 10.0), (90.0, 30.0), (10.0, 1.0)] {
            results.add("set64", System::AtomicKv, Sample::number("rate", ours));
            results.add("set64", System::Etcd, Sample::number("rate", theirs));
        }
        let figure = Figure {
            title: "",
            number: "rate",
            unit: "",
            subject: ("set64", System::AtomicKv),
            baseline: Some(("set64", System::Etcd)),
            target: Target::None,
        };
        let (ours, compared) = results.compare(&figure).unwrap();
        let (theirs, ratio) = compared.unwrap();
        assert_eq!((ours.median, theirs.median, ratio.median), (40.0, 10.0, 4.0));
        assert_eq!((ratio.min, ratio.max, ratio.count), (3.0, 10.0, 3));
        assert_eq!(Spread::of(vec![1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
