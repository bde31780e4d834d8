//! Where everything goes: a lane for every client and node, a column for every moment at which something happens.

use super::Drawing;
use crate::trace::What;
use std::collections::BTreeMap;

/// Lanes and columns in pixels.
pub(super) struct Layout {
    /// Clients that asked anything, and their lanes. One that begins after another has ended takes the same lane.
    clients: BTreeMap<u32, f64>,
    /// Who shares each of these lanes.
    pub(super) lanes: Vec<Lane>,
    pub(super) nodes: Vec<f64>,
    /// What the plan or the script breaks, and for how long.
    pub(super) faults: Vec<Fault>,
    /// For every entry of the trace.
    pub(super) columns: Vec<f64>,
    pub(super) width: f64,
    pub(super) height: f64,
    /// Whether there is room for words beside the nodes.
    pub(super) roomy: bool,
}

/// A line that clients have one after the other.
pub(super) struct Lane {
    pub(super) y: f64,
    pub(super) clients: Vec<u32>,
}

/// A fault, from its begin to its end.
pub(super) struct Fault {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) row: usize,
    pub(super) text: String,
}

/// The width of the names beside the picture.
pub(super) const NAMES: f64 = 104.0;
/// Where the lanes begin.
pub(super) const LEFT: f64 = 8.0;
/// Below the axis.
pub(super) const TOP: f64 = 30.0;
/// The height of a row of faults.
pub(super) const FAULT: f64 = 18.0;
/// Rows of faults; those that find none free share the last one.
const FAULT_ROWS: usize = 6;

impl Layout {
    pub(super) fn new(drawing: &Drawing<'_>) -> Self {
        let moves = |what: &What| {
            matches!(
                what,
                What::Invoked { .. }
                    | What::Answered { .. }
                    | What::Phase { .. }
                    | What::Arrived { .. }
                    | What::Lost { .. }
                    | What::Synced { .. }
                    | What::Stopped { .. }
                    | What::Started { .. }
                    | What::Paused { .. }
                    | What::Resumed { .. }
                    | What::Refused { .. }
                    | What::Fault { .. }
                    | What::Convicted { .. }
            )
        };
        let begun = first_of_interest(drawing);
        let count = drawing.trace.entries.iter().skip(begun).filter(|entry| moves(&entry.what)).count();
        let roomy = count < 160;
        let step = if count < 70 {
            34.0
        } else if roomy {
            22.0
        } else {
            7.0
        };
        let mut x = LEFT + 30.0;
        let mut columns = Vec::with_capacity(drawing.trace.entries.len());
        for (index, entry) in drawing.trace.entries.iter().enumerate() {
            if index >= begun && moves(&entry.what) {
                x += step;
            }
            columns.push(x);
        }
        let width = x + 120.0;
        let faults = faults(drawing, &columns, width);
        let rows = faults.iter().map(|fault| fault.row + 1).max().unwrap_or(0);
        let mut y = TOP + FAULT * f64::from(u32::try_from(rows).unwrap_or(0)) + 36.0;
        let mut lanes = share_lanes(drawing, &columns, width);
        let mut clients = BTreeMap::new();
        for lane in &mut lanes {
            lane.y = y;
            clients.extend(lane.clients.iter().map(|client| (*client, y)));
            y += 44.0;
        }
        y += 24.0;
        let apart = if drawing.nodes > 3 { 84.0 } else { 104.0 };
        let nodes: Vec<f64> = (0..drawing.nodes).map(|node| y + apart * f64::from(node)).collect();
        let height = nodes.last().copied().unwrap_or(y) + 58.0;
        Self { clients, lanes, nodes, faults, columns, width, height, roomy }
    }

    pub(super) fn node(&self, node: u32) -> f64 {
        self.nodes[node as usize]
    }

    pub(super) fn client(&self, client: u32) -> f64 {
        self.clients.get(&client).copied().unwrap_or(TOP)
    }

    /// Whether others have the same lane.
    pub(super) fn shares(&self, client: u32) -> bool {
        self.lanes.iter().any(|lane| lane.clients.len() > 1 && lane.clients.contains(&client))
    }
}

/// A lane for every client, but none that is empty but for a moment: a client that begins when another has asked its
/// last takes its lane.
fn share_lanes(drawing: &Drawing<'_>, columns: &[f64], width: f64) -> Vec<Lane> {
    let mut spans: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    let mut open = BTreeMap::new();
    for (entry, x) in drawing.trace.entries.iter().zip(columns) {
        match &entry.what {
            What::Invoked { operation, client, .. } => {
                open.insert(*operation, *client);
                spans.entry(*client).or_insert((*x, *x)).1 = width;
            }
            What::Answered { operation, .. } => {
                if let Some(client) = open.remove(operation)
                    && !open.values().any(|other| *other == client)
                    && let Some(span) = spans.get_mut(&client)
                {
                    span.1 = *x;
                }
            }
            _ => {}
        }
    }
    let mut spans: Vec<(u32, (f64, f64))> = spans.into_iter().collect();
    spans.sort_by(|(_, one), (_, other)| one.0.total_cmp(&other.0));
    let mut lanes: Vec<(Lane, f64)> = Vec::new();
    for (client, (from, to)) in spans {
        match lanes.iter_mut().find(|(_, ended)| *ended + 8.0 < from) {
            Some((lane, ended)) => {
                lane.clients.push(client);
                *ended = to;
            }
            None => lanes.push((Lane { y: 0.0, clients: vec![client] }, to)),
        }
    }
    lanes.into_iter().map(|(lane, _)| lane).collect()
}

fn faults(drawing: &Drawing<'_>, columns: &[f64], width: f64) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for (entry, x) in drawing.trace.entries.iter().zip(columns) {
        let What::Fault { text, begins } = &entry.what else { continue };
        if *begins {
            let taken = |row: usize| faults.iter().any(|fault| fault.row == row && fault.to + 4.0 > *x);
            let row = (0..FAULT_ROWS).find(|row| !taken(*row)).unwrap_or(FAULT_ROWS - 1);
            open.push(faults.len());
            faults.push(Fault { from: *x, to: width - 40.0, row, text: text.clone() });
        } else {
            let position = open.iter().position(|fault| faults[*fault].text == *text);
            // Without one of its own the end is that of all.
            let ended = match position {
                Some(position) => vec![open.remove(position)],
                None => std::mem::take(&mut open),
            };
            for fault in ended {
                faults[fault].to = x.max(faults[fault].from + 8.0);
            }
        }
    }
    faults
}

/// The start of the cluster is the same in every run; the picture begins where a client asks or something breaks.
fn first_of_interest(drawing: &Drawing<'_>) -> usize {
    let starts =
        |what: &What| matches!(what, What::Invoked { .. } | What::Stopped { .. } | What::Paused { .. });
    drawing.trace.entries.iter().position(|entry| starts(&entry.what)).unwrap_or(0)
}
