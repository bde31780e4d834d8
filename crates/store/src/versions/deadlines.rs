//! Values that are due to expire: what finding them needs.

use super::{MultiVersionStore, Scanned};
use crate::database::{Database, DatabaseError};
use abd::{Deadline, Moment, StampedValue};
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};

/// Keys read from one snapshot.
const STEP: usize = 64;

/// What a part of the keys holds that is due, and will be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Keys whose newest version is a value that is due, with the bytes of its record.
    pub due: Vec<(Bytes, usize)>,
    /// The soonest deadline of the other values.
    pub soonest: Deadline,
    /// The last key that was read; `None` if there is no further one.
    pub last: Option<Bytes>,
    /// How many keys were read.
    pub keys: usize,
}

/// The soonest deadline among values. It is told of each value when that can be seen, so whoever forgets it and looks then misses none.
#[derive(Debug)]
pub(super) struct SoonestDeadline(AtomicU64);

impl Default for SoonestDeadline {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl SoonestDeadline {
    /// A value can be seen from now on.
    pub(super) fn tell(&self, stamped: &StampedValue) {
        if stamped.deadline != Deadline::NONE && stamped.content.is_value() {
            self.0.fetch_min(stamped.deadline.0, Ordering::AcqRel);
        }
    }

    /// Values can be seen again that could not be: whoever sweeps is to look at all.
    pub(super) fn tell_any(&self) {
        self.0.fetch_min(1, Ordering::AcqRel);
    }
}

impl<D: Database> MultiVersionStore<D> {
    /// The soonest deadline of the values that were committed since the store was opened or [`forget_deadlines`] was called.
    ///
    /// [`forget_deadlines`]: Self::forget_deadlines
    pub fn soonest_deadline(&self) -> Deadline {
        match self.soonest.0.load(Ordering::Acquire) {
            u64::MAX => Deadline::NONE,
            soonest => Deadline(soonest),
        }
    }

    /// Whoever looks at all keys from now on finds the deadlines of all values that were committed so far.
    pub fn forget_deadlines(&self) {
        self.soonest.0.store(u64::MAX, Ordering::Release);
    }

    /// Reads the keys behind one (all, if `None`) in the order of the store, without a look at any content: `at_most` so many, and no
    /// more once they have `bytes_max` bytes. Keys of which a version may have been lost are left out (rule S3).
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn due(
        &self,
        after: Option<&[u8]>,
        moment: Moment,
        at_most: usize,
        bytes_max: usize,
    ) -> Result<Due, DatabaseError> {
        let mut found = Due { last: after.map(Bytes::copy_from_slice), ..Due::default() };
        let mut bytes = 0;
        loop {
            // One more, as a step begins with the last key of the one before if that is still there.
            let step = self.scan(found.last.as_deref().unwrap_or_default(), STEP + 1)?;
            let is_short = step.len() <= STEP;
            for Scanned { key, head, length, .. } in step {
                if found.last.as_ref() == Some(&key) {
                    continue;
                }
                if found.keys >= at_most || bytes >= bytes_max {
                    return Ok(found);
                }
                found.keys += 1;
                bytes += key.len();
                found.last = Some(key.clone());
                if !head.present {
                    continue;
                }
                if head.deadline.has_passed(moment) {
                    found.due.push((key, length));
                } else {
                    found.soonest = found.soonest.or_sooner(head.deadline);
                }
            }
            if is_short {
                return Ok(Due { last: None, ..found });
            }
        }
    }
}
