//! Keys of which an accepted record may have been lost to damage (rule S3).
//!
//! A replica that has accepted a proposal for the newest version of a key and does not know it any more would break its word (rule
//! P7), as one would that does not know its mark (rule P5). So it abstains for such keys, and takes plain writes of them, as it does
//! where it may have lost a version. But here the doubt ends: what was lost is about a version that is here, and about none above
//! it, so with a newer version the replica is closed for all that it may have accepted or promised (rule P2').
//!
//! What was lost is found out when a replica starts and looks at all of its records. What it accepts after that it has in memory,
//! whatever becomes of the tables.

use crate::damage::{DamagedParts, Part};
use crate::database::{Database, DatabaseError, DatabaseIterator, Snapshot};
use crate::encoding::key;
use crate::encoding::space::{Range, Space};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// So many keys are remembered whose doubt is over; the next one takes the place of another. That one is in doubt again, which is
/// safe.
const OVER_MAX: usize = 1 << 16;

/// Which keys are in doubt.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Whether any are, for whoever asks in the way of every read.
    any: AtomicBool,
    /// Whether the mark was lost.
    all: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Where records may have been.
    parts: DamagedParts,
    /// The keys of records in these parts that are not in doubt any more.
    over: BTreeSet<Bytes>,
}

/// A record as it was found: its key and its bytes.
pub(super) type Found = (Bytes, Bytes);

impl Doubts {
    /// Looks at all records: those that can be read. Keys of which there may have been others are in doubt from here on.
    pub(super) fn look(&self, database: &impl Database) -> Result<Vec<Found>, DatabaseError> {
        let (mut found, mut lost) = (Vec::new(), Vec::new());
        let mut iterator = database.snapshot()?.iterator();
        for range in Space::ACCEPTED {
            look_at(&mut iterator, range, &mut found, &mut lost)?;
        }
        self.add(lost);
        Ok(found)
    }

    /// The mark was lost, and nobody knows what was promised below it: for any key.
    pub(super) fn add_all(&self) {
        let part = |(from, to)| Part { from: Bytes::from_static(from), to: Bytes::from_static(to) };
        self.add(Space::ACCEPTED.map(part));
        self.all.store(true, Ordering::Release);
    }

    /// Whether the mark was lost.
    pub(super) fn are_about_all(&self) -> bool {
        self.all.load(Ordering::Acquire)
    }

    /// The record of one key is not made use of.
    pub(super) fn add_one(&self, record_key: &[u8]) {
        self.add([Part::of_prefix(record_key)]);
    }

    fn add(&self, lost: impl IntoIterator<Item = Part>) {
        let mut state = self.state();
        lost.into_iter().for_each(|part| state.parts.add(part));
        self.any.store(!state.parts.is_empty(), Ordering::Release);
    }

    /// Where records may have been that are lost.
    pub(super) fn parts(&self) -> DamagedParts {
        self.state().parts.clone()
    }

    /// There are no doubts any more but about what lies in these parts.
    pub(super) fn forget_but(&self, lost: &DamagedParts) {
        let mut state = self.state();
        let is_lost =
            |part: &Part| lost.check_between(Bound::Included(&part.from), Bound::Excluded(&part.to)).is_err();
        let left = std::mem::take(&mut state.parts);
        left.iter().filter(|part| is_lost(part)).for_each(|part| state.parts.add(part.clone()));
        self.all.store(false, Ordering::Release);
        self.any.store(!state.parts.is_empty(), Ordering::Release);
    }

    /// Whether there are any.
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Whether a key is in none of them.
    ///
    /// # Errors
    /// [`DatabaseError::Unreadable`] if it is in one.
    pub(super) fn check(&self, user_key: &[u8]) -> Result<(), DatabaseError> {
        if !self.any() {
            return Ok(());
        }
        let (record_key, state) = (key::of_record(user_key), self.state());
        if state.parts.check(&record_key).is_ok() || state.over.contains(&record_key) {
            return Ok(());
        }
        let why = "what this replica has accepted or promised for the key may be lost".into();
        Err(DatabaseError::Unreadable { why, behind: None })
    }

    /// A version of a key is durable above all those that were here when it was in doubt.
    pub(super) fn end(&self, user_key: &[u8]) {
        let mut state = self.state();
        if state.over.len() >= OVER_MAX {
            state.over.pop_first();
        }
        state.over.insert(key::of_record(user_key));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at the records of one range.
fn look_at(
    iterator: &mut impl DatabaseIterator,
    (begin, end): Range,
    found: &mut Vec<Found>,
    lost: &mut Vec<Part>,
) -> Result<(), DatabaseError> {
    let mut from = Bytes::from_static(begin);
    let mut moved = iterator.seek(&from);
    loop {
        match moved {
            Ok(()) => {}
            Err(DatabaseError::Unreadable { behind, why }) => {
                // Where nobody knows how far it goes, it is to the end.
                let behind =
                    behind.filter(|behind| &behind[..] < end).unwrap_or_else(|| Bytes::from_static(end));
                log::error!(
                    "a part of what this replica has accepted cannot be read, and it abstains for keys in it: {why}"
                );
                lost.push(Part { from: from.clone(), to: behind.clone() });
                if &behind[..] >= end {
                    return Ok(());
                }
                from = behind;
                moved = iterator.seek(&from);
                continue;
            }
            Err(why) => return Err(why),
        }
        let Some(record_key) = iterator.key().filter(|record_key| &record_key[..] < end).cloned() else {
            return Ok(());
        };
        from = Part::of_prefix(&record_key).to;
        match iterator.value() {
            Ok(Some(bytes)) => found.push((record_key, bytes)),
            Ok(None) | Err(DatabaseError::Unreadable { .. }) => lost.push(Part::of_prefix(&record_key)),
            Err(why) => return Err(why),
        }
        moved = iterator.next();
    }
}
