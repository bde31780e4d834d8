//! A walk through the own store, page by page, that finds out what one peer lacks: how far it is, and what comes next.

use super::ranges::{Chunk, Page, Range};
use crate::sync::message::Wanted;
use abd::Instant;
use alloc::{vec, vec::Vec};
use bytes::Bytes;
use core::time::Duration;

/// How much somebody waits for a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// Nobody knows of anything that the peer lacks.
    Routine,
    /// The peer has missed more than the list could hold.
    Behind,
}

/// The comparison with one peer.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// Set while one is wanted.
    urgency: Option<Urgency>,
    /// More was missed behind the present position: from the start once more.
    again: bool,
    /// Everything up to this key has been compared.
    position: Option<Bytes>,
    /// Parts of the present page that have not been compared, the next one at the end.
    waiting: Vec<Chunk>,
    /// Keys compared in this walk.
    compared: u64,
    /// Since when the peer misses something that only this comparison will find.
    since: Option<Instant>,
    /// Under which number the peer was asked to look for itself.
    wanted: Option<u64>,
    /// When the next one is due by itself.
    due: Option<Instant>,
}

impl Comparison {
    /// Wants a walk through everything that the store holds from now on.
    pub(super) fn want(&mut self, urgency: Urgency, since: Option<Instant>) {
        self.again |= self.is_under_way();
        self.urgency = self.urgency.max(Some(urgency));
        self.since = self.since.into_iter().chain(since).min();
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.urgency.is_some()
    }

    /// Whether a walk has begun.
    pub(super) fn is_under_way(&self) -> bool {
        self.is_wanted() && (self.position.is_some() || !self.waiting.is_empty() || self.wanted.is_some())
    }

    pub(super) fn is_routine(&self) -> bool {
        self.urgency == Some(Urgency::Routine)
    }

    /// Keys compared so far, while one is wanted.
    pub(super) fn progress(&self) -> Option<u64> {
        self.urgency.map(|_| self.compared)
    }

    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Begins the next walk if it is time.
    pub(super) fn look_at_the_clock(&mut self, now: Instant) {
        if !self.is_wanted() && self.due.is_some_and(|due| due <= now) {
            self.want(Urgency::Routine, None);
        }
    }

    /// Where the next page begins.
    pub(super) fn rest(&self) -> Range {
        Range { after: self.position.clone(), up_to: None }
    }

    pub(super) fn take_page(&mut self, page: Page) {
        self.waiting = vec![Chunk::of_page(self.position.clone(), page)];
    }

    /// The next part to compare.
    pub(super) fn next(&self) -> Option<&Chunk> {
        self.waiting.last()
    }

    /// The next part is not the same at the peer: smaller ones are.
    pub(super) fn split(&mut self) {
        if let Some(chunk) = self.waiting.pop() {
            self.waiting.extend(chunk.split().into_iter().rev());
        }
    }

    /// The next part is done with; or what of it stands before `told_up_to`, as the peer has more there than fits into one
    /// answer.
    pub(super) fn advance(&mut self, told_up_to: Option<Bytes>, now: Instant, every: Option<Duration>) {
        let Some(chunk) = self.waiting.pop() else { return };
        self.compared += chunk.entries.len() as u64;
        if told_up_to.is_some() {
            // The own store may have more behind it by now, too.
            self.waiting.clear();
            self.position = told_up_to;
            return;
        }
        self.position = chunk.range.up_to;
        if self.position.is_none() {
            self.end(now, every);
        }
    }

    /// What the peer is to be asked for, which looks itself: under this number if it was not asked before; and whether it was not.
    pub(super) fn wanted(&mut self, number: u64) -> (Wanted, bool) {
        let is_new = self.wanted.is_none();
        let number = *self.wanted.get_or_insert(number);
        (Wanted { number, urgent: !self.is_routine() }, is_new)
    }

    /// The peer has compared so many keys.
    pub(super) fn is_told(&mut self, compared: u64) {
        self.compared = compared;
    }

    /// The peer has everything that was missed before it was asked.
    pub(super) fn has_caught_up(&mut self, now: Instant, every: Option<Duration>) {
        self.end(now, every);
    }

    fn end(&mut self, now: Instant, every: Option<Duration>) {
        (self.compared, self.position, self.wanted) = (0, None, None);
        if self.again {
            self.again = false;
            return;
        }
        (self.urgency, self.since) = (None, None);
        self.due = every.map(|every| now + every);
    }

    /// Forgets the present page. The walk goes on from its beginning.
    pub(super) fn interrupt(&mut self) {
        self.waiting.clear();
    }
}
