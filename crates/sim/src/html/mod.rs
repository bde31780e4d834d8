//! A run as a picture: a space–time diagram (Lamport 1978) in one page that works offline.
//!
//! Clients and nodes are lines, time goes to the right, messages are arrows. Only the order of events is to scale: a
//! microsecond in which something happens is as wide as a second in which nothing does.

mod explain;
mod frame;
mod layout;
mod svg;

use crate::checks::Verdict;
use crate::history::{ClientAnswer, OperationRecord};
use crate::mutant::Mutant;
use crate::plan::Plan;
use crate::script::Script;
use crate::time;
use crate::trace::{Trace, What};
use crate::world::RunReport;
use abd::TimestampMode;
use std::fmt::Write;

/// What is drawn.
pub struct Drawing<'a> {
    title: String,
    nodes: u32,
    mode: TimestampMode,
    trace: &'a Trace,
    records: &'a [OperationRecord],
    verdict: &'a Verdict,
    mutant: Option<&'a Mutant>,
    /// The script or the plan, as text.
    source: String,
    source_name: &'static str,
}

impl<'a> Drawing<'a> {
    /// Of a run with a plan.
    pub fn of_run(plan: &Plan, report: &'a RunReport, mutant: Option<&'a Mutant>, title: &str) -> Self {
        Self {
            title: title.to_owned(),
            nodes: plan.nodes.max(report.nodes),
            mode: plan.mode,
            trace: &report.trace,
            records: &report.records,
            verdict: &report.verdict,
            mutant,
            source: plan.to_string(),
            source_name: "The plan",
        }
    }

    /// Of a script.
    pub fn of_script(
        script: &Script,
        report: &'a RunReport,
        mutant: Option<&'a Mutant>,
        title: &str,
    ) -> Self {
        Self {
            title: title.to_owned(),
            nodes: script.nodes,
            mode: script.mode,
            trace: &report.trace,
            records: &report.records,
            verdict: &report.verdict,
            mutant,
            source: script.to_string(),
            source_name: "The script",
        }
    }

    fn guilty(&self) -> &[usize] {
        match self.verdict {
            Verdict::Wrong(conviction) => &conviction.operations,
            _ => &[],
        }
    }
}

/// The page.
pub fn page(drawing: &Drawing<'_>) -> String {
    let mut page = String::new();
    let title = escape(&drawing.title);
    let mode = match drawing.mode {
        TimestampMode::Logical => "logical timestamps",
        TimestampMode::TrueTime => "TrueTime timestamps",
    };
    let style = include_str!("style.css");
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<style>{style}</style></head>\n<body>\n\
         <h1>{title}</h1>\n<p class=\"under\">{} nodes, {mode}; {}. Time goes to the right, and only the order of events \
         is to scale. Point at anything to read more.</p>\n",
        drawing.nodes,
        counts(drawing)
    );
    page.push_str(&explain::verdict(drawing));
    page.push_str(&frame::legend());
    page.push_str(&svg::draw(drawing));
    let _ = write!(
        page,
        "<details><summary>{}</summary><pre>{}</pre></details>\n<details><summary>Everything that happened\
         </summary><pre>{}</pre></details>\n<script>{}</script>\n</body></html>\n",
        drawing.source_name,
        escape(&drawing.source),
        escape(&drawing.trace.to_string()),
        include_str!("page.js")
    );
    page
}

/// What there is to see.
fn counts(drawing: &Drawing<'_>) -> String {
    let entries = &drawing.trace.entries;
    let count = |wanted: fn(&What) -> bool| entries.iter().filter(|entry| wanted(&entry.what)).count();
    let answered = drawing
        .records
        .iter()
        .filter(|record| record.answer.is_answered() || matches!(record.answer, ClientAnswer::Refused(_)));
    format!(
        "{} operations, {} of them answered, {} messages, {} faults, {} of simulated time",
        drawing.records.len(),
        answered.count(),
        count(|what| matches!(what, What::Sent { .. })),
        count(|what| matches!(what, What::Fault { begins: true, .. })),
        time::text(svg::round(entries.last().map_or(0, |entry| entry.at))),
    )
}

/// Text for a page.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutant::Lies;
    use crate::plan::Features;

    /// The page of a run that passes, with faults in it.
    fn passing() -> String {
        let plan = Plan::draw(5, Features::default());
        let report = crate::run::run(&plan, Lies::default(), true);
        assert!(matches!(report.verdict, Verdict::Fine), "{:?}", report.verdict);
        page(&Drawing::of_run(&plan, &report, None, "Seed 5"))
    }

    #[test]
    fn a_passing_run_has_labels_faults_an_overview_and_no_empty_lane() {
        let page = passing();
        let count = |part: &str| page.matches(part).count();
        assert!(count("<text class=\"fault\"") >= 5 && page.contains("a minority is cut off</text>"));
        // Most bars have room for what they are.
        let labels =
            page.split("<text class=\"op\"").skip(1).filter(|rest| !rest.contains("\"></text>")).count();
        assert!(labels > 0 && count(">set k") + count(">get k") > 20, "{labels} labels");
        assert_eq!(count("class=\"map\""), 1);
        let lanes = count("<line class=\"lane client\"");
        assert!(lanes > 0 && lanes <= count("<rect class=\"bar"), "{lanes} lanes");
        assert!(lanes < 10, "clients that ask once share a lane: {lanes}");
        assert!(page.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn the_page_needs_nothing_from_outside() {
        let page = passing();
        for outside in ["https:", "src=", "url(http", "@import", "fetch("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
