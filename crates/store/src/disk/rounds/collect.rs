//! Gives back segments that hold mostly what nobody points at.
//!
//! In a *round* the collector walks over the tables and counts, for each kept segment, the bytes that pointers lead to. A
//! segment with none is given back at once. Of those least in use every value still in use is *moved*: it is put again,
//! with one of the next batches, unless its key has been written since; then the segment is given back too. A round is
//! due when the kept segments have grown to more than three times what was in use after the last one, on a disk with
//! little room twice; under load it stops as soon as that is undone, because the longer a segment waits the less is to
//! be moved. When nobody waits, every segment goes that is less than two thirds in use, and small ones become one.
//!
//! Dominated versions (rule G1) are not in use: a table may go on to hold one until a merge leaves it out, and a view
//! that comes upon it takes it for what it is, gone.

use super::policy::{self, Effort};
use super::used::UsedSegments;
use crate::database::DatabaseError;
use crate::disk::ground::failure::caught;
use crate::disk::ground::log::{Blank, Kept, Segment};
use crate::disk::ground::tables::Tables;
use crate::disk::ground::values::{Files, Location, Pointer, PointerTarget, Stored};
use crate::encoding::dominated::DominatedFilter;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So many pointers are remembered when they are counted.
const COUNTED_MAX: usize = 64 << 10;
/// Values that were read and wait for a batch.
const READY_BYTES: usize = 1 << 20;
/// On a full disk unused segments are looked for this often.
const FULL_EVERY: Duration = Duration::from_secs(10);
/// A value in use that is to be put again.
pub(crate) struct Move {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    /// Where it is now.
    pub(crate) from: Location,
}

/// A round that somebody waits for: the number of those that were to be over before it.
pub(crate) struct QuietRound(u64);

/// The kept segments, and the rounds.
#[derive(Default)]
pub(crate) struct Collector {
    state: Mutex<State>,
    /// A round is due, or a moved value has found its batch.
    called: Condvar,
    /// A value is ready, or the round is over.
    ready: Condvar,
}

#[derive(Default)]
struct State {
    kept: BTreeMap<u64, Kept>,
    kept_bytes: u64,
    /// What was in use after the last round; before the first one, half of what was kept at the start.
    in_use: u64,
    /// What was kept after the last round.
    kept_before: u64,
    /// Bytes of the tables that a round walks over.
    table_bytes: u64,
    /// Pointers that a round remembers at most when it counts them.
    counted_max: usize,
    /// Whether the file system has little room.
    little_room: bool,
    /// The round that was asked for, the one that is going on, and how many are over.
    asked: Option<Effort>,
    running: bool,
    rounds: u64,
    /// There are segments that are not marked as kept.
    unmarked: bool,
    /// When unused segments were looked for on a full disk.
    looked: Option<Instant>,
    moves: VecDeque<Move>,
    ready_bytes: usize,
    /// Moves that are in a batch which is being written.
    taken: usize,
    /// A batch with moves has failed.
    failed: bool,
    used: UsedSegments,
    stop: bool,
}

impl State {
    /// Gives back the segments that are there for heavy times.
    fn forget_used(&mut self) {
        self.used.take_all().for_each(Segment::delete);
    }

    /// Whether there is enough garbage for a round.
    fn is_due(&self) -> bool {
        policy::is_due(self.kept_bytes, self.in_use, self.table_bytes, self.times())
    }

    fn times(&self) -> u64 {
        policy::kept_times(self.little_room)
    }
}

impl Collector {
    /// With the segments that an earlier run has kept.
    pub(crate) fn new(kept: Vec<Kept>) -> Arc<Self> {
        let collector = Self::default();
        {
            let mut state = collector.state();
            state.kept_bytes = kept.iter().map(|kept| kept.segment.capacity).sum();
            state.kept = kept.into_iter().map(|kept| (kept.id(), kept)).collect();
            state.unmarked = true;
            state.counted_max = COUNTED_MAX;
            // Nothing is known about them: they may grow by a half.
            (state.in_use, state.kept_before) = (state.kept_bytes / 2, state.kept_bytes);
        }
        Arc::new(collector)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(on: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        on.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes segments over from the journal. `free`: bytes that the file system has left; `None` when it is full and no batch
    /// can take anything along.
    pub(crate) fn keep(&self, kept: Vec<Kept>, free: Option<u64>) {
        let mut state = self.state();
        state.little_room = free.is_none_or(|free| free < state.kept_bytes);
        for kept in kept {
            state.kept_bytes += kept.segment.capacity;
            state.kept.insert(kept.id(), kept);
        }
        state.unmarked = true;
        if free.is_some() && state.asked.is_none() && state.is_due() {
            state.asked = Some(Effort::UnderLoad);
        }
        self.called.notify_all();
    }

    /// Bytes of kept segments.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.state().kept_bytes
    }

    /// Bytes of all segments that it has.
    pub(crate) fn disk_bytes(&self) -> u64 {
        let state = self.state();
        state.kept_bytes + state.used.bytes()
    }

    /// A segment that has been used before and serves as the one that is asked for.
    pub(crate) fn used_segment(&self, blank: &Blank) -> Option<Segment> {
        self.state().used.take(blank)
    }

    /// Some values to go with a batch of `bytes`: about as much again. Each call but an empty-handed one is followed by
    /// one of [`Collector::moved`].
    pub(crate) fn take_moves(&self, bytes: u64) -> Vec<Move> {
        let mut state = self.state();
        let mut room = bytes.max(64 << 10);
        let mut moves = Vec::new();
        while let Some(next) = state.moves.pop_front() {
            let size = next.value.len();
            state.ready_bytes -= size;
            moves.push(next);
            room = room.saturating_sub(size as u64);
            if room == 0 {
                break;
            }
        }
        if !moves.is_empty() {
            state.taken += moves.len();
            self.called.notify_all();
        }
        moves
    }

    /// What became of so many values.
    pub(crate) fn moved(&self, count: usize, written: bool) {
        let mut state = self.state();
        state.taken -= count;
        state.failed |= !written;
        self.called.notify_all();
    }

    /// Begins a round if there is anything to gain. The caller then writes what is to be moved until
    /// [`Collector::wait_for_moves`] says that the round is over.
    pub(crate) fn begin_quiet_round(&self) -> Option<QuietRound> {
        let mut state = self.state();
        state.forget_used();
        let new = state.kept_bytes.saturating_sub(state.kept_before);
        let is_worth_it =
            policy::is_worth_quiet_round(state.kept_bytes, state.in_use, new, state.table_bytes);
        let sizes = state.kept.values().map(|kept| kept.segment.capacity);
        if !is_worth_it && !policy::are_many_small(sizes, state.kept_bytes) {
            return None;
        }
        state.asked = Some(Effort::Quiet);
        self.called.notify_all();
        Some(QuietRound(state.rounds + u64::from(state.running)))
    }

    /// Has segments that are not in use at all given back, on a disk that has no room to move anything.
    pub(crate) fn make_room(&self) {
        let mut state = self.state();
        state.forget_used();
        if state.running {
            // If it waits for values to be moved, it would for as long as the disk is full.
            state.failed = true;
            self.called.notify_all();
        }
        let looked = state.looked.is_some_and(|looked| looked.elapsed() < FULL_EVERY);
        if !looked && !state.kept.is_empty() {
            state.looked = Some(Instant::now());
            state.asked = Some(Effort::NoRoom);
            self.called.notify_all();
        }
    }

    /// Waits until a value is to be moved; `false` when the round is over.
    pub(crate) fn wait_for_moves(&self, round: &QuietRound) -> bool {
        let mut state = self.state();
        while state.moves.is_empty() && state.rounds <= round.0 && !state.stop {
            state = Self::wait(&self.ready, state);
        }
        state.rounds <= round.0 && !state.stop
    }

    /// Lets the thread end.
    pub(crate) fn stop(&self) {
        self.state().stop = true;
        self.called.notify_all();
        self.ready.notify_all();
    }

    /// What the collector's thread does.
    pub(crate) fn run(&self, tables: &Arc<Tables>) {
        loop {
            let mut state = self.state();
            while !state.stop && state.asked.is_none() && !state.unmarked {
                state = Self::wait(&self.called, state);
            }
            if state.stop {
                return;
            }
            if std::mem::take(&mut state.unmarked) {
                let marks: Vec<_> = state.kept.values_mut().filter_map(Kept::mark).collect();
                drop(state);
                marks.into_iter().for_each(|mark| mark());
                continue;
            }
            let Some(effort) = state.asked.take() else { continue };
            if effort == Effort::Quiet {
                // A round under load may have ended since it was asked for.
                state.forget_used();
            }
            (state.running, state.failed) = (true, false);
            let times = state.times();
            drop(state);
            let in_use = caught(|| self.round(tables, effort, times))
                .unwrap_or_else(|panic| Err(DatabaseError::Fatal(format!("the engine panicked: {panic}"))));
            let mut state = self.state();
            state.running = false;
            state.rounds += 1;
            (state.table_bytes, state.kept_before) = (tables.disk_bytes(), state.kept_bytes);
            state.in_use = in_use.unwrap_or_else(|why| {
                log::error!("large values cannot be collected: {why}");
                // Not again before there is as much more.
                state.kept_bytes
            });
            state.moves.clear();
            state.ready_bytes = 0;
            self.ready.notify_all();
        }
    }

    /// One round, which under load may leave so many times what is in use; returns how many bytes of large values are in
    /// use.
    fn round(&self, tables: &Arc<Tables>, effort: Effort, times: u64) -> Result<u64, DatabaseError> {
        // All pointers to segments that are kept by now are in tables by now.
        let (kept, counted_max): (BTreeMap<u64, u64>, usize) = {
            let state = self.state();
            (state.kept.iter().map(|(id, kept)| (*id, kept.segment.capacity)).collect(), state.counted_max)
        };
        let mut in_use: HashMap<u64, u64> = HashMap::new();
        // If there are few, what is to be moved is among what was counted; else another walk finds it.
        let mut counted: Vec<(Bytes, Pointer)> = Vec::new();
        let mut all_counted = effort != Effort::NoRoom;
        let walked = self.each_in_use(tables, |key, pointer| {
            *in_use.entry(pointer.location.segment).or_default() += u64::from(pointer.length);
            if !all_counted || !kept.contains_key(&pointer.location.segment) {
                return;
            }
            if counted.len() == counted_max {
                all_counted = false;
                counted = Vec::new();
                return;
            }
            counted.push((Bytes::copy_from_slice(key), pointer));
        })?;
        if !walked {
            return Ok(0);
        }
        let of = |id: &u64| in_use.get(id).copied().unwrap_or(0);
        let all: u64 = kept.keys().map(of).sum();
        let leave = policy::bytes_to_leave(effort, times, all);
        let (unused, victims): (BTreeSet<u64>, BTreeSet<u64>) =
            policy::victims(&kept, of, leave).into_iter().partition(|id| of(id) == 0);
        unused.iter().for_each(|id| self.give_back(tables, *id, effort));
        if effort != Effort::NoRoom {
            let emptied = self.move_values(tables, victims, all_counted.then_some(counted))?;
            emptied.iter().for_each(|id| self.give_back(tables, *id, effort));
        }
        Ok(all)
    }

    /// Has all values that are in use in these segments put again; returns those of which that is done. `counted`: all
    /// values that are in use, if they are known.
    fn move_values(
        &self,
        tables: &Arc<Tables>,
        mut victims: BTreeSet<u64>,
        counted: Option<Vec<(Bytes, Pointer)>>,
    ) -> Result<BTreeSet<u64>, DatabaseError> {
        if victims.is_empty() {
            return Ok(victims);
        }
        let mut files = Files::default();
        for (id, kept) in self.state().kept.iter().filter(|(id, _)| victims.contains(id)) {
            files.add(*id, &kept.segment.file);
        }
        // First all keys, so that no view is held while the values wait for batches.
        let is_of_victim = |pointer: &Pointer| victims.contains(&pointer.location.segment);
        let mut keys = Vec::new();
        if let Some(counted) = counted {
            keys.extend(counted.into_iter().filter(|(_, pointer)| is_of_victim(pointer)));
        } else {
            let walked = self.each_in_use(tables, |key, pointer| {
                if is_of_victim(&pointer) {
                    keys.push((Bytes::copy_from_slice(key), pointer));
                }
            })?;
            if !walked {
                return Ok(BTreeSet::new());
            }
        }
        // In the order in which they lie on the disk.
        keys.sort_unstable_by_key(|(_, pointer)| pointer.location);
        for (key, pointer) in keys {
            let value = match files.read(&pointer) {
                Ok(PointerTarget::Value(value)) => value,
                Ok(PointerTarget::Gone) => continue,
                // Whoever asks for it hears the same. The segment stays, and the other values go on.
                Err(DatabaseError::Unreadable { why, .. }) => {
                    log::error!("a large value cannot be moved: {why}");
                    victims.remove(&pointer.location.segment);
                    continue;
                }
                Err(why) => return Err(why),
            };
            let mut state = self.state();
            while state.ready_bytes > READY_BYTES && !state.stop && !state.failed {
                state = Self::wait(&self.called, state);
            }
            if state.stop || state.failed {
                return Ok(BTreeSet::new());
            }
            state.ready_bytes += value.len();
            state.moves.push_back(Move { key, value, from: pointer.location });
            self.ready.notify_all();
        }
        let mut state = self.state();
        while (state.taken > 0 || !state.moves.is_empty()) && !state.stop && !state.failed {
            state = Self::wait(&self.called, state);
        }
        Ok(if state.stop || state.failed { BTreeSet::new() } else { victims })
    }

    /// Takes a segment away; under load it is used again, if no view may look into it.
    fn give_back(&self, tables: &Tables, id: u64, effort: Effort) {
        tables.remove_file(id);
        let mut state = self.state();
        let Some(kept) = state.kept.remove(&id) else { return };
        state.kept_bytes -= kept.segment.capacity;
        let limit = policy::used_bytes_max(state.kept_bytes, state.little_room);
        drop(state);
        let segment = kept.segment;
        // No view may look into one that is used again.
        let unshared = Arc::strong_count(&segment.file) == 1;
        let of_use = effort == Effort::UnderLoad && segment.capacity <= limit && unshared;
        if !of_use || segment.wipe().is_err() {
            segment.delete();
            return;
        }
        let mut state = self.state();
        let too_many = state.used.add(segment, limit);
        drop(state);
        too_many.into_iter().for_each(Segment::delete);
    }

    /// Looks at every pointer in the tables that is a key's newest, and not to a dominated version; `false` if it was
    /// stopped before the end. A key is a part of a block of a table: what waits must not keep all of that.
    fn each_in_use(
        &self,
        tables: &Arc<Tables>,
        mut look: impl FnMut(&[u8], Pointer),
    ) -> Result<bool, DatabaseError> {
        let view = tables.look();
        let mut filter = DominatedFilter::new();
        for (count, entry) in view.in_tables().enumerate() {
            if count % 1024 == 0 && self.state().stop {
                return Ok(false);
            }
            let (key, stored) = entry?;
            let dominated = filter.is_dominated(&key);
            if let Stored::At(pointer, _) = stored
                && !dominated
            {
                look(&key, pointer);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod doors {
    //! What tests elsewhere do to a collector.

    use super::*;

    impl Collector {
        /// Has a value go with the next batch.
        pub(crate) fn offer(&self, offered: Move) {
            let mut state = self.state();
            state.ready_bytes += offered.value.len();
            state.moves.push_back(offered);
        }

        /// Begins a round, whatever it is worth.
        pub(crate) fn begin_round(&self, effort: Effort) -> QuietRound {
            let mut state = self.state();
            state.asked = Some(effort);
            self.called.notify_all();
            QuietRound(state.rounds)
        }

        /// Waits until there is nothing to do, and every kept segment is marked as such.
        pub(crate) fn settle(&self) {
            let is_marked = |kept: &Kept| {
                let mut magic = [0; 8];
                kept.segment.file.read_at(&mut magic, 0).is_ok() && magic == *b"AKVVALS1"
            };
            let is_busy = |state: &State| state.asked.is_some() || state.running || state.unmarked;
            let is_settled = |state: &State| !is_busy(state) && state.kept.values().all(is_marked);
            while !is_settled(&self.state()) {
                std::thread::sleep(Duration::from_micros(100));
            }
        }

        /// Has rounds remember no more pointers than that.
        pub(crate) fn count_at_most(&self, pointers: usize) {
            self.state().counted_max = pointers;
        }
    }
}
