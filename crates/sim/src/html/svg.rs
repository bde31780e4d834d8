//! The picture itself.

use super::layout::{LEFT, Layout};
use super::{Drawing, escape};
use crate::history::Answer;
use crate::time;
use crate::trace::{Kind, Label, What};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What the colours mean.
pub(super) fn legend() -> String {
    let line = |class: &str, text: &str| {
        format!(
            "<span><svg width=\"34\" height=\"12\"><line class=\"{class}\" x1=\"1\" y1=\"6\" x2=\"33\" y2=\"6\"/></svg>\
             {text}</span>"
        )
    };
    format!(
        "<p class=\"legend\">{}{}{}{}<span><svg width=\"14\" height=\"12\"><rect class=\"sync\" x=\"3\" y=\"2\" \
         width=\"8\" height=\"8\"/></svg>synced to disk</span><span><svg width=\"34\" height=\"12\"><rect \
         class=\"bar guilty\" x=\"1\" y=\"1\" width=\"32\" height=\"10\"/></svg>part of the contradiction</span></p>\n",
        line("msg query", "read or query"),
        line("msg write", "write"),
        line("msg reply", "reply"),
        line("msg lost", "lost"),
    )
}

struct Sent<'a> {
    from: u32,
    to: u32,
    x: f64,
    label: &'a Label,
    arrived: bool,
}

/// Draws everything.
pub(super) fn draw(drawing: &Drawing<'_>) -> String {
    let mut picture = Picture { drawing, layout: Layout::new(drawing), out: String::new() };
    let (width, height) = (picture.layout.width, picture.layout.height);
    picture.put(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\">\n<defs>"
    ));
    for class in ["query", "write", "reply"] {
        picture.put(format_args!(
            "<marker id=\"{class}\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
             orient=\"auto\"><path class=\"head {class}\" d=\"M0 0 8 4 0 8z\"/></marker>"
        ));
    }
    picture.put(format_args!("</defs>\n"));
    picture.axis();
    picture.lanes();
    picture.messages();
    picture.operations();
    picture.marks();
    picture.put(format_args!("</svg>\n"));
    picture.out
}

struct Picture<'a> {
    drawing: &'a Drawing<'a>,
    layout: Layout,
    out: String,
}

impl Picture<'_> {
    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.out.write_fmt(text);
    }

    fn axis(&mut self) {
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
                "<line class=\"grid\" x1=\"{x:.0}\" y1=\"24\" x2=\"{x:.0}\" y2=\"{bottom:.0}\"/>\
                 <text class=\"time\" x=\"{x:.0}\" y=\"16\">{since}</text>\n"
            ));
        }
    }

    /// A line for everybody, broken where its process is down.
    fn lanes(&mut self) {
        let end = self.layout.width - 40.0;
        for (client, y) in self.layout.clients.clone() {
            self.put(format_args!(
                "<text class=\"name\" x=\"12\" y=\"{:.0}\">client {}</text><line class=\"lane client\" x1=\"{LEFT}\" \
                 y1=\"{y}\" x2=\"{end:.0}\" y2=\"{y}\"/>\n",
                y + 4.0,
                client + 1
            ));
        }
        for node in 0..self.drawing.nodes {
            let y = self.layout.node(node);
            self.put(format_args!(
                "<text class=\"name\" x=\"12\" y=\"{:.0}\">node {}</text>\n",
                y + 4.0,
                node + 1
            ));
            let mut from = LEFT;
            let mut class = "up";
            let mut pieces = Vec::new();
            for (entry, x) in self.drawing.trace.entries.iter().zip(&self.layout.columns) {
                let next = match &entry.what {
                    What::Stopped { node: n, .. } if *n == node => "down",
                    What::Started { node: n, .. } | What::Resumed { node: n } if *n == node => "up",
                    What::Paused { node: n } if *n == node => "paused",
                    _ => continue,
                };
                pieces.push((from, *x, class));
                (from, class) = (*x, next);
            }
            pieces.push((from, end, class));
            for (from, to, class) in pieces {
                self.put(format_args!(
                    "<line class=\"lane {class}\" x1=\"{from:.1}\" y1=\"{y}\" x2=\"{to:.1}\" y2=\"{y}\"/>\n"
                ));
            }
        }
    }

    fn messages(&mut self) {
        let mut sent: BTreeMap<u64, Sent<'_>> = BTreeMap::new();
        let drawing = self.drawing;
        for (entry, x) in drawing.trace.entries.iter().zip(self.layout.columns.clone()) {
            match &entry.what {
                What::Sent { message, from, to, label } => {
                    sent.insert(*message, Sent { from: *from, to: *to, x, label, arrived: false });
                }
                What::Arrived { message } => {
                    if let Some(message) = sent.get_mut(message) {
                        message.arrived = true;
                        let (from, to, label, start) = (message.from, message.to, message.label, message.x);
                        self.arrow(from, to, start, x, label);
                    }
                }
                What::Lost { message, why } => {
                    if let Some(message) = sent.remove(message) {
                        self.lost(&message, why);
                    }
                }
                _ => {}
            }
        }
        for message in sent.into_values().filter(|message| !message.arrived) {
            self.lost(&message, "still under way at the end");
        }
    }

    fn arrow(&mut self, from: u32, to: u32, x1: f64, x2: f64, label: &Label) {
        let class = class_of(label.kind);
        let (y1, y2) = (self.layout.node(from), self.layout.node(to));
        let inset = if y2 > y1 { 4.0 } else { -4.0 };
        let text = title(from, to, label);
        self.put(format_args!(
            "<g><title>{text}</title><line class=\"msg {class}\" marker-end=\"url(#{class})\" x1=\"{x1:.1}\" \
             y1=\"{:.1}\" x2=\"{x2:.1}\" y2=\"{:.1}\"/></g>\n",
            y1 + inset,
            y2 - inset
        ));
    }

    fn lost(&mut self, message: &Sent<'_>, why: &str) {
        let (y1, y2) = (self.layout.node(message.from), self.layout.node(message.to));
        // Half the way, then gone.
        let (x1, x2, y2) = (message.x, message.x + 14.0, y1 + (y2 - y1) * 0.4);
        let text = format!("{}; {}", title(message.from, message.to, message.label), escape(why));
        self.put(format_args!(
            "<g><title>{text}</title><line class=\"msg lost\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" \
             y2=\"{y2:.1}\"/><path class=\"gone\" d=\"M{:.1} {:.1}l6 6m0 -6l-6 6\"/></g>\n",
            x2 - 3.0,
            y2 - 3.0
        ));
    }

    fn operations(&mut self) {
        let drawing = self.drawing;
        let entries = || drawing.trace.entries.iter().zip(self.layout.columns.clone());
        let mut begun = BTreeMap::new();
        let mut ended = BTreeMap::new();
        for (entry, x) in entries() {
            match &entry.what {
                What::Invoked { operation, .. } => drop(begun.insert(*operation, x)),
                What::Answered { operation, .. } => drop(ended.insert(*operation, x)),
                _ => {}
            }
        }
        for (operation, from) in begun {
            let record = &drawing.records[operation];
            let open = !matches!(record.answer, Answer::Read(_) | Answer::Written | Answer::Refused(_));
            let to = ended.get(&operation).copied().unwrap_or(self.layout.width - 50.0);
            let (y, node) = (self.layout.client(record.client), self.layout.node(record.node));
            let guilty = if drawing.guilty().contains(&operation) { " guilty" } else { "" };
            let open = if open { " open" } else { "" };
            let text = format!("{} → {}", escape(&record.text()), escape(&record.answer.text()));
            let to = to.max(from + 6.0);
            self.put(format_args!(
                "<g><title>{text}</title><line class=\"call\" x1=\"{from:.1}\" y1=\"{y}\" x2=\"{from:.1}\" \
                 y2=\"{node}\"/>"
            ));
            if ended.contains_key(&operation) {
                self.put(format_args!(
                    "<line class=\"call\" x1=\"{to:.1}\" y1=\"{y}\" x2=\"{to:.1}\" y2=\"{node}\"/>"
                ));
            }
            self.put(format_args!(
                "<rect class=\"bar{guilty}{open}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"14\" rx=\"4\"/>",
                y - 7.0,
                to - from
            ));
            if self.layout.roomy || !guilty.is_empty() {
                let short: String = text.chars().take(46).collect();
                self.put(format_args!(
                    "<text class=\"op{guilty}\" x=\"{from:.1}\" y=\"{:.1}\">{short}</text>",
                    y - 12.0
                ));
            }
            self.put(format_args!("</g>\n"));
        }
    }

    fn marks(&mut self) {
        let drawing = self.drawing;
        let mut rows: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
        for (entry, x) in drawing.trace.entries.iter().zip(self.layout.columns.clone()) {
            match &entry.what {
                What::Synced { node, writes } => {
                    let y = self.layout.node(*node);
                    self.put(format_args!(
                        "<g><title>{writes} writes are durable on n{}</title><rect class=\"sync\" x=\"{:.1}\" \
                         y=\"{:.1}\" width=\"8\" height=\"8\"/></g>\n",
                        node + 1,
                        x - 4.0,
                        y - 4.0
                    ));
                }
                What::Stopped { node, how } => self.mark(*node, x, "crash", "✕", how),
                What::Started { node, boot } if *boot > 1 => {
                    self.mark(*node, x, "start", "↻", &format!("boot {boot}"));
                }
                What::Paused { node } => self.mark(*node, x, "crash", "❚❚", "stands still"),
                What::Resumed { node } => self.mark(*node, x, "start", "▶", "goes on"),
                What::Refused { node, why } => self.mark(*node, x, "crash", "⊘", why),
                What::Phase { node, operation, name } => {
                    let text = format!("{name} (operation {operation})");
                    self.note(&mut rows, *node, x, "phase", name, &text);
                }
                What::Clock { node, behind, ahead } if (*behind, *ahead) != (0, 0) => {
                    let text = format!("−{} +{}", time::text(*behind), time::text(*ahead));
                    self.note(&mut rows, *node, x, "clock", &text, "the clock's interval around true time");
                }
                What::Wall { node, offset } if *offset != 0 => {
                    let sign = if *offset < 0 { '−' } else { '+' };
                    let text = format!("wall {sign}{}", time::text(round(offset.unsigned_abs())));
                    self.note(
                        &mut rows,
                        *node,
                        x,
                        "clock",
                        &text,
                        "how far the wall clock is from true time",
                    );
                }
                _ => {}
            }
        }
    }

    fn mark(&mut self, node: u32, x: f64, class: &str, sign: &str, text: &str) {
        let y = self.layout.node(node);
        let text = escape(text);
        self.put(format_args!(
            "<g><title>{text}</title><text class=\"mark {class}\" x=\"{x:.1}\" y=\"{:.1}\">{sign}</text></g>\n",
            y + 6.0
        ));
        if self.layout.roomy && class == "crash" {
            let short: String = text.chars().take(30).collect();
            self.put(format_args!(
                "<text class=\"note {class}\" x=\"{:.1}\" y=\"{:.1}\">{short}</text>\n",
                x - 6.0,
                y - 12.0
            ));
        }
    }

    /// A word below a lane, in a row where it does not cover the one before.
    fn note(
        &mut self,
        rows: &mut BTreeMap<u32, (f64, f64)>,
        node: u32,
        x: f64,
        class: &str,
        text: &str,
        full: &str,
    ) {
        if !self.layout.roomy {
            return;
        }
        let y = self.layout.node(node);
        let row = rows.entry(node).or_insert((f64::MIN, f64::MIN));
        let free = x + f64::from(u32::try_from(text.chars().count()).unwrap_or(0)) * 6.2 + 6.0;
        let offset = if x >= row.0 {
            row.0 = free;
            18.0
        } else if x >= row.1 {
            row.1 = free;
            31.0
        } else {
            return;
        };
        let (text, full) = (escape(text), escape(full));
        self.put(format_args!(
            "<g><title>{full}</title><text class=\"note {class}\" x=\"{x:.1}\" y=\"{:.1}\">{text}</text></g>\n",
            y + offset
        ));
    }
}

/// Three digits are enough for the eye.
fn round(nanos: u64) -> u64 {
    let unit = 10u64.pow(nanos.max(1).ilog10().saturating_sub(2));
    (nanos + unit / 2) / unit * unit
}

fn class_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Read | Kind::Query | Kind::Compare => "query",
        Kind::Write => "write",
        Kind::Reply => "reply",
    }
}

fn title(from: u32, to: u32, label: &Label) -> String {
    format!("n{} → n{}: {} {}", from + 1, to + 1, label.kind, escape(&label.text))
}
