//! What is done about one peer, one round at a time.
//!
//! A round asks the peer for its versions of a few keys, from the list or from a page of the store, and then moves what one
//! side has newer: pushed to the peer, or fetched from it. Whatever happens to a round (no room, no answer, a refusal, a
//! lost connection), its keys are still on the list or in front of the comparison's position, and time alone brings the next.

use super::comparison::{Comparison, Urgency};
use super::message::{Answer, KeyVersion, Question, fit};
use super::missed::MissedKeys;
use super::moving::Moving;
use super::ranges::{CHUNK_KEYS, Page};
use super::{Action, Config, Counts, Pass};
use abd::{Instant, NodeId, Refusal, Version};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;

/// What a peer's methods need of the whole.
pub(super) struct Turn<'a> {
    pub(super) config: &'a Config,
    pub(super) now: Instant,
    pub(super) numbers: &'a mut u64,
    pub(super) actions: &'a mut VecDeque<Action>,
    /// What has come from this peer: the others may lack it, too.
    pub(super) fetched: &'a mut Vec<KeyVersion>,
    /// Set if this node is to look for what it lacks itself.
    pub(super) wants_itself: &'a mut bool,
}

impl Turn<'_> {
    /// A version that was missed before this is not waited for any longer.
    pub(super) fn nowhere_since(&self) -> Option<Instant> {
        let nanos = u64::try_from(self.config.nowhere_after.as_nanos()).unwrap_or(u64::MAX);
        self.now.0.checked_sub(nanos).map(Instant)
    }

    pub(super) fn number(&mut self) -> u64 {
        *self.numbers += 1;
        *self.numbers
    }
}

/// A key, and this node's newest version of it; `None` if its replica abstains for the key (rule S3).
pub(super) type Listed = (Bytes, Option<Version>);

/// Where the keys of a round come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    List,
    Comparison,
}

#[derive(Debug)]
pub(super) enum Round {
    Idle,
    /// The own versions of listed keys, or a page, are being looked up.
    LookingUp {
        look: u64,
        keys: Vec<Bytes>,
    },
    Walking {
        look: u64,
    },
    /// The peer was asked for the digest of the next part.
    Comparing {
        number: u64,
        until: Instant,
    },
    /// The peer was asked for its versions.
    Listing {
        number: u64,
        until: Instant,
        origin: Origin,
        listed: Vec<Listed>,
    },
    Moving(Moving),
    /// The peer was asked to look itself for what it lacks.
    CatchingUp {
        number: u64,
        until: Instant,
    },
}

/// The state of one peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: NodeId,
    up: bool,
    /// Whether it can be asked to look itself for what it lacks.
    pub(super) pulls: bool,
    pub(super) missed: MissedKeys,
    pub(super) comparison: Comparison,
    pub(super) round: Round,
    /// The next round begins no earlier.
    pub(super) next_at: Instant,
    /// How long to wait after a round that came to nothing.
    retry: core::time::Duration,
    /// The list and the comparison take turns.
    listed_last: bool,
    pub(super) counts: Counts,
    /// When this node has last caught up with it.
    pub(super) pass: Option<Pass>,
}

impl Peer {
    pub(super) fn new(id: NodeId, config: &Config) -> Self {
        Self {
            id,
            up: false,
            pulls: false,
            missed: MissedKeys::default(),
            comparison: Comparison::default(),
            round: Round::Idle,
            next_at: Instant::default(),
            retry: config.retry.0,
            listed_last: false,
            counts: Counts::default(),
            pass: None,
        }
    }

    pub(super) fn id(&self) -> NodeId {
        self.id
    }

    /// Whether a call with this number is under way.
    pub(super) fn waits_for(&self, number: u64) -> bool {
        match &self.round {
            Round::Idle | Round::LookingUp { .. } | Round::Walking { .. } => false,
            Round::Comparing { number: asked, .. }
            | Round::Listing { number: asked, .. }
            | Round::CatchingUp { number: asked, .. } => *asked == number,
            Round::Moving(moving) => moving.under_way.contains_key(&number),
        }
    }

    pub(super) fn connected(&mut self, config: &Config, now: Instant) {
        self.up = true;
        (self.next_at, self.retry) = (now, config.retry.0);
    }

    pub(super) fn disconnected(&mut self) {
        self.up = false;
        self.round = Round::Idle;
        self.comparison.interrupt();
    }

    /// A write of this version did not reach the peer.
    pub(super) fn misses(&mut self, key: &Bytes, version: Version, config: &Config, now: Instant) {
        if !self.missed.add(key, version, now, config.list_bytes) {
            self.has_missed_too_much(now);
            self.missed.add(key, version, now, config.list_bytes);
        }
    }

    /// The list is of no use any more: only a comparison finds out what the peer lacks.
    pub(super) fn has_missed_too_much(&mut self, now: Instant) {
        let since = self.missed.oldest().unwrap_or(now);
        self.missed.clear();
        self.comparison.want(Urgency::Behind, Some(since));
    }

    fn is_behind(&self) -> bool {
        !self.missed.is_empty() || self.comparison.is_wanted()
    }

    /// When [`Peer::poll`] has something to do by itself.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let due = if self.comparison.is_wanted() { None } else { self.comparison.due() };
        let round = match &self.round {
            _ if !self.up => None,
            Round::Idle => self.is_behind().then_some(self.next_at),
            Round::LookingUp { .. } | Round::Walking { .. } => None,
            Round::Comparing { until, .. }
            | Round::Listing { until, .. }
            | Round::CatchingUp { until, .. }
            | Round::Moving(Moving { until, .. }) => Some(*until),
        };
        due.into_iter().chain(round).min()
    }

    /// Begins what is due, and gives up what takes too long.
    pub(super) fn poll(&mut self, turn: &mut Turn<'_>) {
        self.comparison.look_at_the_clock(turn.now);
        if self.wake_at().is_none_or(|at| at > turn.now) {
            return;
        }
        match &self.round {
            Round::Idle => self.begin(turn),
            Round::Moving(_) => {
                self.give_up_transfers();
                self.end_of_transfers(turn);
            }
            _ => self.came_to_nothing(turn),
        }
    }

    fn begin(&mut self, turn: &mut Turn<'_>) {
        let is_comparisons_turn = self.listed_last && self.comparison.is_wanted();
        self.listed_last = !is_comparisons_turn && !self.missed.is_empty();
        if !self.listed_last {
            return self.compare_next(turn);
        }
        let mut keys = self.missed.batch(CHUNK_KEYS);
        keys.truncate(fit(keys.iter()));
        let look = turn.number();
        turn.actions.push_back(Action::LookUp { peer: self.id, look, keys: keys.clone() });
        self.round = Round::LookingUp { look, keys };
    }

    fn compare_next(&mut self, turn: &mut Turn<'_>) {
        if self.pulls {
            return self.ask_to_catch_up(turn);
        }
        let Some(chunk) = self.comparison.next() else {
            let look = turn.number();
            let range = self.comparison.rest();
            turn.actions.push_back(Action::Walk { peer: self.id, look, range });
            self.round = Round::Walking { look };
            return;
        };
        let question = chunk.question();
        let number = self.ask(question, turn);
        self.round = Round::Comparing { number, until: turn.now + turn.config.answer_within };
    }

    fn ask(&mut self, question: Question, turn: &mut Turn<'_>) -> u64 {
        let number = turn.number();
        turn.actions.push_back(Action::Ask { peer: self.id, call: super::call(number), question });
        number
    }

    /// The own versions of the keys that were asked for; `None` if the own store cannot be read.
    pub(super) fn looked_up(
        &mut self,
        look: u64,
        versions: Option<Vec<Option<Version>>>,
        turn: &mut Turn<'_>,
    ) {
        let Round::LookingUp { look: expected, keys } = &mut self.round else { return };
        if *expected != look {
            return;
        }
        let keys = core::mem::take(keys);
        let Some(versions) = versions else { return self.came_to_nothing(turn) };
        assert!(versions.len() == keys.len(), "one version for each key");
        let listed: Vec<Listed> = keys.into_iter().zip(versions).collect();
        self.list(listed, Origin::List, turn);
    }

    fn list(&mut self, listed: Vec<Listed>, origin: Origin, turn: &mut Turn<'_>) {
        let question = match (origin, self.comparison.next()) {
            (Origin::Comparison, Some(chunk)) => chunk.listing(),
            _ => {
                let told = |(key, own): &Listed| (key.clone(), own.unwrap_or(Version::MIN));
                Question::Versions { listed: listed.iter().map(told).collect(), range: None }
            }
        };
        let number = self.ask(question, turn);
        self.round = Round::Listing { number, until: turn.now + turn.config.answer_within, origin, listed };
    }

    /// A page of the own store; `None` if it cannot be read.
    pub(super) fn walked(&mut self, look: u64, page: Option<Page>, turn: &mut Turn<'_>) {
        if !matches!(self.round, Round::Walking { look: expected } if expected == look) {
            return;
        }
        match page {
            None => self.came_to_nothing(turn),
            Some(page) => {
                self.comparison.take_page(page);
                self.compare_next(turn);
            }
        }
    }

    /// The peer's answer to a question.
    pub(super) fn handle_answer(&mut self, number: u64, answer: Answer, turn: &mut Turn<'_>) {
        match &mut self.round {
            Round::Comparing { number: asked, .. } if *asked == number => {
                let Some(chunk) = self.comparison.next() else { return self.came_to_nothing(turn) };
                match answer {
                    Answer::Same(true) => self.go_on_comparing(turn),
                    // What a peer cannot read it cannot compare: the rest of the page it can.
                    Answer::Refused(Refusal::StoreFailed | Refusal::Damaged) if chunk.is_small() => {
                        self.go_on_comparing(turn);
                    }
                    Answer::Same(false) | Answer::Refused(Refusal::StoreFailed | Refusal::Damaged)
                        if !chunk.is_small() =>
                    {
                        self.comparison.split();
                        self.compare_next(turn);
                    }
                    Answer::Same(false) => {
                        self.counts.differing += 1;
                        let listed = chunk.entries.iter();
                        let listed = listed.map(|(key, own)| (key.clone(), Some(*own))).collect();
                        self.list(listed, Origin::Comparison, turn);
                    }
                    Answer::Refused(_) | Answer::Versions { .. } => self.came_to_nothing(turn),
                }
            }
            Round::Listing { number: asked, origin, listed, .. } if *asked == number => {
                let (origin, listed) = (*origin, core::mem::take(listed));
                match answer {
                    Answer::Versions { versions, others, told_up_to } if versions.len() == listed.len() => {
                        // Only a question about a range is answered with more than was listed.
                        let is_range = origin == Origin::Comparison;
                        let others = if is_range { others } else { Vec::new() };
                        let before = self.missed.len();
                        let transfers = self.transfers(listed, &versions, others, turn);
                        self.round = Round::Moving(Moving {
                            until: turn.now + turn.config.answer_within,
                            origin,
                            told_up_to: told_up_to.filter(|_| is_range),
                            todo: transfers,
                            under_way: BTreeMap::new(),
                            failed: Vec::new(),
                            last_tried: None,
                            moved: self.missed.len() < before,
                        });
                        self.move_on(turn);
                    }
                    Answer::Refused(Refusal::StoreFailed | Refusal::Damaged)
                        if origin == Origin::Comparison =>
                    {
                        self.go_on_comparing(turn);
                    }
                    _ => self.came_to_nothing(turn),
                }
            }
            _ => {}
        }
    }

    fn go_on_comparing(&mut self, turn: &mut Turn<'_>) {
        self.comparison.advance(None, turn.now, turn.config.compare_every);
        if self.comparison.next().is_some() {
            return self.compare_next(turn);
        }
        self.end_round(turn);
    }

    /// Something could not be sent.
    pub(super) fn not_sent(&mut self, number: u64, turn: &mut Turn<'_>) {
        match &mut self.round {
            Round::Comparing { number: asked, .. }
            | Round::Listing { number: asked, .. }
            | Round::CatchingUp { number: asked, .. }
                if *asked == number =>
            {
                self.came_to_nothing(turn);
            }
            Round::Moving(moving) => {
                moving.failed.extend(moving.under_way.remove(&number));
                self.move_on(turn);
            }
            _ => {}
        }
    }

    pub(super) fn end_round(&mut self, turn: &Turn<'_>) {
        self.round = Round::Idle;
        self.retry = turn.config.retry.0;
        let routine = self.missed.is_empty() && self.comparison.is_routine();
        self.next_at = turn.now + if routine { turn.config.routine_pause } else { turn.config.pause };
    }

    /// Tries again later, and ever later.
    pub(super) fn came_to_nothing(&mut self, turn: &Turn<'_>) {
        self.round = Round::Idle;
        self.comparison.interrupt();
        self.next_at = turn.now + self.retry;
        self.retry = (self.retry * 2).min(turn.config.retry.1);
    }
}
