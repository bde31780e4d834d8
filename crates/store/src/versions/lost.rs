//! What may be lost of what a replica had, as ranges of keys; and forgetting that when it is back (rule S3).
//!
//! A replica that has lost something abstains for it. Under the id of its directory it must do so for ever: others may count on what
//! it acknowledged. So it is healed under another id: what others have is stored beside what is whole here, the members agree on the
//! other id, and then what was lost is no word of anybody any more.

use super::own::State;
use super::{KeyRange, MultiVersionStore, version_in};
use crate::damage::Part;
use crate::database::{Database, DatabaseError, DatabaseIterator, DirectoryId, Snapshot, WriteBatch};
use crate::encoding::space::Space;
use crate::encoding::{accepted, key};
use abd::Version;
use bytes::Bytes;
use std::ops::Bound;

impl<D: Database> MultiVersionStore<D> {
    /// Whether anything may be lost, as far as that is known.
    pub fn has_lost(&self) -> bool {
        self.database.has_lost() || self.doubts.any()
    }

    /// The keys of which a version or an accepted record may be lost, in order; and a few around them, where no key says where they
    /// end.
    pub fn lost_ranges(&self) -> Vec<KeyRange> {
        let (lost, doubts) = (self.database.lost(), self.doubts.parts());
        let parts = lost.iter().chain(doubts.iter());
        KeyRange::joined(parts.flat_map(KeyRange::covering).filter_map(|range| range.within(&KeyRange::ALL)))
    }

    /// Whether nothing of a range is lost, as far as that is known.
    pub fn is_whole(&self, range: &KeyRange) -> bool {
        if !self.has_lost() {
            return true;
        }
        let (lost, doubts) = (self.database.lost(), self.doubts.parts());
        [range.of_versions(), range.of_records()].iter().all(|part| {
            let (from, to) = (Bound::Included(&part.from[..]), Bound::Excluded(&part.to[..]));
            lost.check_between(from, to).is_ok() && doubts.check_between(from, to).is_ok()
        })
    }

    /// Notes durably that all that is lost by now is being brought back from others, for a directory that is to have this id. Once,
    /// before the first of it comes back and before anything is acknowledged in the configuration that names that id: what is lost later may
    /// have been acknowledged in it, and is not healed with it.
    ///
    /// # Errors
    /// As [`Database::write`].
    pub fn begin_healing(&self, directory: DirectoryId) -> Result<(), DatabaseError> {
        self.database.begin_healing(directory)
    }

    /// Forgets durably what was lost before [`MultiVersionStore::begin_healing`] was called with the same id; whether that was. What was
    /// being healed for another id stays lost. When everything is back, and the directory durably has that id; and whenever a
    /// replica starts, with the id of its directory and before [`MultiVersionStore::records`], as it may have ended in between.
    ///
    /// # Errors
    /// As [`Database::write`]. Then it may be tried again.
    pub fn forget_lost(&self, directory: DirectoryId) -> Result<bool, DatabaseError> {
        let Some(healed) = self.database.being_healed(directory) else { return Ok(false) };
        let mut batch = WriteBatch { makes_room: true, ..WriteBatch::default() };
        self.take_away_what_nobody_had(&healed, &mut batch)?;
        if self.doubts.are_about_all() {
            batch.delete(Bytes::from_static(key::MARK_LOST));
        }
        if !batch.is_empty() {
            self.database.write(batch)?;
        }
        // What it had of that was told by the disk before. What is lost does not come into it meanwhile.
        self.cache.forget_all();
        self.database.forget_healed(directory)?;
        self.doubts.forget_but(&self.database.lost());
        self.own.take_over(State::read(&self.database, &self.doubts)?);
        self.soonest.tell_any();
        Ok(true)
    }

    /// What cannot be read here and did not come back was on no majority: the replica must not be held to it, as it could neither
    /// tell it nor abstain for it. It still abstains for these keys, so nobody changes their records.
    fn take_away_what_nobody_had(
        &self,
        healed: &[Part],
        batch: &mut WriteBatch,
    ) -> Result<(), DatabaseError> {
        let snapshot = self.database.snapshot()?;
        let mut iterator = snapshot.stored();
        for (begin, end) in Space::ACCEPTED {
            iterator.seek(begin)?;
            while let Some(record_key) = iterator.key().filter(|record_key| &record_key[..] < end).cloned() {
                if self.is_groundless(&snapshot, &record_key, iterator.value())? {
                    batch.delete(record_key);
                }
                iterator.next()?;
            }
        }
        // Of a large value that cannot be read its key alone is lost.
        for part in healed.iter().filter(|part| **part == Part::of_prefix(&part.from)) {
            iterator.seek(&part.from)?;
            let is_of_part =
                |data_key: &&Bytes| **data_key < part.to && key::prefix_of(data_key) == part.from;
            if let Some(data_key) = iterator.key().filter(is_of_part)
                && matches!(iterator.value(), Err(DatabaseError::Unreadable { .. }))
            {
                batch.delete(data_key.clone());
            }
        }
        Ok(())
    }

    /// Whether a record cannot be read, or its base is not there, of a key for which this replica abstains.
    fn is_groundless(
        &self,
        snapshot: &D::Snapshot,
        record_key: &Bytes,
        record: Result<Option<Bytes>, DatabaseError>,
    ) -> Result<bool, DatabaseError> {
        let record = match record {
            Ok(Some(record)) => record,
            Ok(None) | Err(DatabaseError::Unreadable { .. }) => return Ok(true),
            Err(why) => return Err(why),
        };
        let (recorded_key, record) = accepted::decode(&record)?;
        let Some(user_key) = key::user_key(record_key).or(recorded_key) else { return Ok(false) };
        match self.newest_above(&user_key, Version::MAX) {
            Ok(_) => return Ok(false),
            Err(DatabaseError::Unreadable { .. }) => {}
            Err(why) => return Err(why),
        }
        let prefix = key::prefix(&user_key);
        let mut iterator = snapshot.stored();
        iterator.seek(&prefix)?;
        let newest = iterator.key().filter(|data_key| key::prefix_of(data_key) == prefix);
        let newest = newest.map_or(Ok(Version::MIN), |data_key| version_in(data_key))?;
        Ok(record.base > newest)
    }
}

#[cfg(test)]
mod tests;
