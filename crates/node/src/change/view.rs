//! What a node knows of the members.

use super::{HELD_OFF, SILENCE};
use crate::configuration::{Configuration, DirectoryId, Member, Stage, are_same};
use crate::repair::Status;
use crate::repair::ranges::Range;
use abd::{Instant, NodeId};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

/// What is known of a node that the configuration names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The directory with which it was met last.
    pub directory: Option<DirectoryId>,
    /// The one by which this node remembers it, durably (M1).
    pub remembered: Option<DirectoryId>,
    /// What its release can do; `None` if it has not been met since this node's start.
    pub level: Option<u32>,
    /// Whether it answers.
    pub is_up: bool,
    /// Since when it does, or does not.
    pub since: Instant,
    /// It is synced in this epoch (rule C3); zero: in none.
    pub synced_in: u32,
    /// Pages that it has pulled in the present epoch, at the most.
    pub pulled: u64,
    /// How much it lacks, as far as this node knows; of itself it knows nothing.
    pub behind: Option<Behind>,
    /// What it may have lost; `None` if it has not told.
    pub lost: Option<Vec<Range>>,
    /// That it wants to heal.
    pub heal: Option<HealWanted>,
}

/// How much a replica lacks, about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// Keys.
    pub keys: u64,
    /// Since when the oldest of that is missing.
    pub time: Duration,
}

impl From<Status> for Behind {
    /// The keys on the list: a peer that is compared with may lack more.
    fn from(Status { keys, behind_for, .. }: Status) -> Self {
        Self { keys: keys as u64, time: behind_for.unwrap_or_default() }
    }
}

/// A member comes back under its id with another directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealWanted {
    /// The directory that votes afterwards.
    pub directory: DirectoryId,
    /// Whether nothing of the old directory is left, so that it cannot vote until then.
    pub is_gone: bool,
}

/// What a node knows of the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Which node.
    pub own: NodeId,
    /// What it has installed.
    pub configuration: Configuration,
    /// Everybody whom that names, and nobody else.
    seen: BTreeMap<NodeId, Seen>,
    /// When the configuration was installed, or a node has come nearer to being synced in it, whichever was last.
    pub(super) progressed: Instant,
    /// Nobody heals before.
    pub(super) heals_from: Instant,
    /// How the last change has ended, and when, as far as this node has seen that.
    ended: Option<(Ended, Instant)>,
}

/// How a change has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The members are those to come.
    Through,
    /// They are as before.
    GivenUp,
}

impl View {
    /// Nobody was met yet.
    pub fn new(own: NodeId, configuration: Configuration, now: Instant) -> Self {
        let (seen, progressed, heals_from) = (BTreeMap::new(), now, now);
        let mut view = Self { own, seen, configuration, progressed, heals_from, ended: None };
        view.remember_those_named();
        view
    }

    /// The same with another configuration in force, that this node has not installed yet.
    #[must_use]
    pub fn with(&self, configuration: Configuration) -> Self {
        let mut view = self.clone();
        view.install(configuration, self.progressed);
        view
    }

    /// The same without what is over at this moment.
    pub(super) fn at(&self, now: Instant) -> Self {
        let ended = self.ended.filter(|(_, at)| now.since(*at) < HELD_OFF);
        Self { ended, ..self.clone() }
    }

    /// How the last change has ended.
    pub(super) fn ended(&self) -> Option<Ended> {
        self.ended.map(|(ended, _)| ended)
    }

    /// A newer configuration is in force. Who is no longer named is forgotten.
    pub(super) fn install(&mut self, configuration: Configuration, now: Instant) {
        let before = core::mem::replace(&mut self.configuration, configuration);
        self.progressed = now;
        let is_stable = self.configuration.next().is_none();
        // Of one that was under way, or that began and ended while this node was away.
        if is_stable && (before.next().is_some() || before.epoch() + 1 < self.configuration.epoch()) {
            let is_given_up = are_same(&before.members, &self.configuration.members);
            self.ended = Some((if is_given_up { Ended::GivenUp } else { Ended::Through }, now));
            if is_given_up {
                self.heals_from = now + HELD_OFF;
            }
        }
        self.remember_those_named();
    }

    fn remember_those_named(&mut self) {
        let (own, named) = (self.own, self.configuration.everybody());
        let before = core::mem::take(&mut self.seen);
        let is_kept = |id: &NodeId| *id == own || named.iter().any(|member| member.id == *id);
        self.seen = before.into_iter().filter(|(id, _)| is_kept(id)).collect();
        for member in named {
            self.seen.entry(member.id).or_default();
        }
        self.seen.entry(own).or_default();
        self.seen.values_mut().for_each(|seen| seen.pulled = 0);
    }

    /// What is known of a node; `None` if nobody names it.
    pub fn seen(&self, node: NodeId) -> Option<&Seen> {
        self.seen.get(&node)
    }

    pub(super) fn seen_mut(&mut self, node: NodeId) -> Option<&mut Seen> {
        self.seen.get_mut(&node)
    }

    /// Whether a node answers.
    pub fn is_up(&self, node: NodeId) -> bool {
        self.seen(node).is_some_and(|seen| seen.is_up)
    }

    /// A member that has lost something.
    pub(super) fn lacking(&self) -> Option<NodeId> {
        let lacks = |id: &NodeId| {
            self.seen(*id).and_then(|seen| seen.lost.as_ref()).is_some_and(|lost| !lost.is_empty())
        };
        self.configuration.members.iter().map(|member| member.id).find(lacks)
    }

    /// Since when a node does not answer.
    pub(super) fn silent_since(&self, node: NodeId) -> Option<Instant> {
        self.seen(node).filter(|seen| !seen.is_up).map(|seen| seen.since)
    }

    /// Whether a node has not answered for so long that nobody waits for it. What was before the configuration does not count:
    /// everybody has to come to know it.
    pub(super) fn is_silent(&self, node: NodeId, installed: Instant, now: Instant) -> bool {
        self.silent_since(node).is_some_and(|since| now.since(since.max(installed)) >= SILENCE)
    }

    /// Those to come; the members themselves while nothing changes.
    pub(super) fn next(&self) -> &[Member] {
        self.configuration.next().unwrap_or(&self.configuration.members)
    }

    /// Whether a node is synced in the present epoch: with the directory that is to vote, as what another one holds is of no use.
    pub fn is_synced(&self, node: NodeId) -> bool {
        let named = self.directory_to_be(node);
        let has = |seen: &Seen, directory| {
            seen.directory == Some(directory) || seen.heal.is_some_and(|heal| heal.directory == directory)
        };
        self.seen(node).is_some_and(|seen| {
            seen.synced_in == self.configuration.epoch() && named.is_none_or(|directory| has(seen, directory))
        }) && !self.is_lost_again(node)
    }

    /// The directory with which a node is to vote.
    fn directory_to_be(&self, node: NodeId) -> Option<DirectoryId> {
        self.next().iter().find(|member| member.id == node).and_then(|member| member.directory)
    }

    /// Whether the directory with which a node is to vote is gone, and with it what that has pulled: the node will not vote before another
    /// change heals it, and this one does not wait for it.
    pub(super) fn is_lost_again(&self, node: NodeId) -> bool {
        let heal = self.seen(node).and_then(|seen| seen.heal);
        heal.is_some_and(|heal| heal.is_gone && self.directory_to_be(node) != Some(heal.directory))
    }

    /// The members with the directories that they were met with, as far as the configuration does not name any yet (rule M1).
    pub(super) fn with_directories(&self, members: &[Member]) -> Vec<Member> {
        let with = |member: &Member| Member {
            directory: member.directory.or_else(|| self.old_directory(member.id)),
            ..member.clone()
        };
        members.iter().map(with).collect()
    }

    /// The directory by which a node is remembered, or with which it was met; not that under which it wants to come back.
    fn old_directory(&self, node: NodeId) -> Option<DirectoryId> {
        let seen = self.seen(node)?;
        let new = seen.heal.map(|heal| heal.directory);
        seen.remembered.or(seen.directory.filter(|directory| Some(*directory) != new))
    }

    /// Whether a node has come with another directory than the one by which it is remembered, which takes a moment to be written down.
    pub(super) fn is_changing(&self, node: NodeId) -> bool {
        self.seen(node).is_some_and(|seen| seen.remembered.is_some_and(|known| seen.directory != Some(known)))
    }

    /// How many voters that answer have a lower id than this node; `None` if this node does not vote.
    pub(super) fn rank(&self) -> Option<u32> {
        let directory = self.seen(self.own)?.directory?;
        if !self.configuration.is_voter(self.own, directory) {
            return None;
        }
        let awaited = matches!(self.configuration.stage, Stage::Awaiting(_));
        let votes = |id: NodeId| !awaited || self.configuration.members.iter().any(|member| member.id == id);
        let everybody = self.configuration.everybody();
        let lower = everybody.iter().filter(|member| member.id < self.own && votes(member.id));
        u32::try_from(lower.filter(|member| self.is_up(member.id)).count()).ok()
    }
}
