//! Which configuration may follow which (rule C2).

use super::{Configuration, Member, Stage};
use alloc::string::String;
use alloc::vec::Vec;

/// Why one configuration does not follow another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotASuccessor {
    /// Epochs are counted without gaps.
    #[error("epoch {next} does not follow epoch {now}")]
    Epoch {
        /// The one in force.
        now: u32,
        /// The other one.
        next: u32,
    },
    /// It is about other keys.
    #[error("it is that of another partition")]
    Partition,
    /// Ids are counted upwards, and are never used again.
    #[error("it would use the id of a node again")]
    Ids,
    /// A change has these stages and no others.
    #[error("no change leads from {now} to {next}")]
    Stage {
        /// From.
        now: &'static str,
        /// To.
        next: &'static str,
    },
    /// In a stage of a change the members stay who they are.
    #[error("it names other members than the change that is under way")]
    Members,
    /// Somebody would vote without a directory, or one node twice.
    #[error("{0}")]
    Unfit(&'static str),
}

impl Stage {
    /// In a word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Awaiting(_) => "awaiting",
            Self::Joint { .. } => "joint",
        }
    }
}

/// Whether members are the same ids with the same directories, as far as those were known before.
pub(crate) fn are_same(before: &[Member], after: &[Member]) -> bool {
    before.len() == after.len()
        && before.iter().zip(after).all(|(before, after)| {
            before.id == after.id && before.directory.is_none_or(|known| after.directory == Some(known))
        })
}

impl Configuration {
    /// The next epoch, with nothing else changed: to be changed further.
    ///
    /// # Errors
    /// When the epochs are used up.
    pub fn successor(&self) -> Result<Self, NotASuccessor> {
        let mut next = self.clone();
        let now = self.scope.epoch;
        next.scope.epoch = now.checked_add(1).ok_or(NotASuccessor::Epoch { now, next: now })?;
        Ok(next)
    }

    /// Whether `next` may follow this one. It is what everybody checks before he proposes it, and again when it is evaluated.
    ///
    /// # Errors
    /// [`NotASuccessor`].
    pub fn check_successor(&self, next: &Self) -> Result<(), NotASuccessor> {
        let (now, then) = (self.scope.epoch, next.scope.epoch);
        if now.checked_add(1) != Some(then) {
            return Err(NotASuccessor::Epoch { now, next: then });
        }
        if self.scope.partition != next.scope.partition {
            return Err(NotASuccessor::Partition);
        }
        if self.timestamps != next.timestamps || next.level < self.level {
            return Err(NotASuccessor::Unfit(
                "how timestamps are chosen stays, and a level is not taken back",
            ));
        }
        if next.next_id < self.next_id || next.everybody().iter().any(|member| member.id.0 >= next.next_id) {
            return Err(NotASuccessor::Ids);
        }
        next.check()?;
        let keeps_members = are_same(&self.members, &next.members);
        let fits = match (&self.stage, &next.stage) {
            // A new address, a level; or a change begins.
            (Stage::Stable, Stage::Stable | Stage::Awaiting(_) | Stage::Joint { .. }) => {
                keeps_members && self.adds_only_new(next)
            }
            // It is given up.
            (Stage::Awaiting(_), Stage::Stable) => keeps_members,
            (Stage::Awaiting(awaited), Stage::Awaiting(next_awaited)) => {
                keeps_members && are_same(awaited, next_awaited)
            }
            (Stage::Awaiting(awaited), Stage::Joint { next: coming, .. }) => {
                keeps_members && are_same(awaited, coming)
            }
            // It is through, or given up.
            (Stage::Joint { next: coming, .. }, Stage::Stable) => {
                are_same(coming, &next.members) || keeps_members
            }
            (now, then) => return Err(NotASuccessor::Stage { now: now.name(), next: then.name() }),
        };
        if fits { Ok(()) } else { Err(NotASuccessor::Members) }
    }

    /// Whether everybody who comes anew has an id that nobody has had.
    fn adds_only_new(&self, next: &Self) -> bool {
        let known = |member: &&Member| self.members.iter().any(|other| other.id == member.id);
        next.next()
            .into_iter()
            .flatten()
            .filter(|member| !known(member))
            .all(|member| member.id.0 >= self.next_id)
    }

    fn check(&self) -> Result<(), NotASuccessor> {
        let sets: Vec<&[Member]> = core::iter::once(self.members.as_slice()).chain(self.next()).collect();
        for members in &sets {
            if !(1..=abd::quorum::MEMBERS_MAX).contains(&members.len()) {
                return Err(NotASuccessor::Unfit("a configuration has 1 to 7 members"));
            }
            if !members.is_sorted_by(|one, other| one.id < other.id) || members[0].id.0 == 0 {
                return Err(NotASuccessor::Unfit("ids of members begin at 1 and ascend"));
            }
            let mut addresses: Vec<&String> = members.iter().map(|member| &member.address).collect();
            addresses.sort_unstable();
            if addresses.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(NotASuccessor::Unfit("two members would have one address"));
            }
        }
        let named = |members: &[Member]| members.iter().all(|member| member.directory.is_some());
        if let Stage::Joint { next, .. } = &self.stage
            && !(named(next) && named(&self.members))
        {
            return Err(NotASuccessor::Unfit("somebody would vote who has not shown a directory (M1)"));
        }
        Ok(())
    }
}
