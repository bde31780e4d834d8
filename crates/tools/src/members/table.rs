//! The members for people.

use super::report::{Member, Report};
use comfy_table::{Table, presets};

const TITLES: [&str; 8] =
    ["node", "peer address", "answers", "votes", "synced", "behind", "lost", "directory"];

/// Digits of a directory's id that are shown: enough to tell two apart.
const DIGITS: usize = 8;

/// The configuration, and how everybody stands.
pub(super) fn table(report: &Report) -> String {
    let mut text = format!("epoch {}, {}\n{}\n", report.epoch, report.stage, rows(report, &report.members));
    if let Some(next) = &report.next {
        text += &format!("to come:\n{}\n", rows(report, next));
    }
    if !report.waits_for.is_empty() {
        text += &format!("{}\n", report.waits_for);
    }
    for node in &report.to_start {
        text += &format!("start node {}: {}\n", node.id, node.command);
    }
    text
}

fn rows(report: &Report, members: &[Member]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(TITLES);
    let yes_or_no = |holds: bool| if holds { "yes" } else { "no" }.to_owned();
    for member in members {
        // Outside of a change nobody has to be.
        let synced = if report.is_stable() { "-".to_owned() } else { yes_or_no(member.synced) };
        let directory = member.directory.as_deref().map_or("-", |id| id.get(..DIGITS).unwrap_or(id));
        table.add_row([
            member.id.to_string(),
            member.address.clone(),
            yes_or_no(member.up),
            yes_or_no(member.votes),
            synced,
            behind(member),
            lost(member),
            directory.to_owned(),
        ]);
    }
    table.to_string()
}

fn behind(member: &Member) -> String {
    match (member.behind_keys, member.behind_seconds) {
        (None, _) => "?".to_owned(),
        (Some(0), _) => "-".to_owned(),
        (Some(keys), None) => format!("{keys} keys"),
        (Some(keys), Some(seconds)) => format!("{keys} keys, {seconds} s"),
    }
}

fn lost(member: &Member) -> String {
    match member.lost_ranges {
        None => "?".to_owned(),
        Some(0) => "-".to_owned(),
        Some(1) => "1 range".to_owned(),
        Some(ranges) => format!("{ranges} ranges"),
    }
}
