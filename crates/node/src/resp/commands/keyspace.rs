//! All keys there are: `KEYS` and its relatives, which ask a majority and no single key.

use crate::inquiry::listing::{PAGE_BYTES, PAGE_KEYS, PATTERN_BYTES_MAX, Page, Wanted};
use crate::inquiry::{Finding, Inquiry};
use crate::resp::command::{Call, Command, Plan, Planned, arg};
use crate::resp::response::Response;
use alloc::format;
use alloc::vec::Vec;
use bytes::Bytes;

/// Bytes of keys in one reply; a key takes as much more of memory.
const KEYS_BYTES_MAX: usize = 64 << 20;
const KEY_OVERHEAD: usize = 64;

const CAT_KEYS: &[&str] = &["@keyspace", "@read", "@slow", "@dangerous"];

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("generic", name, arity, run, summary).linear()
}

pub(super) const COMMANDS: &[Command] =
    &[row("keys", 2, keys, "Returns all keys that match a pattern, in order.")
        .flags(&["readonly"], CAT_KEYS)
        .args(&[arg("pattern", "pattern")])];

fn pattern(text: Bytes) -> Result<Bytes, Response> {
    let length = text.len();
    if length > PATTERN_BYTES_MAX {
        return Err(Response::error(format!(
            "ERR the pattern is too long: {length} bytes, the limit is {PATTERN_BYTES_MAX}"
        )));
    }
    Ok(text)
}

/// What follows from the next page of keys.
fn page(wanted: Wanted, held: usize, next: impl FnOnce(Page) -> Planned + 'static) -> Planned {
    Plan::inquire(Inquiry::Keys(wanted), held, move |finding, _| match finding {
        Finding::Keys(page) => next(page),
        other => unreachable!("keys were asked for: {other:?}"),
    })
}

fn keys(mut call: Call<'_>) -> Planned {
    more_keys(pattern(call.take(1))?, None, Vec::new(), 0)
}

/// Page by page.
fn more_keys(pattern: Bytes, after: Option<Bytes>, mut found: Vec<Response>, held: usize) -> Planned {
    let wanted = Wanted { after, pattern: Some(pattern.clone()), keys: PAGE_KEYS, bytes: PAGE_BYTES };
    page(wanted, held, move |page| {
        let held = held + page.keys.iter().map(|(key, _)| key.len() + KEY_OVERHEAD).sum::<usize>();
        if held > KEYS_BYTES_MAX {
            let mebibytes = KEYS_BYTES_MAX >> 20;
            return Err(Response::error(format!(
                "ERR the keys that match take more than {mebibytes} MiB: ask for them with SCAN"
            )));
        }
        found.extend(page.keys.into_iter().map(|(key, _)| Response::Bulk(key)));
        match page.told_up_to {
            None => Ok(Plan::Reply(Response::Array(found))),
            after => more_keys(pattern, after, found, held),
        }
    })
}
