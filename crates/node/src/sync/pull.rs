//! Pulling from one source, page by page, in the order of the store.
//!
//! One question is under way at a time. What has come is made durable meanwhile, page after page ([`super::merging`]); what is
//! durable up to some key is not asked for again, whatever happens.

use super::coverage::cut;
use super::merging::{Merged, Merging};
use super::message::{Answer, Contents, Has, Question};
use super::{Action, Config, Entry, FIRST_NUMBER, Moved, OwnPage};
use crate::repair::ranges::{Order, Range, digest_of};
use abd::{CallId, Instant, NodeId, Reply, Scope, Version};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// Ranges that a source could not read, remembered one by one. Beyond it all in between counts as one.
const LOST_MAX: usize = 1024;
/// Keys that came are remembered for others, so many at the most.
const FETCHED_MAX: usize = 1024;

/// What a pull's methods need of the whole.
pub(super) struct Turn<'a> {
    pub(super) config: &'a Config,
    /// Between two pages, beside what the rates ask for.
    pub(super) page_pause: Duration,
    pub(super) now: Instant,
    pub(super) numbers: &'a mut u64,
    pub(super) actions: &'a mut VecDeque<Action>,
    pub(super) moved: &'a mut Moved,
    /// Set when the pull does not go on by itself.
    pub(super) ended: Option<Ended>,
}

impl Turn<'_> {
    pub(super) fn number(&mut self) -> u64 {
        *self.numbers += 1;
        FIRST_NUMBER | *self.numbers
    }
}

/// How a pull has ended, for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// All that the source could read is durable here: what came, and what was the same.
    All,
    /// Something was refused, or not answered. What is durable stays so.
    Nothing,
}

#[derive(Debug)]
enum Step {
    Idle,
    /// The own store is looked at.
    Looking {
        look: u64,
    },
    /// The source was asked.
    Asking {
        number: u64,
        until: Instant,
        page: OwnPage,
        together: bool,
    },
}

#[derive(Debug)]
pub(super) struct Pull {
    source: NodeId,
    scope: Scope,
    records: bool,
    /// Everything up to this key is durable here, or lost there.
    durable: Option<Bytes>,
    /// Everything up to this key has come, or was the same.
    come: Option<Bytes>,
    /// The last page has come.
    all_come: bool,
    step: Step,
    /// The next question is asked no earlier: rates are bounded.
    next_at: Instant,
    /// When the last page was looked for. The way to the source and back is a part of the time that a page is given.
    began: Instant,
    /// Pages that are being made durable, in order.
    pages: VecDeque<Merging>,
    /// All of them are, and this flush of the own disk is waited for, so long.
    flush: Option<(u64, Instant)>,
    /// The last page differed, so the next one may as well.
    differs: bool,
    lost: Vec<Range>,
    fetched: Vec<(Bytes, Version)>,
    /// Whether something has become durable since somebody asked.
    progress: bool,
    /// Pages that have become durable, before everything was asked for once more.
    durable_pages: u64,
    /// Everything is asked for once more.
    again: bool,
}

impl Pull {
    pub(super) fn new(source: NodeId, scope: Scope, records: bool) -> Self {
        Self {
            source,
            scope,
            records,
            durable: None,
            come: None,
            all_come: false,
            step: Step::Idle,
            next_at: Instant::default(),
            began: Instant::default(),
            pages: VecDeque::new(),
            flush: None,
            differs: false,
            lost: Vec::new(),
            fetched: Vec::new(),
            progress: false,
            durable_pages: 0,
            again: false,
        }
    }

    /// Ranges that the source could not read.
    pub(super) fn lost(&self) -> &[Range] {
        &self.lost
    }

    pub(super) fn has_begun(&self) -> bool {
        self.durable.is_some()
    }

    /// Pages that have become durable, each counted once.
    pub(super) fn durable_pages(&self) -> u64 {
        self.durable_pages
    }

    /// Whether something has become durable since the last time.
    pub(super) fn take_progress(&mut self) -> bool {
        core::mem::take(&mut self.progress)
    }

    /// What is under way is forgotten. It goes on behind what is durable.
    pub(super) fn interrupt(&mut self) {
        (self.step, self.flush) = (Step::Idle, None);
        self.pages.clear();
        (self.come, self.all_come) = (self.durable.clone(), false);
    }

    /// Everything is asked for once more.
    pub(super) fn begin_again(&mut self) {
        (self.durable, self.differs, self.again) = (None, false, true);
        self.lost.clear();
        self.interrupt();
    }

    pub(super) fn wake_at(&self, config: &Config) -> Option<Instant> {
        let step = match &self.step {
            Step::Idle => self.may_ask(config).then_some(self.next_at),
            Step::Looking { .. } => None,
            Step::Asking { until, .. } => Some(*until),
        };
        let flush = self.flush.map(|(_, until)| until);
        step.into_iter().chain(self.pages.front().map(Merging::until)).chain(flush).min()
    }

    /// Not while too much that has come is not durable yet.
    fn may_ask(&self, config: &Config) -> bool {
        let waiting: usize = self.pages.iter().map(Merging::bytes).sum();
        !self.all_come && matches!(self.step, Step::Idle) && waiting <= config.window_bytes
    }

    pub(super) fn poll(&mut self, turn: &mut Turn<'_>) {
        let is_late = match &self.step {
            Step::Asking { until, .. } => *until <= turn.now,
            Step::Idle | Step::Looking { .. } => false,
        };
        let is_late = is_late || self.flush.is_some_and(|(_, until)| until <= turn.now);
        if is_late || self.pages.front().is_some_and(|page| page.until() <= turn.now) {
            return self.fail(turn);
        }
        if self.may_ask(turn.config) && self.next_at <= turn.now {
            let look = turn.number();
            let (after, records) = (self.come.clone(), self.records);
            turn.actions.push_back(Action::Look { look, after, records });
            (self.step, self.began) = (Step::Looking { look }, turn.now);
        }
    }

    fn fail(&mut self, turn: &mut Turn<'_>) {
        self.interrupt();
        turn.ended = Some(Ended::Nothing);
    }

    /// A page of the own store; `None` if it cannot be read.
    pub(super) fn looked(&mut self, look: u64, page: Option<OwnPage>, turn: &mut Turn<'_>) {
        if !matches!(self.step, Step::Looking { look: expected } if expected == look) {
            return;
        }
        match page {
            None => self.fail(turn),
            // Nothing that is here could be the same.
            Some(page) if self.differs || page.digests.is_empty() => self.ask(page, false, turn),
            Some(page) => self.ask(page, true, turn),
        }
    }

    fn ask(&mut self, page: OwnPage, together: bool, turn: &mut Turn<'_>) {
        let number = turn.number();
        let has = if together {
            let count = u32::try_from(page.digests.len()).unwrap_or(u32::MAX);
            Has::Together { count, digest: digest_of(&page.digests) }
        } else {
            Has::Each(page.digests.clone())
        };
        let question = Question { scope: self.scope, range: page.range.clone(), records: self.records, has };
        let call = CallId { operation: number, phase: 0 };
        turn.actions.push_back(Action::Ask { source: self.source, call, question });
        self.step = Step::Asking { number, until: turn.now + turn.config.answer_within, page, together };
    }

    /// The source's answer to a question.
    pub(super) fn handle_answer(&mut self, number: u64, answer: Answer, order: Order, turn: &mut Turn<'_>) {
        let Step::Asking { number: asked, together, .. } = &self.step else { return };
        if *asked != number {
            return;
        }
        let together = *together;
        let Step::Asking { page, .. } = core::mem::replace(&mut self.step, Step::Idle) else { return };
        match answer {
            Answer::Same if together => {
                self.differs = false;
                let contents = Contents { told_up_to: page.range.up_to.clone(), ..Contents::default() };
                self.take(&page, contents, turn);
            }
            Answer::Differs if together => self.ask(page, false, turn),
            Answer::Contents(contents) if !together && is_within(&page.range, &contents, order) => {
                self.differs = !contents.entries.is_empty();
                self.take(&page, contents, turn);
            }
            Answer::Same | Answer::Differs | Answer::Contents(_) | Answer::Refused(_) => self.fail(turn),
        }
    }

    /// A page has come, or is the same.
    fn take(&mut self, page: &OwnPage, contents: Contents, turn: &mut Turn<'_>) {
        let range = cut(&page.range, contents.told_up_to.as_ref());
        (self.come, self.all_come) = (range.up_to.clone(), range.up_to.is_none());
        self.remember_fetched(&contents);
        let merging = Merging::new(range, contents, turn);
        let Config { keys_per_second, bytes_per_second, compared_per_second, .. } = turn.config;
        let costs = [
            (merging.keys(), *keys_per_second),
            (merging.bytes(), *bytes_per_second),
            (page.digests.len(), *compared_per_second),
        ];
        let pause: Duration = costs.into_iter().map(|(count, rate)| time_for(count, rate)).sum();
        self.next_at = self.began + pause + turn.page_pause;
        turn.moved.differing += u64::from(merging.keys() > 0);
        turn.moved.pages += 1;
        turn.moved.compared += page.digests.len() as u64;
        self.pages.push_back(merging);
        self.merge(turn);
    }

    /// A reply of the source, or of the own replica (`is_own`).
    pub(super) fn handle_reply(&mut self, number: u64, is_own: bool, reply: Reply, turn: &mut Turn<'_>) {
        if is_own && self.flush.take_if(|(flush, _)| *flush == number).is_some() {
            return match reply {
                Reply::Written { .. } => turn.ended = Some(Ended::All),
                _ => self.fail(turn),
            };
        }
        let Some(page) = self.pages.front_mut() else { return };
        if page.waits_for(number) {
            page.handle_reply(number, is_own, reply, turn);
            self.merge(turn);
        }
    }

    /// Makes durable what has come, one page after the other.
    fn merge(&mut self, turn: &mut Turn<'_>) {
        while let Some(page) = self.pages.front_mut() {
            match page.go_on(self.source, turn) {
                Merged::NotYet => return,
                Merged::Failed => return self.fail(turn),
                Merged::All => {}
            }
            let Some(page) = self.pages.pop_front() else { return };
            self.progress = true;
            self.durable_pages += u64::from(!self.again);
            turn.moved.keys += page.keys() as u64;
            turn.moved.bytes += page.bytes() as u64;
            let (range, lost) = page.into_told();
            self.remember_lost(lost);
            if range.up_to.is_none() {
                self.end(turn);
            } else {
                self.durable = range.up_to;
            }
        }
    }

    /// All has come and is merged. What is accepted here counts as the same as soon as it is in memory, so whatever waits for the disk is
    /// waited for before the pull counts (rule C3): after a crash it would be gone. Versions are compared as the disk has them.
    fn end(&mut self, turn: &mut Turn<'_>) {
        if !self.records {
            turn.ended = Some(Ended::All);
            return;
        }
        let number = turn.number();
        turn.actions.push_back(Action::Flush { call: CallId { operation: number, phase: 0 } });
        self.flush = Some((number, turn.now + turn.config.answer_within));
    }

    /// A few keys may be what others lack, too; many are what a majority had written.
    fn remember_fetched(&mut self, contents: &Contents) {
        if self.records {
            return;
        }
        let room = FETCHED_MAX - self.fetched.len();
        let of = |entry: &Entry| (Bytes::copy_from_slice(&entry.key), entry.newest.version());
        self.fetched.extend(contents.entries.iter().take(room).map(of));
    }

    /// Keys that came, and which versions: so many as were remembered.
    pub(super) fn take_fetched(&mut self) -> Vec<(Bytes, Version)> {
        core::mem::take(&mut self.fetched)
    }

    fn remember_lost(&mut self, lost: Vec<Range>) {
        self.lost.extend(lost);
        if self.lost.len() > LOST_MAX {
            // They come in order, so the first begins and the last ends it.
            let up_to = self.lost.last().and_then(|last| last.up_to.clone());
            self.lost.truncate(1);
            self.lost[0].up_to = up_to;
        }
    }

    /// There was no way for a question.
    pub(super) fn not_sent(&mut self, number: u64, turn: &mut Turn<'_>) {
        let is_asked = matches!(self.step, Step::Asking { number: asked, .. } if asked == number);
        if is_asked || self.pages.front().is_some_and(|page| page.waits_for(number)) {
            self.fail(turn);
        }
    }
}

/// Whether contents are of a range, in its order, and lead on. Whoever sends others speaks of another store.
fn is_within(range: &Range, contents: &Contents, order: Order) -> bool {
    let told = cut(range, contents.told_up_to.as_ref());
    let keys = contents.entries.iter().map(|entry| &entry.key);
    let ends = told
        .after
        .iter()
        .chain(keys)
        .chain(contents.told_up_to.iter().filter(|_| contents.entries.is_empty()));
    let ascend = ends.clone().zip(ends.skip(1)).all(|(one, next)| order(one, next).is_lt());
    let last = contents.entries.last().map(|entry| &entry.key).or(contents.told_up_to.as_ref());
    let within = |key: Option<&Bytes>, end: Option<&Bytes>| match (key, end) {
        (Some(key), Some(end)) => order(key, end).is_le(),
        _ => true,
    };
    ascend && within(last, told.up_to.as_ref()) && within(contents.told_up_to.as_ref(), range.up_to.as_ref())
}

/// How long so many take at a rate.
fn time_for(count: usize, per_second: u32) -> Duration {
    let nanos = (count as u64).saturating_mul(1_000_000_000) / u64::from(per_second.max(1));
    Duration::from_nanos(nanos)
}
