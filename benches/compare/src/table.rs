//! The figures as Markdown.

use crate::Result;
use crate::catalog::{APART, BEFORE, COMPARED, Figure, GROWTH, Target, UPDATES};
use crate::results::{Results, Spread};
use std::fmt::Write;
use std::path::Path;

const BEGIN: &str = "<!-- compare: begin -->";
const END: &str = "<!-- compare: end -->";

/// What a cell says of a figure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cell {
    Median,
    /// The median, in brackets the smallest and the largest.
    Spread,
}

/// The medians of what is compared with etcd.
pub(crate) fn summary(results: &Results) -> String {
    let mut text = String::new();
    machine(&mut text, results);
    line(&mut text, format_args!("\nMedians over the pairs.\n"));
    table(&mut text, results, COMPARED, "etcd", Cell::Median);
    updates(&mut text, results, Cell::Median);
    text
}

/// All tables.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = String::new();
    machine(&mut text, results);
    line(&mut text, format_args!("\nMedian over the pairs, in brackets the smallest and the largest.\n"));
    table(&mut text, results, COMPARED, "etcd", Cell::Spread);
    updates(&mut text, results, Cell::Spread);
    if BEFORE.iter().any(|figure| results.compare(figure).is_some_and(|(_, compared)| compared.is_some())) {
        line(&mut text, format_args!("\nGET and SET beside an earlier version.\n"));
        table(&mut text, results, BEFORE, "before", Cell::Spread);
    }
    line(&mut text, format_args!("\nHow cost grows; the baseline is Atomic KV itself.\n"));
    table(&mut text, results, GROWTH, "baseline", Cell::Spread);
    line(
        &mut text,
        format_args!(
            "\nWith a network between the nodes (`benches/compare/src/delay.rs`); the baseline is etcd in the same network, and for \
             one far node, which has no clients, Atomic KV without it.\n"
        ),
    );
    table(&mut text, results, APART, "baseline", Cell::Spread);
    generator(&mut text, results);
    text
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing into a string does not fail.
    let _ = writeln!(text, "{what}");
}

fn machine(text: &mut String, results: &Results) {
    for fact in &results.machine {
        line(text, format_args!("- {fact}"));
    }
}

fn updates(text: &mut String, results: &Results, cell: Cell) {
    line(
        text,
        format_args!(
            "\nUpdates; the baseline is etcd's compare-and-put with a loop, and for SET NX and INCR against SET Atomic KV itself.\n"
        ),
    );
    table(text, results, UPDATES, "baseline", cell);
}

fn table(text: &mut String, results: &Results, figures: &[Figure], baseline: &str, cell: Cell) {
    let shown = |spread: Spread, unit: &str| shown(spread, unit, cell);
    line(text, format_args!("| | Atomic KV | {baseline} | ratio | target | |\n|---|---|---|---|---|---|"));
    for figure in figures {
        let Some((ours, compared)) = results.compare(figure) else { continue };
        let theirs = compared.map_or_else(String::new, |(theirs, _)| shown(theirs, figure.unit));
        let ratio = compared.map_or_else(String::new, |(_, ratio)| shown(ratio, "×"));
        let value = match figure.target {
            Target::Below(_) | Target::Above(_) => Some(ours.median),
            _ => compared.map(|(_, ratio)| ratio.median),
        };
        let (target, met) = match figure.target {
            Target::AtLeast(times) => (format!("≥ {times} ×"), value.map(|value| value >= times)),
            Target::AtMost(times) => (format!("≤ {times} ×"), value.map(|value| value <= times)),
            Target::Below(limit) => (with_unit("≤", limit, figure.unit), value.map(|value| value <= limit)),
            Target::Above(limit) => (with_unit("≥", limit, figure.unit), value.map(|value| value >= limit)),
            Target::None => ("reported".to_owned(), None),
        };
        let met = met.map_or("", |met| if met { "met" } else { "**missed**" });
        let ours = shown(ours, figure.unit);
        line(text, format_args!("| {} | {ours} | {theirs} | {ratio} | {target} | {met} |", figure.title));
    }
}

/// What the load generator itself took from the processors that it shares with the nodes.
fn generator(text: &mut String, results: &Results) {
    use crate::cluster::System::{AtomicKv, Etcd};
    let cost = |load, system| results.spread(load, system, "generator_cpu_us").map(|spread| spread.median);
    let costs = (cost("set64", AtomicKv), cost("set64", Etcd), cost("get64", AtomicKv), cost("get64", Etcd));
    if let (Some(our_set), Some(their_set), Some(our_get), Some(their_get)) = costs {
        line(
            text,
            format_args!(
                "\nThe load generator's own CPU per operation at 64 clients: SET {our_set:.1} µs here, {their_set:.1} µs \
                 for etcd; GET {our_get:.1} µs here, {their_get:.1} µs for etcd."
            ),
        );
    }
}

fn with_unit(sign: &str, limit: f64, unit: &str) -> String {
    format!("{sign} {limit} {unit}").trim_end().to_owned()
}

fn shown(spread: Spread, unit: &str, cell: Cell) -> String {
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    let Spread { median, min, max, count } = spread;
    if count == 1 || cell == Cell::Median {
        return format!("{}{unit}", number(median));
    }
    format!("{}{unit} ({}–{})", number(median), number(min), number(max))
}

/// Three significant digits at least, and commas between the thousands.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        small if small < 1.0 => 3,
        small if small < 10.0 => 2,
        small if small < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let whole = text.find('.').unwrap_or(text.len());
    let mut out = String::new();
    for (index, digit) in text.char_indices() {
        if index > 0 && index < whole && (whole - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Replaces what is between the markers of a document.
pub(crate) fn update(document: &Path, markdown: &str) -> Result<()> {
    let text = std::fs::read_to_string(document)?;
    let missing = || format!("{} has no lines {BEGIN} and {END}", document.display());
    let (before, rest) = text.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(std::fs::write(document, format!("{before}{BEGIN}\n{markdown}{END}{after}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let shown: Vec<String> = [0.0, 0.1234, 4.456, 45.67, 456.7, 45678.9].map(number).into();
        assert_eq!(shown, ["0", "0.123", "4.46", "45.7", "457", "45,679"]);
    }

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("before\n{BEGIN}\nold\n{END}\nafter\n")).unwrap();
        update(file.path(), "new\n").unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert_eq!(text, format!("before\n{BEGIN}\nnew\n{END}\nafter\n"));
        std::fs::write(file.path(), "nothing").unwrap();
        assert!(update(file.path(), "new\n").is_err());
    }
}
