//! Histories as a picture: one self-contained page that loads nothing and sends nothing.
//!
//! Clients are rows, operations are bars over time. What the judge found is drawn into it: an order as numbered points
//! and a line, a contradiction as red bars. The page holds the history as data and draws what is visible, so a hundred
//! thousand operations stay usable.
//!
//! Keys and values are arbitrary bytes, chosen by whoever wrote the history. They reach the page as JSON inside a
//! script element that is never executed, with every character escaped that could end it, and from there only as text.

mod data;

use lincheck::{History, Judgement};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPTS: [&str; 3] = [include_str!("data.js"), include_str!("draw.js"), include_str!("main.js")];

/// One history to draw.
#[derive(Clone, Copy, Debug)]
pub struct Drawing<'a> {
    /// What to call it: a file's name, the cluster that was driven.
    pub title: &'a str,
    /// What was seen.
    pub history: &'a History,
    /// What the judge said about it.
    pub judgement: &'a Judgement,
}

/// The page for these histories, which a reader chooses between.
#[must_use]
pub fn page(drawings: &[Drawing<'_>]) -> String {
    let mut page = String::new();
    let mut rest = PAGE;
    for (mark, part) in [
        ("/*STYLE*/", STYLE.to_owned()),
        ("/*DATA*/", data::json(drawings)),
        ("/*SCRIPT*/", SCRIPTS.concat()),
    ] {
        // Nothing is searched for inside the data: only the template has marks.
        let Some((before, after)) = rest.split_once(mark) else { unreachable!("the template has {mark}") };
        page.push_str(before);
        page.push_str(&part);
        rest = after;
    }
    page + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use lincheck::{Action, DEFAULT_LIMIT, Model, Operation};

    fn drawn(operations: Vec<Operation>) -> String {
        let history = History::new(operations);
        let judgement = lincheck::judge(&Model::register(), &history, DEFAULT_LIMIT);
        page(&[Drawing {
            title: "</title><script>alert(1)</script>",
            history: &history,
            judgement: &judgement,
        }])
    }

    fn operation(action: Action, key: &[u8], invoke: u64, ret: Option<u64>) -> Operation {
        Operation { client: 1, key: key.to_vec(), action, invoke, ret }
    }

    #[test]
    fn nothing_in_a_history_becomes_markup() {
        let evil: [&[u8]; 5] = [
            b"</script><script>alert(1)</script>",
            b"<!--<script>",
            b"\"],\"x\":[\"",
            "\u{2028}\u{0}\\".as_bytes(),
            b"\xff</script>",
        ];
        let template = drawn(Vec::new());
        for value in evil {
            let write = operation(Action::Write(value.to_vec()), value, 1, Some(2));
            let read = operation(Action::Read(Some(value.to_vec())), value, 3, None);
            let page = drawn(vec![write, read]);
            for mark in ["<script", "</script", "<!--", "\u{2028}", "\0"] {
                assert_eq!(
                    page.matches(mark).count(),
                    template.matches(mark).count(),
                    "{mark:?} in {value:?}"
                );
            }
        }
    }

    #[test]
    fn the_page_needs_nothing_from_outside() {
        let page = drawn(vec![operation(Action::Delete, b"k", 1, Some(2))]);
        for outside in ["http:", "https:", "src=", "url(", "@import", "fetch("] {
            assert!(!page.contains(outside), "{outside}");
        }
        for mark in ["/*STYLE*/", "/*DATA*/", "/*SCRIPT*/"] {
            assert!(!page.contains(mark), "{mark}");
        }
    }
}
