//! What repair wants done.

use super::message::Question;
use super::ranges::Range;
#[cfg(doc)]
use super::{Repair, ranges};
use crate::sync;
use crate::sync::message::Wanted;
use abd::{CallId, NodeId, StampedValue, Version};
use alloc::vec::Vec;
use bytes::Bytes;

/// Something to be done by whoever drives the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Look up the own newest versions, without contents: [`Repair::looked_up`].
    LookUp {
        /// For whom.
        peer: NodeId,
        /// To be given back.
        look: u64,
        /// Of these keys.
        keys: Vec<Bytes>,
    },
    /// Read a page of the own store: [`Repair::walked`].
    Walk {
        /// For whom.
        peer: NodeId,
        /// To be given back.
        look: u64,
        /// Where: [`ranges::PAGE_KEYS`] and [`ranges::PAGE_BYTES`] are the limits.
        range: Range,
    },
    /// Ask a peer: [`Repair::handle_answer`] or [`Repair::not_sent`].
    Ask {
        /// Whom.
        peer: NodeId,
        /// To be given back.
        call: CallId,
        /// What.
        question: Question,
    },
    /// Send a peer this node's newest version of a key, as a `LocalWrite`: [`Repair::handle_reply`] or [`Repair::not_sent`].
    Push {
        /// To whom.
        peer: NodeId,
        /// To be given back.
        call: CallId,
        /// Of which key.
        key: Bytes,
    },
    /// Send a peer a `LocalRead`: [`Repair::handle_reply`] or [`Repair::not_sent`].
    Fetch {
        /// Whom to ask.
        peer: NodeId,
        /// To be given back.
        call: CallId,
        /// For which key.
        key: Bytes,
        /// This node has this version of it.
        have: Version,
    },
    /// Do something to catch up with a source: for a change of members, or as a peer has asked for it.
    Sync(sync::Action),
    /// Ask a peer to look itself for what it lacks: [`Repair::handle_caught_up`] or [`Repair::not_sent`].
    CatchUp {
        /// Whom.
        peer: NodeId,
        /// To be given back.
        call: CallId,
        /// What to tell it.
        wanted: Wanted,
    },
    /// Give the own replica a `LocalWrite`; its reply goes to [`Repair::handle_reply`].
    Store {
        /// To be given back.
        call: CallId,
        /// The key.
        key: Bytes,
        /// What to store.
        stamped: StampedValue,
    },
}
