//! How a node comes back that has lost what its database had: under another directory id (rules S3 and M1, run BL5).
//!
//! ```text
//! X ── something is lost ──► X, to be Y ── joint{(n, X), (n, Y)} ──► switch: Y            (given up: X, to be Y)
//!                                │ the database is lost, or lost again
//!                                ▼
//!              no vote; once a configuration names Y, Y may have acknowledged something, too:
//!              X, to be Z, Y abandoned ── switch: Y, to be Z ── joint{(n, Y), (n, Z)} ──► switch: Z
//! ```
//!
//! A pair may connect as long as a configuration names it, be it one that has no vote any more: whoever waits for it is to hear that, and it
//! has to hear when it may heal.

use super::{Identity, PartFound, Unfit};
use crate::change::HealWanted;
use crate::configuration::{Configuration, DirectoryId, Stage};
use abd::NodeId;

/// With fewer members nobody can go without one of them.
const MEMBERS_MIN: usize = 3;

impl Identity {
    /// Whether the members can go without this node until it is healed: the others alone are a majority.
    pub fn can_heal(&self) -> bool {
        self.members.len() >= MEMBERS_MIN
    }

    /// As [`Identity::check`]; a database alone that is missing or older is no error for a node that `heals`. It is to be opened with
    /// loss then, and [`Identity::lose`] is to be durable before. What is left of the identity has to be its newest copy: an older one may not
    /// know by which ids this node was named.
    ///
    /// # Errors
    /// What is missing or older.
    pub fn judge(
        &self,
        lost: bool,
        watermark: PartFound,
        database: PartFound,
        heals: bool,
    ) -> Result<Option<Unfit>, Unfit> {
        let is_newest = !matches!(watermark, PartFound::Marked(mark) if mark.generation > self.generation);
        match self.check(lost, watermark, database) {
            Err(why) if heals && is_newest && why.is_of_database() && self.can_heal() => Ok(Some(why)),
            judged => judged.map(|()| None),
        }
    }

    /// What the database has lost is not known range by range: the node does not vote until it is healed, under this id unless it has
    /// one for that. One that a configuration names already may have acknowledged something, too.
    pub fn lose(&mut self, directory: DirectoryId) {
        if let Some(next) = self.next_directory.filter(|next| self.is_named_as(*next)) {
            (self.abandoned, self.next_directory) = (Some(next), Some(directory));
        }
        self.next_directory.get_or_insert(directory);
        self.is_gone = true;
    }

    /// Whether it does not vote under its own id, as what was acknowledged under that is gone.
    pub fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// The id that the directory is to have when it is healed.
    pub fn next_directory(&self) -> Option<DirectoryId> {
        self.next_directory
    }

    /// It is to be healed under this id, unless it has one for that already; which it is.
    pub fn heal_as(&mut self, directory: DirectoryId) -> DirectoryId {
        *self.next_directory.get_or_insert(directory)
    }

    /// Under which directory it wants to come back, while it lacks something. `has_lost`: a part of what its database had may be lost.
    pub fn heal_wanted(&self, has_lost: bool) -> Option<HealWanted> {
        let directory = self.next_directory.filter(|_| self.is_gone || has_lost)?;
        Some(HealWanted { directory, is_gone: self.is_gone })
    }

    /// The id for which all that is lost by now is what the sync of this configuration brings, if it is one in which this node heals. That is
    /// to be noted before it is served: what is lost later may have been acknowledged in it.
    pub fn is_healed_by(&self, configuration: &Configuration) -> Option<DirectoryId> {
        let Stage::Joint { next, .. } = &configuration.stage else { return None };
        let is_own = |directory: &DirectoryId| {
            next.iter().any(|member| member.id.0 == self.node && member.directory == Some(*directory))
        };
        self.next_directory.filter(is_own)
    }

    /// The directory ids by which a configuration may name it.
    pub(super) fn ids(&self) -> impl Iterator<Item = DirectoryId> + use<> {
        [Some(self.disk), self.next_directory, self.abandoned].into_iter().flatten()
    }

    fn is_named_as(&self, directory: DirectoryId) -> bool {
        self.changed().is_some_and(|known| known.may_connect(NodeId(self.node), directory))
    }

    /// The id by which the configuration names it: its own one, or another one where that is not named any more.
    fn named(&self) -> DirectoryId {
        self.ids().find(|id| self.is_named_as(*id)).unwrap_or(self.disk)
    }

    /// The directory id under which it presents itself: as it is named, or as a newer configuration than its own does.
    pub fn presented(&self) -> DirectoryId {
        self.shown.unwrap_or_else(|| self.named())
    }

    /// It was refused, as a newer configuration names it by this one of its ids: that is what it shows until it has installed that.
    pub fn show(&mut self, directory: DirectoryId) {
        self.shown = self.ids().find(|id| *id == directory);
    }

    /// The directory id under which it votes if that is named: its own one not, once it is gone.
    pub fn voting(&self) -> DirectoryId {
        self.next_directory.filter(|_| self.is_gone).unwrap_or_else(|| self.named())
    }

    /// Becomes the pair that a configuration has among its members, be it one that it does not vote as.
    pub(super) fn become_member_of(&mut self, configuration: &Configuration) {
        let id = NodeId(self.node);
        let is_member = |directory: DirectoryId| {
            configuration.members.iter().any(|one| one.id == id && one.directory == Some(directory))
        };
        if !is_member(self.disk) {
            if let Some(healed) = self.next_directory.filter(|next| is_member(*next)) {
                (self.disk, self.next_directory, self.is_gone) = (healed, None, false);
            } else if let Some(abandoned) = self.abandoned.filter(|one| is_member(*one)) {
                self.disk = abandoned;
            }
        }
        let own = self.disk;
        self.abandoned.take_if(|one| *one == own || !configuration.may_connect(id, *one));
    }
}
