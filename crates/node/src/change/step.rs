//! What is to be proposed next, or what that waits for.

use super::plan::majority;
use super::refusal::list;
use super::view::View;
use super::{HELD_OFF, STALLED, Settings, heal};
use crate::configuration::{Configuration, LEVEL, Member, Stage};
use abd::{Instant, NodeId};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// What a driver does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It proposes this.
    Propose(Configuration),
    /// It waits for this; for nothing, if empty.
    Wait(String),
}

impl Step {
    /// For people.
    pub(super) fn told(self) -> String {
        match self {
            Self::Propose(to) => format!("epoch {} ({}) is being decided", to.epoch(), to.stage.name()),
            Self::Wait(why) => why,
        }
    }
}

/// The next configuration of the change that is under way, or of one that nobody has to ask for.
pub(super) fn step(view: &View, settings: &Settings, installed: Instant, now: Instant) -> Step {
    match &view.configuration.stage {
        Stage::Stable => unasked(view, settings, now),
        Stage::Awaiting(next) => gather(view, next),
        Stage::Joint { next, .. } => switch(view, next, installed, now),
    }
}

fn next_epoch(view: &View, stage: Stage) -> Option<Configuration> {
    let mut to = view.configuration.successor().ok()?;
    to.stage = stage;
    Some(to)
}

fn propose(to: Option<Configuration>) -> Step {
    to.map_or_else(|| Step::Wait("epochs are used up".into()), Step::Propose)
}

/// A member heals; or all members can do more than the configuration says.
fn unasked(view: &View, settings: &Settings, now: Instant) -> Step {
    match heal::next(view, settings.order) {
        Some(Ok(_)) if settings.heals && now < view.heals_from => {
            return Step::Wait(format!(
                "a member is to heal, within {} s: a change was given up",
                HELD_OFF.as_secs()
            ));
        }
        Some(Ok(to)) if settings.heals => return Step::Propose(to),
        Some(Ok(_)) => return Step::Wait("a member is to heal, and --heal is off".into()),
        Some(Err(why)) => return Step::Wait(format!("{why}")),
        None => {}
    }
    let configuration = &view.configuration;
    let can = |member: &Member| view.seen(member.id).and_then(|seen| seen.level) >= Some(LEVEL);
    // The first configuration is left when something changes, and not before: until then an older release can be started again.
    if configuration.is_first() || configuration.level >= LEVEL || !configuration.members.iter().all(can) {
        let lacks = view.lacking().filter(|_| !settings.heals);
        return Step::Wait(lacks.map_or_else(String::new, |id| {
            format!("node {id} has lost something that stays lost, as --heal is off")
        }));
    }
    propose(next_epoch(view, Stage::Stable).map(|to| Configuration { level: LEVEL, ..to }))
}

/// All that are awaited have to come, and quorums of both sides have to be possible when they become joint.
fn gather(view: &View, next: &[Member]) -> Step {
    let with = view.with_directories(next);
    let missing: Vec<&Member> =
        with.iter().filter(|member| member.directory.is_none() || is_not_ready(view, member)).collect();
    if !missing.is_empty() {
        let names = missing.iter().map(|member| format!("node {} at {}", member.id, member.address));
        return Step::Wait(format!("waits for {}", names.collect::<Vec<_>>().join(", ")));
    }
    let level = view.configuration.level;
    let is_old = |member: &&Member| {
        view.seen(member.id).and_then(|seen| seen.level).is_some_and(|known| known < level)
    };
    if let Some(old) = with.iter().find(is_old) {
        return Step::Wait(format!(
            "node {} runs a release that cannot what the members can: upgrade it",
            old.id
        ));
    }
    for members in [&view.configuration.members[..], next] {
        let up = members.iter().filter(|member| view.is_up(member.id)).count();
        let (count, needed) = (members.len(), majority(members.len()));
        if up < needed {
            let all = list(members.iter().map(|member| member.id));
            return Step::Wait(format!(
                "waits for a majority of {all}: {up} of {count} answer, and {needed} are needed"
            ));
        }
    }
    propose(next_epoch(view, Stage::Joint { next: with, lost: Vec::new() }))
}

fn is_not_ready(view: &View, member: &Member) -> bool {
    let is_new = !view.configuration.members.iter().any(|other| other.id == member.id);
    is_new && (!view.is_up(member.id) || view.is_changing(member.id))
}

/// Rule C3: the switch needs a majority of the new members that is synced. It waits for the others, too, as long as they answer and
/// somebody comes nearer to being synced: then any of them may fail at once.
fn switch(view: &View, next: &[Member], installed: Instant, now: Instant) -> Step {
    let (synced, others): (Vec<NodeId>, Vec<NodeId>) =
        next.iter().map(|member| member.id).partition(|id| view.is_synced(*id));
    let is_majority = synced.len() >= majority(next.len());
    let is_stalled = now.since(view.progressed) >= STALLED;
    let is_waited_for = |id: NodeId| !view.is_silent(id, installed, now) && !view.is_lost_again(id);
    if is_majority && (is_stalled || !others.iter().any(|id| is_waited_for(*id))) {
        let to = next_epoch(view, Stage::Stable);
        return propose(to.map(|to| Configuration { members: next.to_vec(), ..to }));
    }
    let mut waits = format!("synced {} of {}; waits for node {}", synced.len(), next.len(), list(others));
    if is_majority {
        waits += &format!(", or for {} s without progress", STALLED.as_secs());
    }
    Step::Wait(waits)
}
