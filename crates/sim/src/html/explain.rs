//! The verdict in words for somebody who sees this for the first time.

use super::{Drawing, escape};
use crate::checks::{Conviction, Verdict};
use crate::history::{ClientAnswer, OperationRecord};
use crate::plan::OperationKind;
use crate::time::{self, EPOCH};
use abd::{TimestampMode, Version};
use std::fmt::Write;

/// The box above the picture.
pub(super) fn verdict(drawing: &Drawing<'_>) -> String {
    let (class, head, body) = match drawing.verdict {
        Verdict::Fine => {
            ("fine", "Nothing to complain about", "<p>Every check is content with this run.</p>".into())
        }
        Verdict::Wrong(conviction) => ("wrong", "This must never happen", wrong(drawing, conviction)),
        Verdict::Stuck(why) => ("wrong", "Stuck", format!("<p>{}</p>", escape(why))),
        Verdict::Crashed(why) => ("wrong", "Crashed", format!("<p>{}</p>", escape(why))),
        Verdict::Undecided(why) => ("wrong", "Undecided", format!("<p>{}</p>", escape(why))),
    };
    let mutant = drawing.mutant.map_or_else(String::new, |mutant| {
        format!(
            "<p>This is not the real protocol but a known-wrong variant, <b>{}</b>: {}. It breaks rule {}.</p>",
            mutant.name,
            escape(mutant.what),
            mutant.rule
        )
    });
    format!("<section class=\"verdict {class}\"><h2>{head}</h2>{body}{mutant}</section>\n")
}

fn wrong(drawing: &Drawing<'_>, conviction: &Conviction) -> String {
    if conviction.operations.is_empty() {
        return format!("<p>{}: {}.</p>", escape(conviction.check), escape(&conviction.text));
    }
    let records = drawing.records;
    let mut order = conviction.operations.clone();
    order.sort_by_key(|index| records[*index].invoked.1);
    let mut text = String::from("<ol>");
    for index in &order {
        let record = &records[*index];
        let answer = match &record.answer {
            ClientAnswer::Read(None) => "and was told that there is nothing".to_owned(),
            ClientAnswer::Read(Some(value)) => {
                format!("and was told <b>{}</b>", escape(&value.escape_ascii().to_string()))
            }
            ClientAnswer::Written => "and was told that it is done".to_owned(),
            ClientAnswer::Number(number) => format!("and was told {number}"),
            ClientAnswer::Refused(_) => "and was refused".to_owned(),
            ClientAnswer::Unknown(_) | ClientAnswer::Pending | ClientAnswer::NotAsked => {
                "and never learnt whether it was done".to_owned()
            }
        };
        let asked = escape(&record.text());
        let stamp = record.version.map_or_else(String::new, |version| {
            format!(" <span class=\"stamp\">Timestamp: {}.</span>", timestamp(drawing, version))
        });
        let (client, node) = (record.client + 1, record.node + 1);
        let _ = write!(text, "<li>c{client} asked n{node} to <b>{asked}</b>, {answer}.{stamp}</li>");
    }
    text.push_str("</ol><p>");
    text.push_str(&pattern(records, &order));
    text.push_str(
        " A linearizable store behaves as if every operation happened at one moment between its question and its \
         answer. There is no way to choose such moments here.</p>",
    );
    text
}

/// A version for people: TrueTime and wall clocks count from the start of the run.
fn timestamp(drawing: &Drawing<'_>, version: Version) -> String {
    let (time, node) = (version.time(), version.timestamp.node);
    match drawing.mode {
        TimestampMode::Logical => format!("{time}, by n{node}"),
        TimestampMode::TrueTime if time >= EPOCH => format!("+{} by n{node}", time::text(time - EPOCH)),
        TimestampMode::TrueTime => format!("−{} by n{node}", time::text(EPOCH - time)),
    }
}

fn ended(record: &OperationRecord) -> bool {
    record.answer.is_answered()
}

/// Whether the first had ended before the second began.
fn before(first: &OperationRecord, second: &OperationRecord) -> bool {
    ended(first) && first.returned.1 < second.invoked.1
}

/// Whether a read saw what a write wrote.
fn saw(read: &OperationRecord, write: &OperationRecord) -> bool {
    match (&read.answer, write.kind) {
        (ClientAnswer::Read(Some(value)), OperationKind::Set | OperationKind::SetEx) => *value == write.value,
        (ClientAnswer::Read(None), OperationKind::Delete) => true,
        _ => false,
    }
}

fn quoted(record: &OperationRecord) -> String {
    format!("<b>{}</b>", escape(&record.text()))
}

/// The two shapes that nearly every violation has: a lost update, and time running backwards between two reads.
fn pattern(records: &[OperationRecord], order: &[usize]) -> String {
    if order.iter().any(|index| records[*index].kind.is_update()) {
        // Here what one wrote another may have built upon.
        return String::new();
    }
    let of = |kinds: &[OperationKind]| -> Vec<&OperationRecord> {
        order.iter().map(|index| &records[*index]).filter(|record| kinds.contains(&record.kind)).collect()
    };
    let (writes, reads) = (of(&[OperationKind::Set, OperationKind::Delete]), of(&[OperationKind::Get]));
    // A write has happened when it was acknowledged, or when somebody has seen it.
    let seen_before = |write: &OperationRecord, later: &OperationRecord| {
        reads.iter().any(|read| saw(read, write) && before(read, later))
    };
    for read in &reads {
        for newer in writes.iter().filter(|write| before(write, read) && !saw(read, write)) {
            let came_before = |older: &&&OperationRecord| before(older, newer) || seen_before(older, newer);
            if let Some(older) = writes.iter().find(|older| saw(read, older) && came_before(older)) {
                let why = match (older.version, newer.version) {
                    (Some(older), Some(newer)) if newer < older => {
                        " The later write got the smaller timestamp, so whoever compares them keeps the older value."
                    }
                    _ => "",
                };
                let how = if before(older, newer) { "had ended" } else { "had been seen" };
                return format!(
                    "{} began after {} {how}, so it came later. The last read began after that, yet it saw the older \
                     one: an acknowledged write is lost.{why}",
                    quoted(newer),
                    quoted(older)
                );
            }
            if matches!(read.answer, ClientAnswer::Read(None)) {
                return format!(
                    "{} had been acknowledged before the read began, yet the read saw nothing of it.",
                    quoted(newer)
                );
            }
        }
    }
    for second in &reads {
        // Whatever the second read saw was there, or on its way, when the first one ended.
        let is_older = |first: &&&OperationRecord| {
            before(first, second)
                && first.answer != second.answer
                && writes.iter().all(|write| !saw(second, write) || write.invoked.1 < first.returned.1)
        };
        if let Some(first) = reads.iter().find(is_older) {
            return format!(
                "The first read saw <b>{}</b>. The second began after the first had ended, yet saw <b>{}</b>, which \
                 must have come before: time ran backwards.",
                escape(&first.answer.text()),
                escape(&second.answer.text())
            );
        }
    }
    String::new()
}
