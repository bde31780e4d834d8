//! All keys there are: `KEYS`, `SCAN` and their relatives, which ask a majority and no single key.

use crate::inquiry::listing::{PAGE_BYTES, PAGE_KEYS, PATTERN_BYTES_MAX, Page, Wanted};
use crate::inquiry::{Finding, Inquiry};
use crate::resp::command::{Call, Command, Plan, Planned, arg};
use crate::resp::response::Response;
use alloc::format;
use alloc::vec::Vec;
use bytes::Bytes;

/// Bytes of keys in one reply; a key takes as much more of memory.
const KEYS_BYTES_MAX: usize = 64 << 20;
pub(super) const KEY_OVERHEAD: usize = 64;

/// A majority is asked, and no single key: neither a transaction nor a script can have that.
pub(super) const READ_ALL: &[&str] = &["readonly", "noscript", "no_multi"];

const CAT_DANGEROUS: &[&str] = &["@keyspace", "@read", "@slow", "@dangerous"];
const CAT_SLOW: &[&str] = &["@keyspace", "@read", "@slow"];

const fn row(
    group: &'static str,
    name: &'static str,
    arity: i32,
    run: fn(Call<'_>) -> Planned,
    summary: &'static str,
) -> Command {
    Command::new(group, name, arity, run, summary)
}

pub(super) const COMMANDS: &[Command] = &[
    row("server", "dbsize", 1, dbsize, "Returns the number of keys.").flags(READ_ALL, CAT_SLOW).linear(),
    row("generic", "keys", 2, keys, "Returns all keys that match a pattern, in order.")
        .flags(READ_ALL, CAT_DANGEROUS)
        .linear()
        .args(&[arg("pattern", "pattern")]),
    row("generic", "randomkey", 1, randomkey, "Returns a key by chance.").flags(READ_ALL, CAT_SLOW),
];

/// A pattern that is no longer than it may be.
pub(super) fn pattern(text: Bytes) -> Result<Bytes, Response> {
    let length = text.len();
    if length > PATTERN_BYTES_MAX {
        return Err(Response::error(format!(
            "ERR the pattern is too long: {length} bytes, the limit is {PATTERN_BYTES_MAX}"
        )));
    }
    Ok(text)
}

/// What follows from the next page of keys, while the request holds so many bytes.
pub(super) fn page(wanted: Wanted, held: usize, next: impl FnOnce(Page) -> Planned + 'static) -> Planned {
    Plan::inquire(Inquiry::Keys(wanted), held, move |finding, _| match finding {
        Finding::Keys(page) => next(page),
        other => unreachable!("keys were asked for: {other:?}"),
    })
}

/// The largest page behind a key.
fn largest(after: Option<Bytes>, pattern: Option<Bytes>) -> Wanted {
    Wanted { after, pattern, keys: PAGE_KEYS, bytes: PAGE_BYTES }
}

fn keys(mut call: Call<'_>) -> Planned {
    more_keys(pattern(call.take(1))?, None, Vec::new(), 0)
}

/// Page by page.
fn more_keys(pattern: Bytes, after: Option<Bytes>, mut found: Vec<Response>, held: usize) -> Planned {
    page(largest(after, Some(pattern.clone())), held, move |page| {
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

fn dbsize(_: Call<'_>) -> Planned {
    count(|_| true)
}

/// How many keys there are of some.
pub(super) fn count(counts: impl Fn(&Bytes) -> bool + Copy + 'static) -> Planned {
    count_from(None, 0, counts)
}

fn count_from(
    after: Option<Bytes>,
    counted: usize,
    counts: impl Fn(&Bytes) -> bool + Copy + 'static,
) -> Planned {
    page(largest(after, None), 0, move |page| {
        let counted = counted + page.keys.iter().filter(|(key, _)| counts(key)).count();
        match page.told_up_to {
            None => Ok(Plan::Reply(Response::count(counted))),
            after => count_from(after, counted, counts),
        }
    })
}

/// Keys among which one is drawn.
const DRAWN_FROM: u32 = 64;

fn randomkey(call: Call<'_>) -> Planned {
    // No secret: two readings of a clock differ in their last digits.
    let nanoseconds = call.host.uptime().subsec_nanos();
    let number = u64::from(nanoseconds).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
    draw(call.host.key_near(number), true, number)
}

/// One of the next keys behind a key; or of the first ones of all, if there are none.
fn draw(after: Option<Bytes>, may_begin_anew: bool, number: u64) -> Planned {
    let is_first = after.is_none();
    let wanted = Wanted { after, pattern: None, keys: DRAWN_FROM, bytes: PAGE_BYTES };
    page(wanted, 0, move |mut page| {
        let count = page.keys.len();
        match page.told_up_to {
            _ if count > 0 => {
                let place = usize::try_from(number % count as u64).unwrap_or_default();
                Ok(Plan::Reply(Response::Bulk(page.keys.swap_remove(place).0)))
            }
            None if is_first || !may_begin_anew => Ok(Plan::Reply(Response::Null)),
            None => draw(None, false, number),
            after => draw(after, may_begin_anew, number),
        }
    })
}
