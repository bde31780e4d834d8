//! Repair: every replica gets every version in the end (rule R2 of docs/PROTOCOL.md).
//!
//! The protocol does not need this: a Get repairs what it reads. It bounds the time for which a version is on fewer disks than
//! it could be, and keeps Gets at one round trip after a node was away. Sending a stored version again creates no new one
//! (rule V2), so it is always safe, to anybody, at any time.
//!
//! Two ways lead to what a peer lacks:
//!
//! * **The list.** A coordinator remembers by peer which writes did not reach it: those to a peer that was down, those that a
//!   full backlog dropped, those that were under way when a connection broke, those that the peer refused. A key leaves the list
//!   when the peer has *acknowledged* that version or a newer one ([`missed`]).
//! * **The comparison of ranges.** A list is bounded, and gone after a crash. So when it has overflowed, and once after every
//!   start, the node walks through its own store and compares it with the peer's, digest by digest ([`ranges`]). What the peer
//!   lacks it gets; what this node lacks it fetches, and asks the others about it.
//!
//! Both lead to the same round (`peer`): ask the peer for its versions of some keys, then move what is newer on either
//! side. A round that comes to nothing is tried again by time, whatever the reason was.
//!
//! This is a pure state machine. Whoever drives it carries out each [`Action`] and reports what came of it; the node and
//! the simulator are two such drivers.

mod comparison;
pub mod message;
pub mod missed;
mod moving;
mod peer;
pub mod ranges;
pub mod unacknowledged;

use abd::{CallId, Instant, Reply, StampedValue, Version};
use alloc::{collections::VecDeque, vec::Vec};
use bytes::Bytes;
use comparison::Urgency;
use core::time::Duration;
use message::{Answer, KeyVersion, Question};
use peer::{Peer, Turn};
use ranges::{Page, Range};

/// Times and sizes.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes that the list of one peer may take; beyond it that peer is compared with.
    pub list_bytes: usize,
    /// Between two rounds with a peer that is behind.
    pub pause: Duration,
    /// Between two pages of a comparison that nobody waits for.
    pub routine_pause: Duration,
    /// After a round that came to nothing: at first, and at the most.
    pub retry: (Duration, Duration),
    /// A question that is not answered within this is asked again.
    pub answer_within: Duration,
    /// A version that neither this node nor a peer has after so long was stored by nobody, or others know of it.
    pub nowhere_after: Duration,
    /// From the end of one comparison with a peer to the next one; `None`: only when there is a reason.
    pub compare_every: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            list_bytes: 8 << 20,
            pause: Duration::from_millis(5),
            routine_pause: Duration::from_millis(100),
            retry: (Duration::from_secs(1), Duration::from_secs(8)),
            answer_within: Duration::from_secs(5),
            nowhere_after: Duration::from_secs(60),
            compare_every: Some(Duration::from_secs(24 * 3600)),
        }
    }
}

/// Something to be done by whoever drives the machine. Members are meant by their index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Look up the own newest versions, without contents: [`Repair::looked_up`].
    LookUp {
        /// For whom.
        peer: usize,
        /// To be given back.
        look: u64,
        /// Of these keys.
        keys: Vec<Bytes>,
    },
    /// Read a page of the own store: [`Repair::walked`].
    Walk {
        /// For whom.
        peer: usize,
        /// To be given back.
        look: u64,
        /// Where: [`ranges::PAGE_KEYS`] and [`ranges::PAGE_BYTES`] are the limits.
        range: Range,
    },
    /// Ask a peer: [`Repair::handle_answer`] or [`Repair::not_sent`].
    Ask {
        /// Whom.
        peer: usize,
        /// To be given back.
        call: CallId,
        /// What.
        question: Question,
    },
    /// Send a peer this node's newest version of a key, as a `LocalWrite`: [`Repair::handle_reply`] or [`Repair::not_sent`].
    Push {
        /// To whom.
        peer: usize,
        /// To be given back.
        call: CallId,
        /// Of which key.
        key: Bytes,
    },
    /// Send a peer a `LocalRead`: [`Repair::handle_reply`] or [`Repair::not_sent`].
    Fetch {
        /// Whom to ask.
        peer: usize,
        /// To be given back.
        call: CallId,
        /// For which key.
        key: Bytes,
        /// This node has this version of it.
        have: Version,
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

/// What was done for one peer since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Versions that the peer has acknowledged.
    pub sent: u64,
    /// Versions that came from the peer.
    pub fetched: u64,
    /// Ranges of a few keys that differed.
    pub differing: u64,
}

/// How a peer stands, as far as this node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Keys on its list.
    pub keys: usize,
    /// While a comparison is wanted: keys compared so far.
    pub compared: Option<u64>,
    /// How long ago the oldest write was that the peer may still lack.
    pub behind_for: Option<Duration>,
    /// What was done.
    pub counts: Counts,
}

/// Calls of repairs have numbers from here on, so that their replies are told from those to operations.
const FIRST_NUMBER: u64 = 1 << 63;
/// Bits of a call's number that say which peer it is about: 64 members at the most.
const PEER_BITS: u32 = 6;

fn call(number: u64, peer: usize) -> CallId {
    CallId { operation: FIRST_NUMBER | number << PEER_BITS | peer as u64, phase: 0 }
}

/// Whether a call is one of repair's and not of an operation.
pub fn is_repair(call: CallId) -> bool {
    call.operation >= FIRST_NUMBER
}

fn number_and_peer(call: CallId) -> (u64, usize) {
    let number = call.operation & !FIRST_NUMBER;
    let peer = number & ((1 << PEER_BITS) - 1);
    (number >> PEER_BITS, usize::try_from(peer).unwrap_or(usize::MAX))
}

/// What a node does about peers that lack something.
#[derive(Debug)]
pub struct Repair {
    config: Config,
    local: usize,
    /// By member; the own place is never used.
    peers: Vec<Peer>,
    numbers: u64,
    actions: VecDeque<Action>,
}

impl Repair {
    /// Of the member at `local` of `members` that has just started: it compares itself with everybody once, as nobody knows
    /// what was under way when it ended.
    ///
    /// # Panics
    /// When there are more than 64 members, or the own one is not among them.
    pub fn new(config: Config, members: usize, local: usize) -> Self {
        assert!(members <= 1 << PEER_BITS && local < members, "member {local} of {members}");
        let mut peers: Vec<Peer> = (0..members).map(|index| Peer::new(index, &config)).collect();
        for peer in peers.iter_mut().filter(|peer| peer.index() != local) {
            peer.comparison.want(Urgency::Routine, None);
        }
        Self { config, local, peers, numbers: 0, actions: VecDeque::new() }
    }

    /// A connection to a peer is up.
    pub fn handle_peer_up(&mut self, peer: usize, now: Instant) {
        self.peers[peer].connected(&self.config, now);
    }

    /// No connection to a peer is left.
    pub fn handle_peer_down(&mut self, peer: usize) {
        self.peers[peer].disconnected();
    }

    /// A write did not reach a peer, or was not acknowledged for certain.
    pub fn handle_missed(&mut self, peer: usize, key: &Bytes, version: Version, now: Instant) {
        if peer != self.local {
            self.peers[peer].misses(key, version, &self.config, now);
            return;
        }
        // The own replica has refused it. Whoever has it is found by asking all of them.
        let local = self.local;
        for peer in (0..self.peers.len()).filter(|peer| *peer != local) {
            self.peers[peer].misses(key, version, &self.config, now);
        }
    }

    /// More did not reach a peer than anybody can say.
    pub fn handle_overflow(&mut self, peer: usize, now: Instant) {
        self.peers[peer].has_missed_too_much(now);
    }

    /// What [`Action::LookUp`] has found, as [`ranges::Ranges::version`] tells it; `None` if the own store cannot be read.
    pub fn looked_up(
        &mut self,
        peer: usize,
        look: u64,
        versions: Option<Vec<Option<Version>>>,
        now: Instant,
    ) {
        self.with(peer, now, |peer, turn| peer.looked_up(look, versions, turn));
    }

    /// What [`Action::Walk`] has found; `None` if the own store cannot be read.
    pub fn walked(&mut self, peer: usize, look: u64, page: Option<Page>, now: Instant) {
        self.with(peer, now, |peer, turn| peer.walked(look, page, turn));
    }

    /// A peer's answer to a question. Late and foreign ones have no effect.
    pub fn handle_answer(&mut self, from: usize, call: CallId, answer: Answer, now: Instant) {
        let (number, peer) = number_and_peer(call);
        if is_repair(call) && peer == from {
            self.with(peer, now, |peer, turn| peer.handle_answer(number, answer, turn));
        }
    }

    /// A reply of a peer, or of the own replica. Late and foreign ones have no effect.
    pub fn handle_reply(&mut self, from: usize, call: CallId, reply: Reply, now: Instant) {
        let (number, peer) = number_and_peer(call);
        let is_own = from == self.local;
        if is_repair(call) && (peer == from || is_own) {
            self.with(peer, now, |peer, turn| peer.handle_reply(number, is_own, reply, turn));
        }
    }

    /// There was no room for a question, a push or a fetch, or nothing to send.
    pub fn not_sent(&mut self, call: CallId, now: Instant) {
        let (number, peer) = number_and_peer(call);
        self.with(peer, now, |peer, turn| peer.not_sent(number, turn));
    }

    /// What is to be done next.
    pub fn poll(&mut self, now: Instant) -> Option<Action> {
        if self.actions.is_empty() {
            let local = self.local;
            for peer in (0..self.peers.len()).filter(|peer| *peer != local) {
                self.with(peer, now, Peer::poll);
            }
        }
        self.actions.pop_front()
    }

    /// When [`Repair::poll`] is due, after it has returned `None`.
    pub fn wake_at(&self) -> Option<Instant> {
        self.peers.iter().filter_map(Peer::wake_at).min()
    }

    /// How a peer stands.
    pub fn status(&self, peer: usize, now: Instant) -> Status {
        let peer = &self.peers[peer];
        let since = peer.missed.oldest().into_iter().chain(peer.comparison.since()).min();
        Status {
            keys: peer.missed.len(),
            compared: peer.comparison.progress(),
            behind_for: since.map(|since| now.since(since)),
            counts: peer.counts,
        }
    }

    fn with(&mut self, peer: usize, now: Instant, act: impl FnOnce(&mut Peer, &mut Turn<'_>)) {
        let mut fetched: Vec<KeyVersion> = Vec::new();
        let Self { config, peers, numbers, actions, .. } = self;
        let Some(of_peer) = peers.get_mut(peer) else { return };
        act(of_peer, &mut Turn { config, now, numbers, actions, fetched: &mut fetched });
        // What this node did not have, others may lack, too: its writer may be gone.
        let local = self.local;
        for (key, version) in fetched {
            for other in (0..self.peers.len()).filter(|other| *other != peer && *other != local) {
                // A walk that has yet to begin will come upon it.
                if !self.peers[other].comparison.is_wanted() || self.peers[other].comparison.is_under_way() {
                    self.peers[other].misses(&key, version, &self.config, now);
                }
            }
        }
    }
}
