//! What a sync wants done, and what it is told.

use super::message::Question;
#[cfg(doc)]
use super::{Sync, source::own_page};
use crate::repair::ranges::{Digest, Range};
use abd::{Acceptance, CallId, NodeId, StampedValue, Version};
use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;

/// What an entry takes beside its key and contents, about.
const ENTRY_BYTES: usize = 64;

/// What a source tells of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Bytes,
    /// Its newest version.
    pub newest: Told,
    /// What is accepted for that version as a base.
    pub accepted: Option<Box<Acceptance>>,
}

/// A newest version as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// All of it; [`StampedValue::NEVER`] if the key was never written, and something is accepted all the same.
    Whole(StampedValue),
    /// Its content is to be asked for by itself.
    Large(Version),
}

impl Entry {
    /// Bytes of its key and contents, and what goes with them.
    pub fn bytes(&self) -> usize {
        let of_newest = match &self.newest {
            Told::Whole(stamped) => stamped.content.len(),
            Told::Large(_) => 0,
        };
        let of_accepted = self.accepted.as_ref().map_or(0, |accepted| accepted.proposal.content.len());
        self.key.len() + of_newest + of_accepted + ENTRY_BYTES
    }
}

impl Told {
    /// Which version it is.
    pub fn version(&self) -> Version {
        match self {
            Self::Whole(stamped) => stamped.version,
            Self::Large(version) => *version,
        }
    }
}

/// What the own replica has in a range: a digest of each key, in the order of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnPage {
    /// Which keys.
    pub range: Range,
    /// One of each.
    pub digests: Vec<Digest>,
}

/// Something to be done by whoever drives the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Look at a page of the own store: [`own_page`], with the records if they are wanted: [`Sync::looked`].
    Look {
        /// To be given back.
        look: u64,
        /// Behind which key the page begins.
        after: Option<Bytes>,
        /// Whether what is accepted is a part of the digests.
        records: bool,
    },
    /// Ask a source: [`Sync::handle_answer`] or [`Sync::not_sent`].
    Ask {
        /// Whom.
        source: NodeId,
        /// To be given back.
        call: CallId,
        /// What.
        question: Question,
    },
    /// Send a source a `LocalRead` for a content that was too large for a page: [`Sync::handle_reply`] or [`Sync::not_sent`].
    Fetch {
        /// Whom to ask.
        source: NodeId,
        /// To be given back.
        call: CallId,
        /// For which key.
        key: Bytes,
        /// Whether it is needed even if the own replica has that version.
        whole: bool,
    },
    /// Queue [`abd::Replica::barrier`] for the own disk, behind all that waits there. Its reply goes to [`Sync::handle_reply`].
    Flush {
        /// To be given back.
        call: CallId,
    },
    /// Give the own replica these, all of them whole. The reply to each goes to [`Sync::handle_reply`].
    Merge {
        /// To be given back; the phase is that of the first, and counts up.
        call: CallId,
        /// What to merge.
        entries: Vec<Entry>,
    },
}
