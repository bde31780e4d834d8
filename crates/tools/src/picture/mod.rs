//! Histories as a picture: one self-contained page that loads nothing and sends nothing.
//!
//! Clients are rows, operations are bars over time. What the judge found is drawn into it: an order as numbered points
//! and a line, a contradiction as red bars. The page holds the history as data and draws what is visible, so a hundred
//! thousand operations stay usable.
//!
//! Keys and values are arbitrary bytes, chosen by whoever wrote the history. They reach the page as JSON inside a
//! script element that is never executed, with every character escaped that could end it, and from there only as text.

mod data;
mod pack;

use lincheck::{History, Judgement};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPTS: [&str; 3] = [include_str!("data.js"), include_str!("draw.js"), include_str!("main.js")];

/// What one step of a history's times is, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// 10^-9 s.
    Nanoseconds = 1,
    /// 10^-6 s.
    Microseconds = 1_000,
    /// 10^-3 s.
    Milliseconds = 1_000_000,
}

impl Unit {
    /// What a file of JSON lines says in its first line, if anything: `# unit: ns`, `us` or `ms`.
    #[must_use]
    pub fn of_file(bytes: &[u8]) -> Option<Self> {
        let line = bytes.split(|byte| *byte == b'\n').next()?.trim_ascii_end();
        match line.strip_prefix(b"# unit: ")? {
            b"ns" => Some(Self::Nanoseconds),
            b"us" => Some(Self::Microseconds),
            b"ms" => Some(Self::Milliseconds),
            _ => None,
        }
    }
}

/// Something that a client met besides its answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in the unit of the history.
    pub at: u64,
    /// Who.
    pub client: u64,
    /// What.
    pub text: String,
}

/// One history to draw.
#[derive(Clone, Copy, Debug)]
pub struct Drawing<'a> {
    /// What to call it: a file's name, the cluster that was driven.
    pub title: &'a str,
    /// What was seen.
    pub history: &'a History,
    /// What the judge said about it.
    pub judgement: &'a Judgement,
    /// What its times are, if that is known.
    pub unit: Option<Unit>,
    /// What went wrong meanwhile, drawn in a lane of its own.
    pub events: &'a [Event],
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
    use lincheck::{Action, DEFAULT_LIMIT, Model, Operation, Update};

    fn drawn(operations: Vec<Operation>) -> String {
        let history = History::new(operations);
        let judgement = lincheck::judge(&Model::register(), &history, DEFAULT_LIMIT);
        page(&[Drawing {
            title: "</title><script>alert(1)</script>",
            history: &history,
            judgement: &judgement,
            unit: Some(Unit::Nanoseconds),
            events: &[Event { at: 3, client: 1, text: "</script>&".to_owned() }],
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
            let update =
                operation(Update::set(value).if_not_equal(value).applied(false).into(), value, 4, Some(5));
            let page = drawn(vec![write, read, update]);
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

    #[test]
    fn a_large_history_makes_a_page_that_browsers_bear_with_what_is_wrong_in_it() {
        // As verify records them: nanoseconds, sixteen clients, values of a few bytes.
        let write = |i: u64| Operation {
            client: i % 16,
            key: vec![b'0' + u8::try_from(i % 8).unwrap()],
            action: Action::Write(format!("{}-{}", i % 16, i / 16).into_bytes()),
            invoke: i * 150_000,
            ret: Some(i * 150_000 + 1_700_000),
        };
        let count = 130_000;
        let mut operations: Vec<Operation> = (0..count).map(write).collect();
        let small = drawn(operations[..60_000].to_vec());
        assert!(small.len() < 1_700_000, "{} bytes", small.len());
        let nobody_wrote = Action::Read(Some(b"from nowhere".to_vec()));
        operations.push(Operation { action: nobody_wrote, ..write(100_000) });
        let page = drawn(operations);
        assert!(page.len() < 3_000_000, "{} bytes", page.len());
        assert!(page.contains("from nowhere") && page.contains("\"whole\":130001"));
    }

    #[test]
    fn a_file_says_what_its_times_are() {
        assert_eq!(Unit::of_file(b"# unit: ns\n{}"), Some(Unit::Nanoseconds));
        assert_eq!(Unit::of_file(b"# unit: us\r\n"), Some(Unit::Microseconds));
        assert_eq!(Unit::of_file(b"# unit: fortnights\n"), None);
        assert_eq!(Unit::of_file(b"{\"op\":1}"), None);
    }
}
