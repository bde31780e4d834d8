//! Reads everything now and then, so that damage is found before somebody needs what was there (rule S3).
//!
//! A round reads all tables block by block, and the large values that they point at, no faster than it is told. A table that is
//! damaged is repaired at once, as one that a read or a merge has met; a large value that cannot be read is lost with its key.
//! What memtables and the batches behind them have is in memory, and goes to tables from there.

use super::upkeep::Upkeep;
use super::workers::stand_back;
use crate::damage::Part;
use crate::database::DatabaseError;
use crate::disk::ground::failure::caught;
use crate::disk::ground::values::{PointerTarget, Stored};
use crate::encoding::key;
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A processor that others want is theirs.
const NICE: i32 = 19;
/// Bytes that are read at once.
const AT_ONCE: u64 = 256 << 10;
/// A round that took longer than this is followed by a pause that is so many times as long as that of a short one: what is large is
/// not read without an end.
const LONG_ROUND: Duration = Duration::from_secs(40);
const LONG_PAUSE: u32 = 240;
/// Large values of one table that may be found damaged in one round; the next one finds the others.
const SUSPECTS_MAX: usize = 1_000;

/// When everything is read, and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scrub {
    /// The first round begins so long after the start. `None`: there is none.
    pub after: Option<Duration>,
    /// The pause between two short rounds.
    pub pause: Duration,
    /// Bytes that are read in a second.
    pub bytes_per_second: u64,
}

impl Scrub {
    /// No round at all.
    pub const OFF: Self = Self { after: None, pause: Duration::MAX, bytes_per_second: 1 };
}

impl Default for Scrub {
    /// A gigabyte is through in less than half a minute, and soon looked at again.
    fn default() -> Self {
        let (after, pause) = (Duration::from_secs(5), Duration::from_secs(15));
        Self { after: Some(after), pause, bytes_per_second: 40 << 20 }
    }
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubStatus {
    /// Rounds to the end.
    pub rounds: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Tables and large values that were damaged.
    pub damaged: u64,
}

/// The rounds of one database.
pub(crate) struct Scrubber {
    scrub: Scrub,
    stop: Mutex<bool>,
    stopped: Condvar,
    rounds: AtomicU64,
    bytes: AtomicU64,
    damaged: AtomicU64,
}

/// How fast a round is.
struct Pace<'a> {
    scrubber: &'a Scrubber,
    begun: Instant,
    read: u64,
    /// Bytes since it was last looked at.
    more: u64,
}

impl Scrubber {
    pub(crate) fn new(scrub: Scrub) -> Self {
        Self {
            scrub,
            stop: Mutex::new(false),
            stopped: Condvar::new(),
            rounds: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
        }
    }

    pub(crate) fn status(&self) -> ScrubStatus {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ScrubStatus { rounds: read(&self.rounds), bytes: read(&self.bytes), damaged: read(&self.damaged) }
    }

    /// Lets the thread end.
    pub(crate) fn stop(&self) {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stopped.notify_all();
    }

    /// Waits so long, or until it is to stop; whether it goes on.
    fn wait(&self, time: Duration) -> bool {
        let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.stopped.wait_timeout_while(stop, time, |stop| !*stop);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// What its thread does. `fails` hears of what is no damage.
    pub(crate) fn run(&self, upkeep: &Upkeep, fails: impl Fn(&DatabaseError)) {
        let Some(mut pause) = self.scrub.after else { return };
        stand_back(NICE);
        while self.wait(pause) {
            let begun = Instant::now();
            let round = caught(|| self.round(upkeep))
                .unwrap_or_else(|panic| Err(DatabaseError::Fatal(format!("the engine panicked: {panic}"))));
            match round {
                Ok(true) => {
                    self.rounds.fetch_add(1, Ordering::Relaxed);
                }
                Ok(false) => return,
                Err(DatabaseError::Full(why)) => log::warn!("no room to repair tables: {why}"),
                Err(why) => {
                    log::error!("tables cannot be looked into: {why}");
                    fails(&why);
                }
            }
            let is_long = begun.elapsed() > LONG_ROUND;
            pause = self.scrub.pause.saturating_mul(if is_long { LONG_PAUSE } else { 1 });
        }
    }

    /// Reads everything; `false` if it was stopped before the end.
    fn round(&self, upkeep: &Upkeep) -> Result<bool, DatabaseError> {
        let mut pace = Pace { scrubber: self, begun: Instant::now(), read: 0, more: 0 };
        for number in upkeep.tables.tree().numbers() {
            let (mut suspects, mut goes_on) = (Vec::new(), true);
            let files = upkeep.tables.look().files.clone();
            let tree = upkeep.tables.tree();
            let is_whole = tree.scrub(number, |key, value| {
                goes_on = goes_on && pace.has_read((key.len() + value.len()) as u64);
                if let Ok(Stored::At(pointer, _)) = Stored::read(value.clone())
                    && suspects.len() < SUSPECTS_MAX
                {
                    goes_on = goes_on && pace.has_read(u64::from(pointer.length));
                    if !matches!(files.read(&pointer), Ok(PointerTarget::Value(_))) {
                        suspects.push(Bytes::copy_from_slice(key));
                    }
                }
                goes_on
            })?;
            drop((files, tree));
            if !goes_on {
                return Ok(false);
            }
            if !is_whole && upkeep.repair_table(number)? {
                self.damaged.fetch_add(1, Ordering::Relaxed);
            }
            self.lose(upkeep, &suspects)?;
        }
        self.bytes.fetch_add(pace.more, Ordering::Relaxed);
        Ok(true)
    }

    /// Of the data keys whose large values could not be read those are lost whose value is in use.
    fn lose(&self, upkeep: &Upkeep, suspects: &[Bytes]) -> Result<(), DatabaseError> {
        let mut lost = Vec::new();
        for suspect in suspects {
            let view = upkeep.tables.look();
            if view.damaged.check(suspect).is_ok()
                && let Err(DatabaseError::Unreadable { why, .. }) = view.get(suspect)
            {
                log::error!("this replica abstains for a key whose value is damaged: {why}");
                lost.push(Part::of_prefix(key::parts(suspect).0));
            }
        }
        self.damaged.fetch_add(lost.len() as u64, Ordering::Relaxed);
        if lost.is_empty() { Ok(()) } else { upkeep.lose(lost) }
    }
}

impl Pace<'_> {
    /// So many bytes were read. Waits until that is no more than should have been read by now; whether to go on.
    fn has_read(&mut self, bytes: u64) -> bool {
        self.more += bytes;
        if self.more < AT_ONCE {
            return true;
        }
        self.read += self.more;
        self.scrubber.bytes.fetch_add(std::mem::take(&mut self.more), Ordering::Relaxed);
        let micros =
            u128::from(self.read) * 1_000_000 / u128::from(self.scrubber.scrub.bytes_per_second.max(1));
        let due = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        self.scrubber.wait(due.saturating_sub(self.begun.elapsed()))
    }
}
