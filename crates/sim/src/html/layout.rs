//! Where everything goes: a lane for every client and node, a column for every moment at which something happens.

use super::Drawing;
use crate::trace::What;
use std::collections::BTreeMap;

/// Lanes and columns in pixels.
pub(super) struct Layout {
    /// Clients that asked anything, in order, and their lanes.
    pub(super) clients: BTreeMap<u32, f64>,
    pub(super) nodes: Vec<f64>,
    /// For every entry of the trace.
    pub(super) columns: Vec<f64>,
    pub(super) width: f64,
    pub(super) height: f64,
    /// Whether there is room for words.
    pub(super) roomy: bool,
}

pub(super) const LEFT: f64 = 74.0;
const TOP: f64 = 46.0;

impl Layout {
    pub(super) fn new(drawing: &Drawing<'_>) -> Self {
        let mut clients = BTreeMap::new();
        for record in drawing.records {
            clients.insert(record.client, 0.0);
        }
        let mut y = TOP;
        for lane in clients.values_mut() {
            *lane = y;
            y += 54.0;
        }
        y += 30.0;
        let nodes: Vec<f64> = (0..drawing.nodes).map(|node| y + 104.0 * f64::from(node)).collect();
        let height = nodes.last().copied().unwrap_or(y) + 66.0;
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
        let mut x = LEFT + 20.0;
        let mut columns = Vec::with_capacity(drawing.trace.entries.len());
        for (index, entry) in drawing.trace.entries.iter().enumerate() {
            if index >= begun && moves(&entry.what) {
                x += step;
            }
            columns.push(x);
        }
        Self { clients, nodes, columns, width: x + 120.0, height, roomy }
    }

    pub(super) fn node(&self, node: u32) -> f64 {
        self.nodes[node as usize]
    }

    pub(super) fn client(&self, client: u32) -> f64 {
        self.clients.get(&client).copied().unwrap_or(TOP)
    }
}

/// The start of the cluster is the same in every run; the picture begins where a client asks or something breaks.
fn first_of_interest(drawing: &Drawing<'_>) -> usize {
    let starts =
        |what: &What| matches!(what, What::Invoked { .. } | What::Stopped { .. } | What::Paused { .. });
    drawing.trace.entries.iter().position(|entry| starts(&entry.what)).unwrap_or(0)
}
