//! The history as JSON, in columns and with every value once.

use super::pack::{Column, packed};
use super::{Drawing, Event};
use lincheck::{Action, Answer, Change, Condition, Operation, Update, Verdict};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write;

/// What the page calls an absent value, and a column that has none.
const ABSENT: i64 = -1;
const NOTHING: i64 = -2;

/// Longer texts are cut: nobody reads them in a bar, and a page must not weigh what the data did.
const LONGEST_TEXT: usize = 120;

/// The most operations of a history that a page draws; a browser keeps each of them in memory.
pub(super) const MOST_DRAWN: usize = 100_000;

/// All drawings, in their order.
pub(super) fn json(drawings: &[Drawing<'_>]) -> String {
    let histories: Vec<String> = drawings.iter().map(history).collect();
    format!("[{}]", histories.join(","))
}

/// Which operations are drawn, in the order of time: all, or as many as a page can have, with what is wrong among them.
fn chosen(drawing: &Drawing<'_>) -> Vec<usize> {
    let operations = &drawing.history.operations;
    let mut order: Vec<usize> = (0..operations.len()).collect();
    order.sort_by_key(|index| (operations[*index].invoke, *index));
    if order.len() <= MOST_DRAWN {
        return order;
    }
    let wrong: Vec<usize> =
        drawing.judgement.violations.iter().flat_map(|v| v.window.iter().copied()).collect();
    let centre = order.iter().position(|index| wrong.contains(index)).unwrap_or(0);
    let start = centre.saturating_sub(MOST_DRAWN / 2).min(order.len() - MOST_DRAWN);
    let mut drawn: Vec<usize> = order[start..start + MOST_DRAWN].to_vec();
    let inside: HashSet<usize> = drawn.iter().copied().collect();
    drawn.extend(wrong.into_iter().filter(|index| !inside.contains(index)));
    drawn.sort_by_key(|index| (operations[*index].invoke, *index));
    drawn
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn history(drawing: &Drawing<'_>) -> String {
    let operations = &drawing.history.operations;
    let chosen = chosen(drawing);
    let events = drawing.events;
    let clients: BTreeSet<u64> = chosen.iter().map(|index| operations[*index].client).collect();
    let clients: BTreeMap<u64, usize> =
        clients.into_iter().enumerate().map(|(i, client)| (client, i)).collect();
    let keys: HashMap<&[u8], usize> =
        drawing.history.by_key().into_keys().enumerate().map(|(i, key)| (key, i)).collect();
    // Times are often nanoseconds of this century, beyond what a script can tell apart.
    let times = chosen.iter().map(|index| operations[*index].invoke);
    let origin = times.chain(events.iter().map(|event| event.at)).min().unwrap_or(0);
    let since = |time: u64| i64::try_from(time.saturating_sub(origin)).unwrap_or(i64::MAX);
    let mut values = Values::default();
    let mut columns: [Column; 8] = Default::default();
    for index in &chosen {
        let operation = &operations[*index];
        let (kind, a, b) = values.encode(operation);
        let row = [
            number(*index),
            number(clients[&operation.client]),
            number(keys[operation.key.as_slice()]),
            kind,
            a,
            b,
            since(operation.invoke),
            // How long it took, which is shorter than when it ended.
            operation.ret.map_or(-1, |ret| since(ret) - since(operation.invoke)),
        ];
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    let names = ["number", "client", "key", "kind", "a", "b", "invoke", "took"];
    let columns: Vec<String> =
        names.iter().zip(&columns).map(|(name, column)| format!("\"{name}\":{}", column.json())).collect();
    let verdict = match drawing.judgement.verdict {
        Verdict::Linearizable => "linearizable",
        Verdict::Violation(_) => "violation",
        Verdict::Unknown(_) => "unknown",
    };
    let places: HashMap<usize, usize> =
        chosen.iter().enumerate().map(|(place, index)| (*index, place)).collect();
    let happened: Vec<&Event> = events.iter().take(MOST_DRAWN).collect();
    format!(
        "{{\"title\":{},\"verdict\":\"{verdict}\",\"origin\":\"{origin}\",\"unit\":{},\"whole\":{},\"values\":[{}],\
         \"clients\":{},\"keys\":[{}],\"ops\":{{{}}},\"events\":{{\"at\":{},\"texts\":{}}}}}\n",
        quote(drawing.title),
        drawing.unit.map_or(0, |unit| unit as u32),
        operations.len(),
        values.texts.join(","),
        quoted(clients.keys().map(u64::to_string)),
        judged_keys(drawing, &places).join(","),
        columns.join(","),
        packed(happened.iter().map(|event| since(event.at))),
        quoted(happened.iter().map(|event| format!("client {}: {}", event.client, event.text))),
    )
}

/// Each key with its verdict and the evidence, as far as it is drawn.
fn judged_keys(drawing: &Drawing<'_>, places: &HashMap<usize, usize>) -> Vec<String> {
    let judgement = drawing.judgement;
    let orders: HashMap<&[u8], &[usize]> =
        judgement.orders.iter().map(|(key, order)| (key.as_slice(), order.as_slice())).collect();
    let windows: HashMap<&[u8], &[usize]> =
        judgement.violations.iter().map(|v| (v.key.as_slice(), v.window.as_slice())).collect();
    let drawn = |indices: Option<&&[usize]>| {
        let indices = indices.copied().unwrap_or_default();
        packed(indices.iter().filter_map(|index| places.get(index)).map(|place| number(*place)))
    };
    let key = |key: &[u8]| {
        let (order, window) = (orders.get(key), windows.get(key));
        let verdict = match (order, window) {
            (Some(_), _) => "linearizable",
            (None, Some(_)) => "violation",
            (None, None) => "unknown",
        };
        format!(
            "{{\"name\":{},\"verdict\":\"{verdict}\",\"order\":{},\"window\":{}}}",
            quote(&show(key)),
            drawn(order),
            drawn(window)
        )
    };
    drawing.history.by_key().into_keys().map(key).collect()
}

/// Every value once, as it is shown.
#[derive(Default)]
struct Values {
    ids: HashMap<Vec<u8>, i64>,
    phrases: HashMap<String, i64>,
    texts: Vec<String>,
}

impl Values {
    /// Kind and values of an operation, by the numbers that `data.js` knows.
    fn encode(&mut self, operation: &Operation) -> (i64, i64, i64) {
        match &operation.action {
            Action::Read(_) if operation.ret.is_none() => (0, NOTHING, NOTHING),
            Action::Read(value) => (0, self.optional(value.as_deref()), NOTHING),
            Action::Write(value) => (1, self.id(value), NOTHING),
            Action::Delete => (2, ABSENT, NOTHING),
            Action::Update(update) => self.encode_update(update, operation),
            Action::Transaction(_) => (6, self.id(operation.action.to_string().as_bytes()), NOTHING),
        }
    }

    fn encode_update(&mut self, update: &Update, operation: &Operation) -> (i64, i64, i64) {
        let refused = update.answer == Answer::Applied(false) && operation.ret.is_some();
        match (&update.condition, &update.change) {
            (Condition::Is(Some(from)), Change::Set(Some(to))) => {
                (if refused { 4 } else { 3 }, self.id(from), self.id(to))
            }
            (Condition::Always, Change::Append(tail)) if update.answer == Answer::Nothing => {
                (5, self.id(tail), NOTHING)
            }
            (_, change) => {
                let colour = match (change, &update.answer) {
                    (_, Answer::After(value)) if operation.ret.is_some() => self.optional(value.as_deref()),
                    (Change::Set(value), _) => self.optional(value.as_deref()),
                    (Change::Append(tail), _) => self.id(tail),
                    (Change::Add(_), _) => NOTHING,
                };
                // The page itself marks what is unknown.
                let said = operation.action.describe(operation.ret.is_some());
                (if refused { 8 } else { 7 }, colour, self.phrase(said.trim_end_matches(" ?")))
            }
        }
    }

    /// Words of ours around values, each once. They share the numbers of the values but are never taken for one.
    fn phrase(&mut self, said: &str) -> i64 {
        if let Some(&id) = self.phrases.get(said) {
            return id;
        }
        let id = i64::try_from(self.texts.len()).unwrap_or(i64::MAX);
        self.texts.push(quote(&cut(said.to_owned(), said.len())));
        self.phrases.insert(said.to_owned(), id);
        id
    }

    fn optional(&mut self, value: Option<&[u8]>) -> i64 {
        value.map_or(ABSENT, |value| self.id(value))
    }

    fn id(&mut self, value: &[u8]) -> i64 {
        if let Some(&id) = self.ids.get(value) {
            return id;
        }
        let id = i64::try_from(self.texts.len()).unwrap_or(i64::MAX);
        self.texts.push(quote(&show(value)));
        self.ids.insert(value.to_vec(), id);
        id
    }
}

/// Bytes as a person would write them: plain words as they are, anything else in quotes.
fn show(bytes: &[u8]) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_.:/".contains(c);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && text.chars().all(plain) => text.to_owned(),
        Ok(text) if !text.chars().any(char::is_control) => format!("\"{text}\""),
        _ => format!("\"{}\"", bytes[..bytes.len().min(4 * LONGEST_TEXT)].escape_ascii()),
    };
    cut(text, bytes.len())
}

/// The beginning of a long text, and how many bytes it stands for.
fn cut(text: String, bytes: usize) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}… ({bytes} bytes)", &text[..end]),
        None => text,
    }
}

fn quoted(texts: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = texts.map(|text| quote(&text)).collect();
    format!("[{}]", all.join(","))
}

/// A JSON string that is also safe inside a script element: no angle bracket, ampersand or line separator in it.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..'\u{20}' => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
