//! Healing: a member that has lost a part of what it acknowledged comes back under another directory.
//!
//! It must not vote under its old pair for what it has lost: what that pair acknowledged before may still be counted (run BL5). So it
//! changes places with itself, by a change as any other. The old pair votes for what is whole until the switch, unless nothing is left
//! of it. One heals at a time, and only if of every key a majority of members is whole: the sync asks a majority, and what none of a
//! majority has is nowhere for certain.

use super::LOST_RANGES_MAX;
use super::plan::{begun, majority};
use super::refusal::Refusal;
use super::view::{HealWanted, View};
use crate::configuration::{Configuration, Stage};
use crate::repair::ranges::{Order, Range};
use abd::NodeId;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// No more ranges than are kept: the last ones become one with all that is between them.
pub(super) fn bounded(mut lost: Vec<Range>) -> Vec<Range> {
    if lost.len() > LOST_RANGES_MAX
        && let Some(last) = lost.pop()
    {
        lost.truncate(LOST_RANGES_MAX);
        lost[LOST_RANGES_MAX - 1].up_to = last.up_to;
    }
    lost
}

/// The member that heals next, and the configuration in which it does: the lowest id of those that want to.
///
/// # Errors
/// Why it cannot, with its id; `None` if nobody wants to.
pub(super) fn next(view: &View, order: Order) -> Option<Result<Configuration, Refusal>> {
    let wants = |id: NodeId| view.seen(id).and_then(|seen| seen.heal);
    let members = &view.configuration.members;
    let (id, wanted) = members.iter().find_map(|member| {
        let wanted = wants(member.id).filter(|wanted| member.directory != Some(wanted.directory))?;
        Some((member.id, wanted))
    })?;
    Some(heal(view, order, id, wanted))
}

fn heal(view: &View, order: Order, id: NodeId, wanted: HealWanted) -> Result<Configuration, Refusal> {
    let mut to = begun(view, &[])?;
    check_whole(view, order, id)?;
    let mut next = to.members.clone();
    for member in next.iter_mut().filter(|member| member.id == id) {
        member.directory = Some(wanted.directory);
    }
    let lost = if wanted.is_gone { alloc::vec![id] } else { Vec::new() };
    to.stage = Stage::Joint { next, lost };
    Ok(to)
}

/// What a member has lost, as far as it has told: all, if it has not, or if its directory is gone.
fn lost_of(view: &View, id: NodeId) -> Vec<Range> {
    let seen = view.seen(id).filter(|seen| seen.heal.is_none_or(|heal| !heal.is_gone));
    seen.and_then(|seen| seen.lost.clone()).unwrap_or_else(|| alloc::vec![Range::default()])
}

/// Whether of every key a majority of members is whole. Where most are not is found at the beginning of a range: there is where one
/// more of them is not. Who does not answer is of no use to the sync, and a change that waits for it keeps others from beginning.
fn check_whole(view: &View, order: Order, id: NodeId) -> Result<(), Refusal> {
    let members = &view.configuration.members;
    let lost: Vec<Vec<Range>> = members.iter().map(|member| lost_of(view, member.id)).collect();
    let up: Vec<bool> = members.iter().map(|member| view.is_up(member.id)).collect();
    let (count, needed) = (members.len(), majority(members.len()));
    for start in lost.iter().flatten().map(|range| range.after.as_deref()) {
        let is_whole = |(ranges, up): &(&Vec<Range>, &bool)| **up && !have_next(ranges, start, order);
        let whole = lost.iter().zip(&up).filter(is_whole).count();
        if whole < needed {
            return Err(Refusal::TooFewWhole { id, whole, count, needed });
        }
    }
    Ok(())
}

/// Whether the keys right behind `after` are in one of these ranges, which are in order and do not overlap.
pub(super) fn have_next(ranges: &[Range], after: Option<&[u8]>, order: Order) -> bool {
    let ends_before = |range: &Range| match (range.up_to.as_deref(), after) {
        (None, _) | (_, None) => false,
        (Some(end), Some(after)) => order(end, after) != Ordering::Greater,
    };
    ranges.get(ranges.partition_point(ends_before)).is_some_and(|range| begins_by(range, after, order))
}

/// Whether a range begins at `after`, or before.
fn begins_by(range: &Range, after: Option<&[u8]>, order: Order) -> bool {
    match (range.after.as_deref(), after) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(begin), Some(after)) => order(begin, after) != Ordering::Greater,
    }
}
