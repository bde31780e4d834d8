//! What whoever works on the disk does next: a batch, a look at the room on the disk, or tidying up.

use abd::{Fit, Instant};
use core::mem;
use core::time::Duration;

/// The disk is looked at this often, whether or not anybody wants to write.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Without writes for this long the database may tidy up; on a full disk at the latest after this long.
const TIDY_AFTER: Duration = LOOK_EVERY;
/// Between two looks at whether it has ended that.
const TIDYING_LOOK_EVERY: Duration = Duration::from_millis(200);

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// Look whether the disk has room: [`Rounds::handle_looked`].
    Look,
    /// Tidy up a little: [`Rounds::handle_tidied`].
    Tidy,
    /// Commit what has gathered: [`Rounds::handle_committed`].
    Commit,
    /// Wait until then, or for a write.
    Wait(Instant),
}

/// How far tidying up is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tidied {
    /// The database is at it.
    Running,
    /// Nothing is left to do, or can be done.
    All,
    /// There was no room for it.
    PutOff,
}

/// What a replica knows of the room on its disk, and when it sees to it.
///
/// Batches alone cannot tell it: while there is no room values are refused before they become part of one, so a replica that
/// waited for a batch to show that there is room again would wait for ever (rule D1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rounds {
    has_room: bool,
    look_at: Instant,
    /// `None`: when there was something to write.
    tidy_at: Option<Instant>,
}

impl Rounds {
    /// At the start of a node.
    pub fn new(has_room: bool, now: Instant) -> Self {
        // A full disk may have something to give back.
        let tidy_at = (!has_room).then(|| now + TIDY_AFTER);
        Self { has_room, look_at: now + LOOK_EVERY, tidy_at }
    }

    /// Whether this replica takes values.
    pub fn has_room(&self) -> bool {
        self.has_room
    }

    /// What to do next; to be told what came of it.
    pub fn poll(&self, writes_wait: bool, now: Instant) -> Round {
        let tidies = self.tidy_at.is_some_and(|at| at <= now);
        if self.look_at <= now {
            Round::Look
        } else if tidies && !(self.has_room && writes_wait) {
            // Nothing came for a while: a good moment for what would be in the way under load. On a full disk deletes may come
            // for ever, and what they hide is to give room back.
            Round::Tidy
        } else if writes_wait {
            Round::Commit
        } else {
            Round::Wait(self.tidy_at.map_or(self.look_at, |at| at.min(self.look_at)))
        }
    }

    /// The disk was looked at; whether that is news.
    pub fn handle_looked(&mut self, has_room: bool, now: Instant) -> bool {
        self.look_at = now + LOOK_EVERY;
        if !has_room {
            // What a full disk can give back is found by tidying up.
            self.tidy_at.get_or_insert(now);
        }
        mem::replace(&mut self.has_room, has_room) != has_room
    }

    /// So much of a batch has fitted, and perhaps only because deletes may have what is kept free; whether that is news of the
    /// room for values.
    pub fn handle_committed(&mut self, fit: &Fit, had_room: bool, now: Instant) -> bool {
        let has_room = *fit == Fit::All && had_room;
        let after = now + TIDY_AFTER;
        self.tidy_at = Some(self.tidy_at.filter(|_| !has_room).map_or(after, |at| at.min(after)));
        mem::replace(&mut self.has_room, has_room) != has_room
    }

    /// The database has tidied up, or is at it.
    pub fn handle_tidied(&mut self, tidied: Tidied, now: Instant) {
        self.tidy_at = match tidied {
            Tidied::Running => Some(now + TIDYING_LOOK_EVERY),
            Tidied::All if self.has_room => None,
            Tidied::All | Tidied::PutOff => Some(now + TIDY_AFTER),
        };
    }
}
