//! The history as JSON, in columns and with every value once.

use super::Drawing;
use lincheck::{Action, Operation, Verdict};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

/// What the page calls an absent value, and a column that has none.
const ABSENT: i64 = -1;
const NOTHING: i64 = -2;

/// Longer texts are cut: nobody reads them in a bar, and a page must not weigh what the data did.
const LONGEST_TEXT: usize = 120;

/// All drawings, in their order.
pub(super) fn json(drawings: &[Drawing<'_>]) -> String {
    let histories: Vec<String> = drawings.iter().map(history).collect();
    format!("[{}]", histories.join(","))
}

fn history(drawing: &Drawing<'_>) -> String {
    let operations = &drawing.history.operations;
    let clients: BTreeMap<u64, usize> = operations.iter().map(|o| (o.client, 0)).collect();
    let clients: BTreeMap<u64, usize> =
        clients.into_keys().enumerate().map(|(i, client)| (client, i)).collect();
    let keys: HashMap<&[u8], usize> =
        drawing.history.by_key().into_keys().enumerate().map(|(i, key)| (key, i)).collect();
    // Times are often nanoseconds of this century, beyond what a script can tell apart.
    let origin = operations.iter().map(|o| o.invoke).min().unwrap_or(0);
    let mut values = Values::default();
    let mut columns: [Vec<i64>; 7] = std::array::from_fn(|_| Vec::with_capacity(operations.len()));
    for operation in operations {
        let (kind, a, b) = values.encode(operation);
        let since = |time: u64| i64::try_from(time.saturating_sub(origin)).unwrap_or(i64::MAX);
        let index = |i: usize| i64::try_from(i).unwrap_or(i64::MAX);
        let row = [
            index(clients[&operation.client]),
            index(keys[operation.key.as_slice()]),
            kind,
            a,
            b,
            since(operation.invoke),
            operation.ret.map_or(-1, since),
        ];
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    let names = ["client", "key", "kind", "a", "b", "invoke", "ret"];
    let columns: Vec<String> =
        names.iter().zip(&columns).map(|(name, column)| format!("\"{name}\":{}", numbers(column))).collect();
    let verdict = match drawing.judgement.verdict {
        Verdict::Linearizable => "linearizable",
        Verdict::Violation(_) => "violation",
        Verdict::Unknown(_) => "unknown",
    };
    let clients: Vec<String> = clients.keys().map(u64::to_string).collect();
    format!(
        "{{\"title\":{},\"verdict\":\"{verdict}\",\"origin\":\"{origin}\",\"values\":[{}],\"clients\":{},\"keys\":[{}],\
         \"ops\":{{{}}}}}\n",
        quote(drawing.title),
        values.texts.join(","),
        quoted(&clients),
        judged_keys(drawing).join(","),
        columns.join(",")
    )
}

/// Each key with its verdict and the evidence.
fn judged_keys(drawing: &Drawing<'_>) -> Vec<String> {
    let judgement = drawing.judgement;
    let orders: HashMap<&[u8], &[usize]> =
        judgement.orders.iter().map(|(key, order)| (key.as_slice(), order.as_slice())).collect();
    let windows: HashMap<&[u8], &[usize]> =
        judgement.violations.iter().map(|v| (v.key.as_slice(), v.window.as_slice())).collect();
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
            numbers(order.copied().unwrap_or_default()),
            numbers(window.copied().unwrap_or_default())
        )
    };
    drawing.history.by_key().into_keys().map(key).collect()
}

/// Every value once, as it is shown.
#[derive(Default)]
struct Values {
    ids: HashMap<Vec<u8>, i64>,
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
            Action::Cas { from, to, applied } => {
                let kind = if *applied || operation.ret.is_none() { 3 } else { 4 };
                (kind, self.optional(from.as_deref()), self.id(to))
            }
            Action::Append(value) => (5, self.id(value), NOTHING),
            Action::Transaction(_) => (6, self.id(operation.action.to_string().as_bytes()), NOTHING),
        }
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
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], bytes.len()),
        None => text,
    }
}

fn quoted(texts: &[String]) -> String {
    let all: Vec<String> = texts.iter().map(|text| quote(text)).collect();
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

fn numbers<T: std::fmt::Display>(numbers: &[T]) -> String {
    let mut list = String::with_capacity(4 * numbers.len() + 2);
    list.push('[');
    for (i, number) in numbers.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(list, "{}{number}", if i > 0 { "," } else { "" });
    }
    list.push(']');
    list
}
