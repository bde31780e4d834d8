//! A node's data directory in the simulator: three parts, each of which may be missing or come from another time. What they
//! must show is judged by the node's own rules.
//!
//! **What survives**: the identity is durable when it is written. The watermark and the marks survive a kill as they are; a power
//! cut may set the watermark back to where it was when it was last synced.

use crate::disk::Platter;
use node::directory::{Identity, Mark, PartFound, Unfit};
use std::fmt;

/// What is in it.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// Who this is, and whom it has met.
    pub identity: Option<Identity>,
    /// How many batches were acknowledged.
    pub watermark: Option<Watermark>,
    /// The database. While a process has it, its bytes are there.
    pub database: Option<Stored>,
}

/// How many batches were acknowledged, and to what that belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    mark: Mark,
    /// Batches.
    pub batches: u64,
    /// The same when it was last synced.
    pub synced: u64,
}

/// A database as it lies there.
#[derive(Clone, Debug)]
pub struct Stored {
    mark: Option<Mark>,
    /// Its bytes.
    pub platter: Platter,
}

/// One of the three, in the order in which they stand in [`Parts`].
pub const NAMES: [&str; 3] = ["identity", "watermark", "db"];

/// What becomes of each part.
pub type Parts = [PartState; 3];

/// What becomes of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartState {
    /// Nothing.
    Kept,
    /// It is missing.
    Gone,
    /// It is as it was before the last start.
    Older,
    /// It is as it was at some moment of the last run.
    Copied,
}

impl fmt::Display for PartState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "kept",
            Self::Gone => "gone",
            Self::Older => "older",
            Self::Copied => "copied",
        })
    }
}

/// As in a script: `db gone, watermark older`.
pub fn text(parts: Parts) -> String {
    let changed = NAMES.iter().zip(parts).filter(|(_, state)| *state != PartState::Kept);
    changed.map(|(name, state)| format!("{name} {state}")).collect::<Vec<_>>().join(", ")
}

impl Directory {
    /// A process has ended that left these bytes, all of which are counted.
    pub fn keep(&mut self, platter: Platter) {
        if let Some(watermark) = &mut self.watermark {
            watermark.batches = platter.sequence() + 1;
        }
        if let Some(stored) = &mut self.database {
            stored.platter = platter;
        }
    }

    /// Batches in the database, the first of which makes it.
    pub fn batches(&self) -> u64 {
        self.database.as_ref().map_or(0, |stored| stored.platter.sequence() + 1)
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.identity.is_none() && self.watermark.is_none() && self.database.is_none()
    }

    /// The same with some parts missing or from another time.
    pub fn with(self, parts: Parts, older: Option<&Self>, copied: Option<&Self>) -> Self {
        fn part<T: Clone>(
            state: PartState,
            now: Option<T>,
            older: Option<&T>,
            copied: Option<&T>,
        ) -> Option<T> {
            match state {
                PartState::Kept => now,
                PartState::Gone => None,
                PartState::Older => older.cloned(),
                PartState::Copied => copied.cloned(),
            }
        }
        Self {
            identity: part(
                parts[0],
                self.identity,
                older.and_then(|directory| directory.identity.as_ref()),
                copied.and_then(|directory| directory.identity.as_ref()),
            ),
            watermark: part(
                parts[1],
                self.watermark,
                older.and_then(|directory| directory.watermark.as_ref()),
                copied.and_then(|directory| directory.watermark.as_ref()),
            ),
            database: part(
                parts[2],
                self.database,
                older.and_then(|directory| directory.database.as_ref()),
                copied.and_then(|directory| directory.database.as_ref()),
            ),
        }
    }

    /// The identity, or a new one; with it why the database is to be opened with loss, where the node `heals`. An error if the parts do
    /// not belong together. `trusting` is what the mutants are.
    ///
    /// # Errors
    /// What is missing, foreign or older.
    pub fn identify(
        &self,
        mut new: impl FnMut() -> Identity,
        trusting: bool,
        heals: bool,
    ) -> Result<(Identity, Option<Unfit>), Unfit> {
        let watermark =
            self.watermark.map_or(PartFound::Nothing, |watermark| PartFound::Marked(watermark.mark));
        let database = match &self.database {
            None => PartFound::Nothing,
            Some(stored) => stored.mark.map_or(PartFound::Unmarked, PartFound::Marked),
        };
        let judged = match &self.identity {
            None => Identity::check_without(watermark, database).map(|()| (new(), None)),
            Some(identity) => {
                let mut identity = identity.clone();
                identity.settle();
                identity.judge(false, watermark, database, heals).map(|unfit| (identity, unfit))
            }
        };
        match judged {
            Err(_) | Ok((_, Some(_))) if trusting => Ok((self.identity.clone().unwrap_or_else(new), None)),
            judged => judged,
        }
    }

    /// The identity is written, and then the others are marked with it.
    pub fn save(&mut self, identity: &mut Identity) {
        identity.next_generation();
        self.identity = Some(identity.clone());
        let mark = identity.mark();
        match &mut self.watermark {
            Some(watermark) => watermark.mark = mark,
            None => self.watermark = Some(Watermark { mark, batches: 0, synced: 0 }),
        }
        let stored = self.database.get_or_insert_with(|| Stored { mark: None, platter: Platter::default() });
        stored.mark = Some(mark);
    }
}
