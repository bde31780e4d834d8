//! The table that `cargo sim exhaust` prints.

use super::rows::{Row, rows};
use super::search::Finding;
use crate::say;
use std::process::ExitCode;
use std::time::Instant;

/// `cargo sim exhaust [--all | ROW …]`: searches the rows, prints what came of each, then every shortest counter-example.
/// Succeeds when all rows are as expected, to the last state.
pub fn command(all: bool, only: &[String]) -> ExitCode {
    if let Some(unknown) = only.iter().find(|name| !rows().iter().any(|row| row.name == **name)) {
        say!("there is no row {unknown}");
        return ExitCode::from(2);
    }
    print(["row", "scenario", "what is broken", "result", "states", "depth", "time"].map(String::from));
    let mut examples = Vec::new();
    let mut unexpected = 0;
    let mut skipped = Vec::new();
    let is_chosen = |row: &Row| only.is_empty() || only.iter().any(|name| row.name == *name);
    for row in rows().into_iter().filter(is_chosen) {
        if row.long && !all && only.is_empty() {
            skipped.push(row.name);
            continue;
        }
        #[expect(clippy::disallowed_methods, reason = "the reader's time, not the world's")]
        let started = Instant::now();
        let finding = row.search();
        let time = format!("{:.1} s", started.elapsed().as_secs_f64());
        let verdict = row.judge(&finding);
        unexpected += usize::from(verdict.is_err());
        print([
            row.name.into(),
            row.scenario.into(),
            row.broken.unwrap_or_default().into(),
            result(&finding),
            grouped(finding.states),
            finding.depth.to_string(),
            time,
        ]);
        if let Err(reason) = verdict {
            say!("      UNEXPECTED: {reason}");
        }
        examples.extend(tell(&row, &finding));
    }
    for example in examples {
        say!("\n{example}");
    }
    if !skipped.is_empty() {
        say!("\nskipped without --all: {}", skipped.join(", "));
    }
    say!(
        "\n{}",
        if unexpected == 0 {
            "all rows as expected".into()
        } else {
            format!("{unexpected} rows NOT as expected")
        }
    );
    ExitCode::from(u8::from(unexpected > 0))
}

fn result(finding: &Finding) -> String {
    match &finding.violation {
        None => "holds".into(),
        Some((_, example)) => format!("caught in {} steps", example.steps.len()),
    }
}

/// A row's counter-example as numbered steps.
fn tell(row: &Row, finding: &Finding) -> Option<String> {
    let (violation, example) = finding.violation.as_ref()?;
    let mut lines =
        vec![format!("{} ({}): {violation:?}", row.name, row.broken.unwrap_or("nothing is broken"))];
    lines.extend((1..).zip(&example.steps).map(|(number, step)| format!("  {number:>2}  {step}")));
    lines.push(format!("      {}", example.history));
    Some(lines.join("\n"))
}

fn print([row, scenario, broken, result, states, depth, time]: [String; 7]) {
    say!("{row:<4} {scenario:<44} {broken:<29} {result:<18} {states:>10} {depth:>5} {time:>8}");
}

/// `1234567` as `1 234 567`.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    String::from_utf8_lossy(&groups.join(&b' ')).into_owned()
}
