//! `LCS`: the longest common subsequence of two values.

use super::{CAT_READ_SLOW, integer};
use crate::resp::command::{Arg, Call, Command, Plan, Planned, arg, syntax_error};
use crate::resp::outcomes::{Outcomes, reply_of};
use crate::resp::response::Response;
use abd::Operation;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::ops::Range;

/// Bytes of the table that is filled. It bounds the time, too, for which an event loop does nothing else: some milliseconds.
const TABLE_BYTES_MAX: usize = 4 << 20;
const CELL_BYTES: usize = size_of::<u32>();

const LCS_ARGS: &[Arg] = &[
    arg("key1", "key"),
    arg("key2", "key"),
    arg("len", "pure-token").token("LEN").flags(&["optional"]),
    arg("idx", "pure-token").token("IDX").flags(&["optional"]),
    arg("min-match-len", "integer").token("MINMATCHLEN").flags(&["optional"]),
    arg("withmatchlen", "pure-token").token("WITHMATCHLEN").flags(&["optional"]),
];

pub(super) const COMMANDS: &[Command] =
    &[Command::new("string", "lcs", -3, lcs, "Finds the longest common subsequence of two values.")
        .since("7.0.0")
        .flags(&["readonly"], CAT_READ_SLOW)
        .keys((1, 2, 1), &["RO", "access"])
        .linear()
        .args(LCS_ARGS)];

/// What is answered of it.
#[derive(Clone, Copy, Default)]
struct Options {
    length: bool,
    matches: bool,
    shortest: usize,
    with_lengths: bool,
}

impl Options {
    fn parse(words: &[Bytes]) -> Result<Self, Response> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.to_ascii_uppercase().as_slice() {
                b"LEN" => options.length = true,
                b"IDX" => options.matches = true,
                b"WITHMATCHLEN" => options.with_lengths = true,
                b"MINMATCHLEN" => {
                    let shortest = integer(words.next().ok_or_else(syntax_error)?)?;
                    options.shortest = usize::try_from(shortest.max(0)).unwrap_or(usize::MAX);
                }
                _ => return Err(syntax_error()),
            }
        }
        if options.length && options.matches {
            return Err(Response::error("ERR If you want both the length and indexes, please just use IDX."));
        }
        Ok(options)
    }
}

fn lcs(mut call: Call<'_>) -> Planned {
    let options = Options::parse(&call.args[3..])?;
    let reads = [1, 2].map(|place| Operation::Get { key: call.take(place) });
    Plan::several(reads.into_iter(), true, move |outcomes| answer(outcomes, options))
}

fn answer(outcomes: Outcomes, options: Options) -> Response {
    let mut values = outcomes.into_iter().map(|outcome| match reply_of(outcome) {
        Response::Bulk(value) => value,
        _ => Bytes::new(),
    });
    let (one, other) = (values.next().unwrap_or_default(), values.next().unwrap_or_default());
    let cells = (one.len() + 1).saturating_mul(other.len() + 1);
    if cells.saturating_mul(CELL_BYTES) > TABLE_BYTES_MAX {
        return Response::error(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        );
    }
    let table = Table::filled(&one, &other);
    let length = table.length();
    if options.length {
        return Response::count(length);
    }
    let runs = table.runs(&one, &other);
    if !options.matches {
        let common: Vec<u8> = runs.iter().rev().flat_map(|(range, _)| &one[range.clone()]).copied().collect();
        return Response::Bulk(common.into());
    }
    let ends = |range: &Range<usize>| {
        Response::Array(vec![Response::count(range.start), Response::count(range.end - 1)])
    };
    let matches = runs.iter().filter(|(range, _)| range.len() >= options.shortest).map(|(first, second)| {
        let mut fields = vec![ends(first), ends(second)];
        if options.with_lengths {
            fields.push(Response::count(first.len()));
        }
        Response::Array(fields)
    });
    Response::map([("matches", Response::Array(matches.collect())), ("len", Response::count(length))])
}

/// The lengths of the longest common subsequences of all pairs of prefixes.
struct Table {
    width: usize,
    cells: Vec<u32>,
}

impl Table {
    fn filled(one: &[u8], other: &[u8]) -> Self {
        let width = other.len() + 1;
        let mut cells = vec![0; (one.len() + 1) * width];
        for (row, byte) in one.iter().enumerate() {
            let (above, below) = cells[row * width..(row + 2) * width].split_at_mut(width);
            for (column, another) in other.iter().enumerate() {
                below[column + 1] = match byte == another {
                    true => above[column] + 1,
                    false => above[column + 1].max(below[column]),
                };
            }
        }
        Self { width, cells }
    }

    fn at(&self, row: usize, column: usize) -> u32 {
        self.cells[row * self.width + column]
    }

    fn length(&self) -> usize {
        self.cells.last().map_or(0, |length| *length as usize)
    }

    /// The places of one longest common subsequence in both values, each stretch without a gap as one, from the last to the
    /// first. Of several it is the one that Redis finds.
    fn runs(&self, one: &[u8], other: &[u8]) -> Vec<(Range<usize>, Range<usize>)> {
        let mut runs: Vec<(Range<usize>, Range<usize>)> = Vec::new();
        let (mut row, mut column) = (one.len(), other.len());
        while row > 0 && column > 0 {
            if one[row - 1] == other[column - 1] {
                match runs.last_mut() {
                    Some((first, second)) if (first.start, second.start) == (row, column) => {
                        (first.start, second.start) = (row - 1, column - 1);
                    }
                    _ => runs.push((row - 1..row, column - 1..column)),
                }
                (row, column) = (row - 1, column - 1);
            } else if self.at(row - 1, column) > self.at(row, column - 1) {
                row -= 1;
            } else {
                column -= 1;
            }
        }
        runs
    }
}
