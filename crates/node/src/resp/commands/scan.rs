//! `SCAN`: keys page by page. A cursor stands for the key behind which the scan goes on; a majority remembers which that is, so the scan
//! goes on through any node.

use super::integer;
use super::keyspace::{KEY_OVERHEAD, READ_ALL, page, pattern};
use crate::inquiry::listing::{PAGE_BYTES, PAGE_KEYS, Wanted};
use crate::inquiry::notes::{Note, NoteId, NoteKind};
use crate::inquiry::{Finding, Inquiry};
use crate::resp::command::{Arg, Call, Command, Plan, Planned, arg, syntax_error};
use crate::resp::response::Response;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

/// Pages that one call looks at before it answers with what it has, though that is less than was asked for.
const PAGES_MAX: usize = 8;
/// Bytes of keys in one reply.
const REPLY_BYTES_MAX: usize = 1 << 20;
/// Cursors are below this: some client libraries keep them in a double.
const CURSOR_END: u64 = 1 << 53;

const SCAN_ARGS: &[Arg] = &[
    arg("cursor", "integer"),
    arg("pattern", "pattern").token("MATCH").flags(&["optional"]),
    arg("count", "integer").token("COUNT").flags(&["optional"]),
    arg("type", "string").token("TYPE").flags(&["optional"]),
];

pub(super) const COMMANDS: &[Command] =
    &[Command::new("generic", "scan", -2, scan, "Returns keys page by page, in order.")
        .since("2.8.0")
        .flags(READ_ALL, &["@keyspace", "@read", "@slow"])
        .linear()
        .args(SCAN_ARGS)];

/// What of a scan does not change from page to page.
#[derive(Clone)]
struct Scan {
    pattern: Option<Bytes>,
    count: usize,
}

fn scan(call: Call<'_>) -> Planned {
    let cursor = cursor_of(&call.args[1])?;
    let mut scan = Scan { pattern: None, count: 10 };
    let mut finds_nothing = false;
    for option in call.args[2..].chunks(2) {
        let [name, value] = option else { return Err(syntax_error()) };
        match name.to_ascii_lowercase().as_slice() {
            b"match" => scan.pattern = Some(pattern(value.clone())?),
            b"count" => {
                let count = usize::try_from(integer(value)?).ok().filter(|count| *count > 0);
                scan.count = count.ok_or_else(syntax_error)?;
            }
            // Every value is a string.
            b"type" => finds_nothing = !value.eq_ignore_ascii_case(b"string"),
            _ => return Err(syntax_error()),
        }
    }
    match cursor {
        _ if finds_nothing => Ok(Plan::Reply(answer(0, Vec::new()))),
        0 => go_on(scan, None, Vec::new(), 0, 0),
        cursor => Plan::inquire(Inquiry::Recall(note_id(cursor)), 0, move |finding, _| match finding {
            Finding::Note(Some(position)) => go_on(scan, Some(position), Vec::new(), 0, 0),
            Finding::Note(None) => Err(unknown_cursor()),
            other => unreachable!("a note was asked for: {other:?}"),
        }),
    }
}

fn unknown_cursor() -> Response {
    Response::error(
        "ERR unknown cursor: no node remembers it, as it is not used for long or was never given; begin anew with SCAN 0",
    )
}

/// As Redis reads it: digits, and a sign before them.
fn cursor_of(text: &[u8]) -> Result<u64, Response> {
    let invalid = || Response::error("ERR invalid cursor");
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(invalid());
    }
    let cursor: u64 =
        core::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or_else(invalid)?;
    Ok(if is_negative { cursor.wrapping_neg() } else { cursor })
}

/// The cursor that stands for a position: whoever comes there gets the same.
fn cursor_at(position: &[u8]) -> u64 {
    const SECRETS: RapidSecrets = RapidSecrets::seed(0);
    (rapidhash_v3_seeded(position, &SECRETS) % CURSOR_END).max(1)
}

fn note_id(cursor: u64) -> NoteId {
    let mut name = [0; 20];
    name[..8].copy_from_slice(&cursor.to_be_bytes());
    NoteId { kind: NoteKind::Cursor, name }
}

fn answer(cursor: u64, keys: Vec<Response>) -> Response {
    Response::Array(vec![Response::text(cursor.to_string()), Response::Array(keys)])
}

/// Page by page, until there are as many keys as the client wants, or enough was looked at.
fn go_on(scan: Scan, after: Option<Bytes>, found: Vec<Response>, held: usize, pages: usize) -> Planned {
    let missing = u32::try_from(scan.count - found.len()).unwrap_or(PAGE_KEYS);
    let wanted = Wanted { after, pattern: scan.pattern.clone(), keys: missing, bytes: PAGE_BYTES };
    page(wanted, held, move |page| {
        let mut found = found;
        let held = held + page.keys.iter().map(|(key, _)| key.len() + KEY_OVERHEAD).sum::<usize>();
        found.extend(page.keys.into_iter().map(|(key, _)| Response::Bulk(key)));
        let Some(position) = page.told_up_to else { return Ok(Plan::Reply(answer(0, found))) };
        let pages = pages + 1;
        if found.len() < scan.count && pages < PAGES_MAX && held < REPLY_BYTES_MAX {
            return go_on(scan, Some(position), found, held, pages);
        }
        let cursor = cursor_at(&position);
        let note = Note { id: note_id(cursor), bytes: position };
        Plan::inquire(Inquiry::Remember(note), held, move |_, _| Ok(Plan::Reply(answer(cursor, found))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_redis_reads_them() {
        let read = |text: &str| cursor_of(text.as_bytes()).ok();
        for (text, expected) in [("0", Some(0)), ("007", Some(7)), ("+3", Some(3)), ("-1", Some(u64::MAX))] {
            assert_eq!(read(text), expected, "{text}");
        }
        assert_eq!(read("18446744073709551615"), Some(u64::MAX));
        for text in ["", " 0", "x", "1x", "--1", "+-1", "18446744073709551616"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_position_has_one_cursor_that_a_double_can_hold() {
        assert_eq!(cursor_at(b"user:1"), cursor_at(b"user:1"));
        for number in 0..1000u32 {
            assert!((1..CURSOR_END).contains(&cursor_at(&number.to_be_bytes())));
        }
    }
}
