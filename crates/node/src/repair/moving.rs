//! The second half of a round: what one side has newer goes to the other.

use super::Action;
use super::message::KeyVersion;
use super::peer::{Listed, Origin, Peer, Round, Turn};
use abd::{Instant, Reply, Version};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;

/// Versions that may be under way to or from a peer at a time.
const WINDOW: usize = 16;

/// A version on its way.
#[derive(Clone, Debug)]
pub(super) struct Transfer {
    key: Bytes,
    way: Way,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// This node's newest goes to the peer; it was this when the round began.
    Push(Version),
    /// The peer's newest, at least this, comes here.
    Fetch { have: Version, theirs: Version },
    /// It has come and is being made durable here.
    Store(Version),
}

impl Way {
    /// What the side that is behind lacks.
    fn version(self) -> Version {
        match self {
            Self::Push(version) | Self::Store(version) | Self::Fetch { theirs: version, .. } => version,
        }
    }
}

#[derive(Debug)]
pub(super) struct Moving {
    pub(super) until: Instant,
    pub(super) origin: Origin,
    pub(super) told_up_to: Option<Bytes>,
    pub(super) todo: VecDeque<Transfer>,
    pub(super) under_way: BTreeMap<u64, Transfer>,
    pub(super) failed: Vec<Transfer>,
    pub(super) last_tried: Option<Bytes>,
    /// Whether anything has got where it was missed, or was there.
    pub(super) moved: bool,
}

impl Peer {
    /// Who lacks what.
    pub(super) fn transfers(
        &mut self,
        listed: Vec<Listed>,
        theirs: &[Version],
        others: Vec<KeyVersion>,
        turn: &Turn<'_>,
    ) -> VecDeque<Transfer> {
        let mut transfers = VecDeque::new();
        for ((key, own), theirs) in listed.into_iter().zip(theirs.iter().copied()) {
            match own {
                Some(own) if own > theirs => transfers.push_back(Transfer { key, way: Way::Push(own) }),
                Some(own) if own < theirs => {
                    transfers.push_back(Transfer { key, way: Way::Fetch { have: own, theirs } });
                }
                // A replica that abstains has nothing to send, and fetches only what a comparison finds: it would never know
                // that it has it.
                Some(_) | None => drop(self.missed.settle_or_forget(&key, theirs, turn.nowhere_since())),
            }
        }
        let fetches = others
            .into_iter()
            .map(|(key, theirs)| Transfer { key, way: Way::Fetch { have: Version::MIN, theirs } });
        transfers.extend(fetches);
        transfers
    }

    /// Sends as much as may be under way.
    pub(super) fn move_on(&mut self, turn: &mut Turn<'_>) {
        let Round::Moving(moving) = &mut self.round else { return };
        while moving.under_way.len() < WINDOW
            && moving.failed.is_empty()
            && let Some(transfer) = moving.todo.pop_front()
        {
            let number = turn.number();
            let (peer, call, key) = (self.id, super::call(number), transfer.key.clone());
            turn.actions.push_back(match transfer.way {
                Way::Fetch { have, .. } => Action::Fetch { peer, call, key, have },
                Way::Push(_) | Way::Store(_) => Action::Push { peer, call, key },
            });
            moving.last_tried = Some(transfer.key.clone());
            moving.under_way.insert(number, transfer);
        }
        if moving.under_way.is_empty() {
            self.end_of_transfers(turn);
        }
    }

    /// A reply to a transfer: of the peer, or of the own replica (`is_own`).
    pub(super) fn handle_reply(&mut self, number: u64, is_own: bool, reply: Reply, turn: &mut Turn<'_>) {
        let Round::Moving(moving) = &mut self.round else { return };
        let Some(transfer) = moving.under_way.get(&number) else { return };
        if matches!(transfer.way, Way::Store(_)) != is_own {
            return;
        }
        let Some(transfer) = moving.under_way.remove(&number) else { return };
        moving.until = turn.now + turn.config.answer_within;
        let Transfer { key, way } = transfer;
        match (way, reply) {
            (Way::Push(version), Reply::Written { .. }) => {
                self.counts.sent += 1;
                moving.moved |= self.missed.settle_or_forget(&key, version, turn.nowhere_since());
            }
            (Way::Fetch { have, .. }, Reply::Read(found))
                if found.version > have && found.content.is_some() =>
            {
                let version = found.version;
                turn.fetched.push((key.clone(), version));
                let Some(stamped) = found.stamped() else { unreachable!("its content is there") };
                let number = turn.number();
                let call = super::call(number);
                turn.actions.push_back(Action::Store { call, key: key.clone(), stamped });
                moving.under_way.insert(number, Transfer { key, way: Way::Store(version) });
            }
            (Way::Store(version), Reply::Written { .. }) => {
                self.counts.fetched += 1;
                moving.moved |= self.missed.settle_or_forget(&key, version, turn.nowhere_since());
            }
            (way, _) => moving.failed.push(Transfer { key, way }),
        }
        self.move_on(turn);
    }

    pub(super) fn give_up_transfers(&mut self) {
        if let Round::Moving(moving) = &mut self.round {
            moving.failed.extend(core::mem::take(&mut moving.under_way).into_values());
        }
    }

    /// Nothing is under way any more.
    pub(super) fn end_of_transfers(&mut self, turn: &mut Turn<'_>) {
        let Round::Moving(moving) = core::mem::replace(&mut self.round, Round::Idle) else { return };
        let has_failed = moving.origin == Origin::List || !moving.failed.is_empty();
        let came_to_nothing = has_failed && !moving.moved;
        // What was refused must not keep what stands behind it from its turn.
        if let (Origin::List, Some(last)) =
            (moving.origin, moving.last_tried.filter(|_| !moving.todo.is_empty()))
        {
            self.missed.go_on_behind(&last);
        }
        if moving.origin == Origin::Comparison {
            // The walk goes on; what it found is remembered.
            let left = moving.failed.into_iter().chain(moving.todo);
            let left: Vec<Transfer> = left.collect();
            self.comparison.advance(moving.told_up_to, turn.now, turn.config.compare_every);
            for transfer in left {
                self.misses(&transfer.key, transfer.way.version(), turn.config, turn.now);
            }
        }
        if came_to_nothing {
            return self.came_to_nothing(turn);
        }
        self.end_round(turn);
    }
}
