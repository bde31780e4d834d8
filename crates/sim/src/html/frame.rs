//! What is around the picture: the legend, the overview, the names, the axis, the faults.

use super::escape;
use super::layout::{FAULT, Lane, NAMES, TOP};
use super::svg::{Picture, cut, round};
use crate::time;

/// What the colours mean.
pub(super) fn legend() -> String {
    let line = |class: &str, text: &str| {
        format!(
            "<span><svg width=\"34\" height=\"12\"><line class=\"{class}\" x1=\"1\" y1=\"6\" x2=\"33\" y2=\"6\"/></svg>\
             {text}</span>"
        )
    };
    format!(
        "<p class=\"legend\"><span><svg width=\"34\" height=\"12\"><rect class=\"fault\" x=\"1\" y=\"1\" width=\"32\" \
         height=\"10\"/></svg>fault</span>{}{}{}{}<span><svg width=\"14\" height=\"12\"><rect class=\"sync\" x=\"3\" y=\"2\" \
         width=\"8\" height=\"8\"/></svg>synced to disk</span><span><svg width=\"34\" height=\"12\"><rect \
         class=\"bar guilty\" x=\"1\" y=\"1\" width=\"32\" height=\"10\"/></svg>part of the contradiction</span>\
         <span>✕ ends · ↻ starts again · ❚❚ stands still · ⊘ refuses to serve</span></p>\n",
        line("msg query", "read or query"),
        line("msg write", "write"),
        line("msg reply", "reply"),
        line("msg lost", "lost"),
    )
}

impl Picture<'_> {
    pub(super) fn axis(&mut self) {
        let mut last = f64::MIN;
        let mut shown = None;
        let origin = self.drawing.records.iter().map(|record| record.invoked.0).min().unwrap_or(0);
        for (entry, x) in self.drawing.trace.entries.iter().zip(self.layout.columns.clone()) {
            if x < last + 84.0 || shown == Some(entry.at) || entry.at < origin {
                continue;
            }
            (last, shown) = (x, Some(entry.at));
            let (bottom, since) = (self.layout.height - 20.0, time::text(round(entry.at - origin)));
            self.put(format_args!(
                "<line class=\"grid\" x1=\"{x:.0}\" y1=\"22\" x2=\"{x:.0}\" y2=\"{bottom:.0}\"/>\
                 <text class=\"time\" x=\"{x:.0}\" y=\"16\">{since}</text>\n"
            ));
        }
    }

    /// The whole run in a strip; `page.js` shows in it what part of the picture is seen.
    pub(super) fn overview(&mut self) {
        let (width, height) = (self.layout.width, 46);
        self.put(format_args!(
            "<svg class=\"map\" viewBox=\"0 0 {width:.0} {height}\" preserveAspectRatio=\"none\" aria-label=\"overview\">\n"
        ));
        let faults: Vec<(f64, f64)> = self.layout.faults.iter().map(|fault| (fault.from, fault.to)).collect();
        for (from, to) in faults {
            let width = (to - from).max(10.0);
            self.put(format_args!(
                "<rect class=\"fault\" x=\"{from:.0}\" y=\"2\" width=\"{width:.0}\" height=\"8\"/>\n"
            ));
        }
        let room = 30.0 / f64::from(u32::try_from(self.layout.lanes.len().max(1)).unwrap_or(1));
        let drawing = self.drawing;
        for (operation, from, to) in self.spans() {
            let record = &drawing.records[operation];
            let lane = self.layout.lanes.iter().position(|lane| lane.clients.contains(&record.client));
            let y = 14.0 + room * f64::from(u32::try_from(lane.unwrap_or(0)).unwrap_or(0));
            let guilty = if drawing.guilty().contains(&operation) { " guilty" } else { "" };
            let (width, high) = ((to - from).max(2.0), room * 0.7);
            self.put(format_args!(
                "<rect class=\"bar{guilty}\" x=\"{from:.0}\" y=\"{y:.1}\" width=\"{width:.0}\" height=\"{high:.1}\"/>\n"
            ));
        }
        self.put(format_args!(
            "<rect class=\"view\" x=\"0\" y=\"0\" width=\"0\" height=\"{height}\"/>\n</svg>\n"
        ));
    }

    /// Beside the picture, so that they are seen wherever it is.
    pub(super) fn names(&mut self) {
        let height = self.layout.height;
        self.put(format_args!("<svg class=\"names\" width=\"{NAMES}\" height=\"{height:.0}\">\n"));
        let mut names = Vec::new();
        if !self.layout.faults.is_empty() {
            names.push((TOP + 10.0, "faults".to_owned(), String::new()));
        }
        for Lane { y, clients } in &self.layout.lanes {
            let numbers: Vec<String> = clients.iter().map(|client| (client + 1).to_string()).collect();
            let numbers = numbers.join(", ");
            names.push(match clients.len() {
                1 => (y + 4.0, format!("client {numbers}"), String::new()),
                _ if numbers.len() > 8 => (y + 4.0, "clients …".to_owned(), format!("clients {numbers}")),
                _ => (y + 4.0, format!("clients {numbers}"), "one after the other".to_owned()),
            });
        }
        for (node, y) in self.layout.nodes.iter().enumerate() {
            names.push((y + 4.0, format!("node {}", node + 1), String::new()));
        }
        for (y, name, more) in names {
            self.put(format_args!(
                "<text class=\"name\" x=\"12\" y=\"{y:.0}\"><title>{more}</title>{name}</text>\n"
            ));
        }
        self.put(format_args!("</svg>\n"));
    }

    /// What the plan or the script breaks.
    pub(super) fn faults(&mut self) {
        for index in 0..self.layout.faults.len() {
            let fault = &self.layout.faults[index];
            let (from, to, row) = (fault.from, fault.to, fault.row);
            let y = TOP + FAULT * f64::from(u32::try_from(row).unwrap_or(0));
            let next = self.layout.faults.iter().filter(|other| other.row == row && other.from > from);
            let end = next.map(|other| other.from).fold(self.layout.width, f64::min);
            let full = escape(&fault.text);
            // Who is cut off from whom is a long list.
            let label = cut(fault.text.split(':').next().unwrap_or_default(), end - from - 6.0);
            let width = to - from;
            self.put(format_args!(
                "<g><title>{full}</title><rect class=\"fault\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
                 height=\"14\" rx=\"3\"/><text class=\"fault\" x=\"{:.1}\" y=\"{:.1}\">{label}</text></g>\n",
                from + 4.0,
                y + 11.0
            ));
        }
    }
}
