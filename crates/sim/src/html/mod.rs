//! A run as a picture: a space–time diagram (Lamport 1978) in one page that works offline.
//!
//! Clients and nodes are lines, time goes to the right, messages are arrows. Only the order of events is to scale: a
//! microsecond in which something happens is as wide as a second in which nothing does.

mod explain;
mod layout;
mod svg;

use crate::checks::Verdict;
use crate::history::Record;
use crate::mutant::Mutant;
use crate::plan::Plan;
use crate::script::Script;
use crate::trace::Trace;
use crate::world::Report;
use abd::TimestampMode;
use std::fmt::Write;

/// What is drawn.
pub struct Drawing<'a> {
    title: String,
    nodes: u32,
    mode: TimestampMode,
    trace: &'a Trace,
    records: &'a [Record],
    verdict: &'a Verdict,
    mutant: Option<&'a Mutant>,
    /// The script or the plan, as text.
    source: String,
    source_name: &'static str,
}

impl<'a> Drawing<'a> {
    /// Of a run with a plan.
    pub fn of_run(plan: &Plan, report: &'a Report, mutant: Option<&'a Mutant>, title: &str) -> Self {
        Self {
            title: title.to_owned(),
            nodes: plan.nodes,
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
    pub fn of_script(script: &Script, report: &'a Report, mutant: Option<&'a Mutant>, title: &str) -> Self {
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
         <h1>{title}</h1>\n<p class=\"under\">{} nodes, {mode}; time goes to the right, and only the order of events \
         is to scale. Point at anything to read more.</p>\n",
        drawing.nodes
    );
    page.push_str(&explain::verdict(drawing));
    page.push_str(&svg::legend());
    page.push_str("<div class=\"scroll\">\n");
    page.push_str(&svg::draw(drawing));
    page.push_str("</div>\n");
    let _ = write!(
        page,
        "<details><summary>{}</summary><pre>{}</pre></details>\n<details><summary>Everything that happened\
         </summary><pre>{}</pre></details>\n</body></html>\n",
        drawing.source_name,
        escape(&drawing.source),
        escape(&drawing.trace.to_string())
    );
    page
}

/// Text for a page.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
