//! The threads behind a database: one makes journal segments and writes full memtables to tables, one merges tables, one
//! collects large values, one looks for damage.
//!
//! Nobody waits for them but a writer that is two memtables ahead. A full disk puts their work off, for a second or until
//! they are called; any other failure is final, and the next write says so.

use super::collect::Collector;
use super::scrub::Scrubber;
use super::upkeep::Upkeep;
use crate::database::DatabaseError;
use crate::disk::ground::log::{Blank, Segment};
use crate::disk::ground::tables::Full;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Full memtables that may wait; then writers wait.
const WAITING_MAX: usize = 2;
/// After this time a full disk is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// What a merge gets of a processor that others want too is about a tenth of what one of them gets.
const MERGE_NICE: i32 = 10;

/// What the threads and the writer tell each other.
pub(crate) struct Work {
    state: Mutex<State>,
    /// Something is to do.
    called: Condvar,
    /// Something was done, or failed.
    done: Condvar,
    pub(crate) collector: Arc<Collector>,
    pub(crate) scrubber: Scrubber,
}

#[derive(Default)]
struct State {
    full: VecDeque<Arc<Full>>,
    /// All batches up to this one are in synced tables.
    flushed: u64,
    /// Nobody new looks at memtables up to this batch.
    settled: u64,
    /// A merge is due, or going on.
    merge: bool,
    merging: bool,
    /// A segment is wanted, or is being made.
    blank: Option<Blank>,
    making: bool,
    spare: Option<Segment>,
    /// The disk had no room for a table at the last attempt.
    no_room: Option<String>,
    attempts: u64,
    failed: Option<DatabaseError>,
    stop: bool,
}

impl State {
    /// Whether anything but writing a memtable is due or going on.
    fn is_busy(&self) -> bool {
        self.merge || self.merging || self.blank.is_some() || self.making
    }
}

impl Work {
    pub(crate) fn new(flushed: u64, collector: Arc<Collector>, scrubber: Scrubber) -> Arc<Self> {
        let state = Mutex::new(State { flushed, ..State::default() });
        Arc::new(Self { state, called: Condvar::new(), done: Condvar::new(), collector, scrubber })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All batches up to this one are in synced tables.
    pub(crate) fn flushed(&self) -> Result<u64, DatabaseError> {
        let state = self.state();
        state.failed.clone().map_or(Ok(state.flushed), Err)
    }

    /// Has every further write refused, unless it is a lack of room.
    pub(crate) fn fail(&self, why: &DatabaseError) {
        if !matches!(why, DatabaseError::Full(_) | DatabaseError::Unreadable { .. }) {
            self.state().failed.get_or_insert_with(|| why.clone());
            self.called.notify_all();
            self.done.notify_all();
        }
    }

    /// Says that nobody new looks at the memtables up to this batch, all of which are in synced tables.
    pub(crate) fn settled(&self, flushed: u64) {
        self.state().settled = flushed;
        self.called.notify_all();
    }

    /// Hands over a full memtable.
    pub(crate) fn push(&self, full: Full) {
        self.state().full.push_back(Arc::new(full));
        self.called.notify_all();
    }

    /// Whether a full memtable waits.
    pub(crate) fn has_full(&self) -> bool {
        !self.state().full.is_empty()
    }

    /// Asks for a journal segment, if nobody is at one.
    pub(crate) fn ask_for(&self, blank: impl FnOnce() -> Blank) {
        let mut state = self.state();
        if state.blank.is_none() && !state.making && state.spare.is_none() && state.no_room.is_none() {
            state.blank = Some(blank());
            self.called.notify_all();
        }
    }

    /// Has tables merged that should be, and looked into that are under suspicion.
    fn call_merge(&self) {
        self.state().merge = true;
        self.called.notify_all();
    }

    /// A segment that was asked for, if it is ready.
    pub(crate) fn take_spare(&self) -> Option<Segment> {
        self.state().spare.take()
    }

    /// Waits until there is room for another full memtable; if `all`, until nothing is left to do.
    ///
    /// # Errors
    /// What the threads failed with; [`DatabaseError::Full`] while there is no room on the disk.
    pub(crate) fn wait(&self, all: bool) -> Result<(), DatabaseError> {
        let limit = if all { 1 } else { WAITING_MAX };
        let mut state = self.state();
        let attempts = state.attempts;
        loop {
            if let Some(failed) = &state.failed {
                return Err(failed.clone());
            }
            if state.full.len() < limit && !(all && state.is_busy()) {
                return Ok(());
            }
            if let Some(why) = &state.no_room {
                if state.attempts > attempts + 1 {
                    return Err(DatabaseError::Full(why.clone()));
                }
                // There may be room by now: an attempt that begins after this call decides.
                self.called.notify_all();
            }
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Starts the threads.
    pub(crate) fn start(self: &Arc<Self>, upkeep: &Arc<Upkeep>) -> std::io::Result<Vec<JoinHandle<()>>> {
        let spawn = |name: &str, run: fn(&Self, &Upkeep)| {
            let (work, upkeep) = (self.clone(), upkeep.clone());
            std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&work, &upkeep))
        };
        let work = self.clone();
        upkeep.suspicion().tell(move || work.call_merge());
        let collect = |work: &Self, upkeep: &Upkeep| work.collector.run(&upkeep.tables);
        let scrub = |work: &Self, upkeep: &Upkeep| work.scrubber.run(upkeep, |why| work.fail(why));
        Ok(vec![
            spawn("flush", Self::run_flush)?,
            spawn("merge", Self::run_merge)?,
            spawn("collect", collect)?,
            spawn("scrub", scrub)?,
        ])
    }

    /// Lets the threads end when what they do is done.
    pub(crate) fn stop(&self) {
        self.state().stop = true;
        self.called.notify_all();
        self.done.notify_all();
        self.collector.stop();
        self.scrubber.stop();
    }

    fn run_flush(&self, upkeep: &Upkeep) {
        // Kept until nobody else has it: to free it takes milliseconds, which a writer had better not spend.
        let mut written: Vec<Arc<Full>> = Vec::new();
        let mut state = self.state();
        while !state.stop && state.failed.is_none() {
            let settled = state.settled;
            if written.iter().any(|full| full.last <= settled) {
                drop(state);
                written.retain(|full| full.last > settled);
                state = self.state();
                continue;
            }
            // A segment first: a writer may need it before the memtable is written.
            if let Some(blank) = state.blank.take() {
                state.making = true;
                drop(state);
                let made = self.collector.used_segment(&blank).map_or_else(|| blank.make(), Ok);
                state = self.state();
                state.making = false;
                match made {
                    Ok(segment) => state.spare = Some(segment),
                    // Whoever needs a segment makes one, and hears why it can't be.
                    Err(why) => log::debug!("{why}"),
                }
                self.done.notify_all();
                continue;
            }
            let Some(full) = state.full.front().cloned() else {
                state = self.called.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            let flushed = upkeep.flush(&full);
            state = self.state();
            state.attempts += 1;
            match flushed {
                Ok(()) => {
                    state.full.pop_front();
                    state.flushed = full.last;
                    written.push(full);
                    (state.no_room, state.merge) = (None, true);
                    self.called.notify_all();
                }
                Err(DatabaseError::Full(why)) => {
                    log::error!("recent writes stay in the journal for now: {why}");
                    state.no_room = Some(why);
                    self.done.notify_all();
                    state = self
                        .called
                        .wait_timeout(state, RETRY_AFTER)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0;
                }
                Err(why) => state.failed = Some(why),
            }
            self.done.notify_all();
        }
    }

    fn run_merge(&self, upkeep: &Upkeep) {
        stand_back(MERGE_NICE);
        let mut state = self.state();
        while !state.stop && state.failed.is_none() {
            if !std::mem::take(&mut state.merge) {
                state = self.called.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.merging = true;
            drop(state);
            let merged = upkeep.look_into_suspicion().and_then(|()| upkeep.merge());
            state = self.state();
            state.merging = false;
            match merged {
                Ok(more) => state.merge |= more,
                // The next flush brings it up again.
                Err(DatabaseError::Full(why)) => log::warn!("no room to merge tables: {why}"),
                Err(why) => state.failed = Some(why),
            }
            self.done.notify_all();
        }
    }
}

/// Lets threads that somebody waits for have the processor first. Not the one that writes memtables and makes segments: a
/// writer may be waiting for it. The end of a merge, under a lock that readers take who miss the cache, is slower, too.
pub(super) fn stand_back(nice: i32) {
    // Elsewhere the whole process would stand back.
    #[cfg(target_os = "linux")]
    if let Err(why) = rustix::process::nice(nice) {
        log::debug!("work in the background runs like everything else: {why}");
    }
}

#[cfg(test)]
mod tests {
    use super::super::scrub::Scrub;
    use super::*;

    #[test]
    fn what_a_thread_failed_with_is_told_to_the_next_write() {
        let work = Work::new(5, Collector::new(Vec::new()), Scrubber::new(Scrub::OFF));
        assert_eq!(work.flushed().unwrap(), 5);
        work.state().failed = Some(DatabaseError::Fatal("a disk that fails".into()));
        for told in [work.flushed().map(drop), work.wait(false), work.wait(true)] {
            assert!(matches!(&told, Err(DatabaseError::Fatal(why)) if why.contains("fails")), "{told:?}");
        }
    }
}
