//! Plots as small SVG files: lines over axes, readable on light and dark pages.

use crate::catalog::KILL_AFTER;
use crate::cluster::System::{self, AtomicKv, Etcd};
use crate::results::Results;
use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 28.0;
const TOP: f64 = 58.0;
const BOTTOM: f64 = 48.0;

/// A curve.
struct Curve {
    name: String,
    colour: &'static str,
    dashed: bool,
    points: Vec<(f64, f64)>,
}

/// One direction of a plot.
struct Axis {
    label: &'static str,
    from: f64,
    to: f64,
    logarithmic: bool,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    fn linear(label: &'static str, to: f64) -> Self {
        let to = if to > 0.0 { to } else { 1.0 };
        let rough = to / 5.0;
        let magnitude = 10f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].map(|times| times * magnitude).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let to = (to / step).ceil() * step;
        let ticks = std::iter::successors(Some(0.0), |tick| Some(tick + step))
            .take_while(|tick| *tick <= to + step / 2.0);
        let ticks = ticks.map(|tick| (tick, short(tick))).collect();
        Self { label, from: 0.0, to, logarithmic: false, ticks }
    }

    /// With a tick at each of the given values.
    fn logarithmic(label: &'static str, ticks: Vec<(f64, String)>) -> Self {
        let (from, to) = (ticks.first().map_or(1.0, |tick| tick.0), ticks.last().map_or(10.0, |tick| tick.0));
        Self { label, from, to, logarithmic: true, ticks }
    }

    /// Powers of ten around what is shown.
    fn decades(label: &'static str, curves: &[Curve]) -> Self {
        let values = curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.1));
        let (low, high) =
            values.fold((f64::MAX, 1.0f64), |(low, high), value| (low.min(value), high.max(value)));
        let first = 10f64.powf(low.max(1.0).log10().floor());
        let ticks = std::iter::successors(Some(first), |tick| Some(tick * 10.0));
        let mut ticks: Vec<f64> = ticks.take_while(|tick| *tick < high).collect();
        ticks.push(ticks.last().map_or(10.0, |tick| tick * 10.0));
        Self::logarithmic(label, ticks.into_iter().map(|tick| (tick, short(tick))).collect())
    }

    /// Where a value lies, 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let (from, to, value) = match self.logarithmic {
            true => (self.from.ln(), self.to.ln(), value.max(self.from).ln()),
            false => (self.from, self.to, value),
        };
        ((value - from) / (to - from)).clamp(0.0, 1.0)
    }
}

fn short(value: f64) -> String {
    match value {
        large if large >= 1e6 => format!("{} M", large / 1e6),
        large if large >= 1e4 => format!("{} k", large / 1e3),
        _ => format!("{}", (value * 1e3).round() / 1e3),
    }
}

/// Draws curves.
fn draw(title: &str, across: &Axis, up: &Axis, curves: &[Curve], marks: &[(f64, &str)]) -> String {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let x = |value: f64| LEFT + across.place(value) * (right - LEFT);
    let y = |value: f64| bottom - up.place(value) * (bottom - TOP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\" fill=\"#777\"><text x=\"{LEFT}\" y=\"20\" font-size=\"15\">{title}</text>\n"
    );
    let mut put = |text: std::fmt::Arguments<'_>| {
        // Writing into a string does not fail.
        let _ = writeln!(svg, "{text}");
    };
    for (value, text) in &up.ticks {
        let at = y(*value);
        put(format_args!("<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#8884\"/>"));
        put(format_args!(
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            LEFT - 8.0,
            at + 4.0
        ));
    }
    for (value, text) in &across.ticks {
        let at = x(*value);
        put(format_args!("<path d=\"M{at:.1} {bottom}v5\" stroke=\"#888\"/>"));
        put(format_args!("<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>", bottom + 18.0));
    }
    put(format_args!("<path d=\"M{LEFT} {bottom}H{right}\" stroke=\"#888\"/>"));
    let middle = f64::midpoint(LEFT, right);
    put(format_args!(
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        HEIGHT - 10.0,
        across.label
    ));
    let middle = f64::midpoint(TOP, bottom);
    put(format_args!(
        "<text transform=\"translate(16 {middle})rotate(-90)\" text-anchor=\"middle\">{}</text>",
        up.label
    ));
    for (value, text) in marks {
        let at = x(*value);
        put(format_args!("<path d=\"M{at:.1} {TOP}V{bottom}\" stroke=\"#c33\" stroke-dasharray=\"2 3\"/>"));
        put(format_args!("<text x=\"{:.1}\" y=\"{}\" fill=\"#c33\">{text}</text>", at + 4.0, TOP + 10.0));
    }
    for (index, curve) in curves.iter().enumerate() {
        let dash = if curve.dashed { " stroke-dasharray=\"6 4\"" } else { "" };
        let points: Vec<String> =
            curve.points.iter().map(|(across, up)| format!("{:.1} {:.1}", x(*across), y(*up))).collect();
        let stroke = format!("fill=\"none\" stroke=\"{}\" stroke-width=\"2\"{dash}", curve.colour);
        put(format_args!("<path d=\"M{}\" {stroke}/>", points.join("L")));
        let at = LEFT + 140.0 * index as f64;
        put(format_args!(
            "<path d=\"M{at} 38h22\" {stroke}/><text x=\"{}\" y=\"42\">{}</text>",
            at + 28.0,
            curve.name
        ));
    }
    svg.push_str("</svg>\n");
    svg
}

const COLOURS: [(System, &str, &str); 2] = [(AtomicKv, "Atomic KV", "#0a7d6c"), (Etcd, "etcd", "#d9730d")];
/// The name at the beginning of a load, and the name of its operation.
const OPERATIONS: [(&str, &str, bool); 2] = [("set", "SET", false), ("get", "GET", true)];

/// A curve for each operation of each system that has points.
fn curves(points: impl Fn(System, &str) -> Vec<(f64, f64)>) -> Vec<Curve> {
    let mut curves = Vec::new();
    for (system, name, colour) in COLOURS {
        for (load, operation, dashed) in OPERATIONS {
            let points = points(system, load);
            if points.len() > 1 {
                curves.push(Curve { name: format!("{name} {operation}"), colour, dashed, points });
            }
        }
    }
    curves
}

/// Every plot for which there are samples, with its file name.
pub(crate) fn all(results: &Results) -> Vec<(&'static str, String)> {
    [("throughput.svg", throughput(results)), ("latency.svg", latency(results)), ("kill.svg", kill(results))]
        .into_iter()
        .filter_map(|(name, svg)| Some((name, svg?)))
        .collect()
}

/// Operations per second against clients.
fn throughput(results: &Results) -> Option<String> {
    const CLIENTS: [u32; 6] = [1, 4, 16, 64, 256, 1024];
    let curves = curves(|system, load| {
        let rate = |clients: &u32| {
            let rate = results.spread(&format!("{load}{clients}"), system, "rate")?;
            Some((f64::from(*clients), rate.median))
        };
        CLIENTS.iter().filter_map(rate).collect()
    });
    let most = curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.1)).reduce(f64::max)?;
    let ticks = CLIENTS.map(|clients| (f64::from(clients), clients.to_string())).into();
    let (across, up) = (Axis::logarithmic("clients", ticks), Axis::linear("operations/s", most));
    Some(draw("Throughput", &across, &up, &curves, &[]))
}

/// Latency against the share of operations that were faster, at 64 clients.
fn latency(results: &Results) -> Option<String> {
    // The share is drawn by what is missing to all: each tick to the right has a tenth of the operations beyond it.
    const BEYOND: f64 = 1e-4;
    let curves = curves(|system, load| {
        let samples = results.samples(&format!("{load}64"), system);
        let Some(sample) = samples.get(samples.len() / 2) else { return Vec::new() };
        let shown = sample.distribution.iter().filter(|(share, _)| *share <= 1.0 - BEYOND);
        shown.map(|(share, us)| (1.0 / (1.0 - share), *us)).collect()
    });
    if curves.is_empty() {
        return None;
    }
    let ticks =
        [(1.0, "min"), (2.0, "50 %"), (10.0, "90 %"), (100.0, "99 %"), (1e3, "99.9 %"), (1e4, "99.99 %")];
    let ticks = ticks.map(|(at, text)| (at, text.to_owned())).into();
    let across = Axis::logarithmic("share of operations that were faster", ticks);
    let up = Axis::decades("latency, µs", &curves);
    Some(draw("Latency at 64 clients", &across, &up, &curves, &[]))
}

/// Operations around the death of a node.
fn kill(results: &Results) -> Option<String> {
    let mut curves = Vec::new();
    let mut longest = 0usize;
    for (system, name, colour) in COLOURS {
        let Some(sample) = results.samples("kill", system).first() else { continue };
        longest = longest.max(sample.timeline.len());
        // Operations per 100 ms as a rate, against seconds.
        let point = |(slot, count): (usize, &u64)| (slot as f64 / 10.0, *count as f64 * 10.0);
        let points = sample.timeline.iter().enumerate().map(point).collect();
        curves.push(Curve { name: name.to_owned(), colour, dashed: false, points });
    }
    let most = curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.1)).reduce(f64::max)?;
    let across = Axis::linear("seconds", longest as f64 / 10.0);
    let up = Axis::linear("operations/s", most);
    let title = "A node (etcd: the leader) is killed with kill -9; 50/50, 64 clients";
    Some(draw(title, &across, &up, &curves, &[(KILL_AFTER.as_secs_f64(), "kill -9")]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_axis_ends_above_what_it_shows() {
        let axis = Axis::linear("", 43_000.0);
        assert_eq!(axis.ticks.last().unwrap(), &(50_000.0, "50 k".to_owned()));
        assert_eq!((axis.place(0.0), axis.place(25_000.0), axis.place(9e9)), (0.0, 0.5, 1.0));
    }

    #[test]
    fn a_logarithmic_axis_has_equal_steps() {
        let axis = Axis::logarithmic("", vec![(1.0, String::new()), (100.0, String::new())]);
        assert!((axis.place(10.0) - 0.5).abs() < 1e-9);
        assert_eq!(axis.place(0.0), 0.0);
    }
}
