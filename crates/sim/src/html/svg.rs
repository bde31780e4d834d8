//! The picture itself.

use super::layout::{LEFT, Layout};
use super::{Drawing, escape};
use crate::history::ClientAnswer;
use crate::time;
use crate::trace::{Label, MessageKind, What};
use std::collections::BTreeMap;
use std::fmt::Write;

struct Sent<'a> {
    from: u32,
    to: u32,
    x: f64,
    label: &'a Label,
    arrived: bool,
}

/// Draws everything: an overview, the names, and the picture beside them.
pub(super) fn draw(drawing: &Drawing<'_>) -> String {
    let mut picture = Picture { drawing, layout: Layout::new(drawing), out: String::new() };
    let (width, height) = (picture.layout.width, picture.layout.height);
    picture.overview();
    picture.put(format_args!("<div class=\"scroll\">\n"));
    picture.names();
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
    picture.faults();
    picture.lanes();
    picture.messages();
    picture.operations();
    picture.marks();
    picture.put(format_args!("</svg>\n</div>\n"));
    picture.out
}

pub(super) struct Picture<'a> {
    pub(super) drawing: &'a Drawing<'a>,
    pub(super) layout: Layout,
    out: String,
}

impl Picture<'_> {
    pub(super) fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.out.write_fmt(text);
    }

    /// A line for everybody, broken where its process is down.
    fn lanes(&mut self) {
        let end = self.layout.width - 40.0;
        for y in self.layout.lanes.iter().map(|lane| lane.y).collect::<Vec<_>>() {
            self.put(format_args!(
                "<line class=\"lane client\" x1=\"{LEFT}\" y1=\"{y}\" x2=\"{end:.0}\" y2=\"{y}\"/>\n"
            ));
        }
        for node in 0..self.drawing.nodes {
            let y = self.layout.node(node);
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

    /// The operations, and from where to where they are drawn.
    pub(super) fn spans(&self) -> Vec<(usize, f64, f64)> {
        let mut begun = BTreeMap::new();
        let mut ended = BTreeMap::new();
        for (entry, x) in self.drawing.trace.entries.iter().zip(&self.layout.columns) {
            match &entry.what {
                What::Invoked { operation, .. } => drop(begun.insert(*operation, *x)),
                What::Answered { operation, .. } => drop(ended.insert(*operation, *x)),
                _ => {}
            }
        }
        let end = self.layout.width - 50.0;
        let to = |operation, from: f64| ended.get(&operation).copied().unwrap_or(end).max(from + 6.0);
        begun.into_iter().map(|(operation, from)| (operation, from, to(operation, from))).collect()
    }

    fn operations(&mut self) {
        let drawing = self.drawing;
        let spans = self.spans();
        let starts: Vec<(f64, f64)> = spans
            .iter()
            .map(|(operation, from, _)| (self.layout.client(drawing.records[*operation].client), *from))
            .collect();
        for (operation, from, to) in spans {
            let record = &drawing.records[operation];
            let is_answered = to < self.layout.width - 50.0;
            let open = !record.answer.is_answered() && !matches!(record.answer, ClientAnswer::Refused(_));
            let (y, node) = (self.layout.client(record.client), self.layout.node(record.node));
            let guilty = if drawing.guilty().contains(&operation) { " guilty" } else { "" };
            let open = if open { " open" } else { "" };
            let text = format!("{} → {}", record.text(), record.answer.text());
            let full = escape(&format!("client {}: {text}", record.client + 1));
            self.put(format_args!(
                "<g><title>{full}</title><line class=\"call\" x1=\"{from:.1}\" y1=\"{y}\" x2=\"{from:.1}\" \
                 y2=\"{node}\"/>"
            ));
            if is_answered {
                self.put(format_args!(
                    "<line class=\"call\" x1=\"{to:.1}\" y1=\"{y}\" x2=\"{to:.1}\" y2=\"{node}\"/>"
                ));
            }
            self.put(format_args!(
                "<rect class=\"bar{guilty}{open}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"14\" rx=\"4\"/>",
                y - 7.0,
                to - from
            ));
            // Up to the next one on this lane.
            let others = starts.iter().filter(|(lane, start)| *lane == y && *start > from);
            let next = others.map(|(_, start)| *start).fold(self.layout.width, f64::min);
            let who = if self.layout.shares(record.client) {
                format!("c{}: ", record.client + 1)
            } else {
                String::new()
            };
            let room = if guilty.is_empty() { next - from } else { 300.0 };
            let short = cut(&format!("{who}{text}"), room);
            self.put(format_args!(
                "<text class=\"op{guilty}\" x=\"{from:.1}\" y=\"{:.1}\">{short}</text></g>\n",
                y - 11.0
            ));
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

/// As much of a text as fits into so many pixels, for a page.
pub(super) fn cut(text: &str, room: f64) -> String {
    /// Of the typeface, on average.
    const CHARACTER: f64 = 6.6;
    let fits = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) * CHARACTER <= room;
    if fits(text.chars().count()) {
        return escape(text);
    }
    let short: String =
        text.chars().enumerate().take_while(|(index, _)| fits(index + 2)).map(|(_, c)| c).collect();
    if short.chars().count() < 3 { String::new() } else { format!("{}…", escape(&short)) }
}

/// Five digits are enough for the eye, and tell two labels of the axis apart.
pub(super) fn round(nanos: u64) -> u64 {
    let unit = 10u64.pow(nanos.max(1).ilog10().saturating_sub(4));
    (nanos + unit / 2) / unit * unit
}

fn class_of(kind: MessageKind) -> &'static str {
    match kind {
        MessageKind::Read
        | MessageKind::Query
        | MessageKind::Prepare
        | MessageKind::Compare
        | MessageKind::Configuration
        | MessageKind::News => "query",
        MessageKind::Write | MessageKind::Accept => "write",
        MessageKind::Reply => "reply",
    }
}

fn title(from: u32, to: u32, label: &Label) -> String {
    format!("n{} → n{}: {} {}", from + 1, to + 1, label.kind, escape(&label.text))
}
