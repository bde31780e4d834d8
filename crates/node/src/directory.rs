//! What a data directory must show before a node serves from it (rules V1 and M1).
//!
//! A directory holds three things that a careless hand, a failed disk or a restored backup can part: the *identity* (who
//! this is, and whom it has met), the *database*, and beside both the *watermark* (how many batches were acknowledged).
//! Each says which database this is, which start was the last, and how new the identity was when it was written. So a
//! node notices by itself if one or two of them are missing, foreign or older than the rest, whichever peers are up.
//! Only all three together, brought back from one moment, look whole; that the peers have to notice.
//!
//! The order of a start, each step durable before the next: the identity counts the start; the database and the
//! watermark are marked with it; the identity notes that they are. Only then may anything be acknowledged.

mod configured;
mod healing;

pub(crate) use configured::RefusedWith;

use crate::acquaintances::Acquaintances;
use crate::configuration::{Configuration, DirectoryId};
use crate::introduction::{ANCESTRY_MAX, Introduction, Present, Proof};
use crate::nonce::{Challenges, Nonce, Occasion, Purpose, Tag};
use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// Who a node is, and whom it has met. What is written of it is one generation; the newest is what counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Raised by [`Identity::next_generation`] before each writing.
    generation: u64,
    /// The node's id.
    pub node: u32,
    /// The random id of the directory.
    pub disk: [u8; 16],
    /// How often it was started.
    pub boot: u32,
    /// Whether every other member has confirmed this directory.
    pub admitted: bool,
    /// The members of the cluster, by id.
    pub members: Vec<u32>,
    /// How timestamps are chosen; empty before the first start is complete.
    pub timestamps: String,
    /// The newest configuration that it has installed; a copy of what the database says. `None` as an earlier release has left it.
    #[serde(default, with = "configured::as_text", skip_serializing_if = "Option::is_none")]
    configuration: Option<Configuration>,
    /// Since which epoch it is no member any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retired: Option<u32>,
    /// One that is about to be installed, and may have been served.
    #[serde(default, with = "configured::as_text", skip_serializing_if = "Option::is_none")]
    expected: Option<Configuration>,
    /// The id that the directory is to have when it is healed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_directory: Option<DirectoryId>,
    /// One that it was to have, which a configuration named when the database was lost once more. It votes under that as little as under
    /// its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    abandoned: Option<DirectoryId>,
    /// The one of its ids that it shows to others, if that is not the one by which its configuration names it.
    #[serde(skip)]
    shown: Option<DirectoryId>,
    /// Nobody knows what of all that it acknowledged is in its database: it does not vote until it is healed.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    is_gone: bool,
    /// Of the last starts, the present one last; zero where it is not known. At most [`ANCESTRY_MAX`] before the present.
    starts: Vec<Nonce>,
    /// What it knows of its database.
    database: Remembered,
    /// Whom it has met.
    pub peers: Acquaintances,
}

/// What an identity knows of its database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    id: [u8; 16],
    /// Whether it has been made. Nothing is acknowledged before.
    made: bool,
    /// The last start with which it and the watermark were marked.
    marked: u32,
    /// Batches that it held at least.
    batches: u64,
}

/// What is written into the database and the watermark: with which identity they belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The random id of the database.
    pub database: [u8; 16],
    /// The start that it was written in.
    pub boot: u32,
    /// The generation of the identity.
    pub generation: u64,
}

/// Bytes of a mark.
pub const MARK_BYTES: usize = 28;

impl Mark {
    /// As it is written.
    pub fn to_bytes(self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        bytes[..16].copy_from_slice(&self.database);
        bytes[16..20].copy_from_slice(&self.boot.to_be_bytes());
        bytes[20..].copy_from_slice(&self.generation.to_be_bytes());
        bytes
    }

    /// The inverse.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; MARK_BYTES] = bytes.try_into().ok()?;
        let (database, rest) = bytes.split_first_chunk()?;
        let (boot, generation) = rest.split_first_chunk()?;
        Some(Self {
            database: *database,
            boot: u32::from_be_bytes(*boot),
            generation: u64::from_be_bytes(generation.try_into().ok()?),
        })
    }
}

/// A part of a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Who this is.
    Identity,
    /// How many batches were acknowledged.
    Watermark,
    /// The database.
    Database,
}

impl Part {
    /// Its name in the directory.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Watermark => "watermark",
            Self::Database => "db",
        }
    }
}

/// What is found of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartFound {
    /// Nothing.
    Nothing,
    /// Something without a mark that can be read.
    Unmarked,
    /// This mark.
    Marked(Mark),
}

/// Why nothing may be served from a directory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A part is missing.
    #[error("{} is gone, but this node had one", .0.name())]
    Gone(Part),
    /// It is there and says nothing.
    #[error("{} is empty or damaged: nothing in it says which database this is", .0.name())]
    Unmarked(Part),
    /// It belongs to another directory.
    #[error("{} belongs to another database than this directory's", .0.name())]
    Foreign(Part),
    /// It was brought back from an earlier time.
    #[error("{} is older than the rest of this directory ({what} {now}, known is {known})", part.name())]
    Older {
        /// Which.
        part: Part,
        /// What went back.
        what: &'static str,
        /// As found.
        now: u64,
        /// As remembered.
        known: u64,
    },
    /// It holds what the identity has never heard of.
    #[error("identity does not know of any batch, but db holds {0}")]
    Unknown(u64),
}

impl Unfit {
    /// What an operator can do about it.
    pub const REMEDY: &str = "What was acknowledged may be missing here, so this node must not vote. Put the directory back as it \
                              was when the node last ran, or replace the node under a new id with an empty directory: \
                              atomic-kv replace ID --with HOST:PORT";

    /// Whether it is the database alone that is missing or older, so that the rest says who this is: then it can be healed.
    pub fn is_of_database(&self) -> bool {
        let part = match self {
            Self::Gone(part) | Self::Unmarked(part) | Self::Older { part, .. } => *part,
            Self::Foreign(_) | Self::Unknown(_) => return false,
        };
        part == Part::Database
    }
}

/// Every number of a start has been used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the boot counter is used up; replace the node under a new id: atomic-kv replace ID --with HOST:PORT"
)]
pub struct BootsUsedUp;

impl Identity {
    /// Of a new directory; both ids are random.
    pub fn new(node: u32, members: Vec<u32>, disk: [u8; 16], database: [u8; 16]) -> Self {
        Self {
            generation: 0,
            node,
            disk,
            boot: 0,
            admitted: false,
            members,
            timestamps: String::new(),
            configuration: None,
            expected: None,
            retired: None,
            next_directory: None,
            abandoned: None,
            shown: None,
            is_gone: false,
            starts: Vec::new(),
            database: Remembered { id: database, made: false, marked: 0, batches: 0 },
            peers: Acquaintances::default(),
        }
    }

    /// Counts a start, with a nonce that is random. `lost`: one of the two copies of the identity is damaged. It may have
    /// been the newer one, with a boot count one above the copy that is left, which is therefore left out.
    ///
    /// # Errors
    /// When there is no further number.
    pub fn start(&mut self, nonce: Nonce, lost: bool) -> Result<(), BootsUsedUp> {
        self.boot = self.boot.checked_add(1 + u32::from(lost)).ok_or(BootsUsedUp)?;
        if lost {
            self.starts.push(Nonce::UNKNOWN);
        }
        self.starts.push(nonce);
        let forgotten = self.starts.len().saturating_sub(ANCESTRY_MAX + 1);
        self.starts.drain(..forgotten);
        Ok(())
    }

    /// What is written next is newer than what was written before.
    pub fn next_generation(&mut self) {
        self.generation += 1;
    }

    /// What goes into the database and the watermark after this generation was written.
    pub fn mark(&self) -> Mark {
        Mark { database: self.database.id, boot: self.boot, generation: self.generation }
    }

    /// The database and the watermark are durably marked with this start.
    pub fn set_marked(&mut self) {
        self.database.made = true;
        self.database.marked = self.boot;
    }

    /// The database durably holds so many batches; whether that is news.
    pub fn set_batches(&mut self, batches: u64) -> bool {
        let news = batches > self.database.batches;
        self.database.batches = self.database.batches.max(batches);
        news
    }

    /// How many batches it knows of, as it was written.
    pub fn batches(&self) -> u64 {
        self.database.batches
    }

    /// How this node presents itself to another in a handshake. `sequence` is its last durable batch.
    pub fn introduce(&self, to: u32, challenges: Challenges, sequence: u64) -> Introduction {
        let present = self.present();
        let mut introduction = Introduction {
            node: self.node,
            disk: self.presented(),
            boot: self.boot,
            sequence,
            present: Present::Clear(present),
            proofs: Vec::new(),
            configuration: self.changed().map(Configuration::encoded),
        };
        let (statement, purpose) = (introduction.statement(), Purpose::Introduction);
        let occasion = Occasion { from: self.node, to, challenges, purpose, statement: &statement };
        let sealed = |nonce: Nonce| Present::Sealed(occasion.tag(nonce), occasion.mask(nonce, present));
        let proof =
            |(boot, nonce)| Proof { boot, tag: occasion.tag(nonce), masked: occasion.mask(nonce, present) };
        introduction.proofs = self.starts_for(to).map(proof).collect();
        if let Some(nonce) = self.peers.nonce_of(to) {
            introduction.present = sealed(nonce);
        }
        introduction
    }

    /// What shows to whoever has met this node that a verdict is its own.
    pub fn vouch(&self, to: u32, challenges: Challenges, verdict: &str) -> Vec<Tag> {
        self.tags(to, challenges, Purpose::Verdict, verdict.as_bytes())
    }

    fn tags(&self, to: u32, challenges: Challenges, purpose: Purpose, statement: &[u8]) -> Vec<Tag> {
        let occasion = Occasion { from: self.node, to, challenges, purpose, statement };
        self.starts_for(to).map(|(_, nonce)| occasion.tag(nonce)).collect()
    }

    /// Whether a verdict on this node is that of the member `from`, as far as that can be known.
    pub fn believes(&self, from: u32, challenges: Challenges, verdict: &str, tags: &[Tag]) -> bool {
        let verdict = verdict.as_bytes();
        self.peers.believes(from, self.node, challenges, Purpose::Verdict, verdict, tags)
    }

    /// The nonce of the present start.
    fn present(&self) -> Nonce {
        self.starts.last().copied().unwrap_or(Nonce::UNKNOWN)
    }

    /// The starts that a member may know this node by: the last ones, newest first, and the one in which it met this node last.
    fn starts_for(&self, member: u32) -> impl Iterator<Item = (u32, Nonce)> + '_ {
        let last = (0..=self.boot).rev().zip(self.starts.iter().rev().copied());
        let oldest = self.boot.saturating_sub(u32::try_from(self.starts.len()).unwrap_or(u32::MAX));
        let before = self.peers.met_in(member).filter(|(boot, _)| *boot <= oldest);
        last.chain(before).filter(|(_, nonce)| *nonce != Nonce::UNKNOWN)
    }

    /// A member has met this node in its present start; whether that is news.
    pub fn was_met_by(&mut self, member: u32) -> bool {
        let present = self.present();
        self.peers.was_met(member, self.boot, present)
    }

    /// Whether a directory without an identity may become a new one.
    ///
    /// # Errors
    /// When there is anything that had one.
    pub fn check_without(watermark: PartFound, database: PartFound) -> Result<(), Unfit> {
        if (watermark, database) == (PartFound::Nothing, PartFound::Nothing) {
            Ok(())
        } else {
            Err(Unfit::Gone(Part::Identity))
        }
    }

    /// Whether the parts of a directory belong together and are of one time, before a start is counted. `lost` as in
    /// [`Identity::start`].
    ///
    /// # Errors
    /// What is missing or older.
    pub fn check(&self, lost: bool, watermark: PartFound, database: PartFound) -> Result<(), Unfit> {
        // A copy of the identity that is lost may have been newer by this much.
        let lost = u64::from(lost);
        for (part, found) in [(Part::Database, database), (Part::Watermark, watermark)] {
            let mark = match found {
                PartFound::Marked(mark) => mark,
                // As a crash leaves it before anything was acknowledged.
                _ if !self.database.made => continue,
                PartFound::Nothing => return Err(Unfit::Gone(part)),
                PartFound::Unmarked => return Err(Unfit::Unmarked(part)),
            };
            if mark.database != self.database.id {
                return Err(Unfit::Foreign(part));
            }
            let older = |part, what, now, known| Err(Unfit::Older { part, what, now, known });
            if mark.boot < self.database.marked {
                return older(part, "start", u64::from(mark.boot), u64::from(self.database.marked));
            }
            if u64::from(mark.boot) > u64::from(self.boot) + lost {
                return older(Part::Identity, "start", u64::from(self.boot), u64::from(mark.boot));
            }
            if mark.generation > self.generation + lost {
                return older(Part::Identity, "generation", self.generation, mark.generation);
            }
        }
        Ok(())
    }

    /// Whether a database that was opened holds what was acknowledged. `watermark` is what that says, if it is there.
    ///
    /// # Errors
    /// When batches are missing, or there are batches that nobody can have acknowledged.
    pub fn check_batches(&self, watermark: Option<u64>, batches: u64) -> Result<(), Unfit> {
        let first = if self.database.made { FIRST_BATCH } else { 0 };
        let known = self.database.batches.max(watermark.unwrap_or(0)).max(first);
        if batches < known {
            return Err(Unfit::Older { part: Part::Database, what: "batch", now: batches, known });
        }
        if !self.database.made && batches > FIRST_BATCH {
            return Err(Unfit::Unknown(batches));
        }
        Ok(())
    }
}

/// A database that was just made holds this one, so that "nothing" is never a legal state later.
const FIRST_BATCH: u64 = 1;

#[cfg(test)]
mod tests;
